"""Skeletons: joint names, the tree that joins them, and the bone sets that the methods use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import index
from typing import Any

MAX_JOINTS = 64


def _tuple(label: str, value: Any, of: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{label}: got {type(value).__name__}, expected a sequence of {of}")
    return tuple(value)


def _integers(label: str, value: Any) -> tuple[int, ...]:
    numbers = _tuple(label, value, "integers")
    for number in numbers:
        if not hasattr(number, "__index__"):
            raise TypeError(f"{label}: got {type(number).__name__}, expected integers")
    return tuple(index(number) for number in numbers)


@dataclass(frozen=True)
class Skeleton:
    """A tree of joints. Joint 0 is the root, and every parent stands before its children.

    Bone ``b`` ends in joint ``b + 1``: its vector is ``pose[b + 1] - pose[parents[b + 1]]``.

    Attributes:
        names: J joint names.
        parents: J parent indices, -1 for the root.
        left: joints of the left side, paired in order with `right`.
        right: joints of the right side.
        bone_groups: sets of bones that share a length ratio (left and right of one limb).
        kcs_parts: sets of bones seen together by the part-wise KCS (PoseAug's five parts).
        torso: the joint that the torso points to from joint 0 (Thorax), by whose direction
            `augment` aligns a body. None where the tree has none.

    Any sequences will do; they are kept as tuples.

    Raises:
        TypeError: if a name is not a string, or an index not an integer.
        ValueError: if the tree, a joint index or a bone index is not valid, a name stands twice,
            a joint stands twice in `left` and `right`, or `torso` is joint 0.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    left: tuple[int, ...] = ()
    right: tuple[int, ...] = ()
    bone_groups: tuple[tuple[int, ...], ...] = ()
    kcs_parts: tuple[tuple[int, ...], ...] = ()
    torso: int | None = None

    def __post_init__(self) -> None:
        for label in ("parents", "left", "right"):
            object.__setattr__(self, label, _integers(label, getattr(self, label)))
        for label in ("bone_groups", "kcs_parts"):
            sets = _tuple(label, getattr(self, label), "sequences of integers")
            object.__setattr__(self, label, tuple(_integers(label, each) for each in sets))
        names = _tuple("names", self.names, "strings")
        for name in names:
            if not isinstance(name, str):
                raise TypeError(f"names: got {type(name).__name__}, expected strings")
        object.__setattr__(self, "names", names)
        joints = len(self.parents)
        if not 2 <= joints <= MAX_JOINTS:
            raise ValueError(f"parents: got {joints} joints, expected 2 to {MAX_JOINTS}")
        if len(self.names) != joints:
            raise ValueError(f"names: got {len(self.names)}, expected one per joint ({joints})")
        for name in self.names:
            if self.names.count(name) > 1:
                raise ValueError(f"names: got {name!r} twice, expected different names")
        if self.parents[0] != -1:
            raise ValueError(f"parents[0]: got {self.parents[0]}, expected -1 (the root)")
        for joint, parent in enumerate(self.parents[1:], start=1):
            if not 0 <= parent < joint:
                raise ValueError(f"parents[{joint}]: got {parent}, expected 0 to {joint - 1}")
        if len(self.left) != len(self.right):
            raise ValueError(f"left, right: got {len(self.left)} and {len(self.right)} joints")
        for label, indices, count in (
            ("left", self.left, joints),
            ("right", self.right, joints),
            *(("bone_groups", group, joints - 1) for group in self.bone_groups),
            *(("kcs_parts", part, joints - 1) for part in self.kcs_parts),
        ):
            if any(not 0 <= index < count for index in indices):
                raise ValueError(f"{label}: got {indices}, expected indices 0 to {count - 1}")
        sides = (*self.left, *self.right)
        for place, joint in enumerate(sides):
            if joint in sides[:place]:
                raise ValueError(f"left, right: got joint {joint} twice, expected it once")
        if self.torso is not None:
            (torso,) = _integers("torso", (self.torso,))
            if not 1 <= torso < joints:
                raise ValueError(f"torso: got {torso}, expected 1 to {joints - 1}")
            object.__setattr__(self, "torso", torso)

    @property
    def num_joints(self) -> int:
        return len(self.parents)

    @property
    def num_bones(self) -> int:
        return len(self.parents) - 1

    @property
    def mirrored(self) -> tuple[int, ...]:
        """Joint order with left and right exchanged."""
        order = list(range(self.num_joints))
        for left, right in zip(self.left, self.right, strict=True):
            order[left], order[right] = right, left
        return tuple(order)

    def bone(self, joint_name: str) -> int:
        """Index of the bone that ends in the named joint.

        Raises:
            ValueError: if there is no such joint, or if it is the root, in which no bone ends.
        """
        if joint_name not in self.names[1:]:
            raise ValueError(f"joint_name: got {joint_name!r}, expected one of {self.names[1:]}")
        return self.names.index(joint_name) - 1


#: Human3.6M, the 17 joints of VideoPose3D.
H36M_17 = Skeleton(
    names=(
        "Hip", "RHip", "RKnee", "RFoot", "LHip", "LKnee", "LFoot", "Spine", "Thorax",
        "Neck/Nose", "Head", "LShoulder", "LElbow", "LWrist", "RShoulder", "RElbow", "RWrist",
    ),
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
    left=(4, 5, 6, 11, 12, 13),
    right=(1, 2, 3, 14, 15, 16),
    bone_groups=((0, 3), (1, 4), (2, 5), (6,), (7,), (8,), (9,), (10, 13), (11, 14), (12, 15)),
    kcs_parts=(
        (0, 3, 6, 7, 8, 9, 10, 13),
        (0, 3, 4, 5, 6),
        (0, 1, 2, 3, 6),
        (7, 10, 11, 12),
        (7, 13, 14, 15),
    ),
    torso=8,
)  # fmt: skip

#: Human3.6M without Neck/Nose: the 16 joints of PoseAug and PoseDA.
H36M_16 = Skeleton(
    names=tuple(name for name in H36M_17.names if name != "Neck/Nose"),
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 8, 10, 11, 8, 13, 14),
    left=(4, 5, 6, 10, 11, 12),
    right=(1, 2, 3, 13, 14, 15),
    bone_groups=((0, 3), (1, 4), (2, 5), (6,), (7,), (8,), (9, 12), (10, 13), (11, 14)),
    kcs_parts=(
        (0, 3, 6, 7, 8, 9, 12),
        (0, 3, 4, 5, 6),
        (0, 1, 2, 3, 6),
        (7, 9, 10, 11),
        (7, 12, 13, 14),
    ),
    torso=8,
)
