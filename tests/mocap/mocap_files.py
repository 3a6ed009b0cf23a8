"""Small motion capture files for the tests, bit by bit as their formats have it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.mocap.world import UNITS
from poseda.data.prepare.anatomy import check_anatomy
from poseda.data.synthetic import forward_kinematics, perform, sample_body
from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]

AT = {name: joint for joint, name in enumerate(H36M_17.names)}
CMU = UNITS["cmu"]


def walk(frames: int = 60, fps: float = 30.0, action: str = "walk", seed: int = 0) -> Array:
    """(F, 17, 3) metres, z up."""
    rng = np.random.default_rng(seed)
    body = sample_body(rng)
    motion = perform(action, rng, frames, fps)
    poses: Array = forward_kinematics(motion, body.stature, body.bone_lengths)
    return poses


def y_up(poses: Array) -> Array:
    """From z up to y up."""
    return np.stack((poses[..., 0], poses[..., 2], -poses[..., 1]), axis=-1)


def lengths(poses: Array) -> Array:
    bones = poses[:, 1:] - poses[:, list(H36M_17.parents[1:])]
    found: Array = np.linalg.norm(bones, axis=-1)
    return found


def check_person(poses: Array) -> None:
    """(F, 17, 3) metres, z up, of a person on foot: left is left, bones are human, the head up."""
    check_anatomy(poses, "mapped")
    height = [
        poses[:, AT[name], 2].mean() for name in ("Head", "Neck/Nose", "Thorax", "Spine", "Hip")
    ]
    assert (np.diff(height) < -0.03).all(), height
    for side, other in (("L", "R"), ("R", "L")):
        for joint in ("Hip", "Knee", "Foot", "Shoulder", "Elbow", "Wrist"):
            own, across = poses[:, AT[side + joint]], poses[:, AT[other + joint]]
            hips = poses[:, AT[f"{side}Hip"]] - poses[:, AT[f"{other}Hip"]]
            assert (((own - across) * hips).sum(-1) > 0).mean() > 0.9, (side, joint)
    assert (lengths(poses) > 0.03).all()


# A standing person, y up, facing z, left at x, in CMU units (1 / 0.45 inch), as CMU's files have
# it: bone, parent, direction times length from the end of the parent's bone.
ACCLAIM_BONES: tuple[tuple[str, str, tuple[float, float, float]], ...] = (
    ("lhipjoint", "root", (1.7, -1.75, 0.6)),
    ("lfemur", "lhipjoint", (2.5, -6.9, 0.1)),
    ("ltibia", "lfemur", (2.5, -6.9, -0.1)),
    ("lfoot", "ltibia", (0.1, -0.4, 2.0)),
    ("rhipjoint", "root", (-1.7, -1.75, 0.6)),
    ("rfemur", "rhipjoint", (-2.5, -6.9, 0.1)),
    ("rtibia", "rfemur", (-2.5, -6.9, -0.1)),
    ("rfoot", "rtibia", (-0.1, -0.4, 2.0)),
    ("lowerback", "root", (0.0, 2.05, -0.1)),
    ("upperback", "lowerback", (0.0, 2.05, 0.0)),
    ("thorax", "upperback", (0.0, 2.05, 0.0)),
    ("lowerneck", "thorax", (0.0, 1.7, 0.2)),
    ("upperneck", "lowerneck", (0.0, 1.7, -0.1)),
    ("head", "upperneck", (0.0, 1.7, 0.0)),
    ("lclavicle", "thorax", (3.4, 1.0, 0.0)),
    ("lhumerus", "lclavicle", (5.0, 0.0, 0.0)),
    ("lradius", "lhumerus", (3.4, 0.0, 0.0)),
    ("lwrist", "lradius", (1.7, 0.0, 0.0)),
    ("rclavicle", "thorax", (-3.4, 1.0, 0.0)),
    ("rhumerus", "rclavicle", (-5.0, 0.0, 0.0)),
    ("rradius", "rhumerus", (-3.4, 0.0, 0.0)),
    ("rwrist", "rradius", (-1.7, 0.0, 0.0)),
)
#: rotations that each bone has, and its own frame's angles in degrees
ACCLAIM_DOF = {
    "lfemur": "rx ry rz", "ltibia": "rx", "rfemur": "rx ry rz", "rtibia": "rx",
    "lowerback": "rx ry rz", "thorax": "rx ry rz", "head": "rx ry rz", "lclavicle": "ry rz",
    "lhumerus": "rx ry rz", "lradius": "rx", "lwrist": "ry", "rhumerus": "rx ry rz",
    "rradius": "rx",
}  # fmt: skip
ACCLAIM_AXES = {
    "lfemur": (0.0, 0.0, 20.0), "ltibia": (0.0, 0.0, 20.0), "rfemur": (0.0, 0.0, -20.0),
    "rtibia": (0.0, 0.0, -20.0), "lhumerus": (180.0, 30.0, 90.0), "lradius": (90.0, -30.0, 45.0),
    "lclavicle": (10.0, 20.0, 30.0), "lwrist": (-9e-15, -90.0, -90.0),
}  # fmt: skip


def turn(axis: str, degrees: float) -> Array:
    """4 x 4, written out."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rows = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }[axis]
    matrix = np.eye(4)
    matrix[:3, :3] = rows
    return matrix


