"""Trainings that have gone wrong for good are stopped, and no others."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from poseda.data import PoseSet
from poseda.data.sampler import Sampler
from poseda.experiment import check_in_use
from poseda.methods import Pairs, PoseDA, make_method
from poseda.methods.diversity import pose_spread_deg, spread
from poseda.networks.lifters import make_lifter
from poseda.training.loop import Diverged, Schedule, Training
from poseda.training.run_folder import RunFolder
from poseda.training.watch import Watch, advice_on_nan
from poseda_ext import H36M_16
from tests.adapt_settings import adapt_settings
from tests.commands import refused

Curve = Mapping[str, Callable[[int], float]]


def seen(watch: Watch, curve: Curve, end: int = 6000, every: int = 50) -> tuple[int, str] | None:
    """When and with what words a watch stops a training of such curves."""
    for iteration in range(every, end + 1, every):
        found = watch.look(iteration, {key: of(iteration) for key, of in curve.items()})
        if found is not None:
            return iteration, found
    return None


def always(value: float) -> Callable[[int], float]:
    return lambda iteration: value


def falling(start: float, end: float) -> Callable[[int], float]:
    return lambda i: end + (start - end) * math.exp(-i / 400)


#: how runs look that are all right, some of which learn badly
GOOD: dict[str, Curve] = {
    "pre-training": {"lifter_loss": falling(0.3, 0.002)},
    "an untrained lifter far off": {"lifter_loss": falling(3.0, 0.01)},
    "wgan, clipped, small at first": {"critic_gap": lambda i: min(0.05, 1e-7 * 1.01**i)},
    "wgan, penalised, negative at first": {"critic_gap": lambda i: 30 - 3000 / i},
    "a spike": {"critic_gap": lambda i: 1e5 if i in (1000, 1050) else 2.0},
    "least squares, nearly won": {"critic_gap": lambda i: 0.97 + 0.01 * math.sin(i)},
    "least squares, won for a while": {"critic_gap": lambda i: 1.0 if i < 2900 else 0.5},
    "poses left alone": {"bone_angle_deg": always(0.3), "bone_angle_spread_deg": always(1e-4)},
    "small changes for all": {
        "bone_angle_deg": always(6.0),
        "bone_angle_spread_deg": always(0.01),
    },
    "a fixed camera, tilted": {
        "rotation_deg": always(40.0),
        "rotation_spread_deg": lambda i: 3.0,
    },
    "no turns at all": {"rotation_deg": always(0.0), "rotation_spread_deg": always(0.0)},
    "pairs come late": {"kept": lambda i: 0.0 if i < 1000 else 0.1},
    "few pairs": {"kept": always(0.02)},
    "hard poses": {"lifter_loss": lambda i: 0.02 if i % 200 else 0.3},
}


@pytest.mark.parametrize("name", GOOD)
def test_no_false_alarm(name: str) -> None:
    least_squares = "least squares" in name
    watch = Watch(adapts=name != "pre-training", least_squares=least_squares)
    assert seen(watch, GOOD[name]) is None


@pytest.mark.parametrize(
    ("curve", "at", "says"),
    [
        (
            {"lifter_loss": lambda i: 0.01 if i < 2000 else 3.0},
            2150,
            r"lifter's loss exploded: lifter_loss is 3 m\^2, at its start it was 0.01, since "
            r"iteration 2000; .*--adapt.lr",
        ),
        ({"lifter_loss": falling(1e21, 1e4)}, 200, "loss exploded: .*since iteration 50"),
        (
            {"critic_gap": lambda i: 1.01**i},
            850,
            r"a critic diverged: critic_gap is 4.71e\+03, .*since iteration 700; .*--adapt.gan-lr"
            r".*--adapt.poseda.stabilizer",
        ),
        ({"critic2d_gap": always(-2e4)}, 200, "critic2d_gap is -2e.04"),
        (
            {"kept": lambda i: 0.6 if i < 500 else 0.001},
            1500,
            r"kept is 0.10%, .*since iteration 500; check the target's cameras \(--camera",
        ),
        (
            {
                "bone_angle_deg": lambda i: min(40.0, i / 50),
                "bone_angle_spread_deg": lambda i: 5.0 if i < 1000 else 1e-3,
            },
            2000,
            r"bones of all poses turn alike, by bone_angle_deg 40.0 with bone_angle_spread_deg "
            r"0.001 .*--adapt.poseda.max-bone-angle",
        ),
        (
            {"rotation_deg": always(49.6), "rotation_spread_deg": always(0.0)},
            1050,
            "all poses are seen from one side, by rotation_deg 49.6",
        ),
        ({"pose_spread_deg": lambda i: 40.0 if i < 300 else 0.2}, 1300, "makes one pose of all"),
    ],
)
def test_what_went_wrong_is_said(curve: Curve, at: int, says: str) -> None:
    found = seen(Watch(adapts=True), curve)
    assert found is not None and found[0] == at
    assert re.search(says, found[1]), found[1]


def test_a_critic_may_win_unless_it_is_a_least_squares_one() -> None:
    curve = {"critic_gap": always(0.995)}
    assert seen(Watch(adapts=True), curve) is None
    found = seen(Watch(adapts=True, least_squares=True), curve)
    assert found is not None and found[0] == 3050
    assert "wins entirely: critic_gap is 0.995" in found[1] and "critic-every" in found[1]


def test_a_break_starts_the_count_anew_and_points_without_the_scalar_do_not() -> None:
    assert seen(Watch(adapts=True), {"kept": lambda i: 0.5 if i % 950 == 0 else 0.0}) is None
    watch = Watch(adapts=True)
    for iteration in range(50, 1050, 50):
        assert watch.look(iteration, {"kept": 0.0} if iteration % 100 else {}) is None
    assert watch.look(1050, {"kept": 0.0}) is not None


def test_advice_on_nan_names_what_is_learned_too_fast() -> None:
    assert "(--adapt.lr)" in advice_on_nan(["lifter_loss"], adapts=True)
    assert "(--pretrain.lr)" in advice_on_nan(["lifter_loss"], adapts=False)
    assert "(--adapt.gan-lr)" in advice_on_nan(["critic_gap"], adapts=True)
    assert "(--adapt.lr and --adapt.gan-lr)" in advice_on_nan(["kept", "lifter_loss"], adapts=True)


def test_spread_is_that_between_samples() -> None:
    turns = torch.tensor([[[0.0, 3, 0]], [[0, 5, 0]], [[0, 4, 0]]])
    torch.testing.assert_close(spread(turns), torch.tensor([[1.0], [1.0], [0.0]]))
    assert spread(turns[:1]).item() == 3  # nothing is known of a single one


def test_poses_that_point_alike_have_no_spread() -> None:
    pose = torch.randn(1, 16, 3).expand(64, 16, 3)
    assert pose_spread_deg(2 * pose + 1, H36M_16) < 1e-3
    turned = pose.clone()
    turned[::2, 1:] *= -1
    assert pose_spread_deg(turned, H36M_16) > 45


class Failing:
    """A method whose scalars go wrong after a while."""

    warmup = 0

    def __init__(self, source: Sampler, wrong: dict[str, float], after: int) -> None:
        self.source, self.wrong, self.after = source, wrong, after
        self.iteration = torch.zeros((), dtype=torch.int64)

    def iterate(self, iteration: int) -> dict[str, Tensor]:
        self.iteration.fill_(iteration)
        if iteration < self.after:
            return {}
        return {name: torch.tensor(value) for name, value in self.wrong.items()}

    def describe(self) -> dict[str, Tensor]:
        return {}

    def pairs(self) -> Pairs:
        pose = self.source.pose3d(rows := self.source.rows(4))
        kept = torch.ones(4, dtype=torch.bool)
        return Pairs(self.source.pose2d(rows), pose - pose[:, :1], kept)

    def state_dict(self) -> dict[str, Any]:
        return {"iteration": self.iteration}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.iteration.copy_(state["iteration"])


def failing(folder: Path, poses: PoseSet, wrong: dict[str, float]) -> Training:
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    source = Sampler(poses.train, random)
    return Training(
        make_lifter("videopose3d", poses.skeleton, 8),
        source,
        Schedule(1000, 4, 1e-3, 0.0),
        RunFolder(folder),
        random,
        Failing(source, wrong, after=200),
        checkpoint_every=120,
    )


def test_a_training_stops_keeps_its_checkpoint_and_stops_there_again(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    said = []
    for _ in range(2):  # the second resumes from 360: what was seen before counts
        with pytest.raises(Diverged) as stopped:
            failing(tmp_path, pose_sets[0], {"critic_gap": -5e3}).run()
        said.append(str(stopped.value))
        state = RunFolder(tmp_path).load_state()
        assert state is not None and state["iteration"] == 360
    assert said[0] == said[1]
    assert "training diverged at iteration 400: a critic diverged: critic_gap is -5e+03" in said[0]
    assert "since iteration 240; try a lower --adapt.gan-lr" in said[0]
    folder = RunFolder(tmp_path)
    assert folder.records()[-1]["step"] == 400  # shown in the curves
    assert not folder.weights_path.exists()


def test_any_scalar_that_is_not_finite_stops_a_training(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    with pytest.raises(
        Diverged, match=r"at iteration 240: mine is inf; try a lower .*--adapt.gan-lr"
    ):
        failing(tmp_path, pose_sets[0], {"mine": math.inf}).run()


@pytest.mark.parametrize("collapsed", [False, True])
def test_a_collapsed_generator_is_told_from_one_that_lives(
    pose_sets: tuple[PoseSet, PoseSet], collapsed: bool
) -> None:
    source, target = (poses.train for poses in pose_sets)
    random = torch.Generator().manual_seed(0)
    method = make_method("poseda", adapt_settings(batch=64), source, target, random)
    assert isinstance(method, PoseDA) and method.local is not None
    network = method.local.generator.bone_angle
    with torch.no_grad():
        if collapsed:  # tanh at its bound, whatever it is given
            network.last.weight.zero_()
            network.last.bias.fill_(9)
        else:
            network.last.weight.mul_(1e3)
    method.iterate(0)
    values = {key: float(value.mean()) for key, value in method.describe().items()}
    assert values["bone_angle_deg"] > 10
    watch = Watch(adapts=True)
    found = [watch.look(iteration, values) for iteration in (50, 1050)]
    assert found[0] is None and (found[1] is not None) == collapsed


@pytest.mark.parametrize("name", ["videopose3d", "videopose3d_27"])
def test_a_lifter_that_is_broken_in_use_is_no_result(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet], name: str
) -> None:
    """As after an explosion that only the running statistics of batch norms remember."""
    torch.manual_seed(0)
    lifter = make_lifter(name, H36M_16, 8)
    check_in_use(lifter, pose_sets[0].train, tmp_path, adapts=True)  # untrained, but not broken
    for module in lifter.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_var.fill_(1e-8)  # type: ignore[union-attr]
    with pytest.raises(Diverged, match=r"in use the lifter is wrong by .* m .*--adapt\.lr"):
        check_in_use(lifter, pose_sets[0].train, tmp_path, adapts=True)
    lifter.shrink.weight.data.fill_(math.nan)  # type: ignore[union-attr, operator]
    with pytest.raises(Diverged, match=r"wrong by nan m .*--pretrain\.lr"):
        check_in_use(lifter, pose_sets[0].train, tmp_path, adapts=False)


@pytest.mark.usefixtures("no_figures")
def test_a_training_that_ends_broken_says_so(
    tmp_path: Path, domains: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    small = "--width 16 --pretrain.steps 20 --pretrain.batch 16 --adapt.steps 40 --adapt.batch 16"
    data = ["--source", domains[0], "--target", domains[1], "--device", "cpu", "--jobs", "1"]
    wild = ["--adapt.lr", "300", "--method", "gpa", "--no-control", "--out", tmp_path / "run"]
    line = refused(capsys, "adapt", *data, *small.split(), *wild)
    assert "gpa: training diverged: in use the lifter is wrong by" in line and "--adapt.lr" in line
    assert not (tmp_path / "run" / "seed0" / "gpa" / "lifter.safetensors").exists()
