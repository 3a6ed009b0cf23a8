"""Biovision's BVH.

Our own parser: the packages on PyPI are unkept for years, or change their interface from month to
month and bring plotting along; the format is two pages long, and a strict reader that names the
line where a file goes wrong is worth more here than an editor of animations.

A joint turns by its channels in the order in which they are listed: ``Zrotation Xrotation
Yrotation`` is Rz Rx Ry, in degrees. Position channels replace the OFFSET, as Blender and Xsens
write and read them. An End Site is a joint called after its parent, with ``_End``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.mocap.clip import Clip, numbers_of, read_text
from poseda.data.mocap.kinematics import place_joints, rotations, world_turns

Array = NDArray[Any]

MAX_FRAME_TIME = 1.0  #: seconds; above, the number is no frame time
_CHUNK = 4096  # frames at a time, so that the matrices of a long recording need little memory


@dataclass
class _Joint:
    name: str
    parent: int
    offset: Array | None = None
    channels: list[str] = field(default_factory=list)
    first_channel: int = 0


def read_bvh(path: Path, subject: str = "", action: str = "") -> Clip:
    """The joints of a BVH file in its own unit, in the order of the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no whole BVH file; names the line.
    """
    text = read_text(path)
    motion = re.search(r"^[ \t]*MOTION[ \t]*$", text, re.MULTILINE)
    if motion is None:
        raise ValueError(f"{path}: has no MOTION section, expected a BVH file")
    joints = _read_hierarchy(text[: motion.start()], path)
    channels = sum(len(joint.channels) for joint in joints)
    numbers, frame_time = _read_motion(text[motion.end() :], channels, path)
    parts = [
        _place(joints, numbers[start : start + _CHUNK]) for start in range(0, len(numbers), _CHUNK)
    ]
    return Clip(
        name=path.stem,
        subject=subject,
        action=action,
        joints=tuple(joint.name for joint in joints),
        positions=np.concatenate(parts),
        fps=1 / frame_time,
    )


def _read_hierarchy(text: str, path: Path) -> list[_Joint]:
    """The joints, parents first."""
    reader = _Hierarchy()
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        for part in re.findall(r"[{}]|[^{}]+", line):
            key, _, rest = part.strip().partition(" ")
            if key:
                reader.read(key, rest.strip(), f"{path}:{number}")
    joints = reader.joints
    if reader.open or reader.announced is not None or not joints:
        raise ValueError(f"{path}: the HIERARCHY section ends within a joint; is it truncated?")
    names = [joint.name for joint in joints]
    twice = (
        [name for name in names if names.count(name) > 1] if len(set(names)) < len(names) else []
    )
    if twice:
        raise ValueError(f"{path}: got joint {twice[0]!r} twice, expected different names")
    return joints


class _Hierarchy:
    """What was read of a HIERARCHY section. Without recursion, so that no depth exhausts it."""

    def __init__(self) -> None:
        self.joints: list[_Joint] = []
        self.open: list[int] = []
        self.announced: str | None = None  # a joint whose { is still to come
        self._begun = False
        self._channels = 0

    def read(self, key: str, rest: str, where: str) -> None:
        """One line, or one brace."""
        if not self._begun:
            self._begun = key == "HIERARCHY" and not rest
            expected = "" if self._begun else "HIERARCHY"
        elif self.announced is not None:
            expected = "" if key == "{" else "{"
            self._open()
        elif not self.open:
            expected = "" if key == "ROOT" and rest and not self.joints else "one ROOT"
            self.announced = rest
        else:
            expected = self._read_within(key, rest, where)
        if expected:
            raise ValueError(f"{where}: got {f'{key} {rest}'.strip()[:40]!r}, expected {expected}")

    def _open(self) -> None:
        self.joints.append(_Joint(self.announced or "", self.open[-1] if self.open else -1))
        self.open.append(len(self.joints) - 1)
        self.announced = None

    def _read_within(self, key: str, rest: str, where: str) -> str:
        """What was expected instead, or nothing."""
        joint = self.joints[self.open[-1]]
        if key == "}":
            if joint.offset is None:
                return f"an OFFSET of {joint.name} before it ends"
            self.open.pop()
        elif key == "JOINT" and rest:
            self.announced = rest
        elif key.lower() == "end" and rest.lower() == "site":
            self.announced = f"{joint.name}_End"
        elif key == "OFFSET":
            joint.offset = numbers_of(rest.split(), where)
            if joint.offset.shape != (3,):
                return "three numbers"
        elif key == "CHANNELS":
            joint.channels = _read_channels(rest, where)
            joint.first_channel = self._channels
            self._channels += len(joint.channels)
        else:
            return "JOINT, End Site, OFFSET, CHANNELS or }"
        return ""


def _read_channels(text: str, where: str) -> list[str]:
    """Lower-case letters x, y, z of positions as ``px`` and so on, of rotations as ``rx``."""
    count, *names = text.split() or [""]
    known = {f"{axis}{kind}": kind[0] + axis for kind in ("position", "rotation") for axis in "xyz"}
    channels = [known.get(name.lower(), "") for name in names]
    if count != str(len(names)) or "" in channels or len(set(channels)) < len(channels):
        raise ValueError(
            f"{where}: got CHANNELS {text[:60]!r}, expected their number and as many different "
            f"ones of {', '.join(known)}"
        )
    return channels


def _read_motion(text: str, channels: int, path: Path) -> tuple[Array, float]:
    """(F, C) numbers and seconds per frame."""
    match = re.match(r"\s*Frames:\s*(\d+)\s+Frame\s+Time:\s*(\S+)", text, re.IGNORECASE)
    if match is None:
        raise ValueError(
            f"{path}: after MOTION got {text.strip()[:40]!r}, expected Frames: and Frame Time:"
        )
    frames, frame_time = int(match[1]), float(numbers_of([match[2]], f"{path}: Frame Time")[0])
    if not 0 < frame_time <= MAX_FRAME_TIME:
        raise ValueError(f"{path}: got Frame Time {frame_time:g}, expected seconds above 0")
    numbers = numbers_of(text[match.end() :].split(), f"{path}: MOTION")
    if frames < 1 or len(numbers) != frames * channels:
        raise ValueError(
            f"{path}: got {len(numbers):,} numbers, expected {frames:,} frames of {channels} "
            "channels; is the file truncated?"
        )
    return numbers.reshape(frames, channels), frame_time


def _place(joints: list[_Joint], numbers: Array) -> Array:
    """(F, J, 3) positions."""
    offsets: list[Array] = []
    turns: list[Array] = []
    for joint in joints:
        own = numbers[:, joint.first_channel : joint.first_channel + len(joint.channels)]
        offset = np.broadcast_to(joint.offset, (len(numbers), 3)).copy()  # type: ignore[arg-type]
        turning = [column for column, name in enumerate(joint.channels) if name[0] == "r"]
        for column, name in enumerate(joint.channels):
            if name[0] == "p":
                offset[:, "xyz".index(name[1])] = own[:, column]
        offsets.append(offset)
        axes = "".join(joint.channels[column][1] for column in turning)
        turns.append(rotations(np.radians(own[:, turning]), axes))
    parents = [joint.parent for joint in joints]
    return place_joints(parents, offsets, world_turns(parents, turns), moving=False)
