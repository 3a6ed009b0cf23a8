"""Acclaim's ASF (a skeleton) and AMC (its motion), as the CMU motion capture database has them.

Our own parser: the one package on PyPI is unkept, reads the skeleton without its kinematics, and
keeps frames as dictionaries of Python numbers.

A bone has a direction, a length and a frame of its own (``axis``, angles about fixed axes in the
order of the letters). It turns by the angles of the AMC file within that frame, about the same axes
in the same order, and carries the bones below. The points of a recording are the ends of the bones,
each called after its bone, and ``root``. Lengths are in units of 1 / ``length`` inch (CMU: 0.45).
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

INCH = 0.0254  #: metres
_CHUNK = 4096


@dataclass
class _Bone:
    name: str
    offset: Array  # (3,), direction times length
    frame: Array  # (3, 3), of the angles' axes
    axes: str  # order in which the angles turn
    turning: list[int] = field(default_factory=list)  # axis of each number in the AMC file


@dataclass
class Skeleton:
    """An ASF file: the root's channels, and the bones with parents first."""

    parents: list[int]
    bones: list[_Bone]
    root_order: list[str]
    radians: bool
    unit: float | None


def read_amc(amc: Path, asf: Path, subject: str = "", action: str = "") -> Clip:
    """The bone ends of a recording, in the files' own unit; the files say no frame rate.

    Args:
        amc: the motion.
        asf: the skeleton.
        subject: person.
        action: what the person does.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if one is not what it should be, or they do not belong together.
    """
    skeleton = read_asf(asf)
    frames = _read_frames(amc, skeleton)
    count = len(frames["root"])
    parts = []
    for start in range(0, count, _CHUNK):
        chunk = {name: numbers[start : start + _CHUNK] for name, numbers in frames.items()}
        parts.append(_place(skeleton, chunk))
    return Clip(
        name=amc.stem,
        subject=subject,
        action=action,
        joints=tuple(bone.name for bone in skeleton.bones),
        positions=np.concatenate(parts),
        fps=None,
        unit=skeleton.unit,
    )


def read_asf(path: Path) -> Skeleton:
    """A skeleton.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no whole ASF file.
    """
    sections: dict[str, list[tuple[int, list[str]]]] = {}
    current: list[tuple[int, list[str]]] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if words[0].startswith(":"):
            current = sections.setdefault(words[0][1:].lower(), [])
        else:
            current.append((number, words))
    missing = [name for name in ("units", "root", "bonedata", "hierarchy") if name not in sections]
    if missing:
        raise ValueError(f"{path}: has no section :{missing[0]}, expected an ASF file")

    units = {words[0].lower(): words[1:] for _, words in sections["units"]}
    (length,) = numbers_of(units.get("length") or ["1"], f"{path}: length")[:1]
    angle = " ".join(units.get("angle", ["deg"])).lower()
    if angle not in ("deg", "degree", "degrees", "rad", "radian", "radians"):
        raise ValueError(f"{path}: :units: got angle {angle!r}, expected deg or rad")
    radians = angle.startswith("rad")
    root, order = _read_root(sections["root"], radians, path)
    bones = {"root": root}
    for block in _blocks(sections["bonedata"], path):
        bone = _read_bone(block, radians, path)
        if bone.name in bones:
            raise ValueError(f"{path}: got bone {bone.name!r} twice")
        bones[bone.name] = bone
    names, parents = _read_tree(sections["hierarchy"], set(bones), path)
    return Skeleton(
        parents=parents,
        bones=[bones[name] for name in names],
        root_order=order,
        radians=radians,
        # 1 is what exporters write that know no unit
        unit=INCH / float(length) if 0 < length < 1 else None,
    )


