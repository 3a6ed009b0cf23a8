"""Lifted poses as JSON and NPZ: what was given comes back; what cannot be written is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from poseda.outputs import write_json, write_npz
from poseda.outputs.poses import Known, checked
from poseda_ext.skeleton import H36M_16, H36M_17, Skeleton

WRITERS = (write_json, write_npz)
ODD_NAMES = (
    "</script><script>alert(1)</script>",
    'quote " and \\',
    "Zoë 日本\n\t",
    "\udc80half",
    "",
)


def poses(count: int = 6, joints: int = 16, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(0, 0.4, (count, joints, 3))
    return drawn - drawn[:, :1]


def everything(count: int = 6, joints: int = 16) -> Known:
    rng = np.random.default_rng(1)
    return {
        "person": ["anna", "ben"] * (count // 2),
        "clip": [3] * count,
        "frame": np.repeat(np.arange(7, 7 + count // 2), 2),
        "fps": 50.0,
        "root": rng.normal((0, 0, 5), 1, (count, 3)),
        "pose2d": rng.uniform(0, 1000, (count, joints, 2)),
        "confidence": rng.uniform(0, 1, (count, joints)),
    }


def read(path: Path) -> dict[str, Any]:
    """Strictly: no NaN, no key twice."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    text = path.read_text(encoding="ascii")
    content: dict[str, Any] = json.loads(text, parse_constant=refuse, object_pairs_hook=once)
    return content


def test_json_holds_all_that_is_known(tmp_path: Path) -> None:
    known, pose3d = everything(), poses()
    write_json(tmp_path / "out.json", pose3d, H36M_16, **known)
    content = read(tmp_path / "out.json")
    assert content["format"] == "poseda-lifted"
    assert content["fps"] == 50
    assert tuple(content["joints"]) == H36M_16.names
    assert tuple(content["parents"]) == H36M_16.parents
    assert tuple(content["left"]) == H36M_16.left
    assert tuple(content["right"]) == H36M_16.right
    assert content["people"] == ["anna", "ben"]
    records = content["poses"]
    assert [record["person"] for record in records] == known["person"]
    assert [record["clip"] for record in records] == [3] * 6
    assert [record["frame"] for record in records] == [7, 7, 8, 8, 9, 9]
    for name, expected, tolerance in (
        ("pose3d", pose3d, 5.1e-6),
        ("root", known["root"], 5.1e-6),
        ("pose2d", known["pose2d"], 5.1e-3),
        ("confidence", known["confidence"], 5.1e-5),
    ):
        got = np.asarray([record[name] for record in records])
        np.testing.assert_allclose(got, np.asarray(expected), rtol=0, atol=tolerance)


def test_json_leaves_out_what_is_not_known(tmp_path: Path) -> None:
    write_json(tmp_path / "out.json", torch.from_numpy(poses(2000)), H36M_16)
    content = read(tmp_path / "out.json")
    assert content["fps"] is None
    assert content["people"] == [""]
    assert {tuple(record) for record in content["poses"]} == {("person", "clip", "frame", "pose3d")}
    assert [record["frame"] for record in content["poses"]] == list(range(2000))


def test_json_has_a_line_for_each_pose(tmp_path: Path) -> None:
    write_json(tmp_path / "out.json", poses(5), H36M_16)
    lines = (tmp_path / "out.json").read_text().splitlines()
    start = lines.index(' "poses": [') + 1
    rows = [json.loads(line.removesuffix(",")) for line in lines[start : start + 5]]
    assert [row["frame"] for row in rows] == [0, 1, 2, 3, 4]


def test_json_writes_no_more_digits_than_it_means(tmp_path: Path) -> None:
    pose3d = np.zeros((1, 16, 3))
    pose3d[0, 1] = (0.1, -1e-9, 1 / 3)
    write_json(tmp_path / "out.json", pose3d, H36M_16)
    assert "[0.1,0.0,0.33333]" in (tmp_path / "out.json").read_text()


def test_npz_round_trip(tmp_path: Path) -> None:
    known, pose3d = everything(4, 17), poses(4, 17).astype(np.float32)
    write_npz(tmp_path / "out.npz", pose3d, H36M_17, **known)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        arrays = dict(file)
    np.testing.assert_array_equal(arrays["pose3d"], pose3d)
    assert arrays["pose3d"].dtype == np.float32
    assert arrays["person"].tolist() == known["person"]
    assert arrays["clip"].tolist() == [3] * 4
    assert arrays["frame"].tolist() == [7, 7, 8, 8]
    assert float(arrays["fps"]) == 50
    assert tuple(arrays["joint_names"]) == H36M_17.names
    assert tuple(arrays["parents"]) == H36M_17.parents
    assert tuple(arrays["left"]) == H36M_17.left
    for name, given in (
        ("root", known["root"]),
        ("pose2d", known["pose2d"]),
        ("confidence", known["confidence"]),
    ):
        np.testing.assert_array_equal(arrays[name], np.asarray(given, dtype=np.float32))
    assert json.loads(str(arrays["about"]))["units"]["pose3d"] == "metre"


def test_npz_leaves_out_what_is_not_known(tmp_path: Path) -> None:
    write_npz(tmp_path / "out.npz", poses(), H36M_16)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        assert not {"root", "pose2d", "confidence"} & set(file)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_come_back(tmp_path: Path, name: str) -> None:
    shown = name.replace("\udc80", "?")
    write_json(tmp_path / "out.json", poses(1), H36M_16, person=[name])
    assert read(tmp_path / "out.json")["people"] == [shown]
    write_npz(tmp_path / "out.npz", poses(1), H36M_16, person=[name])
    with np.load(tmp_path / "out.npz") as file:
        assert file["person"].tolist() == [shown]


