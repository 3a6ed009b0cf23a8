"""AdaptPose's losses against hand values, who learns from what, and short trainings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from poseda.config import AdaptPoseSettings, AdaptSettings
from poseda.data import PoseSet
from poseda.data.sampler import Sampler
from poseda.methods import AdaptPose, adaptpose, make_method
from poseda.methods.adaptpose import _at, reprojection_loss, selected
from poseda.methods.losses import MIN_ERROR
from poseda.methods.method import Pairs
from poseda.networks.lifters import make_lifter
from poseda.training import graphs
from poseda.training.loop import Schedule, Training
from poseda.training.run_folder import RunFolder
from poseda_ext import Skeleton
from tests.commands import run
from tests.test_graphs import Recorder

BATCH = 32
PARTS = ("bone_motion", "bone_length", "rotation", "translation")


def lifter_of(frames: int, skeleton: Skeleton) -> nn.Module:
    return make_lifter("videopose3d_27" if frames > 1 else "videopose3d", skeleton, 16)


def make(
    pose_sets: tuple[PoseSet, PoseSet],
    frames: int = 1,
    warmup: int = 0,
    device: str = "cpu",
    **changes: Any,
) -> AdaptPose:
    torch.manual_seed(0)
    source, target = (poses.train.to(device) for poses in pose_sets)
    random = torch.Generator("cpu" if device == "meta" else device).manual_seed(0)
    lifter = lifter_of(frames, source.skeleton).to(device).train()
    own = AdaptPoseSettings(**changes)
    settings = AdaptSettings(batch=BATCH, warmup=warmup, gan_lr=1e-3, adaptpose=own)
    method = make_method("adaptpose", settings, source, target, random, frames, lifter)
    assert isinstance(method, AdaptPose)
    return method


def train(folder: Path, method: AdaptPose, steps: int = 12, every: int = 500) -> Training:
    sampler = Sampler(method.source.poses, method.random, method.frames)
    schedule = Schedule(steps, BATCH, 1e-3, 0.0)
    return Training(
        method.lifter,
        sampler,
        schedule,
        RunFolder(folder),
        method.random,
        method,
        checkpoint_every=every,
    )


def values(module: nn.Module) -> Tensor:
    return torch.cat([value.double().flatten() for value in module.state_dict().values()])


# --- losses


def test_selection_is_equation_14() -> None:
    ratio = torch.tensor([0.5, 1.0, 1.001, 17.0, 32.999, 33.0])
    assert selected(ratio, 17, 16).tolist() == [False, False, True, True, True, False]


def test_reprojection_is_equation_18() -> None:
    predicted = torch.tensor([[[0.0, 0, 0], [3, 0, 8], [0, 4, -5]]])  # depth does not count
    pose2d = torch.tensor([[[0.25, 0.5], [0.75, 0.5], [0.25, 0.5]]])  # nor does the place
    # (0.6, 0), (0, 0.8) against (1, 0), (0, 0)
    assert reprojection_loss(predicted, pose2d).item() == pytest.approx(0.4 + 0.8)
    seen = torch.tensor([[True, True, False]])
    assert reprojection_loss(predicted, pose2d, seen).item() == pytest.approx(0)
    assert reprojection_loss(9 * predicted, 0.1 * pose2d).item() == pytest.approx(1.2)


def test_reprojection_reaches_what_was_generated_and_is_finite_for_a_point() -> None:
    pose2d = torch.zeros(1, 3, 2, requires_grad=True)
    loss = reprojection_loss(torch.randn(1, 3, 3), pose2d)
    loss.backward()
    assert torch.isfinite(loss) and pose2d.grad is not None
    assert torch.isfinite(pose2d.grad).all()


@pytest.mark.parametrize("hard_ratio", ["outside", "inside"])
def test_hard_ratio_is_equations_20_and_21(
    pose_sets: tuple[PoseSet, PoseSet], hard_ratio: str
) -> None:
    method = make(pose_sets, hard_ratio=hard_ratio, hard_ratio_centre=3.0, hard_ratio_width=2.0)
    made = method._generate()
    loss = method._hard_ratio(made)
    method.lifter.eval()
    rows = method.latest.rows
    total = 0.0
    for row in range(BATCH):
        errors = []
        real = method.source.pose3d(rows[row : row + 1])
        for pose2d, pose3d in (
            (made.pose2d[row], made.pose3d[row]),
            (method.source.pose2d(rows[row : row + 1]), real - real[:, :1]),
        ):
            errors.append((method.lifter(pose2d) - pose3d).norm(dim=-1).mean().item())
        ratio = errors[0] / max(errors[1], MIN_ERROR)
        assert method.latest.ratio[row].item() == pytest.approx(ratio, rel=1e-3)
        f = (ratio - 3) ** 2
        total += f if (f < 4) == (hard_ratio == "inside") else 0
    assert loss.item() == pytest.approx(total / BATCH, rel=1e-3)


# --- who learns from what


def gradients(method: AdaptPose, loss: Callable[[], Tensor]) -> dict[str, float]:
    """The gradient's norm in each part of the generator."""
    method.generator.zero_grad()
    loss().backward(inputs=method.learned)
    norms = {}
    for name in PARTS:
        part = getattr(method.generator, name)
        norms[name] = sum(p.grad.norm().item() for p in part.parameters() if p.grad is not None)
    return norms


