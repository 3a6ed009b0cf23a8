"""Losses that several methods share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

#: Metres: a lifter that is nearly right on a source pose makes no other infinitely hard.
MIN_ERROR = 3e-3


def lsgan_critic(real: Tensor, fake: Tensor) -> Tensor:
    """What a least-squares critic minimises (Mao et al., ICCV 2017; AdaptPose, Eq. 15 and 16): real
    scores go to 1, generated ones to 0.

    Args:
        real: scores of any shape.
        fake: likewise.
    """
    return 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()


def lsgan_generator(fake: Tensor) -> Tensor:
    """What a generator minimises against it (AdaptPose, Eq. 17): its scores go to 1."""
    return 0.5 * (fake - 1).square().mean()


def outside_band(values: Tensor, centre: Tensor | float, width: float) -> Tensor:
    """Squared distances to a centre of those further than `width` from it, 0 of the others."""
    squared = (values - centre).square()
    return squared.where(squared > width**2, 0)


def inside_band(values: Tensor, centre: float, width: float) -> Tensor:
    """Squared distances to a centre of those nearer than `width` to it, 0 of the others."""
    squared = (values - centre).square()
    return squared.where(squared < width**2, 0)


def error_of(predicted: Tensor, pose3d: Tensor) -> Tensor:
    """(...,) a lifter's error per pose, the mean distance over its joints in metres, from
    (..., J, 3) root-relative."""
    return torch.linalg.vector_norm(predicted - pose3d, dim=-1).mean(-1)


def hardness(generated: Tensor, source: Tensor) -> Tensor:
    """How much harder generated poses are for a lifter than what they were made of.

    Args:
        generated: the lifter's errors on them, metres, of any shape.
        source: its errors on their source poses. Those below `MIN_ERROR` count as that.

    Returns:
        The ratios.
    """
    return generated / source.clamp(min=MIN_ERROR)


@contextmanager
def asked(lifter: nn.Module) -> Iterator[None]:
    """Within, a lifter answers as in use: without dropout, and no batch norm learns from what it is
    asked. Gradients may pass through it."""
    training = lifter.training
    lifter.eval()
    try:
        yield
    finally:
        lifter.train(training)
