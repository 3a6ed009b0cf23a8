"""Alignment of viewpoint, body and pose: what is read from the target, and the pairs made of it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from poseda.body import measured_lengths, stature_of_bones
from poseda.config import AdaptSettings, AlignedSettings
from poseda.data import PoseSet, pose_set_from_arrays
from poseda.data.sampler import Sampler
from poseda.data.synthetic import make_source, make_target
from poseda.methods import make_method, reading
from poseda.methods.aligned import Aligned
from poseda.methods.method import labelled_rows
from poseda.methods.people import People
from poseda.methods.viewpoint import rotation_between, up_directions
from poseda.metrics import n_mpjpe
from poseda.networks.lifters import make_lifter
from poseda.placement import stature
from poseda.training.loop import Schedule, Training
from poseda.training.run_folder import RunFolder
from poseda_ext import augment, bones

STILL: dict[str, Any] = {"view_noise": 0.0, "body_noise": 0.0}


def make(
    pose_sets: tuple[PoseSet, PoseSet], frames: int = 1, *, batch: int = 64, **changes: object
) -> Aligned:
    torch.manual_seed(0)
    source, target = pose_sets[0].train, pose_sets[1].train
    own = AlignedSettings(**changes)  # type: ignore[arg-type]
    settings = AdaptSettings(steps=60, batch=batch, warmup=2, aligned=own)
    lifter = make_lifter("simple_baseline", source.skeleton, 16)
    random = torch.Generator().manual_seed(0)
    method = make_method("aligned", settings, source, target, random, frames, lifter)
    assert isinstance(method, Aligned)
    return method


def relative(poses: PoseSet) -> Tensor:
    assert poses.pose3d is not None
    return poses.pose3d - poses.pose3d[:, :1]


@pytest.fixture
def knowing(pose_sets: tuple[PoseSet, PoseSet], monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """A lifter that is never wrong on the target, which is foreign all the same."""
    truth = relative(pose_sets[1].train)
    knows(monkeypatch, truth)
    monkeypatch.setattr(reading, "MISFITS", (-2.0, -1.0))
    return truth


def knows(monkeypatch: pytest.MonkeyPatch, target: Tensor, source_off: float = 0.0) -> None:
    """Lets every lifter see these poses of the target, and the source's, but for an error of these
    metres in the depth of the head."""

    def seen(lifter: nn.Module, poses: PoseSet, rows: Tensor | None = None) -> Tensor:
        if rows is None:
            return target
        pose = relative(poses)[rows]
        pose[:, poses.skeleton.names.index("Head"), 2] += source_off
        return pose

    monkeypatch.setattr(reading, "lift_poses", seen)


def true_lengths(poses: PoseSet) -> Tensor:
    assert poses.pose3d is not None
    return bones(poses.pose3d, poses.skeleton).norm(dim=-1)


def test_lengths_of_a_person_far_away_are_measured_exactly(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    target = pose_sets[1].train
    target = target.rows(target.subject == target.subject[0])
    pose = relative(target)
    root = torch.tensor([1.0, -2.0, 400.0])  # so far that all depths are alike
    pose2d = (pose + root)[..., :2] / (pose + root)[..., 2:] * 300.0
    intrinsics = torch.tensor([300.0, 300.0, 0.0, 0.0]).expand(len(pose), -1)
    nobody = torch.zeros(len(pose), dtype=torch.int64)
    found = measured_lengths(pose, pose2d, intrinsics, None, nobody, 1, target.skeleton)
    expected = true_lengths(target).median(0).values
    torch.testing.assert_close(found[0], expected, rtol=1e-2, atol=0)
    # In the scale of the prediction: one camera does not see the size.
    large = measured_lengths(3 * pose, pose2d, intrinsics, None, nobody, 1, target.skeleton)
    torch.testing.assert_close(large, 3 * found, rtol=1e-2, atol=0)


def test_hidden_joints_measure_nothing(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    target = pose_sets[1].train
    skeleton, pose = target.skeleton, relative(pose_sets[1].train)
    wrist = skeleton.names.index("LWrist")
    seen = torch.ones(len(pose), skeleton.num_joints, dtype=torch.bool)
    seen[:, wrist] = False
    nobody = torch.zeros(len(pose), dtype=torch.int64)
    given = (pose, target.pose2d, target.intrinsics, seen, nobody, 1, skeleton)
    told = ~measured_lengths(*given)[0].isnan()
    assert told.sum() == skeleton.num_bones - 1
    assert not told[wrist - 1]


def test_stature_is_that_of_lifted_poses(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    source = pose_sets[0].train
    assert source.pose3d is not None
    one = source.pose3d[:1]
    lengths = bones(one, source.skeleton).norm(dim=-1)
    expected = stature(one, torch.zeros(1, dtype=torch.int64), source.skeleton)
    torch.testing.assert_close(stature_of_bones(lengths, source.skeleton), expected)


def test_viewpoint_and_proportions_are_read_from_the_target(
    pose_sets: tuple[PoseSet, PoseSet], knowing: Tensor
) -> None:
    method = make(pose_sets, per_subject=False, viewpoint="pose")
    method.reading.refresh(method.lifter)
    torso = knowing[:, method.torso]
    torch.testing.assert_close(method.reading.view, torso / torso.norm(dim=-1, keepdim=True))
    true = true_lengths(pose_sets[1].train).median(0).values
    ratio = method.reading.body[0] / true
    assert (ratio / ratio.mean() - 1).abs().max() < 0.08  # but for the size
    assert stature_of_bones(method.reading.body, method.skeleton).item() == pytest.approx(
        method.reading.stature.item(), rel=1e-5
    )
    for group in method.skeleton.bone_groups:
        change = method.reading.body[0, list(group)] / method.reading.usual[list(group)]
        torch.testing.assert_close(change, change[:1].expand_as(change))


def test_a_lifter_that_tilts_all_of_a_camera_is_turned_upright(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arrays = make_target(seed=1, frames=15_000, test=100)  # people from 1.40 to 2.05 m
    source = pose_set_from_arrays(make_source(seed=1, frames=2000), name="source")
    target = pose_set_from_arrays(arrays, name="target").train
    truth, up = relative(target), up_directions(target)
    angle = torch.zeros(len(target), 3)
    angle[:, 0] = torch.tensor([0.4, -0.3])[target.camera % 2]
    tilted = augment(truth, rotation=angle, skeleton=target.skeleton).pose3d

    def read(poses: Tensor) -> tuple[float, float]:
        knows(monkeypatch, poses)
        method = make((source, target))
        method.reading.refresh(method.lifter)
        off = (method.reading.view * up).sum(1).clamp(-1, 1).acos().mean()
        error = n_mpjpe(method.reading.fitted(), truth).mean()
        return math.degrees(float(off)), float(error)

    off, error = read(truth)
    assert off < 4 and error < 8
    off, error = read(tilted)
    assert off < 6 and error < n_mpjpe(tilted, truth).mean() / 4


def test_height_fixes_the_size(pose_sets: tuple[PoseSet, PoseSet], knowing: Tensor) -> None:
    method = make(pose_sets, height=1.5)
    method.reading.refresh(method.lifter)
    found = stature_of_bones(method.reading.body, method.skeleton)
    torch.testing.assert_close(found, torch.full_like(found, 1.5))


def test_poses_are_fitted_whatever_the_size(
    pose_sets: tuple[PoseSet, PoseSet], knowing: Tensor
) -> None:
    """A lifter of another scale than the bodies says depths in its own."""
    error = []
    for height in (None, 1.2):
        method = make(pose_sets, height=height)
        ask(method)
        fitted = method.reading.fitted()
        error.append(n_mpjpe(fitted, knowing).mean())
        assert method.describe()["fit_misfit_mm"] < 30
    assert error[1] < 1.3 * error[0] < 20


def test_fitted_and_turned_poses_are_not_augmented(
    pose_sets: tuple[PoseSet, PoseSet], knowing: Tensor
) -> None:
    method = make(
        pose_sets, **STILL, fitted=0.25, turned=0.5, per_subject=False, lpa=True, batch=32
    )
    for iteration in range(6):  # the generator has made some
        method.iterate(iteration)
    ask(method)
    assert method.local is not None
    method.local.latest.made.bone_scale.fill_(0.2)
    lengths = bones(method.pairs().pose3d, method.skeleton).norm(dim=-1)
    ratio = lengths / method.reading.body
    turned, source = ratio[method.is_turned], ratio[~method.is_turned & ~method.is_fitted]
    torch.testing.assert_close(turned, torch.ones_like(turned), atol=1e-4, rtol=0)
    torch.testing.assert_close(source, 1.2 * torch.ones_like(source), atol=1e-4, rtol=0)


def test_degenerate_targets_leave_numbers(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    source, target = pose_sets
    train = target.train
    pose2d = train.intrinsics[:, None, 2:].expand_as(train.pose2d)  # all on the principal point
    method = make((source, dataclasses.replace(train, pose2d=pose2d.clone())))
    ask(method, 3)
    assert all(bool(value.isfinite().all()) for value in method.describe().values())
    assert bool(method.pairs().pose3d.isfinite().all())


def test_subjects_are_measured_for_themselves(
    pose_sets: tuple[PoseSet, PoseSet], knowing: Tensor
) -> None:
    """One of two people has arms of twice the length, seen as such."""
    source, target = pose_sets
    train = target.train
    half = len(train) // 2
    subject = np.array(["a"] * half + ["b"] * (len(train) - half))
    skeleton = train.skeleton
    parents = torch.tensor(skeleton.parents[1:])
    bone = bones(knowing, skeleton)
    arms = [skeleton.bone(name) for name in ("LElbow", "LWrist", "RElbow", "RWrist")]
    bone[half:, arms] *= 2
    pose = torch.zeros_like(knowing)
    for joint, parent in enumerate(parents.tolist(), 1):
        pose[:, joint] = pose[:, parent] + bone[:, joint - 1]
    knowing.copy_(pose)
    assert train.pose3d is not None
    whole = pose + train.pose3d[:, :1]
    focal, centre = train.intrinsics[:, None, :2], train.intrinsics[:, None, 2:]
    pose2d = whole[..., :2] / whole[..., 2:] * focal + centre
    train = dataclasses.replace(train, subject=subject, pose2d=pose2d)
    settings = AdaptSettings(steps=60, batch=8)
    lifter = make_lifter("simple_baseline", skeleton, 16)
    method = make_method("aligned", settings, source.train, train, torch.Generator(), 1, lifter)
    assert isinstance(method, Aligned)
    method.reading.refresh(method.lifter)
    ratio = method.reading.body[1] / method.reading.body[0]
    others = [bone for bone in range(skeleton.num_bones) if bone not in arms]
    assert (ratio[arms] - 2).abs().max() < 0.3
    assert (ratio[others] - 1).abs().max() < 0.1


def test_pairs_have_the_view_and_body_of_their_target(
    pose_sets: tuple[PoseSet, PoseSet], knowing: Tensor
) -> None:
    method = make(pose_sets, **STILL, per_subject=False, viewpoint="pose")
    method.reading.refresh(method.lifter)
    there = watched(method.target)
    pairs = method.pairs()
    torso = pairs.pose3d[:, method.torso]
    view = method.reading.view[there[0]]
    torch.testing.assert_close(torso / torso.norm(dim=-1, keepdim=True), view, atol=1e-5, rtol=0)
    lengths = bones(pairs.pose3d, method.skeleton).norm(dim=-1)
    torch.testing.assert_close(
        lengths, method.reading.body.expand_as(lengths), atol=1e-5, rtol=1e-4
    )
    wanted = method.target.pose2d(there[0])
    torch.testing.assert_close(pairs.pose2d[:, 0], wanted[:, 0], atol=1e-5, rtol=0)  # GPA


def test_source_cameras_are_turned_into_those_of_the_target(
    pose_sets: tuple[PoseSet, PoseSet], knowing: Tensor
) -> None:
    """All of a camera's people turn together: who leaned from its vertical leans as far from the
    other's."""
    method = make(pose_sets, view_noise=0.0, body_noise=0.0)
    method.reading.body.copy_(method.reading.usual)
    method.reading.refresh(method.lifter)
    here, there = watched(method.source), watched(method.target)
    pairs = method.pairs()
    own = relative(pose_sets[0].train)[here[0], method.torso]
    made = pairs.pose3d[:, method.torso]

    def lean(torso: Tensor, up: Tensor) -> Tensor:
        return (torch.nn.functional.normalize(torso, dim=-1) * up).sum(-1).acos()

    before, after = lean(own, method.up[here[0]]), lean(made, method.reading.view[there[0]])
    # Spine and upper torso change their lengths apart, so that a bent torso turns a little.
    torch.testing.assert_close(after, before, atol=0.05, rtol=0)
    assert before.max() > 0.3


