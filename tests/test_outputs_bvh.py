"""Lifted poses as BVH: read again, they are the same positions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from poseda.data.mocap.bvh import read_bvh
from poseda.data.mocap.skeletons import find_table, map_joints
from poseda.data.synthetic import ACTIONS, forward_kinematics, perform, sample_body
from poseda.data.synthetic.rigs import human36m_rig
from poseda.outputs import write_bvh
from poseda.outputs.rotations import TWIST_STEP, best_fit, euler_zxy, steady_swing, swing
from poseda_ext.skeleton import H36M_16, H36M_17, Skeleton

Array = NDArray[np.float64]


@dataclass
class Read:
    """A BVH file as read by the few lines below. `positions` are (F, names, 3) centimetres."""

    names: list[str]
    parents: list[int]
    offsets: Array
    angles: Array  # (F, names, 3) degrees z, x, y
    positions: Array
    frame_time: float

    def of(self, *joints: str) -> Array:
        return self.positions[:, [self.names.index(joint) for joint in joints]]


def read(path: Path) -> Read:
    """What the format says, with scipy's rotations."""
    head, _, motion = path.read_text("ascii").partition("MOTION\n")
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    open_joints: list[int] = []
    for line in head.splitlines()[1:]:
        words = line.split()
        if words[0] in ("ROOT", "JOINT"):
            names.append(words[1])
            parents.append(open_joints[-1] if open_joints else -1)
            open_joints.append(len(names) - 1)
        elif words[0] == "End":
            open_joints.append(-2)
        elif words[0] == "OFFSET" and open_joints[-1] >= 0:
            offsets.append([float(word) for word in words[1:]])
        elif words[0] == "CHANNELS":
            position = "Xposition Yposition Zposition " if parents[-1] < 0 else ""
            count = 6 if parents[-1] < 0 else 3
            expected = f"CHANNELS {count} {position}Zrotation Xrotation Yrotation"
            assert " ".join(words) == expected
        elif words[0] == "}":
            open_joints.pop()
    assert open_joints == []
    first, second, *rows = motion.splitlines()
    numbers = np.array([[float(word) for word in row.split()] for row in rows])
    assert first == f"Frames: {len(rows)}"
    assert numbers.shape[1] == 3 + 3 * len(names)
    angles = numbers[:, 3:].reshape(len(rows), -1, 3)
    positions = np.zeros_like(angles)
    world: list[Rotation] = []
    for joint, parent in enumerate(parents):
        turn = Rotation.from_euler("ZXY", angles[:, joint], degrees=True)
        if parent < 0:
            world.append(turn)
            positions[:, joint] = numbers[:, :3]
        else:
            world.append(world[parent] * turn)
            positions[:, joint] = positions[:, parent] + world[parent].apply(offsets[joint])
    frame_time = float(second.removeprefix("Frame Time: "))
    return Read(names, parents, np.array(offsets), angles, positions, frame_time)


def motion(action: str, frames: int = 60, seed: int = 0, fps: float = 25.0) -> Array:
    """(F, 17, 3) metres in the camera frame, with bones of constant length."""
    rng = np.random.default_rng(seed)
    body = sample_body(rng)
    made = perform(action, rng, frames, fps)
    return human36m_rig()[0].to_camera(
        forward_kinematics(made, body.stature, body.bone_lengths)
    )  # fmt: skip


def in_bvh(points: Array) -> Array:
    """Metres in the camera frame to centimetres with y up."""
    return 100 * points * np.array([1, -1, -1])


