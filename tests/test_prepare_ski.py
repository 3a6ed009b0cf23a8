"""Ski-Pose PTZ: labels.h5 comes back exactly, and what is not it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from poseda.cli import main
from poseda.data.prepare.anatomy import check_anatomy
from poseda.data.prepare.ski import JOINTS, Ski
from poseda.data.synthetic import forward_kinematics, perform, sample_body
from poseda_ext.skeleton import H36M_17
from tests.commands import prepared

Array = NDArray[Any]
FRAMES = 12
NAMES = (
    "hip", "right_up_leg", "right_leg", "right_foot", "left_up_leg", "left_leg", "left_foot",
    "spine", "neck", "head", "head_top", "left_arm", "left_forearm", "left_hand",
    "right_arm", "right_forearm", "right_hand",
)  # fmt: skip


def rotations(position: Array, target: Array) -> Array:
    """(F, 3, 3) camera to world of cameras with a level horizon that look at the targets."""
    forward = target - position
    forward = forward / np.linalg.norm(forward, axis=-1, keepdims=True)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right = right / np.linalg.norm(right, axis=-1, keepdims=True)
    return np.stack((right, np.cross(forward, right), forward), axis=-1)


def labels(part: str, dtype: str = "f8") -> tuple[dict[str, Array], Array, Array]:
    """What a labels.h5 holds, the absolute poses and the hips in the world.

    The skier goes down a slope; two cameras at 20 and 35 m follow him, and the crop lies to the
    side of the optical axis.
    """
    rng = np.random.default_rng(len(part))
    names = ("seq", "cam", "frame", "subj", "3D", "2D", "cam_intrinsic", "cam_position")
    rows: dict[str, list[Any]] = {name: [] for name in (*names, "R_cam_2_world")}
    absolute, hips = [], []
    for sequence in (101, 103):
        body = sample_body(rng)
        motion = perform("squat", rng, FRAMES, 25.0)
        world = forward_kinematics(motion, body.stature, body.bone_lengths)
        world = world + np.arange(FRAMES)[:, None, None] * [0.3, 0.1, -0.1]
        for camera, place in ((0, (20.0, 4.0, 2.0)), (2, (-10.0, 33.0, 6.0))):
            position = np.tile(place, (FRAMES, 1))
            aim = world[:, 0] + [0.2, -0.1, 1.5]  # the cameraman is a little late
            turn = rotations(position, aim)
            pose = np.einsum("fji,fkj->fki", turn, world - position[:, None])
            focal = 0.45 * np.linalg.norm(aim - position, axis=-1)  # zooms along
            ray = pose[..., :2] / pose[..., 2:]
            centre = 0.5 - focal[:, None] * (ray.min(1) + ray.max(1)) / 2
            matrix = np.zeros((FRAMES, 3, 3))
            matrix[:, 0, 0] = matrix[:, 1, 1] = focal
            matrix[:, :2, 2], matrix[:, 2, 2] = centre, 1
            points = ray * focal[:, None, None] + centre[:, None]
            rows["seq"] += [sequence] * FRAMES
            rows["cam"] += [camera] * FRAMES
            rows["frame"] += range(FRAMES)
            rows["subj"] += [sequence % 5] * FRAMES
            rows["3D"] += [*(pose - pose[:, :1]).reshape(FRAMES, 51)]
            rows["2D"] += [*points.reshape(FRAMES, 34)]
            rows["cam_intrinsic"] += [*matrix]
            rows["cam_position"] += [*position]
            rows["R_cam_2_world"] += [*turn]
            absolute += [*pose]
            hips += [(sequence, frame, *world[frame, 0]) for frame in range(FRAMES)]
    arrays = {name: np.asarray(values, dtype) for name, values in rows.items()}
    return arrays, np.asarray(absolute), np.asarray(hips)


def save(folder: Path, part: str, arrays: dict[str, Any]) -> Path:
    path = folder / part / "labels.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values)
    return path


def refused(folder: Path, match: str, error: type[Exception] = ValueError) -> None:
    path = folder.parent / "refused.npz"
    with pytest.raises(error, match=match):
        Ski(folder=folder, to=path).run()
    assert not path.exists()


def test_mapped_skeleton_is_human() -> None:
    arrays, absolute, _ = labels("train")
    assert JOINTS.joints == NAMES
    pose = JOINTS.points(arrays["3D"].reshape(-1, 17, 3))
    check_anatomy(pose, "ski")
    joint = {name: pose[:, place] for place, name in enumerate(H36M_17.names)}
    assert (joint["Head"][:, 1] < joint["Hip"][:, 1]).all()  # y points down
    assert (joint["Hip"][:, 1] < joint["LFoot"][:, 1]).all()
    assert_allclose(pose, absolute - absolute[:, :1], atol=1e-12)


def assert_rows(arrays: dict[str, Any], split: int, dtype: str, tolerance: float) -> None:
    """The canonical rows of a part are the truth, in float32."""
    found, absolute, _ = labels(("train", "test")[split], dtype)
    for row in range(len(absolute)):
        (at,) = np.flatnonzero(
            (arrays["split"] == split)
            & (arrays["action"] == f"seq_{found['seq'][row]:03.0f}")
            & (arrays["camera"] == found["cam"][row])
            & (arrays["frame"] == found["frame"][row])
        )
        assert_allclose(arrays["pose3d"][at], absolute[row], rtol=tolerance, atol=tolerance)
        points = found["2D"][row].astype(np.float64).reshape(17, 2) * 256
        assert_array_equal(arrays["pose2d"][at], points.astype(np.float32))
        matrix = 256 * found["cam_intrinsic"][row].astype(np.float64)
        expected = [matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]]
        assert_array_equal(arrays["intrinsics"][at], np.asarray(expected, np.float32))
        assert arrays["subject"][at] == str(int(found["subj"][row]))


# What float32 leaves of a root solved from 2D joints at 35 m: a few millimetres.
@pytest.mark.parametrize(("dtype", "tolerance"), [("f8", 3e-7), ("f4", 3e-4)])
def test_labels_come_back(tmp_path: Path, dtype: str, tolerance: float) -> None:
    folder = tmp_path / "ski"
    for part in ("train", "test"):
        save(folder, part, labels(part, dtype)[0])
    arrays, about, lines = prepared(Ski, folder)
    for split in (0, 1):
        assert_rows(arrays, split, dtype, tolerance)
    assert (arrays["image_size"] == 256).all() and len(arrays["frame"]) == 96
    assert len(set(arrays["clip"])) == 8
    assert about["root"] == "solved from the 2D joints" and about["reprojection_error_px"] < 0.001
    assert "train: 48 of 48 images; median reprojection error" in "\n".join(lines)


def test_roots_come_from_the_centres(tmp_path: Path) -> None:
    folder = tmp_path / "ski"
    arrays, _, hips = labels("train", "f4")
    save(folder, "train", arrays)
    lines = [f"{seq:.0f} {frame:.0f} {x!r} {y!r} {z!r}" for seq, frame, x, y, z in hips.tolist()]
    lines = [line for line in lines if not line.startswith("103 5 ")]
    (folder / "ski_centers.csv").write_text("\n".join(lines) + "\n")
    found, about, shown = prepared(Ski, folder, split="train")
    assert_rows(found, 0, "f4", 3e-4)
    assert about["root"] == "ski_centers.csv"
    assert "train: 46 of 48 root positions known" in "\n".join(shown)


def test_folder_above_is_found_too(tmp_path: Path) -> None:
    folder = tmp_path / "ski"
    arrays, _, _ = labels("test")
    save(folder / "Ski-PosePTZ-CameraDataset-png", "test", arrays)
    assert (prepared(Ski, folder, split="test")[0]["split"] == 1).all()
    refused(folder, "has no train/labels.h5 or .*; the files of Ski-Pose PTZ", FileNotFoundError)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda found: found.pop("2D"), "labels.h5: 2D: missing; found 3D, R_cam_2_world, cam,"),
        (lambda found: found.update({"3D": found["3D"][:, :48]}), r"3D: got shape \(48, 48\)"),
        (lambda found: found.update({"3D": found["3D"] * 1000}), "got a median of .* m to"),
        (lambda found: found.update({"2D": found["2D"] * 256}), "got 2D joints at a median"),
        (
            lambda found: found.update(
                {"2D": found["2D"].reshape(-1, 17, 2)[..., ::-1].reshape(-1, 34)}
            ),
            "got 2D joints at a median distance of",
        ),
        (lambda found: found.update(seq=found["seq"][:9]), r"seq: got shape \(9,\), expected 48"),
        (lambda found: found.update(cam=["first"] * 48), "cam: got dtype object, expected numbers"),
        (
            lambda found: found.update(cam_intrinsic=found["cam_intrinsic"].transpose(0, 2, 1)),
            "cam_intrinsic: got a matrix that is not fx 0 cx, 0 fy cy, 0 0 1",
        ),
        (lambda found: found["3D"].__setitem__((3, 5), np.nan), "3D: got NaN or infinity"),
    ],
)
def test_wrong_labels_are_refused(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], Any], match: str
) -> None:
    folder = tmp_path / "ski"
    arrays, _, _ = labels("train")
    spoil(arrays)
    save(folder, "train", arrays)
    save(folder, "test", labels("test")[0])
    refused(folder, match)


@pytest.mark.parametrize("keep", [0, 700, 6000])
def test_truncated_labels_are_refused(tmp_path: Path, keep: int) -> None:
    folder = tmp_path / "ski"
    path = save(folder, "train", labels("train")[0])
    save(folder, "test", labels("test")[0])
    path.write_bytes(path.read_bytes()[:keep])
    refused(folder, "train/labels.h5: ")


@pytest.mark.parametrize(
    ("line", "match"),
    [
        (
            "101 0 1.0 2.0",
            "ski_centers.csv: line 1: got '101 0 1.0 2.0', expected: seq frame x y z",
        ),
        ("seq frame x y z", "line 1: got"),
        ("101 0 nan 0 0", "line 1: got"),
        ("101 0 1.0 2.0 3.0", "got 2D joints at a median distance"),
    ],
)
def test_wrong_centres_are_refused(tmp_path: Path, line: str, match: str) -> None:
    folder = tmp_path / "ski"
    for part in ("train", "test"):
        save(folder, part, labels(part)[0])
    lines = [line.replace("101 0", f"{seq} {frame}") for seq in (101, 103) for frame in range(99)]
    (folder / "ski_centers.csv").write_text("\n".join([line, *lines]))
    refused(folder, match)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "ski"
    for part in ("train", "test"):
        save(folder, part, labels(part)[0])
    path = tmp_path / "ski.npz"
    main(["prepare", "ski", "--from", str(folder), "--to", str(path)])
    shown = capsys.readouterr().out
    assert "root positions: solved from the 2D joints" in shown
    assert f"96 frames: {path}" in shown
