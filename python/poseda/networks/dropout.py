"""Dropout that draws one random byte per unit on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Dropout(nn.Module):
    """``nn.Dropout``, with the rate rounded to 1/256 on the CPU.

    On the CPU torch draws a double per unit, which takes a fifth of a lifter's training step; a
    byte per unit takes a twentieth. Other devices run torch's own kernel.

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
        words = torch.empty((hidden.numel() + 7) // 8, dtype=torch.int64)
        random_bytes = words.random_(-(2**63), None).view(torch.uint8)
        keep = (random_bytes[: hidden.numel()] >= dropped).view(hidden.shape)
        return hidden * keep.to(hidden.dtype).mul_(256 / (256 - dropped))
