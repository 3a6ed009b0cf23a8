"""Recordings of 17 joints in metres, in time and seen by cameras."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.synthetic.rigs import Camera
from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]

MIN_DEPTH = 0.8  #: metres; a view with a joint nearer than this is left out
#: metres, between which the lowest joint of a recording usually is: an ankle
_GROUND = (-0.1, 0.3)
_ANKLE = 0.07


def resample(poses: Array, fps: float, wanted: float) -> Array:
    """Poses at another frame rate.

    Between two frames the root and the directions of the bones are interpolated, and their lengths,
    so that people do not shrink where they move fast. Frames that are there are taken as they are.

    Args:
        poses: (F, 17, 3).
        fps: frames per second that they have.
        wanted: frames per second.

    Returns:
        (F', 17, 3).

    Raises:
        ValueError: if `wanted` is higher than `fps`.
    """
    if wanted > fps * (1 + 1e-6):
        raise ValueError(f"fps: got {wanted:g}, expected at most the {fps:g} of the recording")
    last = len(poses) - 1
    times = np.arange(int(last * wanted / fps + 1e-6) + 1) * (fps / wanted)
    before = np.minimum(np.floor(times + 1e-6).astype(int), last)
    weight = np.clip(times - before, 0, None)
    weight[weight < 1e-3] = 0
    found: Array = poses[before]
    between = weight > 0
    if between.any():
        found = found.copy()
        found[between] = _blend(poses[before[between]], poses[before[between] + 1], weight[between])
    return found


def _blend(first: Array, second: Array, weight: Array) -> Array:
    """(F, 17, 3) between poses, with bones of lengths in between."""
    share = weight[:, None, None]
    mixed = (1 - share) * first + share * second
    parents = H36M_17.parents
    blended = mixed.copy()
    for joint in range(1, len(parents)):
        bones = [pose[:, joint] - pose[:, parents[joint]] for pose in (first, second, mixed)]
        lengths = [np.linalg.norm(bone, axis=-1) for bone in bones]
        length = (1 - weight) * lengths[0] + weight * lengths[1]
        scale = length / np.maximum(lengths[2], 1e-9)
        blended[:, joint] = blended[:, parents[joint]] + scale[:, None] * bones[2]
    return blended


def centre(poses: Array, place: tuple[float, float]) -> tuple[Array, float]:
    """A recording moved so that the middle of the ground it covers is at `place`.

    Args:
        poses: (F, 17, 3) metres, z up; some without NaN.
        place: (x, y) metres.

    Returns:
        The poses, and by how much they were also lifted because their ground was not at z = 0.
    """
    whole = poses[np.isfinite(poses).all(axis=(1, 2))]
    middle = (whole[:, 0, :2].min(axis=0) + whole[:, 0, :2].max(axis=0)) / 2
    lowest = float(np.percentile(whole[..., 2].min(axis=1), 5))
    lift = 0.0 if _GROUND[0] <= lowest <= _GROUND[1] else _ANKLE - lowest
    return poses + np.asarray([*(np.asarray(place) - middle), lift]), lift


def view(poses: Array, camera: Camera) -> tuple[Array, Array, Array, Counter[str]]:
    """A recording as a camera sees it.

    Args:
        poses: (F, 17, 3) metres in the world.
        camera: which.

    Returns:
        (n,) numbers of the frames that are whole in the image, (n, 17, 3) metres in the camera
        frame, (n, 17, 2) pixels, and how many others were left out for which reason.
    """
    seen = camera.to_camera(poses)
    there = np.isfinite(seen).all(axis=(1, 2))
    near = there & (seen[..., 2] < MIN_DEPTH).any(axis=1)
    clear = there & ~near
    points = np.full((*seen.shape[:2], 2), np.nan)
    points[clear] = camera.project(seen[clear])
    inside = ((points >= 0) & (points <= camera.image_size)).all(axis=(1, 2))
    dropped = Counter(
        {
            "a joint is not there": int((~there).sum()),
            f"a joint is nearer than {MIN_DEPTH:g} m to the camera, or behind it": int(near.sum()),
            "a joint is outside of the image": int((clear & ~inside).sum()),
        }
    )
    frames = np.flatnonzero(inside)
    return frames, seen[frames], points[frames], dropped
