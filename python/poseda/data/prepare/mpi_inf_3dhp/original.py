"""The data set's own files: ``S*/Seq*/annot.mat`` and ``TS*/annot_data.mat``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from poseda.data.prepare.matlab import read_matlab
from poseda.data.prepare.mpi_inf_3dhp.clips import Clip, joint_array, same_length
from poseda.data.prepare.mpi_inf_3dhp.tables import (
    JOINTS_17,
    JOINTS_28,
    LICENCE,
    NUM_CAMERAS,
    ORIGIN,
    TEST_CAMERAS,
    TRAIN_CAMERAS,
    TRAIN_FRAMES,
    Camera,
    Frames,
    Labels,
    camera_class,
)

Array = NDArray[Any]


class Original:
    """The folders as they are downloaded; the test set's may lie in one of its own."""

    title: ClassVar[str] = "the data set's own files"
    origin: ClassVar[str] = ORIGIN
    train_file: ClassVar[str | None] = "S1/Seq1/annot.mat"
    test_file: ClassVar[str] = "TS1/annot_data.mat"
    labels: tuple[Labels, ...] = ("univ_annot3", "annot3")

    def __init__(self, train: list[Path], test: list[Path]) -> None:
        self._train, self._test = train, test
        self.names = (
            *("/".join(path.parts[-3:]) for path in train),
            *("/".join(path.parts[-2:]) for path in test),
        )
        self.frames: tuple[Frames, ...] = ("valid", "adaptpose", "all") if test else ()

    @classmethod
    def find(
        cls, folder: Path, train: bool, test: bool, labels: Labels | None = None
    ) -> Original | None:
        annotations = _found(folder, "S[0-9]/Seq[0-9]/annot.mat") if train else []
        tests = _found(folder, "TS[0-9]/annot_data.mat") if test else []
        return cls(annotations, tests) if annotations or tests else None

    def clips(self, labels: Labels | None) -> Iterator[Clip]:
        name = labels or self.labels[0]
        for path in self._train:
            yield from _train_clips(path, name)
        for path in self._test:
            yield _test_clip(path, name)


def _found(folder: Path, pattern: str) -> list[Path]:
    """Files in the folder, or in one folder of it."""
    paths = sorted(folder.glob(pattern)) or sorted(folder.glob(f"*/{pattern}"))
    parents = {path.parents[pattern.count("/")] for path in paths}
    if len(parents) > 1:
        listed = ", ".join(sorted(map(str, parents)))
        raise ValueError(f"{folder}: found the data set more than once, in {listed}; name one")
    return paths


def _train_clips(path: Path, labels: Labels) -> Iterator[Clip]:
    subject, sequence = path.parts[-3], path.parts[-2]
    calibration = path.with_name("camera.calibration")
    if not calibration.is_file():
        raise FileNotFoundError(
            f"{calibration}: no such file; it comes with annot.mat from {ORIGIN} "
            f"(licence: {LICENCE})"
        )
    cameras = read_calibration(calibration)
    found = read_matlab(path, cells=("annot2", labels))
    end, fps = TRAIN_FRAMES.get((subject, sequence), (None, 0.0))
    for number in TRAIN_CAMERAS:
        where = f"{path}: camera {number}"
        if number not in cameras:
            raise ValueError(f"{calibration}: camera {number}: missing; found {sorted(cameras)}")
        pose2d = _cell(found["annot2"], number, 2, f"{where}: annot2")
        pose3d = _cell(found[labels], number, 3, f"{where}: {labels}") / 1000
        same_length(pose2d, pose3d, f"{where}: {labels}")
        yield Clip(
            where=where,
            joints=JOINTS_28,
            pose2d=pose2d,
            pose3d=pose3d,
            camera=cameras[number],
            subject=subject,
            action=sequence,
            split=0,
            fps=fps,
            frame=np.arange(len(pose2d)),
            end=end,
        )


def _cell(cells: list[Array], number: int, dims: int, where: str) -> Array:
    """(F, 28, dims) of a camera's (F, 28 dims)."""
    joints = len(JOINTS_28.joints)
    if len(cells) != NUM_CAMERAS:
        raise ValueError(f"{where}: got {len(cells)} cells, expected {NUM_CAMERAS}")
    cell = cells[number]
    if cell.ndim != 2 or cell.shape[1] != joints * dims:
        raise ValueError(f"{where}: got shape {cell.shape}, expected (frames, {joints * dims})")
    return joint_array(cell.reshape(len(cell), joints, dims), joints, dims, where)


