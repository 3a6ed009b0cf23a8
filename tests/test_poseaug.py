"""PoseAug: losses against values worked by hand, who learns from what, stores, and turns."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from poseda.config import AdaptSettings, PoseAugSettings, Settings
from poseda.data import PoseSet
from poseda.data.sampler import Sampler
from poseda.methods import PoseAug, check_method, make_method
from poseda.methods import poseaug as module
from poseda.methods.fakes import FakePool, PairStore
from poseda.methods.losses import lsgan_generator
from poseda.methods.poseaug import bone_lengths, error_groups, range_loss, swap
from poseda.networks import augmentor
from poseda.networks.augmentor import MAX_BONE_RATIO, Augmentation, Augmentor, Critic3D
from poseda.networks.lifters import make_lifter
from poseda.networks.weights import read_card
from poseda.training import graphs
from poseda.training.loop import Schedule, Training
from poseda.training.run_folder import RunFolder
from poseda_ext import H36M_16, H36M_17, augment, bones
from tests.test_graphs import Recorder

STEPS = 24


@pytest.fixture(autouse=True)
def small_networks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published ones take most of the time."""
    if "published" not in request.node.name:
        monkeypatch.setattr(augmentor, "WIDTH", 32)
        monkeypatch.setattr(Critic3D, "WIDTHS", (32, 32, 32, 16))


def make(
    pose_sets: tuple[PoseSet, PoseSet],
    batch: int = 32,
    gan_lr: float = 1e-4,
    device: str = "cpu",
    **own: Any,
) -> PoseAug:
    torch.manual_seed(0)
    source, target = (poses.train.to(device) for poses in pose_sets)
    settings = AdaptSettings(
        steps=STEPS, batch=batch, warmup=4, gan_lr=gan_lr, poseaug=PoseAugSettings(**own)
    )
    lifter = make_lifter("videopose3d", source.skeleton, 16).to(device)
    random = torch.Generator(device).manual_seed(0)
    method = make_method("poseaug", settings, source, target, random, 1, lifter)
    assert isinstance(method, PoseAug)
    return method


def make_training(folder: Path, pose_sets: tuple[PoseSet, PoseSet], **own: Any) -> Training:
    method = make(pose_sets, 16, **own)
    assert method.lifter is not None
    source = method.source
    schedule = Schedule(STEPS, 16, 1e-3, 0.0)
    return Training(
        method.lifter, source, schedule, RunFolder(folder), method.random, method,
        checkpoint_every=8,
    )  # fmt: skip


def values(network: nn.Module) -> Tensor:
    return torch.cat([v.detach().double().flatten() for v in network.state_dict().values()])


def gradients(loss: Tensor, whole: Augmentor) -> dict[str, float]:
    """Norm of the loss's gradient in each sub-network."""
    networks = dict(whole.named_children())
    parameters = [p for network in networks.values() for p in network.parameters()]
    found = iter(torch.autograd.grad(loss, parameters, allow_unused=True))
    norms = {}
    for name, network in networks.items():
        parts = [next(found) for _ in network.parameters()]
        norms[name] = math.hypot(*(0.0 if g is None else g.norm().item() for g in parts))
    return norms


# --- networks


def test_networks_have_the_published_sizes() -> None:
    whole = Augmentor(H36M_16, depth=4.0)
    counts = {name: sum(p.numel() for p in n.parameters()) for name, n in whole.named_children()}
    assert counts["bone_angle"] == 302_125
    assert counts["bone_length"] == 296_713
    assert counts["rotation"] + counts["translation"] == 582_662


def test_every_network_of_the_augmentor_sees_the_source_pose() -> None:
    torch.manual_seed(0)
    whole = Augmentor(H36M_16, depth=4.0)
    seen: dict[str, Tensor] = {}
    for name, network in whole.named_children():
        network.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: given[0]}))
    pose = torch.randn(6, 16, 3) + torch.tensor([0.0, 0.0, 5.0])
    whole(pose)
    source = (pose - pose[:, :1]).flatten(1)
    assert set(seen) == {"bone_angle", "bone_length", "rotation", "translation"}
    assert all(torch.equal(given[:, :48], source) for given in seen.values())
    torch.testing.assert_close(seen["bone_length"][:, 48:63], bones(pose, H36M_16).norm(dim=-1))
    noise = [given[:, -augmentor.NOISE :] for given in seen.values()]
    assert not any(torch.equal(noise[0], other) for other in noise[1:])


