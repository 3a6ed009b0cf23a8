"""Windows over time: tracks, sampling, alignment, and lifters that look at several frames."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from poseda.alignment import gpa_of_windows
from poseda.cli import main
from poseda.config import AdaptSettings
from poseda.data import PoseSet
from poseda.data.sampler import Sampler, centre
from poseda.data.tracks import MAX_HOLE, make_tracks
from poseda.experiment import evaluate_lifter
from poseda.lifter import Lifter
from poseda.methods import make_method
from poseda.methods.method import labelled_pairs
from poseda.networks.lifters import frames_of, lift, lift_poses, make_lifter
from poseda.networks.weights import NamedLifter, read_card, save_lifter
from poseda.training.loop import Schedule, Training
from poseda.training.run_folder import RunFolder
from poseda_ext import H36M_16, Skeleton, gpa
from tests.adapt_settings import adapt_settings
from tests.commands import refused

FRAMES = 5


class Slope(nn.Module):
    """A lifter of windows that says where the joints are and how far they moved."""

    frames = FRAMES
    graph_safe = True

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, pose2d: Tensor) -> Tensor:
        moved = pose2d[:, -1] - pose2d[:, 0]
        return self.scale * torch.cat((pose2d[:, FRAMES // 2], moved[..., :1]), -1)


class DenseSlope(Slope):
    def lift_sequence(self, pose2d: Tensor) -> Tensor:
        return self.forward(pose2d.unfold(1, FRAMES, 1).permute(0, 1, 4, 2, 3).flatten(0, 1))[None]


class EvenWindow(Slope):
    frames = 4


def rows_around(frame: list[int], clip: list[int] | None = None, **arguments: int) -> list[object]:
    tracks = make_tracks([np.asarray(clip or [0] * len(frame))], np.asarray(frame))
    return tracks.windows(torch.arange(len(frame)), 3, **arguments).tolist()


def test_a_window_is_the_neighbours_in_order_of_the_frame() -> None:
    assert rows_around([0, 1, 2, 3]) == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]
    assert rows_around([30, 10, 20]) == [[2, 0, 0], [1, 1, 2], [1, 2, 0]]
    assert rows_around([7]) == [[0, 0, 0]]


def test_a_window_stays_in_its_clip() -> None:
    frame, clip = [0, 0, 1, 1, 2, 2], [4, 9, 4, 9, 4, 9]
    assert rows_around(frame, clip)[:3] == [[0, 0, 2], [1, 1, 3], [0, 2, 4]]


def test_a_stride_takes_every_other_frame() -> None:
    assert rows_around([0, 1, 2, 3, 4], stride=2) == [
        [0, 0, 2], [0, 1, 3], [0, 2, 4], [1, 3, 4], [2, 4, 4],
    ]  # fmt: skip


def test_a_short_hole_is_filled_with_the_nearest_frame_and_a_long_one_is_an_end() -> None:
    assert rows_around([0, 5, 10, 25, 30]) == [
        [0, 0, 1],
        [0, 1, 2],
        [1, 2, 2],
        [3, 3, 4],
        [3, 4, 4],
    ]
    far = 10 + 5 * (MAX_HOLE + 1)
    assert rows_around([0, 5, 10, far], stride=40)[2:] == [[0, 2, 2], [3, 3, 3]]
    assert rows_around([0, 5, 10, far - 5], stride=40)[2:] == [[0, 2, 3], [0, 3, 3]]


def test_frames_without_order_and_far_ones_do_no_harm() -> None:
    assert rows_around([3, 3, 3]) == [[0, 0, 1], [0, 1, 2], [1, 2, 2]]
    ends = [-(2**63), 2**63 - 1]
    assert rows_around(ends) == [[0, 0, 1], [0, 1, 1]]  # the only step there is
    tracks = make_tracks([np.zeros(5)], np.asarray([*ends, 0, 1, 2]))
    assert len(tracks.order) == 5
    assert tracks.windows(torch.arange(5), 3).tolist()[0] == [0, 0, 0]


def test_the_windows_of_a_set_part_clips_cameras_and_people(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    poses = pose_sets[0].rows(np.random.default_rng(0).permutation(len(pose_sets[0])))
    windows = poses.windows(FRAMES)
    assert windows.shape == (len(poses), FRAMES)
    assert torch.equal(windows[:, FRAMES // 2], torch.arange(len(poses)))
    rows = windows.numpy()
    for column in (poses.clip, poses.camera.numpy(), poses.subject):
        assert (column[rows] == column[:, None]).all()
    steps = np.diff(poses.frame[rows], axis=1)
    assert (steps >= 0).all() and (steps <= 1).all() and (steps == 1).mean() > 0.9


@pytest.mark.parametrize(("frames", "stride"), [(4, 1), (0, 1), (3, 0)])
def test_windows_of_no_size_are_refused(
    pose_sets: tuple[PoseSet, PoseSet], frames: int, stride: int
) -> None:
    with pytest.raises(ValueError, match=r"(frames|stride): got [04], expected"):
        pose_sets[0].windows(frames, stride)
    with pytest.raises(ValueError, match=r"(frames|strides): got .*, expected"):
        Sampler(pose_sets[0], torch.Generator(), frames, (stride,))


def test_single_rows_are_drawn_as_ever(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    drawn = Sampler(pose_sets[0], torch.Generator().manual_seed(0)).rows(4)
    expected = torch.randint(len(pose_sets[0]), (4,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn, expected)
    windows = Sampler(pose_sets[0], torch.Generator().manual_seed(0), FRAMES).rows(4)
    assert torch.equal(centre(windows), drawn) and torch.equal(centre(drawn), drawn)


def test_each_window_draws_a_stride(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    poses = pose_sets[0]
    rows = Sampler(poses, torch.Generator().manual_seed(0), FRAMES, (1, 3)).rows(500)
    drawn = {
        stride: (rows == poses.windows(FRAMES, stride)[centre(rows)]).all(1) for stride in (1, 3)
    }
    assert (drawn[1] | drawn[3]).all()
    assert 0.4 < drawn[1].float().mean() < 0.6


def test_batches_of_windows(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    sampler = Sampler(pose_sets[0], torch.Generator().manual_seed(0), FRAMES)
    batch = sampler(6)
    assert batch.rows.shape == (6, FRAMES) and batch.pose2d.shape == (6, FRAMES, 16, 2)
    assert batch.intrinsics.shape == (6, FRAMES, 4) and batch.pose3d is not None
    assert torch.equal(batch.pose3d[2, 3], pose_sets[0].pose3d[batch.rows[2, 3]])  # type: ignore[index]
    sampler.random.manual_seed(0)
    pairs = labelled_pairs(sampler, 6)
    assert torch.equal(pairs.pose2d, batch.pose2d)
    middle = batch.pose3d[:, FRAMES // 2]
    assert torch.equal(pairs.pose3d, middle - middle[:, :1])


def test_windows_are_aligned_at_one_depth_on_the_rays_of_the_target(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    source, target = (
        Sampler(poses, torch.Generator().manual_seed(1), FRAMES)(8) for poses in pose_sets
    )
    assert source.pose3d is not None
    root = gpa_of_windows(source.pose3d, target.pose2d, target.intrinsics)
    focal, middle = target.intrinsics.split(2, -1)
    torch.testing.assert_close(
        root[..., :2] / root[..., 2:] * focal + middle, target.pose2d[:, :, 0], atol=1e-5, rtol=0
    )
    torch.testing.assert_close(root[..., 2], root[:, :1, 2].expand(8, FRAMES))
    alone = gpa(source.pose3d, target.pose2d, target.intrinsics)[..., 2]
    assert (alone.amin(1) <= root[:, 0, 2] * 1.001).all() and (
        root[:, 0, 2] <= alone.amax(1) * 1.001
    ).all()
    seen = torch.ones_like(target.pose2d[..., 0], dtype=torch.bool)
    masked = gpa_of_windows(source.pose3d, target.pose2d, target.intrinsics, seen)
    torch.testing.assert_close(masked, root)


@pytest.mark.parametrize("name", ["control", "oracle", "gpa", "lpa", "poseda"])
def test_methods_make_windows(name: str, pose_sets: tuple[PoseSet, PoseSet]) -> None:
    random = torch.Generator().manual_seed(0)
    settings = AdaptSettings(batch=64)
    method = make_method(name, settings, *pose_sets, random, FRAMES)
    method.iterate(0)
    pairs = method.pairs()
    assert pairs.pose2d.shape == (64, FRAMES, 16, 2)
    assert pairs.pose3d.shape == (64, 16, 3) and not pairs.pose3d[:, 0].any()
    assert pairs.keep.shape == (64,) and pairs.keep.any()
    step = (pairs.pose2d[:, 1:] - pairs.pose2d[:, :-1])[pairs.keep].norm(dim=-1)
    assert step.median() < 0.05 < math.inf  # nobody jumps


@pytest.mark.parametrize("name", ["control", "gpa", "poseda", "aligned", "oracle"])
def test_windows_of_the_source_alone_draw_strides(
    name: str, pose_sets: tuple[PoseSet, PoseSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, set[int]] = {}
    rows = Sampler.rows

    def kept(sampler: Sampler, size: int) -> Tensor:
        found = rows(sampler, size)
        steps = sampler.poses.tracks.place[found].diff(dim=1).amax(1)
        drawn.setdefault(sampler.poses.name, set()).update(steps.tolist())
        return found

    monkeypatch.setattr(Sampler, "rows", kept)
    lifter, random = Slope(H36M_16), torch.Generator().manual_seed(0)
    settings = AdaptSettings(batch=64)
    method = make_method(name, settings, *pose_sets, random, FRAMES, lifter=lifter, strides=(2, 3))
    method.iterate(0)
    method.pairs()
    expected = {} if name == "oracle" else {pose_sets[0].name: {2, 3}}
    if name != "control":
        expected[pose_sets[1].name] = {1}
    assert drawn == expected


@pytest.mark.usefixtures("no_figures")
def test_trainings_draw_the_strides_that_are_asked_for(
    tmp_path: Path, domains: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    small = "--width 4 --pretrain.steps 2 --pretrain.batch 8 --adapt.steps 2 --adapt.batch 8"
    data = ["--source", str(domains[0]), "--target", str(domains[1]), "--device", "cpu"]
    lifters = []
    for strides in ("1", "3"):
        out = tmp_path / strides
        given = ["--lifter", "graph_mlp_27", "--strides", strides, "--methods", "control"]
        rest = ["--seeds", "0", "--jobs", "1", "--out", str(out)]
        main(["compare", *data, *small.split(), *given, *rest])
        folders = [out / "seed0" / name for name in ("pretrain", "control")]
        lifters.append([load_file(folder / "lifter.safetensors") for folder in folders])
        card = read_card(folders[1] / "lifter.safetensors")
        assert card is not None
        assert card.settings.get("strides") == (None if strides == "1" else [3])
    for one, other in zip(*lifters, strict=True):
        assert not all(torch.equal(one[key], other[key]) for key in one)
    row = json.loads((tmp_path / "3" / "results.json").read_text())[0]
    assert row["strides"] == [3] and row["adapt_warmup"] is None and row["adapt_lr"] == 5e-4
    # as folders that were begun before there were strides
    assert "strides" not in (tmp_path / "1" / "seed0" / "control" / "settings.json").read_text()
    alone = ["--strides", "1", "2", "--out", str(tmp_path / "alone")]
    line = refused(capsys, "compare", *data, *small.split(), "--lifter", "videopose3d", *alone)
    assert "strides: got (1, 2) for videopose3d, which looks at one frame" in line
    assert not (tmp_path / "alone").exists()


def test_one_transformation_moves_a_whole_window(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    """A window in which nobody moves, taken by GPA to one of the same kind, stays still."""
    source, target = (dataclasses.replace(poses, clip=np.arange(len(poses))) for poses in pose_sets)
    random = torch.Generator().manual_seed(0)
    method = make_method("poseda", AdaptSettings(batch=16), source, target, random, FRAMES)
    method.iterate(0)
    pose2d = method.pairs().pose2d
    torch.testing.assert_close(pose2d, pose2d[:, :1].expand_as(pose2d))


def test_a_hidden_joint_in_any_frame_makes_no_difference(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    made = []
    for value in (0.0, 3.0):
        source, target = pose_sets
        seen = torch.ones_like(target.pose2d[..., 0], dtype=torch.bool)
        seen[::2, 3] = False
        pose2d = torch.where(seen[..., None], target.pose2d, value)
        target = dataclasses.replace(target, pose2d=pose2d, seen=seen)
        random = torch.Generator().manual_seed(0)
        method = make_method("gpa", AdaptSettings(batch=64), source, target, random, FRAMES)
        made.append(method.pairs().pose2d)
    assert torch.equal(*made)


def test_a_lifter_of_windows_is_trained_and_evaluated(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    source, target = (poses.train for poses in pose_sets)
    random = torch.Generator().manual_seed(0)
    lifter = make_lifter(f"{__name__}:Slope", H36M_16)
    method = make_method(
        "poseda", AdaptSettings(batch=16, warmup=2), source, target, random, FRAMES
    )
    training = Training(
        lifter,
        Sampler(source, random, FRAMES),
        Schedule(10, 16, 1e-2, 0.0),
        RunFolder(tmp_path),
        random,
        method,
    )
    training.run()
    assert not torch.equal(lifter.scale, torch.ones(3))  # type: ignore[arg-type]
    assert evaluate_lifter(lifter, pose_sets[1].test).poses == len(pose_sets[1].test)


def test_a_resumed_training_on_windows_ends_in_the_same_numbers(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    source, target = (poses.train for poses in pose_sets)

    def training(folder: str) -> Training:
        torch.manual_seed(0)
        random = torch.Generator().manual_seed(0)
        lifter = make_lifter("graph_mlp_27", H36M_16, 4)  # which drops units and paths
        settings = adapt_settings(batch=8, warmup=1)
        method = make_method("poseda", settings, source, target, random, 27)
        sampler = Sampler(source, random, 27, (1, 2))
        schedule = Schedule(8, 8, 1e-3, 0.0)
        run = RunFolder(tmp_path / folder)
        return Training(lifter, sampler, schedule, run, random, method, checkpoint_every=4)

    whole = training("whole")
    whole.run()
    killed = training("killed")
    killed.total = 4
    killed.run()
    torch.rand(7)  # some other use of the global generator
    resumed = training("killed")
    resumed.run()
    assert resumed.iteration == whole.iteration == 9
    assert all(map(torch.equal, *(t.lifter.parameters() for t in (resumed, whole))))


@pytest.mark.parametrize("name", ["videopose3d_27", "graph_mlp_27", "st_gcn"])
def test_weights_of_any_lifter_lift_keypoints(
    name: str, tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    torch.manual_seed(0)
    path = tmp_path / "lifter.safetensors"
    module = make_lifter(name, H36M_16, 8).eval()
    save_lifter(path, NamedLifter(module, name, 8, H36M_16))
    poses = pose_sets[1].rows(slice(0, 200))
    lifted = Lifter.load(path, device="cpu")(poses)
    frames = frames_of(module)
    given = poses.pose2d if frames == 1 else poses.pose2d[poses.windows(frames)]
    expected = module(given).detach().numpy()
    np.testing.assert_allclose(lifted.pose3d, expected, atol=1e-5)


@pytest.mark.parametrize("kind", [Slope, DenseSlope])
def test_lifting_a_set_looks_at_the_frames_around(
    kind: type[Slope], pose_sets: tuple[PoseSet, PoseSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poseda.networks.lifters.inference.LIFT_BATCH", 100)
    poses = pose_sets[0].rows(np.random.default_rng(0).permutation(len(pose_sets[0]))[:1111])
    lifter = kind(H36M_16)
    lifted = lift_poses(lifter, poses)
    windows = poses.pose2d[poses.windows(FRAMES)]
    torch.testing.assert_close(lifted, lifter(windows).detach())
    torch.testing.assert_close(lifted, lift(lifter, windows))
    still = lift(lifter, poses.pose2d)
    assert not still[..., 2].any() and torch.equal(still[..., :2], poses.pose2d)
    assert lift_poses(lifter, poses.rows(slice(0, 0))).shape == (0, 16, 3)


def test_a_window_has_a_middle() -> None:
    assert frames_of(Slope(H36M_16)) == FRAMES and frames_of(nn.Linear(1, 1)) == 1
    with pytest.raises(ValueError, match="frames: got 4, expected an odd number"):
        make_lifter(f"{__name__}:EvenWindow", H36M_16)
