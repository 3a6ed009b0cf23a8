"""Unit, up axis and plausibility of poses, told from the body itself."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]
Up = Literal["auto", "x", "y", "z", "-x", "-y", "-z"]

#: metres per unit; ``cmu`` is the unit of the CMU database's Acclaim files
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254, "cmu": 0.0254 / 0.45}
#: metres from the ankle over knee, hip and thorax to the head; about 1.5 for an adult. The ratio of
#: its ends is below that of any two units.
BODY_LENGTH = (0.95, 2.05)
#: metres, of limbs and trunk, from a child to a giant
_BONES = {
    ("Hip", "Knee"): (0.2, 0.65), ("Knee", "Foot"): (0.2, 0.65),
    ("Thorax", "Shoulder"): (0.06, 0.35), ("Shoulder", "Elbow"): (0.12, 0.48),
    ("Elbow", "Wrist"): (0.1, 0.45),
}  # fmt: skip
_MAX_ASYMMETRY = 1.3
_MIN_AGREEMENT = 0.5  # of the frames, in the up axis
#: what x, y and z of a world with z up are in a world in which the key points up
_TURNS = {
    "x": ("y", "z", "x"), "y": ("x", "-z", "y"), "z": ("x", "y", "z"),
    "-x": ("-y", "z", "-x"), "-y": ("x", "z", "-y"), "-z": ("x", "-y", "-z"),
}  # fmt: skip

_AT = {name: joint for joint, name in enumerate(H36M_17.names)}


def _distance(poses: Array, first: str, second: str) -> float:
    """Median over the frames."""
    gap = poses[:, _AT[first]] - poses[:, _AT[second]]
    return float(np.nanmedian(np.linalg.norm(gap, axis=-1)))


def body_length(poses: Array) -> float:
    """From the ankle to the head along the bones, in the unit of the poses (F, 17, 3)."""
    legs = sum(
        _distance(poses, f"{side}Hip", f"{side}Knee")
        + _distance(poses, f"{side}Knee", f"{side}Foot")
        for side in "LR"
    )
    trunk = _distance(poses, "Hip", "Spine") + _distance(poses, "Spine", "Thorax")
    return legs / 2 + trunk + _distance(poses, "Thorax", "Head")


def find_unit(poses: Array, where: str) -> tuple[str, float]:
    """The unit in which poses (F, 17, 3) are of human size, and metres per unit.

    Raises:
        ValueError: if there is none.
    """
    length = body_length(poses)
    for name, unit in UNITS.items():
        if BODY_LENGTH[0] <= length * unit <= BODY_LENGTH[1]:
            return name, unit
    raise ValueError(
        f"{where}: got a person of {length:.4g} units from ankle to head, which is human in none "
        f"of {', '.join(UNITS)}; expected --unit with one of them or with metres per unit"
    )


def find_up(poses: Array, where: str) -> tuple[str, float]:
    """The axis along which heads are above feet, and in which part of the frames they are.

    Args:
        poses: (F, 17, 3), of several recordings, so that one of a lying person does not decide.
        where: what messages call them.

    Raises:
        ValueError: if no axis is up in at least half of the frames.
    """
    feet = (poses[:, _AT["LFoot"]] + poses[:, _AT["RFoot"]]) / 2
    body = poses[:, _AT["Head"]] - feet
    body = body[np.isfinite(body).all(axis=-1)]
    longest = np.abs(body).argmax(axis=-1)
    sign = np.sign(np.take_along_axis(body, longest[:, None], 1))[:, 0]
    votes = {
        name: float(
            ((longest == "xyz".index(name[-1])) & (sign == 1 - 2 * (name[0] == "-"))).mean()
        )
        for name in _TURNS
        if len(body)
    }
    best = max(votes, key=lambda name: votes[name], default="z")
    if not votes.get(best, 0.0) > _MIN_AGREEMENT:
        raise ValueError(
            f"{where}: heads are above feet along {best} in only {votes.get(best, 0.0):.0%} of the "
            "frames; expected --up with the axis that points up"
        )
    return best, votes[best]


def to_z_up(points: Array, up: str) -> Array:
    """Points (..., 3) of a world in which `up` points up, turned so that z does.

    Raises:
        ValueError: if `up` is no axis.
    """
    if up not in _TURNS:
        raise ValueError(f"up: got {up!r}, expected one of {', '.join(_TURNS)}")
    turn = np.zeros((3, 3))
    for row, name in enumerate(_TURNS[up]):
        turn[row, "xyz".index(name[-1])] = -1 if name[0] == "-" else 1
    turned: Array = points @ turn.T
    return turned


def knees_forward(poses: Array) -> float:
    """How far the knees bend forward: 1 if always, -1 if always backward, as they seem to where
    left and right are exchanged or the space is mirrored.

    Args:
        poses: (F, 17, 3), in any right-handed frame.
    """
    left = poses[:, _AT["LHip"]] - poses[:, _AT["RHip"]]
    forward = np.cross(left, poses[:, _AT["Thorax"]] - poses[:, _AT["Hip"]])
    forward /= np.linalg.norm(forward, axis=-1, keepdims=True)
    ahead = size = 0.0
    for side in "LR":
        hip, knee, foot = (poses[:, _AT[side + name]] for name in ("Hip", "Knee", "Foot"))
        leg = foot - hip
        along = ((knee - hip) * leg).sum(-1) / (leg * leg).sum(-1)
        bend = knee - hip - along[:, None] * leg
        ahead += float(np.nansum((bend * forward).sum(-1)))
        size += float(np.nansum(np.linalg.norm(bend, axis=-1)))
    return ahead / size if size > 0 else 0.0


def check_body(poses: Array, where: str) -> None:
    """Refuses what is no person in metres.

    Args:
        poses: (F, 17, 3) metres.
        where: what the message calls them.

    Raises:
        ValueError: if a bone is too short or too long, or differs between the sides.
    """
    for (first, second), (low, high) in _BONES.items():
        inner = first if first == "Thorax" else "{}" + first
        lengths = [_distance(poses, inner.format(side), side + second) for side in "LR"]
        if not (min(lengths) >= low and max(lengths) <= high
                and max(lengths) <= _MAX_ASYMMETRY * min(lengths)):  # fmt: skip
            raise ValueError(
                f"{where}: got {lengths[0]:.3g} m left and {lengths[1]:.3g} m right from {first} "
                f"to {second}, expected {low} to {high} m and both alike; is it --unit or --joints?"
            )
    total = body_length(poses)
    if not BODY_LENGTH[0] <= total <= BODY_LENGTH[1]:
        raise ValueError(
            f"{where}: got {total:.3g} m from ankle to head, expected {BODY_LENGTH[0]} to "
            f"{BODY_LENGTH[1]} m; is it --unit or --joints?"
        )


def check_sides(poses: Array, where: str) -> None:
    """Refuses poses (F, 17, 3) whose knees bend backward."""
    if (score := knees_forward(poses)) < -0.3:
        raise ValueError(
            f"{where}: the knees bend backward (score {score:.2f}), as if left and right were "
            "exchanged or the space mirrored; expected another --up or --joints"
        )
