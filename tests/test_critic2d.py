"""The critic of 2D poses: its size, what it looks at, and that it can tell poses apart."""

from __future__ import annotations

import pytest
import torch

from poseda.data import PoseSet
from poseda.networks.critic2d import Critic2D
from poseda_ext import H36M_16, H36M_17, kcs


@pytest.fixture
def poses(pose_sets: tuple[PoseSet, PoseSet]) -> torch.Tensor:
    return pose_sets[1].pose2d[:300]


def make(kcs: bool = False) -> Critic2D:
    torch.manual_seed(0)
    return Critic2D(H36M_16, kcs=kcs)


def test_plain_critic_is_poseaugs() -> None:
    assert sum(p.numel() for p in make().parameters()) == 43_801


def test_layers_stand_as_published(poses: torch.Tensor) -> None:
    critic = make()
    weights = [layer for layer in critic.modules() if isinstance(layer, torch.nn.Linear)]

    def through(index: int, hidden: torch.Tensor, leak: float = 0.01) -> torch.Tensor:
        hidden = hidden @ weights[index].weight.T + weights[index].bias
        return torch.where(hidden > 0, hidden, leak * hidden)

    first = through(0, poses.flatten(1))
    third = first + through(2, through(1, first), leak=1)
    hidden = torch.where(third > 0, third, 0.01 * third)
    expected = through(5, through(4, through(3, hidden, leak=1)), leak=1)[:, 0]
    torch.testing.assert_close(critic(critic.features(poses)), expected, atol=1e-5, rtol=1e-5)


def test_second_branch_sees_each_product_of_bones_once(poses: torch.Tensor) -> None:
    features = make(kcs=True).features(poses)
    rows, columns = torch.triu_indices(15, 15)
    expected = torch.cat((poses.flatten(1), kcs(poses)[:, rows, columns]), 1)
    torch.testing.assert_close(features, expected, atol=1e-6, rtol=1e-5)
    assert Critic2D(H36M_17, kcs=True).num_features == 34 + 16 * 17 // 2


@pytest.mark.parametrize("with_kcs", [False, True])
def test_place_and_size_in_the_picture_count(poses: torch.Tensor, with_kcs: bool) -> None:
    critic = make(with_kcs)
    critic.standardize(poses)
    score = critic(critic.features(poses))
    for moved in (poses + 0.1, 1.2 * poses):
        assert (critic(critic.features(moved)) - score).abs().mean() > 0.01


@pytest.mark.parametrize("with_kcs", [False, True])
def test_standardized_features_have_no_mean_and_unit_spread(
    poses: torch.Tensor, with_kcs: bool
) -> None:
    critic = make(with_kcs)
    seen = torch.rand(poses.shape[:2], generator=torch.Generator().manual_seed(0)) < 0.8
    critic.standardize(torch.where(seen[..., None], poses, 7.0), seen)
    features = critic.features(poses, seen)
    known = critic._known(seen)
    assert not features[~known].any()
    mean = features.sum(0) / known.sum(0)
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-3, rtol=0)
    spread = (features.square().sum(0) / known.sum(0)).sqrt()
    torch.testing.assert_close(spread, torch.ones_like(mean), atol=1e-2, rtol=0)


def test_unseen_joints_say_nothing(poses: torch.Tensor) -> None:
    critic = make(kcs=True)
    critic.standardize(poses)
    seen = torch.ones(poses.shape[:2], dtype=torch.bool)
    seen[:, 11] = False  # an elbow
    elsewhere = poses.clone()
    elsewhere[:, 11] = 5.0
    features = critic.features(poses, seen)
    assert torch.equal(features, critic.features(elsewhere, seen))
    # both coordinates, and the two bones at the elbow, each with itself and the 14 others
    assert (features == 0).all(0).sum() == 2 + 2 * 15 - 1
    assert torch.equal(critic.features(poses, torch.ones_like(seen)), critic.features(poses))


@pytest.mark.parametrize("with_kcs", [False, True])
def test_critic_learns_to_tell_two_domains_apart(
    pose_sets: tuple[PoseSet, PoseSet], with_kcs: bool
) -> None:
    source, target = (poses.pose2d[:400] for poses in pose_sets)
    critic = make(with_kcs)
    critic.standardize(target)
    optimizer = torch.optim.Adam(critic.parameters(), 1e-3)
    for _ in range(40):
        real, fake = critic(critic.features(target)), critic(critic.features(source))
        loss = (real - 1).square().mean() + fake.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert real.mean() - fake.mean() > 0.5


def test_matrices_are_the_weights_themselves() -> None:
    critic = make(kcs=True)
    with torch.no_grad():
        for matrix in critic.matrices:
            matrix.zero_()
    assert critic(torch.randn(3, critic.num_features)).std() == 0
    assert [matrix.shape for matrix in critic.matrices][-1] == (1, 100, 1)
