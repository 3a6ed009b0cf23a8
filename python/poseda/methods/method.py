"""What a method is to the training loop: a source of 2D-3D pairs that are mixed with the
source's own. Here also the two yardsticks that need no augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from poseda.config import AdaptSettings
from poseda.data.poseset import PoseSet
from poseda.data.sampler import Sampler, centre
from poseda.methods.options import read_options


class Labelled(NamedTuple):
    """Training pairs with true labels."""

    pose2d: Tensor  #: (B, J, 2) screen-normalised; (B, T, J, 2) for a lifter of windows
    pose3d: Tensor  #: (B, J, 3) root-relative, metres; of the middle frame
    seen: Tensor | None = None  #: (B, J) the joints that a lifter is asked for; None: all


class Pairs(NamedTuple):
    """Training pairs for a lifter."""

    pose2d: Tensor  #: (B, J, 2) or (B, T, J, 2) as in `Labelled`
    pose3d: Tensor  #: (B, J, 3) root-relative, metres; of the middle frame
    keep: Tensor  #: (B,) which pairs to train on
    seen: Tensor | None = None  #: (B, J) as in `Labelled`


@dataclass(frozen=True)
class Task:
    """What a method is made for.

    Attributes:
        settings: the method's settings.
        source: labelled training poses.
        target: training poses of the new place; without 3D, but for a yardstick.
        random: where all sampling and noise comes from.
        lifter: the network that is adapted, if there is one already. A method may ask it
            (`poseda.networks.lifters.lift`), never change it.
    """

    settings: AdaptSettings
    source: Sampler
    target: Sampler
    random: torch.Generator
    lifter: nn.Module | None = None

    @classmethod
    def over(
        cls,
        settings: AdaptSettings,
        source: PoseSet,
        target: PoseSet,
        random: torch.Generator,
        frames: int = 1,
        lifter: nn.Module | None = None,
        strides: Sequence[int] = (1,),
    ) -> Task:
        """A task over whole sets of poses, sampled as windows of so many frames, the source's with
        one of these strides each."""
        samplers = Sampler(source, random, frames, strides), Sampler(target, random, frames)
        return cls(settings, *samplers, random, lifter)

    def options(self, **defaults: bool | int | float | str) -> dict[str, Any]:
        """The ``--adapt.options name=value`` of a method of the user's own.

        Args:
            defaults: every option that there is, with the value that it has unless given.

        Raises:
            ValueError: if another option is given, or a value of another type.
        """
        return read_options(self.settings.options, defaults)


class Method(Protocol):
    """One way to adapt a lifter, made from a `Task`.

    A method may have the attribute ``graph_safe``: False keeps `pairs` out of CUDA graphs, and that
    of a user's own stays out unless it is True, which says that it neither waits for the device nor
    decides anything on the host, and keeps its tensors where they are.

    A method may have the attribute ``least_squares``: True says that its critics, of which it logs
    ``critic_gap`` and ``critic2d_gap``, are least-squares ones (`poseda.training.watch`).

    A method may have the attribute ``passes``. Without it, or where it is 0, its pairs share each
    batch with the source's, B of either. Otherwise they take turns: the steps fall into as many
    passes of equal length, of which the first, third, ... are over batches of 2B pairs of the
    method alone, all to keep, and the others over batches of 2B source pairs. So any method takes
    as many steps, of as many poses.
    """

    #: iterations before the lifter's first step
    warmup: int

    def iterate(self, iteration: int) -> dict[str, Tensor]:
        """Whatever is learned beside the lifter, once; returns device scalars worth a log."""
        ...

    def describe(self) -> dict[str, Tensor]:
        """Tensors whose means are worth a log; asked for only when one is written."""
        ...

    def pairs(self) -> Pairs:
        """The half of a training batch that is mixed with the source; a whole batch of 2B where
        there are `passes`."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def labelled_pairs(sampler: Sampler, size: int) -> Labelled:
    """2D and root-relative 3D poses as the data set holds them; of a sampler of windows the 2D of
    all frames, and the 3D pose and the seen joints of the middle one."""
    return labelled_rows(sampler, sampler.rows(size))


def labelled_rows(sampler: Sampler, rows: Tensor) -> Labelled:
    """`labelled_pairs` of given rows."""
    middle = centre(rows)
    pose3d = sampler.pose3d(middle)
    return Labelled(sampler.pose2d(rows), pose3d - pose3d[:, :1], sampler.seen(middle))


def chosen(first: Tensor, one: Labelled | Pairs, other: Labelled | Pairs) -> Labelled:
    """Of each two pairs one.

    Args:
        first: (B,) where to take that of the first.
        one: B pairs.
        other: B pairs.
    """
    seen = None
    if one.seen is not None or other.seen is not None:
        everything = torch.ones_like(one.pose3d[..., 0], dtype=torch.bool)
        this, that = (everything if part.seen is None else part.seen for part in (one, other))
        seen = torch.where(first[:, None], this, that)
    return Labelled(
        torch.where(first.view(-1, *(1,) * (one.pose2d.dim() - 1)), one.pose2d, other.pose2d),
        torch.where(first[:, None, None], one.pose3d, other.pose3d),
        seen,
    )


class LabelledPairs:
    """The yardsticks. Over the source this is the **control**: as many more steps without any
    adaptation. Over the target's own 3D it is the **oracle**, which no real target allows."""

    warmup = 0

    def __init__(self, sampler: Sampler, batch: int) -> None:
        self.sampler = sampler
        self.batch = batch

    def iterate(self, iteration: int) -> dict[str, Tensor]:
        return {}

    def describe(self) -> dict[str, Tensor]:
        return {}

    def pairs(self) -> Pairs:
        pose2d, pose3d, seen = labelled_pairs(self.sampler, self.batch)
        return Pairs(pose2d, pose3d, torch.ones_like(pose3d[:, 0, 0], dtype=torch.bool), seen)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
