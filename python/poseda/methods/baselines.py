"""Augmentation without learning, under global position alignment: the rows of PoseDA's Table 6."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from poseda.data.sampler import centre
from poseda.distributed import own_rows
from poseda.methods.method import Pairs, Task
from poseda.methods.placing import batch_of, placed_pairs
from poseda.methods.viewpoint import up_directions
from poseda.networks.generator import bone_spread


class RandomAugmentation:
    """Source poses turned about the vertical by any angle (**RR**), with random bone lengths
    (**BL**), or both, placed by global position alignment.

    Bone lengths change by U(0.8, 1.2), or as far as PoseDA's may, for each group of bones that its
    generator scales: left and right alike, the upper torso never. The paper says no more than
    "random bone length transformation"; so learned and random lengths have the same range.

    Args:
        task: settings, source and target.
        rotation: whether the body turns.
        lengths: whether bones change.

    Raises:
        ValueError: if the source has no 3D.
    """

    warmup = 0

    def __init__(self, task: Task, *, rotation: bool, lengths: bool) -> None:
        self.settings, self.random = task.settings, task.random
        self.source, self.target = task.source, task.target
        poses = task.source.poses
        self.up = up_directions(poses) if rotation else None
        spread = bone_spread(poses.skeleton, task.settings.poseda.max_bone_scale)
        self.spread = spread.to(task.source.device) if lengths else None

    def iterate(self, iteration: int) -> dict[str, Tensor]:
        return {}

    def describe(self) -> dict[str, Tensor]:
        return {}

    def pairs(self) -> Pairs:
        rows = self.source.rows(self.settings.batch)
        bone_scale = rotation = None
        if self.up is not None:
            angle = math.pi * self._uniform(rows, 1)
            rotation = angle * self.up.index_select(0, centre(rows))
        if self.spread is not None:
            bone_scale = self._uniform(rows, len(self.spread)) @ self.spread
        return placed_pairs(
            self.source,
            self.target,
            rows,
            self.source.pose3d(rows),
            bone_scale=bone_scale,
            rotation=rotation,
        )

    def _uniform(self, rows: Tensor, count: int) -> Tensor:
        """(B, count) numbers from -1 to 1."""
        drawn = torch.empty(batch_of(rows), count, device=rows.device)
        return own_rows(drawn.uniform_(-1, 1, generator=self.random))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
