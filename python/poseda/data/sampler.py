"""Random batches, drawn on the device that holds the data."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from poseda.data.poseset import PoseSet


class Batch(NamedTuple):
    """Rows of a pose set."""

    rows: Tensor  #: (B,)
    pose2d: Tensor  #: (B, J, 2) screen-normalised
    intrinsics: Tensor  #: (B, 4) screen-normalised
    pose3d: Tensor | None  #: (B, J, 3) camera frame, metres


class Sampler:
    """Draws rows uniformly with replacement, so that sets of any size pair up at random and anew
    in each batch (the shuffled pairing of PoseDA, section 3.2)."""

    def __init__(self, poses: PoseSet, random: torch.Generator) -> None:
        self.poses = poses
        self.random = random

    def __call__(self, size: int) -> Batch:
        poses = self.poses
        rows = torch.randint(len(poses), (size,), generator=self.random, device=poses.pose2d.device)
        pose3d = None if poses.pose3d is None else poses.pose3d[rows]
        return Batch(rows, poses.pose2d[rows], poses.intrinsics[rows], pose3d)

    def with_pose3d(self, size: int) -> tuple[Batch, Tensor]:
        """A batch and its 3D poses, of a set that has them."""
        batch = self(size)
        if batch.pose3d is None:
            raise ValueError(f"{self.poses.name}: has no pose3d, expected 3D labels")
        return batch, batch.pose3d
