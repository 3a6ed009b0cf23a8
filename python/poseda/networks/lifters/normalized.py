"""A lifter whose input is normalised once more: the other rows of PoseDA's Table 5, and AdaptPose's
preparation of Ski-Pose."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from torch import Tensor, nn

from poseda.config import Normalization
from poseda.networks.lifters.inference import frames_of

NORMALIZATIONS: tuple[Normalization, ...] = get_args(Normalization)
#: of a box or a pose in the picture, below which it is not blown up further
MIN_SIZE = 1e-6


def normalize(pose2d: Tensor, how: Normalization) -> Tensor:
    """Screen-normalised poses in another frame; each pose, also each frame of a window, by itself.

    Args:
        pose2d: (..., J, 2) screen-normalised.
        how: ``screen`` leaves them. ``crop`` takes the box around the joints to [-1, 1] across and
            down. ``square-crop`` centres that box and takes its longer side to [-1, 1], so that
            proportions stay. ``root-frobenius`` puts the root at the origin and divides by the
            Frobenius norm.

    Returns:
        (..., J, 2). A pose without size becomes 0.

    Raises:
        ValueError: if there is no such normalisation.
    """
    if how == "screen":
        return pose2d
    if how == "root-frobenius":
        centred = pose2d - pose2d[..., :1, :]
        size = centred.square().sum((-1, -2), keepdim=True).clamp(min=MIN_SIZE**2).sqrt()
        return centred / size
    low, high = pose2d.amin(-2, keepdim=True), pose2d.amax(-2, keepdim=True)  # (..., 1, 2)
    half = (high - low) / 2
    if how == "square-crop":
        half = half.amax(-1, keepdim=True)
    elif how != "crop":
        raise ValueError(
            f"normalization: got {how!r:.60}, expected one of {', '.join(NORMALIZATIONS)}"
        )
    return (pose2d - (high + low) / 2) / half.clamp(min=MIN_SIZE)


class Normalized(nn.Module):
    """A lifter behind `normalize`: from screen-normalised points, as every lifter.

    So whoever trains, adapts, evaluates or exports it needs not know.

    Args:
        lifter: of single frames or of windows.
        how: as of `normalize`.
    """

    def __init__(self, lifter: nn.Module, how: Normalization) -> None:
        super().__init__()
        self.lifter = lifter
        self.normalization = how
        self.frames = frames_of(lifter)
        self.graph_safe = bool(getattr(lifter, "graph_safe", False))

    def forward(self, pose2d: Tensor) -> Tensor:
        return self.lifter(normalize(pose2d, self.normalization))

    @property
    def lift_sequence(self) -> Callable[[Tensor], Tensor] | None:
        """As of the lifter, if it has one."""
        dense: Callable[[Tensor], Tensor] | None = getattr(self.lifter, "lift_sequence", None)
        if dense is None:
            return None
        return lambda pose2d: dense(normalize(pose2d, self.normalization))


def normalization_of(lifter: nn.Module) -> Normalization:
    """How a lifter's input is normalised."""
    return lifter.normalization if isinstance(lifter, Normalized) else "screen"
