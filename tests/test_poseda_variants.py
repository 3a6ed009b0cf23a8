"""PoseDA's variants: each does what its name says, trains, and resumes."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from poseda.config import PoseDASettings
from poseda.data import PoseSet
from poseda.data.sampler import Sampler
from poseda.methods import PoseDA, make_method
from poseda.methods.adversary import LOSSES
from poseda.methods.lpa import LocalPoseAugmentation
from poseda.methods.placing import place_as_target
from poseda.networks.generator import Transformation
from poseda.networks.lifters import lift, make_lifter
from poseda.training.loop import Schedule, Training
from poseda.training.run_folder import RunFolder
from tests.adapt_settings import adapt_settings
from tests.test_graphs import VARIANTS

Sets = tuple[PoseSet, PoseSet]


def lifter_of(poses: PoseSet) -> nn.Module:
    torch.manual_seed(1)
    return make_lifter("videopose3d", poses.skeleton, 16)


def make(
    sets: Sets, name: str = "poseda", lifter: nn.Module | None = None, frames: int = 1,
    **changes: Any,
) -> PoseDA:  # fmt: skip
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    settings = adapt_settings(**({"batch": 64, "warmup": 3} | changes))
    lifter = lifter or lifter_of(sets[0])
    method = make_method(name, settings, *sets, random, frames, lifter)
    assert isinstance(method, PoseDA)
    return method


def local(sets: Sets, **changes: Any) -> LocalPoseAugmentation:
    made = make(sets, **changes).local
    assert made is not None
    return made


def flat(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten().clone() for p in module.parameters()])


@pytest.mark.parametrize("changes", VARIANTS)
@pytest.mark.parametrize("name", ["poseda", "lpa"])
def test_variant_trains_and_resumes_to_the_same_numbers(
    pose_sets: Sets, tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    def training() -> Training:
        lifter = lifter_of(pose_sets[0])
        method = make(pose_sets, name, lifter, batch=16, warmup=2, **changes)
        schedule = Schedule(10, 16, 1e-3, 0.0)
        sampler = Sampler(pose_sets[0], method.source.random)
        return Training(lifter, sampler, schedule, RunFolder(tmp_path), sampler.random, method)

    def go(training: Training, count: int) -> dict[str, Tensor]:
        training.lifter.train()
        for _ in range(count):
            scalars = training.step()
            training.iteration += 1
        return scalars

    whole = training()
    go(whole, 6)
    state = copy.deepcopy(whole.state_dict())
    scalars = go(whole, 6)
    assert all(torch.isfinite(value).all() for value in scalars.values())
    resumed = training()
    resumed.load_state_dict(state)
    go(resumed, 6)
    assert torch.equal(flat(resumed.lifter), flat(whole.lifter))


@pytest.mark.parametrize("critic2d", ["source", "target"])
def test_variants_take_windows(pose_sets: Sets, critic2d: str) -> None:
    method = make(
        pose_sets, frames=5, critic2d=critic2d, rotation="learned", generator_condition="target"
    )
    for iteration in range(5):
        scalars = method.iterate(iteration)
    pairs = method.pairs()
    assert set(scalars) == {"critic_gap", "critic2d_gap"}
    assert pairs.pose2d.shape == (64, 5, 16, 2) and pairs.pose3d.shape == (64, 16, 3)


def test_default_is_what_it_was_before_there_were_variants(pose_sets: Sets) -> None:
    """Two iterations of critic and generator, written out as they first were, bit by bit."""
    made = local(pose_sets, generator_every=1)
    generator, critic = copy.deepcopy(made.generator), copy.deepcopy(made.critic)
    learned = list(generator.parameters())
    optimizers = [torch.optim.RMSprop(list(n.parameters()), 1e-4) for n in (critic, generator)]
    random = torch.Generator().manual_seed(0)
    poses = pose_sets[0].pose3d
    assert poses is not None

    def generate() -> tuple[Tensor, Transformation]:
        rows = torch.randint(len(poses), (64,), generator=random)
        return poses[rows], generator(poses[rows], random)

    for iteration in range(2):
        scalars = made.iterate(iteration)
        with torch.no_grad():
            pose, moved = generate()
            fake = critic.features(moved.turned, moved.bone_scale)
            features = torch.cat((fake, critic.features(pose)))
        scores = critic(features).chunk(2)
        loss = scores[0].mean() - scores[1].mean()
        critic.zero_grad()
        loss.backward()
        optimizers[0].step()
        for parameter in critic.parameters():
            parameter.data.clamp_(-0.01, 0.01)
        assert scalars["critic_gap"] == -loss
        _, moved = generate()
        score = critic(critic.features(moved.turned, moved.bone_scale)).mean()
        generator.zero_grad()
        (-score).backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimizers[1].step()
    assert torch.equal(flat(made.generator), flat(generator))
    assert torch.equal(flat(made.critic), flat(critic))
    assert torch.equal(made.latest.made.rotation, moved.rotation)


# --- losses


def test_losses_equal_hand_values() -> None:
    fake, real = torch.tensor([0.5, -1.0]), torch.tensor([2.0, 0.0])
    assert LOSSES["wgan"].critic(fake, real).item() == pytest.approx(-0.25 - 1.0)
    assert LOSSES["wgan"].generator(fake).item() == pytest.approx(0.25)
    # (0.25 + 1) / 2 and ((2 - 1)^2 + (0 - 1)^2) / 2, each by one half
    assert LOSSES["lsgan"].critic(fake, real).item() == pytest.approx(0.5 * (0.625 + 1.0))
    # ((0.5 - 1)^2 + (-1 - 1)^2) / 2 by one half
    assert LOSSES["lsgan"].generator(fake).item() == pytest.approx(0.5 * 2.125)


def test_least_squares_critic_is_not_clipped_and_learns(pose_sets: Sets) -> None:
    made = local(pose_sets, gan="lsgan", gan_lr=1e-3)
    nn.init.normal_(made.generator.bone_angle.last.weight, std=1.0)
    gaps = [made.critic_step()["critic_gap"].item() for _ in range(60)]
    assert flat(made.critic).abs().max() > 0.1
    assert sum(gaps[-5:]) / 5 > gaps[0] + 0.2


# --- who looks at what (Table 7)


def test_target_poses_are_those_that_the_lifter_predicts_before_it_learns(pose_sets: Sets) -> None:
    lifter = lifter_of(pose_sets[0])
    expected = lift(lifter, pose_sets[1].pose2d)
    made = local(pose_sets, lifter=lifter, generator_condition="target", critic_domain="target")
    for parameter in lifter.parameters():
        parameter.data.zero_()
    for sampler in (made.condition, made.real):
        assert sampler is not None
        torch.testing.assert_close(sampler.poses.pose3d, expected)


def test_critic_takes_the_asked_domain_for_real(pose_sets: Sets) -> None:
    for domain in ("source", "target"):
        made = local(pose_sets, critic_domain=domain)
        made.critic_step()
        real = made.features.chunk(2)[1]
        poses = pose_sets[0].pose3d if domain == "source" else lift(
            lifter_of(pose_sets[0]), pose_sets[1].pose2d
        )  # fmt: skip
        assert poses is not None
        distance = torch.cdist(real, made.critic.features(poses)).amin(1)
        assert distance.max() < 0.05


def test_generator_is_conditioned_on_the_asked_domain(pose_sets: Sets) -> None:
    seen: list[Tensor] = []
    made = local(pose_sets, generator_condition="target")
    made.generator.bone_angle.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0][:, :48])
    )
    pose, transformation = made._generate()
    predicted = lift(lifter_of(pose_sets[0]), pose_sets[1].pose2d).flatten(1)
    assert torch.cdist(seen[0], predicted).amin(1).max() < 1e-3
    lengths = (pose - pose[:, :1])[:, 1].norm(dim=-1)  # what is transformed is the source's pose
    torch.testing.assert_close(transformation.turned[:, 1].norm(dim=-1), lengths)


@pytest.mark.parametrize("name", ["generator_condition", "critic_domain"])
def test_target_poses_need_a_lifter(pose_sets: Sets, name: str) -> None:
    settings = adapt_settings(**{name: "target"})
    with pytest.raises(ValueError, match="got target without a lifter, expected the pre-trained"):
        make_method("poseda", settings, *pose_sets, torch.Generator())


# --- the 2D critic (Tables 7 and C)


def test_rotation_learns_from_the_2d_critic_alone(pose_sets: Sets) -> None:
    made = local(pose_sets, critic2d="target", rotation="learned", stabilizer="spectral")
    assert made.generator.rotation is not None and made.projections is not None
    weights = list(made.generator.rotation.parameters())
    _, transformation = made._generate()
    features = made.critic.features(transformation.turned, transformation.bone_scale)
    loss3d = made.adversary.losses.generator(made.adversary.judge(features))
    loss2d = made.projections.loss(made.latest.rows, transformation)
    gradients = torch.autograd.grad(loss3d, weights, allow_unused=True, retain_graph=True)
    assert gradients == (None,) * len(weights)
    gradients = torch.autograd.grad(loss2d, weights)
    assert all(gradient.norm() > 1e-6 for gradient in gradients)


def test_generator_step_moves_a_rotation_network_only_if_it_is_learned(pose_sets: Sets) -> None:
    for kind in ("learned", "network"):
        made = local(pose_sets, critic2d="target", rotation=kind)
        assert made.generator.rotation is not None
        before = flat(made.generator.rotation)
        made.generator_step()
        assert torch.equal(flat(made.generator.rotation), before) == (kind == "network")


def test_learned_rotation_finds_the_view_of_the_target(pose_sets: Sets) -> None:
    """Target poses are the source's own, tilted; only a rotation makes projections agree."""
    source, target = pose_sets
    assert source.pose3d is not None
    tilt = torch.tensor([0.35, 0.0, 0.0]).expand(len(source), 3)
    rows, random = torch.arange(len(source)) % len(target), torch.Generator()
    placed = place_as_target(Sampler(target, random), rows, source.pose3d, rotation=tilt)
    assert placed.pose2d is not None
    tilted = dataclasses.replace(target.rows(rows), pose2d=placed.pose2d)
    made = local(
        (source, tilted), batch=64, gan_lr=1e-3, critic2d="target", rotation="learned",
        max_bone_angle=0.0, max_bone_scale=0.0, stabilizer="spectral", generator_every=2,
    )  # fmt: skip
    for iteration in range(100):
        made.iterate(iteration)
    assert made.latest.made.rotation[:, 0].mean() > 0.15