def test_rotation_between_directions_is_the_smallest() -> None:
    random = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 100, 3, dtype=torch.float64, generator=random)
    one, other = one / one.norm(dim=-1, keepdim=True), other / other.norm(dim=-1, keepdim=True)
    one[0], other[0] = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 0.0, -1.0])  # opposite
    one[1], other[1] = one[2], one[2]  # the same
    rotation = rotation_between(one, other)
    cross = torch.zeros(100, 3, 3, dtype=torch.float64)
    for row, column, axis, sign in ((0, 1, 2, -1), (0, 2, 1, 1), (1, 2, 0, -1)):
        cross[:, row, column] = sign * rotation[:, axis]
        cross[:, column, row] = -sign * rotation[:, axis]
    turned = torch.einsum("nij,nj->ni", torch.linalg.matrix_exp(cross), one)
    torch.testing.assert_close(turned, other)
    angle = (one * other).sum(-1).clamp(-1, 1).acos()
    torch.testing.assert_close(rotation.norm(dim=-1), angle, atol=1e-6, rtol=0)


def ask(method: Aligned, times: int = 2) -> None:
    for _ in range(times):
        method.reading.refresh(method.lifter)


def watched(sampler: Sampler) -> list[Tensor]:
    """The rows that a sampler draws from now on."""
    drawn: list[Tensor] = []
    draw = sampler.rows
    sampler.rows = lambda size: drawn.append(draw(size)) or drawn[-1]  # type: ignore
    return drawn