def _test_clip(path: Path, labels: Labels) -> Clip:
    name = path.parent.name
    if name not in TEST_CAMERAS:
        raise ValueError(
            f"{path}: got the folder {name}, expected one of {', '.join(TEST_CAMERAS)}"
        )
    found = read_matlab(path, arrays=("annot2", labels, "valid_frame"))
    pose2d = _frames_first(found["annot2"], 2, f"{path}: annot2")
    pose3d = _frames_first(found[labels], 3, f"{path}: {labels}") / 1000
    valid = found["valid_frame"].ravel() > 0
    same_length(pose2d, pose3d, f"{path}: {labels}")
    same_length(pose2d, valid, f"{path}: valid_frame")
    return Clip(
        where=str(path),
        joints=JOINTS_17,
        pose2d=pose2d,
        pose3d=pose3d,
        camera=TEST_CAMERAS[name],
        subject=name,
        action=name,
        split=1,
        frame=np.arange(len(pose2d)),
        valid=valid,
    )


def _frames_first(array: Array, dims: int, where: str) -> Array:
    """(F, 17, dims) of MATLAB's (dims, 17, people, F), where people is 1 and may be left out."""
    joints = len(JOINTS_17.joints)
    shape = array.shape
    if len(shape) == 4 and shape[2] == 1:
        array = array[:, :, 0]
    if array.shape[:2] != (dims, joints) or array.ndim != 3:
        raise ValueError(f"{where}: got shape {shape}, expected ({dims}, {joints}, 1, frames)")
    return joint_array(np.moveaxis(array, -1, 0).swapaxes(1, 2), joints, dims, where)


def read_calibration(path: Path) -> dict[int, Camera]:
    """The cameras of a ``camera.calibration``, a text of keyword lines per camera.

    ``extrinsic`` takes the world (y up, millimetres, floor at 0) to the camera frame; both
    matrices are 4 x 4, row by row.

    Raises:
        ValueError: if it is no such file, or a camera is incomplete; names the line.
    """
    blocks: dict[int, dict[str, Array]] = {}
    counts = {"size": 2, "intrinsic": 16, "extrinsic": 16}
    current: dict[str, Array] | None = None
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        key, *values = line.split() or [""]
        where = f"{path}: line {number}"
        if key == "name":
            if len(values) != 1 or not values[0].isdecimal() or int(values[0]) in blocks:
                raise ValueError(f"{where}: got {line.strip()!r:.60}, expected a new camera number")
            current = blocks[int(values[0])] = {}
        elif key in counts and current is not None:
            current[key] = _numbers(values, counts[key], f"{where}: {key}")
    if not blocks:
        raise ValueError(f"{path}: got no camera, expected lines such as 'name 0'")
    return {
        number: _camera(number, block, f"{path}: camera {number}")
        for number, block in blocks.items()
    }


def _numbers(values: list[str], count: int, where: str) -> Array:
    try:
        numbers = np.asarray([float(value) for value in values])
    except ValueError:
        numbers = np.full(1, np.nan)
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ValueError(f"{where}: got {' '.join(values)!r:.60}, expected {count} numbers")
    return numbers


def _camera(number: int, block: dict[str, Array], where: str) -> Camera:
    missing = {"size", "intrinsic", "extrinsic"} - set(block)
    if missing:
        raise ValueError(f"{where}: {', '.join(sorted(missing))}: missing")
    matrix = block["intrinsic"].reshape(4, 4)
    world_to_camera = block["extrinsic"].reshape(4, 4)
    rotation, translation = world_to_camera[:3, :3], world_to_camera[:3, 3] / 1000
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
        raise ValueError(f"{where}: extrinsic: got no rotation in its upper left part")
    height = -(rotation.T @ translation)[1]
    tilt = np.degrees(np.arcsin(np.clip(rotation[2, 1], -1, 1)))
    width, image_height = block["size"].astype(int).tolist()
    return Camera(
        number,
        camera_class(float(height), float(tilt)),
        (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]),
        (width, image_height),
    )
