"""What is kept of generated poses, in tensors of fixed size on the device: nothing here waits for
it, so that a step which uses them can be one CUDA graph. Of several processes all hold the same."""

from __future__ import annotations

import torch
from torch import Tensor

from poseda.distributed import all_rows, own_rows, world_size


class FakePool:
    """Shows a critic older fakes too (Shrivastava et al., CVPR 2017): once the pool is full, each
    new fake is swapped for a random one in it with probability one half.

    Args:
        size: fakes in the pool; or those of a batch, where these are more.
        batch: fakes per call, of all processes together.
        features: F.
        random: where all chance comes from.
    """

    def __init__(self, size: int, batch: int, features: int, random: torch.Generator) -> None:
        self.random = random
        self.held = torch.zeros(max(size, batch), features, device=random.device)
        self.count = torch.zeros((), dtype=torch.int64, device=random.device)

    @torch.no_grad()
    def __call__(self, fakes: Tensor) -> Tensor:
        """(B, F) new fakes to those that the critic sees in their place."""
        fakes = all_rows(fakes)
        size, device = len(self.held), self.held.device
        place = self.count + torch.arange(len(fakes), device=device)
        # All slots differ, so that it does not matter which is written first.
        shuffled = torch.rand(size, generator=self.random, device=device).argsort()[: len(fakes)]
        slots = torch.where(self.count == size, shuffled, place % size)
        chance = torch.rand(len(fakes), generator=self.random, device=device) < 0.5
        swapped = ((self.count == size) & chance)[:, None]
        enters = swapped | (place < size)[:, None]
        held = self.held.index_select(0, slots)
        self.held.index_copy_(0, slots, torch.where(enters, fakes, held))
        self.count.add_(len(fakes)).clamp_(max=size)
        return own_rows(torch.where(swapped, held, fakes))

    def state(self) -> list[Tensor]:
        """What a checkpoint must hold; loaded in place."""
        return [self.held, self.count]


class PairStore:
    """The latest augmented pairs that may be trained on; a lifter draws from them at random, with
    replacement.

    Args:
        first: (S, F) what is drawn until there is a pair: S is the size of the store, at least that
            of a batch.
        random: where the draws come from.
    """

    def __init__(self, first: Tensor, random: torch.Generator) -> None:
        self.random = random
        self.held = first
        self.next, self.count = torch.zeros(2, dtype=torch.int64, device=first.device)

    @torch.no_grad()
    def add(self, pairs: Tensor, keep: Tensor) -> None:
        """Takes those of the pairs (B, F) that (B,) says to keep, in the place of the oldest."""
        if world_size() > 1:
            packed = all_rows(torch.cat((pairs, keep[:, None].to(pairs.dtype)), 1))
            pairs, keep = packed[:, :-1], packed[:, -1] > 0
        size = len(self.held)
        kept = keep.cumsum(0)
        # Those to leave out come behind the others, where they change nothing: all slots differ.
        place = torch.where(keep, kept - 1, kept[-1] + (~keep).cumsum(0) - 1)
        slots = (self.next + place) % size
        held = self.held.index_select(0, slots)
        self.held.index_copy_(0, slots, torch.where(keep[:, None], pairs, held))
        self.next.add_(kept[-1]).remainder_(size)
        self.count.add_(kept[-1]).clamp_(max=size)

    def draw(self, size: int) -> Tensor:
        """(size, F) pairs; of several processes each its share."""
        there = torch.where(self.count > 0, self.count, len(self.held))
        chance = torch.rand(size, generator=self.random, device=self.held.device)
        # in double precision, where no product below `there` is rounded up to it
        rows = (chance.double() * there).long()
        return self.held.index_select(0, own_rows(rows))

    def state(self) -> list[Tensor]:
        """What a checkpoint must hold; loaded in place."""
        return [self.held, self.next, self.count]