def without_neck(points: Array) -> Array:
    """(F, 16, 3) with the head at a constant distance from the thorax."""
    thorax, neck, head = (H36M_17.names.index(name) for name in ("Thorax", "Neck/Nose", "Head"))
    way = points[:, head] - points[:, thorax]
    changed = points.copy()
    changed[:, head] = points[:, thorax] + 0.2 * way / np.linalg.norm(way, axis=1, keepdims=True)
    return np.delete(changed, neck, axis=1)


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_positions_come_out_again(tmp_path: Path, action: str) -> None:
    pose = motion(action)
    write_bvh(tmp_path / "out.bvh", pose - pose[:, :1], H36M_17, root=pose[:, 0], fps=25)
    content = read(tmp_path / "out.bvh")
    np.testing.assert_allclose(content.of(*H36M_17.names), in_bvh(pose), rtol=0, atol=1e-2)
    assert content.frame_time == 0.04


def test_sixteen_joints_without_root(tmp_path: Path) -> None:
    pose = without_neck(motion("kick"))
    write_bvh(tmp_path / "out.bvh", pose - pose[:, :1], H36M_16)
    content = read(tmp_path / "out.bvh")
    expected = in_bvh(pose - pose[:, :1])
    np.testing.assert_allclose(content.of(*H36M_16.names), expected, rtol=0, atol=1e-2)
    assert content.frame_time == 0.04


def test_the_reader_of_motion_capture_reads_it(tmp_path: Path) -> None:
    pose = motion("walk")
    write_bvh(tmp_path / "out.bvh", pose - pose[:, :1], H36M_17, root=pose[:, 0], fps=50)
    clip = read_bvh(tmp_path / "out.bvh")
    table = find_table(clip.joints, "out.bvh")
    assert table.name == "human36m"
    mapped = map_joints(table, clip.joints, clip.positions)
    np.testing.assert_allclose(mapped, in_bvh(pose), rtol=0, atol=1e-2)
    assert clip.fps == pytest.approx(50)


@pytest.mark.parametrize(
    "parents",
    [(-1, 0), (-1, 0, 1, 2), (-1, 0, 0, 1, 2, 0, 2, 1), (-1, 0, 0), (-1, 0, 1, 1, 0, 4)],
    ids=str,
)
def test_any_tree(tmp_path: Path, parents: tuple[int, ...]) -> None:
    skeleton = Skeleton(tuple(f"j {number}" for number in range(len(parents))), parents)
    rng = np.random.default_rng(0)
    pose = np.zeros((50, len(parents), 3))
    for joint, parent in enumerate(parents[1:], start=1):
        way = rng.normal(0, 1, 3) + np.cumsum(rng.normal(0, 0.2, (50, 3)), axis=0)
        bone = 0.1 * joint * way / np.linalg.norm(way, axis=1, keepdims=True)
        pose[:, joint] = pose[:, parent] + bone
    write_bvh(tmp_path / "out.bvh", pose, skeleton)
    content = read(tmp_path / "out.bvh")
    names = [name.replace(" ", "_") for name in skeleton.names]
    np.testing.assert_allclose(content.of(*names), in_bvh(pose), rtol=0, atol=1e-2)
    if parents.count(0) == 1:  # the first frame is the rest pose
        assert np.abs(content.angles[0]).max() < 1e-3


def test_bones_have_their_median_length_and_rest_in_a_t_pose(tmp_path: Path) -> None:
    pose = motion("wave")
    write_bvh(tmp_path / "out.bvh", pose - pose[:, :1], H36M_17)
    content = read(tmp_path / "out.bvh")
    lengths = np.linalg.norm(pose[0, 1:] - pose[0, list(H36M_17.parents[1:])], axis=-1)
    for joint, name in enumerate(H36M_17.names[1:]):
        offset = content.offsets[content.names.index(name)]
        assert np.linalg.norm(offset) == pytest.approx(100 * lengths[joint], abs=1e-3)
    assert content.offsets[content.names.index("LWrist")][0] > 10
    assert content.offsets[content.names.index("RWrist")][0] < -10
    assert content.offsets[content.names.index("LKnee")][1] < -10
    helpers = [name for name in content.names if name not in H36M_17.names]
    assert helpers == [
        "HipToRHip", "HipToLHip", "HipToSpine",
        "ThoraxToNeck/Nose", "ThoraxToLShoulder", "ThoraxToRShoulder",
    ]  # fmt: skip
    assert not content.offsets[[content.names.index(name) for name in helpers]].any()


