"""3DPW: SMPL's joints, the data set's pickles as Python 2 wrote them, and AdaptPose's files."""

from __future__ import annotations

import copy
import functools
import io
import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from poseda.data import load_pose_set
from poseda.data.geometry import rotation_matrices
from poseda.data.prepare.anatomy import check_anatomy
from poseda.data.prepare.three_dpw import ThreeDPW
from poseda.data.prepare.three_dpw.sequences import SMPL_24, detected, read_sequence
from poseda.data.smpl import (
    BodyModel,
    RegressedJoints,
    find_body_model,
    load_body_model,
    load_regressor,
)
from poseda.data.synthetic.rigs import look_at
from poseda.keypoints.maps import JOINT_SETS
from poseda_ext.skeleton import H36M_16, H36M_17

Array = NDArray[Any]
AT = {name: joint for joint, name in enumerate(H36M_17.names)}

# ------------------------------------------------------------------------- a small body model

# SMPL's joints, with parent and place in the rest pose: y up, facing z, the left at x; metres.
SMPL: tuple[tuple[str, int, tuple[float, float, float]], ...] = (
    ("pelvis", -1, (0, 0, 0)), ("left_hip", 0, (0.06, -0.09, 0)),
    ("right_hip", 0, (-0.06, -0.09, 0)), ("spine1", 0, (0, 0.11, 0)),
    ("left_knee", 1, (0.1, -0.47, 0)), ("right_knee", 2, (-0.1, -0.47, 0)),
    ("spine2", 3, (0, 0.25, 0)), ("left_ankle", 4, (0.09, -0.87, -0.03)),
    ("right_ankle", 5, (-0.09, -0.87, -0.03)), ("spine3", 6, (0, 0.3, 0)),
    ("left_foot", 7, (0.11, -0.93, 0.1)), ("right_foot", 8, (-0.11, -0.93, 0.1)),
    ("neck", 9, (0, 0.51, -0.03)), ("left_collar", 9, (0.08, 0.42, -0.02)),
    ("right_collar", 9, (-0.08, 0.42, -0.02)), ("head", 12, (0, 0.6, 0.02)),
    ("left_shoulder", 13, (0.17, 0.45, -0.03)), ("right_shoulder", 14, (-0.17, 0.45, -0.03)),
    ("left_elbow", 16, (0.43, 0.44, -0.05)), ("right_elbow", 17, (-0.43, 0.44, -0.05)),
    ("left_wrist", 18, (0.68, 0.44, -0.05)), ("right_wrist", 19, (-0.68, 0.44, -0.05)),
    ("left_hand", 20, (0.77, 0.44, -0.06)), ("right_hand", 21, (-0.77, 0.44, -0.06)),
)  # fmt: skip
NAMES = [name for name, _, _ in SMPL]
PARENTS = [parent for _, parent, _ in SMPL]
REST = np.asarray([place for _, _, place in SMPL])
RING = 0.05 * np.concatenate([np.eye(3), -np.eye(3)])  # vertices around each joint
# Human3.6M's joints as SPIN's regressor orders them: the left leg comes first.
SPIN_ORDER = [0, 4, 5, 6, 1, 2, 3, *range(7, 17)]


def small_model(seed: int = 0) -> BodyModel:
    """24 joints, six vertices around each."""
    rng = np.random.default_rng(seed)
    vertices, joints = 6 * len(SMPL), len(SMPL)
    regressor = np.kron(np.eye(joints), np.full((1, 6), 1 / 6))
    weights = np.kron(np.eye(joints), np.ones((6, 1))) + 0.2 * rng.random((vertices, joints)) ** 4
    return BodyModel(
        template=(REST[:, None] + RING).reshape(vertices, 3),
        shapes=0.01 * rng.standard_normal((vertices, 3, 12)),
        poses=0.002 * rng.standard_normal((vertices, 3, 9 * (joints - 1))),
        regressor=regressor,
        weights=weights / weights.sum(1, keepdims=True),
        parents=tuple(PARENTS),
    )


def spin_regressor() -> Array:
    """(17, V): Human3.6M's joints from the rings around SMPL's."""
    matrix = SMPL_24.matrix  # (17, 24)
    rows: Array = np.kron(matrix, np.full((1, 6), 1 / 6))[SPIN_ORDER]
    return rows


