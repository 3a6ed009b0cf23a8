"""Motion capture files: BVH, ASF/AMC, C3D and npz, whole, wrong and truncated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mocap_files import (
    ACCLAIM_BONES,
    AT,
    acclaim_ends,
    amc_text,
    asf_text,
    bvh_text,
    c3d_bytes,
    check_person,
    joints_file,
    random_acclaim,
    shift,
    turn,
    walk,
    write,
)
from numpy.typing import NDArray

from poseda.data.mocap.acclaim import read_amc, read_asf
from poseda.data.mocap.bvh import read_bvh
from poseda.data.mocap.clip import Clip
from poseda.data.mocap.joints import read_joints
from poseda.data.mocap.markers import add_joint_centres, read_c3d
from poseda.data.mocap.skeletons import TABLES, find_table, map_joints
from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]

# ------------------------------------------------------------------------------------------ BVH

TREE = ("Hips", "Spine", "Head", "LeftUpLeg", "LeftLeg", "RightUpLeg")
PARENTS = (-1, 0, 1, 0, 3, 0)
ORDERS = (
    "Xposition Yposition Zposition Zrotation Xrotation Yrotation",
    "Zrotation Yrotation Xrotation",
    "Yrotation",
    "Xposition Zposition Yposition Xrotation Yrotation Zrotation",
    "Yrotation Zrotation Xrotation",
    "Xrotation Zrotation",
)


def bvh_by_hand(offsets: Array, row: Array) -> Array:
    """Positions of the joints of one frame, by 4 x 4 matrices."""
    matrices: list[Array] = []
    values = list(row)
    for joint, parent in enumerate(PARENTS):
        place = list(offsets[joint])
        rotation = np.eye(4)
        for name in ORDERS[joint].split():
            value = values.pop(0)
            if name.endswith("position"):
                place["XYZ".index(name[0])] = value
            else:
                rotation = rotation @ turn(name[0].lower(), value)
        above = matrices[parent] if parent >= 0 else np.eye(4)
        matrices.append(above @ shift(place) @ rotation)
    return np.stack([matrix[:3, 3] for matrix in matrices])


@pytest.fixture
def bvh(tmp_path: Path) -> tuple[Path, Array, Array]:
    rng = np.random.default_rng(3)
    offsets = rng.uniform(-10, 10, (len(TREE), 3))
    motion = rng.uniform(-170, 170, (9, sum(len(order.split()) for order in ORDERS)))
    text = bvh_text(TREE, PARENTS, offsets, ORDERS, motion, 120, {"Head": (0, 5, 0)})
    return write(tmp_path / "Walking 2.bvh", text), offsets, motion


def test_bvh_places_joints_as_its_channels_say(bvh: tuple[Path, Array, Array]) -> None:
    path, offsets, motion = bvh
    clip = read_bvh(path, "S1", "Walking")
    assert (clip.subject, clip.action, clip.name) == ("S1", "Walking", "Walking 2")
    assert clip.joints == (
        "Hips",
        "Spine",
        "Head",
        "Head_End",
        "LeftUpLeg",
        "LeftLeg",
        "RightUpLeg",
    )
    assert clip.fps == pytest.approx(120, rel=1e-5) and clip.unit is None
    expected = np.stack([bvh_by_hand(offsets, row) for row in motion])
    kept = [clip.joints.index(name) for name in TREE]
    np.testing.assert_allclose(clip.positions[:, kept], expected, atol=1e-5)


def test_a_long_bvh_is_read_in_pieces(bvh: tuple[Path, Array, Array]) -> None:
    path, offsets, motion = bvh
    many = np.tile(motion, (1000, 1))
    write(path, bvh_text(TREE, PARENTS, offsets, ORDERS, many, 120, {}))
    clip = read_bvh(path)
    np.testing.assert_array_equal(clip.positions[-9:], clip.positions[:9])
    assert len(clip.positions) == 9000


def test_a_truncated_bvh_is_refused(bvh: tuple[Path, Array, Array]) -> None:
    path = bvh[0]
    whole = path.read_bytes()
    last = len(whole.rstrip()) - 12  # a number cut within its digits is still a number
    for length in range(0, last, 97):
        write(path, whole[:length])
        with pytest.raises(ValueError, match=str(path)):
            read_bvh(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("HIERARCHY", "ANARCHY", "expected HIERARCHY"),
        ("ROOT Hips", "ROOT", "expected one ROOT"),
        ("JOINT Head", "JOINT Spine", "joint 'Spine' twice"),
        ("OFFSET", "OFFSET 1", "three numbers"),
        ("OFFSET", "OFSET", "expected JOINT, End Site, OFFSET"),
        ("CHANNELS 6 X", "CHANNELS 5 X", "CHANNELS '5"),
        ("CHANNELS 1 Yrotation", "CHANNELS 1 Wrotation", "Wrotation"),
        ("CHANNELS 1 Yrotation", "CHANNELS 2 Yrotation Yrotation", "different ones"),
        ("MOTION", "EMOTION", "no MOTION section"),
        ("Frames: 9", "Frames: 999999999999", "expected 999,999,999,999 frames"),
        ("Frames: 9", "Frames: 8", "expected 8 frames"),
        ("Frames: 9", "Frames: -9", "expected Frames:"),
        ("Frame Time: 0.", "Frame Time: -0.", "expected seconds above 0"),
        ("Frame Time: 0.", "Frame Time: nan0.", "expected a finite number"),
        ("MOTION", "}\r\nMOTION", "expected one ROOT"),
    ],
)
def test_a_wrong_bvh_is_refused(
    bvh: tuple[Path, Array, Array], old: str, new: str, message: str
) -> None:
    path = bvh[0]
    text = path.read_bytes().decode()
    assert old in text
    write(path, text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message) as error:
        read_bvh(path)
    assert str(path) in str(error.value)


def test_bvh_numbers_must_be_finite(bvh: tuple[Path, Array, Array]) -> None:
    path = bvh[0]
    lines = path.read_bytes().decode().split("\r\n")
    for word in ("nan", "inf", "1e999", "x", "1,5"):
        lines[-2] = f"{word} {lines[-2].split(' ', 1)[1]}"
        write(path, "\r\n".join(lines))
        with pytest.raises(ValueError, match=f"got '{word}', expected a finite number"):
            read_bvh(path)
    write(path, b"HIERARCHY\0")
    with pytest.raises(ValueError, match="binary"):
        read_bvh(path)


def test_a_deep_bvh_exhausts_nothing(tmp_path: Path) -> None:
    joints = 3000
    text = "HIERARCHY\nROOT j\n" + "".join(
        f"{{\nOFFSET 0 1 0\nCHANNELS 0\nJOINT j{number}\n" for number in range(joints)
    )
    text += "{\nOFFSET 0 1 0\nCHANNELS 3 Xrotation Yrotation Zrotation\n" + "}\n" * (joints + 1)
    path = write(tmp_path / "deep.bvh", text + "MOTION\nFrames: 1\nFrame Time: 0.1\n1 2 3\n")
    assert read_bvh(path).positions[0, -1].tolist() == [0, joints + 1, 0]


# ---------------------------------------------------------------------------------------- ASF/AMC


@pytest.fixture
def acclaim(tmp_path: Path) -> tuple[Path, Path, list[dict[str, Sequence[float]]]]:
    rng = np.random.default_rng(5)
    frames = [random_acclaim(rng, 60) for _ in range(6)]
    asf = write(tmp_path / "02.asf", asf_text())
    return asf, write(tmp_path / "02_01.amc", amc_text(frames)), frames


def test_amc_places_bone_ends(acclaim: Any) -> None:
    asf, amc, frames = acclaim
    clip = read_amc(amc, asf, "02", "walk")
    assert clip.joints[0] == "root" and set(clip.joints) == {"root", *(b[0] for b in ACCLAIM_BONES)}
    assert clip.unit == pytest.approx(0.0254 / 0.45)
    for positions, frame in zip(clip.positions, frames, strict=True):
        expected = acclaim_ends(frame)
        for name, position in zip(clip.joints, positions, strict=True):
            np.testing.assert_allclose(position, expected[name], atol=1e-8)


def test_radians_and_another_order_of_axes(tmp_path: Path) -> None:
    head = ":units\n length 1\n angle rad\n:root\n order RX RY RZ TX TY TZ\n axis ZYX\n"
    text = head + (
        " position 1 2 3\n orientation 0.1 0.2 0.3\n:bonedata\n begin\n name arm\n"
        " direction 1 0 0\n length 2\n axis 0.4 0.5 0.6 YZX\n dof rz rx\n end\n"
        ":hierarchy\n begin\n root arm\n end\n"
    )
    asf = write(tmp_path / "a.asf", text)
    amc = write(tmp_path / "a.amc", ":RADIANS\n1\nroot 0.3 0.2 0.1 10 20 30\narm 0.7 0.8\n")
    clip = read_amc(amc, asf)
    assert clip.unit is None, "a length of 1 says nothing"

    def about(order: str, x: float, y: float, z: float) -> Array:
        """The first letter turns first."""
        product = np.eye(4)
        for axis in order:
            product = turn(axis, np.degrees({"x": x, "y": y, "z": z}[axis])) @ product
        return product

    own = about("zyx", 0.1, 0.2, 0.3)
    root = shift((11, 22, 33)) @ own @ about("zyx", 0.3, 0.2, 0.1) @ np.linalg.inv(own)
    own = about("yzx", 0.4, 0.5, 0.6)
    arm = root @ own @ about("yzx", 0.8, 0.0, 0.7) @ np.linalg.inv(own) @ shift((2, 0, 0))
    np.testing.assert_allclose(clip.positions[0], [root[:3, 3], arm[:3, 3]], atol=1e-12)


def test_truncated_acclaim_files_are_refused(acclaim: Any) -> None:
    asf, amc, _ = acclaim
    whole = amc.read_text()
    for length in range(0, whole.rindex("rradius") - 1, 53):
        if whole[:length].rstrip().endswith(tuple(f"\n{n}" for n in range(10))):
            continue
        write(amc, whole[:length])
        if whole[:length].rpartition("\n")[2].startswith("rradius"):
            continue  # whole but for digits
        with pytest.raises(ValueError, match="amc"):
            read_amc(amc, asf)
    whole = asf.read_text()
    for length in range(0, len(whole) - 8, 53):
        write(asf, whole[:length])
        with pytest.raises(ValueError, match="asf"):
            read_asf(asf)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("order TX TY TZ", "order TX TX TZ", "expected TX TY TZ"),
        ("axis XYZ", "axis XXZ", "expected XYZ in some order"),
        ("angle deg", "angle grad", "expected deg or rad"),
        ("name lfemur", "name lhipjoint", "'lhipjoint' twice"),
        ("dof rx ry rz", "dof rx ry tz", "expected rotations"),
        ("lhipjoint lfemur", "lhipjoint lfemurr", "unknown bone 'lfemurr'"),
        ("lhipjoint lfemur", "lhipjoint root", "second parent for 'root'"),
        ("    lhipjoint lfemur\n", "", "expected a bone named above"),
        ("length 7", "length -7", "a unit vector and a length"),
        ("position 0 0 0", "position 0 0", "expected three"),
        (":hierarchy", ":hire", "no section :hierarchy"),
    ],
)
def test_a_wrong_asf_is_refused(acclaim: Any, old: str, new: str, message: str) -> None:
    asf = acclaim[0]
    text = asf.read_text()
    assert old in text
    write(asf, text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        read_asf(asf)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\nltibia ", "\nltibi ", "expected each bone of the skeleton that turns once"),
        ("\n3\nroot", "\n3\n3\nroot", "expected 14 as in the first"),
        ("\nlradius ", "\nlradius 1 ", "expected lradius and 1 numbers"),
        ("\nlradius ", "\nlradius nan", "expected a finite number"),
        ("\n1\n", "\n\n", "has no frames"),
    ],
)
def test_a_wrong_amc_is_refused(acclaim: Any, old: str, new: str, message: str) -> None:
    asf, amc, _ = acclaim
    text = amc.read_text()
    assert old in text
    write(amc, text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message) as error:
        read_amc(amc, asf)
    assert str(amc) in str(error.value)


def test_bones_that_no_frame_turns_are_missed(acclaim: Any) -> None:
    asf, amc, frames = acclaim
    write(amc, amc_text([{k: v for k, v in frame.items() if k != "head"} for frame in frames]))
    with pytest.raises(ValueError, match="has no head; is it of another skeleton"):
        read_amc(amc, asf)


# -------------------------------------------------------------------------------------------- C3D


@pytest.mark.parametrize("scale", [-0.1, 0.1])
def test_c3d_round_trip(tmp_path: Path, scale: float) -> None:
    pytest.importorskip("c3d")
    rng = np.random.default_rng(0)
    points = rng.integers(-9000, 9000, (8, 3, 3)) * 0.1
    seen = np.ones((8, 3), bool)
    seen[4, 1] = False
    path = write(
        tmp_path / "a.c3d", c3d_bytes(("A", "Subj:BB", "C"), points, 100, scale=scale, seen=seen)
    )
    clip = read_c3d(path, "s", "a")
    assert clip.joints == ("A", "Subj:BB", "C") and clip.fps == 100 and clip.unit == 0.001
    np.testing.assert_allclose(clip.positions[seen], points[seen], atol=1e-3)
    assert np.isnan(clip.positions[~seen]).all()


def test_truncated_and_hostile_c3d_files_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("c3d")
    rng = np.random.default_rng(1)
    whole = c3d_bytes(("A", "B"), rng.uniform(-900, 900, (5, 2, 3)), 100)
    path = tmp_path / "a.c3d"
    for length in range(0, 1024 + 5 * 2 * 16, 31):
        write(path, whole[:length])
        with pytest.raises(ValueError, match=str(path)):
            read_c3d(path)
    for _ in range(100):
        damaged = bytearray(whole)
        for place in rng.integers(0, 700, 6):
            damaged[place] = rng.integers(0, 256)
        write(path, bytes(damaged))
        try:
            read_c3d(path)
        except ValueError as error:
            assert str(path) in str(error)


def plug_in_gait(poses: Array) -> tuple[list[str], Array, Array]:
    """Names and places of markers on people, and their (F, 17, 3) joints, by construction."""
    point = {name: poses[:, joint] for name, joint in AT.items()}

    def unit(vector: Array) -> Array:
        return vector / np.linalg.norm(vector, axis=-1, keepdims=True)

    width = 0.25
    left = unit(point["LHip"] - point["RHip"])
    up = unit(point["Thorax"] - point["Hip"])
    forward = unit(np.cross(left, up))
    up = np.cross(forward, left)
    middle = (point["LHip"] + point["RHip"]) / 2 + width * (0.22 * forward + 0.30 * up)
    markers = {
        "LASI": middle + width / 2 * left, "RASI": middle - width / 2 * left,
        "LPSI": middle - 0.15 * forward + 0.05 * left,
        "RPSI": middle - 0.15 * forward - 0.05 * left,
        "C7": point["Thorax"] - 0.06 * forward, "CLAV": point["Thorax"] + 0.06 * forward,
        "LFHD": point["Head"] + 0.08 * (forward + left),
        "RFHD": point["Head"] + 0.08 * (forward - left),
        "LBHD": point["Head"] - 0.08 * (forward - left),
        "RBHD": point["Head"] - 0.08 * (forward + left),
    }  # fmt: skip
    trunk = unit(point["Thorax"] - sum(markers[m] for m in ("LASI", "RASI", "LPSI", "RPSI")) / 4)
    centres: dict[str, Array] = {}
    for side, sign in (("L", 1), ("R", -1)):
        hip = middle + sign * width * 0.36 * left - width * (0.22 * forward + 0.30 * up)
        knee, foot = point[f"{side}Knee"], point[f"{side}Foot"]
        outward = sign * left
        out = unit(outward - (outward * unit(knee - hip)).sum(-1, keepdims=True) * unit(knee - hip))
        markers[f"{side}KNE"] = knee + 0.22 * width * out
        markers[f"{side}THI"] = (hip + knee) / 2 + 0.09 * out
        shin = unit(foot - knee)
        out = unit(outward - (outward * shin).sum(-1, keepdims=True) * shin)
        markers[f"{side}ANK"] = foot + 0.17 * width * out
        markers[f"{side}TIB"] = (knee + foot) / 2 + 0.06 * out
        markers[f"{side}SHO"] = point[f"{side}Shoulder"] + 0.2 * width * trunk
        markers[f"{side}ELB"] = point[f"{side}Elbow"]
        markers[f"{side}WRA"] = point[f"{side}Wrist"] + 0.03 * forward
        markers[f"{side}WRB"] = point[f"{side}Wrist"] - 0.03 * forward
        centres |= {f"{side}Hip": hip, f"{side}Knee": knee, f"{side}Foot": foot,
                    f"{side}Shoulder": point[f"{side}Shoulder"]}  # fmt: skip
    expected = np.stack([centres.get(name, point[name]) for name in H36M_17.names], axis=1)
    return list(markers), np.stack([*markers.values()], axis=1), expected


def test_joint_centres_lie_inside_of_their_markers(tmp_path: Path) -> None:
    pytest.importorskip("c3d")
    names, markers, expected = plug_in_gait(walk())
    path = write(
        tmp_path / "gait.c3d", c3d_bytes([f"Ann:{name}" for name in names], 1000 * markers, 100)
    )
    clip = read_c3d(path)
    table = find_table(clip.joints, "gait")
    assert table.name == "plug-in-gait"
    poses = 0.001 * map_joints(table, clip.joints, clip.positions)
    check_person(poses)
    for name in ("Hip", "Knee", "Foot", "Shoulder", "Elbow", "Wrist"):
        for side in "LR":
            joint = AT[side + name]
            np.testing.assert_allclose(poses[:, joint], expected[:, joint], atol=1e-4, err_msg=name)
    for name in ("Thorax", "Head"):
        np.testing.assert_allclose(poses[:, AT[name]], expected[:, AT[name]], atol=1e-4)


def test_cmu_marker_names_and_missing_side_markers() -> None:
    names, markers, expected = plug_in_gait(walk())
    other = {"LASI": "LFWT", "RASI": "RFWT", "LPSI": "LBWT", "RPSI": "RBWT", "LTIB": "LSHN"}
    kept = [n for n, name in enumerate(names) if name not in ("LTHI", "RTHI", "RTIB")]
    clip = Clip(
        "a", "", "", tuple(other.get(names[n], names[n]) for n in kept), markers[:, kept], 100.0
    )
    found = add_joint_centres(clip)
    assert found.joints[: len(kept)] == clip.joints
    poses = map_joints(TABLES["plug-in-gait"], found.joints, found.positions)
    check_person(poses)
    np.testing.assert_allclose(poses[:, AT["LHip"]], expected[:, AT["LHip"]], atol=1e-9)
    assert np.linalg.norm(poses - expected, axis=-1)[:, [AT["LKnee"], AT["RFoot"]]].max() < 0.06


# ------------------------------------------------------------------------------- npz of joints


def test_joints_round_trip(tmp_path: Path) -> None:
    path = joints_file(tmp_path / "joints.npz")
    first, second = read_joints(path)
    poses = walk(50).astype(np.float32)
    np.testing.assert_array_equal(first.positions, poses[:20])
    np.testing.assert_array_equal(second.positions, poses[20:])
    assert (second.name, second.subject, second.action, second.fps) == ("a_2", "bob", "run", 60.0)
    assert second.joints == H36M_17.names


def test_joints_alone_are_one_recording(tmp_path: Path) -> None:
    path = tmp_path / "alone.npz"
    np.savez(path, joints=walk(5)[:, ::-1], joint_names=np.asarray(H36M_17.names[::-1]))
    (clip,) = read_joints(path)
    assert (clip.name, clip.subject, clip.fps, len(clip.positions)) == ("alone_0", "", None, 5)
    np.testing.assert_array_equal(
        map_joints(TABLES["human36m"], clip.joints, clip.positions), walk(5)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joints": None}, "no array joints"),
        ({"joints": np.zeros((50, 16, 3), np.float32)}, r"expected floats of shape \(F, 17, 3\)"),
        ({"joints": np.zeros((50, 17, 3), np.int64)}, "got int64"),
        ({"clip_len": np.asarray([20, 31])}, "outside of 50 frames"),
        ({"clip_start": np.asarray([-1, 20])}, "outside of 50 frames"),
        ({"clip_start": np.asarray([0, 2**62]), "clip_len": np.asarray([1, 2**62])}, "outside"),
        ({"clip_len": np.asarray([20])}, "got 1, expected 2"),
        ({"clip_len": None}, "clip_len"),
        ({"names": np.asarray([1, 2])}, "names"),
        ({"fps": np.asarray([30.0, 0.0])}, "expected frames per second"),
        ({"actions": np.asarray([{"a": 1}, {}], object)}, "without pickles"),
    ],
)
def test_a_wrong_joints_file_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = joints_file(tmp_path / "joints.npz", **changes)
    with pytest.raises(ValueError, match=message) as error:
        read_joints(path)
    assert str(path) in str(error.value)


def test_a_truncated_joints_file_is_refused(tmp_path: Path) -> None:
    path = joints_file(tmp_path / "joints.npz")
    whole = path.read_bytes()
    for length in range(0, len(whole), 997):
        write(path, whole[:length])
        with pytest.raises(ValueError, match=str(path)):
            read_joints(path)