def test_trembling_bones_keep_their_directions(tmp_path: Path) -> None:
    pose = motion("walk") + np.random.default_rng(0).normal(0, 0.004, (60, 17, 3))
    write_bvh(tmp_path / "out.bvh", pose - pose[:, :1], H36M_17, root=pose[:, 0])
    got, expected = read(tmp_path / "out.bvh").of(*H36M_17.names), in_bvh(pose)
    parents = list(H36M_17.parents[1:])
    one, other = (each[:, 1:] - each[:, parents] for each in (got, expected))
    cosines = (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)
    assert cosines.min() > 1 - 1e-8
    lengths = np.linalg.norm(one, axis=-1)
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[0], lengths.shape), atol=1e-2)


def test_a_still_person_does_not_turn(tmp_path: Path) -> None:
    pose = np.repeat(motion("stand", 1), 10, axis=0)
    write_bvh(tmp_path / "out.bvh", pose - pose[:, :1], H36M_17)
    angles = read(tmp_path / "out.bvh").angles
    np.testing.assert_array_equal(angles, np.broadcast_to(angles[0], angles.shape))


def test_pirouettes_turn_on_without_jumps(tmp_path: Path) -> None:
    turned = Rotation.from_euler("y", np.linspace(0, 4 * np.pi, 200)[:, None]).as_matrix()
    stand = motion("stand", 1)[0]
    pose = np.einsum("fij,kj->fki", turned, stand - stand[0])
    write_bvh(tmp_path / "out.bvh", pose, H36M_17)
    content = read(tmp_path / "out.bvh")
    assert np.abs(np.diff(content.angles, axis=0)).max() < 30
    assert np.abs(np.ptp(content.angles[:, 0], axis=0)).max() > 600
    np.testing.assert_allclose(content.of(*H36M_17.names), in_bvh(pose), rtol=0, atol=1e-2)


def test_each_person_has_a_file(tmp_path: Path) -> None:
    pose = motion("walk", 6)
    people = ["../anna", "Ben", "../anna", "ben", "", "日本 x"]
    paths = write_bvh(tmp_path / "out.bvh", pose - pose[:, :1], H36M_17, person=people)
    names = ["out.anna.bvh", "out.Ben.bvh", "out.ben_2.bvh", "out.person.bvh", "out.日本_x.bvh"]
    assert [path.name for path in paths] == names
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    expected = in_bvh(pose - pose[:, :1])
    np.testing.assert_allclose(read(paths[2]).of("Head")[:, 0], expected[3:4, 10], atol=1e-2)


def test_each_clip_has_a_file(tmp_path: Path) -> None:
    pose = motion("walk", 6)
    paths = write_bvh(
        tmp_path / "out.bvh",
        pose - pose[:, :1],
        H36M_17,
        person=["a", "a", "a", "b", "a", "a"],
        clip=[5, 5, 3, 3, 3, 5],
    )
    assert [path.name for path in paths] == ["out.a.3.bvh", "out.b.bvh", "out.a.5.bvh"]
    expected = in_bvh(pose - pose[:, :1])
    got = read(paths[2]).of(*H36M_17.names)
    np.testing.assert_allclose(got, expected[[0, 1, 5]], atol=1e-2)


def test_missing_frames_are_filled(tmp_path: Path) -> None:
    pose = motion("walk", 9)
    frame = [10, 14, 16, 20, 22, 24, 30, 32, 40]
    write_bvh(tmp_path / "out.bvh", pose - pose[:, :1], H36M_17, root=pose[:, 0], frame=frame)
    content = read(tmp_path / "out.bvh")
    assert len(content.positions) == 16
    assert content.frame_time == pytest.approx(2 / 25)
    given = (np.array(frame) - 10) // 2
    got = content.of(*H36M_17.names)
    np.testing.assert_allclose(got[given], in_bvh(pose), rtol=0, atol=1e-2)
    between = in_bvh((pose[0, 0] + pose[1, 0]) / 2)
    np.testing.assert_allclose(got[1, 0], between, atol=1e-2)


