"""Lifted poses as a Biovision BVH file, for animation programs; one person in one clip a file.

- Lengths are centimetres, angles degrees. y is up, x to the right of the image and z towards the
  camera: the camera frame turned by half a turn about x. If the camera looks down, so does y lean.
- The root has six channels, Xposition Yposition Zposition Zrotation Xrotation Yrotation, the other
  joints the three rotations: R = Rz Rx Ry. Angles go on beyond 180 degrees where a joint turns on,
  so that frames can be interpolated.
- Offsets are the person's median bone lengths. Bones of Human3.6M's names rest in a T-pose that
  looks along z; of other skeletons, in the pose of the person's first frame.
- What positions do not say, the twist of bones, follows the rules of `poseda.outputs.rotations`.
- Under a joint with several children (Hip, Thorax) each child hangs on a joint of no length, called
  ``HipToSpine``, ``ThoraxToLShoulder`` and so on, as in the BVH files of the CMU database. Its
  rotation takes up what moves the children against each other, so that with bones of constant
  length all positions come out again, to the digits written.
- A joint at an end (Head, LFoot) has rotations of zero and an End Site of no length.
- Frames are evenly spaced: frames in which the person is missing are interpolated.
- Without `root` the root joint stays at the origin.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poseda.files import atomic_write
from poseda.outputs.poses import ASSUMED_FPS, Known, Poses, checked
from poseda.outputs.rotations import best_fit, euler_zxy, steady_swing
from poseda_ext.skeleton import Skeleton

Array = NDArray[Any]

MAX_FILLED = 10  #: frames in a file for each that is given
_UP = np.array([0.0, 1.0, 0.0])
_FROM_CAMERA = np.array([1.0, -1.0, -1.0])
_ZERO_LENGTH = 1e-6  # metres
_T_POSE = {
    **dict.fromkeys(("Spine", "Thorax", "Neck/Nose", "Head"), _UP),
    **dict.fromkeys(("RKnee", "RFoot", "LKnee", "LFoot"), -_UP),
    **dict.fromkeys(("LHip", "LShoulder", "LElbow", "LWrist"), np.array([1.0, 0.0, 0.0])),
    **dict.fromkeys(("RHip", "RShoulder", "RElbow", "RWrist"), np.array([-1.0, 0.0, 0.0])),
}


def write_bvh(
    path: str | os.PathLike[str],
    pose3d: ArrayLike,
    skeleton: Skeleton,
    **known: Unpack[Known],
) -> list[Path]:
    """Write a file for each person in each clip, each as a whole or not at all.

    Args:
        path: ends in ``.bvh``; its folder must exist. Of several people each has a file of their
            own, ``walk.anna.bvh`` for a path ``walk.bvh``, and who is in several clips one for
            each, ``walk.anna.3.bvh``.
        pose3d: (N, J, 3) metres in the camera frame, relative to joint 0.
        skeleton: J joints.
        known: `person`, `clip`, `frame`, `fps` (25 if unknown), `root`; and others, which BVH has
            no place for. See `poseda.outputs.poses.Known`.

    Returns:
        The files, in order of the clips and of the people's first rows.

    Raises:
        TypeError, ValueError: as `poseda.outputs.poses.checked`, or if the path does not end in
            ``.bvh``, or if a person is missing in more than nine of ten frames; before anything is
            written.
        OSError: if a file cannot be written.
    """
    if Path(path).suffix != ".bvh":
        raise ValueError(f"path: got {os.fspath(path)!r}, expected a name that ends in .bvh")
    poses = checked(pose3d, skeleton, **known)
    takes = [
        (clip, name, *_evenly(mine, name))
        for clip, together in poses.by_clip()
        for name, mine in together.by_person()
    ]
    paths = _paths(Path(path), [(clip, name) for clip, name, *_ in takes])
    for target, (*_, points, every) in zip(paths, takes, strict=True):
        nodes = _hierarchy(points, skeleton)
        numbers = _motion(points, nodes)
        with atomic_write(target) as temporary, temporary.open("w", encoding="ascii") as file:
            file.write("HIERARCHY\n")
            _write_node(file, nodes, 0, "")
            seconds = every / (poses.fps or ASSUMED_FPS)
            file.write(f"MOTION\nFrames: {len(numbers)}\nFrame Time: {seconds:.9g}\n")
            np.savetxt(file, np.round(numbers, 4) + 0.0, fmt="%.4f")
    return paths


def _paths(path: Path, takes: Sequence[tuple[int, str]]) -> list[Path]:
    """A file for each clip and person; names of people become names of files, all different."""
    if len(takes) == 1:
        return [path]
    people = Counter(person for _, person in takes)
    taken: set[str] = set()
    paths = []
    for clip, person in takes:
        name = re.sub(r"[^\w-]+", "_", person)[:60].strip("_") or "person"
        if people[person] > 1:
            name = f"{name}.{clip}"
        paths.append(path.with_name(f"{path.stem}.{_different(name, taken)}.bvh"))
    return paths


def _different(name: str, taken: set[str]) -> str:
    """The name, with a number if it is taken already, in upper or lower case."""
    unique, number = name, 1
    while unique.lower() in taken:
        number += 1
        unique = f"{name}_{number}"
    taken.add(unique.lower())
    return unique


def _evenly(mine: Poses, name: str) -> tuple[Array, int]:
    """(F, J, 3) metres with y up at evenly spaced frames, and by how many frame numbers."""
    points = mine.points * _FROM_CAMERA
    frames = mine.frame
    if len(frames) == 1:
        return points, 1
    every = int(np.gcd.reduce(np.diff(frames)))
    count = (int(frames[-1]) - int(frames[0])) // every + 1
    if count == len(frames):
        return points, every
    if count > MAX_FILLED * len(frames):
        raise ValueError(
            f"frame: person {name!r} is in {len(frames):,} of {count:,} frames from "
            f"{frames[0]} to {frames[-1]}, expected one in {MAX_FILLED} or more for BVH, whose "
            "frames are evenly spaced"
        )
    wanted = np.arange(frames[0], frames[-1] + 1, every)
    flat = points.reshape(len(points), -1)
    filled = np.stack([np.interp(wanted, frames, column) for column in flat.T], axis=1)
    return filled.reshape(-1, *points.shape[1:]), every


# The hierarchy


@dataclass
class _Node:
    """A joint of the file. `offset` is in metres; `joint` is that of the skeleton which it stands
    for, or, of a joint of no length, the one that it carries."""

    name: str
    parent: int
    offset: Array
    joint: int
    helper: bool = False
    children: list[int] = field(default_factory=list)


def _hierarchy(points: Array, skeleton: Skeleton) -> list[_Node]:
    """The joints of the file, in its order: each right before what hangs on it."""
    offsets = _rest(points, skeleton)
    nodes: list[_Node] = []
    taken: set[str] = set()

    def add(name: str, parent: int, offset: Array, joint: int, helper: bool = False) -> int:
        plain = _different(re.sub(r"[^!-z|~]+", "_", name) or "_", taken)
        nodes.append(_Node(plain, parent, offset, joint, helper))
        if parent >= 0:
            nodes[parent].children.append(len(nodes) - 1)
        return len(nodes) - 1

    def grow(joint: int, parent: int) -> None:
        number = add(skeleton.names[joint], parent, offsets[joint], joint)
        children = [child for child, above in enumerate(skeleton.parents) if above == joint]
        for child in children:
            name = f"{skeleton.names[joint]}To{skeleton.names[child]}"
            alone = len(children) == 1
            grow(child, number if alone else add(name, number, np.zeros(3), child, helper=True))

    grow(0, -1)
    return nodes


def _rest(points: Array, skeleton: Skeleton) -> Array:
    """(J, 3) metres, from each joint's parent to it: median lengths in the rest pose."""
    bones = points[:, 1:] - points[:, list(skeleton.parents[1:])]
    lengths = np.median(np.linalg.norm(bones, axis=-1), axis=0)
    if set(skeleton.names[1:]) <= set(_T_POSE):
        directions = np.stack([_T_POSE[name] for name in skeleton.names[1:]])
    else:
        directions = np.stack([_directions(bone[:1])[0] for bone in bones.swapaxes(0, 1)])
    return np.concatenate((np.zeros((1, 3)), lengths[:, None] * directions))


