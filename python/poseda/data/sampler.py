"""Random batches, drawn on the device that holds the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from poseda.data.poseset import PoseSet
from poseda.distributed import own_rows


class Batch(NamedTuple):
    """Rows of a pose set, or windows of T of them each."""

    rows: Tensor  #: (B,) or (B, T)
    pose2d: Tensor  #: (B, J, 2) or (B, T, J, 2) screen-normalised
    intrinsics: Tensor  #: (B, 4) or (B, T, 4) screen-normalised
    pose3d: Tensor | None  #: (B, J, 3) or (B, T, J, 3) camera frame, metres


class Sampler:
    """Draws rows uniformly with replacement, so that sets of any size pair up at random and anew
    in each batch (the shuffled pairing of PoseDA, section 3.2). Of several processes that train
    together each gets its share.

    Args:
        poses: what to draw from.
        random: where the numbers come from; its device is that of the poses.
        frames: T. Above 1 each drawn row is the middle of a window in its own track, whose ends
            are repeated (`PoseSet.windows`).
        strides: of which each window draws one: steps from one of its frames to the next.

    Raises:
        ValueError: if `frames` is not odd, or there is no stride or one below 1.
    """

    def __init__(
        self,
        poses: PoseSet,
        random: torch.Generator,
        frames: int = 1,
        strides: Sequence[int] = (1,),
    ) -> None:
        if frames < 1 or frames % 2 == 0:
            raise ValueError(f"frames: got {frames}, expected an odd number, at least 1")
        if not strides or min(strides) < 1:
            raise ValueError(f"strides: got {tuple(strides)}, expected numbers, at least 1 each")
        self.poses = poses
        self.random = random
        self.frames = frames
        self.device = poses.pose2d.device
        self.strides = torch.tensor(list(strides), device=self.device)
        self.tracks = poses.tracks if frames > 1 else None

    def __call__(self, size: int) -> Batch:
        """All of some rows."""
        poses, rows = self.poses, self.rows(size)
        pose3d = None if poses.pose3d is None else self.pose3d(rows)
        return Batch(rows, self.pose2d(rows), self.intrinsics(rows), pose3d)

    def rows(self, size: int) -> Tensor:
        """Row numbers: (size,), or (size, T) for windows; of several processes each its share."""
        rows = own_rows(self._draw(len(self.poses), size))
        if self.tracks is None:
            return rows
        if len(self.strides) == 1:
            return self.tracks.windows(rows, self.frames, self.strides.expand(len(rows)))
        drawn = own_rows(self._draw(len(self.strides), size))
        return self.tracks.windows(rows, self.frames, self.strides.index_select(0, drawn))

    def _draw(self, below: int, size: int) -> Tensor:
        return torch.randint(below, (size,), generator=self.random, device=self.device)

    def pose2d(self, rows: Tensor) -> Tensor:
        """(..., J, 2) screen-normalised."""
        return select_rows(self.poses.pose2d, rows)

    def seen(self, rows: Tensor) -> Tensor | None:
        """(..., J) which joints of `pose2d` were seen; None where all were."""
        return None if self.poses.seen is None else select_rows(self.poses.seen, rows)

    def intrinsics(self, rows: Tensor) -> Tensor:
        """(..., 4) screen-normalised."""
        return select_rows(self.poses.intrinsics, rows)

    def pose3d(self, rows: Tensor) -> Tensor:
        """(..., J, 3) camera frame, metres, of a set that has them."""
        if self.poses.pose3d is None:
            raise ValueError(f"{self.poses.name}: has no pose3d, expected 3D labels")
        return select_rows(self.poses.pose3d, rows)


def centre(rows: Tensor) -> Tensor:
    """(B,) the rows in the middle of windows (B, T); rows (B,) as they are."""
    return rows if rows.dim() == 1 else rows[:, rows.shape[1] // 2]


def select_rows(values: Tensor, rows: Tensor) -> Tensor:
    """(..., *) the rows (...) of values (N, *)."""
    if rows.dim() == 1:
        return values.index_select(0, rows)
    return values.index_select(0, rows.flatten()).unflatten(0, rows.shape)