def skin(model: BodyModel, shape: Array, turns: Array, place: Array) -> Array:
    """(V, 3): linear blend skinning, vertex by vertex with 4 x 4 matrices."""
    rotations = [rotation_by_series(vector) for vector in turns.reshape(-1, 3)]
    shaped = model.template + model.shapes[..., : len(shape)] @ shape
    joints = model.regressor @ shaped
    bend = np.concatenate([(rotation - np.eye(3)).ravel() for rotation in rotations[1:]])
    posed = shaped + model.poses @ bend
    world: list[Array] = []
    for joint, parent in enumerate(model.parents):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        world.append(world[parent] @ local if parent >= 0 else local)
    for joint, matrix in enumerate(world):
        away = np.eye(4)
        away[:3, 3] = -joints[joint]
        world[joint] = matrix @ away
    moved = []
    for vertex, weights in zip(posed, model.weights, strict=True):
        blend = sum(weight * matrix for weight, matrix in zip(weights, world, strict=True))
        moved.append((blend @ [*vertex, 1])[:3] + place)
    return np.asarray(moved)


def rotation_by_series(vector: Array) -> Array:
    """exp of the cross product matrix, term by term."""
    x, y, z = vector
    cross = np.asarray([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    total, term = np.eye(3), np.eye(3)
    for power in range(1, 40):
        term = term @ cross / power
        total = total + term
    return total


def test_axis_angles_become_rotations() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((5, 4, 3))
    vectors[0, 0] = 0
    vectors[0, 1] = 1e-9
    vectors[0, 2] *= np.pi / np.linalg.norm(vectors[0, 2])
    found = rotation_matrices(vectors)
    for index in np.ndindex(5, 4):
        np.testing.assert_allclose(found[index], rotation_by_series(vectors[index]), atol=1e-12)


def test_regressed_joints_are_those_of_the_skinned_vertices() -> None:
    model, regressor = small_model(), spin_regressor()
    rng = np.random.default_rng(1)
    shape, place = rng.standard_normal(10), rng.standard_normal((3, 3))
    turns = 0.7 * rng.standard_normal((3, 72))
    found = RegressedJoints(model, regressor)(shape, turns, place)
    for frame in range(3):
        vertices = skin(model, shape, turns[frame], place[frame])
        ours = (regressor @ vertices)[SPIN_ORDER]
        np.testing.assert_allclose(found[frame], ours, atol=1e-12)


def test_sides_are_told_from_the_template() -> None:
    model, regressor = small_model(), spin_regressor()
    still = np.zeros((1, 72))
    expected = SMPL_24.points(REST)
    for rows in (regressor, regressor[SPIN_ORDER], regressor[[*range(11), 14, 15, 16, 11, 12, 13]]):
        found = RegressedJoints(model, rows)(np.zeros(10), still, np.zeros((1, 3)))
        np.testing.assert_allclose(found[0], expected, atol=1e-12)
    with pytest.raises(ValueError, match="not those of a person"):
        RegressedJoints(model, regressor[::-1])
    with pytest.raises(ValueError, match="got 143 vertices, expected the 144"):
        RegressedJoints(model, regressor[:, 1:])
    with pytest.raises(ValueError, match=r"expected \(T, 72\)"):
        RegressedJoints(model, regressor)(np.zeros(10), np.zeros((1, 156)), np.zeros((1, 3)))


def model_arrays(model: BodyModel) -> dict[str, Array]:
    table = np.asarray([model.parents, range(len(model.parents))]).astype(np.uint32)
    return {
        "v_template": model.template, "shapedirs": model.shapes, "posedirs": model.poses,
        "J_regressor": model.regressor, "weights": model.weights, "kintree_table": table,
    }  # fmt: skip


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with a model of men as .npz and one of women as a plain pickle, and a regressor."""
    folder = tmp_path / "models"
    folder.mkdir()
    np.savez(folder / "SMPL_MALE.npz", **model_arrays(small_model(0)))  # type: ignore[arg-type]
    content = {**model_arrays(small_model(1)), "bs_type": "lrotmin", "extra": [1, 2]}
    (folder / "basicModel_f_lbs_10_207_0_v1.0.0.pkl").write_bytes(python2_pickle(content))
    np.save(folder / "J_regressor_h36m.npy", spin_regressor())
    return folder


def test_body_models_are_found_and_read(models: Path) -> None:
    for gender, seed in (("m", 0), ("f", 1)):
        loaded, expected = load_body_model(find_body_model(models, gender)), small_model(seed)
        for name in ("template", "shapes", "poses", "regressor", "weights"):
            np.testing.assert_array_equal(getattr(loaded, name), getattr(expected, name))
        assert loaded.parents == expected.parents
    with pytest.raises(FileNotFoundError, match=r"no SMPL model for neutral .*smpl.is.tue.mpg.de"):
        find_body_model(models, "n")


class _Chumpy:
    """What stands in SMPL's own files."""

    def __reduce__(self) -> Any:
        return os.system, ("true",)


def test_models_that_hold_code_are_refused_with_the_way_out(models: Path) -> None:
    data = pickle.dumps({"v_template": _Chumpy()}, 2).replace(b"posix\nsystem", b"chumpy.ch\nCh")
    path = models / "SMPL_NEUTRAL.pkl"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"chumpy\.ch.*np\.savez") as error:
        load_body_model(path)
    assert str(path) in str(error.value)
    objects = np.asarray([{"a": 1}], dtype=object)
    np.savez(models / "SMPL_NEUTRAL.npz", v_template=objects)
    with pytest.raises(ValueError, match=r"np\.savez"):
        load_body_model(models / "SMPL_NEUTRAL.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": None}, "has no weights"),
        ({"weights": np.zeros((3, 24))}, r"weights: got shape \(3, 24\), expected \(144, 24\)"),
        ({"posedirs": np.zeros((144, 3, 9))}, "posedirs: got shape"),
        ({"kintree_table": np.full((2, 24), 23)}, "expected parents first"),
        ({"v_template": np.full((144, 3), np.nan)}, "NaN"),
    ],
)
def test_wrong_models_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    arrays = {**model_arrays(small_model()), **changes}
    path = tmp_path / "SMPL_MALE.npz"
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(ValueError, match=message):
        load_body_model(path)


