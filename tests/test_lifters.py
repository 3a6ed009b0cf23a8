"""The published lifters, a user's own, and their weights on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from poseda.networks.dropout import ReLUDropout
from poseda.networks.lifters import LIFTERS, make_lifter
from poseda.networks.weights import NamedLifter, load_lifter, save_lifter
from poseda_ext import H36M_16, H36M_17, Skeleton


class OwnLifter(nn.Module):
    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, pose2d: Tensor) -> Tensor:
        return self.layer(pose2d)


class FlatLifter(OwnLifter):
    def forward(self, pose2d: Tensor) -> Tensor:
        return self.layer(pose2d).flatten(1)


class BrokenLifter(OwnLifter):
    def forward(self, pose2d: Tensor) -> Tensor:
        raise RuntimeError("no such layer")


class FrozenLifter(OwnLifter):
    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__(skeleton)
        self.requires_grad_(False)


class EvaluatedLifter(OwnLifter):
    def forward(self, pose2d: Tensor) -> Tensor:
        if self.training:
            raise KeyError("only for evaluation")
        return self.layer(pose2d)


class NoSkeletonLifter(nn.Module):
    def __init__(self) -> None:
        super().__init__()


class TiedLifter(OwnLifter):
    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__(skeleton)
        self.again = self.layer


def not_a_lifter(skeleton: Skeleton) -> str:
    return "lifter"


@pytest.mark.parametrize(
    ("name", "parameters"), [("simple_baseline", 4_288_557), ("videopose3d", 8_485_933)]
)
def test_published_size_has_the_published_number_of_parameters(name: str, parameters: int) -> None:
    lifter = make_lifter(name, H36M_16)
    assert sum(parameter.numel() for parameter in lifter.parameters()) == parameters


@pytest.mark.parametrize("name", LIFTERS)
@pytest.mark.parametrize("skeleton", [H36M_16, H36M_17])
def test_lifter_puts_the_root_at_the_origin(name: str, skeleton: Skeleton) -> None:
    joints = skeleton.num_joints
    pose3d = make_lifter(name, skeleton, 32)(torch.randn(4, joints, 2))
    assert pose3d.shape == (4, joints, 3)
    assert not pose3d[:, 0].any()
    assert pose3d[:, 1:].abs().sum() > 0


def test_own_lifter_by_name() -> None:
    assert isinstance(make_lifter(f"{__name__}:OwnLifter", H36M_16), OwnLifter)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("videopose", ValueError, "expected one of simple_baseline, videopose3d or package"),
        (":Lifter", ValueError, "expected one of simple_baseline"),
        ("no_such_package:Lifter", ValueError, "lifter no_such_package:Lifter: cannot be made"),
        (f"{__name__}:NoSuchLifter", ValueError, "has no attribute 'NoSuchLifter'"),
        (f"{__name__}:FrozenLifter", ValueError, "got no trainable parameter"),
        (f"{__name__}:EvaluatedLifter", ValueError, "only for evaluation"),
        (f"{__name__}:NoSkeletonLifter", ValueError, "takes 1 positional argument"),
        (f"{__name__}:FlatLifter", ValueError, r"got \(2, 48\) .* expected \(2, 16, 3\)"),
        (f"{__name__}:BrokenLifter", ValueError, "no such layer"),
        (f"{__name__}:not_a_lifter", TypeError, "got str, expected a torch.nn.Module"),
    ],
)
def test_a_lifter_that_is_none_is_refused(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_lifter(name, H36M_16)


def test_dropout_drops_at_its_rate_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropped = ReLUDropout(0.25)(torch.ones(1000, 1001))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (dropped == 0).double().mean() == pytest.approx(0.25, abs=0.002)
    assert dropped.mean() == pytest.approx(1, abs=0.003)


def test_dropout_is_a_relu_in_evaluation_and_at_rate_zero() -> None:
    hidden = torch.randn(3, 5)
    assert torch.equal(ReLUDropout(0.25).eval()(hidden), hidden.relu())
    assert torch.equal(ReLUDropout(0.0)(hidden), hidden.relu())
    with pytest.raises(ValueError, match="rate: got 1"):
        ReLUDropout(1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_lets_values_and_gradients_through_where_it_keeps(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(100, 10, dtype=dtype, requires_grad=True)
    dropped = ReLUDropout(0.5)(hidden)
    dropped.sum().backward()
    kept = dropped > 0
    assert 0.2 < kept.double().mean() < 0.3  # half are negative
    assert torch.equal(dropped, torch.where(kept, 2 * hidden, 0))
    assert hidden.grad is not None and torch.equal(hidden.grad, 2 * kept.to(dtype))


def test_weights_survive_the_disk(tmp_path: Path) -> None:
    lifter = make_lifter("simple_baseline", H36M_17, 24)
    path = tmp_path / "lifter.safetensors"
    save_lifter(path, NamedLifter(lifter, "simple_baseline", 24, H36M_17))
    loaded = load_lifter(path)
    assert (loaded.name, loaded.width, loaded.skeleton) == ("simple_baseline", 24, H36M_17)
    assert not loaded.module.training
    pose2d = torch.randn(5, 17, 2)
    assert torch.equal(loaded.module(pose2d), lifter.eval()(pose2d))


def test_shared_weights_survive_the_disk(tmp_path: Path) -> None:
    name = f"{__name__}:TiedLifter"
    path = tmp_path / "lifter.safetensors"
    save_lifter(path, NamedLifter(make_lifter(name, H36M_16), name, 1024, H36M_16))
    assert load_lifter(path, own=name).name == name


def test_weights_do_not_choose_what_code_runs(tmp_path: Path) -> None:
    path = tmp_path / "lifter.safetensors"
    metadata = {"lifter": "this:Antigravity", "width": "8", "joints": "16"}
    save_file({"weight": torch.zeros(2)}, path, metadata)
    with pytest.raises(ValueError, match=r"made by this:Antigravity.*--lifter this:Antigravity"):
        load_lifter(path)


def test_files_that_hold_no_lifter_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "lifter.safetensors"
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_lifter(path)
    path.write_bytes(b"not safetensors")
    with pytest.raises(ValueError, match=r"lifter.safetensors: .*no readable safetensors"):
        load_lifter(path)
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="expected lifter, width and joints"):
        load_lifter(path)
    metadata = {"lifter": "videopose3d", "width": "8", "joints": "16"}
    save_file({"weight": torch.zeros(2)}, path, metadata)
    with pytest.raises(ValueError, match="the weights do not fit"):
        load_lifter(path)
