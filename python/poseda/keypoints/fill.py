"""Places for joints that were not seen, so that every number is finite.

A place that is filled is a guess: the joint's confidence stays below the threshold, and training
leaves it out. Two rules, in this order:

1. In time: between the nearest frames before and after in which the joint of that person was seen,
   in a straight line, if those are at most half a second apart (`MAX_GAP_SECONDS`; `MAX_GAP_FRAMES`
   where the frame rate is unknown).
2. From the body, from the trunk outwards (`from_body`):

   - Hip and Thorax: midway between hips or shoulders, or the place of the one that was seen;
   - Spine: midway between Hip and Thorax; Neck/Nose, and without it Head, goes on from there;
   - a limb's joint takes the bone of the other side, if that was seen: the same vector for arms and
     legs, the opposite one for hips and shoulders;
   - otherwise a knee or an elbow hangs down along the trunk, and a foot or a wrist continues the
     bone above. Lengths are those of an average adult (`LENGTHS`), in torsos.

A person of whom neither hip, or neither shoulder, or fewer than `MIN_JOINTS` of the 17 joints were
seen (or filled in time) is left out of that frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]

MAX_GAP_SECONDS = 0.5
MAX_GAP_FRAMES = 10
MIN_JOINTS = 9

#: Bone lengths in distances from Hip to Thorax, after Drillis and Contini (1966)
LENGTHS = {
    "Neck/Nose": 0.22, "Head": 0.45, "Hip": 0.26, "Knee": 0.87, "Foot": 0.88, "Shoulder": 0.33,
    "Elbow": 0.59, "Wrist": 0.52,
}  # fmt: skip

_JOINT = {name: number for number, name in enumerate(H36M_17.names)}


def max_gap(fps: float) -> int:
    """Frames from one sight of a joint to the next between which places are filled in."""
    return max(1, int(MAX_GAP_SECONDS * fps)) if fps > 0 else MAX_GAP_FRAMES


def fill_in_time(points: Array, seen: Array, clip: Array, frame: Array, gap: Array) -> Array:
    """Fills joints between two sights of them, in place.

    Args:
        points: (N, J, 2), rows in order of clip and frame.
        seen: (N, J).
        clip: (N,) one person in one video.
        frame: (N,) frame in the clip.
        gap: (N,) largest distance in frames of the two sights.

    Returns:
        (N, J) the joints that have been filled.
    """
    count = len(points)
    filled = np.zeros(seen.shape, dtype=bool)
    if not count:
        return filled
    rows = np.arange(count)
    for joint in range(points.shape[1]):
        here = seen[:, joint]
        before = np.maximum.accumulate(np.where(here, rows, -1))
        after = np.minimum.accumulate(np.where(here, rows, count)[::-1])[::-1]
        inside = ~here & (before >= 0) & (after < count)
        row = np.flatnonzero(inside)
        low, high = before[row], after[row]
        near = (
            (clip[low] == clip[row])
            & (clip[high] == clip[row])
            & (frame[high] - frame[low] <= gap[row])
        )
        row, low, high = row[near], low[near], high[near]
        share = ((frame[row] - frame[low]) / (frame[high] - frame[low]))[:, None]
        points[row, joint] = (1 - share) * points[low, joint] + share * points[high, joint]
        filled[row, joint] = True
    return filled


def complete(known: Array) -> Array:
    """(N,) whether enough joints are known, (N, J), to fill in the others from the body."""

    def any_of(*names: str) -> Array:
        return np.logical_or.reduce([known[:, _JOINT[name]] for name in names])

    enough = known.sum(axis=1) >= MIN_JOINTS
    return np.logical_and.reduce([any_of("RHip", "LHip"), any_of("RShoulder", "LShoulder"), enough])


def from_body(points: Array, known: Array) -> Array:
    """All joints, from those that are known.

    Args:
        points: (N, 17, 2) pixels.
        known: (N, 17); `complete` must hold for each row.

    Returns:
        (N, 17, 2), finite everywhere, the known joints unchanged.
    """
    points = np.where(known[..., None], points, 0.0)
    at = {name: points[:, number] for name, number in _JOINT.items()}  # views
    has = {name: known[:, number].copy() for name, number in _JOINT.items()}
    found = {name: known[:, number].copy() for name, number in _JOINT.items()}

    def put(name: str, where: Array, value: Array) -> None:
        """Fills a joint in the rows `where` in which it has no place yet."""
        rows = where & ~found[name]
        at[name][rows] = value[rows]
        found[name] |= rows

    everywhere = np.ones(len(points), dtype=bool)
    for middle, part in (("Hip", "Hip"), ("Thorax", "Shoulder")):
        right, left = f"R{part}", f"L{part}"
        put(middle, has[right] & has[left], (at[right] + at[left]) / 2)
        put(middle, has[right], at[right])
        put(middle, has[left], at[left])
    trunk = at["Thorax"] - at["Hip"]
    put("Spine", everywhere, (at["Hip"] + at["Thorax"]) / 2)
    put("Neck/Nose", has["Head"], (at["Thorax"] + at["Head"]) / 2)
    put("Neck/Nose", everywhere, at["Thorax"] + LENGTHS["Neck/Nose"] * trunk)
    put("Head", has["Neck/Nose"], 2 * at["Neck/Nose"] - at["Thorax"])
    put("Head", everywhere, at["Thorax"] + LENGTHS["Head"] * trunk)
    for chain, opposite in (
        (("Hip", "Hip"), True), (("Hip", "Knee"), False), (("Knee", "Foot"), False),
        (("Thorax", "Shoulder"), True), (("Shoulder", "Elbow"), False), (("Elbow", "Wrist"), False),
    ):  # fmt: skip
        for side, other in (("R", "L"), ("L", "R")):
            _limb(side, other, chain, opposite, at, has, trunk, put)
    return points


def _limb(
    side: str,
    other: str,
    chain: tuple[str, str],
    opposite: bool,
    at: dict[str, Array],
    has: dict[str, Array],
    trunk: Array,
    put: Any,
) -> None:
    """One joint of a limb, from the bone of the other side or the bone above."""
    above, name = chain
    parent, twin_parent = (above, above) if opposite else (f"{side}{above}", f"{other}{above}")
    twin = f"{other}{name}"
    bone = at[twin] - at[twin_parent]
    there = has[twin] if opposite else has[twin] & has[twin_parent]
    put(f"{side}{name}", there, at[parent] + (-bone if opposite else bone))
    everywhere = np.ones(len(trunk), dtype=bool)
    if opposite:  # unreachable for complete bodies: one of the two was seen
        put(f"{side}{name}", everywhere, at[parent])
    elif name in ("Knee", "Elbow"):
        put(f"{side}{name}", everywhere, at[parent] - LENGTHS[name] * trunk)
    else:
        grand = {"Knee": "Hip", "Elbow": "Shoulder"}[above]
        ratio = LENGTHS[name] / LENGTHS[above]
        put(f"{side}{name}", everywhere, at[parent] + ratio * (at[parent] - at[f"{side}{grand}"]))