def test_wrong_regressors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "J_regressor_h36m.npy"
    with pytest.raises(FileNotFoundError, match="SPIN"):
        load_regressor(path)
    for wrong in (np.ones((17, 5)), np.ones((24, 5)) / 5, np.full((17, 5), np.nan), np.ones(17)):
        np.save(path, wrong)
        with pytest.raises(ValueError, match="add up to 1"):
            load_regressor(path)
    path.write_bytes(b"\x93NUMPY")
    with pytest.raises(ValueError, match="no plain array"):
        load_regressor(path)


# ------------------------------------------------------------------------- the data set's files


def python2_pickle(content: Any) -> bytes:
    """The bytes that Python 2 with numpy 1 writes: `str` for texts and for the numbers alike."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else (
            b"T" + struct.pack("<i", len(value)) + value
        )  # fmt: skip

    def integer(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    def put(value: Any) -> bytes:
        if isinstance(value, dict):
            return b"}(" + b"".join(put(k) + put(v) for k, v in value.items()) + b"u"
        if isinstance(value, list):
            return b"](" + b"".join(put(each) for each in value) + b"e"
        if isinstance(value, str):
            return text(value.encode())
        if isinstance(value, int):
            return integer(value)
        assert isinstance(value, np.ndarray)
        dtype = b"cnumpy\ndtype\n" + text(value.dtype.str[1:].encode()) + b"K\x00K\x01\x87R"
        order = b"|" if value.dtype.itemsize == 1 else b"<"
        dtype += b"(K\x03" + text(order) + b"NNN" + integer(-1) + integer(-1) + b"K\x00tb"
        shape = b"(" + b"".join(integer(size) for size in value.shape) + b"t"
        start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        return start + b"(K\x01" + shape + dtype + b"\x89" + text(value.tobytes()) + b"tb"

    return b"\x80\x02" + put(content) + b"."


def test_the_pickles_of_the_tests_are_pickles() -> None:
    content: dict[str, Any] = {"a": [1, "text", np.ones((2, 3)) / 3], "b": np.ones(2, bool)}
    found = pickle.load(io.BytesIO(python2_pickle(content)), encoding="latin1")
    assert found["a"][:2] == [1, "text"]
    np.testing.assert_array_equal(found["a"][2], content["a"][2])
    np.testing.assert_array_equal(found["b"], content["b"])


FRAMES = 40


def motion(frames: int = FRAMES, seed: int = 0) -> tuple[Array, Array]:
    """(T, 72) axis-angle vectors and (T, 3) places of a person who bends the knees and turns."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 1, frames)
    turns = np.zeros((frames, 24, 3))
    turns[:, 0, 1] = rng.uniform(-1, 1) + time
    bend = 0.3 + 0.5 * np.sin(np.pi * time)
    for side in ("left", "right"):
        turns[:, NAMES.index(f"{side}_hip"), 0] = -bend
        turns[:, NAMES.index(f"{side}_knee"), 0] = 2 * bend
    turns[:, NAMES.index("left_shoulder"), 2] = -0.9
    turns[:, NAMES.index("right_shoulder"), 2] = 0.9 - 0.5 * time
    return turns.reshape(frames, 72), np.stack([time, 0.9 - 0.1 * bend, 0 * time], axis=1)


