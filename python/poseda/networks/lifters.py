"""Lifters: any ``nn.Module`` from (B, J, 2) screen-normalised points to (B, J, 3) root-relative
metres can be one. Two published ones stand here; `make_lifter` also finds a user's own."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from poseda.networks.dropout import ReLUDropout
from poseda_ext import Skeleton

#: poses that are lifted at a time
LIFT_BATCH = 4096


class ResidualLifter(nn.Module):
    """The shape that both published lifters share: an input layer, residual blocks of two
    layers, an output layer for every joint but the root, which is put at the origin.

    Args:
        skeleton: joints of the input and the output.
        width: units of each hidden layer.
        blocks: residual blocks.
        dropout: probability of dropping a hidden unit in training.
        hidden_bias: whether hidden layers have a bias beside that of the batch norm.
        kaiming: True draws the weights from Kaiming's normal distribution.
    """

    #: Training may replay a step of it as one CUDA graph: forward neither waits for the device nor
    #: decides anything on the host.
    graph_safe = True

    def __init__(
        self,
        skeleton: Skeleton,
        *,
        width: int,
        blocks: int,
        dropout: float,
        hidden_bias: bool,
        kaiming: bool,
    ) -> None:
        super().__init__()

        def layer(inputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(inputs, width, bias=hidden_bias),
                nn.BatchNorm1d(width),
                ReLUDropout(dropout),
            )

        joints = skeleton.num_joints
        self.expand = layer(2 * joints)
        self.blocks = nn.ModuleList(
            nn.Sequential(layer(width), layer(width)) for _ in range(blocks)
        )
        self.shrink = nn.Linear(width, 3 * (joints - 1))
        if kaiming:
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    nn.init.kaiming_normal_(module.weight)

    def forward(self, pose2d: Tensor) -> Tensor:
        hidden = self.expand(pose2d.flatten(1))  # (B, width)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        joints = self.shrink(hidden)  # (B, 3 (J-1))
        return nn.functional.pad(joints, (3, 0)).unflatten(1, (-1, 3))


def simple_baseline(skeleton: Skeleton, width: int = 1024) -> nn.Module:
    """SimpleBaseline (Martinez et al., ICCV 2017), two residual blocks: 4,288,557 parameters at
    16 joints and the published width of 1,024."""
    return ResidualLifter(
        skeleton, width=width, blocks=2, dropout=0.25, hidden_bias=True, kaiming=True
    )


def videopose3d(skeleton: Skeleton, width: int = 1024) -> nn.Module:
    """VideoPose3D (Pavllo et al., CVPR 2019) for one frame, four residual blocks: 8,485,933
    parameters at 16 joints and the published width of 1,024. Over one frame its convolutions of
    kernel size 1 are linear layers, and stand here as such."""
    return ResidualLifter(
        skeleton, width=width, blocks=4, dropout=0.25, hidden_bias=False, kaiming=False
    )


LIFTERS: dict[str, Callable[[Skeleton, int], nn.Module]] = {
    "simple_baseline": simple_baseline,
    "videopose3d": videopose3d,
}


def make_lifter(name: str, skeleton: Skeleton, width: int = 1024) -> nn.Module:
    """A lifter by name. A user's own is checked to map (B, J, 2) to (B, J, 3). It may set
    ``graph_safe``, as `ResidualLifter` does, to be trained in a CUDA graph.

    Args:
        name: "simple_baseline", "videopose3d", or a user's own as ``package.module:Class``, which
            is called with the skeleton as its only argument.
        skeleton: joints of input and output.
        width: units of each hidden layer of the named lifters.

    Raises:
        ValueError: if there is no such lifter, or what it returns has the wrong shape.
        TypeError: if what was named does not make an ``nn.Module``.
    """
    if name in LIFTERS:
        return LIFTERS[name](skeleton, width)
    try:
        lifter = _import(name)(skeleton)
    except Exception as error:  # whatever a user's own module and class may raise
        raise ValueError(f"lifter {name}: cannot be made: {error!r}") from error
    if not isinstance(lifter, nn.Module):
        raise TypeError(f"lifter {name}: got {type(lifter).__name__}, expected a torch.nn.Module")
    _check(lifter, name, skeleton)
    return lifter


def lift(lifter: nn.Module, pose2d: Tensor) -> Tensor:
    """(N, J, 2) screen-normalised points to (N, J, 3) root-relative metres, in batches."""
    training = lifter.training
    device = next(lifter.parameters()).device
    lifter.eval()
    try:
        with torch.inference_mode():
            parts = [lifter(part.to(device)).to(pose2d.device) for part in pose2d.split(LIFT_BATCH)]
    finally:
        lifter.train(training)
    return torch.cat(parts) if parts else pose2d.new_zeros(0, pose2d.shape[1], 3)


def _import(name: str) -> Callable[[Skeleton], object]:
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise ValueError(f"expected one of {', '.join(LIFTERS)} or package.module:Class")
    found: Callable[[Skeleton], object] = getattr(importlib.import_module(module), attribute)
    return found


def _check(lifter: nn.Module, name: str, skeleton: Skeleton) -> None:
    """Tries a copy in training and in evaluation, without touching any random state."""
    joints = skeleton.num_joints
    if not any(parameter.requires_grad for parameter in lifter.parameters()):
        raise ValueError(f"lifter {name}: got no trainable parameter, expected at least one")
    with torch.random.fork_rng(devices=[]):
        try:
            trial = copy.deepcopy(lifter)
            trial.train()(torch.rand(2, joints, 2)).sum().backward()
            with torch.no_grad():
                result = trial.eval()(torch.zeros(2, joints, 2))
        except Exception as error:
            raise ValueError(
                f"lifter {name}: fails on input of shape (2, {joints}, 2): {error!r}"
            ) from error
    shape = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
    if shape != (2, joints, 3):
        raise ValueError(
            f"lifter {name}: got {shape} from input (2, {joints}, 2), expected (2, {joints}, 3)"
        )
