"""The generator's bounds and the critic's structure and blind spots."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from poseda.config import PoseDASettings
from poseda.data import PoseSet
from poseda.methods.stabilizers import lipschitz_penalty
from poseda.networks.critic import MIN_SPREAD, Critic
from poseda.networks.generator import Generator, Transformation
from poseda_ext import H36M_16, augment, bones, part_kcs


def make_generator(**changes: object) -> Generator:
    torch.manual_seed(0)
    return Generator(H36M_16, PoseDASettings(**({"max_rotation": 0.4} | changes)))  # type: ignore[arg-type]


@pytest.fixture
def poses(pose_sets: tuple[PoseSet, PoseSet]) -> torch.Tensor:
    pose3d = pose_sets[0].pose3d
    assert pose3d is not None
    return pose3d[:200]


def scaled(made: Transformation) -> torch.Tensor:
    """The pose after bone scaling: what the critic sees."""
    return augment(made.turned, bone_scale=made.bone_scale).pose3d


def wild(generator: Generator) -> Generator:
    """The same with outputs far in the saturated range."""
    for network in (generator.bone_angle, generator.bone_length):
        nn.init.normal_(network.last.weight, std=10)
    return generator


def test_generator_starts_near_the_identity(poses: torch.Tensor) -> None:
    made = make_generator()(poses)
    assert made.bone_rotation.norm(dim=-1).mean() < 0.15
    assert (scaled(made) - (poses - poses[:, :1])).norm(dim=-1).mean() < 0.05


def test_generator_stays_within_its_bounds(poses: torch.Tensor) -> None:
    made = wild(make_generator())(poses)
    assert 0.45 < made.bone_rotation.abs().max() <= 0.5
    assert 0.19 < made.bone_scale.abs().max() <= 0.2
    assert 0.38 < made.rotation.abs().max() <= 0.4


def test_generator_leaves_the_torso_and_treats_both_sides_alike(poses: torch.Tensor) -> None:
    made = wild(make_generator())(poses)
    spine, thorax = H36M_16.bone("Spine"), H36M_16.bone("Thorax")
    assert not made.bone_rotation[:, [spine, thorax]].any()
    assert not made.bone_scale[:, thorax].any()
    assert made.bone_scale[:, spine].any()
    for name in ("Knee", "Foot", "Elbow", "Wrist", "Hip", "Shoulder"):
        left, right = H36M_16.bone("L" + name), H36M_16.bone("R" + name)
        assert torch.equal(made.bone_scale[:, left], made.bone_scale[:, right])


def test_stages_change_what_they_say_and_nothing_else(poses: torch.Tensor) -> None:
    made = wild(make_generator())(poses)
    before, turned, resized = (bones(pose) for pose in (poses, made.turned, scaled(made)))
    torch.testing.assert_close(turned.norm(dim=-1), before.norm(dim=-1), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        resized, turned * (1 + made.bone_scale[..., None]), atol=1e-5, rtol=0
    )


def test_random_rotation_has_zero_mean_and_follows_its_seed(poses: torch.Tensor) -> None:
    generator = make_generator()
    many = poses[:1].expand(20_000, -1, -1)
    rotation = generator(many, torch.Generator().manual_seed(3)).rotation
    assert rotation.mean(0).abs().max() < 0.01
    again = generator(many, torch.Generator().manual_seed(3)).rotation
    assert torch.equal(rotation, again)


def test_rotation_network_is_bounded_and_never_learns(poses: torch.Tensor) -> None:
    generator = make_generator(rotation="network")
    made = generator(poses)
    assert 0.01 < made.rotation.abs().max() <= 0.4
    assert not made.rotation.requires_grad
    assert generator.rotation is not None
    assert all(not p.requires_grad for p in generator.rotation.parameters())


def test_tilt_turns_about_the_cameras_x_axis_alone(poses: torch.Tensor) -> None:
    rotation = make_generator(rotation="tilt")(poses.repeat(20, 1, 1)).rotation
    assert not rotation[:, 1:].any()
    assert 0.38 < rotation[:, 0].max() <= 0.4 and -0.4 <= rotation[:, 0].min() < -0.38
    assert rotation[:, 0].mean().abs() < 0.02


def test_no_rotation_is_none(poses: torch.Tensor) -> None:
    assert not make_generator(rotation="none")(poses).rotation.any()


def test_learned_rotation_starts_near_the_identity_and_can_learn(poses: torch.Tensor) -> None:
    generator = make_generator(rotation="learned", critic2d="target")
    made = generator(poses)
    assert 0 < made.rotation.norm(dim=-1).mean() < 0.2
    made.rotation.sum().backward()
    assert generator.rotation is not None
    assert all(p.grad is not None and p.grad.any() for p in generator.rotation.parameters())


def test_networks_see_what_the_one_before_made_or_all_the_same(poses: torch.Tensor) -> None:
    for staged in (True, False):
        generator = wild(make_generator(staged=staged, rotation="network"))
        shown: list[torch.Tensor] = []
        for network in (generator.bone_angle, generator.bone_length, generator.rotation):
            assert network is not None
            network.register_forward_pre_hook(
                lambda module, inputs: shown.append(inputs[0][:, :48].detach())  # noqa: B023
            )
        made = generator(poses)
        source = (poses - poses[:, :1]).flatten(1)
        expected = (made.turned, scaled(made)) if staged else (source, source)
        assert torch.equal(shown[0], source)
        for got, pose in zip(shown[1:], expected, strict=True):
            torch.testing.assert_close(got, pose.flatten(1).detach(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("staged", [True, False])
def test_condition_decides_the_transformation_and_the_source_is_transformed(
    poses: torch.Tensor, staged: bool
) -> None:
    generator = wild(make_generator(staged=staged))
    first, second = poses[:100], poses[100:]
    mixed, own = (
        generator(first, torch.Generator().manual_seed(0), second),
        generator(second, torch.Generator().manual_seed(0)),
    )
    assert torch.equal(mixed.bone_rotation, own.bone_rotation)
    torch.testing.assert_close(mixed.bone_scale, own.bone_scale)
    turned = augment(first, bone_rotation=mixed.bone_rotation).pose3d
    torch.testing.assert_close(mixed.turned, turned, atol=1e-5, rtol=0)


@pytest.mark.parametrize("unit", [False, True])
def test_critic_cannot_see_a_rotation(poses: torch.Tensor, unit: bool) -> None:
    critic = Critic(H36M_16, unit=unit)
    critic.standardize(poses)
    rotation = torch.zeros(len(poses), 3, requires_grad=True)
    turned = augment(poses, rotation=rotation).pose3d
    critic(critic.features(turned)).mean().backward()
    assert rotation.grad is not None and rotation.grad.norm() < 1e-5
    assert critic.features(poses).std(0).max() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("unit", "sees"), [(False, True), (True, False)])
def test_only_a_critic_with_lengths_teaches_bone_lengths(
    poses: torch.Tensor, unit: bool, sees: bool
) -> None:
    critic = Critic(H36M_16, unit=unit)
    critic.standardize(poses)
    scale = torch.zeros(len(poses), 15, requires_grad=True)
    critic(critic.features(augment(poses, bone_scale=scale).pose3d)).mean().backward()
    assert scale.grad is not None and bool(scale.grad.norm() > 1e-4) == sees


def test_grouped_critic_is_five_networks_side_by_side(poses: torch.Tensor) -> None:
    critic = Critic(H36M_16, unit=False)
    critic.standardize(poses)
    features = part_kcs(poses, H36M_16)
    spread = features.std(0, correction=0).clamp(min=MIN_SPREAD)
    features = (features - features.mean(0)) / spread
    scores, start = [], 0
    for part, members in enumerate(H36M_16.kcs_parts):
        size = len(members) * (len(members) + 1) // 2
        hidden = features[:, start : start + size]
        start += size
        used = critic.used.view(5, -1)[part] > 0

        def layer(index: int, hidden: torch.Tensor, part: int = part) -> torch.Tensor:
            weight = critic.weights[index][part]
            return hidden @ (weight[used] if index == 0 else weight) + critic.biases[index][part]  # noqa: B023

        first = nn.functional.leaky_relu(layer(0, hidden), 0.01)
        hidden = nn.functional.leaky_relu(layer(1, first), 0.01)
        hidden = first + nn.functional.leaky_relu(layer(2, hidden), 0.01)
        scores.append(layer(3, hidden)[:, 0])
    expected = torch.stack(scores).mean(0)
    torch.testing.assert_close(critic(critic.features(poses)), expected, atol=1e-4, rtol=1e-4)


def test_batched_product_of_a_gpu_gives_the_scores_of_the_cpu(poses: torch.Tensor) -> None:
    critic = Critic(H36M_16, unit=False)
    critic.standardize(poses)
    features = critic.features(poses)
    hidden = features.unflatten(1, (5, -1)).transpose(0, 1)
    batched = critic.path(hidden, *critic.weights, *critic.biases).mean(0).squeeze(-1)
    torch.testing.assert_close(batched, critic(features), atol=1e-5, rtol=1e-5)


def test_critic_features_go_where_they_are_asked_to(poses: torch.Tensor) -> None:
    critic = Critic(H36M_16, unit=False)
    critic.standardize(poses)
    bone_scale = torch.full((len(poses), 15), 0.1)
    out = torch.empty(len(poses), critic.num_features)
    critic.features(poses, bone_scale, out=out)
    moved = augment(poses, bone_scale=bone_scale).pose3d
    torch.testing.assert_close(out, critic.features(moved), atol=1e-4, rtol=1e-4)


def test_lipschitz_penalty_of_a_linear_critic_is_known() -> None:
    class Linear(nn.Module):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return features @ torch.tensor([3.0, 4.0])  # gradient of norm 5

    real, fake = torch.randn(7, 2), torch.randn(7, 2)
    penalty = lipschitz_penalty(Linear(), real, fake, torch.rand(7, 1))  # type: ignore[arg-type]
    assert penalty.item() == pytest.approx(16)
