"""Losses that several methods share, against hand values."""

from __future__ import annotations

import pytest
import torch

from poseda.data import PoseSet
from poseda.methods.losses import (
    MIN_ERROR,
    asked,
    error_of,
    hardness,
    inside_band,
    lsgan_critic,
    lsgan_generator,
    outside_band,
)
from poseda.networks.critic import Critic
from poseda.networks.lifters import make_lifter
from poseda_ext import H36M_16


def test_least_squares_losses() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0, 2.0])
    # 0.5 * (0 + 4) / 2 + 0.5 * (0 + 1 + 4) / 3, and 0.5 * (1 + 0 + 1) / 3
    assert lsgan_critic(real, fake).item() == pytest.approx(1 + 5 / 6)
    assert lsgan_generator(fake).item() == pytest.approx(1 / 3)


def test_bands_count_either_side_of_their_edge() -> None:
    values = torch.tensor([1.0, 2.5, 5.0, 7.5, 10.0])
    assert outside_band(values, 5, 3).tolist() == [16, 0, 0, 0, 25]
    assert inside_band(values, 5, 3).tolist() == [0, 6.25, 0, 6.25, 0]


def test_hardness_is_a_ratio_of_mean_distances_with_a_floor() -> None:
    predicted, truth = torch.zeros(2, 4, 3, requires_grad=True), torch.zeros(2, 4, 3)
    truth[0, 1] = torch.tensor([0.0, 0.3, 0.4])  # metres, one joint of four
    error = error_of(predicted, truth)
    assert error.tolist() == pytest.approx([0.125, 0])
    assert hardness(error, torch.tensor([0.05, 0.0])).tolist() == pytest.approx([2.5, 0])
    assert hardness(error[:1], torch.zeros(1)).item() == pytest.approx(0.125 / MIN_ERROR)
    error.sum().backward()
    assert predicted.grad is not None and torch.isfinite(predicted.grad).all()


def test_a_lifter_that_is_asked_neither_drops_units_nor_learns() -> None:
    torch.manual_seed(0)
    lifter = make_lifter("videopose3d", H36M_16, 16).train()
    before = [value.clone() for value in lifter.state_dict().values()]
    pose2d = torch.rand(8, 16, 2, requires_grad=True)
    with asked(lifter):
        first, second = lifter(pose2d), lifter(pose2d)
    assert torch.equal(first, second)
    assert lifter.training and all(module.training for module in lifter.modules())
    assert all(map(torch.equal, lifter.state_dict().values(), before))
    first.sum().backward()
    assert pose2d.grad is not None and pose2d.grad.abs().max() > 0


def test_score_is_the_mean_of_the_parts(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    poses = pose_sets[0].pose3d
    assert poses is not None
    critic = Critic(H36M_16, unit=True)
    features = critic.features(poses[:7])
    scores = critic.part_scores(features)
    assert scores.shape == (5, 7)
    torch.testing.assert_close(critic(features), scores.mean(0))
