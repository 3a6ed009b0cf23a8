"""A recording as every file of MPI-INF-3DHP gives it, and what makes canonical frames of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from poseda.data.geometry import solve_root
from poseda.data.joint_maps import JointMap
from poseda.data.poseset import MAX_NORMALISED
from poseda.data.prepare.mpi_inf_3dhp.tables import (
    ADAPTPOSE_SKIPS,
    OUTDOOR,
    Camera,
    Frames,
    Labels,
)
from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]

_LEGS = [H36M_17.names.index(name) for name in ("RKnee", "RFoot", "LKnee", "LFoot")]

#: how far `body_scale` may be from 1 for poses that are true to size
UNIVERSAL_SCALE = 0.005
#: likewise behind the distorted lens outdoors, which makes people smaller
OUTDOOR_SCALE = 0.03


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One recording by one camera, of F frames and S joints.

    Attributes:
        where: file and place in it, for messages.
        joints: which joints they are.
        pose2d: (F, S, 2) pixels.
        pose3d: (F, S, 3) metres in the camera frame, or None.
        camera: that films it.
        subject: S1 ... S8 or TS1 ... TS6.
        action: the sequence, Seq1 or Seq2; that of the test set is its subject.
        split: 0 train, 1 test.
        fps: frames per second, 0 if unknown.
        frame: (F,) numbers of the frames.
        valid: (F,) the frames that the test protocol evaluates, or None where the file does not
            tell.
        end: number of frames of the video, after which annotations mean nothing.
    """

    where: str
    joints: JointMap
    pose2d: Array
    pose3d: Array | None
    camera: Camera
    subject: str
    action: str
    split: int
    fps: float = 0.0
    frame: Array
    valid: Array | None = None
    end: int | None = None

    @property
    def own(self) -> Array:
        """The joints of `H36M_17` that the data set has, and that are not made of others."""
        return np.flatnonzero((self.joints.matrix > 0).sum(1) == 1)

    def solved_root(self, pose3d: Array, pose2d: Array) -> Array:
        """(N, 3) where poses (N, 17, 3) fit their 2D joints (N, 17, 2).

        Without knees and feet: those of TS6's univ_annot3 are not those of its annot3.
        """
        used = np.setdiff1d(self.own, _LEGS)
        relative = pose3d[:, used] - pose3d[:, :1]
        return solve_root(relative, pose2d[:, used], np.asarray(self.camera.intrinsics))

    def chosen(self, frames: Frames) -> Array:
        """(F,) whether a frame belongs to the chosen ones; all of a train clip do."""
        if self.split == 0 or frames == "all":
            return np.ones(len(self.frame), dtype=bool)
        if frames == "adaptpose":
            kept: Array = self.frame >= ADAPTPOSE_SKIPS.get(self.subject, 0)
            return kept
        assert self.valid is not None  # a source offers `valid` only if it has them
        return self.valid


class Source(Protocol):
    """Files that lie in the folder.

    Attributes:
        title: what they are, for the user.
        origin: by whose code they are made.
        train_file: name of one for the train set, if there are any.
        test_file: name of one for the test set.
        names: of the files.
        labels: that they hold; the first is taken if the user does not say. None if they have no
            3D poses, or do not tell which.
        frames: of the test set that can be chosen, likewise; none if there are no test files.
    """

    title: ClassVar[str]
    origin: ClassVar[str]
    train_file: ClassVar[str | None]
    test_file: ClassVar[str]
    names: tuple[str, ...]
    labels: tuple[Labels, ...]
    frames: tuple[Frames, ...]

    @classmethod
    def find(cls, folder: Path, train: bool, test: bool, labels: Labels | None) -> Source | None:
        """The files of this kind that lie in the folder, of the chosen parts and labels."""
        ...

    def clips(self, labels: Labels | None) -> Iterator[Clip]:
        """The recordings, with the chosen labels."""
        ...


def body_scale(root: Array, solved: Array) -> float:
    """By what the poses of a clip were scaled about the pelvis.

    ``annot3`` is the true pose: its image are the 2D joints. ``univ_annot3`` is the same with the
    body scaled about the pelvis to one height for all people, so that only the pelvis still fits
    its 2D joint. The whole fits where the pelvis moves along its ray by the same factor.

    Args:
        root: (F, 3) as in the file.
        solved: (F, 3) at which the pose fits its 2D joints best.
    """
    return float(np.nanmedian(solved[:, 2] / root[:, 2]))


def labels_of(clips: Iterable[Clip]) -> Labels | None:
    """Which labels 3D poses are, told by `body_scale`; None if their roots are all at 0."""
    differences: dict[bool, list[float]] = {True: [], False: []}
    for clip in clips:
        if clip.pose3d is None or len(clip.pose3d) == 0:
            continue
        some = slice(None, None, 1 + len(clip.pose3d) // 500)
        pose3d, pose2d = (clip.joints.points(each[some]) for each in (clip.pose3d, clip.pose2d))
        if pose3d[:, 0].any():
            scale = body_scale(pose3d[:, 0], clip.solved_root(pose3d, pose2d))
            differences[clip.camera == OUTDOOR].append(abs(scale - 1))
    # The distorted lens speaks only if nothing else does.
    outdoor = not differences[False]
    if not differences[outdoor]:
        return None
    limit = OUTDOOR_SCALE if outdoor else UNIVERSAL_SCALE
    return "univ_annot3" if max(differences[outdoor]) > limit else "annot3"


def in_pixels(points: Array, image_size: tuple[int, int]) -> Array:
    """2D joints in pixels, whether they were that or screen-normalised by the width."""
    if len(points) == 0 or np.nanmax(np.abs(points)) > MAX_NORMALISED:
        return points
    width, height = image_size
    pixels: Array = (points + np.asarray([1.0, height / width])) * (width / 2)
    return pixels


def joint_array(value: Any, joints: int, dims: int, where: str) -> Array:
    """(F, joints, dims) numbers as float64.

    Raises:
        ValueError: if it is anything else.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        kind = f"dtype {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"{where}: got {kind}, expected an array of numbers")
    if value.ndim != 3 or value.shape[1:] != (joints, dims):
        raise ValueError(f"{where}: got shape {value.shape}, expected (frames, {joints}, {dims})")
    return np.asarray(value, dtype=np.float64)


def same_length(pose2d: Array, other: Array, where: str) -> None:
    """Refuses arrays of another number of frames than the 2D poses."""
    if len(other) != len(pose2d):
        raise ValueError(f"{where}: got {len(other)} frames, expected {len(pose2d)} as in 2D")


def dictionary(value: Any, where: str | Path) -> Mapping[Any, Any]:
    """A dictionary of a file.

    Raises:
        ValueError: if it is anything else.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: got {type(value).__name__}, expected a dictionary")
    return value


def entry(mapping: Any, key: Any, where: str | Path) -> Any:
    """An entry of a dictionary of a file.

    Raises:
        ValueError: if it is not there, or it is no dictionary.
    """
    if key not in dictionary(mapping, where):
        found = ", ".join(map(str, mapping)) or "nothing"
        raise ValueError(f"{where}: {key}: missing; found {found:.200}")
    return mapping[key]


def last_number(name: Any, where: str) -> int:
    """The last number in a name: 2 of ``Seq2``, ``video_2`` and 2."""
    numbers = re.findall(r"\d+", str(name))
    if not numbers:
        raise ValueError(f"{where}: got the name {name!r}, expected one with a number")
    return int(numbers[-1])
