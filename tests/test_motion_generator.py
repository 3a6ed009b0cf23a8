"""AdaptPose's generators: bones by hand-worked motions, cameras by what makes a rotation, and the
perturbation of real poses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from poseda.data import PoseSet
from poseda.data.sampler import Sampler
from poseda.networks.bone_motion import bg1, bg2, bg3, ramp
from poseda.networks.camera_generation import (
    MAX_DEPTH_RATIO,
    SIZES,
    Representation,
    Rotation,
    axis_angle_of_quaternion,
    placed,
    quaternion_of_euler,
)
from poseda.networks.critic3d import PerturbedCritic, perturbation
from poseda.networks.motion_generator import BoneGenerator, Motion, MotionGenerator
from poseda_ext import H36M_16, Skeleton, augment, bones
from poseda_ext.reference import rotate

ONE_BONE = Skeleton(names=("root", "tip"), parents=(-1, 0))
HALF = math.sqrt(0.5)
KINDS = [
    Rotation(representation, probabilistic)
    for representation in SIZES
    for probabilistic in (False, True)
]
FRAMES = 5


def one_bone(*tips: tuple[float, float, float]) -> Tensor:
    """(1, T, 2, 3) a bone whose tip is there in each frame, its root at (7, 8, 9)."""
    root = torch.tensor([7.0, 8.0, 9.0])
    return torch.stack([torch.stack((root, root + torch.tensor(tip))) for tip in tips])[None]


def tips(pose: Tensor) -> list[list[float]]:
    return [[round(x, 5) + 0.0 for x in tip] for tip in pose[0, :, 1].tolist()]


def vector(*values: float) -> Tensor:
    return torch.tensor([[values]], dtype=torch.float32)  # (1, 1, 3): one motion, one bone


def matrices(axis_angle: Tensor) -> Tensor:
    """(N, 3, 3)"""
    axes = torch.eye(3, dtype=axis_angle.dtype).expand(len(axis_angle), 3, 3)
    return rotate(axes, axis_angle[:, None]).mT


def windows(poses: PoseSet, frames: int) -> tuple[Tensor, Tensor]:
    sampler = Sampler(poses, torch.Generator().manual_seed(0), frames)
    rows = sampler.rows(40)
    pose, intrinsics = sampler.pose3d(rows), sampler.intrinsics(rows)
    return (pose, intrinsics) if frames > 1 else (pose[:, None], intrinsics[:, None])


def test_ramp_goes_from_nothing_to_all_and_one_frame_is_the_last() -> None:
    like = torch.zeros(())
    assert ramp(5, like).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert ramp(1, like).tolist() == [1]


def test_bg1_displaces_every_frame_alike_and_keeps_lengths() -> None:
    pose = one_bone((1, 0, 0), (0, 2, 0), (0, 0, 3))
    made = bg1(pose, vector(-1, 1, 0), ONE_BONE)
    # (0, 1, 0); (-1, 3, 0) of length 2; (-1, 1, 3) of length 3
    second, third = 2 / math.sqrt(10), 3 / math.sqrt(11)
    assert tips(made) == [
        [0, 1, 0],
        [round(-second, 5), round(3 * second, 5), 0],
        [round(-third, 5), round(third, 5), round(3 * third, 5)],
    ]
    assert not made[:, :, 0].any()


def test_bg2_moves_away_from_the_first_frame_and_looks_at_no_other() -> None:
    pose = one_bone((2, 0, 0), (0, 5, 0), (0, 0, 7))
    made = bg2(pose, vector(-2, 2, 0), ONE_BONE)
    assert tips(made) == [[2, 0, 0], [round(2 * HALF, 5)] * 2 + [0], [0, 2, 0]]


def test_bg3_turns_by_an_angle_that_grows() -> None:
    pose = one_bone((2, 0, 0), (2, 0, 0), (0, 0, 3))
    made = bg3(pose, vector(0, 0, 0.1), torch.full((1, 1), math.pi / 2), ONE_BONE)
    assert tips(made) == [[2, 0, 0], [round(2 * HALF, 5)] * 2 + [0], [0, 0, 3]]
    alone = bg3(pose[:, :1], vector(0, 0, 5), torch.full((1, 1), math.pi / 2), ONE_BONE)
    assert tips(alone) == [[0, 2, 0]]


def test_bg3_is_the_rotation_of_equations_8_to_10() -> None:
    random = torch.Generator().manual_seed(0)
    axis = torch.randn(6, 1, 3, generator=random, dtype=torch.float64)
    angle = 4 * torch.randn(6, 1, generator=random, dtype=torch.float64)
    pose = torch.randn(6, 3, 2, 3, generator=random, dtype=torch.float64)
    made = bg3(pose, axis, angle, ONE_BONE)[:, :, 1]
    for motion in range(6):
        for frame in range(3):
            half = angle[motion, 0] * frame / 2 / 2
            real = half.cos()
            v = half.sin() * axis[motion, 0] / axis[motion, 0].norm()
            zero = torch.zeros((), dtype=v.dtype)
            cross = torch.stack(
                [
                    torch.stack([zero, -v[2], v[1]]),
                    torch.stack([v[2], zero, -v[0]]),
                    torch.stack([-v[1], v[0], zero]),
                ]
            )
            turn = v.outer(v) + real**2 * torch.eye(3) + 2 * real * cross + cross @ cross
            bone = pose[motion, frame, 1] - pose[motion, frame, 0]
            torch.testing.assert_close(made[motion, frame], turn @ bone)


@pytest.mark.parametrize("frames", [1, FRAMES])
@pytest.mark.parametrize("bone_generator", ["bg1", "bg2", "bg3"])
def test_generated_bones_keep_length_and_torso_and_change(
    pose_sets: tuple[PoseSet, PoseSet], bone_generator: BoneGenerator, frames: int
) -> None:
    made, source = generate(pose_sets, bone_generator, None, frames)
    if bone_generator == "bg2":
        source = source[:, :1].expand_as(source)
    before, after = bones(source), bones(made.turned)
    torch.testing.assert_close(after.norm(dim=-1), before.norm(dim=-1), rtol=1e-4, atol=1e-6)
    torso = [H36M_16.bone("Spine"), H36M_16.bone("Thorax")]
    torch.testing.assert_close(after[:, :, torso], before[:, :, torso], rtol=0, atol=1e-5)
    others = [bone for bone in range(15) if bone not in torso]
    moved = (after - before)[..., others, :].norm(dim=-1)  # (B, T, 13)
    assert (moved[:, -1].amin(0) < moved[:, -1].amax(0)).all() and moved[:, -1].mean() > 1e-3
    if frames > 1 and bone_generator != "bg1":
        assert moved[:, 0].max() < 1e-5 and (moved.mean((0, 2)).diff() > 0).all()
    scaled = bones(made.pose3d).norm(dim=-1) / after.norm(dim=-1) - 1
    torch.testing.assert_close(
        scaled, made.bone_scale[:, None].expand_as(scaled), atol=1e-3, rtol=0
    )


def generate(
    pose_sets: tuple[PoseSet, PoseSet],
    bone_generator: BoneGenerator,
    camera: Rotation | None,
    frames: int,
) -> tuple[Motion, Tensor]:
    """Of wide-awake networks, and their source."""
    torch.manual_seed(0)
    pose, intrinsics = windows(pose_sets[0], frames)
    generator = MotionGenerator(H36M_16, frames, bone_generator, camera)
    for network in (generator.bone_motion, generator.bone_length):
        if network is not None:
            torch.nn.init.normal_(network.last.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    with torch.no_grad():
        return generator(pose, intrinsics, torch.Generator().manual_seed(1)), pose


@pytest.mark.parametrize("frames", [1, FRAMES])
def test_without_bones_and_camera_nothing_changes(
    pose_sets: tuple[PoseSet, PoseSet], frames: int
) -> None:
    made, source = generate(pose_sets, "none", None, frames)
    torch.testing.assert_close(made.pose3d + made.root[:, :, None], source, rtol=0, atol=1e-5)
    assert not made.rotation.any() and not made.bone_scale.any()


def test_camera_moves_a_motion_as_one_rigid_body(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    made, source = generate(pose_sets, "none", KINDS[1], FRAMES)
    there = (made.pose3d + made.root[:, :, None]).flatten(1, 2)
    turn = matrices(made.rotation)
    here = source - source[:, FRAMES // 2, None, :1]
    expected = here.flatten(1, 2) @ turn.mT + made.root[:, FRAMES // 2, None]
    torch.testing.assert_close(there, expected, rtol=0, atol=1e-4)
    assert made.rotation.norm(dim=-1).mean() > 0.05


# --- cameras


@pytest.mark.parametrize("kind", KINDS)
def test_every_representation_gives_rotations(kind: Rotation) -> None:
    random = torch.Generator().manual_seed(0)
    raw = 3 * torch.randn(500, kind.outputs, generator=random, dtype=torch.float64)
    noise = torch.randn(500, kind.noise, generator=random, dtype=torch.float64)
    turn = matrices(kind.axis_angle(raw, noise))
    eye = torch.eye(3, dtype=torch.float64).expand_as(turn)
    torch.testing.assert_close(turn @ turn.mT, eye, atol=1e-10, rtol=0)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(500, dtype=torch.float64))


@pytest.mark.parametrize("kind", KINDS)
def test_rotations_start_small_but_not_at_nothing(kind: Rotation) -> None:
    random = torch.Generator().manual_seed(0)
    raw = 0.1 * torch.randn(4000, kind.outputs, generator=random)  # as the first networks give
    noise = torch.randn(4000, kind.noise, generator=random)
    angle = torch.rad2deg(kind.axis_angle(raw, noise).norm(dim=-1).mean())
    assert (10 if kind.probabilistic else 5) < angle < 30


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.probabilistic])
def test_mean_and_deviation_get_their_true_gradient(kind: Rotation) -> None:
    random = torch.Generator().manual_seed(0)
    raw = torch.randn(4, kind.outputs, generator=random, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(4, kind.noise, generator=random, dtype=torch.float64)
    pose = torch.randn(4, 16, 3, generator=random, dtype=torch.float64)
    root = torch.tensor([0.1, -0.2, 6.0], dtype=torch.float64)
    intrinsics = torch.tensor([2.3, 2.3, 0.0, 0.0], dtype=torch.float64)

    def loss(raw: Tensor) -> Tensor:
        rotation = kind.axis_angle(raw, noise)
        pose2d = augment(pose, rotation=rotation, root=root, intrinsics=intrinsics).pose2d
        assert pose2d is not None
        return pose2d.square().sum()

    loss(raw).backward()
    assert raw.grad is not None
    expected, step = torch.zeros_like(raw), 1e-6
    with torch.no_grad():
        for row in range(raw.shape[0]):
            for column in range(raw.shape[1]):
                ahead, behind = raw.clone(), raw.clone()
                ahead[row, column] += step
                behind[row, column] -= step
                expected[row, column] = (loss(ahead) - loss(behind)) / (2 * step)
    torch.testing.assert_close(raw.grad, expected, rtol=1e-5, atol=1e-7)
    size = kind.noise  # mean, then deviation, then the angle of Eq. 11
    assert (raw.grad[:, :size].norm(dim=0) > 1e-3).all()
    assert (raw.grad[:, size : 2 * size].norm(dim=0) > 1e-3).all()


def test_euler_angles_are_those_of_equation_12() -> None:
    random = torch.Generator().manual_seed(0)
    angles = 3 * torch.randn(50, 3, generator=random, dtype=torch.float64)
    about = torch.eye(3, dtype=torch.float64)
    z, y, x = (matrices(angles[:, [i]] * about[2 - i]) for i in range(3))
    found = matrices(axis_angle_of_quaternion(quaternion_of_euler(angles)))
    torch.testing.assert_close(found, z @ y @ x)


def test_quaternions_near_the_identity_and_half_a_turn() -> None:
    for angle in (0.0, 1e-9, 1e-5, 0.3, math.pi - 1e-6):
        half = torch.tensor([math.cos(angle / 2), 0, math.sin(angle / 2), 0], dtype=torch.float64)
        for sign in (1, -1):  # both stand for one rotation
            quaternion = (sign * 3 * half).requires_grad_()
            found = axis_angle_of_quaternion(quaternion)
            assert found.tolist() == pytest.approx([0, angle, 0], abs=1e-10)
            found.sum().backward()
            assert quaternion.grad is not None and torch.isfinite(quaternion.grad).all()


def test_deterministic_cameras_need_no_noise_and_probabilistic_ones_spread() -> None:
    for kind in KINDS:
        raw = torch.zeros(3, kind.outputs)
        noise = torch.randn(3, kind.noise, generator=torch.Generator().manual_seed(0))
        assert kind.probabilistic == (kind.noise > 0)
        same = kind.axis_angle(raw, noise).std(0).max() == 0
        assert bool(same) != kind.probabilistic


def test_translation_keeps_the_person_in_front_and_near_where_it_was() -> None:
    root = torch.tensor([[0.5, -1.0, 5.0]])
    torch.testing.assert_close(placed(root, torch.zeros(1, 3)), root)
    far, near = (placed(root, torch.tensor([[0.0, 0.0, z]]))[0] for z in (50.0, -50.0))
    assert far.tolist() == pytest.approx((root[0] * MAX_DEPTH_RATIO).tolist())
    assert near.tolist() == pytest.approx((root[0] / MAX_DEPTH_RATIO).tolist())
    aside = placed(root, torch.tensor([[0.1, 0.0, 0.0]]))[0]
    assert aside.tolist() == pytest.approx([5 * (0.1 + math.tanh(0.1)), -1, 5])


# --- the perturbation of real poses


def test_perturbations_stay_below_their_angle_and_go_all_ways() -> None:
    most = math.radians(10)
    turn = perturbation(2000, 15, most, torch.device("cpu"), torch.Generator().manual_seed(0))
    angle = turn.norm(dim=-1)
    assert angle.max() < most and angle.max() > 0.99 * most
    assert angle.mean() == pytest.approx(most / 2, rel=0.01)
    axis = (turn / angle[..., None]).flatten(0, 1)
    assert axis.mean(0).abs().max() < 0.02
    torch.testing.assert_close(axis.mT @ axis / len(axis), torch.eye(3) / 3, atol=0.01, rtol=0)
    octant = (axis > 0).long() @ torch.tensor([1, 2, 4])
    share = octant.bincount(minlength=8) / len(axis)
    assert share.min() > 0.12 and share.max() < 0.13
    assert not torch.equal(turn[:, 0], turn[:, 1])  # each bone has its own


def test_real_poses_are_perturbed_by_bones_and_in_the_limbs_alone(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    poses = pose_sets[0].pose3d
    assert poses is not None
    pose, most = poses[:50], math.radians(10)
    critic = PerturbedCritic(H36M_16, max_angle=most)
    critic.standardize(poses)
    found = critic.perturbed_features(pose, torch.Generator().manual_seed(3))
    turn = perturbation(50, 15, most, pose.device, torch.Generator().manual_seed(3))
    moved = augment(pose, bone_rotation=turn).pose3d
    torch.testing.assert_close(bones(moved).norm(dim=-1), bones(pose).norm(dim=-1))
    clean, perturbed = critic.features(pose), critic.features(moved)
    torso = critic.num_features // 5
    torch.testing.assert_close(found[:, :torso], clean[:, :torso])
    torch.testing.assert_close(found[:, torso:], perturbed[:, torso:], atol=1e-4, rtol=1e-4)
    assert (found - clean)[:, torso:].abs().mean() > 0.01
    still = PerturbedCritic(H36M_16, max_angle=0.0)
    torch.testing.assert_close(still.perturbed_features(pose), still.features(pose))


def test_representations_have_as_many_numbers_as_the_paper_says() -> None:
    numbers: dict[tuple[Representation, bool], int] = {
        (kind.representation, kind.probabilistic): kind.outputs for kind in KINDS
    }
    assert numbers == {
        ("axis-angle", False): 3,
        ("axis-angle", True): 7,  # three means and deviations, and the angle
        ("quaternion", False): 4,
        ("quaternion", True): 8,
        ("euler", False): 3,
        ("euler", True): 6,
    }
