"""Motion capture: joint tables, what is told from the body, rigs, and the command."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mocap_files import (
    AT,
    CMU,
    amc_text,
    asf_text,
    bvh_text,
    check_person,
    joints_file,
    lengths,
    random_acclaim,
    walk,
    write,
    y_up,
)
from numpy.typing import NDArray

from poseda.cli import main
from poseda.data import load_pose_set
from poseda.data.mocap.clip import describe_file
from poseda.data.mocap.joints import read_joints
from poseda.data.mocap.recordings import find_recordings
from poseda.data.mocap.render import centre, resample, view
from poseda.data.mocap.rig import load_rig
from poseda.data.mocap.skeletons import TABLES, find_table, load_table, map_joints, plain_name
from poseda.data.mocap.world import (
    UNITS,
    find_unit,
    find_up,
    to_z_up,
)
from poseda.data.prepare.anatomy import check_anatomy
from poseda.data.prepare.mocap import Mocap
from poseda.data.synthetic.rigs import human36m_rig, look_at
from poseda.outputs.bvh import write_bvh
from poseda_ext.skeleton import H36M_16, H36M_17, Skeleton

Array = NDArray[Any]

# ------------------------------------------------------------------------------------ joint tables

# Skeletons as the files have them: joint, parent, offset; y up, facing z, left at x; centimetres.
_ARMS = (
    ("{}Shoulder", "Spine2", (4, 10, 0)), ("{}Arm", "{}Shoulder", (13, 0, 0)),
    ("{}ForeArm", "{}Arm", (27, 0, 0)), ("{}Hand", "{}ForeArm", (26, 0, 0)),
    ("{}UpLeg", "Hips", (9, -6, 0)), ("{}Leg", "{}UpLeg", (0, -43, 1)),
    ("{}Foot", "{}Leg", (0, -43, -2)), ("{}ToeBase", "{}Foot", (0, -8, 13)),
)  # fmt: skip
MIXAMO = (
    ("Hips", "", (0, 0, 0)), ("Spine", "Hips", (0, 10, 0)), ("Spine1", "Spine", (0, 11, 0)),
    ("Spine2", "Spine1", (0, 12, 0)), ("Neck", "Spine2", (0, 14, 0)), ("Head", "Neck", (0, 9, 2)),
    ("HeadTop_End", "Head", (0, 19, 1)),
    *((j.format("Left"), p.format("Left"), o) for j, p, o in _ARMS),
    *((j.format("Right"), p.format("Right"), (-o[0], o[1], o[2])) for j, p, o in _ARMS),
)  # fmt: skip
_CMU = (
    ("{}HipJoint", "Hips", (0, 0, 0)), ("{}UpLeg", "{}HipJoint", (1.66, -1.8, 0.62)),
    ("{}Leg", "{}UpLeg", (2.6, -7.1, 0.1)), ("{}Foot", "{}Leg", (2.5, -6.8, -0.1)),
    ("{}Shoulder", "Spine1", (0, 0, 0)), ("{}Arm", "{}Shoulder", (3.4, 1.2, -0.3)),
    ("{}ForeArm", "{}Arm", (5.0, 0, 0)), ("{}Hand", "{}ForeArm", (3.5, 0, 0)),
)  # fmt: skip
CMU_BVH = (
    ("Hips", "", (0, 0, 0)), ("LowerBack", "Hips", (0, 0, 0)),
    ("Spine", "LowerBack", (0, 2.04, -0.2)), ("Spine1", "Spine", (0, 2.05, 0)),
    ("Neck", "Spine1", (0, 0, 0)), ("Neck1", "Neck", (0, 1.75, 0.2)),
    ("Head", "Neck1", (0.1, 1.76, -0.1)),
    *((j.format("Left"), p.format("Left"), o) for j, p, o in _CMU),
    *((j.format("Right"), p.format("Right"), (-o[0], o[1], o[2])) for j, p, o in _CMU),
)  # fmt: skip


def skeleton_file(
    path: Path, bones: Any, prefix: str, ends: dict[str, Any], height: float, fps: float = 60.0
) -> Path:
    """A BVH file of a person who bends and stretches the knees, and turns about the vertical."""
    names = [bone[0] for bone in bones]
    parents = [names.index(bone[1]) if bone[1] else -1 for bone in bones]
    order: list[int] = []

    def visit(joint: int) -> None:
        order.append(joint)
        for child, parent in enumerate(parents):
            if parent == joint:
                visit(child)

    visit(0)
    names = [names[joint] for joint in order]
    parents = [order.index(parents[joint]) if parents[joint] >= 0 else -1 for joint in order]
    offsets = np.asarray([bones[joint][2] for joint in order], dtype=float)
    rotation = "Zrotation Xrotation Yrotation"
    channels = ["Xposition Yposition Zposition " + rotation, *[rotation] * (len(names) - 1)]
    rows = []
    for time in np.linspace(0, 1, 61):
        row = [20 * time, height, 0, 0, 0, 300 * time]
        for name in names[1:]:
            bend = 40 * np.sin(np.pi * time) ** 2
            angle = {"UpLeg": -bend, "Leg": 2 * bend}.get(
                name.removeprefix("Left").removeprefix("Right"), 0
            )
            row += [0, angle, 0]
        rows.append(row)
    text = bvh_text(
        [prefix + name for name in names], parents, offsets, channels, np.asarray(rows), fps,
        {prefix + key: value for key, value in ends.items()},
    )  # fmt: skip
    return write(path, text)


def acclaim_squat(folder: Path) -> Path:
    """An ASF/AMC pair of a person who bends and stretches the knees."""
    rng = np.random.default_rng(0)
    still = {name: (0.0,) * len(values) for name, values in random_acclaim(rng, 0).items()}
    frames: list[dict[str, Sequence[float]]] = []
    for time in np.linspace(0, 1, 121):
        bend = 40 * np.sin(np.pi * time) ** 2
        bent = {"lfemur": (-bend, 0, 0), "rfemur": (-bend, 0, 0), "ltibia": (2 * bend,),
                "rtibia": (2 * bend,)}  # fmt: skip
        frames.append({**still, "root": (time, 17.0, 0, 0, 90 * time, 0), **bent})
    write(folder / "07.asf", asf_text())
    return write(folder / "07_02.amc", amc_text(frames))


def mapped(path: Path, table: str, unit: float) -> Array:
    recording = find_recordings(path, "auto")[0]
    clip = recording.read()
    found = find_table(clip.joints, "x") if table not in ("cmu-asf-hips",) else TABLES[table]
    assert found.name == table
    poses = map_joints(found, clip.joints, clip.positions)
    assert find_unit(poses, "x")[1] == pytest.approx(unit)
    assert find_up(poses, "x") == ("y", 1.0)
    return to_z_up(poses * unit, "y")


HANDS, CROWN = {"LeftHand": (9, 0, 0)}, {"Head": (0, 19, 1)}
TOPLESS = [bone for bone in MIXAMO if bone[0] != "HeadTop_End"]
TABLE_FILES: dict[str, Callable[[Path], Path]] = {
    "mixamo": lambda f: skeleton_file(f / "a.bvh", MIXAMO, "mixamorig:", HANDS, 95),
    "mixamo-end": lambda f: skeleton_file(f / "a.bvh", TOPLESS, "mixamorig1:", CROWN, 95),
    "cmu-bvh": lambda f: skeleton_file(f / "a.bvh", CMU_BVH, "", {"Head": (0, 1.77, 0)}, 16),
    "cmu-asf": acclaim_squat,
    "cmu-asf-hips": acclaim_squat,
}  # fmt: skip


@pytest.mark.parametrize("table", TABLE_FILES)
def test_each_table_makes_a_person(tmp_path: Path, table: str) -> None:
    poses = mapped(TABLE_FILES[table](tmp_path), table, 0.01 if "mixamo" in table else CMU)
    check_person(poses)
    assert (
        0.12
        < np.median(np.linalg.norm(poses[:, AT["Head"]] - poses[:, AT["Thorax"]], axis=-1))
        < 0.25
    )
    if table != "cmu-bvh":  # whose trunk is known to be short
        torso = np.linalg.norm(poses[:, AT["Thorax"]] - poses[:, 0], axis=-1)
        assert 0.4 < np.median(torso) < 0.56


def test_every_table_is_tested() -> None:
    assert set(TABLES) == {*TABLE_FILES, "human36m", "human36m-16", "plug-in-gait"}
    for table in TABLES.values():
        for ours, weights in table.rules.items():
            for theirs in weights:
                if ours[0] in "LR" and ours != "Neck/Nose":
                    assert theirs.lower()[0] == ours[0].lower() or theirs == ours, (ours, theirs)


@pytest.mark.parametrize("skeleton", [H36M_17, H36M_16])
def test_the_bvh_that_poseda_writes_is_read(tmp_path: Path, skeleton: Skeleton) -> None:
    poses = walk(30)[:, [AT[name] for name in skeleton.names]]
    camera = human36m_rig()[0]
    seen = camera.to_camera(poses)
    root = seen[:, 0]
    write_bvh(tmp_path / "walk.bvh", seen - root[:, None], skeleton, root=root, fps=30.0)
    recording = find_recordings(tmp_path / "walk.bvh", "auto")[0].read()
    table = find_table(recording.joints, "walk.bvh")
    found = map_joints(table, recording.joints, recording.positions)
    assert find_unit(found, "x") == ("cm", 0.01) and find_up(found, "x")[0] == "y"
    assert recording.fps == pytest.approx(30)
    again = 0.01 * found * [1, -1, -1]  # as the camera sees it
    kept = [AT[name] for name in skeleton.names]
    # From Thorax to Head necks bend, but a BVH file has one length.
    atol = 1e-4 if skeleton is H36M_17 else 3e-3
    np.testing.assert_allclose(again[:, kept], seen, atol=atol)


def test_the_squat_is_as_high_as_its_bones(tmp_path: Path) -> None:
    poses = mapped(acclaim_squat(tmp_path), "cmu-asf", CMU)
    shin = np.linalg.norm((2.5, -6.9, -0.1)) * CMU
    np.testing.assert_allclose(lengths(poses)[:, AT["LFoot"] - 1], shin)
    np.testing.assert_allclose(poses[:, 0, 2], 17.0 * CMU)


def test_an_unknown_skeleton_names_its_joints(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bone_a, bone_b; expected one of human36m") as error:
        find_table(("bone_a", "bone_b"), "x.bvh")
    assert "--joints FILE.json" in str(error.value) and "x.bvh" in str(error.value)
    with pytest.raises(ValueError, match="got 0 joints 'root'"):
        map_joints(TABLES["cmu-asf"], ("a",), np.zeros((1, 1, 3)), "x")
    with pytest.raises(ValueError, match="got 2 joints 'Hip'"):
        map_joints(TABLES["human36m"], ("x:Hip", *H36M_17.names), np.zeros((1, 18, 3)), "x")


def test_names_lose_their_name_space() -> None:
    assert plain_name("mixamorig:LeftArm") == plain_name("mixamorig9_LeftArm") == "leftarm"
    assert plain_name("Ann:Lab:LASI") == "lasi"


def test_a_table_of_the_users_own(tmp_path: Path) -> None:
    rules: dict[str, Any] = {name: f"j{joint}" for name, joint in AT.items() if name != "Neck/Nose"}
    rules["Spine"] = {"j0": 0.5, "j8": 0.5}
    table = load_table(write(tmp_path / "own.json", json.dumps(rules)))
    poses = walk(3)
    found = map_joints(table, [f"Z:J{joint}" for joint in range(17)], poses)
    np.testing.assert_allclose(found[:, AT["Spine"]], (poses[:, 0] + poses[:, 8]) / 2)
    np.testing.assert_allclose(found[:, AT["Neck/Nose"]], (poses[:, 8] + poses[:, 10]) / 2)
    others = [joint for name, joint in AT.items() if name not in ("Spine", "Neck/Nose")]
    np.testing.assert_array_equal(found[:, others], poses[:, others])
    for change, message in (
        ({"Hip": 3}, "got 3, expected a name"), ({"Hip": {}}, "expected a name"),
        ({"Hip": {"a": "b"}}, "names to weights"), ({"Hip": {"a": 0.5}}, "expected a sum of 1"),
        ({"Tail": "a"}, "with the keys Hip"), ({"Hip": {"a": True}}, "names to weights"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            load_table(write(tmp_path / "own.json", json.dumps({**rules, **change})))
    with pytest.raises(ValueError, match="no JSON"):
        load_table(write(tmp_path / "own.json", "{"))


# ---------------------------------------------------------------------------- told from the body


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_is_told_from_the_body(unit: str) -> None:
    poses = walk() / UNITS[unit]
    assert find_unit(poses, "x") == (unit, UNITS[unit])
    for stature in (1.1, 2.1):
        assert find_unit(poses * stature / 1.74, "x")[0] == unit
    with pytest.raises(ValueError, match="expected --unit"):
        find_unit(poses * 1e-4, "x")


def test_every_way_up_is_turned_without_mirroring() -> None:
    for up in ("x", "y", "z", "-x", "-y", "-z"):
        turned = to_z_up(np.eye(3), up).T
        assert np.linalg.det(turned) == pytest.approx(1)
        axis = np.zeros(3)
        axis["xyz".index(up[-1])] = -1 if up[0] == "-" else 1
        np.testing.assert_array_equal(to_z_up(axis, up), [0, 0, 1])
        poses = walk() @ np.linalg.inv(turned.T)
        assert find_up(poses, "x") == (up, 1.0)
        np.testing.assert_allclose(to_z_up(poses, up), walk(), atol=1e-12)
    np.testing.assert_allclose(to_z_up(y_up(walk()), "y"), walk(), atol=1e-12)
    with pytest.raises(ValueError, match="expected one of x, y"):
        to_z_up(np.eye(3), "w")


def test_no_up_axis_where_nobody_stands() -> None:
    poses = np.concatenate([to_z_up(walk(), up) for up in ("x", "y", "z", "-y")])
    with pytest.raises(ValueError, match="expected --up"):
        find_up(poses, "x")


def test_real_people_are_people(mocap: Path) -> None:
    clips = read_joints(mocap / "cmu.npz")
    for clip in clips[::4]:
        check_anatomy(clip.positions.astype(float), clip.name)
    assert len(clips) == 249


# ------------------------------------------------------------------------------- time and cameras


def test_resampling_takes_frames_that_are_there() -> None:
    poses = walk(61)
    np.testing.assert_array_equal(resample(poses, 30, 10), poses[::3])
    np.testing.assert_array_equal(resample(poses, 29.97, 9.99), poses[::3])
    np.testing.assert_array_equal(resample(poses, 30, 30), poses)
    with pytest.raises(ValueError, match="at most the 30"):
        resample(poses, 30, 31)


def test_resampling_between_frames_keeps_bones_and_speed() -> None:
    poses = walk(61)
    found = resample(poses, 30, 25)
    assert len(found) == 51
    np.testing.assert_allclose(
        lengths(found), np.broadcast_to(lengths(poses)[:1], (51, 16)), atol=1e-9
    )
    np.testing.assert_allclose(found[::5], poses[::6], atol=1e-9)
    fine = walk(61)[:, :1]  # the root moves on a straight line between frames
    np.testing.assert_allclose(found[1, :1], 0.8 * fine[1] + 0.2 * fine[2], atol=1e-9)
    holes = poses.copy()
    holes[8, 3] = np.nan
    assert np.isnan(resample(holes, 30, 25)).any(axis=(1, 2)).sum() == 2
    assert not np.isnan(resample(holes, 30, 10)).any()


def test_people_are_brought_to_the_middle() -> None:
    poses = walk() + np.asarray([40.0, -7.0, 0.0])
    moved, lift = centre(poses, (1.0, 2.0))
    assert lift == 0
    root = moved[:, 0, :2]
    np.testing.assert_allclose((root.min(0) + root.max(0)) / 2, (1.0, 2.0), atol=1e-9)
    np.testing.assert_allclose(moved[..., 2], poses[..., 2])
    sunk, lift = centre(poses - [0, 0, 3.0], (0.0, 0.0))
    assert lift == pytest.approx(3.0, abs=0.1)
    assert 0 < sunk[..., 2].min() < 0.1


def test_a_view_leaves_out_what_a_camera_does_not_see() -> None:
    camera = look_at("c", (1000.0, 1000.0, 500.0, 500.0), (1000, 1000), (0, 5, 1), (0, 0, 1))
    poses = np.repeat(walk(1), 5, axis=0)
    poses -= poses[:, :1] * [1, 1, 0]
    poses[1] += [9, 0, 0]  # beside the image
    poses[2] += [0, 4.5, 0]  # too near
    poses[3] += [0, 9, 0]  # behind
    poses[4, 2] = np.nan
    frames, seen, points, dropped = view(poses, camera)
    assert frames.tolist() == [0]
    assert sorted(dropped.values()) == [1, 1, 2]
    right, down, forward = np.asarray([-1, 0, 0]), np.asarray([0, 0, -1]), np.asarray([0, -1, 0])
    relative = poses[0] - [0, 5, 1]
    expected = np.stack([relative @ axis for axis in (right, down, forward)], axis=-1)
    np.testing.assert_allclose(seen[0], expected, atol=1e-12)
    np.testing.assert_allclose(points[0], 500 + 1000 * expected[:, :2] / expected[:, 2:])


CAMERA: dict[str, Any] = {
    "position": [0, -4, 1.5], "look_at": [0, 0, 1], "intrinsics": [1000, 1001, 500, 501],
    "image_size": [1000, 1002], "class": "chest",
}  # fmt: skip


def rig_file(path: Path, **changes: Any) -> str:
    camera = {key: value for key, value in {**CAMERA, **changes}.items() if value is not None}
    return str(write(path / "rig.json", json.dumps({"cameras": [camera], "centre": [1, 2]})))


def test_a_rig_from_a_file(tmp_path: Path) -> None:
    rig = load_rig(rig_file(tmp_path))
    (camera,) = rig.cameras
    assert (rig.name, rig.centre) == ("rig", (1.0, 2.0))
    assert (camera.camera_class, camera.image_size) == ("chest", (1000, 1002))
    turned = rig_file(tmp_path, look_at=None, rotation=camera.rotation.tolist(), **{"class": None})
    (other,) = load_rig(turned).cameras
    assert other.camera_class == "0"
    points = walk(2)
    np.testing.assert_allclose(other.to_camera(points), camera.to_camera(points))
    assert len(load_rig("human36m").cameras) == len(human36m_rig())
    assert len(load_rig("mpi-inf-3dhp").cameras) == 14


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"look_at": None}, "either look_at or rotation"),
        ({"look_at": [0, -4, 0]}, "straight up or down"),
        ({"look_at": None, "rotation": [[1, 0, 0], [0, 1, 0], [0, 0, -1]]}, "right, down, forward"),
        ({"look_at": None, "rotation": [[2, 0, 0], [0, 1, 0], [0, 0, 1]]}, "of length 1"),
        ({"intrinsics": [0, 1, 2, 3]}, r"cameras.0.intrinsics.0: .*greater than 0"),
        ({"intrinsics": [1, 2, 3]}, "intrinsics"),
        ({"image_size": [1000.5, 1000]}, "image_size"),
        ({"position": ["a", 0, 0]}, "position"),
        ({"position": None}, "position"),
        ({"fov": 60}, "fov"),
    ],
)
def test_a_wrong_rig_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_rig(rig_file(tmp_path, **changes))


def test_no_rig_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected human36m, mpi-inf-3dhp or a JSON file"):
        load_rig("vicon")
    with pytest.raises(ValueError, match="no JSON"):
        load_rig(str(write(tmp_path / "a.json", "[")))
    with pytest.raises(ValueError, match="cameras"):
        load_rig(str(write(tmp_path / "a.json", '{"cameras": []}')))
    with pytest.raises(ValueError, match="finite"):
        load_rig(rig_file(tmp_path, position=[float("nan"), 0, 0]))


# --------------------------------------------------------------------------------- the command


def prepared(source: Path, **options: Any) -> tuple[dict[str, Array], list[str]]:
    to = options.pop("to", (source if source.is_dir() else source.parent) / "out" / "c.npz")
    report = Mocap(folder=source, to=to, **options).run()
    load_pose_set(to, need_pose3d=True)
    with np.load(to) as file:
        return dict(file), report.lines()


def world(arrays: dict[str, Array], rows: Array, camera: Any) -> Array:
    found: Array = arrays["pose3d"][rows].astype(np.float64) @ camera.rotation + camera.position
    return found


def test_each_camera_sees_the_same_motion(tmp_path: Path) -> None:
    skeleton_file(
        tmp_path / "Ann" / "Squat 2.bvh", MIXAMO, "mixamorig:", {"LeftHand": (9, 0, 0)}, 95
    )
    arrays, lines = prepared(tmp_path, fps=20.0)
    about = json.loads(str(arrays["about"]))
    assert (about["joint_table"], about["unit_metres"], about["up"]) == ("mixamo", 0.01, "y")
    assert "Hip <- +0.5 LeftUpLeg +0.5 RightUpLeg" in about["joints"]
    assert about["licence"] and about["pose2d"].startswith("ground truth")
    assert set(arrays["subject"]) == {"Ann"} and set(arrays["action"]) == {"Squat"}
    assert set(arrays["fps"]) == {20.0} and sorted(set(arrays["camera"])) == [0, 1, 2, 3]
    rig = human36m_rig()
    views = []
    for number, camera in enumerate(rig):
        rows = arrays["camera"] == number
        np.testing.assert_array_equal(arrays["frame"][rows], np.arange(21))
        pose = arrays["pose3d"][rows].astype(np.float64)
        np.testing.assert_allclose(arrays["pose2d"][rows], camera.project(pose), rtol=1e-5)
        views.append(world(arrays, rows, camera))
    for other in views[1:]:
        np.testing.assert_allclose(other, views[0], atol=1e-5)
    check_person(views[0])
    root = views[0][:, 0, :2]
    np.testing.assert_allclose((root.min(0) + root.max(0)) / 2, 0, atol=1e-5)
    assert any("unit: cm assumed" in line for line in lines)
    assert any("up: y" in line for line in lines)


def test_a_folder_of_acclaim_files(tmp_path: Path) -> None:
    acclaim_squat(tmp_path / "subjects" / "07")
    arrays, lines = prepared(tmp_path, rig="mpi-inf-3dhp")
    assert set(arrays["subject"]) == {"07"}
    assert len(set(arrays["camera"])) == 14
    assert set(arrays["camera_class"]) == {"chest", "knee", "ceiling"}
    assert any("unit: 0.0564444 m, as the files say" in line for line in lines)
    assert "frame rate: 120 a second assumed (--source-fps)" in lines
    assert (arrays["camera"] == 0).sum() == 11, "a second of 120 frames, at 10 a second"


def test_dropped_views_are_counted(tmp_path: Path) -> None:
    poses = walk(40)
    poses[5:10, 3] = np.nan
    poses[10:20] += [30, 0, 0]
    poses[20:30] -= [30, 0, 0]
    path = tmp_path / "j.npz"
    np.savez(path, joints=poses.astype(np.float32))
    arrays, lines = prepared(path, fps=0, source_fps=30.0, test_part=0.0, up="z")
    assert set(arrays["frame"]) == {*range(5), *range(30, 40)} and set(arrays["fps"]) == {30.0}
    dropped = {line.split(": ")[1]: int(line.split()[1].replace(",", ""))
               for line in lines if line.startswith("dropped")}  # fmt: skip
    assert dropped["a joint is not there"] == 5 * 4
    assert sum(dropped.values()) == 25 * 4


def test_recordings_of_no_person_are_left_out_by_name(tmp_path: Path) -> None:
    poses = np.concatenate([walk(50), walk(50, seed=1)])
    poses[20:50] *= 100
    start = {"clip_start": np.asarray([0, 20, 50]), "clip_len": np.asarray([20, 30, 50])}
    names = np.asarray(["a", "b", "c"])
    path = joints_file(tmp_path / "j.npz", joints=poses.astype(np.float32), names=names,
                       subjects=names, actions=names, fps=np.asarray(10.0), **start)  # fmt: skip
    arrays, lines = prepared(path, unit="m", up="z", rig="human36m", test_part=0.0)
    assert set(arrays["subject"]) == {"a", "c"}
    assert any(line.startswith("left out ") and "j.npz: b: got a median" in line for line in lines)
    assert "dropped 120 frames: a recording of no person" in lines


def test_joints_that_are_never_there_are_named(tmp_path: Path) -> None:
    poses = walk(50)
    poses[:, AT["LKnee"]] = np.nan
    with pytest.raises(ValueError, match=r"got no frame .* often missing: LKnee$"):
        prepared(joints_file(tmp_path / "j.npz", joints=poses.astype(np.float32)))


def test_the_split_is_by_recording_and_stays(tmp_path: Path) -> None:
    clips = 40
    arrays = {
        "joints": np.tile(walk(5), (clips, 1, 1)).astype(np.float32),
        "clip_start": 5 * np.arange(clips), "clip_len": np.full(clips, 5),
        "names": np.asarray([f"c{n}" for n in range(clips)]),
        "subjects": np.asarray([f"s{n % 4}" for n in range(clips)]),
        "actions": np.full(clips, "walk"), "fps": np.full(clips, 10.0),
    }  # fmt: skip
    path = joints_file(tmp_path / "j.npz", **arrays)
    found, _ = prepared(path, test_part=0.25)
    split = {
        (s, c): t for s, c, t in zip(found["subject"], found["clip"], found["split"], strict=True)
    }
    assert len(split) == clips and 3 < sum(split.values()) < 20
    fewer, _ = prepared(path, test_part=0.25, subjects=("s1", "s2"))
    assert set(fewer["subject"]) == {"s1", "s2"}
    share = found["split"][np.isin(found["subject"], ["s1", "s2"])]
    np.testing.assert_array_equal(fewer["split"], share)
    people, _ = prepared(path, test_subjects=("s3",))
    np.testing.assert_array_equal(people["split"], people["subject"] == "s3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rig": "vicon"}, "rig: vicon: no such file"),
        ({"joints": "own.json"}, "joints: own.json: no such file; expected one of human36m"),
        ({"joints": "mixamo"}, "got 0 joints 'LeftUpLeg'"),
        ({"unit": "mm"}, "--unit, --up and --joints tell them"),
        ({"unit": "furlong"}, "unit: got 'furlong'"),
        ({"unit": "-1"}, "unit: got '-1'"),
        ({"fps": 50.0}, "fps: got 50, expected at most the 30"),
        ({"fps": -1.0}, "fps: got -1"),
        ({"test_part": 1.5}, "test_part"),
        ({"subjects": ("cyd",)}, "subjects: got cyd, of whom there is nothing; expected some of"),
        ({"test_subjects": ("cyd",)}, "subjects: got cyd"),
        ({"format": "bvh"}, "no motion capture files"),
    ],
)
def test_wrong_options_leave_nothing_behind(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    path = joints_file(tmp_path / "j.npz")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        prepared(path, **options)
    assert not list((tmp_path / "out").glob("*")) and not list((tmp_path / "out").glob(".*"))


def test_the_command_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = joints_file(tmp_path / "j.npz", joints=(1000 * y_up(walk(50))).astype(np.float32))
    to = tmp_path / "c.npz"
    main(["prepare", "mocap", "--from", str(path), "--to", str(to), "--rig", rig_file(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"2 recordings in {path}"
    assert "unit: mm assumed, since the people are of human size in it" in lines
    assert "up: y (heads are above feet along it in 100% of the frames)" in lines
    assert load_pose_set(to, need_pose3d=True).camera_class.tolist()[0] == "chest"
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "mocap", "--from", str(path), "--to", str(to), "--rig", "vicon"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("poseda: error: rig: vicon: no such file")


def test_mirrored_people_are_refused(tmp_path: Path) -> None:
    path = joints_file(tmp_path / "j.npz", joints=(walk(50) * [-1, 1, 1]).astype(np.float32))
    with pytest.raises(ValueError, match="as if left and right or an axis were swapped"):
        prepared(path)


def test_folders_that_say_too_little(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no such folder; .*mocap.cs.cmu.edu.*may not be resold"
    ):
        prepared(tmp_path / "none", to=tmp_path / "c.npz")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FileNotFoundError, match="has no motion capture files"):
        prepared(empty)
    amc = acclaim_squat(tmp_path / "cmu")
    write(amc.parent / "08.asf", asf_text())
    (amc.parent / "07.asf").rename(amc.parent / "09.asf")
    with pytest.raises(FileNotFoundError, match=r"got 2 .asf files, expected .*07.asf"):
        prepared(amc.parent)
    joints_file(amc.parent / "j.npz")
    with pytest.raises(ValueError, match="formats amc, npz; expected --format"):
        prepared(amc.parent)


def test_names_of_files_say_who_does_what(tmp_path: Path) -> None:
    assert describe_file(tmp_path / "02" / "02_01.amc", tmp_path) == ("02", "")
    assert describe_file(tmp_path / "S1" / "Walking 1.bvh", tmp_path) == ("S1", "Walking")
    assert describe_file(tmp_path / "Capoeira.bvh", tmp_path) == ("", "Capoeira")


def test_cmu_through_the_human36m_rig_is_like_the_benchmarks_source(
    mocap: Path, tmp_path: Path
) -> None:
    people = ("CMU_02", "CMU_03", "CMU_09", "CMU_16")
    arrays, lines = prepared(mocap / "cmu.npz", to=tmp_path / "c.npz", subjects=people)
    with np.load(mocap / "source_cmu.npz") as file:
        same = np.isin(file["subject"], people)
        theirs = {key: file[key][same] for key in ("pose3d", "pose2d")}
    assert len(arrays["pose3d"]) == pytest.approx(len(theirs["pose3d"]), rel=0.04)

    def spread(values: Array) -> Array:
        found: Array = np.percentile(values, (5, 50, 95))
        return found

    depth = [spread(each["pose3d"][:, 0, 2]) for each in (arrays, theirs)]
    np.testing.assert_allclose(depth[0], depth[1], atol=0.6)
    assert abs(depth[0][1] - depth[1][1]) < 0.25
    for axis in (0, 1):
        size = [spread(np.ptp(each["pose2d"][..., axis], axis=1)) for each in (arrays, theirs)]
        np.testing.assert_allclose(size[0], size[1], rtol=0.1)
    assert sum(int(line.split()[1]) for line in lines if line.startswith("dropped")) < 100
