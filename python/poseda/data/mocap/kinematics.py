"""Forward kinematics, over all frames of a recording at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.synthetic.body import about_axis

Array = NDArray[Any]


def rotations(angles: Array, axes: str) -> Array:
    """Rotation matrices of Euler angles.

    Args:
        angles: (F, k) radians.
        axes: k letters x, y, z. The matrices are multiplied in this order, so that the last one
            turns a column vector first.

    Returns:
        (F, 3, 3) matrices; the identity where k is 0.
    """
    product = np.broadcast_to(np.eye(3), (len(angles), 3, 3))
    for column, axis in enumerate(axes):
        product = product @ about_axis("xyz".index(axis), angles[:, column])
    return product


def world_turns(parents: Sequence[int], turns: Sequence[Array]) -> list[Array]:
    """How each joint of a tree turns against the world.

    Args:
        parents: the parent of each of J joints, -1 for the root; ``parents[j] < j``.
        turns: J times (F, 3, 3), how each turns against its parent.

    Returns:
        J times (F, 3, 3).
    """
    world: list[Array] = []
    for parent, turn in zip(parents, turns, strict=True):
        world.append(world[parent] @ turn if parent >= 0 else turn)
    return world


def place_joints(
    parents: Sequence[int], offsets: Sequence[Array], world: Sequence[Array], moving: bool
) -> Array:
    """Positions of the joints of a tree.

    Args:
        parents: as in `world_turns`.
        offsets: J times (3,) or (F, 3), from the parent to the joint; of the root, from the origin.
        world: J times (F, 3, 3), from `world_turns`.
        moving: whether a joint's own turn also turns its offset (a bone that ends in the joint, as
            in ASF), or the turns above it alone (a joint that carries the bones below, as in BVH).

    Returns:
        (F, J, 3) positions.
    """
    frames = len(world[0])
    places = np.zeros((frames, len(parents), 3))
    for joint, parent in enumerate(parents):
        if parent < 0:
            places[:, joint] = offsets[joint]
            continue
        carrier = world[joint if moving else parent]
        bone = np.broadcast_to(offsets[joint], (frames, 3))
        places[:, joint] = places[:, parent] + np.einsum("fij,fj->fi", carrier, bone)
    return places