def smpl_joints(model: BodyModel, shape: Array, turns: Array, place: Array) -> Array:
    """(T, 24, 3) joints in the world."""
    rest = model.regressor @ (model.template + model.shapes[..., : len(shape)] @ shape)
    found = []
    for vectors, where in zip(turns.reshape(-1, 24, 3), place, strict=True):
        world: list[Array] = []
        points: list[Array] = []
        for joint, parent in enumerate(model.parents):
            above = world[parent] if parent >= 0 else np.eye(3)
            world.append(above @ rotation_by_series(vectors[joint]))
            points.append(points[parent] + above @ (rest[joint] - rest[parent]) if parent >= 0
                          else rest[joint] + where)  # fmt: skip
        found.append(points)
    return np.asarray(found)


def y_up_camera(frames: int, size: tuple[int, int]) -> tuple[Array, Array]:
    """(T, 4, 4) world (y up) to camera of a hand that moves, and (3, 3) intrinsics."""
    y_to_z = np.asarray([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    poses = []
    for time in np.linspace(0, 1, frames):
        camera = look_at("", (1, 1, 0, 0), size, (3.5 - time, -2.0, 1.4), (0.5, 0.0, 0.9))
        pose = np.eye(4)
        pose[:3, :3] = camera.rotation @ y_to_z
        pose[:3, 3] = -camera.rotation @ camera.position
        poses.append(pose)
    fx, fy = (1961.9, 1969.2) if size[0] < size[1] else (1969.2, 1961.9)
    return np.asarray(poses), np.asarray([[fx, 0, size[0] / 2], [0, fy, size[1] / 2], [0, 0, 1]])


def image(points: Array, cameras: Array, matrix: Array) -> tuple[Array, Array]:
    """Points in the camera frame and in pixels, frame by frame."""
    seen = np.asarray([(camera[:3, :3] @ p.T).T + camera[:3, 3]
                       for p, camera in zip(points, cameras, strict=True)])  # fmt: skip
    pixels = seen @ matrix.T
    return seen, pixels[..., :2] / pixels[..., 2:]


def openpose(joints: Array) -> Array:
    """(T, 18, 3) where OpenPose's keypoints are on a person of (T, 24, 3) SMPL joints."""
    point = {name: joints[:, joint] for joint, name in enumerate(NAMES)}
    head, neck = point["head"], point["neck"]
    left = point["left_shoulder"] - point["right_shoulder"]
    left = left / np.linalg.norm(left, axis=-1, keepdims=True)
    place = {"Neck": (point["left_shoulder"] + point["right_shoulder"]) / 2}
    front = np.cross(left, head - neck)
    front = front / np.linalg.norm(front, axis=-1, keepdims=True)
    place["Nose"] = head + 0.1 * front
    for side, sign in (("L", 0.5), ("R", -0.5)):
        place[f"{side}Eye"] = head + 0.09 * front + sign * 0.06 * left
        place[f"{side}Ear"] = head + sign * 0.15 * left
    for side, name in (("L", "left"), ("R", "right")):
        for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"):
            place[f"{side}{part.capitalize()}"] = point[f"{name}_{part}"]
    return np.stack([place[name] for name in JOINT_SETS["coco_18"].joints], axis=1)


def sequence(
    size: tuple[int, int] = (1080, 1920), people: int = 2, seed: int = 0
) -> dict[str, Any]:
    """What is in one of 3DPW's files."""
    return copy.deepcopy(_sequence(size, people, seed))


@functools.cache
def _sequence(size: tuple[int, int], people: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    cameras, matrix = y_up_camera(FRAMES, size)
    content: dict[str, Any] = {
        "sequence": f"courtyard_squat_0{seed}", "cam_poses": cameras, "cam_intrinsics": matrix,
        "img_frame_ids": np.arange(FRAMES), "genders": ["m", "f"][:people], "betas": [],
        "poses": [], "trans": [], "jointPositions": [], "poses2d": [], "campose_valid": [],
        "texture_maps": [],
    }  # fmt: skip
    for person in range(people):
        shape, (turns, place) = rng.standard_normal(10), motion(seed=seed + person)
        place = place + np.asarray((0.0, 0.0, 0.7 * person))
        joints = smpl_joints(small_model(person), shape, turns, place)
        _, pixels = image(openpose(joints), cameras, matrix)
        confidence = np.full((FRAMES, 1, 18), 0.9)
        content["betas"].append(shape)
        content["poses"].append(turns)
        content["trans"].append(place)
        content["jointPositions"].append(joints.reshape(FRAMES, 72))
        content["poses2d"].append(np.concatenate([pixels.swapaxes(1, 2), confidence], axis=1))
        content["campose_valid"].append(np.ones(FRAMES, dtype=np.uint8))
    return content


def data_set(folder: Path, **parts: list[dict[str, Any]]) -> Path:
    for part, contents in parts.items():
        for content in contents:
            path = folder / "sequenceFiles" / part / f"{content['sequence']}.pkl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(python2_pickle(content))
    return folder


def prepared(folder: Path, **options: Any) -> tuple[dict[str, Array], list[str]]:
    to = folder / "out" / "3dpw.npz"
    report = ThreeDPW(folder=folder, to=to, **options).run()
    load_pose_set(to, skeleton=H36M_17, need_pose3d=True)
    with np.load(to) as file:
        return dict(file), report.lines()


def test_smpl_joints_in_portrait_and_landscape(tmp_path: Path) -> None:
    portrait, landscape = sequence(), sequence((1920, 1080), people=1, seed=1)
    arrays, lines = prepared(data_set(tmp_path, train=[portrait], test=[landscape]))
    assert len(arrays["pose3d"]) == 3 * FRAMES
    first = np.flatnonzero(arrays["clip"] == 0)
    for content, clip, person in ((portrait, 0, 0), (portrait, 1, 1), (landscape, 2, 0)):
        rows = arrays["clip"] == clip
        world = SMPL_24.points(content["jointPositions"][person].reshape(FRAMES, 24, 3))
        seen, pixels = image(world, content["cam_poses"], content["cam_intrinsics"])
        np.testing.assert_allclose(arrays["pose3d"][rows], seen, atol=1e-5)
        np.testing.assert_allclose(arrays["pose2d"][rows], pixels, rtol=1e-5)
        check_anatomy(arrays["pose3d"][rows].astype(float), "x")
        np.testing.assert_array_equal(arrays["frame"][rows], np.arange(FRAMES))
        assert set(arrays["action"][rows]) == {"courtyard_squat"}
    assert arrays["image_size"][first].tolist() == [[1080, 1920]] * FRAMES, "pixels stay pixels"
    np.testing.assert_allclose(arrays["intrinsics"][first[0]], (1961.9, 1969.2, 540, 960))
    assert arrays["image_size"][-1].tolist() == [1920, 1080]
    assert (arrays["split"] == (arrays["clip"] == 2)).all() and set(arrays["fps"]) == {30.0}
    assert set(arrays["subject"]) == {f"courtyard_squat_0{n}" for n in ("0/0", "0/1", "1/0")}
    about = json.loads(str(arrays["about"]))
    assert about["warning"].startswith("warning: the 3D labels are SMPL's own joints")
    assert about["warning"] in lines and "non-commercial" in about["licence"]
    poses = load_pose_set(tmp_path / "out" / "3dpw.npz")
    assert (poses.pose2d.abs() <= 1).all(), "portrait images are padded when they are loaded"


def test_joints_from_the_body_model(tmp_path: Path, models: Path) -> None:
    content = sequence()
    data_set(tmp_path, train=[content], test=[sequence(seed=1)])
    arrays, lines = prepared(tmp_path, body_model=models, regressor=models / "J_regressor_h36m.npy")
    for person in (0, 1):
        rows = np.flatnonzero(arrays["clip"] == person)[::13]
        for row in rows:
            frame = arrays["frame"][row]
            turns, place = content["poses"][person][frame], content["trans"][person][frame]
            vertices = skin(small_model(person), content["betas"][person], turns, place)
            joints = (spin_regressor() @ vertices)[SPIN_ORDER]
            camera = content["cam_poses"][frame]
            expected = joints @ camera[:3, :3].T + camera[:3, 3]
            np.testing.assert_allclose(arrays["pose3d"][row], expected, atol=1e-5)
    about = json.loads(str(arrays["about"]))
    assert "warning" not in about and "regressed" in about["labels"]
    assert not any("warning" in line for line in lines)
    assert sum("body model" in line for line in lines) == 2


def test_frames_without_a_camera_are_dropped_and_counted(tmp_path: Path) -> None:
    content = sequence()
    content["campose_valid"][0][:7] = 0
    content["campose_valid"][1][:] = 0
    content["trans"][0][20] += 100.0
    joints = content["jointPositions"][0].reshape(FRAMES, 24, 3)
    camera = content["cam_poses"]
    joints[20] -= joints[20, 0] + camera[20, :3, :3].T @ (camera[20, :3, 3] + (0, 0, 3.0))  # behind
    joints[21] += camera[21, :3, :3].T @ np.asarray([9.0, 0, 0])  # beside the image
    arrays, lines = prepared(data_set(tmp_path, train=[content], test=[sequence(seed=1)]))
    rows = arrays["split"] == 0
    assert set(arrays["subject"][rows]) == {"courtyard_squat_00/0"}
    assert arrays["frame"][rows].tolist() == [*range(7, 20), *range(22, FRAMES)]
    dropped = {line.split(": ")[1]: int(line.split()[1]) for line in lines if "dropped" in line}
    assert sorted(dropped.values()) == [1, 1, 47]
    assert dropped["the camera is not aligned with the image (campose_valid)"] == 47


def test_detections(tmp_path: Path) -> None:
    content = sequence(people=1)
    keypoints = content["poses2d"][0]
    joints = JOINT_SETS["coco_18"].joints
    keypoints[3, :, joints.index("LWrist")] = 0
    keypoints[5:30, :, joints.index("RAnkle")] = 0
    keypoints[9] = 0
    arrays, lines = prepared(data_set(tmp_path, train=[content], test=[content]), pose2d="detected")
    rows = np.flatnonzero(arrays["split"] == 0)
    frames = arrays["frame"][rows].tolist()
    assert frames == [frame for frame in range(FRAMES) if frame != 9]
    points = keypoints[:, :2].swapaxes(1, 2)
    for ours, theirs in (("RHip", "RHip"), ("LElbow", "LElbow"), ("Thorax", "Neck")):
        np.testing.assert_allclose(
            arrays["pose2d"][rows, AT[ours]], points[frames, joints.index(theirs)], rtol=1e-6
        )
    hidden = arrays["confidence"][rows] == 0
    assert [frames[row] for row in np.flatnonzero(hidden[:, AT["LWrist"]])] == [3]
    assert hidden[:, AT["RFoot"]].sum() == 24
    assert np.isfinite(arrays["pose2d"]).all()
    between = (points[2, joints.index("LWrist")] + points[4, joints.index("LWrist")]) / 2
    np.testing.assert_allclose(arrays["pose2d"][rows[3], AT["LWrist"]], between, rtol=1e-6)
    assert "dropped 2 frames: fewer than 6 joints were detected, or too few of the trunk" in lines
    assert json.loads(str(arrays["about"]))["pose2d"].startswith("OpenPose")
    poses = load_pose_set(tmp_path / "out" / "3dpw.npz")
    assert poses.seen is not None and int((~poses.seen).sum()) == 2 * 25


def test_openpose_keypoints_become_a_person() -> None:
    content = sequence(people=1)
    points, confidence, whole = detected(content["poses2d"][0])
    assert whole.all() and (confidence == 0.9).all()
    truth = SMPL_24.points(content["jointPositions"][0].reshape(FRAMES, 24, 3))
    _, expected = image(truth, content["cam_poses"], content["cam_intrinsics"])
    assert np.median(np.linalg.norm(points - expected, axis=-1)) < 30
    assert np.abs(points - expected)[:, [AT["LHip"], AT["RWrist"], AT["RFoot"]]].max() < 1e-6


def test_validation_counts_to_train_and_strides_are_kept(tmp_path: Path) -> None:
    data_set(tmp_path, validation=[sequence()], test=[sequence(seed=1)])
    arrays, lines = prepared(tmp_path, parts=("validation", "test"), stride=3)
    assert set(arrays["split"]) == {0, 1} and set(arrays["frame"]) == set(range(0, FRAMES, 3))
    assert any(line.startswith("validation: 1 sequences, 2 people, 28 poses") for line in lines)
    with pytest.raises(FileNotFoundError, match=r"train: has no .pkl files.*virtualhumans"):
        prepared(tmp_path)


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no cameras": (lambda c: c.pop("cam_poses"), "cam_poses: got NoneType"),
    "camera to world by rows": (lambda c: c.update(cam_poses=c["cam_poses"].swapaxes(1, 2)),
                                "expected rigid motions"),
    "scaled cameras": (lambda c: c.update(cam_poses=c["cam_poses"] * 2), "expected rigid motions"),
    "mirrored cameras": (lambda c: c.update(cam_poses=c["cam_poses"] * [[-1], [1], [1], [1]]),
                         "expected rigid motions"),
    "other image": (lambda c: c["cam_intrinsics"].__setitem__((0, 2), 320), "1080 x"),
    "frames": (lambda c: c["poses2d"].__setitem__(1, c["poses2d"][1][:-1]),
               r"poses2d: got shape \(39, 3, 18\), expected"),
    "keypoints the other way": (lambda c: c.update(poses2d=[each.swapaxes(1, 2)
                                                            for each in c["poses2d"]]),
                                r"\(40, 18, 3\)"),
    "NaN": (lambda c: c["jointPositions"][0].__setitem__(0, np.nan), "with NaN"),
    "one person": (lambda c: c["trans"].pop(), "trans: expected one array for each person"),
    "gender": (lambda c: c["genders"].__setitem__(0, "x"), "expected m, f or n"),
    "no genders": (lambda c: c.update(genders="mf"), "expected a list of m and f"),
    "validity": (lambda c: c["campose_valid"].__setitem__(0, np.arange(FRAMES)), "than 0 and 1"),
    "text": (lambda c: c.update(cam_poses="a" * 40), "got str, expected an array"),
}  # fmt: skip


@pytest.mark.parametrize("change", WRONG)
def test_mislabelled_sequences_are_refused(tmp_path: Path, change: str) -> None:
    content = sequence()
    WRONG[change][0](content)
    data_set(tmp_path, train=[content], test=[sequence(seed=1)])
    with pytest.raises(ValueError, match=WRONG[change][1]) as error:
        prepared(tmp_path)
    assert "courtyard_squat_00.pkl" in str(error.value)
    assert not list((tmp_path / "out").iterdir())


def test_truncated_sequences_are_refused(tmp_path: Path) -> None:
    whole = python2_pickle(sequence())
    path = tmp_path / "a.pkl"
    for length in range(0, len(whole), len(whole) // 60):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=str(path)):
            read_sequence(path)


def test_code_in_a_sequence_never_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pkl"
    monkeypatch.chdir(tmp_path)

    class Hostile:
        def __reduce__(self) -> Any:
            return os.mkdir, ("canary",)

    path.write_bytes(pickle.dumps({**sequence(people=1), "texture_maps": Hostile()}, 2))
    with pytest.raises(ValueError, match="mkdir"):
        read_sequence(path)
    assert not (tmp_path / "canary").exists()


def test_cameras_the_wrong_way_round_are_noticed(tmp_path: Path) -> None:
    content = sequence()
    content["cam_poses"] = np.linalg.inv(content["cam_poses"])
    content["cam_poses"][:, 2, 3] += 6  # so that people are before the camera
    content["cam_poses"][:, :3, 3] += (3, -1, 0)
    data_set(tmp_path, train=[content], test=[content])
    with pytest.raises(ValueError, match=r"away from the detections|no frames"):
        prepared(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride: got 0"),
        ({"body_model": Path("models")}, r"expected both or none: SMPL is from smpl.is.tue.mpg.de"),
        ({"regressor": Path("a.npy")}, "expected both or none"),
        ({"body_model": Path("models"), "regressor": Path("a.npy")}, "a.npy: no such file"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    data_set(tmp_path, train=[sequence()], test=[sequence()])
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        prepared(tmp_path, **options)


def test_a_missing_model_is_named_before_any_work(tmp_path: Path, models: Path) -> None:
    (models / "SMPL_MALE.npz").unlink()
    data_set(tmp_path, train=[sequence()], test=[sequence()])
    with pytest.raises(FileNotFoundError, match=r"SMPL_MALE.npz .*smpl.is.tue.mpg.de"):
        prepared(tmp_path, body_model=models, regressor=models / "J_regressor_h36m.npy")


def test_an_empty_folder_says_where_the_files_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no sequenceFiles or data_3dpw_gt_train.npz.*"
                       r"virtualhumans.mpi-inf.mpg.de/3DPW .*non-commercial"):  # fmt: skip
        prepared(tmp_path)


# ------------------------------------------------------------------------------ AdaptPose's files


def adaptpose(folder: Path, absolute: bool, **changes: Any) -> dict[str, tuple[Array, Array]]:
    """Both files; the legs of the test file are exchanged. Returns 3D and pixels in a square."""
    keep = [AT[name] for name in H36M_16.names]
    truth = {}
    for seed, part in enumerate(("train", "test")):
        content = sequence(people=1, seed=seed)
        world = SMPL_24.points(content["jointPositions"][0].reshape(FRAMES, 24, 3))
        matrix = np.asarray([[1965.5, 0, 540], [0, 1965.5, 960], [0, 0, 1]])
        pose3d, pixels = image(world, content["cam_poses"], matrix)
        truth[part] = pose3d, pixels + np.asarray((420, 0))
        pose3d, pixels = pose3d[:, keep], (pixels[:, keep] - (540, 960)) / 960
        if part == "test":
            legs = [0, 4, 5, 6, 1, 2, 3, *range(7, 16)]
            pose3d, pixels = pose3d[:, legs], pixels[:, legs]
        if not absolute:
            pose3d = pose3d - pose3d[:, :1]
        arrays = {"positions_2d": pixels, "positions_3d": pose3d, **changes}
        folder.mkdir(exist_ok=True)
        np.savez(folder / f"data_3dpw_gt_{part}.npz", **arrays)
    return truth


@pytest.mark.parametrize("absolute", [True, False])
def test_adaptposes_files(tmp_path: Path, absolute: bool) -> None:
    truth = adaptpose(tmp_path, absolute)
    arrays, lines = prepared(tmp_path)
    others = [joint for name, joint in AT.items() if name != "Neck/Nose"]
    for split, part in enumerate(("train", "test")):
        rows = arrays["split"] == split
        pose3d, pixels = truth[part]
        np.testing.assert_allclose(arrays["pose3d"][rows][:, others], pose3d[:, others], atol=1e-4)
        np.testing.assert_allclose(arrays["pose2d"][rows][:, others], pixels[:, others], rtol=1e-5)
        between = (pose3d[:, AT["Thorax"]] + pose3d[:, AT["Head"]]) / 2
        np.testing.assert_allclose(arrays["pose3d"][rows][:, AT["Neck/Nose"]], between, atol=1e-4)
        check_anatomy(arrays["pose3d"][rows].astype(float), part)
    np.testing.assert_allclose(
        arrays["intrinsics"], [[1965.5, 1965.5, 960, 960]] * len(rows), rtol=1e-5
    )
    assert (arrays["confidence"] == (np.arange(17) != AT["Neck/Nose"])).all()
    exchanged = [line for line in lines if "exchanged" in line]
    assert exchanged == ["test: left and right leg were exchanged in the file: put right"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions_2d": np.full((FRAMES, 16, 2), 500.0)}, "got pixels"),
        ({"positions_2d": np.zeros((FRAMES, 17, 2))}, r"\(40, 17, 2\)"),
        ({"positions_3d": np.ones((FRAMES, 16, 3))}, "positions_3d|got a median"),
        ({"positions_3d": np.ones((3, 16, 3))}, r"\(3, 16, 3\)"),
        (
            {"positions_2d": np.zeros((FRAMES, 16, 2)) + np.arange(16)[:, None] / 20},
            "away|from the",
        ),
    ],
)
def test_other_files_of_that_name_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    adaptpose(tmp_path, False, **changes)
    with pytest.raises(ValueError, match=message) as error:
        prepared(tmp_path)
    assert "data_3dpw_gt_train.npz" in str(error.value)


def test_adaptposes_files_have_no_detections(tmp_path: Path) -> None:
    adaptpose(tmp_path, True)
    with pytest.raises(ValueError, match="neither detections nor body models"):
        prepared(tmp_path, pose2d="detected")
    (tmp_path / "data_3dpw_gt_test.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"data_3dpw_gt_test.npz"):
        prepared(tmp_path)
    arrays, _ = prepared(tmp_path, parts=("train",))
    assert len(arrays["pose3d"]) == FRAMES