@pytest.mark.parametrize("domain", ["source", "target"])
@pytest.mark.parametrize("gpa", [True, False])
def test_2d_critic_sees_projections_and_2d_poses_of_its_domain(
    pose_sets: Sets, domain: str, gpa: bool
) -> None:
    method = make(pose_sets, "poseda" if gpa else "lpa", critic2d=domain)
    assert method.local is not None and method.local.projections is not None
    projections, made = method.local.projections, method.local
    made.critic_step()
    fake, real = projections.features.chunk(2)
    own = pose_sets[0 if domain == "source" else 1]
    known = projections.critic.features(own.pose2d)
    assert torch.cdist(real, known).amin(1).max() < 0.02
    assert torch.cdist(fake, known).amin(1).min() > 0.02
    # whom a made pose is placed with, that one's root it has in the picture
    if gpa == (domain == "target"):
        torch.testing.assert_close(fake[:, :2], real[:, :2], atol=1e-3, rtol=0)


def test_2d_critic_learns_to_separate(pose_sets: Sets) -> None:
    made = local(pose_sets, critic2d="target", stabilizer="penalty", gan_lr=1e-3)
    gaps = [made.critic_step()["critic2d_gap"].item() for _ in range(60)]
    assert sum(gaps[-5:]) / 5 > gaps[0] + 0.2