def shift(offset: Sequence[float] | Array) -> Array:
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    return matrix


def asf_text(length: float = 0.45) -> str:
    lines = [
        "# AST/ASF file generated for tests",
        ":version 1.10", ":name VICON", ":units", "  mass 1.0", f"  length {length}", "  angle deg",
        ":documentation", "   made up", ":root", "   order TX TY TZ RX RY RZ", "   axis XYZ",
        "   position 0 0 0", "   orientation 0 0 0", ":bonedata",
    ]  # fmt: skip
    for number, (name, _, offset) in enumerate(ACCLAIM_BONES, 1):
        size = float(np.linalg.norm(offset))
        axis = ACCLAIM_AXES.get(name, (0.0, 0.0, 0.0))
        lines += ["  begin", f"     id {number}", f"     name {name}",
                  "     direction " + " ".join(f"{value / size:.12g}" for value in offset),
                  f"     length {size:.12g}",
                  "     axis " + " ".join(f"{value:g}" for value in axis) + "  XYZ"]  # fmt: skip
        if name in ACCLAIM_DOF:
            rotations = ACCLAIM_DOF[name].split()
            lines += [f"    dof {' '.join(rotations)}", "    limits (-160.0 20.0)"]
            lines += ["           (-70.0 70.0)"] * (len(rotations) - 1)
        lines.append("  end")
    lines += [":hierarchy", "  begin"]
    for parent in ["root", *(name for name, _, _ in ACCLAIM_BONES)]:
        if children := [name for name, above, _ in ACCLAIM_BONES if above == parent]:
            lines.append(f"    {parent} {' '.join(children)}")
    return "\n".join([*lines, "  end", ""])


def amc_text(frames: Sequence[dict[str, Sequence[float]]]) -> str:
    lines = ["#!OML:ASF F:\\VICON\\USERDATA", ":FULLY-SPECIFIED", ":DEGREES"]
    for number, frame in enumerate(frames, 1):
        lines.append(str(number))
        lines += [
            f"{name} {' '.join(f'{v:.12g}' for v in values)}" for name, values in frame.items()
        ]
    return "\n".join([*lines, ""])


def random_acclaim(rng: np.random.Generator, spread: float) -> dict[str, Sequence[float]]:
    """One frame: the root a metre above the ground, and angles of up to `spread` degrees."""
    frame: dict[str, Sequence[float]] = {
        "root": (
            *rng.uniform(-5, 5, 1),
            17.7,
            *rng.uniform(-5, 5, 1),
            *rng.uniform(-spread, spread, 3),
        )
    }
    for name, rotations in ACCLAIM_DOF.items():
        frame[name] = tuple(rng.uniform(-spread, spread, len(rotations.split())))
    return frame


def acclaim_ends(frame: dict[str, Sequence[float]]) -> dict[str, Array]:
    """Where the bones end, by 4 x 4 matrices, bone by bone."""

    def angles(name: str) -> Array:
        rotations = ACCLAIM_DOF.get(name, "").split()
        by_axis = dict(zip(rotations, frame.get(name, ()), strict=True))
        return (turn("z", by_axis.get("rz", 0)) @ turn("y", by_axis.get("ry", 0))
                @ turn("x", by_axis.get("rx", 0)))  # fmt: skip

    x, y, z, rx, ry, rz = frame["root"]
    pose = {"root": shift((x, y, z)) @ turn("z", rz) @ turn("y", ry) @ turn("x", rx)}
    for name, parent, offset in ACCLAIM_BONES:
        ax, ay, az = ACCLAIM_AXES.get(name, (0.0, 0.0, 0.0))
        own = turn("z", az) @ turn("y", ay) @ turn("x", ax)
        pose[name] = pose[parent] @ own @ angles(name) @ np.linalg.inv(own) @ shift(offset)
    return {name: matrix[:3, 3] for name, matrix in pose.items()}


