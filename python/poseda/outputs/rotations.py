"""Rotations of a skeleton's joints from the positions of its joints.

Positions do not say how a bone turns about itself, so rules decide:

- A joint that carries one bone turns it from its rest direction to its direction now, seen from
  the joint above, by the smallest angle: no twist of its own. That rule alone has a jump where a
  bone points against its rest direction. So that the motion is continuous over time, from one frame
  to the next the twist changes by `TWIST_STEP` at most, and moves back to none from there.
- A joint that carries several bones (Hip, Thorax) takes the rotation that fits all of them best
  (Kabsch), with a weak preference for none where bones in line leave a twist open.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.geometry import rotation_matrices

Array = NDArray[Any]

TWIST_STEP = math.radians(15)  #: from one frame to the next
_TURN = 2 * math.pi
_PREFER_NONE = 1e-3  # of the bones' squared lengths
_AGAINST = 1e-12  # length of the sum of two directions, below which they are against each other
_LOCKED = 1e-8  # cosine of the angle x, below which z and y turn about the same axis


def best_fit(rest: Array, now: Array) -> Array:
    """The rotations that bring several vectors closest to others (Kabsch, 1976).

    Args:
        rest: (C, 3) vectors.
        now: (F, C, 3) what they have become.

    Returns:
        (F, 3, 3) matrices R of the least sum of squares of ``R rest - now``.
    """
    covariance = np.einsum("fci,cj->fij", now, rest)
    covariance += _PREFER_NONE * max(float((rest**2).sum()), 1e-12) * np.eye(3)
    left, _, right = np.linalg.svd(covariance)
    left[..., 2] *= np.linalg.det(left @ right)[:, None]
    rotation: Array = left @ right
    return rotation


def swing(rest: Array, now: Array) -> Array:
    """The rotations by the smallest angle from directions to others.

    Args:
        rest: (..., 3) unit vectors.
        now: (..., 3) unit vectors.

    Returns:
        (..., 3, 3). Against each other, half a turn about some axis across.
    """
    rest, now = np.broadcast_arrays(rest, now)
    middle = rest + now
    length = np.linalg.norm(middle, axis=-1, keepdims=True)
    against = length < _AGAINST
    middle = np.where(against, _across(rest), middle / np.where(against, 1.0, length))
    # Half a turn about the one, which keeps it, then half a turn about the middle of both.
    rotation: Array = _half_turn(middle) @ _half_turn(rest)
    return rotation


def _half_turn(axis: Array) -> Array:
    turn: Array = 2 * axis[..., :, None] * axis[..., None, :] - np.eye(3)
    return turn


def steady_swing(rest: Array, now: Array) -> Array:
    """As `swing`, over time, without jumps of the twist.

    Args:
        rest: (3,) unit vector.
        now: (F, 3) unit vectors, frame after frame.

    Returns:
        (F, 3, 3), each of which turns `rest` to `now`.
    """
    smallest = swing(rest, now)
    carried = swing(now[:-1], now[1:]) @ smallest[:-1]
    side = _across(rest)
    turned = np.einsum("fji,fjk,k->fi", carried, smallest[1:], side)
    # By how much `smallest` twists from one frame to the next.
    steps = np.arctan2(np.cross(side, turned) @ rest, turned @ side)
    twists = np.zeros(len(now))
    if (np.abs(steps) > TWIST_STEP).any():
        for frame, step in enumerate(steps.tolist(), start=1):
            kept = math.remainder(twists[frame - 1] - step, _TURN)
            twists[frame] = kept - min(max(kept, -TWIST_STEP), TWIST_STEP)
    rotation: Array = smallest @ rotation_matrices(twists[:, None] * rest)
    return rotation


def euler_zxy(rotation: Array) -> Array:
    """Angles z, x, y of ``R = Rz Rx Ry``, without jumps over time.

    Args:
        rotation: (F, ..., 3, 3), frame after frame.

    Returns:
        (F, ..., 3) radians. Of the two triples that give a rotation, and of all turns of 2 pi,
        each frame has the one that is nearest to the frame before.
    """
    cosine = np.hypot(rotation[..., 0, 1], rotation[..., 1, 1])
    sine = rotation[..., 2, 1]
    locked = cosine < _LOCKED
    both = np.arctan2(rotation[..., 1, 0], rotation[..., 0, 0])  # z + y or z - y, where locked
    z = np.where(locked, both, np.arctan2(-rotation[..., 0, 1], rotation[..., 1, 1]))
    y = np.where(locked, 0.0, np.arctan2(-rotation[..., 2, 0], rotation[..., 2, 2]))
    one = np.stack((z, np.arctan2(sine, cosine), y), axis=-1)
    angles = np.empty_like(one)
    last = np.zeros(one.shape[1:])
    for frame, first in enumerate(one):
        kept = np.where(locked[frame], last[..., 2], 0.0)
        first = first + np.stack((-np.sign(sine[frame]) * kept, 0 * kept, kept), axis=-1)
        second = first * [1, -1, 1] + np.pi
        near, far = (each + _TURN * np.round((last - each) / _TURN) for each in (first, second))
        better = np.abs(far - last).sum(-1) < np.abs(near - last).sum(-1) - 1e-9
        last = np.where(better[..., None], far, near)
        angles[frame] = last
    return angles


def _across(vector: Array) -> Array:
    """(..., 3) a unit vector at right angles to each, the same for the same."""
    least = np.eye(3)[np.abs(vector).argmin(-1)]
    cross = np.cross(vector, least)
    unit: Array = cross / np.linalg.norm(cross, axis=-1, keepdims=True)
    return unit
