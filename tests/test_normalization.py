"""Lifters that normalise their input: what they see, and that their weights say so."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("pydantic", reason="weights need pydantic")
from safetensors import safe_open
from safetensors.torch import save_file

from poseda.config import Normalization, Settings
from poseda.data import PoseSet
from poseda.data.sampler import Sampler
from poseda.methods import make_method
from poseda.networks.lifters import (
    NORMALIZATIONS,
    Normalized,
    frames_of,
    lift_poses,
    make_lifter,
    normalization_of,
    normalize,
)
from poseda.networks.weights import NamedLifter, load_lifter, save_lifter
from poseda.plan import Plan, Variant
from poseda.training.loop import Schedule, Training
from poseda.training.run_folder import RunFolder
from poseda_ext import H36M_16
from tests.adapt_settings import adapt_settings

OTHERS: tuple[Normalization, ...] = NORMALIZATIONS[1:]


@pytest.fixture
def pose2d(pose_sets: tuple[PoseSet, PoseSet]) -> Tensor:
    return pose_sets[1].pose2d[:200]


def named(how: Normalization, name: str = "videopose3d") -> NamedLifter:
    torch.manual_seed(0)
    return NamedLifter(make_lifter(name, H36M_16, 8, how).eval(), name, 8, H36M_16)


def test_hand_values() -> None:
    pose = torch.tensor([[0.1, 0.2], [0.3, 0.8], [0.5, 0.2]])
    crop = torch.tensor([[-1.0, -1.0], [0.0, 1.0], [1.0, -1.0]])
    torch.testing.assert_close(normalize(pose, "crop"), crop)
    square = torch.tensor([[-2 / 3, -1.0], [0.0, 1.0], [2 / 3, -1.0]])
    torch.testing.assert_close(normalize(pose, "square-crop"), square)
    centred = torch.tensor([[0.0, 0.0], [0.2, 0.6], [0.4, 0.0]])
    norm = (0.04 + 0.36 + 0.16) ** 0.5
    torch.testing.assert_close(normalize(pose, "root-frobenius"), centred / norm)
    assert normalize(pose, "screen") is pose


@pytest.mark.parametrize("how", OTHERS)
def test_place_and_size_in_the_picture_are_gone(pose2d: Tensor, how: Normalization) -> None:
    first = normalize(pose2d, how)
    assert first.abs().max() <= 1 + 1e-5
    moved = 0.5 * pose2d + torch.tensor([0.3, -0.2])
    torch.testing.assert_close(normalize(moved, how), first, atol=1e-4, rtol=0)
    stretched = pose2d * torch.tensor([2.0, 1.0])
    same = torch.allclose(normalize(stretched, how), first, atol=1e-4)
    assert same == (how == "crop")  # the only one that loses proportions


@pytest.mark.parametrize("how", OTHERS)
def test_frames_are_normalised_each_by_itself_and_a_point_is_finite(
    pose2d: Tensor, how: Normalization
) -> None:
    window = pose2d[:20].unflatten(0, (4, 5))
    torch.testing.assert_close(normalize(window, how).flatten(0, 1), normalize(pose2d[:20], how))
    point = torch.full((2, 16, 2), 0.3, requires_grad=True)
    made = normalize(point, how)
    made.sum().backward()
    assert not made.any() and point.grad is not None and point.grad.isfinite().all()


def test_unknown_normalisation_is_refused(pose2d: Tensor) -> None:
    with pytest.raises(ValueError, match="normalization: got 'box', expected one of screen, crop"):
        normalize(pose2d, "box")  # type: ignore[arg-type]


@pytest.mark.parametrize("how", OTHERS)
def test_lifter_sees_normalised_poses(pose2d: Tensor, how: Normalization) -> None:
    lifter = named(how).module
    assert isinstance(lifter, Normalized) and normalization_of(lifter) == how
    assert lifter.graph_safe
    assert torch.equal(lifter(pose2d), lifter.lifter(normalize(pose2d, how)))
    assert normalization_of(named("screen").module) == "screen"


def test_lifter_of_windows_keeps_its_dense_form(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    lifter = named("square-crop", "videopose3d_27").module
    assert frames_of(lifter) == 27
    poses = pose_sets[1].rows(slice(0, 60))
    windows = poses.pose2d[poses.tracks.windows(torch.arange(60), 27)]
    torch.testing.assert_close(lift_poses(lifter, poses), lifter(windows), atol=1e-4, rtol=1e-4)
    assert named("crop").module.lift_sequence is None


@pytest.mark.parametrize("how", NORMALIZATIONS)
def test_weights_carry_it(tmp_path: Path, pose2d: Tensor, how: Normalization) -> None:
    path = tmp_path / "lifter.safetensors"
    lifter = named(how)
    save_lifter(path, lifter)
    loaded = load_lifter(path).module
    assert normalization_of(loaded) == how
    assert torch.equal(loaded(pose2d), lifter.module(pose2d))
    with safe_open(path, framework="pt") as file:
        assert ("normalization" in file.metadata()) == (how != "screen")


def test_weights_of_an_unknown_normalisation_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "lifter.safetensors"
    lifter = named("crop")
    metadata = {"lifter": "videopose3d", "width": "8", "joints": "16", "normalization": "\x1b[2J"}
    save_file(lifter.module.state_dict(), path, metadata)
    with pytest.raises(ValueError, match=r"normalization: got '\\x1b\[2J', expected one of screen"):
        load_lifter(path)
    save_file(lifter.module.state_dict(), path, {**metadata, "normalization": "screen"})
    with pytest.raises(ValueError, match="the weights do not fit"):
        load_lifter(path)


@pytest.mark.parametrize("how", OTHERS)
def test_such_a_lifter_is_adapted_as_any(
    pose_sets: tuple[PoseSet, PoseSet], tmp_path: Path, how: Normalization
) -> None:
    random = torch.Generator().manual_seed(0)
    lifter = named(how).module.train()
    settings = adapt_settings(batch=16, warmup=1)
    method = make_method("poseda", settings, *pose_sets, random, lifter=lifter)
    sampler = Sampler(pose_sets[0], random)
    folder = RunFolder(tmp_path)
    training = Training(lifter, sampler, Schedule(9, 16, 1e-3, 0.0), folder, random, method)
    training.run()
    assert all(value.isfinite().all() for value in lifter.state_dict().values())
    source = dataclasses.replace(pose_sets[0], pose2d=pose_sets[0].pose2d + 0.05)
    torch.testing.assert_close(
        lift_poses(lifter, source), lift_poses(lifter, pose_sets[0]), atol=1e-3, rtol=0
    )


def test_rows_of_a_table_do_not_share_lifters_of_different_input(tmp_path: Path) -> None:
    rows = [Variant(how, "source-only", {"normalization": how}) for how in NORMALIZATIONS]
    plan = Plan(Settings(out=tmp_path), tuple(rows), (0,))
    assert len({plan.folder(row, 0) for row in rows}) == len(rows)


class Own(nn.Module):
    """A user's own lifter."""

    def __init__(self, skeleton: object) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, pose2d: Tensor) -> Tensor:
        return nn.functional.pad(self.scale * pose2d, (0, 1))


def test_a_users_own_lifter_takes_it_too(pose2d: Tensor) -> None:
    lifter = make_lifter("tests.test_normalization:Own", H36M_16, normalization="crop")
    torch.testing.assert_close(lifter(pose2d)[..., :2], normalize(pose2d, "crop"))