def test_bones_of_no_length(tmp_path: Path) -> None:
    pose = motion("walk", 8)
    pose[:, 10] = pose[:, 9]  # always
    pose[2, 13] = pose[2, 12]  # once
    write_bvh(tmp_path / "out.bvh", pose - pose[:, :1], H36M_17)
    content = read(tmp_path / "out.bvh")
    assert not content.offsets[content.names.index("Head")].any()
    expected = in_bvh(pose - pose[:, :1])
    got = content.of(*H36M_17.names)
    others = [joint for joint in range(17) if joint != 13]
    np.testing.assert_allclose(got[:, others], expected[:, others], atol=1e-2)


@pytest.mark.parametrize(
    ("name", "given", "error", "message"),
    [
        ("out.txt", {}, ValueError, r"path: got .*out\.txt.*ends in \.bvh"),
        ("out.bvh", {"frame": [0, 1, 2, 900]}, ValueError, r"'' is in 4 of 901 frames from 0 to"),
        ("out.bvh", {"pose3d": np.full((4, 17, 3), np.nan)}, ValueError, "pose3d: got NaN"),
        ("nowhere/out.bvh", {}, OSError, "cannot write .*nowhere"),
    ],
)
def test_bad_input(
    tmp_path: Path, name: str, given: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments: dict[str, Any] = {"pose3d": motion("walk", 4), "skeleton": H36M_17} | given
    with pytest.raises(error, match=message):
        write_bvh(tmp_path / name, **arguments)
    assert not list(tmp_path.iterdir())


def test_odd_names_of_joints_stay_apart(tmp_path: Path) -> None:
    skeleton = Skeleton(("a b", "a\nb", "{", "é"), (-1, 0, 1, 2))
    write_bvh(tmp_path / "out.bvh", np.random.default_rng(0).normal(0, 1, (2, 4, 3)), skeleton)
    assert read(tmp_path / "out.bvh").names == ["a_b", "a_b_2", "_", "__2"]


# The rotations


def unit(shape: tuple[int, ...], seed: int = 0) -> Array:
    drawn = np.random.default_rng(seed).normal(0, 1, (*shape, 3))
    return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)


def check_rotations(rotation: Array) -> None:
    product = rotation @ np.swapaxes(rotation, -1, -2)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-7)
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-7)


def test_swing_is_the_smallest_rotation() -> None:
    one, other = unit((500,)), unit((500,), 1)
    rotation = swing(one, other)
    check_rotations(rotation)
    np.testing.assert_allclose(np.einsum("fij,fj->fi", rotation, one), other, atol=1e-12)
    angle = Rotation.from_matrix(rotation).magnitude()
    np.testing.assert_allclose(angle, np.arccos((one * other).sum(-1)), atol=1e-7)


@pytest.mark.parametrize("off", [0.0, 1e-12, 1e-6, 1e-4, 1e-3])
def test_swing_near_the_opposite_direction(off: float) -> None:
    one = unit((50,))
    other = -one + off * unit((50,), 1)
    other /= np.linalg.norm(other, axis=-1, keepdims=True)
    rotation = swing(one, other)
    check_rotations(rotation)
    turned = np.einsum("fij,fj->fi", rotation, one)
    np.testing.assert_allclose(turned, other, atol=1e-7)


def test_best_fit_finds_the_rotation() -> None:
    rest = unit((3,))
    true = Rotation.random(40, random_state=0).as_matrix()
    found = best_fit(rest, np.einsum("fij,cj->fci", true, rest))
    check_rotations(found)
    off = Rotation.from_matrix(found @ np.swapaxes(true, 1, 2)).magnitude()
    assert off.max() < 0.02  # the preference for none pulls a little
    mirrored = best_fit(rest, np.broadcast_to(rest * [1, 1, -1], (1, 3, 3)))
    check_rotations(mirrored)


