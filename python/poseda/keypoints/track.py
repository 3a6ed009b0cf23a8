"""Who is who from frame to frame, where a file does not say it.

People of a frame and people seen before are paired greedily, the nearest first. The distance of two
is that of the joints seen in both, on average, over the size of the larger of their boxes (the mean
of width and height). Above `MAX_DISTANCE`, or after a gap of more than `max_gap` frames, it is
somebody new. No appearance, no motion model: who passes behind another may take their place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MAX_DISTANCE = 0.4  #: of the size of the larger box
_CHUNK = 200_000  # pairs


def track(points: Array, seen: Array, frame: Array, max_gap: int) -> Array:
    """Numbers of the people, from 0 in the order in which they appear.

    Args:
        points: (M, J, 2) pixels.
        seen: (M, J) which joints were seen.
        frame: (M,) integers, not decreasing.
        max_gap: frames after which somebody who comes back is somebody new.

    Returns:
        (M,) int64; no number twice in a frame.
    """
    starts = np.flatnonzero(np.diff(frame, prepend=frame[:1] - 1))
    ends = np.append(starts[1:], len(frame))
    size = _sizes(points, seen)
    near = _neighbours(points, seen, size, frame, starts, ends, max_gap)
    number = np.full(len(frame), -1, dtype=np.int64)
    last: dict[int, int] = {}  # person to the row in which they were seen last
    count = 0
    for group, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        pairs = [(gap, int(number[before]), row) for gap, before, row in near[group]]
        for person, before in list(last.items()):
            if frame[start] - frame[before] > max_gap:
                del last[person]
            elif before < starts[group - 1]:  # not seen in the frame before
                rows = np.arange(start, end)
                gaps = _distances(points, seen, size, np.full(len(rows), before), rows)
                pairs += [(gap, person, start + place) for place, gap in enumerate(gaps.tolist())]
        taken: set[int] = set()
        for gap, person, row in sorted(pairs):
            if gap > MAX_DISTANCE:
                break
            if number[row] < 0 and person not in taken:
                number[row] = person
                taken.add(person)
        for row in range(start, end):
            if number[row] < 0:
                number[row] = count
                count += 1
            last[int(number[row])] = row
    return number


def _neighbours(
    points: Array, seen: Array, size: Array, frame: Array, starts: Array, ends: Array, max_gap: int
) -> list[list[tuple[float, int, int]]]:
    """For each frame (distance, row of the frame before, row), of pairs that are near enough."""
    found: list[list[tuple[float, int, int]]] = [[] for _ in starts]
    if len(starts) < 2:
        return found
    counts = ends - starts
    pairs = counts[:-1] * counts[1:]
    pairs[np.diff(frame[starts]) > max_gap] = 0
    done = 0
    while done < len(pairs):  # so many frames at a time that their pairs fit in memory
        upto = done + max(1, int(np.searchsorted(np.cumsum(pairs[done:]), _CHUNK, "right")))
        group = np.repeat(np.arange(done, upto), pairs[done:upto])
        offset = np.arange(len(group)) - np.repeat(
            np.cumsum(pairs[done:upto]) - pairs[done:upto], pairs[done:upto]
        )
        before = starts[group] + offset // counts[group + 1]
        after = starts[group + 1] + offset % counts[group + 1]
        distance = _distances(points, seen, size, before, after)
        near = distance <= MAX_DISTANCE
        for place, d, a, b in zip(
            group[near].tolist(), distance[near].tolist(), before[near].tolist(),
            after[near].tolist(), strict=True,
        ):  # fmt: skip
            found[place + 1].append((d, a, b))
        done = upto
    return found


def _sizes(points: Array, seen: Array) -> Array:
    """(M,) mean of width and height of the box around the joints that were seen."""
    high = np.where(seen[..., None], points, -np.inf).max(axis=1)
    low = np.where(seen[..., None], points, np.inf).min(axis=1)
    return np.where(seen.any(axis=1), (high - low).mean(axis=1), 0.0)


def _distances(points: Array, seen: Array, size: Array, first: Array, second: Array) -> Array:
    """(K,) distances of the people in two lists of rows; infinite without a common joint."""
    both = seen[first] & seen[second]
    length = np.linalg.norm(points[first] - points[second], axis=-1)
    total = np.where(both, length, 0.0).sum(axis=1)
    count = both.sum(axis=1)
    scale = np.maximum(np.maximum(size[first], size[second]), 1e-9)
    return np.where(count > 0, total / np.maximum(count, 1) / scale, np.inf)
