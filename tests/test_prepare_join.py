"""Canonical files of several cameras become one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poseda.data import load_pose_set, save_pose_set
from poseda.data.prepare.join import Join
from poseda.data.synthetic import make_target


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, the second of two cameras and without 3D, labels of people and confidence."""
    made = tmp_path / "files"
    made.mkdir()
    first = dict(make_target(seed=1, frames=20))
    count = len(first["pose2d"])
    first |= {"confidence": np.full((count, 17), 0.5), "about": np.asarray('{"dataset": "a"}')}
    save_pose_set(made / "a.npz", first)
    second = {
        name: values
        for name, values in make_target(seed=2, frames=20).items()
        if name in ("pose2d", "intrinsics", "image_size", "fps")
    }
    second["camera"] = np.arange(len(second["pose2d"])) % 2 * 7
    save_pose_set(made / "b.npz", second)
    return made


def join(folder: Path, to: Path) -> tuple[dict[str, Any], list[str]]:
    lines = Join(folder=folder, to=to).run().lines()
    with np.load(to) as file:
        return dict(file), lines


def test_files_are_kept_apart(folder: Path, tmp_path: Path) -> None:
    arrays, lines = join(folder, tmp_path / "all.npz")
    parts = [dict(np.load(folder / name)) for name in ("a.npz", "b.npz")]
    count = len(parts[0]["pose2d"])
    for name in ("pose2d", "intrinsics", "image_size", "fps"):
        assert np.array_equal(arrays[name], np.concatenate([part[name] for part in parts]))
    own = np.unique(parts[0]["camera"])
    assert np.unique(arrays["camera"][count:]).tolist() == [len(own), len(own) + 1]
    assert not set(arrays["clip"][:count]) & set(arrays["clip"][count:])
    assert "pose3d" not in arrays and any("pose3d is left out, since b.npz" in x for x in lines)
    assert (arrays["confidence"][:count] == 0.5).all() and (arrays["confidence"][count:] == 1).all()
    assert (arrays["subject"][count:] == "").all()
    assert json.loads(str(arrays["about"]))["files"] == {"a": {"dataset": "a"}, "b": {}}
    assert len(load_pose_set(tmp_path / "all.npz")) == len(arrays["pose2d"])


def test_the_file_made_before_is_not_joined_again(folder: Path) -> None:
    first, _ = join(folder, folder / "all.npz")
    again, _ = join(folder, folder / "all.npz")
    assert len(first["pose2d"]) == len(again["pose2d"])


def test_one_file_is_refused_and_a_broken_one_named(folder: Path, tmp_path: Path) -> None:
    (folder / "b.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"b\.npz: got a damaged or truncated"):
        join(folder, tmp_path / "all.npz")
    (folder / "b.npz").unlink()
    with pytest.raises(ValueError, match=r"got 1 \.npz files, expected several"):
        join(folder, tmp_path / "all.npz")
    assert not (tmp_path / "all.npz").exists()