def bvh_text(
    names: Sequence[str],
    parents: Sequence[int],
    offsets: Array,
    channels: Sequence[str],
    motion: Array,
    fps: float,
    ends: dict[str, Sequence[float]],
) -> str:
    """A BVH file.

    Args:
        names: J joints, depth first.
        parents: the parent of each, -1 for the root.
        offsets: (J, 3).
        channels: J times the names of the channels.
        motion: (F, C) numbers.
        fps: frames per second.
        ends: joint to the OFFSET of its End Site.
    """
    lines = ["HIERARCHY"]

    def add(joint: int, depth: int) -> None:
        pad = "\t" * depth
        lines.append(f"{pad}{'JOINT' if depth else 'ROOT'} {names[joint]}")
        lines.append(f"{pad}{{")
        lines.append(f"{pad}\tOFFSET " + " ".join(f"{value:.9g}" for value in offsets[joint]))
        own = channels[joint].split()
        lines.append(f"{pad}\tCHANNELS {len(own)} {' '.join(own)} ")
        for child, parent in enumerate(parents):
            if parent == joint:
                add(child, depth + 1)
        if names[joint] in ends:
            text = " ".join(f"{value:g}" for value in ends[names[joint]])
            lines.extend(
                [f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET {text}", f"{pad}\t}}"]
            )
        lines.append(f"{pad}}}")

    add(0, 0)
    lines += ["MOTION", f"Frames: {len(motion)}", f"Frame Time: {1 / fps:.9f}"]
    lines += [" ".join(f"{value:.9g}" for value in row) for row in motion]
    return "\r\n".join([*lines, ""])


def c3d_bytes(
    labels: Sequence[str],
    points: Array,
    fps: float,
    unit: str = "mm",
    scale: float = -0.1,
    seen: Array | None = None,
) -> bytes:
    """A C3D file of an Intel processor.

    Args:
        labels: S names.
        points: (F, S, 3) in `unit`.
        fps: frames per second.
        unit: POINT:UNITS.
        scale: negative for coordinates as floats, positive for 16-bit integers times the scale.
        seen: (F, S), False for a marker that was not seen; None for all.
    """
    frames, count, _ = points.shape
    seen = np.ones((frames, count), bool) if seen is None else seen

    def group(number: int, name: str) -> bytes:
        return struct.pack("<bb", len(name), -number) + name.encode() + struct.pack("<hb", 3, 0)

    def parameter(number: int, name: str, kind: int, shape: Sequence[int], data: bytes) -> bytes:
        body = struct.pack("<bB", kind, len(shape)) + bytes(shape) + data + b"\0"
        head = struct.pack("<bb", len(name), number) + name.encode()
        return head + struct.pack("<h", 2 + len(body)) + body

    width = max(len(label) for label in labels)
    texts = "".join(label.ljust(width) for label in labels).encode()
    parameters = (
        group(1, "POINT")
        + parameter(1, "USED", 2, (), struct.pack("<H", count))
        + parameter(1, "FRAMES", 2, (), struct.pack("<H", frames))
        + parameter(1, "SCALE", 4, (), struct.pack("<f", scale))
        + parameter(1, "RATE", 4, (), struct.pack("<f", fps))
        + parameter(1, "DATA_START", 2, (), struct.pack("<H", 0))
        + parameter(1, "UNITS", -1, (len(unit),), unit.encode())
        + parameter(1, "LABELS", -1, (width, count), texts)
        + group(2, "ANALOG")
        + parameter(2, "USED", 2, (), struct.pack("<H", 0))
    )
    blocks = -(-(4 + len(parameters) + 2) // 512)
    start = 2 + blocks
    at = parameters.index(b"DATA_START") + len(b"DATA_START") + 4
    parameters = parameters[:at] + struct.pack("<H", start) + parameters[at + 2 :]
    section = (struct.pack("<BBBB", 1, 0x50, blocks, 84) + parameters).ljust(512 * blocks, b"\0")
    header = struct.pack(
        "<BBHHHHHfHHf", 2, 0x50, count, 0, 1, frames, 10, scale, start, 0, fps
    ).ljust(512, b"\0")
    residual = np.where(seen, 0, -1)
    if scale < 0:
        data = np.concatenate([points, residual[..., None]], -1).astype("<f4").tobytes()
    else:
        data = (
            np.concatenate([points / scale, residual[..., None]], -1)
            .round()
            .astype("<i2")
            .tobytes()
        )
    return header + section + data.ljust(-(-len(data) // 512) * 512, b"\0")


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def joints_file(path: Path, **changes: Any) -> Path:
    poses = walk(50).astype(np.float32)
    arrays: dict[str, Any] = {
        "joints": poses, "clip_start": np.asarray([0, 20]), "clip_len": np.asarray([20, 30]),
        "names": np.asarray(["a_1", "a_2"]), "subjects": np.asarray(["ann", "bob"]),
        "actions": np.asarray(["walk", "run"]), "fps": np.asarray([30.0, 60.0], np.float32),
    }  # fmt: skip
    arrays |= changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path