def _read_root(
    lines: list[tuple[int, list[str]]], radians: bool, path: Path
) -> tuple[_Bone, list[str]]:
    fields = {words[0].lower(): (number, words[1:]) for number, words in lines}
    missing = [key for key in ("order", "axis", "position", "orientation") if key not in fields]
    if missing:
        raise ValueError(f"{path}: :root: has no {missing[0]}")
    number, words = fields["order"]
    order = [word.lower() for word in words]
    if sorted(order) != ["rx", "ry", "rz", "tx", "ty", "tz"]:
        raise ValueError(
            f"{path}:{number}: got order {' '.join(words)[:60]!r}, expected TX TY TZ "
            "RX RY RZ in some order"
        )
    axes = _axes("".join(fields["axis"][1]), f"{path}:{fields['axis'][0]}")
    orientation = _three(fields["orientation"], path)
    position = _three(fields["position"], path)
    turning = ["xyz".index(name[1]) for name in order if name[0] == "r"]
    return _Bone("root", position, _frame(orientation, axes, radians), axes, turning), order


def _three(line: tuple[int, list[str]], path: Path) -> Array:
    numbers = numbers_of(line[1], f"{path}:{line[0]}")
    if numbers.shape != (3,):
        raise ValueError(f"{path}:{line[0]}: got {len(numbers)} numbers, expected three")
    return numbers


def _axes(text: str, where: str) -> str:
    axes = text.lower()
    if sorted(axes) != ["x", "y", "z"]:
        raise ValueError(f"{where}: got axis {text[:20]!r}, expected XYZ in some order")
    return axes


def _frame(angles: Array, axes: str, radians: bool) -> Array:
    """(3, 3): turns about fixed axes, the first letter first."""
    angles = angles if radians else np.radians(angles)
    by_axis = dict(zip("xyz", angles, strict=True))
    ordered = np.asarray([[by_axis[axis] for axis in axes[::-1]]])
    frame: Array = rotations(ordered, axes[::-1])[0]
    return frame


def _blocks(lines: list[tuple[int, list[str]]], path: Path) -> list[list[tuple[int, list[str]]]]:
    """The lines between each ``begin`` and ``end``."""
    blocks: list[list[tuple[int, list[str]]]] = []
    inside = False
    for number, words in lines:
        key = words[0].lower()
        if key == "begin" if inside else key != "begin":
            raise ValueError(f"{path}:{number}: got {words[0][:40]!r}, expected begin ... end")
        if key == "begin":
            blocks.append([])
            inside = True
        elif key == "end":
            inside = False
        else:
            blocks[-1].append((number, words))
    if inside or not blocks:
        raise ValueError(f"{path}: a begin has no end; is the file truncated?")
    return blocks


def _read_bone(lines: list[tuple[int, list[str]]], radians: bool, path: Path) -> _Bone:
    fields = {words[0].lower(): (number, words[1:]) for number, words in lines}
    missing = [key for key in ("name", "direction", "length", "axis") if key not in fields]
    if missing:
        raise ValueError(f"{path}:{lines[0][0] if lines else 0}: a bone has no {missing[0]}")
    name = " ".join(fields["name"][1])
    direction = _three(fields["direction"], path)
    number, words = fields["length"]
    length = numbers_of(words, f"{path}:{number}")
    straight = length.shape == (1,) and (
        length[0] == 0 or (length[0] > 0 and abs(np.linalg.norm(direction) - 1) < 0.01)
    )
    if not straight:
        raise ValueError(
            f"{path}:{number}: bone {name!r}: got direction {direction} and length "
            f"{length}, expected a unit vector and a length"
        )
    number, words = fields["axis"]
    angles = _three((number, words[:3]), path)
    axes = _axes("".join(words[3:]), f"{path}:{number}")
    number, words = fields.get("dof", (0, []))
    turning = ["xyz".find(word.lower()[1:]) for word in words]
    if any(not re.fullmatch("[rR][xyzXYZ]", word) for word in words) or len(set(turning)) < len(
        turning
    ):
        raise ValueError(
            f"{path}:{number}: got dof {' '.join(words)[:40]!r}, expected rotations rx, ry, rz"
        )
    return _Bone(name, direction * length, _frame(angles, axes, radians), axes, turning)


