"""PoseDA's steps: who learns when, from what, and what pairs come out."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from poseda.data import PoseSet
from poseda.data.sampler import Sampler
from poseda.methods import METHODS, PoseDA, make_method
from poseda.methods.method import LabelledPairs
from poseda.methods.placing import visible
from poseda.networks.lifters import make_lifter
from poseda_ext import augment
from tests.adapt_settings import adapt_settings

SETTINGS = {"batch": 64, "warmup": 3, "generator_every": 5}


def make(pose_sets: tuple[PoseSet, PoseSet], name: str = "poseda", **changes: object) -> PoseDA:
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    settings = adapt_settings(**(SETTINGS | changes))
    method = make_method(name, settings, *pose_sets, random)
    assert isinstance(method, PoseDA)
    return method


def values(module: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten().clone() for p in module.parameters()])


def boxes(pose2d: Tensor) -> Tensor:
    return (pose2d.amax(1) - pose2d.amin(1)).sum(-1)


def test_critic_learns_every_iteration_and_the_generator_every_fifth(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    method = make(pose_sets)
    assert method.local is not None
    for iteration in range(10):
        critic, generator = values(method.local.critic), values(method.local.generator)
        method.iterate(iteration)
        assert not torch.equal(values(method.local.critic), critic)
        generator_moved = not torch.equal(values(method.local.generator), generator)
        assert generator_moved == (iteration in (4, 9))


def test_critic_learns_to_tell_source_from_generated(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    method = make(pose_sets, generator_every=10_000, stabilizer="penalty", gan_lr=1e-3)
    assert method.local is not None
    torch.nn.init.normal_(method.local.generator.bone_angle.last.weight, std=1.0)
    gaps = [method.iterate(i)["critic_gap"].item() for i in range(60)]
    assert sum(gaps[-5:]) / 5 > gaps[0] + 0.5


def test_generator_learns_to_please_the_critic(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    method = make(pose_sets, stabilizer="penalty", gan_lr=1e-3)
    local = method.local
    assert local is not None
    torch.nn.init.normal_(local.generator.bone_angle.last.weight, std=1.0)
    for _ in range(60):
        local.critic_step()

    def score() -> float:
        with torch.no_grad():
            _, made = local._generate()
            features = local.critic.features(made.turned, made.bone_scale)
            return local.critic(features).mean().item()

    before, critic = score(), values(local.critic)
    for _ in range(40):
        local.generator_step()
    assert score() > before + 0.3
    assert torch.equal(values(local.critic), critic)


@pytest.mark.parametrize("stabilizer", ["clip", "penalty", "spectral"])
def test_stabilizer_bounds_the_critic(pose_sets: tuple[PoseSet, PoseSet], stabilizer: str) -> None:
    method = make(pose_sets, stabilizer=stabilizer)
    assert method.local is not None
    critic = method.local.critic
    for iteration in range(12):
        scalars = method.iterate(iteration) | method.describe()
    assert all(torch.isfinite(value).all() for value in scalars.values())
    if stabilizer == "clip":
        assert values(critic).abs().max() <= 0.01
    if stabilizer == "spectral":
        norms = torch.cat([torch.linalg.matrix_norm(w.detach(), 2) for w in critic.weights])
        assert norms.max() < 1.2


def test_gpa_gives_source_poses_the_box_and_root_of_the_target(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    source, target = pose_sets
    pairs = make(pose_sets, "gpa", batch=4000).pairs()
    assert source.pose3d is not None
    size, own, aim = (
        boxes(pose2d).median().item() for pose2d in (pairs.pose2d, source.pose2d, target.pose2d)
    )
    assert size == pytest.approx(aim, rel=0.05)
    assert own != pytest.approx(aim, rel=0.05)
    spread = pairs.pose2d[:, 0].std(0) / target.pose2d[:, 0].std(0)
    torch.testing.assert_close(spread, torch.ones(2), atol=0.1, rtol=0)
    relative = source.pose3d - source.pose3d[:, :1]
    nearest = torch.cdist(pairs.pose3d[:20].flatten(1), relative.flatten(1)).amin(1)
    assert nearest.max() < 3e-3  # the poses themselves are the source's


def test_lpa_alone_keeps_root_and_camera_of_the_source(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    method = make(pose_sets, "lpa")
    method.iterate(0)
    pairs = method.pairs()
    assert method.local is not None
    own = pose_sets[0].pose2d[method.local.latest.rows]
    torch.testing.assert_close(pairs.pose2d[:, 0], own[:, 0], atol=2e-3, rtol=0)


def test_poses_go_to_the_lifter_as_they_went_to_the_critic(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    method = make(pose_sets)
    method.iterate(0)
    pairs = method.pairs()
    assert method.local is not None
    made = method.local.latest.made
    assert not pairs.pose3d.requires_grad and not pairs.pose2d.requires_grad
    scaled = augment(made.turned, bone_scale=made.bone_scale).pose3d
    lengths = scaled.norm(dim=-1)  # distances from the root do not change under rotation
    torch.testing.assert_close(pairs.pose3d.norm(dim=-1), lengths, atol=1e-5, rtol=0)


def test_control_and_oracle_take_labelled_pairs(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    random = torch.Generator().manual_seed(0)
    for name, poses in (("control", pose_sets[0]), ("oracle", pose_sets[1])):
        method = make_method(name, adapt_settings(**SETTINGS), *pose_sets, random)
        assert isinstance(method, LabelledPairs)
        pairs = method.pairs()
        assert poses.pose3d is not None
        distance, row = torch.cdist(pairs.pose2d.flatten(1), poses.pose2d.flatten(1)).min(1)
        assert distance.max() < 2e-3
        truth = poses.pose3d[row] - poses.pose3d[row, :1]
        torch.testing.assert_close(pairs.pose3d, truth)


def test_no_method_but_the_oracle_looks_at_target_3d(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    source, target = pose_sets
    unlabelled = dataclasses.replace(target, pose3d=None)
    for name in METHODS[1:]:
        if name == "oracle":
            with pytest.raises(ValueError, match="has no pose3d, expected it for method oracle"):
                make_method(name, adapt_settings(**SETTINGS), source, unlabelled, torch.Generator())
            continue
        results = []
        for poses in (target, unlabelled):
            torch.manual_seed(0)
            random = torch.Generator().manual_seed(0)
            lifter = make_lifter("videopose3d", source.skeleton, 8)  # which some ask
            settings = adapt_settings(**SETTINGS)
            method = make_method(name, settings, source, poses, random, 1, lifter)
            method.iterate(0)
            results.append(method.pairs().pose2d)
        assert torch.equal(*results)


def test_pairs_out_of_sight_are_left_out() -> None:
    pose3d = torch.zeros(4, 16, 3)
    root = torch.tensor([0.0, 0.0, 3.0]).repeat(4, 1)
    pose2d = torch.zeros(4, 16, 2)
    pose2d[1, 3, 0] = -1.01  # left of the picture
    pose3d[2, 5, 2] = -2.95  # 5 cm before the camera
    pose2d[3, 0, 1] = torch.nan
    assert visible(pose3d, root, pose2d).tolist() == [1, 0, 0, 0]


def test_unknown_method_and_source_without_labels_are_refused(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    source, target = pose_sets
    with pytest.raises(ValueError, match=r"method posaug: .*expected one of source-only, control"):
        make_method("posaug", adapt_settings(**SETTINGS), source, target, torch.Generator())
    unlabelled = dataclasses.replace(source, pose3d=None)
    with pytest.raises(ValueError, match="has no pose3d"):
        make_method("poseda", adapt_settings(**SETTINGS), unlabelled, target, torch.Generator())


def test_sampler_draws_all_rows_evenly(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    few = pose_sets[0].rows(slice(0, 4))
    rows = Sampler(few, torch.Generator().manual_seed(0)).rows(40_000)
    share = torch.bincount(rows, minlength=4) / 40_000
    torch.testing.assert_close(share, torch.full((4,), 0.25), atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps: got 0, expected a number, at least 1"),
        ({"lr": -1.0}, "lr: got -1.0, expected a number, more than 0"),
        ({"lr": math.inf}, "lr: got inf"),
        ({"max_bone_angle": math.nan}, "max_bone_angle: got nan"),
        ({"warmup": -1}, "warmup: got -1, expected a number, at least 0"),
        ({"batch": 1}, "batch: got 1, expected a number, at least 2 and at most 1,048,576"),
        ({"batch": 10**12}, "batch: got 1000000000000"),
        ({"max_bone_scale": 1.0}, "max_bone_scale: got 1.0, expected a number, at least 0 and"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        adapt_settings(**change)