@pytest.mark.parametrize("skeleton", [H36M_16, H36M_17])
def test_augmentor_changes_what_it_says(skeleton: Any) -> None:
    torch.manual_seed(0)
    pose = torch.randn(200, skeleton.num_joints, 3) + torch.tensor([0.0, 0.0, 5.0])
    with torch.no_grad():
        made = Augmentor(skeleton, depth=9.0)(pose)
    before, after = bones(pose, skeleton), bones(made.turned, skeleton)
    torch.testing.assert_close(after.norm(dim=-1), before.norm(dim=-1))
    cosine = torch.cosine_similarity(before, after, dim=-1)
    torch.testing.assert_close(made.angle, 1 - cosine, atol=1e-5, rtol=0)
    torso = [skeleton.bone("Spine"), skeleton.bone("Thorax")]
    assert (cosine[:, torso] > 1 - 1e-5).all() and cosine.mean() < 0.8
    assert made.bone_scale.abs().max() <= MAX_BONE_RATIO and made.bone_scale.std() > 0.01
    assert not made.bone_scale[:, torso[1]].any()
    for group in skeleton.bone_groups:
        same = made.bone_scale[:, list(group)]
        assert torch.equal(same, same[:, :1].expand_as(same))
    assert made.rotation.abs().max() <= math.pi
    assert (made.translation[:, 2] >= 0).all()
    assert 3 < made.translation[:, 2].median() < 20


def test_bone_of_no_length_stays_where_it_is() -> None:
    pose = torch.zeros(8, 16, 3, requires_grad=True)
    made = Augmentor(H36M_16, depth=4.0)(pose)
    assert not made.turned.any()
    sum(value.sum() for value in made).backward()
    assert pose.grad is not None and torch.isfinite(pose.grad).all()


def test_parts_of_the_3d_critic_are_the_published_path() -> None:
    critic = Critic3D(H36M_16)
    features = critic.features(torch.randn(7, 16, 3))
    expected = []
    for part, given in enumerate(features.chunk(5, 1)):

        def layer(index: int, x: Tensor, part: int = part) -> Tensor:
            return x @ critic.weights[index][part] + critic.biases[index][part]

        leaky = nn.functional.leaky_relu
        first = leaky(layer(0, given), 0.01)
        third = layer(2, leaky(layer(1, first), 0.01)) + first
        expected.append(layer(4, leaky(layer(3, third), 0.01))[:, 0])
    torch.testing.assert_close(critic.part_scores(features), torch.stack(expected))
    assert [tuple(weight.shape[1:]) for weight in critic.weights[1:]] == [
        (256, 256), (256, 256), (256, 100), (100, 1),
    ]  # fmt: skip


# --- losses


def test_range_loss_is_a_band_of_angles_and_a_limit_of_ratios() -> None:
    angle = torch.zeros(2, 15)
    angle[0] = 0.2  # within the band
    ratio = torch.zeros(2, 9)
    ratio[0, 0], ratio[1, 1], ratio[1, 2] = 0.05, -0.15, 0.2
    nothing = torch.zeros(2, 0)
    changes = Augmentation(nothing, angle, ratio, nothing, nothing, nothing)
    expected = 0.205**2 / 2 + (0.15**2 + 0.2**2) / 18
    assert range_loss(changes).item() == pytest.approx(expected, rel=1e-5)


def test_errors_of_joints_count_in_three_groups() -> None:
    error = torch.ones(16)
    assert (error @ error_groups(H36M_16)).tolist() == pytest.approx([5.0, 9 / 5, 1.0])
    head = torch.zeros(17)
    head[H36M_17.names.index("Head")] = 1
    assert (head @ error_groups(H36M_17)).tolist() == pytest.approx([0, 1 / 5, 0])


