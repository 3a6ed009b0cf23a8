"""The synthetic humans: bodies, actions, cameras and the two domains."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from poseda.data import PoseSet, pose_set_from_arrays
from poseda.data.synthetic import (
    ACTIONS,
    ANGLES,
    Body,
    Motion,
    forward_kinematics,
    human36m_rig,
    make_source,
    make_target,
    mpi_inf_3dhp_rig,
    perform,
    sample_body,
    synthetic_pair,
)
from poseda.data.synthetic.actions import wander
from poseda.data.synthetic.rigs import look_at
from poseda_ext.skeleton import H36M_17

JOINT = {name: joint for joint, name in enumerate(H36M_17.names)}
HEAD, LEFT_FOOT, RIGHT_FOOT = JOINT["Head"], JOINT["LFoot"], JOINT["RFoot"]


@pytest.fixture(scope="module")
def body() -> Body:
    return sample_body(np.random.default_rng(0))


@pytest.fixture(scope="module")
def pair() -> tuple[PoseSet, PoseSet]:
    return synthetic_pair(seed=1, frames=4000, skeleton=H36M_17)


def still(**angles: float) -> Motion:
    """One frame at the origin that looks along x, with the given angles and the rest zero."""
    row = [[angles.get(name, 0.0) for name in ANGLES]]
    return Motion(np.asarray(row), np.zeros((1, 3)), np.zeros((1, 2)), np.zeros(1))


def posed(body: Body, **angles: float) -> np.ndarray:
    joints: np.ndarray = forward_kinematics(still(**angles), body.stature, body.bone_lengths)[0]
    return joints


def bone_lengths(poses: np.ndarray) -> np.ndarray:
    bones = poses[:, 1:] - poses[:, list(H36M_17.parents[1:])]
    lengths: np.ndarray = np.linalg.norm(bones, axis=-1)
    return lengths


# ---------------------------------------------------------------------------------- the body


def test_the_body_stands_upright_at_zero_angles(body: Body) -> None:
    joints = posed(body)
    assert joints[HEAD, 2] == pytest.approx(0.92 * body.stature, abs=0.05)
    np.testing.assert_allclose(joints[[LEFT_FOOT, RIGHT_FOOT], 2], 0.039 * body.stature, rtol=0.01)
    assert (joints[list(H36M_17.left), 1] > 0).all(), "left is +y for one who looks along x"
    assert (joints[list(H36M_17.right), 1] < 0).all()
    assert joints[JOINT["Neck/Nose"], 0] > joints[JOINT["Thorax"], 0], "the nose is in front"
    mirrored = joints[list(H36M_17.mirrored)] * [1, -1, 1]
    np.testing.assert_allclose(mirrored, joints, atol=1e-12)


def test_angles_turn_the_limbs_the_way_they_say(body: Body) -> None:
    rest = posed(body)

    def moved(joint: str, **angles: float) -> np.ndarray:
        now, root = posed(body, **angles), JOINT["Hip"]
        step: np.ndarray = (now - now[root] - rest + rest[root])[JOINT[joint]]
        return step

    for side, out in (("l", 1), ("r", -1)):
        upper = side.upper()
        assert moved(f"{upper}Foot", **{f"{side}_knee_flex": 1.0})[0] < -0.2  # heel goes back
        assert moved(f"{upper}Knee", **{f"{side}_hip_flex": 1.0})[0] > 0.2  # thigh goes forward
        assert moved(f"{upper}Foot", **{f"{side}_hip_abduct": 0.6})[1] * out > 0.2
        assert moved(f"{upper}Wrist", **{f"{side}_elbow_flex": 1.5})[0] > 0.15
        assert moved(f"{upper}Wrist", **{f"{side}_shoulder_flex": 1.5})[0] > 0.3
        assert moved(f"{upper}Wrist", **{f"{side}_shoulder_abduct": 1.5})[1] * out > 0.3
        inward = {f"{side}_elbow_flex": 1.5, f"{side}_shoulder_rotate": 1.2}
        assert moved(f"{upper}Wrist", **inward)[1] * out < -0.1  # before the belly
    assert moved("Head", spine_flex=0.8)[0] > 0.2
    assert moved("Head", spine_bend=0.5)[1] > 0.1
    assert moved("LShoulder", spine_twist=0.5)[0] < -0.05  # a turn to the left
    assert moved("Head", neck_flex=0.5)[0] > 0.02


def test_bone_lengths_do_not_depend_on_the_angles(body: Body) -> None:
    rng = np.random.default_rng(1)
    limits = np.asarray(list(ANGLES.values()))
    angles = rng.uniform(limits[:, 0], limits[:, 1], size=(200, len(ANGLES)))
    turn, place = rng.normal(size=(200, 3)), rng.normal(size=(200, 2))
    joints = forward_kinematics(
        Motion(angles, turn, place, np.full(200, 0.3)), body.stature, body.bone_lengths
    )
    np.testing.assert_allclose(
        bone_lengths(joints), np.tile(body.bone_lengths, (200, 1)), atol=1e-9
    )
    np.testing.assert_allclose(joints[:, 0, :2], place)
    assert (joints[..., 2].min(axis=1) > 0.3).all()
    assert (joints[..., 2].min(axis=1) < 0.5).all()


# --------------------------------------------------------------------------------- the actions


@pytest.mark.parametrize("name", ACTIONS)
def test_actions_keep_the_joint_limits_and_move_smoothly(name: str, body: Body) -> None:
    lower, upper = np.asarray(list(ANGLES.values())).T
    for seed in range(5):
        motion = perform(name, np.random.default_rng(seed), frames=60, fps=30.0)
        assert motion.angles.shape == (60, len(ANGLES))
        assert (motion.angles >= lower).all()
        assert (motion.angles <= upper).all()
        joints = forward_kinematics(motion, body.stature, body.bone_lengths)
        assert np.isfinite(joints).all()
        assert (joints[..., 2] > 0).all(), "nothing below the ground"
        speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max() * 30
        assert speed < 16, "metres per second; a fast throw or kick reaches 15"


UPRIGHT = ("walk", "run", "stand", "phone", "wave", "discuss", "photo", "punch", "throw", "swing")


@pytest.mark.parametrize("name", UPRIGHT)
def test_the_head_is_up_in_upright_actions(name: str, body: Body) -> None:
    motion = perform(name, np.random.default_rng(2), frames=60)
    joints = forward_kinematics(motion, body.stature, body.bone_lengths)
    assert (joints[:, HEAD, 2] > joints[:, 0, 2] + 0.35).all()
    assert (joints[:, 0, 2] > 0.35 * body.stature).all()
    assert (joints[:, 0, 2] > joints[:, [LEFT_FOOT, RIGHT_FOOT], 2].max(axis=1)).all()


def test_walking_goes_where_the_person_looks(body: Body) -> None:
    for seed in range(6):
        motion = perform("walk", np.random.default_rng(seed), frames=60)
        step = np.diff(motion.place, axis=0)
        heading = np.stack((np.cos(motion.turn[:-1, 0]), np.sin(motion.turn[:-1, 0])), axis=1)
        along = (step * heading).sum(axis=1) / np.linalg.norm(step, axis=1)
        assert along.mean() > 0.8


def test_unknown_action() -> None:
    with pytest.raises(ValueError, match="name: got 'fly', expected one of walk, run"):
        perform("fly", np.random.default_rng(0), 10)


def test_wander_has_the_asked_scale() -> None:
    t = np.arange(400) / 10
    rng = np.random.default_rng(0)
    spread = np.sqrt(np.mean([wander(rng, t, 0.3).var() for _ in range(200)]))
    assert spread == pytest.approx(0.3, rel=0.1)


# --------------------------------------------------------------------------------- the cameras


def test_a_person_who_faces_the_camera_has_the_left_side_on_the_right(body: Body) -> None:
    camera = look_at("chest", (1000.0, 1000.0, 500.0, 500.0), (1000, 1000), (4, 0, 1), (0, 0, 1))
    pose = camera.to_camera(posed(body))
    image = camera.project(pose)
    left, right = list(H36M_17.left), list(H36M_17.right)
    assert (pose[left, 0] > 0).all()
    assert (pose[right, 0] < 0).all()
    assert (image[left, 0] > image[right, 0]).all()
    assert pose[HEAD, 1] < pose[0, 1] < pose[LEFT_FOOT, 1], "y points down"
    np.testing.assert_allclose(pose[0, 2], 4, atol=0.01)


@pytest.mark.parametrize("rig", [human36m_rig(), mpi_inf_3dhp_rig()])
def test_cameras_are_level_right_handed_and_see_the_middle(rig: list) -> None:
    heights = {"chest": (1.1, 1.8), "knee": (0.3, 0.7), "ceiling": (2.3, 3.2)}
    tilts = {"chest": (-15, 0), "knee": (3, 20), "ceiling": (-45, -20)}  # degrees, up is positive
    for camera in rig:
        np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(camera.rotation) == pytest.approx(1)
        assert camera.rotation[0, 2] == pytest.approx(0, abs=1e-12), "level horizon"
        low, high = heights[camera.camera_class]
        assert low < camera.position[2] < high
        low, high = tilts[camera.camera_class]
        assert low < np.degrees(np.arcsin(camera.rotation[2, 2])) < high
        middle = camera.to_camera(np.asarray([0.0, 0.0, 1.0]))
        assert 2 < middle[2] < 6
        np.testing.assert_allclose(camera.project(middle) / camera.image_size, 0.5, atol=0.1)


def test_the_rigs_have_the_right_number_of_cameras() -> None:
    assert [camera.camera_class for camera in human36m_rig()] == ["chest"] * 4
    classes = [camera.camera_class for camera in mpi_inf_3dhp_rig()]
    assert [classes.count(name) for name in ("chest", "knee", "ceiling")] == [5, 4, 5]


# --------------------------------------------------------------------------------- the domains


def test_sizes_and_splits(pair: tuple[PoseSet, PoseSet]) -> None:
    source, target = pair
    for poses, train, test in ((source, 4000, 800), (target, 2000, 800)):
        assert len(poses.train) == pytest.approx(train, rel=0.05)
        assert len(poses.test) == pytest.approx(test, rel=0.1)
        assert not set(poses.train.subject) & set(poses.test.subject)
        assert not set(poses.train.clip.tolist()) & set(poses.test.clip.tolist())
    assert not set(source.subject) & set(target.subject)
    assert set(source.camera_class) == {"chest"}
    assert set(target.camera_class) == {"chest", "knee", "ceiling"}
    assert set(target.action) - set(source.action) >= {"squat", "kick", "crawl", "lie"}


def test_every_person_keeps_the_bone_lengths_and_is_symmetric(
    pair: tuple[PoseSet, PoseSet],
) -> None:
    for poses in pair:
        assert poses.pose3d is not None
        lengths = bone_lengths(poses.pose3d.double().numpy())
        for person in np.unique(poses.subject):
            own = lengths[poses.subject == person]
            assert np.ptp(own, axis=0).max() < 1e-5
            left = own[0, [joint - 1 for joint in H36M_17.left]]
            right = own[0, [joint - 1 for joint in H36M_17.right]]
            np.testing.assert_allclose(left, right, atol=1e-5)


def test_everything_is_in_the_picture_and_projects_there(pair: tuple[PoseSet, PoseSet]) -> None:
    for poses in pair:
        assert poses.pose3d is not None
        assert float(poses.pose2d.abs().max()) <= 1.0021  # 1002 rows on 1000 columns
        assert float(poses.pose3d[..., 2].min()) > 0.8
        focal, centre = poses.intrinsics[:, None, :2], poses.intrinsics[:, None, 2:]
        projected = poses.pose3d[..., :2] / poses.pose3d[..., 2:] * focal + centre
        torch.testing.assert_close(projected, poses.pose2d, atol=1e-5, rtol=0)


def test_cameras_of_a_class_look_from_its_height(pair: tuple[PoseSet, PoseSet]) -> None:
    """Standing people lean away from a ceiling camera's image plane and towards a knee camera's."""
    target = pair[1]
    assert target.pose3d is not None
    trunk = target.pose3d[:, HEAD] - target.pose3d[:, 0]
    lean = torch.rad2deg(torch.atan2(trunk[:, 2], -trunk[:, 1])).numpy()
    upright = np.isin(target.action, ("walk", "stand", "discuss", "wave"))
    middle = {
        name: float(np.median(lean[upright & (target.camera_class == name)]))
        for name in ("chest", "knee", "ceiling")
    }
    assert middle["ceiling"] < -20 < middle["chest"] < 4 < middle["knee"]


def test_the_same_seed_gives_the_same_data() -> None:
    for make in (make_source, make_target):
        first, again, other = make(7, 600), make(7, 600), make(8, 600)
        for key in first:
            np.testing.assert_array_equal(first[key], again[key])
        assert not np.array_equal(first["pose2d"][:50], other["pose2d"][:50])
    poses = pose_set_from_arrays(make_source(7, 600), name="x")
    assert torch.equal(poses.pose2d, synthetic_pair(7, 600)[0].pose2d)


def test_few_frames_are_made_and_none_are_refused() -> None:
    source, target = synthetic_pair(seed=0, frames=10)
    assert min(len(source.train), len(source.test), len(target.train), len(target.test)) > 0
    with pytest.raises(ValueError, match="frames: got 0 train and 0 test poses, expected 1 or"):
        make_source(frames=0)