def _directions(bone: Array) -> Array:
    """(F, 3) unit vectors; where a bone has no length, as in the frame before."""
    length = np.linalg.norm(bone, axis=-1)
    known = length > _ZERO_LENGTH
    if not known.any():
        return np.broadcast_to(_UP, bone.shape)
    last = np.maximum.accumulate(np.where(known, np.arange(len(bone)), -1))
    last[last < 0] = int(known.argmax())
    directions: Array = bone[last] / length[last, None]
    return directions


def _write_node(file: TextIO, nodes: Sequence[_Node], number: int, indent: str) -> None:
    node = nodes[number]
    kind = "ROOT" if node.parent < 0 else "JOINT"
    position = "6 Xposition Yposition Zposition" if node.parent < 0 else "3"
    inner = indent + "  "
    file.write(f"{indent}{kind} {node.name}\n{indent}{{\n{inner}OFFSET {_vector(node.offset)}\n")
    file.write(f"{inner}CHANNELS {position} Zrotation Xrotation Yrotation\n")
    for child in node.children:
        _write_node(file, nodes, child, inner)
    if not node.children:
        file.write(f"{inner}End Site\n{inner}{{\n{inner}  OFFSET {_vector(np.zeros(3))}\n")
        file.write(f"{inner}}}\n")
    file.write(f"{indent}}}\n")


def _vector(metres: Array) -> str:
    return " ".join(f"{centimetres:.4f}" for centimetres in 100 * metres + 0.0)


# The motion


def _motion(points: Array, nodes: Sequence[_Node]) -> Array:
    """(F, 3 + 3 M) the channels: centimetres and degrees."""
    local = np.broadcast_to(np.eye(3), (len(points), len(nodes), 3, 3)).copy()
    world = local.copy()
    for number, node in enumerate(nodes):
        above = world[:, node.parent] if node.parent >= 0 else np.broadcast_to(np.eye(3), (1, 3, 3))
        if node.children:
            local[:, number] = _turn(points, nodes, node, above)
        world[:, number] = above @ local[:, number]
    angles = np.degrees(euler_zxy(local))
    return np.concatenate((100 * points[:, 0], angles.reshape(len(points), -1)), axis=1)


def _turn(points: Array, nodes: Sequence[_Node], node: _Node, above: Array) -> Array:
    """(F, 3, 3) how a joint turns against the one above it."""
    carried = [nodes[child] for child in node.children]
    if carried[0].helper:
        # The bones hang on the joints of no length below.
        carried = [nodes[child.children[0]] for child in carried]
    start = node.joint if not node.helper else nodes[node.parent].joint
    bones = np.stack([points[:, each.joint] - points[:, start] for each in carried], axis=1)
    seen = np.einsum("fji,fcj->fci", np.broadcast_to(above, (len(points), 3, 3)), bones)
    rest = np.stack([each.offset for each in carried])
    if len(carried) > 1:
        return best_fit(rest, seen)
    length = float(np.linalg.norm(rest[0]))
    if length <= _ZERO_LENGTH:
        return np.broadcast_to(np.eye(3), (len(points), 3, 3))
    return steady_swing(rest[0] / length, _directions(seen[:, 0]))