@pytest.mark.parametrize("frames", [1, 27])
def test_each_loss_reaches_what_it_is_for(pose_sets: tuple[PoseSet, PoseSet], frames: int) -> None:
    def only(**weights: Any) -> AdaptPose:
        return make(pose_sets, frames, hard_ratio_centre=0.0, hard_ratio_width=0.0, **weights)

    of_poses = only(domain_weight=0.0)
    found = gradients(of_poses, lambda: of_poses._adversarial(of_poses._generate())[0])
    assert found.pop("bone_motion") > 1e-4
    assert set(found.values()) == {0.0}  # neither lengths nor the camera: Gram matrices of angles
    of_domain = only(pose_weight=0.0)
    for loss in (
        lambda: of_domain._adversarial(of_domain._generate())[0],
        lambda: of_domain._hard_ratio(of_domain._generate()),
        lambda: of_domain._reprojection(of_domain._generate()),
    ):
        found = gradients(of_domain, loss)
        assert min(found.values()) > 1e-7, found


def test_steps_touch_their_own_networks_alone(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    method = make(pose_sets, warmup=2)
    critics = method.pose_critic, method.domain_critic
    for iteration in range(4):
        everything = method.generator, *critics, method.lifter
        before = [values(module) for module in everything]
        scalars = method.iterate(iteration)
        moved = [not torch.equal(values(m), b) for m, b in zip(everything, before, strict=True)]
        judged = iteration % 2 == 1
        assert moved == [True, judged, judged, False]
        assert ("hard_ratio_loss" in scalars) == (iteration >= 2)
        assert all(parameter.grad is None for parameter in method.lifter.parameters())
    assert method.lifter.training


def test_mean_and_deviation_of_the_camera_learn(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    method = make(pose_sets)
    last = method.generator.rotation.last  # type: ignore[union-attr]
    before = last.bias.detach().clone()  # type: ignore[union-attr, operator]
    for iteration in range(5):
        method.iterate(iteration)
    assert ((last.bias - before).abs() > 1e-4).all()  # type: ignore[union-attr, operator]


def test_generated_people_move_to_where_the_targets_are(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    """Source poses half as large in the picture are a target twice as far away."""
    source = pose_sets[0].train
    target = dataclasses.replace(source, pose2d=0.5 * source.pose2d)
    method = make((source, target), warmup=150, bone_generator="none")

    def distance() -> float:
        samples = method.sample(200)
        ratio = samples.generated[:, 0, 0, 2] / samples.source[:, 0, 0, 2]
        return ratio.log2().mean().item()

    before, after = distance(), []
    for iteration in range(150):
        method.iterate(iteration)
        if iteration >= 75 and iteration % 15 == 0:
            after.append(distance())  # generator and discriminators swing about each other
    assert before == pytest.approx(0, abs=0.02) and sum(after) / len(after) > 0.5


def test_domain_can_be_the_source_itself(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    assert make(pose_sets).real2d.poses.name == pose_sets[1].name
    assert make(pose_sets, domain="source").real2d.poses.name == pose_sets[0].name


class Repeating(nn.Module):
    """A lifter that says what it is shown: of hidden joints, anything."""

    def forward(self, pose2d: Tensor) -> Tensor:
        return nn.functional.pad(pose2d - pose2d[:, :1], (0, 1))


def test_hidden_joints_of_the_target_are_hidden_in_what_is_generated(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    source, target = (poses.train for poses in pose_sets)
    seen = torch.ones(len(target), 16, dtype=torch.bool)
    seen[:, 12] = False
    wild = target.pose2d.clone()
    wild[:, 12] = 1e3
    results = []
    for pose2d in (wild, target.pose2d):
        method = make((source, dataclasses.replace(target, pose2d=pose2d, seen=seen)))
        method.lifter = Repeating()
        scalars = method.iterate(0)
        results.append([scalars[name].item() for name in ("domain_loss", "reprojection_loss")])
        assert method.domain_critic.features(pose2d[:5], seen[:5])[:, 24:26].abs().max() == 0
    assert results[0] == results[1]


# --- pairs


@pytest.mark.parametrize("frames", [1, 27])
def test_pairs_are_the_latest_that_are_seen_and_selected(
    pose_sets: tuple[PoseSet, PoseSet], frames: int
) -> None:
    method = make(pose_sets, frames)
    method.iterate(0)
    made, pairs = method.latest.made, method.pairs()
    shape = (BATCH, 16, 2) if frames == 1 else (BATCH, frames, 16, 2)
    assert pairs.pose2d.shape == shape and pairs.pose3d.shape == (BATCH, 16, 3)
    middle = made.pose3d[:, frames // 2]
    assert torch.equal(pairs.pose3d, middle) and not pairs.pose3d[:, 0].any()
    # what is lifted is the projection of the answer, by the source's own camera
    placed = middle + made.root[:, frames // 2, None]
    rows = method.latest.rows
    intrinsics = method.source.intrinsics(rows if frames == 1 else rows[:, frames // 2])
    projected = (
        placed[..., :2] / placed[..., 2:] * intrinsics[:, None, :2] + intrinsics[:, None, 2:]
    )
    found = pairs.pose2d if frames == 1 else pairs.pose2d[:, frames // 2]
    torch.testing.assert_close(found, projected, atol=1e-4, rtol=1e-4)

    method.latest.ratio.copy_(torch.linspace(0, 40, BATCH))
    inside = (made.pose2d.abs().amax((1, 2, 3)) <= 1) & (
        (made.pose3d[..., 2] + made.root[..., 2:]).amin((1, 2)) > 0.1
    )
    expected = inside & selected(method.latest.ratio, 17, 16)
    assert torch.equal(method.pairs().keep, expected) and 0 < expected.sum() < BATCH
    assert torch.equal(unselected(method).keep, inside)


def unselected(method: AdaptPose) -> Pairs:
    method.settings = dataclasses.replace(method.settings, select=False)
    return method.pairs()


def test_discriminators_see_every_frame_in_turn() -> None:
    windows = torch.arange(6).view(2, 3)
    assert _at(windows, torch.tensor([2, 0])).tolist() == [2, 3]


def test_samples_show_source_generated_and_rotation(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    method = make(pose_sets, 27)
    state = method.random.get_state()
    samples = method.sample(6)
    assert torch.equal(method.random.get_state(), state)
    assert samples.source.shape == samples.generated.shape == (6, 27, 16, 3)
    assert samples.pose2d.shape == (6, 27, 16, 2)
    eye = torch.eye(3).expand(6, 3, 3)
    torch.testing.assert_close(samples.rotation @ samples.rotation.mT, eye, atol=1e-5, rtol=0)
    # the torso is turned by that and by nothing else
    source, generated = (p[:, :, 7] - p[:, :, 0] for p in (samples.source, samples.generated))
    turned = source @ samples.rotation.mT
    cosine = torch.cosine_similarity(turned, generated, dim=-1)
    torch.testing.assert_close(cosine, torch.ones_like(cosine), atol=1e-4, rtol=0)
    assert torch.equal(method.sample(6).generated, samples.generated)
    assert not torch.equal(method.sample(6, seed=1).generated, samples.generated)


def test_strides_of_source_windows_vary_and_target_ones_do_not(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    method = make(pose_sets, 27, strides=(2, 3))
    places = method.source.poses.tracks.place
    rows = method.source.rows(400)
    steps = places[rows].diff(dim=1).amax(1)
    assert set(steps.tolist()) == {2, 3}
    there = method.target.poses.tracks.place[method.target.rows(400)].diff(dim=1).amax(1)
    assert set(there.tolist()) == {1}


# --- trainings


@pytest.mark.parametrize("frames", [1, 27])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bone_generator": "bg1", "camera_rotation": "quaternion"},
        {"bone_generator": "bg2", "camera_rotation": "euler"},
        {"bone_generator": "none", "camera": "deterministic"},
        {"camera": "none", "domain": "source", "select": False, "reprojection_weight": 0.0},
    ],
)
def test_short_trainings_are_finite_and_move_the_lifter(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet], frames: int, settings: dict[str, Any]
) -> None:
    method = make(pose_sets, frames, warmup=2, **settings)
    before = values(method.lifter)
    training = train(tmp_path, method, 10)
    training.run()
    record = training.folder.records()[-1]
    logged = {"domain_loss", "pose_loss", "bone_angle_deg", "bone_angle_spread_deg", "hardness"}
    assert {*logged, "kept"} <= set(record)
    assert torch.isfinite(values(method.generator)).all()
    assert not torch.equal(values(method.lifter), before)


@pytest.mark.parametrize("frames", [1, 27])
def test_resumed_training_ends_in_the_same_numbers(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet], frames: int
) -> None:
    def training(name: str) -> Training:
        return train(tmp_path / name, make(pose_sets, frames, warmup=3), every=5)

    def kill(iteration: int, total: int, scalars: dict[str, float]) -> None:
        if iteration == 10:
            raise ConnectionError

    whole = training("whole")
    whole.run()
    killed = training("killed")
    with pytest.raises(ConnectionError):
        killed.run(kill)
    resumed = training("killed")
    resumed.run()
    assert torch.equal(values(resumed.lifter), values(whole.lifter))
    for record, expected in zip(resumed.folder.records(), whole.folder.records(), strict=True):
        for each in (record, expected):
            del each["poses_per_s"]
        assert record == expected


@pytest.mark.parametrize("frames", [1, 27])
def test_iterations_never_wait_and_run_the_same_ops(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet], frames: int
) -> None:
    method = make(pose_sets, frames)
    training = train(tmp_path, method, 10_000)
    rounds = []
    for iteration in range(14):
        with Recorder() as recorder:
            training.step()
        training.iteration += 1
        if iteration >= 4:
            assert not recorder.waiting
            rounds.append(recorder.ops)
    assert rounds[0:2] == rounds[2:4] and len(rounds[0]) < len(rounds[1])


@pytest.mark.parametrize("bone_generator", ["bg1", "bg2", "bg3"])
def test_everything_lies_on_the_device(
    tmp_path: Path,
    pose_sets: tuple[PoseSet, PoseSet],
    bone_generator: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # it has neither of them
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())
    monkeypatch.setattr(adaptpose, "adam", torch.optim.Adam)
    method = make(pose_sets, device="meta", warmup=2, bone_generator=bone_generator)
    training = train(tmp_path, method, 10_000)
    training.optimizer = torch.optim.Adam(training.lifter.parameters())
    for _ in range(5):
        scalars = training.step()
        training.iteration += 1
    assert {value.device.type for value in scalars.values()} == {"meta"}


@pytest.mark.gpu
@pytest.mark.parametrize("frames", [1, 27])
def test_graphs_neither_wait_nor_train_otherwise(
    tmp_path: Path,
    pose_sets: tuple[PoseSet, PoseSet],
    frames: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends = []
    for warm_up in (graphs.WARM_UP, 1_000_000):  # replayed, and eager
        monkeypatch.setattr(graphs, "WARM_UP", warm_up)
        method = make(pose_sets, frames, warmup=8, device="cuda")
        training = train(tmp_path, method, 10_000)
        start = values(training.lifter)
        for iteration in range(40):
            if iteration == 30:
                torch.cuda.set_sync_debug_mode("error")
            training.step()
            training.iteration += 1
        torch.cuda.set_sync_debug_mode("default")
        steps = method.early_step, method.generator_step, method.critic_step, training.lifter_step
        assert [step.captured for step in steps] == [warm_up < 40] * 4
        ends.append(values(training.lifter))
    assert (ends[0] - ends[1]).norm() < 0.1 * (ends[1] - start).norm()


# --- bad settings, and the command


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bone_generator": "none", "camera": "none"}, "bone_generator, camera: got none for both"),
        ({"strides": ()}, r"strides: got \(\), expected numbers"),
        ({"strides": (0, 1)}, r"strides: got \(0, 1\), expected numbers from 1 to 1000"),
        ({"strides": (1, 2**63)}, r"strides: got .*, expected numbers from 1 to 1000"),
        ({"perturbation_deg": 200.0}, "perturbation_deg: got 200.0"),
        ({"critic_every": 0}, "critic_every: got 0"),
        ({"hard_ratio_weight": -1.0}, "hard_ratio_weight: got -1.0"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdaptPoseSettings(**settings)  # type: ignore[arg-type]


def test_a_lifter_is_needed(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    source, target = (poses.train for poses in pose_sets)
    with pytest.raises(ValueError, match="lifter: got None, expected the one that adaptpose"):
        make_method("adaptpose", AdaptSettings(), source, target, torch.Generator())


@pytest.mark.usefixtures("no_figures")
def test_the_command_adapts_by_adaptpose(domains: tuple[Path, Path], tmp_path: Path) -> None:
    run(
        *("adapt", "--method", "adaptpose", "--no-control", "--jobs", 1),
        *("--source", domains[0], "--target", domains[1], "--out", tmp_path / "run"),
        *("--device", "cpu", "--width", "16", "--pretrain.steps", "20", "--pretrain.batch", "32"),
        *("--adapt.steps", "20", "--adapt.batch", "32", "--adapt.warmup", "5"),
        *("--adapt.adaptpose.bone-generator", "bg2", "--adapt.adaptpose.camera-rotation", "euler"),
    )
    rows = json.loads((tmp_path / "run" / "results.json").read_text())
    assert [row["method"] for row in rows] == ["source-only", "adaptpose"]
    assert rows[1]["mpjpe"] > 0
