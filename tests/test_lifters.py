"""The published lifters, a user's own, and their weights on disk."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from poseda.networks.dropout import Dropout, ReLUDropout
from poseda.networks.lifters import (
    LIFTERS,
    PUBLISHED,
    STGCN,
    ResidualLifter,
    TemporalLifter,
    default_width,
    frames_of,
    make_lifter,
)
from poseda.networks.replicas import synchronize
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


class NanLifter(OwnLifter):
    def forward(self, pose2d: Tensor) -> Tensor:
        return self.layer(pose2d) / pose2d.norm()


class TwoRowLifter(OwnLifter):
    def forward(self, pose2d: Tensor) -> Tensor:
        return self.layer(pose2d).view(2, 48).view(2, 16, 3)


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


def random_input(lifter: nn.Module, skeleton: Skeleton, batch: int = 4) -> Tensor:
    frames = frames_of(lifter)
    return torch.randn(batch, *([frames] if frames > 1 else []), skeleton.num_joints, 2)


def num_parameters(lifter: nn.Module) -> int:
    return sum(parameter.numel() for parameter in lifter.parameters())


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("simple_baseline", 4_288_557),
        ("videopose3d", 8_485_933),
        ("videopose3d_27", 8_543_277),
        ("sem_gcn", 267_343),
        ("st_gcn", 3_627_847),
    ],
)
def test_published_size_has_the_published_number_of_parameters(name: str, parameters: int) -> None:
    assert num_parameters(make_lifter(name, H36M_16)) == parameters


def test_other_published_sizes() -> None:
    """GraphMLP's 9.49 million of the paper, and AdaptPose's VideoPose3D for one frame, which has a
    block less, in either form."""
    assert round(num_parameters(make_lifter("graph_mlp", H36M_17, 512)), -4) == 9_490_000
    width = {"width": 1024, "dropout": 0.25}
    single = ResidualLifter(H36M_16, blocks=3, hidden_bias=False, kaiming=False, **width)  # type: ignore[arg-type]
    assert num_parameters(single) == 6_384_685
    assert num_parameters(TemporalLifter(H36M_16, width=1024, kernels=(1, 1, 1, 1))) == 6_384_685


@pytest.mark.parametrize("name", LIFTERS)
@pytest.mark.parametrize("skeleton", [H36M_16, H36M_17])
def test_lifter_puts_the_root_at_the_origin(name: str, skeleton: Skeleton) -> None:
    lifter = make_lifter(name, skeleton, 32)
    pose3d = lifter(random_input(lifter, skeleton))
    assert pose3d.shape == (4, skeleton.num_joints, 3)
    assert isinstance(lifter, PUBLISHED)
    assert not pose3d[:, 0].any()
    assert pose3d[:, 1:].abs().sum() > 0


@pytest.mark.parametrize("name", LIFTERS)
def test_lifter_trains_in_bfloat16_and_uses_all_it_has(name: str) -> None:
    torch.manual_seed(0)
    lifter = make_lifter(name, H36M_16, 32)
    if isinstance(lifter, STGCN):  # starts at 0, and so shuts off what precedes
        nn.init.ones_(lifter.attend.norm.norm.weight)
    pose2d = random_input(lifter, H36M_16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        made = lifter(pose2d)
    (made - torch.randn(16, 16, 3)).square().mean().backward()
    for label, parameter in lifter.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), label
        assert parameter.grad.any() or "bias" in label, label  # some stand before a batch norm
    lifter.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rough = lifter(pose2d).float()
    with torch.no_grad():
        assert (rough - lifter(pose2d)).abs().max() < 0.05 * rough.abs().max()


@pytest.mark.parametrize("name", LIFTERS)
def test_batch_norms_can_be_synchronised(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of two processes of which the other one has the same batch."""
    monkeypatch.setattr("poseda.networks.replicas.world_size", lambda: 2)
    monkeypatch.setattr("poseda.networks.replicas.of_all", lambda one: torch.stack((one, one)))
    torch.manual_seed(0)
    lifter = make_lifter(name, H36M_16, 16)
    pose2d = random_input(lifter, H36M_16, 8)
    torch.manual_seed(1)  # of dropout
    expected = copy.deepcopy(lifter)(pose2d)
    synchronize(lifter)
    assert not any(type(module) is nn.BatchNorm1d for module in lifter.modules())
    torch.manual_seed(1)
    torch.testing.assert_close(lifter(pose2d), expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", LIFTERS)
def test_a_pose_is_lifted_alone_as_among_others(name: str) -> None:
    torch.manual_seed(0)
    lifter = make_lifter(name, H36M_16, 16)
    pose2d = random_input(lifter, H36M_16, 8)
    lifter(pose2d)
    lifter.eval()
    torch.testing.assert_close(lifter(pose2d)[3:4], lifter(pose2d[3:4]), atol=1e-5, rtol=1e-4)


def test_a_width_that_is_not_said_is_that_of_the_lifter() -> None:
    assert (default_width("videopose3d"), default_width("st_gcn")) == (1024, 128)
    with pytest.raises(ValueError, match="width: got 1, expected at least 2"):
        make_lifter("graph_mlp", H36M_16, 1)


@pytest.mark.parametrize("kernels", [(3, 3, 3), (5, 1, 3), (3,)])
def test_dense_form_is_the_strided_one_of_every_window(kernels: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    lifter = TemporalLifter(H36M_16, width=24, kernels=kernels).double()
    for _ in range(3):  # running statistics of the batch norms, as after training
        lifter(torch.randn(8, lifter.frames, 16, 2, dtype=torch.double))
    lifter.eval()
    sequence = torch.randn(2, lifter.frames + 10, 16, 2, dtype=torch.double)
    windows = sequence.unfold(1, lifter.frames, 1).movedim(-1, 2)  # (2, 11, T, 16, 2)
    one_by_one = lifter(windows.flatten(0, 1)).unflatten(0, (2, 11))
    torch.testing.assert_close(lifter.lift_sequence(sequence), one_by_one, atol=1e-12, rtol=0)


def test_layers_over_time_are_convolutions() -> None:
    lifter = TemporalLifter(H36M_16, width=8, kernels=(3, 3)).eval()
    weights = lifter.state_dict()
    grouped: list[Tensor] = []
    for module in lifter.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda module, given, made: grouped.append(made))
    pose2d = torch.randn(2, 9, 16, 2)
    lifter(pose2d)
    kernel = weights["expand.0.weight"].unflatten(1, (3, 32)).transpose(1, 2)  # (out, in, frames)
    made = nn.functional.conv1d(pose2d.flatten(2).transpose(1, 2), kernel, stride=3)
    torch.testing.assert_close(grouped[0], made.transpose(1, 2).flatten(0, 1))
    hidden = (made / (1 + 1e-5) ** 0.5).relu()  # batch norm as it starts
    kernel = weights["blocks.0.0.0.weight"].unflatten(1, (3, 8)).transpose(1, 2)
    made = nn.functional.conv1d(hidden, kernel, stride=3)
    torch.testing.assert_close(grouped[1], made[..., 0])


def test_a_kernel_without_a_middle_is_refused() -> None:
    with pytest.raises(ValueError, match=r"kernels: got \(3, 2\), expected odd numbers"):
        TemporalLifter(H36M_16, width=8, kernels=(3, 2))


def test_own_lifter_by_name() -> None:
    assert isinstance(make_lifter(f"{__name__}:OwnLifter", H36M_16), OwnLifter)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("videopose", ValueError, "expected one of simple_baseline, videopose3d, .* or package"),
        (":Lifter", ValueError, "expected one of simple_baseline"),
        ("no_such_package:Lifter", ValueError, "lifter no_such_package:Lifter: cannot be made"),
        (f"{__name__}:NoSuchLifter", ValueError, "has no attribute 'NoSuchLifter'"),
        (f"{__name__}:FrozenLifter", ValueError, "got no trainable parameter"),
        (f"{__name__}:EvaluatedLifter", ValueError, "only for evaluation"),
        (f"{__name__}:NoSkeletonLifter", ValueError, "takes 1 positional argument"),
        (f"{__name__}:FlatLifter", ValueError, r"got \(3, 48\) .* expected \(3, 16, 3\)"),
        (f"{__name__}:BrokenLifter", ValueError, "no such layer"),
        (f"{__name__}:NanLifter", ValueError, "NaN or infinity from zeros, expected finite"),
        (f"{__name__}:TwoRowLifter", ValueError, r"fails on input .*shape '\[2, 48\]'"),
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


def test_dropout_without_relu() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(1000, 101, requires_grad=True)
    dropped = Dropout(0.25)(hidden)
    dropped.sum().backward()
    kept = dropped != 0
    assert kept.double().mean() == pytest.approx(0.75, abs=0.01)
    torch.testing.assert_close(dropped, torch.where(kept, hidden * 4 / 3, 0))
    assert hidden.grad is not None
    torch.testing.assert_close(hidden.grad, kept * 4 / 3)
    assert torch.equal(Dropout(0.25).eval()(hidden), hidden)
    assert torch.equal(Dropout(0.0)(hidden), hidden)


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


@pytest.mark.parametrize("name", LIFTERS)
def test_weights_survive_the_disk(tmp_path: Path, name: str) -> None:
    lifter = make_lifter(name, H36M_17, 24)
    path = tmp_path / "lifter.safetensors"
    save_lifter(path, NamedLifter(lifter, name, 24, H36M_17))
    loaded = load_lifter(path)
    assert (loaded.name, loaded.width, loaded.skeleton) == (name, 24, H36M_17)
    assert not loaded.module.training
    pose2d = random_input(lifter, H36M_17, 5)
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