def _read_tree(
    lines: list[tuple[int, list[str]]], known: set[str], path: Path
) -> tuple[list[str], list[int]]:
    """Names, parents first, and the number of each one's parent."""
    names, parents = ["root"], [-1]
    for block in _blocks(lines, path):
        for number, words in block:
            parent, *children = words
            if parent not in names:
                raise ValueError(f"{path}:{number}: got {parent!r}, expected a bone named above")
            for child in children:
                if child in names or child not in known:
                    what = "a second parent for" if child in names else "an unknown bone"
                    raise ValueError(f"{path}:{number}: got {what} {child!r}")
                names.append(child)
                parents.append(names.index(parent))
    return names, parents


def _read_frames(path: Path, skeleton: Skeleton) -> dict[str, Array]:
    """(F, n) numbers of the root and of each bone that turns."""
    radians = skeleton.radians
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        text = line.strip()
        if text.lower() in (":degrees", ":radians"):
            radians = text.lower() == ":radians"
        if text and text[0] not in "#:":
            lines.append((number, text))
    starts = [row for row, (_, text) in enumerate(lines) if text.isdigit()]
    if not starts or starts[0] != 0:
        raise ValueError(f"{path}: has no frames, expected an AMC file")
    size = (starts[1] if len(starts) > 1 else len(lines)) - starts[0]
    for row, start in enumerate(starts):
        end = starts[row + 1] if row + 1 < len(starts) else len(lines)
        if end - start != size:
            raise ValueError(
                f"{path}:{lines[start][0]}: got a frame of {end - start - 1} lines, expected "
                f"{size - 1} as in the first; is the file truncated?"
            )

    widths = {bone.name: len(bone.turning) for bone in skeleton.bones if bone.turning}
    widths["root"] = 6
    frames: dict[str, Array] = {}
    for slot in range(1, size):
        column = lines[slot::size]
        name = column[0][1].split()[0]
        if name not in widths or name in frames:
            raise ValueError(
                f"{path}:{column[0][0]}: got {name[:40]!r}, expected each bone of the skeleton "
                f"that turns once: {', '.join(widths)}"
            )
        frames[name] = _read_column(column, name, widths[name], path)
        if not radians:
            turning = [
                c for c in range(widths[name]) if name != "root" or skeleton.root_order[c][0] == "r"
            ]
            frames[name][:, turning] = np.radians(frames[name][:, turning])
    if missing := set(widths) - set(frames):
        raise ValueError(f"{path}: has no {', '.join(sorted(missing))}; is it of another skeleton?")
    return frames


def _read_column(column: list[tuple[int, str]], name: str, width: int, path: Path) -> Array:
    """(F, width) numbers that follow one name, frame by frame."""
    words = " ".join(text for _, text in column).split()
    whole = len(words) == len(column) * (width + 1)
    if not whole or words[:: width + 1] != [name] * len(column):
        for number, text in column:
            found, *rest = text.split()
            if found != name or len(rest) != width:
                raise ValueError(
                    f"{path}:{number}: got {text[:60]!r}, expected {name} and {width} numbers"
                )
    del words[:: width + 1]
    return numbers_of(words, f"{path}: {name}").reshape(len(column), width)


def _place(skeleton: Skeleton, frames: dict[str, Array]) -> Array:
    """(F, J, 3) ends of the bones."""
    count = len(frames["root"])
    moves = np.zeros((count, 3))
    offsets: list[Array] = []
    turns: list[Array] = []
    for bone in skeleton.bones:
        angles = np.zeros((count, 3))
        if bone.name == "root":
            for column, name in enumerate(skeleton.root_order):
                target = moves if name[0] == "t" else angles
                target[:, "xyz".index(name[1])] = frames["root"][:, column]
            offsets.append(bone.offset + moves)
        else:
            if bone.turning:
                angles[:, bone.turning] = frames[bone.name]
            offsets.append(bone.offset)
        ordered = angles[:, ["xyz".index(axis) for axis in bone.axes[::-1]]]
        turns.append(bone.frame @ rotations(ordered, bone.axes[::-1]) @ bone.frame.T)
    world = world_turns(skeleton.parents, turns)
    return place_joints(skeleton.parents, offsets, world, moving=True)