def test_best_fit_of_bones_in_line_does_not_spin() -> None:
    for rest, near in zip(unit((20,)), unit((20, 10), 1), strict=True):
        now = near + 1.5 * rest
        now /= np.linalg.norm(now, axis=-1, keepdims=True)
        found = best_fit(np.stack((rest, -rest)), np.stack((now, -now), axis=1))
        np.testing.assert_allclose(found, swing(rest, now), atol=5e-3)


def over_the_pole(miss: float) -> Array:
    """(F, 3) a bone that swings past the direction against its rest (x), at a small distance."""
    angle = np.linspace(np.pi - 1, np.pi + 1, 81)
    way = np.stack((np.cos(angle), np.sin(angle), np.full(81, miss)), axis=-1)
    return way / np.linalg.norm(way, axis=-1, keepdims=True)


@pytest.mark.parametrize("miss", [0.0, 1e-9, 1e-3, 0.02, 0.2])
def test_steady_swing_does_not_jump_near_the_opposite_direction(miss: float) -> None:
    rest, way = np.array([1.0, 0, 0]), over_the_pole(miss)
    rotation = steady_swing(rest, way)
    check_rotations(rotation)
    np.testing.assert_allclose(rotation @ rest, way, atol=1e-7)
    step = Rotation.from_matrix(rotation[1:] @ np.swapaxes(rotation[:-1], 1, 2)).magnitude()
    assert step.max() < TWIST_STEP + 0.03
    # In the end there is no twist again.
    np.testing.assert_allclose(rotation[-1], swing(rest, way[-1]), atol=1e-6)


def test_steady_swing_is_the_smallest_elsewhere() -> None:
    rest = np.array([1.0, 0, 0])
    way = np.stack([np.cos(np.linspace(0, 2, 60)), np.sin(np.linspace(0, 2, 60)), np.zeros(60)], 1)
    np.testing.assert_allclose(steady_swing(rest, way), swing(rest, way), atol=1e-12)
    np.testing.assert_allclose(steady_swing(rest, way[:1]), np.eye(3)[None], atol=1e-12)


@pytest.mark.parametrize(
    "path",
    [
        lambda t: np.stack([t, 0 * t, 0 * t], 1),
        lambda t: np.stack([0.3 + 0 * t, t, 0 * t], 1),
        lambda t: np.stack([0.3 + 0 * t, t, 1e-3 + 0 * t], 1),
        lambda t: np.stack([np.sin(t), t, np.cos(2 * t)], 1),
    ],
)
def test_euler_angles_go_on(path: Callable[[Array], Array]) -> None:
    true = Rotation.from_euler("ZXY", path(np.linspace(0, 4 * math.pi, 1001)))
    angles = euler_zxy(true.as_matrix()[:, None])[:, 0]
    back = Rotation.from_euler("ZXY", angles)
    assert (back * true.inv()).magnitude().max() < 1e-7
    assert np.abs(np.diff(angles, axis=0)).max() < 0.1


def test_euler_angles_where_two_axes_fall_together() -> None:
    for x in (math.pi / 2, -math.pi / 2, math.pi / 2 - 1e-12):
        true = Rotation.from_euler("ZXY", [[0.4, x, 0.9], [0.5, x, 0.9]])
        angles = euler_zxy(true.as_matrix())
        assert (Rotation.from_euler("ZXY", angles) * true.inv()).magnitude().max() < 1e-6


def test_numbers_have_no_negative_zeros(tmp_path: Path) -> None:
    pose = motion("stand", 5)
    write_bvh(tmp_path / "out.bvh", pose, H36M_17)
    assert not re.search(r"-0\.0000\b", (tmp_path / "out.bvh").read_text())
