"""What the forms have in common: fields of records, names of joints, frames in file names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.keypoints.detections import Detections
from poseda.keypoints.maps import JOINT_SETS

Array = NDArray[Any]
_MISSING = object()
_NUMBERED = re.compile(r"^(.*?)(\d+)(?:\D*)$", re.DOTALL)


@dataclass(frozen=True)
class Naming:
    """What a video and its file are called.

    Attributes:
        name: of the video.
        where: the file, for messages.
    """

    name: str
    where: str

    def detections(
        self,
        container: str,
        points: Array,
        confidence: Array | None,
        frame: Array,
        *,
        frames: int,
        person: Array | None = None,
        joints: str | Sequence[str] | None = None,
        **known: Any,
    ) -> Detections:
        """Checks shapes and joint names, and puts `Detections` together.

        Args:
            container: the form of the file.
            points: (M, S, 2), or (M, S, 3) with the confidence.
            confidence: (M, S) or None if the points have it; without either it is 1.
            frame: (M,) integers.
            frames: number of frames.
            person: (M,) strings.
            joints: name of the joint set, or the joints' names, if the file says it.
            known: further fields of `Detections`.

        Raises:
            ValueError: if nobody is in it, or shapes or names do not fit.
        """
        if not len(points):
            raise ValueError(
                f"{self.where}: got no people in {frames:,} frames, expected at least one"
            )
        if points.ndim != 3 or points.shape[2] not in (2, 3):
            raise ValueError(
                f"{self.where}: keypoints: got {' x '.join(map(str, points.shape[1:]))} numbers "
                "for a person, expected S x 2 (x, y) or S x 3 (x, y, confidence)"
            )
        if confidence is None:
            confidence = points[..., 2] if points.shape[2] == 3 else np.ones(points.shape[:2])
        if confidence.shape != points.shape[:2]:
            raise ValueError(
                f"{self.where}: confidence: got {' x '.join(map(str, confidence.shape[1:]))} "
                f"numbers for a person of {points.shape[1]} joints, expected one for each"
            )
        if joints is not None and not isinstance(joints, str):
            joints = joint_set_of(joints, self.where)
        return Detections(
            self.name,
            self.where,
            container,
            points[..., :2],
            confidence,
            frame,
            person,
            frames,
            joints=joints,
            **known,
        )


def fields(
    records: Sequence[Any], key: str, where: str, kind: str, default: Any = _MISSING
) -> list[Any]:
    """One field of each record.

    Raises:
        ValueError: if a record is no object or lacks the field; names it.
    """
    try:
        if default is not _MISSING:
            return [record.get(key, default) for record in records]
        return [record[key] for record in records]
    except (KeyError, TypeError, AttributeError, IndexError):
        for place, record in enumerate(records):
            if not isinstance(record, dict):
                raise ValueError(
                    f"{where}: {kind} {place}: got {type(record).__name__}, expected an object"
                ) from None
            if key not in record and default is _MISSING:
                raise ValueError(
                    f"{where}: {kind} {place}: has no {key!r}, expected it as in the others"
                ) from None
        raise


def identities(records: Sequence[Any], key: str, where: str) -> Array | None:
    """(M,) the field that tells people apart, as strings; None where no record has it.

    A list stands for its first entry (AlphaPose), and -1 and null for no identity (OpenPose).

    Raises:
        ValueError: if some records have it and some do not.
    """
    found = [_identity(record.get(key)) for record in records]
    known = sum(value is not None for value in found)
    if known == 0:
        return None
    if known < len(found):
        place = next(number for number, value in enumerate(found) if value is None)
        raise ValueError(
            f"{where}: {key}: got none in {len(found) - known} of {len(found)} records (first: "
            f"record {place}), expected one in each or in none"
        )
    return np.asarray(found, dtype=np.str_)


def _identity(value: Any) -> str | None:
    while isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None or value == -1 else str(value)[:80]


def plain(name: str) -> str:
    """A joint's name without case and separators."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _mmpose_h36m(first: str, second: str) -> list[str]:
    """Human3.6M's joints in MMPose, with the sides that it calls the first and the second leg."""
    legs = [f"{side}{part}" for side in (first, second) for part in ("hip", "knee", "foot")]
    arms = [
        f"{side}{part}" for side in ("left", "right") for part in ("shoulder", "elbow", "wrist")
    ]
    return ["root", *legs, "spine", "thorax", "neckbase", "head", *arms]


#: Other names of the same joints. MMPose before 1.0 had the names of Human3.6M's legs, not their
#: places, the wrong way round.
_OTHER_NAMES = {"h36m_17": (_mmpose_h36m("right", "left"), _mmpose_h36m("left", "right"))}


def joint_set_of(names: Iterable[str], where: str) -> str:
    """The joint set that has these joints in this order.

    Raises:
        ValueError: if there is none.
    """
    names = list(names)
    wanted = [plain(name) for name in names]
    for each in JOINT_SETS.values():
        if wanted in [[plain(joint) for joint in each.joints], *_OTHER_NAMES.get(each.name, ())]:
            return each.name
    some = ", ".join(name[:20] for name in names[:6])
    raise ValueError(
        f"{where}: got {len(names)} joints {some}, ..., which are in the order of none of "
        f"{', '.join(JOINT_SETS)}"
    )


def numbered(name: str) -> tuple[str, int | None]:
    """A file's or image's name as what stands before its last number, and that number."""
    found = _NUMBERED.match(name)
    if found is None or len(found.group(2)) > 15:
        return name, None
    return found.group(1), int(found.group(2))
