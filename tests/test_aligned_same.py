"""Alignment where there is nothing to align: real motion whose target is the source."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from poseda.config import AdaptSettings, AlignedSettings
from poseda.data import PoseSet, load_pose_set
from poseda.data.sampler import Sampler
from poseda.experiment import evaluate_lifter
from poseda.methods import make_method
from poseda.methods.reading import Reading
from poseda.methods.viewpoint import up_directions
from poseda.training.loop import Schedule, Training
from poseda.training.run_folder import RunFolder
from poseda_ext import H36M_16

STEPS, BATCH = 500, 128


class Small(nn.Module):
    """A lifter that learns fast."""

    def __init__(self) -> None:
        super().__init__()
        sizes = 2 * H36M_16.num_joints, 256, 256, 3 * H36M_16.num_joints
        layers = [nn.Linear(*pair) for pair in itertools.pairwise(sizes)]
        self.layers = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])

    def forward(self, pose2d: Tensor) -> Tensor:
        pose: Tensor = self.layers(pose2d.flatten(1)).unflatten(1, (-1, 3))
        return pose - pose[:, :1]


@pytest.fixture(scope="module")
def source(mocap: Path) -> PoseSet:
    poses = load_pose_set(mocap / "source_cmu.npz", skeleton=H36M_16)
    return poses.rows(slice(0, None, 5))


def train(
    folder: Path, lifter: nn.Module, source: PoseSet, lr: float, final: float, method: str | None
) -> float:
    """Trains a lifter on; returns its MPJPE on the test part."""
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    mixed = None
    if method is not None:
        settings = AdaptSettings(steps=STEPS, batch=BATCH)
        mixed = make_method(method, settings, source.train, source.train, random, 1, lifter)
    schedule = Schedule(STEPS, BATCH, lr, final)
    sampler = Sampler(source.train, random)
    Training(lifter, sampler, schedule, RunFolder(folder), random, mixed).run()
    return evaluate_lifter(lifter, source.test).mpjpe


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, source: PoseSet) -> Small:
    """A lifter that knows the source."""
    torch.manual_seed(0)
    lifter = Small()
    train(tmp_path_factory.mktemp("start"), lifter, source, 3e-3, 1e-3, None)
    return lifter


def test_no_harm_where_the_target_is_the_source(
    tmp_path: Path, source: PoseSet, start: Small
) -> None:
    error = {}
    for method in ("control", "aligned"):
        lifter = copy.deepcopy(start)
        error[method] = train(tmp_path / method, lifter, source, 1e-3, 0.0, method)
    assert error["aligned"] < 1.02 * error["control"]


def test_other_people_before_other_cameras_are_foreign(
    mocap: Path, source: PoseSet, start: Small
) -> None:
    target = load_pose_set(mocap / "target_cmu.npz", skeleton=H36M_16).rows(slice(0, None, 5))
    foreign = []
    for there in (source.train, target.train):
        up = up_directions(source.train)
        reading = Reading(AlignedSettings(), source.train, there, up)
        reading.refresh(start)
        foreign.append(reading.describe()["foreign"].item())
    assert foreign == [0, 1]
