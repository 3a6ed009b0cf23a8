"""`PoseSet`, the one form in which the package holds data, and the canonical file behind it.

The canonical file is one ``.npz`` without pickles. N is the number of frames; the 17 joints are
those of `H36M_17`, in its order.

=============== ============ ======== ==========================================================
array           shape        kind     content
=============== ============ ======== ==========================================================
``pose2d``      (N, 17, 2)   number   pixels, origin in the upper left corner, y down
``intrinsics``  (N, 4)       number   fx, fy, cx, cy in pixels
``image_size``  (N, 2)       number   width, height in pixels
``pose3d``      (N, 17, 3)   number   optional: camera frame (x right, y down, z forward),
                                      absolute, metres
``camera``      (N,)         integer  optional: camera number; 0 if absent
``camera_class``(N,)         string   optional: kind of view; the camera number if absent
``subject``     (N,)         string   optional: person
``action``      (N,)         string   optional
``clip``        (N,)         integer  optional: number of the continuous recording; 0 if absent
``frame``       (N,)         integer  optional: frame in the clip; 0 ... N-1 if absent
``split``       (N,)         integer  optional: 0 train, 1 test; 0 if absent
``fps``         (N,)         number   optional: frames per second of the clip; 0 if unknown
``confidence``  (N, 17)      number   optional: 0 (not seen) to 1; 1 if absent. `pose2d` holds
                                      finite numbers also where a joint was not seen
``about``       ()           string   optional: JSON object, what the file holds and where it is
                                      from: ``dataset``, ``labels``, ``protocol``, ``licence``, ...
=============== ============ ======== ==========================================================

Other arrays are kept by `save_pose_set` and left alone by `load_pose_set`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poseda.data.checks import (
    COLUMNS,
    INTEGERS,
    MAX_FOCAL_SIDES,
    MAX_NORMALISED,
    MIN_CONFIDENCE,
    MIN_FOCAL,
    MIN_IMAGE_SIDE,
    STRINGS,
    Checks,
    Shaped,
    check_arrays,
    check_layout,
    chunks,
    parse_about,
)
from poseda.data.npz import NpzReader
from poseda.data.tracks import Tracks, make_tracks
from poseda.files import atomic_write
from poseda_ext.camera import normalize_intrinsics, normalize_points
from poseda_ext.skeleton import H36M_16, H36M_17, Skeleton

Array = NDArray[Any]

__all__ = [
    "MAX_FOCAL_SIDES",
    "MAX_NORMALISED",
    "MIN_CONFIDENCE",
    "MIN_FOCAL",
    "MIN_IMAGE_SIDE",
    "PoseSet",
    "check_arrays",
    "load_pose_set",
    "pose_set_from_arrays",
    "save_pose_set",
]


@dataclass(frozen=True, eq=False)
class PoseSet:
    """N frames of one dataset, on one device.

    Attributes:
        name: shown in messages and reports.
        skeleton: J joints.
        pose2d: (N, J, 2) float32, screen-normalised (`poseda_ext.camera`).
        intrinsics: (N, 4) float32 fx, fy, cx, cy, screen-normalised.
        image_size: (N, 2) float32 width, height in pixels.
        pose3d: (N, J, 3) float32 metres, absolute in the camera frame, or None.
        camera: (N,) int64 camera number.
        camera_class: (N,) strings, the kind of view (`chest`, `ceiling`, ...).
        subject: (N,) strings.
        action: (N,) strings.
        clip: (N,) int64, the continuous recording that a frame belongs to.
        frame: (N,) int64, its place in the clip.
        split: (N,) uint8, 0 train and 1 test.
        fps: (N,) float32 frames per second of the clip, 0 where unknown.
        seen: (N, J) which joints of `pose2d` were seen, or None where all were.
        about: what the file says of itself.
    """

    name: str
    skeleton: Skeleton
    pose2d: Tensor
    intrinsics: Tensor
    image_size: Tensor
    pose3d: Tensor | None
    camera: Tensor
    camera_class: Array
    subject: Array
    action: Array
    clip: Array
    frame: Array
    split: Tensor
    fps: Tensor
    seen: Tensor | None
    about: Mapping[str, Any]

    def __len__(self) -> int:
        return int(self.pose2d.shape[0])

    def rows(self, index: Tensor | Array | Sequence[int] | slice) -> PoseSet:
        """The frames that a mask, a list of row numbers or a slice selects, in that order; those of
        a slice without a step share their memory with this set."""
        here: Any
        there: Any
        if isinstance(index, slice) and index.step in (None, 1):
            here = there = index
        else:
            if isinstance(index, Tensor):
                index = index.detach().cpu().numpy()
            if not isinstance(index, slice):
                index = np.asarray(index, dtype=None if len(index) else np.int64)
            here = np.arange(len(self))[index]
            there = torch.from_numpy(here).to(self.pose2d.device)
        picked: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                picked[field.name] = value[there]
            elif isinstance(value, np.ndarray):
                picked[field.name] = value[here]
        return dataclasses.replace(self, **picked)

    @cached_property
    def tracks(self) -> Tracks:
        """Which frames follow each other: those of one clip, camera and subject."""
        keys = self.clip, self.camera.cpu().numpy(), self.subject
        return make_tracks(keys, self.frame, self.pose2d.device)

    def windows(self, frames: int, stride: int = 1) -> Tensor:
        """(N, T) the rows around each row in its track, whose ends are repeated; see `Tracks`.

        Args:
            frames: T, odd.
            stride: steps from one frame of a window to the next.

        Raises:
            ValueError: if `frames` is not odd, or one of the two is below 1.
        """
        if frames < 1 or frames % 2 == 0:
            raise ValueError(f"frames: got {frames}, expected an odd number, at least 1")
        if stride < 1:
            raise ValueError(f"stride: got {stride}, expected at least 1")
        rows = torch.arange(len(self), device=self.pose2d.device)
        return self.tracks.windows(rows, frames, stride)

    @property
    def train(self) -> PoseSet:
        """The frames of the train split."""
        return self._part(0, "train")

    @property
    def test(self) -> PoseSet:
        """The frames of the test split."""
        return self._part(1, "test")

    def _part(self, value: int, label: str) -> PoseSet:
        mask = self.split == value
        if not bool(mask.any()):
            raise ValueError(
                f"{self.name}: the {label} split is empty "
                f"(none of {len(self)} frames has split == {value})"
            )
        first, count = int(mask.byte().argmax()), int(mask.sum())
        if bool(mask[first : first + count].all()):  # as most files have it; nothing is copied
            return self.rows(slice(first, first + count))
        return self.rows(mask)

    def to(self, device: torch.device | str) -> PoseSet:
        """The same frames with all tensors on `device`."""
        moved: dict[str, Any] = {
            field.name: value.to(device)
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return dataclasses.replace(self, **moved)


def load_pose_set(
    path: str | os.PathLike[str],
    *,
    skeleton: Skeleton = H36M_16,
    camera_classes: Mapping[str, Sequence[int]] | None = None,
    need_pose3d: bool = False,
    min_confidence: float = MIN_CONFIDENCE,
) -> PoseSet:
    """Read and check a canonical file.

    Args:
        path: the ``.npz`` file, described at the head of this module.
        skeleton: `H36M_16` drops Neck/Nose, `H36M_17` keeps all; joints are chosen by name.
        camera_classes: name of a class to its camera numbers; replaces the file's own
            `camera_class` and must cover every camera of the file.
        need_pose3d: refuse a file without 3D poses.
        min_confidence: a joint of lower confidence counts as not seen.

    Returns:
        The frames, on the CPU; `name` is the file's name without its ending.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not what the canonical format asks for; names the file, the
            array, what was found and what was expected.
    """
    path = Path(path)
    file = NpzReader(
        path, {*COLUMNS, "about"}, "a canonical .npz pose file (poseda prepare makes one)"
    )
    try:
        names = [name for name in COLUMNS if name in file.columns]
        count = check_layout(file.columns, str(path), need_pose3d=need_pose3d)
        about = parse_about(file.whole("about"), str(path)) if "about" in file.columns else {}
        assembly = _Assembly(file.columns, count, skeleton, min_confidence)
        checks = Checks(str(path))
        for rows in chunks(count):
            columns = file.next_rows(names, rows.stop - rows.start)
            if checks.add(columns):
                assembly.add(rows, columns)
    finally:
        file.close()
    checks.finish()
    return assembly.pose_set(path.stem, about, camera_classes, str(path))


def pose_set_from_arrays(
    arrays: Mapping[str, Array],
    *,
    name: str,
    skeleton: Skeleton = H36M_16,
    camera_classes: Mapping[str, Sequence[int]] | None = None,
    need_pose3d: bool = False,
    min_confidence: float = MIN_CONFIDENCE,
    where: str | None = None,
) -> PoseSet:
    """Check the arrays of a canonical file and make a `PoseSet` of them.

    Args:
        arrays: as in the file, described at the head of this module.
        name: name of the set.
        skeleton: as in `load_pose_set`.
        camera_classes: as in `load_pose_set`.
        need_pose3d: as in `load_pose_set`.
        min_confidence: as in `load_pose_set`.
        where: what messages call the source of the arrays; `name` if None.

    Raises:
        ValueError: as `load_pose_set`.
    """
    where = name if where is None else where
    check_arrays(arrays, where, need_pose3d=need_pose3d)
    count = len(arrays["pose2d"])
    about = parse_about(arrays["about"], where) if "about" in arrays else {}
    assembly = _Assembly(arrays, count, skeleton, min_confidence)
    names = [name for name in COLUMNS if name in arrays]
    for rows in chunks(count):
        assembly.add(rows, {name: arrays[name][rows] for name in names})
    return assembly.pose_set(name, about, camera_classes, where)


def save_pose_set(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> None:
    """Check arrays and write them as a canonical file, as a whole or not at all.

    Args:
        path: the ``.npz`` file to write or replace.
        arrays: as described at the head of this module; further arrays are kept.

    Raises:
        ValueError: if the arrays are not what the canonical format asks for.
        OSError: if the file cannot be written; nothing is left behind.
    """
    arrays = {key: np.asarray(value) for key, value in arrays.items()}
    check_arrays(arrays, str(path))
    for key, value in arrays.items():
        if value.dtype.kind == "O":
            raise ValueError(f"{path}: {key}: got Python objects, expected numbers or strings")
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


class _Assembly:
    """The columns of a `PoseSet`, filled some rows at a time."""

    def __init__(
        self, columns: Mapping[str, Shaped], count: int, skeleton: Skeleton, min_confidence: float
    ) -> None:
        unknown = [joint for joint in skeleton.names if joint not in H36M_17.names]
        if unknown:
            raise ValueError(f"skeleton: got joints {unknown}, expected those of H36M_17")
        self._skeleton = skeleton
        self._joints = [H36M_17.names.index(joint) for joint in skeleton.names]
        self._min_confidence = min_confidence
        shape = (count, skeleton.num_joints)
        self._columns: dict[str, Array] = {
            "pose2d": np.empty((*shape, 2), np.float32),
            "intrinsics": np.empty((count, 4), np.float32),
            "image_size": np.empty((count, 2), np.float32),
            "fps": np.zeros(count, np.float32),
            "split": np.zeros(count, np.uint8),
            "camera": np.zeros(count, np.int64),
            "clip": np.zeros(count, np.int64),
            "frame": np.arange(count),
        }
        if "pose3d" in columns:
            self._columns["pose3d"] = np.empty((*shape, 3), np.float32)
        if "confidence" in columns:
            self._columns["seen"] = np.empty(shape, np.bool_)
        for name in STRINGS:
            dtype = _text_type(columns[name].dtype) if name in columns else "U1"
            self._columns[name] = np.zeros(count, dtype)
        self._has_classes = "camera_class" in columns

    def add(self, rows: slice, columns: Mapping[str, Array]) -> None:
        """Takes some rows of every column, of the layout that `check_layout` asks for."""
        size = _float_tensor(columns["image_size"])
        pose2d = _float_tensor(columns["pose2d"].take(self._joints, axis=1))
        intrinsics = _float_tensor(columns["intrinsics"])
        kept = {name: columns[name] for name in (*INTEGERS, *STRINGS, "fps") if name in columns}
        kept["image_size"] = columns["image_size"]
        kept["pose2d"] = normalize_points(pose2d, size).numpy()
        kept["intrinsics"] = normalize_intrinsics(intrinsics, size).numpy()
        if "pose3d" in columns:
            kept["pose3d"] = columns["pose3d"].take(self._joints, axis=1)
        if "confidence" in columns:
            kept["seen"] = columns["confidence"][:, self._joints] >= self._min_confidence
        for name, values in kept.items():
            self._columns[name][rows] = values

    def pose_set(
        self,
        name: str,
        about: Mapping[str, Any],
        camera_classes: Mapping[str, Sequence[int]] | None,
        where: str,
    ) -> PoseSet:
        """All rows, once they are added."""
        columns = self._columns
        camera = columns["camera"]
        if camera_classes is None and not self._has_classes:
            camera_classes = {str(number): [int(number)] for number in np.unique(camera)}
        if camera_classes is not None:
            columns["camera_class"] = _classes_of(camera, camera_classes, where)
        if "seen" in columns and columns["seen"].all():
            del columns["seen"]

        def tensor(key: str) -> Tensor:
            return torch.from_numpy(columns[key])

        return PoseSet(
            name=name,
            skeleton=self._skeleton,
            pose2d=tensor("pose2d"),
            intrinsics=tensor("intrinsics"),
            image_size=tensor("image_size"),
            pose3d=tensor("pose3d") if "pose3d" in columns else None,
            camera=tensor("camera"),
            camera_class=columns["camera_class"],
            subject=columns["subject"],
            action=columns["action"],
            clip=columns["clip"],
            frame=columns["frame"],
            split=tensor("split"),
            fps=tensor("fps"),
            seen=tensor("seen") if "seen" in columns else None,
            about=about,
        )


def _text_type(dtype: np.dtype[Any]) -> str:
    """The type of texts that are as long as those of `dtype`, bytes or texts."""
    characters = dtype.itemsize // 4 if dtype.kind == "U" else dtype.itemsize
    return f"U{max(1, characters)}"


def _float_tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32, order="C"))


def _classes_of(
    camera: NDArray[np.int64], classes: Mapping[str, Sequence[int]], where: str
) -> Array:
    """(N,) class name of every frame."""
    name_of: dict[int, str] = {}
    for name, members in classes.items():
        for member in members:
            if member in name_of:
                raise ValueError(
                    f"camera_classes: got camera {member} in {name_of[member]!r} and {name!r}, "
                    "expected it once"
                )
            name_of[int(member)] = name
    present, place = np.unique(camera, return_inverse=True)
    missing = [int(number) for number in present if int(number) not in name_of]
    if missing:
        raise ValueError(
            f"{where}: camera: got cameras {missing} that camera_classes does not name "
            f"(it has {sorted(name_of)})"
        )
    return np.asarray([name_of[int(number)] for number in present])[place]
