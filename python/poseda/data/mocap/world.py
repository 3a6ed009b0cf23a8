"""Unit and up axis of a recording, told from the body itself."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from poseda.body import chain_lengths
from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]
Up = Literal["auto", "x", "y", "z", "-x", "-y", "-z"]

#: metres per unit; ``cmu`` is the unit of the CMU database's Acclaim files
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254, "cmu": 0.0254 / 0.45}
#: metres from the ankle over knee, hip and thorax to the head; about 1.5 for an adult. The ratio of
#: its ends is below that of any two units.
BODY_LENGTH = (0.95, 2.05)
_MIN_AGREEMENT = 0.5  # of the frames, in the up axis
#: what x, y and z of a world with z up are in a world in which the key points up
_TURNS = {
    "x": ("y", "z", "x"), "y": ("x", "-z", "y"), "z": ("x", "y", "z"),
    "-x": ("-y", "z", "-x"), "-y": ("x", "z", "-y"), "-z": ("x", "-y", "-z"),
}  # fmt: skip

_AT = {name: joint for joint, name in enumerate(H36M_17.names)}


def body_length(poses: Array) -> float:
    """From the ankle to the head along the bones, in the unit of the poses (F, 17, 3); of each bone
    the median over the frames."""
    lengths = chain_lengths(torch.from_numpy(np.ascontiguousarray(poses)), H36M_17)
    return float(np.median(lengths.numpy(), axis=0).sum())


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
    longest = np.abs(body).argmax(axis=-1)
    sign = np.sign(np.take_along_axis(body, longest[:, None], 1))[:, 0]
    votes = {
        name: float(
            ((longest == "xyz".index(name[-1])) & (sign == 1 - 2 * (name[0] == "-"))).mean()
        )
        for name in _TURNS
    }
    best = max(votes, key=lambda name: votes[name])
    if not votes[best] > _MIN_AGREEMENT:
        raise ValueError(
            f"{where}: heads are above feet along {best} in only {votes[best]:.0%} of the "
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
