"""Who follows whom: the frames of one person before one camera, in order, for windows over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]

#: usual steps that may be missing between two frames of a track
MAX_HOLE = 10


class Tracks(NamedTuple):
    """The rows of a pose set as tracks, such that a window around a row is a clamped range.

    A track holds the rows of one clip, camera and subject in the order of `frame`, one slot for
    each step in time, which is the track's usual (median) distance between frames: a file may hold
    every fifth frame. A slot without a frame holds the nearest one, the earlier of two. A hole of
    more than `MAX_HOLE` steps ends a track and begins another.
    """

    order: Tensor  #: (M,) the row in each slot, track after track; M is at most `MAX_HOLE` times N
    place: Tensor  #: (N,) the slot of each row
    first: Tensor  #: (N,) the first slot of each row's track
    last: Tensor  #: (N,) the last one

    def windows(self, rows: Tensor, frames: int, stride: int | Tensor = 1) -> Tensor:
        """The rows around rows, the track's ends repeated. Nothing here waits for the device.

        Args:
            rows: (B,) row numbers.
            frames: T, odd.
            stride: slots from one frame of a window to the next, of all windows or (B,) of each.

        Returns:
            (B, T) row numbers, `rows` in the middle.
        """
        half = frames // 2
        step = torch.arange(-half, half + 1, device=rows.device)
        if isinstance(stride, Tensor):
            stride = stride[:, None]
        place, first, last = (each.index_select(0, rows)[:, None] for each in self[1:])
        at = torch.minimum(torch.maximum(place + stride * step, first), last)
        return self.order.index_select(0, at.flatten()).view_as(at)

    def padded(self, half: int) -> tuple[Tensor, Tensor]:
        """All tracks as one sequence, `half` repeats of its ends before and behind each.

        Returns:
            (L,) row numbers, and (N,) where in the sequence the window around each row begins.
        """
        first, track = self.first.unique(return_inverse=True)
        last = self.last.new_empty(len(first)).scatter_(0, track, self.last)
        length = last - first + 1 + 2 * half
        of = torch.repeat_interleave(length)  # (L,)
        begins = length.cumsum(0) - length
        at = torch.arange(len(of), device=of.device) + (first - half - begins)[of]
        at = torch.minimum(torch.maximum(at, first[of]), last[of])
        return self.order[at], self.place + 2 * half * track


def make_tracks(keys: Sequence[Array], frame: Array, device: torch.device | str = "cpu") -> Tracks:
    """The tracks of N rows.

    Args:
        keys: (N,) each; rows that agree in all of them belong together.
        frame: (N,) integers, the place in time.
        device: where the result lies.
    """
    track = np.zeros(len(frame), dtype=np.int64)
    for key in keys:
        values, code = np.unique(key, return_inverse=True)
        track = np.unique(track * len(values) + code, return_inverse=True)[1]
    rows = np.lexsort((frame, track))
    track, time = track[rows], frame[rows].astype(np.int64)
    # exact also for the furthest frames that 64 bits can name
    gap = (time[1:].view(np.uint64) - time[:-1].view(np.uint64)).astype(np.float64)
    together = track[1:] == track[:-1]
    steps = np.maximum(np.rint(gap / _usual(gap, track[1:], together)), 1)
    ends = ~together | (steps > MAX_HOLE)
    place = np.concatenate(([0], np.where(ends, 1, steps).cumsum())).astype(np.int64)
    opens, closes = np.concatenate(([True], ends)), np.concatenate((ends, [True]))
    number = opens.cumsum() - 1
    by_row = np.empty((3, len(rows)), dtype=np.int64)
    by_row[:, rows] = place, place[opens][number], place[closes][number]
    columns = rows[_nearest(place)], *by_row
    return Tracks(*(torch.from_numpy(column).to(device) for column in columns))


def _usual(gap: Array, track: Array, together: NDArray[np.bool_]) -> Array:
    """(N-1,) the lower median of the gaps above 0 in each row's track; 1 where it has none."""
    inner = together & (gap > 0)
    gaps, tracks = gap[inner], track[inner]
    count = np.bincount(tracks, minlength=int(track.max(initial=0)) + 1)
    middle = count.cumsum() - count + np.maximum(count - 1, 0) // 2
    usual = np.ones(len(count))
    usual[count > 0] = gaps[np.lexsort((gaps, tracks))][middle[count > 0]]
    return usual[track]


def _nearest(place: NDArray[np.int64]) -> NDArray[np.int64]:
    """(M,) for every slot up to the last: the number of the nearest of the ascending places."""
    slot = np.arange(place[-1] + 1)
    after = np.searchsorted(place, slot)
    before = np.maximum(after - 1, 0)
    return np.where(place[after] - slot < slot - place[before], after, before)