@pytest.mark.parametrize("domain", ["source", "target"])
def test_2d_critic_does_not_look_at_hidden_joints(pose_sets: Sets, domain: str) -> None:
    source, target = pose_sets
    drawn = []
    for value in (0.0, 3.0):
        seen = torch.ones_like(target.pose2d[..., 0], dtype=torch.bool)
        pose2d = target.pose2d.clone()
        seen[::2, [3, 6]], pose2d[::2, [3, 6]] = False, value
        hidden = dataclasses.replace(target, pose2d=pose2d, seen=seen)
        made = local((source, hidden), critic2d=domain)
        assert made.projections is not None
        made.critic_step()
        made.generator_step()
        drawn.append(made.projections.features.clone())
    torch.testing.assert_close(*drawn, atol=1e-5, rtol=0)
    fake, real = drawn[0].chunk(2)
    assert torch.equal(fake == 0, real == 0) and (real == 0).any()


def test_2d_critic_is_clipped_so_that_it_is_as_strong_as_the_other(pose_sets: Sets) -> None:
    made = local(pose_sets, critic2d="target", gan_lr=1e-3)
    assert made.projections is not None
    for _ in range(30):
        scalars = made.critic_step()
    assert flat(made.critic).abs().max().item() == pytest.approx(0.01)
    bound = 0.01 * 256 / 100  # layers of 100 units, not of 256
    assert flat(made.projections.critic).abs().max().item() == pytest.approx(bound)
    assert scalars["critic2d_gap"] > 0.01 * scalars["critic_gap"].abs()


def test_weight_of_the_2d_critic_scales_its_part(pose_sets: Sets) -> None:
    small, large = (
        local(pose_sets, critic2d="target", rotation="learned", critic2d_weight=weight)
        for weight in (1e-3, 1e-2)
    )
    norms = []
    for made in (small, large):
        made.generator_step()
        assert made.generator.rotation is not None
        gradients = [p.grad.norm() for p in made.generator.rotation.parameters()]  # type: ignore[union-attr]
        norms.append(torch.stack(gradients).norm().item())
    assert norms[1] == pytest.approx(10 * norms[0], rel=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rotation": "learned"}, "rotation: got learned without a 2D critic, expected critic2d"),
        ({"gan": "lsgan", "stabilizer": "penalty"}, "stabilizer: got penalty with gan lsgan"),
        ({"critic2d": "target", "critic2d_weight": 0.0}, "critic2d_weight: got 0.0, expected"),
    ],
)
def test_impossible_combinations_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PoseDASettings(**changes)