@pytest.mark.parametrize("frames", [1, 5])
def test_target_poses_are_learned_from_as_they_were_seen(
    pose_sets: tuple[PoseSet, PoseSet], knowing: Tensor, frames: int
) -> None:
    method = make(pose_sets, frames, fitted=1.0, turned=0.0)
    ask(method, 1)
    drawn = watched(method.target)
    early = method.pairs()  # of a lifter that knows nothing of viewpoint and body yet
    rows = drawn[-1]
    assert not torch.equal(early.pose2d, method.target.pose2d(rows))
    ask(method, 1)
    pairs = method.pairs()
    rows = drawn[-1]
    torch.testing.assert_close(pairs.pose2d, method.target.pose2d(rows), rtol=0, atol=0)
    true = knowing[rows if frames == 1 else rows[:, frames // 2]]
    scale = (pairs.pose3d * true).sum((1, 2)) / true.square().sum((1, 2))  # size is not known
    error = (pairs.pose3d - scale[:, None, None] * true).norm(dim=-1).mean()
    assert error < 0.02
    assert bool(pairs.keep.all())


def test_turned_target_poses_lean_as_they_did(
    pose_sets: tuple[PoseSet, PoseSet], knowing: Tensor
) -> None:
    method = make(pose_sets, **STILL, fitted=0.0, turned=1.0, per_subject=False)
    ask(method)
    drawn = watched(method.target)
    pairs = method.pairs()
    there, rows = drawn
    fitted = method.reading.fitted(rows)

    def lean(pose: Tensor, of: Tensor) -> Tensor:
        torso = torch.nn.functional.normalize(pose[:, method.torso], dim=-1)
        return (torso * method.reading.view[of]).sum(-1).clamp(-1, 1).acos()

    torch.testing.assert_close(lean(pairs.pose3d, there), lean(fitted, rows), atol=0.05, rtol=0)
    assert (pairs.pose3d - fitted).norm(dim=-1).mean() > 0.2  # by any angle
    lengths = bones(pairs.pose3d, method.skeleton).norm(dim=-1)
    torch.testing.assert_close(
        lengths, method.reading.body.expand_as(lengths), atol=1e-5, rtol=1e-4
    )


def test_shares_of_a_batch(pose_sets: tuple[PoseSet, PoseSet], knowing: Tensor) -> None:
    method = make(pose_sets, fitted=0.25, turned=0.5)
    assert (method.is_fitted.sum(), method.is_turned.sum()) == (16, 32)
    assert not bool((method.is_fitted & method.is_turned).any())
    ask(method)
    drawn = watched(method.target)
    pairs = method.pairs()
    same = (pairs.pose2d == method.target.pose2d(drawn[-1])).all(-1).all(-1)
    assert torch.equal(same, method.is_fitted)


def test_hidden_joints_of_target_poses_are_not_learned(
    pose_sets: tuple[PoseSet, PoseSet], knowing: Tensor
) -> None:
    source, target = pose_sets
    seen = torch.ones(target.pose2d.shape[:2], dtype=torch.bool)
    wrist = target.skeleton.names.index("LWrist")
    seen[:, wrist] = False
    method = make((source, dataclasses.replace(target, seen=seen)), fitted=0.5, turned=0.25)
    for ready in (False, True):
        ask(method, 1)
        pairs = method.pairs()
        assert pairs.seen is not None
        hidden = (method.is_fitted | method.is_turned) & ready
        assert torch.equal(~pairs.seen[:, wrist], hidden)
        assert bool(pairs.seen[:, :wrist].all())


@pytest.mark.parametrize("viewpoint", ["camera", "pose"])
def test_windows_move_as_one(
    pose_sets: tuple[PoseSet, PoseSet], knowing: Tensor, viewpoint: str
) -> None:
    method = make(pose_sets, frames=5, **STILL, per_subject=False, viewpoint=viewpoint)
    method.reading.refresh(method.lifter)
    pairs = method.pairs()
    assert pairs.pose2d.shape == (64, 5, 16, 2)
    lengths = bones(pairs.pose3d, method.skeleton).norm(dim=-1)
    torch.testing.assert_close(
        lengths, method.reading.body.expand_as(lengths), atol=1e-3, rtol=1e-2
    )


@pytest.mark.parametrize("frames", [1, 5])
def test_a_target_that_is_known_as_the_source_is_not_learned(
    pose_sets: tuple[PoseSet, PoseSet], frames: int
) -> None:
    method = make((pose_sets[0], pose_sets[0]), frames)
    ask(method)
    assert method.describe()["foreign"] == 0
    drawn = watched(method.source)
    pairs, own = method.pairs(), labelled_rows(method.source, drawn[0])
    torch.testing.assert_close(pairs.pose2d, own.pose2d, rtol=0, atol=0)
    torch.testing.assert_close(pairs.pose3d, own.pose3d, rtol=0, atol=0)
    assert bool(pairs.keep.all())
    method.reading.foreign.fill_(0.25)
    pairs, own = method.pairs(), labelled_rows(method.source, drawn[1])
    made = (pairs.pose3d != own.pose3d).any(-1).any(-1)
    for part in (method.is_fitted, method.is_turned):
        assert 0 < made[part].sum() < 0.5 * part.sum()


def test_other_bodies_are_foreign_however_well_they_are_seen(
    pose_sets: tuple[PoseSet, PoseSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MISFITS", (1e6, 2e6))
    for sets, foreign in ((pose_sets, 1), ((pose_sets[0], pose_sets[0]), 0)):
        knows(monkeypatch, relative(sets[1].train))
        method = make(sets)
        ask(method, 1)
        assert method.describe()["foreign"] == foreign


def test_what_is_not_seen_misfits_nothing(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    source = pose_sets[0].train
    seen = torch.rand(source.pose2d.shape[:2], generator=torch.Generator().manual_seed(0)) > 0.1
    seen[:, 0] = True
    usual, off = true_lengths(source).median(0).values, []
    for placeholder in (0.0, -1.0):
        pose2d = source.pose2d.masked_fill(~seen[..., None], placeholder)
        hidden = dataclasses.replace(source, seen=seen, pose2d=pose2d, pose3d=None)
        people = People(hidden, usual, torch.tensor(1.7), True)
        off.append(people.misfit(people.fit(relative(source), usual)))
    torch.testing.assert_close(*off)


def test_a_lifter_is_asked_for_poses_of_all_cameras(
    pose_sets: tuple[PoseSet, PoseSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ASKED_POSES", 200)
    source = pose_sets[0].train
    camera = torch.arange(len(source)) // 50 % 4  # in turns
    asked = make((dataclasses.replace(source, camera=camera), pose_sets[1])).reading.source_rows
    assert len(asked) == 200
    assert (camera[asked].bincount() > 25).all()


@pytest.mark.parametrize("worse_on", ["source", "target"])
def test_a_target_stays_foreign(
    pose_sets: tuple[PoseSet, PoseSet], monkeypatch: pytest.MonkeyPatch, worse_on: str
) -> None:
    source = pose_sets[0]
    truth = relative(source.train)
    far = truth.clone()
    far[:, source.skeleton.names.index("Head"), 2] += 1.0
    knows(monkeypatch, truth)
    method = make((source, source))
    ask(method, 1)
    assert method.describe()["foreign"] == 0
    knows(monkeypatch, *((far,) if worse_on == "target" else (truth, 1.0)))
    ask(method, 1)
    assert method.describe()["foreign"] == 1
    knows(monkeypatch, truth)
    ask(method, 1)
    assert method.describe()["foreign"] == 1


def test_lifter_is_asked_once_a_round(
    pose_sets: tuple[PoseSet, PoseSet], knowing: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = make(pose_sets, rounds=6)  # of 60 steps
    asked: list[None] = []
    monkeypatch.setattr(method.reading, "refresh", lambda lifter: asked.append(None))
    counts = [method.iterate(iteration) or len(asked) for iteration in range(60)]
    assert counts == [iteration // 10 + 1 for iteration in range(60)]


def test_rounds_say_how_much_they_changed(
    pose_sets: tuple[PoseSet, PoseSet], knowing: Tensor
) -> None:
    method = make(pose_sets)
    method.reading.refresh(method.lifter)
    assert method.describe()["body_change"] > 0.01
    method.reading.refresh(method.lifter)  # a lifter that has learned nothing since
    said = method.describe()
    assert said["view_change_deg"] < 0.1
    assert said["body_change"] < 1e-5
    assert said["fit_change_mm"] < 0.1
    assert said["fit_misfit_mm"] > 1  # the size is that of the source's people


@pytest.mark.parametrize("lpa", [False, True])
def test_training_resumes_to_the_same_numbers(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet], lpa: bool
) -> None:
    def training(folder: str, steps: int) -> Training:
        torch.manual_seed(0)
        source, target = pose_sets[0].train, pose_sets[1].train
        random = torch.Generator().manual_seed(0)
        lifter = make_lifter("videopose3d", source.skeleton, 16)
        own = AlignedSettings(rounds=4, lpa=lpa, turned=0.5)
        settings = AdaptSettings(steps=12, batch=8, warmup=2, aligned=own)
        method = make_method("aligned", settings, source, target, random, 1, lifter)
        return Training(
            lifter,
            Sampler(source, random),
            Schedule(12, 8, 1e-3, 0.0),
            RunFolder(tmp_path / folder),
            random,
            method,
            checkpoint_every=5,
        )

    whole = training("whole", 12)
    whole.run()
    halted = training("halted", 12)
    halted.total = 7 + halted.warmup
    halted.run()
    resumed = training("halted", 12)
    resumed.run()
    assert resumed.method is not None and resumed.method.describe()["foreign"] == 1
    for one, other in zip(
        whole.lifter.state_dict().values(), resumed.lifter.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rounds": 1}, "rounds: got 1, expected a number, at least 2"),
        ({"body_noise": 0.5}, "body_noise: got 0.5"),
        ({"view_noise": float("nan")}, "view_noise: got nan"),
        ({"fitted": 1.5}, "fitted: got 1.5, expected a number, at least 0 and at most 1"),
        ({"fitted": 0.6}, "fitted, turned: got 0.6 and 0.75, expected at most 1 together"),
        ({"lpa": True}, "lpa: got it with fitted 0.25 and turned 0.75, expected less than 1"),
        ({"height": 17.0}, "height: got 17.0, expected 0.4 to 2.6 metres"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AlignedSettings(**change)  # type: ignore[arg-type]


def test_a_lifter_is_needed(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    source, target = pose_sets
    with pytest.raises(ValueError, match="lifter: got none, expected the one that is adapted"):
        make_method("aligned", AdaptSettings(), source.train, target.train, torch.Generator())
