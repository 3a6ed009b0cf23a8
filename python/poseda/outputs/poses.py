"""What the writers of this package are given: lifted poses of one or several people, checked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poseda_ext.skeleton import Skeleton

Array = NDArray[Any]

MAX_METRES = 1e5  #: that a coordinate does not exceed; of a wrong unit, or of a lifter gone astray
ASSUMED_FPS = 25.0  #: where the frames per second are not known but a format or a player needs them

#: What JSON and NPZ say of themselves.
ABOUT = {
    "format": "poseda-lifted",
    "version": 1,
    "coordinates": "camera: x right, y down, z forward",
    "units": {
        "pose3d": "metre",
        "root": "metre",
        "pose2d": "pixel",
        "intrinsics": "pixel",
        "image_size": "pixel",
    },
}


class Known(TypedDict, total=False):
    """What may be known of N lifted poses besides themselves; each may be left out, or None.

    Attributes:
        person: (N,) strings, whose pose it is; all of one nameless person if left out.
        clip: (N,) integers, the continuous recording that a pose belongs to; 0 if left out.
        frame: (N,) integers, 0 or more, place in the clip, no two the same for one person there;
            the number of the pose among those of its person and clip if left out.
        fps: frames per second; 0 if unknown.
        root: (N, 3) metres, position of joint 0 in the camera frame.
        pose2d: (N, J, 2) pixels, y down: what was lifted.
        confidence: (N, J) of `pose2d`, 0 (not seen) to 1.
        intrinsics: (N, 4) fx, fy, cx, cy in pixels, of the camera of `root` and `pose2d`.
        image_size: (N, 2) width, height in pixels.
    """

    person: Sequence[str] | Array | None
    clip: ArrayLike | None
    frame: ArrayLike | None
    fps: float
    root: ArrayLike | None
    pose2d: ArrayLike | None
    confidence: ArrayLike | None
    intrinsics: ArrayLike | None
    image_size: ArrayLike | None


@dataclass(frozen=True, eq=False)
class Poses:
    """N poses, made by `checked`, in the order in which they were given.

    Attributes:
        skeleton: J joints.
        pose3d: (N, J, 3) float32 metres in the camera frame (x right, y down, z forward) relative
            to joint 0, which is zero.
        person: (N,) strings.
        clip: (N,) int64.
        frame: (N,) int64.
        fps: 0 if unknown.
        root: (N, 3) float32, or None.
        pose2d: (N, J, 2) float32, or None.
        confidence: (N, J) float32, or None.
        intrinsics: (N, 4) float32, or None.
        image_size: (N, 2) float32, or None.
    """

    skeleton: Skeleton
    pose3d: Array
    person: Array
    clip: Array
    frame: Array
    fps: float
    root: Array | None
    pose2d: Array | None
    confidence: Array | None
    intrinsics: Array | None
    image_size: Array | None

    def __len__(self) -> int:
        return len(self.pose3d)

    @property
    def people(self) -> list[str]:
        """The names, in order of their first row."""
        return list(dict.fromkeys(self.person.tolist()))

    @property
    def points(self) -> Array:
        """(N, J, 3) float64 metres, camera frame: absolute where the root is known."""
        points: Array = self.pose3d.astype(np.float64)
        return points if self.root is None else points + self.root[:, None]

    def by_clip(self) -> Iterator[tuple[int, Poses]]:
        """Each clip, in order of their numbers."""
        for clip in np.unique(self.clip):
            yield int(clip), self._rows(np.flatnonzero(self.clip == clip))

    def by_person(self) -> Iterator[tuple[str, Poses]]:
        """Each person of one clip with their poses in order of frames."""
        order = np.argsort(self.frame, kind="stable")
        for name in self.people:
            yield name, self._rows(order[self.person[order] == name])

    def _rows(self, rows: Array) -> Poses:
        picked: dict[str, Any] = {
            field.name: value[rows]
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), np.ndarray)
        }
        return dataclasses.replace(self, **picked)


def checked(
    pose3d: ArrayLike,
    skeleton: Skeleton,
    *,
    person: Sequence[str] | Array | None = None,
    clip: ArrayLike | None = None,
    frame: ArrayLike | None = None,
    fps: float = 0.0,
    root: ArrayLike | None = None,
    pose2d: ArrayLike | None = None,
    confidence: ArrayLike | None = None,
    intrinsics: ArrayLike | None = None,
    image_size: ArrayLike | None = None,
) -> Poses:
    """Check lifted poses and bring them into one form.

    Args:
        pose3d: (N, J, 3) metres in the camera frame, N at least 1; taken relative to joint 0.
            Arrays and tensors on the CPU will do.
        skeleton: J joints.
        person, clip, frame, fps, root, pose2d, confidence, intrinsics, image_size: see `Known`.

    Raises:
        TypeError: if names are not strings, or clips and frames not integers.
        ValueError: if a shape, a number or a name is not what is said above; names the argument.
    """
    poses = _numbers("pose3d", pose3d, (None, skeleton.num_joints, 3))
    count = len(poses)
    if count == 0:
        raise ValueError("pose3d: got no poses, expected at least one")
    shapes = {"root": (count, 3), "pose2d": (count, skeleton.num_joints, 2)}
    shapes["confidence"] = (count, skeleton.num_joints)
    shapes |= {"intrinsics": (count, 4), "image_size": (count, 2)}
    given = {"root": root, "pose2d": pose2d, "confidence": confidence}
    given |= {"intrinsics": intrinsics, "image_size": image_size}
    others = {
        label: None if value is None else _numbers(label, value, shapes[label])
        for label, value in given.items()
    }
    for label, points in (("pose3d", poses), ("root", others["root"])):
        if points is not None and (far := float(np.abs(points).max())) > MAX_METRES:
            raise ValueError(f"{label}: got {far:.3g}, expected metres, at most {MAX_METRES:g}")
    names = _names(person, count)
    clips = np.zeros(count, dtype=np.int64) if clip is None else _integers("clip", clip, count)
    frames = _counted(clips, names) if frame is None else _integers("frame", frame, count)
    _once(clips, frames, names)
    try:
        rate = float(fps)
    except (TypeError, ValueError):
        raise TypeError(f"fps: got {type(fps).__name__}, expected a number") from None
    if not (math.isfinite(rate) and rate >= 0):
        raise ValueError(f"fps: got {rate}, expected a positive number, or 0 if unknown")
    return Poses(
        skeleton, (poses - poses[:, :1]).astype(np.float32), names, clips, frames, rate, **others
    )


def _numbers(label: str, value: ArrayLike, shape: tuple[int | None, ...]) -> Array:
    """A float array of that shape (float64 before rounding), all finite."""
    expected = "(" + ", ".join("N" if size is None else str(size) for size in shape) + ")"
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{label}: got {array.dtype}, expected numbers")
    if array.ndim != len(shape) or any(
        size not in (None, got) for size, got in zip(shape, array.shape, strict=True)
    ):
        raise ValueError(f"{label}: got shape {array.shape}, expected {expected}")
    bad = int((~np.isfinite(array)).reshape(len(array), -1).any(1).sum()) if len(array) else 0
    if bad:
        raise ValueError(f"{label}: got NaN or infinity in {bad} of {len(array)} poses")
    return array.astype(np.float64 if label == "pose3d" else np.float32)


def _names(person: Sequence[str] | Array | None, count: int) -> Array:
    """(count,) strings that can be written as UTF-8."""
    if person is None:
        return np.full(count, "", dtype="U1")
    names = person.tolist() if isinstance(person, np.ndarray) else person
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypeError(f"person: got {type(person).__name__}, expected strings")
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"person: got {type(name).__name__}, expected strings")
    if len(names) != count:
        raise ValueError(f"person: got {len(names)} names, expected one per pose ({count})")
    # Half surrogate pairs, as in names of files that are not UTF-8, cannot be written.
    return np.asarray([name.encode("utf-8", "replace").decode() for name in names], dtype=np.str_)


def _integers(label: str, value: ArrayLike, count: int) -> Array:
    """(count,) int64, 0 or more."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{label}: got {array.dtype}, expected integers")
    if array.shape != (count,):
        raise ValueError(f"{label}: got shape {array.shape}, expected ({count},)")
    for worst in (array.min(), array.max()):
        if not 0 <= worst < 2**53:  # what JSON's readers take as it is
            raise ValueError(f"{label}: got {worst}, expected 0 to 2^53 - 1")
    return array.astype(np.int64)


def _counted(clips: Array, names: Array) -> Array:
    """(N,) int64: 0, 1, 2, ... for each person in each clip."""
    frames = np.empty(len(names), dtype=np.int64)
    seen: dict[tuple[int, str], int] = {}
    for row, key in enumerate(zip(clips.tolist(), names.tolist(), strict=True)):
        frames[row] = seen[key] = seen.get(key, -1) + 1
    return frames


def _once(clips: Array, frames: Array, names: Array) -> None:
    """Refuses a person who is twice in one frame."""
    order = np.lexsort((frames, clips, names))
    same = names[order][1:] == names[order][:-1]
    for numbers in (clips, frames):
        same &= np.diff(numbers[order]) == 0
    if same.any():
        row = order[int(np.argmax(same))]
        raise ValueError(
            f"frame: got frame {frames[row]} of clip {clips[row]} twice for person "
            f"{str(names[row])!r}, expected each person once in a frame"
        )
