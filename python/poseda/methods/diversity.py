"""How much what a generator makes differs from sample to sample, for `poseda.training.watch`.

Samples of all processes count, of which each has its share: all call these at the same time.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from poseda.distributed import average, world_size
from poseda_ext import Skeleton, bones


def spread(values: Tensor) -> Tensor:
    """How far vectors are from their mean over the batch.

    Args:
        values: (B, ..., D) in any unit.

    Returns:
        (B, ...) distances, in that unit. A single sample says nothing of a spread: its length.
    """
    alone = len(values) * world_size() < 2
    away = values if alone else values - average(values.mean(0))
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
    return average(spread(directions).mean(0)).median() * (180 / math.pi)
