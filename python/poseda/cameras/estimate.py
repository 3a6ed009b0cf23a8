"""A camera's focal length from keypoints: where it can be told, and an assumption where it cannot.

People of one size who stand straight tell it to a camera that looks down on them
(`poseda.cameras.standing`). The lifter says who stands straight, no more. **Refused**, with the
reason, is an estimate from fewer than `MIN_BLOCKS` groups of poses (a clip, or 100 poses of it),
from feet that are all seen at one height of the image, of a camera that looks down by less than 18
degrees or up, and one that is uncertain by more than 30 %: then 60 degrees are assumed.

**How good it is.** Focal lengths are in halves of the image's side; 60 degrees are 1.73. The lifter
(VideoPose3D's, width 256, 3,000 steps) was trained on four level cameras of 2.29. Motion is that of
nine other people of the CMU set, 40 to 100 clips of a few seconds for each of 160 cameras of 1.1 to
2.8 that look down by -8 to 45 degrees, with noise of 0.25 % of the side on each keypoint. Of the 50
cameras below 20 degrees none was estimated, of the other 110 there were 51: off by -1 +- 11 % (mean
and standard deviation), at most 27 %, all within the uncertainty that was printed (19 to 30 %). For
the same 51, 60 degrees are off by 28 % (root mean square). With 15 clips three of ten were off by
some 45 %, which draws of so few do not show: hence `MIN_BLOCKS`. Errors are there because people
lean, differ in size, and step on and off the ground. The synthetic humans stay in one place and are
refused.

**What else was tried**, with the same lifter, on the open benchmark's target (three cameras at the
chest | two at the knee | two under the ceiling, all 1.46; all clips):

- `estimate_camera`: refused | refused | 1.40, 1.64.
- The focal length at which lifted bodies, placed by linear least squares, reproject best: 2.6, 1.5,
  2.1 | 4.9, 4.0 | 2.0, 1.9. With true poses 1.46 to 1.49.
- At which back-projected joints keep the most constant bone lengths: 2.7, 2.9, 3.2 | 5.7, over 6 |
  4.1, 1.5; the most equal ones left and right: 2.0, 2.2, 4.2 | 4.8, over 6 | 1.5, 1.4. With true
  poses 1.45 to 1.51.
- At which a foot that stands still in the image stands still in depth: 2.3, 3.0, 6.2 | 2.5, 12.6 |
  2.5, 3.4. With true poses 1.2 to 1.6.
- At which the near side of the body looks larger than the far one by as much as the lifted depths
  say: 1.7, 1.6, 1.3 | 1.4, 1.3 | none, 4.6. That looks good, but from the chest 1.2, 1.7, 2.3, 3.2
  give 1.6, 1.8, 1.9, 2.0: a lifter takes perspective that it does not know for bent limbs. With the
  lifted yaw alone, of bodies drawn upright, they give 1.2, 1.6, 1.8, 2.3, and the benchmark 1.4,
  1.6, 1.2 | 1.1, 1.1 | none, 1.5; but its source, where 2.29 is right, 1.6, 2.2, 1.3, 1.9. That is
  no better than to assume 1.73.

So nothing here tells the focal length of a level camera, as most are. The field of view of a data
sheet, a photo's EXIF or a calibration is better than any of this.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poseda.cameras.camera import ASSUMED_FOV, Camera, parse_camera, parse_image_size
from poseda.cameras.standing import best_focal, fit_profile
from poseda_ext import H36M_16, H36M_17, Skeleton, normalize_points

Array = NDArray[Any]

#: distance foot to neck over its 95th percentile, from where on a lifted person counts as straight
STRAIGHT = 0.9
MAX_POSES = 1500  #: standing poses that are fitted, evenly over all
BLOCK = 100  #: standing poses of a clip that are drawn together
MIN_BLOCKS = 24
MIN_SPREAD = 0.3  #: of where the feet are seen, up and down the image, in sizes of a person
MIN_PITCH = math.radians(18.0)
MODEL_UNCERTAINTY = 0.18  #: what the interval of the draws does not cover, measured
MAX_UNCERTAINTY = 0.3
#: halves of the longer side: fields of view from 127 to 16 degrees
_FOCAL = np.exp(np.linspace(math.log(0.5), math.log(7.0), 28))
_DRAWS = 200


@dataclass(frozen=True)
class Standing:
    """M standing people. Image points in halves of the longer side, from the image's centre.

    Attributes:
        feet: (M, 2) image of the ground between the feet.
        necks: (M, 2) image of the neck.
        block: (M,) number of the block that a pose is drawn with.
    """

    feet: Array
    necks: Array
    block: Array


@dataclass(frozen=True)
class Found:
    """A focal length in halves of the longer side, its relative uncertainty, and the pitch of the
    camera in radians, positive where it looks down."""

    focal: float
    uncertainty: float
    pitch: float


class Estimator(Protocol):
    """`estimate_camera` with a lifter."""

    def __call__(
        self, keypoints: Array, image_size: tuple[int, int], *, seen: Array, clip: Array
    ) -> Camera: ...


def camera_estimator(lifter: Callable[[Tensor], Tensor], skeleton: Skeleton) -> Estimator:
    """`estimate_camera` with this lifter of this skeleton."""

    def estimate(
        keypoints: Array, image_size: tuple[int, int], *, seen: Array, clip: Array
    ) -> Camera:
        return estimate_camera(
            keypoints, lifter, image_size, skeleton=skeleton, seen=seen, clip=clip
        )

    return estimate


def estimate_camera(
    keypoints: Array,
    lifter: Callable[[Tensor], Tensor],
    image_size: str | Sequence[float],
    *,
    skeleton: Skeleton = H36M_16,
    seen: Array | None = None,
    clip: Array | None = None,
) -> Camera:
    """The camera that took keypoints, where they tell; otherwise the assumption, which says why.

    Args:
        keypoints: (N, J, 2) pixels without lens distortion, of `skeleton` or of `H36M_17`; finite.
        lifter: maps (N, J, 2) screen-normalised points to (N, J, 3) metres.
        image_size: width, height in pixels, or a text such as ``1920x1080``.
        skeleton: the lifter's J joints, by Human3.6M's names.
        seen: (N, J) which joints were seen; all, if None. Feet and Thorax have to be.
        clip: (N,) one person in one video, frame by frame; all one, if None.

    Returns:
        A camera with square pixels and the centre in the middle; `Camera.lines` says what was
        found and how uncertain it is.

    Raises:
        ValueError: if a shape does not fit.
    """
    size = parse_image_size(image_size)
    points, seen, clip = _checked(keypoints, skeleton, seen, clip)
    standing = _standing(points, seen, clip, lifter, size, skeleton)
    found = find_focal(standing) if isinstance(standing, Standing) else standing
    if isinstance(found, str):
        assumed = parse_camera(None, size)
        origin = (
            f"assumed: {ASSUMED_FOV:g} degrees across the longer side, since the keypoints do not "
            f"tell: {found}"
        )
        return dataclasses.replace(assumed, origin=origin)
    focal = found.focal * max(size) / 2
    return Camera(
        (focal, focal, size[0] / 2, size[1] / 2),
        size,
        origin=(
            f"estimated from {len(standing.feet):,} standing poses, "  # type: ignore[union-attr]
            f"seen {math.degrees(found.pitch):.0f} degrees from above"
        ),
        relative_uncertainty=found.uncertainty,
    )


def find_focal(standing: Standing) -> Found | str:
    """The focal length that standing people tell, or why they do not."""
    blocks = np.unique(standing.block, return_inverse=True)[1]
    count = int(blocks.max()) + 1
    if count < MIN_BLOCKS:
        return f"{count} groups of standing poses, at least {MIN_BLOCKS} are needed"
    size = np.median(np.linalg.norm(standing.necks - standing.feet, axis=-1))
    low, high = np.percentile(standing.feet[:, 1], (5, 95))
    if high - low < MIN_SPREAD * size:
        return "all feet are seen at about the same height of the image"
    profile = fit_profile(standing.feet, standing.necks, _FOCAL)
    by_block = np.stack([np.bincount(blocks, cost, count) for cost in profile.cost])
    focal = float(best_focal(_FOCAL, by_block.sum(1)))
    if math.isnan(focal):
        return "any focal length fits, as where the camera looks level"
    pitch = float(np.interp(math.log(focal), np.log(_FOCAL), profile.pitch))
    if pitch < MIN_PITCH:
        where = "up" if pitch < 0 else "down"
        return (
            f"the camera looks {where} by some {abs(math.degrees(pitch)):.0f} degrees, and people "
            f"show its focal length where it looks down by {math.degrees(MIN_PITCH):.0f} or more"
        )
    uncertainty = math.hypot(_interval(by_block), MODEL_UNCERTAINTY)
    if not uncertainty <= MAX_UNCERTAINTY:
        return f"the estimate would be uncertain by more than {MAX_UNCERTAINTY:.0%}"
    return Found(focal, uncertainty, pitch)


def _interval(by_block: Array) -> float:
    """Half the interval that holds nine in ten logarithms of focal lengths, over draws of blocks
    with replacement. The fits stay: only their costs are drawn. Infinity where draws find none."""
    count = by_block.shape[1]
    rng = np.random.default_rng(0)
    draws = rng.multinomial(count, np.full(count, 1 / count), size=_DRAWS)
    found = best_focal(_FOCAL, by_block @ draws.T)
    if np.isnan(found).mean() > 0.05:
        return math.inf
    low, high = np.nanpercentile(np.log(found), (5, 95))
    return float(high - low) / 2


def _standing(
    points: Array,
    seen: Array,
    clip: Array,
    lifter: Callable[[Tensor], Tensor],
    size: tuple[int, int],
    skeleton: Skeleton,
) -> Standing | str:
    """Those who stand straight by their lifted poses, and head up in the image."""
    right, left, neck = (skeleton.names.index(name) for name in ("RFoot", "LFoot", "Thorax"))
    points, clip = (each[seen[:, [right, left, neck]].all(1)] for each in (points, clip))
    if not len(points):
        return "no pose with both feet and Thorax seen"
    screen = normalize_points(torch.from_numpy(points).float(), torch.tensor(size))
    with torch.no_grad():
        pose3d = lifter(screen).detach().cpu().double().numpy()
    centred = (points - np.asarray(size) / 2) / (max(size) / 2)
    feet = (centred[:, right] + centred[:, left]) / 2
    necks = centred[:, neck]
    length = np.linalg.norm(pose3d[:, neck] - (pose3d[:, right] + pose3d[:, left]) / 2, axis=-1)
    straight = length >= STRAIGHT * np.percentile(length, 95)
    head_up = necks[:, 1] < np.minimum(centred[:, right, 1], centred[:, left, 1])
    rows = np.flatnonzero(straight & head_up)
    if not len(rows):
        return "nobody stands"
    block = _blocks(clip[rows])
    even = np.linspace(0, len(rows) - 1, min(len(rows), MAX_POSES)).astype(np.int64)
    rows, block = rows[even], block[even]
    return Standing(feet[rows], necks[rows], block)


def _blocks(clip: Array) -> Array:
    """(M,) numbers: at most `BLOCK` rows of one clip in a row each."""
    starts = np.flatnonzero(np.concatenate(([True], clip[1:] != clip[:-1])))
    lengths = np.diff(np.append(starts, len(clip)))
    within = np.arange(len(clip)) - np.repeat(starts, lengths)
    begins = within % BLOCK == 0
    number: Array = np.cumsum(begins) - 1
    return number


def _checked(
    keypoints: Array, skeleton: Skeleton, seen: Array | None, clip: Array | None
) -> tuple[Array, Array, Array]:
    """Points and seen of the lifter's joints, and clips."""
    points = np.asarray(keypoints, dtype=np.float64)
    joints = {each.num_joints: each for each in (H36M_17, skeleton)}
    if points.ndim != 3 or points.shape[1] not in joints or points.shape[2] != 2:
        raise ValueError(
            f"keypoints: got shape {points.shape}, expected (N, {skeleton.num_joints}, 2)"
        )
    seen = np.ones(points.shape[:2], dtype=bool) if seen is None else np.asarray(seen)
    clip = np.zeros(len(points), dtype=np.int64) if clip is None else np.asarray(clip)
    if seen.shape != points.shape[:2] or seen.dtype != np.bool_:
        raise ValueError(
            f"seen: got shape {seen.shape} of {seen.dtype}, expected {points.shape[:2]} of bool"
        )
    if clip.shape != points.shape[:1]:
        raise ValueError(f"clip: got shape {clip.shape}, expected {points.shape[:1]}")
    if not np.isfinite(points[seen]).all():
        raise ValueError("keypoints: got NaN or infinity where seen, expected finite pixels")
    names = joints[points.shape[1]].names
    columns = [names.index(joint) for joint in skeleton.names]
    whole = np.isfinite(points).all((1, 2))
    return points[whole][:, columns], seen[whole][:, columns], clip[whole]
