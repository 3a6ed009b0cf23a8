"""How much what a generator makes differs from sample to sample, for `poseda.training.watch`."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from poseda_ext import Skeleton, bones


def spread(values: Tensor) -> Tensor:
    """How far vectors are from their mean over the batch.

    Args:
        values: (B, ..., D) in any unit.

    Returns:
        (B, ...) distances, in that unit. A single sample says nothing of a spread: its length.
    """
    away = values if len(values) < 2 else values - values.mean(0)
    return away.norm(dim=-1)


def pose_spread_deg(pose: Tensor, skeleton: Skeleton) -> Tensor:
    """How far the bones of poses point apart: of the bone in the middle of all bones, its mean
    distance from its mean direction, as an angle.

    Args:
        pose: (B, J, 3) metres, any origin.
        skeleton: J joints.

    Returns:
        (), degrees.
    """
    directions = torch.nn.functional.normalize(bones(pose, skeleton), dim=-1)
    return spread(directions).mean(0).median() * (180 / math.pi)