def test_poses_are_taken_relative_to_the_root() -> None:
    pose3d = poses()
    moved = checked(pose3d + np.array([1, 2, 30]), H36M_16)
    np.testing.assert_allclose(moved.pose3d, pose3d, atol=1e-6)
    assert not moved.pose3d[:, 0].any()


def test_frames_are_counted_for_each_person_and_clip() -> None:
    made = checked(poses(5), H36M_16, person=["b", "a", "b", "a", "b"], clip=[0, 0, 0, 1, 0])
    assert made.frame.tolist() == [0, 0, 1, 0, 2]


def test_a_person_may_be_in_the_same_frame_of_two_clips() -> None:
    made = checked(poses(4), H36M_16, clip=[7, 7, 2, 2], frame=[0, 1, 1, 0])
    clips = dict(made.by_clip())
    assert list(clips) == [2, 7]
    np.testing.assert_array_equal(clips[2].pose3d, made.pose3d[2:])


def test_people_come_in_order_of_frames() -> None:
    made = checked(poses(4), H36M_16, person=["b", "a", "b", "a"], frame=[9, 1, 3, 2])
    people = dict(made.by_person())
    assert list(people) == ["b", "a"]
    assert people["b"].frame.tolist() == [3, 9]
    np.testing.assert_array_equal(people["b"].pose3d, made.pose3d[[2, 0]])


BAD: tuple[tuple[dict[str, Any], type[Exception], str], ...] = (
    ({"pose3d": poses(6, 17)}, ValueError, r"pose3d: got shape \(6, 17, 3\), expected \(N, 16, 3"),
    ({"pose3d": poses()[0]}, ValueError, r"pose3d: got shape \(16, 3\)"),
    ({"pose3d": poses(0)}, ValueError, "pose3d: got no poses"),
    ({"pose3d": np.full((6, 16, 3), math.nan)}, ValueError, "pose3d: got NaN .* in 6 of 6"),
    ({"pose3d": poses() * 1e9}, ValueError, "pose3d: got .* expected metres"),
    ({"pose3d": poses().astype(str)}, TypeError, "pose3d: got <U.*, expected numbers"),
    ({"root": np.zeros((5, 3))}, ValueError, r"root: got shape \(5, 3\), expected \(6, 3\)"),
    ({"root": np.full((6, 3), math.inf)}, ValueError, "root: got NaN or infinity"),
    ({"pose2d": np.zeros((6, 16, 3))}, ValueError, r"pose2d: got shape \(6, 16, 3\)"),
    ({"confidence": np.zeros(6)}, ValueError, "confidence: got shape"),
    ({"person": ["a"]}, ValueError, "person: got 1 names, expected one per pose"),
    ({"person": "abcdef"}, TypeError, "person: got str"),
    ({"person": [1] * 6}, TypeError, "person: got int"),
    ({"frame": np.zeros(6)}, TypeError, "frame: got float64, expected integers"),
    ({"frame": [0, 1, 2, 3, 4, 4]}, ValueError, "frame: got frame 4 of clip 0 twice for person ''"),
    ({"frame": [-1, 1, 2, 3, 4, 5]}, ValueError, "frame: got -1"),
    ({"frame": [0, 1]}, ValueError, r"frame: got shape \(2,\)"),
    ({"clip": [0, 1]}, ValueError, r"clip: got shape \(2,\)"),
    ({"clip": ["a"] * 6}, TypeError, "clip: got <U1, expected integers"),
    ({"fps": -1.0}, ValueError, "fps: got -1"),
    ({"fps": math.nan}, ValueError, "fps: got nan"),
    ({"fps": "fast"}, TypeError, "fps: got str"),
)


@pytest.mark.parametrize(("given", "error", "message"), BAD)
def test_bad_input_is_refused(given: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"pose3d": poses(), "skeleton": H36M_16} | given
    with pytest.raises(error, match=message):
        checked(**arguments)


@pytest.mark.parametrize("write", WRITERS)
def test_a_refused_file_leaves_the_old_one(tmp_path: Path, write: Callable[..., None]) -> None:
    path = tmp_path / "out.npz"
    path.write_text("old")
    with pytest.raises(ValueError, match="pose3d"):
        write(path, poses(0), H36M_16)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["out.npz"]


@pytest.mark.parametrize("write", WRITERS)
def test_places_that_cannot_be_written(tmp_path: Path, write: Callable[..., None]) -> None:
    with pytest.raises(OSError, match=r"cannot write .*nowhere.*out\.npz"):
        write(tmp_path / "nowhere" / "out.npz", poses(), H36M_16)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(OSError, match=r"cannot write .*folder\.npz"):
        write(tmp_path / "folder.npz", poses(), H36M_16)


def test_npz_asks_for_its_ending(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path: .*expected a name that ends in \.npz"):
        write_npz(tmp_path / "out.json", poses(), H36M_16)


def test_a_small_skeleton(tmp_path: Path) -> None:
    stick = Skeleton(("base", "tip"), (-1, 0))
    write_json(tmp_path / "out.json", poses(3, 2), stick)
    assert read(tmp_path / "out.json")["left"] == []
