"""Dropout with one random byte per unit on the CPU, alone and in one with ReLU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Dropout(nn.Module):
    """``nn.Dropout``, with the rate rounded to 1/256 on the CPU.

    On the CPU torch draws a double per unit, which takes a fifth of a lifter's training step; a
    byte per unit takes a twentieth. Other devices run torch's own kernels.

    Args:
        rate: probability of dropping a unit, at least 0 and below 1.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate: got {rate}, expected at least 0 and below 1")
        self.rate = rate

    def forward(self, hidden: Tensor) -> Tensor:
        dropped = round(256 * self.rate)
        if not self.training or dropped == 0:
            return hidden
        if hidden.device.type != "cpu" or dropped == 256:
            return functional.dropout(hidden, self.rate)
        return hidden * _kept(hidden, dropped) * (256 / (256 - dropped))


class ReLUDropout(Dropout):
    """``nn.ReLU`` and then `Dropout`. One backward pass serves both: where the output is 0 there is
    no gradient, for whichever reason."""

    def forward(self, hidden: Tensor) -> Tensor:
        dropped = round(256 * self.rate)
        if not self.training or dropped == 0:
            return functional.relu(hidden)
        if hidden.device.type != "cpu" or dropped == 256:
            return functional.dropout(functional.relu(hidden), self.rate)
        return _ReLUDropout.apply(hidden, dropped)


class _ReLUDropout(torch.autograd.Function):
    """Drops a unit where its random byte is below `dropped`."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, dropped: int) -> Tensor:
        ctx.gain = 256 / (256 - dropped)
        made = (hidden * _kept(hidden, dropped)).clamp_(min=0).mul_(ctx.gain)
        ctx.save_for_backward(made)
        return made

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (made,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradients[0], made, 0) * ctx.gain, None


def _kept(hidden: Tensor, dropped: int) -> Tensor:
    """1 where the random byte of a unit is not below `dropped`, else 0."""
    words = torch.empty((hidden.numel() + 7) // 8, dtype=torch.int64)
    random_bytes = words.random_(-(2**63), None).view(torch.uint8)[: hidden.numel()]
    # Clamped rather than compared: torch makes and multiplies booleans some five times slower.
    kept = random_bytes.clamp_(dropped - 1, dropped).sub_(dropped - 1)
    return kept.to(hidden.dtype).view(hidden.shape)