class Stretched(nn.Module):
    """Lifts a pose to its own 2D points at depth 0, times a factor that it counts as learned."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, pose2d: Tensor) -> Tensor:
        return self.factor * nn.functional.pad(pose2d, (0, 1))


def test_hardness_is_the_ratio_of_errors(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    method = make(pose_sets)
    method.lifter = Stretched()
    given = method._draw()
    made = method._augment(given)
    hard = method._hardness(given, made)
    assert hard.shape == (2, 32, 3)

    def error(pose2d: Tensor, pose: Tensor) -> Tensor:
        return (nn.functional.pad(pose2d, (0, 1)) - pose).norm(dim=-1)[:, [3, 6, 12, 15]].mean(1)

    easy = error(given.pose2d, given.pose)
    turned = made.changes.turned
    torch.testing.assert_close(hard[0, :, 2], error(made.turned2d, turned) / easy)
    torch.testing.assert_close(hard[1, :, 2], error(made.pose2d, made.pose) / easy)
    seen = augment(turned, root=given.root, intrinsics=given.intrinsics).pose2d
    torch.testing.assert_close(made.turned2d, seen)  # before lengths and view have changed
    exact = given._replace(pose=nn.functional.pad(given.pose2d, (0, 1)))  # an error of 0
    assert torch.isfinite(method._hardness(exact, made)).all()


def test_aimed_hardness_grows_from_three_to_five(
    pose_sets: tuple[PoseSet, PoseSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    method = make(pose_sets, critic_every=10_000)
    aims, rates = [], []
    for name in ("first_step", "augmentor_step"):
        monkeypatch.setattr(method, name, dict)
    for iteration in range(method.total):
        method.iterate(iteration)
        aims.append(method.hard_angle.item())
        rates.append(method.augmentor_optimizer.param_groups[0]["lr"])
    assert method.total == 28 and aims[0] == 3 and aims[14] == pytest.approx(4)
    assert aims[-1] == pytest.approx(5, abs=0.1)
    assert rates[0] == 1e-4 and rates[14] == pytest.approx(5e-5) and 0 < rates[-1] < 5e-6


def test_feedback_leaves_alone_what_is_in_its_band(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    method = make(pose_sets)
    method.hard_angle.fill_(4.0)
    keep = torch.tensor([True, False])
    hard = torch.tensor([[[2.1, 4.0, 5.9]] * 2, [[2.1, 17.0, 31.9]] * 2])
    assert method._feedback(hard, keep).item() == 0
    hard[0, 0, 0], hard[1, 0, 0], hard[1, 1, 0] = 7.0, 40.0, 1e9  # the last is out of sight
    expected = 0.1 * 3.0**2 / 6 + 0.01 * 23.0**2 / 6
    assert method._feedback(hard, keep).item() == pytest.approx(expected, rel=1e-5)


# --- who learns from what


def test_gradients_reach_the_networks_that_each_critic_sees(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    method = make(pose_sets)
    made = method._augment(method._draw())
    score3d = method.critic3d.part_scores(method.critic3d.features(made.changes.turned))
    from3d = gradients(lsgan_generator(score3d), method.augmentor)
    assert from3d["bone_angle"] > 1e-3
    assert from3d["bone_length"] == from3d["rotation"] == from3d["translation"] == 0
    made = method._augment(method._draw())
    score3d = method.critic3d.part_scores(method.critic3d.features(made.pose))  # it sees no more
    blind = gradients(lsgan_generator(score3d), method.augmentor)
    assert max(blind["bone_length"], blind["rotation"]) < 1e-4 * blind["bone_angle"]
    made = method._augment(method._draw())
    from2d = gradients(lsgan_generator(method._score2d(made.pose2d)), method.augmentor)
    assert min(from2d.values()) > 1e-4


def test_feedback_teaches_every_network(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    method = make(pose_sets)
    given = method._draw()
    hard = method._hardness(given, method._augment(given))
    assert min(gradients(hard.sum(), method.augmentor).values()) > 1e-3


def test_augmentor_learns_each_iteration_and_critics_every_second(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    method = make(pose_sets)
    for iteration in range(8):
        before = [values(n) for n in (method.augmentor, method.critic3d, method.critic2d)]
        method.iterate(iteration)
        after = [values(n) for n in (method.augmentor, method.critic3d, method.critic2d)]
        moved = [not torch.equal(*pair) for pair in zip(before, after, strict=True)]
        assert moved == [True, iteration % 2 == 1, iteration % 2 == 1]


def test_scoring_leaves_the_lifter_alone(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    method = make(pose_sets)
    assert method.lifter is not None
    method.lifter.train()
    before, random = values(method.lifter), torch.get_rng_state()
    for iteration in range(8):
        method.iterate(iteration)
    assert torch.equal(values(method.lifter), before)
    assert torch.equal(torch.get_rng_state(), random)  # no dropout
    assert all(parameter.grad is None for parameter in method.lifter.parameters())
    assert all(network.training for network in method.lifter.modules())


def test_without_feedback_no_lifter_is_asked(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    source, target = pose_sets
    random = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="poseaug: got no lifter"):
        make_method("poseaug", AdaptSettings(), source, target, random)
    own = PoseAugSettings(weight_hard_angle=0, weight_hard_view=0)
    settings = AdaptSettings(batch=8, warmup=0, poseaug=own)
    make_method("poseaug", settings, source, target, random).iterate(0)


def test_augmentor_learns_to_please_the_critics(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    method = make(pose_sets, gan_lr=3e-3)
    for _ in range(30):
        method.first_step()
        method.critic_step()
    assert method.latest.gap[0] > 0.2

    def score() -> float:
        with torch.no_grad():
            turned = method._augment(method._draw()).changes.turned
            return method.critic3d(method.critic3d.features(turned)).mean().item()

    before = score()
    for _ in range(40):
        method.first_step()
    assert score() > before + 0.1


# --- bone lengths


def named(poses: PoseSet, names: list[str]) -> PoseSet:
    return dataclasses.replace(poses, subject=np.resize(np.array(names), len(poses)))


def test_bone_lengths_are_the_medians_of_source_subjects(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    source = pose_sets[0]
    assert source.pose3d is not None
    pose3d = source.pose3d.clone()
    pose3d[1::2] *= 1.5
    templates = bone_lengths(named(dataclasses.replace(source, pose3d=pose3d), ["a", "b"]))
    assert templates.shape == (2, 15)
    for group in H36M_16.bone_groups:
        members = templates[:, list(group)]
        assert torch.equal(members, members[:, :1].expand_as(members))
    own = bones(pose3d[::2], H36M_16).norm(dim=-1).median(0).values
    torch.testing.assert_close(templates[0, 6:8], own[6:8])  # of no pair
    torch.testing.assert_close(templates[0, [0, 3]], own[[0, 3]].mean().expand(2))
    ratio = templates[1].sum() / templates[0].sum()
    assert ratio == pytest.approx(1.5, rel=0.1)


def test_swap_keeps_directions_and_gives_the_lengths(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    method = make((named(pose_sets[0], ["a", "b", "c"]), pose_sets[1]))
    assert method.templates is not None
    given = method._draw()
    lengths = bones(given.pose, H36M_16).norm(dim=-1)
    nearest = (lengths[:, None] - method.templates).abs().amax(-1).amin(1)
    assert nearest.max() < 1e-5
    seen = augment(given.pose, root=given.root, intrinsics=given.intrinsics).pose2d
    torch.testing.assert_close(seen, given.pose2d)

    poses = pose_sets[0].pose3d
    assert poses is not None
    some = poses[:50]
    templates = method.templates[0].expand(50, -1)
    moved = augment(some, bone_scale=swap(some, templates, H36M_16)).pose3d
    before, after = bones(some, H36M_16), bones(moved, H36M_16)
    torch.testing.assert_close(after.norm(dim=-1), templates)
    assert torch.cosine_similarity(before, after, dim=-1).min() > 1 - 1e-5


def test_without_swap_poses_are_as_they_were(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    method = make(pose_sets, swap_bone_lengths=False)
    given, poses = method._draw(), pose_sets[0].train.pose3d
    assert poses is not None and method.templates is None
    whole = (given.pose + given.root[:, None]).flatten(1)
    distance = (whole[:, None] - poses.flatten(1)).abs().amax(-1).amin(1)
    assert distance.max() < 1e-5


# --- stores


def test_pool_fills_first_and_then_shows_older_fakes_half_of_the_time() -> None:
    pool = FakePool(40, 10, 1, torch.Generator().manual_seed(0))
    numbers = torch.arange(4000.0)[:, None].split(10)
    for fakes in numbers[:4]:
        assert torch.equal(pool(fakes), fakes)
    assert sorted(pool.held.flatten().tolist()) == list(range(40))
    shown = torch.cat([pool(fakes) for fakes in numbers[4:]])
    new = torch.cat(numbers[4:])
    older = shown < new
    assert older.float().mean() == pytest.approx(0.5, abs=0.03)
    assert (older | (shown == new)).all()
    # Each fake is shown once or never, or still held: nothing is shown twice.
    seen = torch.cat((shown.flatten(), pool.held.flatten()))
    expected = torch.cat((torch.arange(40.0), new.flatten()))
    assert torch.equal(seen.sort().values, expected)
    age = (new - shown)[older]
    assert age.mean() == pytest.approx(2 * 40, rel=0.15)  # leaves 40 places at 1/2 a fake


def test_pool_holds_at_least_a_batch() -> None:
    pool = FakePool(4, 6, 1, torch.Generator().manual_seed(0))
    fakes = torch.arange(6.0)[:, None]
    assert torch.equal(pool(fakes), fakes) and len(pool.held) == 6
    assert set(pool(fakes + 6).flatten().tolist()) <= set(range(12))


def test_pool_lets_pass_what_comes_as_it_fills() -> None:
    pool = FakePool(8, 5, 1, torch.Generator().manual_seed(0))
    for start in (0.0, 5.0):
        fakes = start + torch.arange(5.0)[:, None]
        assert torch.equal(pool(fakes), fakes)
    assert pool.held.flatten().tolist() == list(range(8))


def test_store_keeps_the_latest_of_what_is_to_keep() -> None:
    store = PairStore(torch.full((5, 1), -1.0), torch.Generator().manual_seed(0))
    assert (store.draw(4) == -1).all()  # the source's, until there is a pair
    store.add(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([False, True, False]))
    assert (store.draw(50) == 2).all()
    store.add(torch.tensor([[4.0], [5.0], [6.0]]), torch.tensor([True, False, True]))
    assert set(store.draw(200).flatten().tolist()) == {2, 4, 6}
    store.add(torch.tensor([[7.0], [8.0], [9.0]]), torch.tensor([True, True, True]))
    drawn = store.draw(4000).flatten()
    assert set(drawn.tolist()) == {4, 6, 7, 8, 9}
    assert (torch.bincount(drawn.long())[[4, 6, 7, 8, 9]] / 4000).sub(0.2).abs().max() < 0.03


def test_pairs_out_of_sight_are_not_stored(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    method = make(pose_sets, batch=64)
    with torch.no_grad():
        method.augmentor.translation.last.bias[0] = 2.0  # to the right, half of them out of it
    for iteration in range(4):
        method.iterate(iteration)
    assert 0.05 < method.latest.keep.mean() < 0.95
    pairs = method.pairs()
    assert pairs.pose2d.shape == (128, 16, 2) and pairs.keep.all()
    assert pairs.pose2d.abs().max() <= 1
    assert not pairs.pose3d[:, 0].any()


# --- turns


def test_fakes_and_source_take_turns_in_batches_of_their_own(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    training = make_training(tmp_path, pose_sets, epochs=4)
    batches: list[Tensor] = []

    def record(network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if network.training:
            batches.append(inputs[0])

    training.lifter.register_forward_pre_hook(record)
    training.lifter.train()
    for iteration in range(training.total):
        training.iteration = iteration
        training.step()
    assert len(batches) == STEPS and {batch.shape for batch in batches} == {(32, 16, 2)}
    pose2d = pose_sets[0].train.pose2d.flatten(1)
    own = [
        bool(((batch.flatten(1)[:, None] - pose2d).abs().amax(-1).amin(1) == 0).all())
        for batch in batches
    ]
    assert own == ([False] * 3 + [True] * 3) * 4  # 4 epochs of 6 steps


@pytest.mark.parametrize(("steps", "epochs", "passes"), [(6000, 48, 96), (5, 48, 4), (1, 48, 2)])
def test_short_trainings_have_fewer_turns(
    pose_sets: tuple[PoseSet, PoseSet], steps: int, epochs: int, passes: int
) -> None:
    settings = AdaptSettings(steps=steps, batch=4, poseaug=PoseAugSettings(epochs=epochs))
    lifter = make_lifter("videopose3d", H36M_16, 8)
    method = make_method("poseaug", settings, *pose_sets, torch.Generator(), 1, lifter)
    assert isinstance(method, PoseAug)
    assert method.passes == passes
    if steps > 1:
        assert (steps - 1) * passes // steps % 2 == 1  # the source has the last turn


# --- training


def test_training_learns_and_logs(tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]) -> None:
    training = make_training(tmp_path, pose_sets)
    before = values(training.lifter)
    training.run()
    assert not torch.equal(values(training.lifter), before)
    record = training.folder.records()[-1]
    assert record["step"] == 28 and 0 < record["kept"] <= 1
    assert 20 < record["bone_angle_deg"] < 80 and 0 <= record["rotation_deg"] <= 180
    assert record["hard_angle"] > 0 and record["hard_view"] > 0
    assert {"lifter_loss", "critic_gap", "critic2d_gap", "depth"} < set(record)


def test_resumed_training_ends_in_the_same_numbers(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POOL", 40)  # full after six critic steps
    whole = make_training(tmp_path / "whole", pose_sets)
    whole.run()
    killed = make_training(tmp_path / "killed", pose_sets)
    step = killed.step

    def die() -> dict[str, Tensor]:
        if killed.iteration == 21:
            raise ConnectionError  # the checkpoint is of step 16
        return step()

    killed.step = die  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        killed.run()
    torch.rand(7)  # some other use of the global generator
    resumed = make_training(tmp_path / "killed", pose_sets)
    resumed.run()
    assert torch.equal(values(resumed.lifter), values(whole.lifter))
    assert isinstance(resumed.method, PoseAug) and isinstance(whole.method, PoseAug)
    assert torch.equal(values(resumed.method.augmentor), values(whole.method.augmentor))
    assert torch.equal(values(resumed.method.critic2d), values(whole.method.critic2d))


def test_iterations_never_wait_and_run_the_same_ops(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    training = make_training(tmp_path, pose_sets, epochs=6)
    training.lifter.train()
    rounds = []
    for iteration in range(training.total):
        training.iteration = iteration
        with Recorder() as recorder:
            training.step()
        assert not recorder.waiting
        rounds.append(recorder.ops)
    assert rounds[8:12] == rounds[12:16] == rounds[16:20]  # an epoch of four steps


def test_everything_lies_on_the_device(
    pose_sets: tuple[PoseSet, PoseSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the device that holds no values: ops refuse a mix with another one, and whatever the host
    waits for fails."""

    def adam(parameters: Any, lr: float) -> torch.optim.Adam:
        return torch.optim.Adam(list(parameters), lr)  # it has no fused kernel

    monkeypatch.setattr(module, "adam", adam)
    method = make(pose_sets)
    meta = torch.device("meta")
    for name, value in vars(method).items():
        if isinstance(value, (Tensor, nn.Module)):
            setattr(method, name, value.to(meta))
    method.latest = module.Latest(*(value.to(meta) for value in method.latest))
    method.source = Sampler(pose_sets[0].train.to(meta), method.random)
    for store in (method.pool3d, method.pool2d, method.store):
        for name, value in vars(store).items():
            if isinstance(value, Tensor):
                setattr(store, name, value.to(meta))
    method.learned = list(method.augmentor.parameters())
    method.critics = [list(n.parameters()) for n in (method.critic3d, method.critic2d)]
    for step in (method.first_step, method.critic_step, method.augmentor_step):
        step()
    assert {value.device.type for value in method.describe().values()} == {"meta"}
    assert method.pairs().pose2d.is_meta


