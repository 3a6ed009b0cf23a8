"""VideoPose3D over several frames: one network, two ways to run it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from poseda.networks.dropout import ReLUDropout
from poseda_ext import Skeleton

DROPOUT = 0.25


class TemporalLifter(nn.Module):
    """VideoPose3D (Pavllo et al., CVPR 2019): convolutions over time, each of which takes frames
    together until one is left, then a layer of its own frame; blocks have a skip from their middle
    frame.

    A convolution stands here as a linear layer over its frames side by side, with the same
    parameters. `forward` lifts one window: each convolution steps over frames by its kernel width,
    so nothing is computed twice. `lift_sequence` lifts every window of a sequence: convolutions are
    dilated, and windows share what they have in common. Both give the same poses (up to round-off)
    in evaluation; in training they would differ in the statistics of the batch norm.

    Args:
        skeleton: joints of the input and the output.
        width: units of each hidden layer.
        kernels: kernel width of the first layer and of each block, odd. T is their product.
        dropout: probability of dropping a hidden unit in training.

    Raises:
        ValueError: if a kernel is not odd.
    """

    graph_safe = True

    def __init__(
        self,
        skeleton: Skeleton,
        *,
        width: int,
        kernels: Sequence[int],
        dropout: float = DROPOUT,
    ) -> None:
        super().__init__()
        if not kernels or any(kernel < 1 or kernel % 2 == 0 for kernel in kernels):
            raise ValueError(f"kernels: got {tuple(kernels)}, expected odd numbers, at least one")

        def layer(inputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width), ReLUDropout(dropout)
            )

        joints = skeleton.num_joints
        self.kernels = tuple(kernels)
        self.frames = math.prod(kernels)
        self.expand = layer(2 * joints * kernels[0])
        self.blocks = nn.ModuleList(
            nn.Sequential(layer(width * kernel), layer(width)) for kernel in kernels[1:]
        )
        self.shrink = nn.Linear(width, 3 * (joints - 1))

    def forward(self, pose2d: Tensor) -> Tensor:
        """(B, T, J, 2) to (B, J, 3)."""
        hidden = _over_time(self.expand, _strided(pose2d.flatten(2), self.kernels[0]).flatten(2))
        for block, kernel in zip(self.blocks, self.kernels[1:], strict=True):
            groups = _strided(hidden, kernel)  # (B, frames, kernel, width)
            hidden = groups[:, :, kernel // 2] + _over_time(block, groups.flatten(2))
        return self._pose(hidden[:, 0])

    def lift_sequence(self, pose2d: Tensor) -> Tensor:
        """(B, L + T - 1, J, 2) to (B, L, J, 3), the pose in the middle of every window."""
        hidden = _over_time(self.expand, _dilated(pose2d.flatten(2), self.kernels[0], 1).flatten(2))
        dilation = self.kernels[0]
        for block, kernel in zip(self.blocks, self.kernels[1:], strict=True):
            groups = _dilated(hidden, kernel, dilation)
            hidden = groups[:, :, kernel // 2] + _over_time(block, groups.flatten(2))
            dilation *= kernel
        return self._pose(hidden)

    def _pose(self, hidden: Tensor) -> Tensor:
        """(..., width) to (..., J, 3) with the root at the origin."""
        return nn.functional.pad(self.shrink(hidden), (3, 0)).unflatten(-1, (-1, 3))


def videopose3d_27(skeleton: Skeleton, width: int = 1024) -> nn.Module:
    """VideoPose3D for 27 frames, kernel widths 3, 3, 3: 8,543,277 parameters at 16 joints and the
    published width of 1,024."""
    return TemporalLifter(skeleton, width=width, kernels=(3, 3, 3))


def _strided(hidden: Tensor, kernel: int) -> Tensor:
    """(B, N * kernel, C) to (B, N, kernel, C): neighbours side by side, each once."""
    return hidden.unflatten(1, (-1, kernel))


def _dilated(hidden: Tensor, kernel: int, dilation: int) -> Tensor:
    """(B, N, C) to (B, N - (kernel - 1) * dilation, kernel, C): frames that lie `dilation` apart,
    from every frame on."""
    return hidden.unfold(1, (kernel - 1) * dilation + 1, 1)[..., ::dilation].transpose(2, 3)


def _over_time(layers: nn.Module, hidden: Tensor) -> Tensor:
    """Layers of (N, C), over all frames (B, N, C)."""
    return layers(hidden.flatten(0, 1)).unflatten(0, hidden.shape[:2])
