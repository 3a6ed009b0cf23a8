"""Whether a mapped pose is a human: joints in the right places, left on the left."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]

_PARENTS = np.asarray(H36M_17.parents[1:])
_SIDES = [(left - 1, right - 1) for left, right in zip(H36M_17.left, H36M_17.right, strict=True)]

#: metres, median length of the bone that ends in the joint; from a small child to a giant
BONE_LENGTHS = {
    "Hip": (0.03, 0.25),
    "Knee": (0.20, 0.65),
    "Foot": (0.20, 0.65),
    "Spine": (0.05, 0.45),
    "Thorax": (0.05, 0.50),
    "Neck/Nose": (0.02, 0.30),
    "Head": (0.02, 0.35),
    "Shoulder": (0.05, 0.35),
    "Elbow": (0.12, 0.50),
    "Wrist": (0.10, 0.45),
}
MAX_SIDE_RATIO = 1.3  #: between the median lengths of a left and a right bone
MIN_BEND = 0.02  #: mean knee bend, as a fraction of the leg, from which it tells front from back


def check_anatomy(pose3d: Array, where: str) -> None:
    """Refuses poses whose joints are not those of `H36M_17`, or not in metres.

    Looked at over all frames together: the lengths of bones, their symmetry, whether the shoulders
    lie as the hips do, whether the head is far from the feet, and, as knees bend forward alone,
    whether left is left.

    Args:
        pose3d: (N, 17, 3) metres in a right-handed frame.
        where: what messages call the poses.

    Raises:
        ValueError: says what is wrong.
    """
    complaint = _wrong_lengths(pose3d) or _wrong_places(pose3d)
    if complaint:
        raise ValueError(
            f"{where}: got {complaint}; expected the data set's unit, joint order and axes"
        )


def check_pose2d(pose2d: Array, where: str, *, upright: bool = True) -> None:
    """Refuses 2D poses that are not upright on the whole, or whose arms and legs do not agree on
    which side is left.

    Args:
        pose2d: (N, 17, 2), any unit, y down.
        where: what messages call the poses.
        upright: whether the camera's horizon is level, so that heads are above feet.

    Raises:
        ValueError: says what is wrong.
    """
    down = (_joint(pose2d, "LFoot") + _joint(pose2d, "RFoot")) / 2 - _joint(pose2d, "Head")
    across, along = down.mean(axis=0) if len(pose2d) else (0.0, 1.0)
    if upright and along <= abs(across):
        raise ValueError(
            f"{where}: got heads that are not above the feet on the whole; expected x to the "
            "right, y down, and the joint order of the data set"
        )
    if sides_disagree(pose2d):
        raise ValueError(
            f"{where}: got shoulders that lie the other way round than the hips; expected the "
            "joint order of the data set"
        )


def sides_disagree(pose: Array) -> bool:
    """Whether the shoulders of poses (N, 17, 2 or 3) lie the other way round than their hips, on
    the whole."""
    shoulders = _joint(pose, "LShoulder") - _joint(pose, "RShoulder")
    hips = _joint(pose, "LHip") - _joint(pose, "RHip")
    return float((shoulders * hips).sum()) < 0


def _joint(pose: Array, name: str) -> Array:
    joint: Array = pose[:, H36M_17.names.index(name)]
    return joint


def _wrong_lengths(pose: Array) -> str | None:
    lengths = np.median(np.linalg.norm(pose[:, 1:] - pose[:, _PARENTS], axis=-1), axis=0)
    for name, length in zip(H36M_17.names[1:], lengths, strict=True):
        low, high = BONE_LENGTHS.get(name) or BONE_LENGTHS[name[1:]]
        if not low <= length <= high:
            return f"a median of {length:.3g} m to {name}, where people have {low} to {high}"
    for left, right in _SIDES:
        ratio = lengths[left] / lengths[right]
        if not 1 / MAX_SIDE_RATIO <= ratio <= MAX_SIDE_RATIO:
            names = H36M_17.names[1:]
            return (
                f"a median of {lengths[left]:.3g} m to {names[left]} "
                f"and {lengths[right]:.3g} m to {names[right]}"
            )
    return None


def _wrong_places(pose: Array) -> str | None:
    ankles = (_joint(pose, "LFoot") + _joint(pose, "RFoot")) / 2
    to_head = np.linalg.norm(_joint(pose, "Head") - ankles, axis=-1)
    to_hip = np.linalg.norm(_joint(pose, "Hip") - ankles, axis=-1)
    if np.mean(to_head > to_hip) < 0.5:
        return "heads nearer to the feet than the hips"
    if sides_disagree(pose):
        return "shoulders that lie the other way round than the hips"
    if _handedness(pose) < 0:
        return "knees that bend backwards, as if left and right or an axis were swapped"
    return None


def _handedness(pose: Array) -> float:
    """Positive if the left hip is left of a body whose knees bend forward, negative if it is right
    of it, 0 if the legs are too straight to tell."""
    left = _joint(pose, "LHip") - _joint(pose, "RHip")
    sign, bend = 0.0, 0.0
    for side in "LR":
        hip, knee, foot = (_joint(pose, side + name) for name in ("Hip", "Knee", "Foot"))
        forward = knee - (hip + foot) / 2
        # Right-handed: up x forward is left, with up along the leg.
        sign += float((np.cross(hip - foot, forward) * left).sum())
        bend += float(
            np.mean(np.linalg.norm(forward, axis=-1) / np.linalg.norm(hip - foot, axis=-1))
        )
    return sign if bend > 2 * MIN_BEND else 0.0