@pytest.mark.gpu
def test_graphs_neither_wait_nor_train_otherwise(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []
    for warm_up in (graphs.WARM_UP, 1_000_000):  # replayed, and eager
        monkeypatch.setattr(graphs, "WARM_UP", warm_up)
        training = make_training(tmp_path, pose_sets, device="cuda", epochs=1)
        training.lifter.train()
        start = values(training.lifter)
        for iteration in range(40):
            training.iteration = min(iteration, training.total - 1)
            if iteration == 30:
                torch.cuda.set_sync_debug_mode("error")
            training.step()
        torch.cuda.set_sync_debug_mode("default")
        assert isinstance(training.method, PoseAug)
        captured = [step.captured for step in (training.method.augmentor_step, *training.turns)]
        assert captured == [warm_up < 40] * 3
        ends.append(values(training.lifter))
    assert (ends[0] - ends[1]).norm() < 0.1 * (ends[1] - start).norm()


# --- use


def test_figures_are_of_the_method_that_adapts() -> None:
    pytest.importorskip("pydantic", reason="run folders need pydantic")
    from poseda.report import _shown

    assert _shown(("source-only", "control", "poseaug")) == "poseaug"
    assert _shown(("source-only", "poseaug", "gpa", "oracle")) == "gpa"
    assert _shown(("source-only", "control")) == "control"


def test_lifters_of_windows_are_refused(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    with pytest.raises(ValueError, match="poseaug: got a lifter of 9 frames, expected one of a si"):
        make_method("poseaug", AdaptSettings(), *pose_sets, torch.Generator(), 9, nn.Identity())
    with pytest.raises(ValueError, match="method poseaug: got a lifter of 27 frames"):
        check_method("poseaug", 27)
    check_method("poseda", 27)


def test_a_plan_with_windows_is_refused_before_it_starts(
    tmp_path: Path, domains: tuple[Path, Path]
) -> None:
    pytest.importorskip("pydantic", reason="run folders need pydantic")
    from poseda.experiment import Plan, check_plan

    settings = Settings(
        source=domains[0], target=domains[1], out=tmp_path / "run", lifter="videopose3d_27"
    )
    with pytest.raises(ValueError, match="method poseaug: got a lifter of 27 frames"):
        check_plan(Plan(settings, ("source-only", "poseaug"), (0,)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs: got 0, expected a number, at least 1"),
        ({"critic_every": 0}, "critic_every: got 0"),
        ({"weight_2d": -1.0}, "weight_2d: got -1.0"),
        ({"weight_hard_view": math.nan}, "weight_hard_view: got nan"),
    ],
)
def test_bad_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PoseAugSettings(**change)


def test_command_trains_and_reports(
    tmp_path: Path, domains: tuple[Path, Path], no_figures: None
) -> None:
    pytest.importorskip("tyro", reason="the command line needs tyro")
    from poseda.cli import main

    main([
        "adapt", "--method", "poseaug", "--no-control", "--jobs", "1",
        "--out", str(tmp_path), "--device", "cpu",
        "--source", str(domains[0]), "--target", str(domains[1]), "--width", "16",
        "--pretrain.steps", "20", "--pretrain.batch", "16", "--adapt.steps", "20",
        "--adapt.batch", "16", "--adapt.warmup", "4", "--adapt.poseaug.epochs", "5",
    ])  # fmt: skip
    rows = json.loads((tmp_path / "results.json").read_text())
    assert {row["method"] for row in rows} == {"source-only", "poseaug"}
    assert all(math.isfinite(row["mpjpe"]) for row in rows)
    assert "PoseAug" in (tmp_path / "report.md").read_text()
    card = read_card(tmp_path / "seed0" / "poseaug" / "lifter.safetensors")
    assert card is not None and card.target is None  # it has learned nothing of it
