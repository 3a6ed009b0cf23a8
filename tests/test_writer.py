"""Writing a canonical file piece by piece, and how much memory that and reading it take."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from poseda.data import PoseSet, checks, load_pose_set, save_pose_set
from poseda.data import writer as writer_module
from poseda.data.synthetic import make_source
from poseda.data.writer import write_poses

Arrays = dict[str, Any]


@pytest.fixture(scope="module")
def good() -> Arrays:
    return make_source(seed=5, frames=600)


@pytest.fixture
def arrays(good: Arrays) -> Arrays:
    return {key: value.copy() for key, value in good.items()}


def part(arrays: Arrays, rows: slice) -> Arrays:
    return {key: value[rows] for key, value in arrays.items()}


def pieces(arrays: Arrays) -> Iterator[Arrays]:
    """Pieces of different lengths, also of none."""
    bounds = [0, 1, 1, 250, 251, len(arrays["pose2d"])]
    for start, stop in pairwise(bounds):
        yield part(arrays, slice(start, stop))


def contents(path: Path) -> Arrays:
    with np.load(path) as file:
        return dict(file)


# ---------------------------------------------------------------------------------------- content


def test_pieces_are_the_whole(tmp_path: Path, arrays: Arrays) -> None:
    path = tmp_path / "x.npz"
    with write_poses(path, {"dataset": "made"}) as writer:
        for piece in pieces(arrays):
            writer.add(**piece)
        assert writer.rows == len(arrays["pose2d"])
        assert not path.exists()
    found = contents(path)
    assert set(found) == {*arrays, "about"}
    for name, expected in arrays.items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
        if name not in checks.STRINGS:
            number = np.int64 if name in checks.INTEGERS else np.float32
            assert found[name].dtype == number
    assert load_pose_set(path).about == {"dataset": "made"}
    assert os.listdir(tmp_path) == ["x.npz"]


def test_one_value_stands_for_all_rows(tmp_path: Path, arrays: Arrays) -> None:
    with write_poses(tmp_path / "x.npz") as writer:
        writer.add(
            pose2d=arrays["pose2d"],
            intrinsics=tuple(arrays["intrinsics"][0]),
            image_size=(1000, 1002),
            confidence=np.linspace(0, 1, 17),
            subject="S1",
            action=["a", "a", *["b"] * (len(arrays["pose2d"]) - 2)],
            clip=7,
            fps=50,
        )
    found = contents(tmp_path / "x.npz")
    assert (found["intrinsics"] == arrays["intrinsics"][0].astype(np.float32)).all()
    assert (found["image_size"] == [1000, 1002]).all()
    assert (found["confidence"] == np.linspace(0, 1, 17, dtype=np.float32)).all()
    assert set(found["subject"]) == {"S1"}
    assert found["action"].tolist() == ["a"] * 2 + ["b"] * (len(arrays["pose2d"]) - 2)
    assert found["clip"].dtype == np.int64
    assert set(found["clip"]) == {7}
    assert set(found["fps"]) == {50}
    assert "about" not in found


def test_strings_of_any_length_and_order_come_back(tmp_path: Path, arrays: Arrays) -> None:
    count = len(arrays["pose2d"])
    subjects = ["", "Jörg", "a rather long name", *map(str, range(count - 3))]
    with write_poses(tmp_path / "x.npz") as writer:
        for start in range(0, count, 100):
            rows = slice(start, start + 100)
            writer.add(**part(arrays, rows) | {"subject": subjects[rows], "action": ""})
    found = contents(tmp_path / "x.npz")
    assert found["subject"].tolist() == subjects
    assert set(found["action"]) == {""}


def test_what_is_said_of_the_file_may_come_last(tmp_path: Path, arrays: Arrays) -> None:
    about: dict[str, Any] = {}
    with write_poses(tmp_path / "x.npz", about) as writer:
        writer.add(**arrays)
        about["labels"] = "Grüße"
    assert load_pose_set(tmp_path / "x.npz").about == {"labels": "Grüße"}


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"pose2d": np.zeros((5, 16, 2))},
            r"pose2d: got shape \(5, 16, 2\), expected \(5, 17, 2\)",
        ),
        (
            {"pose3d": np.zeros((4, 17, 3))},
            r"pose3d: got shape \(4, 17, 3\), expected \(5, 17, 3\)",
        ),
        ({"subject": ["a"] * 4}, r"subject: got shape \(4,\), expected \(5,\) or \(\)"),
        ({"clip": 0.5}, "clip: got dtype float64, expected integers"),
        ({"clip": "1"}, "clip: got dtype <U1, expected integers"),
        ({"height": 3}, "columns: got .*height"),
    ],
)
def test_columns_of_another_shape_are_refused_at_once(
    tmp_path: Path, arrays: Arrays, change: Arrays, message: str
) -> None:
    with pytest.raises(ValueError, match=message), write_poses(tmp_path / "x.npz") as writer:
        writer.add(**part(arrays, slice(5)) | change)
        pytest.fail("too late")
    assert os.listdir(tmp_path) == []


def test_columns_stay_the_same(tmp_path: Path, arrays: Arrays) -> None:
    fewer = {name: value for name, value in arrays.items() if name != "clip"}
    none = {name: value for name, value in arrays.items() if name != "intrinsics"}
    for columns in (fewer, none):
        with (
            pytest.raises(ValueError, match="columns: got"),
            write_poses(tmp_path / "x.npz") as writer,
        ):
            writer.add(**arrays)
            writer.add(**columns)


def test_no_frames_are_refused(tmp_path: Path, arrays: Arrays) -> None:
    with pytest.raises(ValueError, match="no frames to write"), write_poses(tmp_path / "x.npz"):
        pass
    with pytest.raises(ValueError, match="no frames"), write_poses(tmp_path / "x.npz") as writer:
        writer.add(**part(arrays, slice(0)))
    assert os.listdir(tmp_path) == []


def _nan(arrays: Arrays) -> None:
    arrays["pose2d"][[3, 400], 2] = np.nan


def _behind(arrays: Arrays) -> None:
    arrays["pose3d"][[3, 400], 5, 2] *= -1


def _mirrored(arrays: Arrays) -> None:
    arrays["pose3d"][..., 0] *= -1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_nan, r"pose2d: got NaN or infinity in 2 of \d+ rows \(first: row 3\)"),
        (_behind, r"pose3d: got a joint behind the camera \(z <= 0\) in 2 of .*\(first: row 3: -"),
        (_mirrored, "from the projection of pose3d"),
    ],
)
def test_bad_rows_are_counted_over_all_pieces(
    tmp_path: Path, arrays: Arrays, spoil: Callable[[Arrays], None], message: str
) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(b"old")
    spoil(arrays)
    with pytest.raises(ValueError, match=rf"^{path}: .*{message}"), write_poses(path) as writer:
        for piece in pieces(arrays):
            writer.add(**piece)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.npz"]


def test_an_error_of_the_caller_leaves_nothing_behind(tmp_path: Path, arrays: Arrays) -> None:
    with pytest.raises(KeyboardInterrupt), write_poses(tmp_path / "x.npz") as writer:
        writer.add(**arrays)
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_named(tmp_path: Path, arrays: Arrays) -> None:
    message = r"cannot write .*x\.npz: No space left on device"
    with pytest.raises(OSError, match=message), write_poses(tmp_path / "x.npz") as writer:
        writer._files["pose2d"] = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
        writer.add(**arrays)
    assert os.listdir(tmp_path) == []


# ----------------------------------------------------------------------------------------- memory


@contextmanager
def traced() -> Iterator[list[int]]:
    """The bytes of the largest amount of memory that numpy and Python held within."""
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def _write(path: Path, arrays: Arrays, clips: int) -> None:
    with write_poses(path) as writer:
        for clip in range(clips):
            labels = {"clip": clip, "subject": f"S{clip % 5}", "action": "Walking"}
            writer.add(**arrays | labels)


def _bytes(poses: PoseSet) -> int:
    columns = [value for value in vars(poses).values() if isinstance(value, np.ndarray)]
    tensors = [value for value in vars(poses).values() if isinstance(value, torch.Tensor)]
    return sum(each.nbytes for each in columns) + sum(each.nbytes for each in tensors)


def test_memory_of_writing_and_loading(
    tmp_path: Path, arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing takes what one piece takes, and some bytes of each row for the checks; loading takes
    what the set itself takes, and one piece."""
    monkeypatch.setattr(checks, "CHUNK", 500)
    monkeypatch.setattr(writer_module, "_COPY", 1 << 16)
    rows = len(arrays["pose2d"])
    with traced() as little:
        _write(tmp_path / "little.npz", arrays, 4)
    with traced() as much:
        _write(tmp_path / "much.npz", arrays, 40)
    added = 36 * rows
    assert much[0] - little[0] < 40 * added  # a row of the file has 476 bytes

    with traced() as loading:
        poses = load_pose_set(tmp_path / "much.npz")
    assert len(poses) == 40 * rows
    assert loading[0] < 1.15 * _bytes(poses) + (2 << 20)


def test_loading_a_compressed_file_takes_no_more(
    tmp_path: Path, arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "CHUNK", 500)
    many: Arrays = {name: np.concatenate([value] * 20) for name, value in arrays.items()}
    np.savez_compressed(tmp_path / "x.npz", **many)
    with traced() as loading:
        poses = load_pose_set(tmp_path / "x.npz")
    assert loading[0] < 1.15 * _bytes(poses) + (2 << 20)
    save_pose_set(tmp_path / "y.npz", many)
    assert torch.equal(load_pose_set(tmp_path / "y.npz").pose2d, poses.pose2d)
