"""Lifting many poses, single ones or the frames of tracks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from poseda.data.poseset import PoseSet

#: poses that are lifted at a time
LIFT_BATCH = 4096


def frames_of(lifter: nn.Module) -> int:
    """T, the frames that a lifter looks at, to find the pose of the middle one.

    Raises:
        ValueError: if it is not an odd number, at least 1.
    """
    frames = getattr(lifter, "frames", 1)
    if isinstance(frames, bool) or not isinstance(frames, int) or frames < 1 or frames % 2 == 0:
        raise ValueError(f"lifter: frames: got {frames!r:.60}, expected an odd number, at least 1")
    return frames


def lift(lifter: nn.Module, pose2d: Tensor) -> Tensor:
    """Lifts poses, each for itself, in batches.

    Args:
        lifter: of single frames or of windows. For one of windows a pose stands still.
        pose2d: (N, J, 2) screen-normalised, or (N, T, J, 2) for a lifter of windows.

    Returns:
        (N, J, 3) root-relative metres, on the device of `pose2d`.
    """
    frames = frames_of(lifter)

    def of_rows(part: Tensor) -> Tensor:
        if frames > 1 and part.dim() == 3:
            part = part[:, None].expand(-1, frames, -1, -1)
        return lifter(part)

    with _evaluating(lifter):
        parts = [_away(of_rows, lifter, part) for part in pose2d.split(_batch(frames))]
    return torch.cat(parts) if parts else pose2d.new_zeros(0, pose2d.shape[-2], 3)


def lift_poses(lifter: nn.Module, poses: PoseSet, rows: Tensor | None = None) -> Tensor:
    """Lifts the frames of a set, for a lifter of windows each with those around it in its track
    (`PoseSet.windows`).

    Args:
        lifter: of single frames or of windows.
        poses: N of them.
        rows: (N',) which of them to lift; None: all.

    Returns:
        (N', J, 3) root-relative metres, on the device of `poses`.
    """
    frames = frames_of(lifter)
    if frames == 1 or len(poses) == 0:
        return lift(lifter, poses.pose2d if rows is None else poses.pose2d[rows])
    dense: Callable[[Tensor], Tensor] | None = getattr(lifter, "lift_sequence", None)
    if dense is not None and rows is None:
        return _lift_sequences(lifter, dense, poses, frames)
    if rows is None:
        rows = torch.arange(len(poses), device=poses.pose2d.device)
    with _evaluating(lifter):
        parts = [
            _away(lifter, lifter, poses.pose2d[poses.tracks.windows(part, frames)])
            for part in rows.split(_batch(frames))
        ]
    return torch.cat(parts)


def _lift_sequences(
    lifter: nn.Module, dense: Callable[[Tensor], Tensor], poses: PoseSet, frames: int
) -> Tensor:
    """All tracks one behind the other, their ends repeated, as one sequence. Windows that lie on
    two tracks are lifted too, and left out."""
    rows, begins = poses.tracks.padded(frames // 2)
    with _evaluating(lifter):
        parts = [
            _away(dense, lifter, poses.pose2d[rows[start : start + LIFT_BATCH + frames - 1]][None])
            for start in range(0, len(rows) - frames + 1, LIFT_BATCH)
        ]
    return torch.cat(parts, 1)[0, begins]


def _batch(frames: int) -> int:
    return max(LIFT_BATCH // frames, 1)


def _away(function: Callable[[Tensor], Tensor], lifter: nn.Module, pose2d: Tensor) -> Tensor:
    """What a function of a lifter makes of poses, on their device."""
    return function(pose2d.to(next(lifter.parameters()).device)).to(pose2d.device)


@contextmanager
def _evaluating(lifter: nn.Module) -> Iterator[None]:
    training = lifter.training
    lifter.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        lifter.train(training)
