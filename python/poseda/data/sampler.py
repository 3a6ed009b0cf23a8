"""Random batches, drawn on the device that holds the data."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from poseda.data.poseset import PoseSet
from poseda.distributed import own_rows


class Batch(NamedTuple):
    """Rows of a pose set."""

    rows: Tensor  #: (B,)
    pose2d: Tensor  #: (B, J, 2) screen-normalised
    intrinsics: Tensor  #: (B, 4) screen-normalised
    pose3d: Tensor | None  #: (B, J, 3) camera frame, metres


class Sampler:
    """Draws rows uniformly with replacement, so that sets of any size pair up at random and anew
    in each batch (the shuffled pairing of PoseDA, section 3.2). Of several processes that train
    together each gets its share."""

    def __init__(self, poses: PoseSet, random: torch.Generator) -> None:
        self.poses = poses
        self.random = random

    def __call__(self, size: int) -> Batch:
        """All of some rows."""
        poses, rows = self.poses, self.rows(size)
        pose3d = None if poses.pose3d is None else self.pose3d(rows)
        return Batch(rows, self.pose2d(rows), self.intrinsics(rows), pose3d)

    def rows(self, size: int) -> Tensor:
        """Row numbers: (size,), or of several processes each its share of them."""
        device = self.poses.pose2d.device
        rows = torch.randint(len(self.poses), (size,), generator=self.random, device=device)
        return own_rows(rows)

    def pose2d(self, rows: Tensor) -> Tensor:
        """(B, J, 2) screen-normalised."""
        return self.poses.pose2d.index_select(0, rows)

    def seen(self, rows: Tensor) -> Tensor | None:
        """(B, J) which joints of `pose2d` were seen; None where all were."""
        return None if self.poses.seen is None else self.poses.seen.index_select(0, rows)

    def intrinsics(self, rows: Tensor) -> Tensor:
        """(B, 4) screen-normalised."""
        return self.poses.intrinsics.index_select(0, rows)

    def pose3d(self, rows: Tensor) -> Tensor:
        """(B, J, 3) camera frame, metres, of a set that has them."""
        if self.poses.pose3d is None:
            raise ValueError(f"{self.poses.name}: has no pose3d, expected 3D labels")
        return self.poses.pose3d.index_select(0, rows)
