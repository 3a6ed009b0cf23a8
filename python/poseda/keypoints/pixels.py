"""From a video's detections to pixels of Human3.6M's joints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.keypoints.detections import Detections
from poseda.keypoints.maps import JOINT_SETS, JointSet

Array = NDArray[Any]

MAX_PIXEL = 1e5  #: larger coordinates are no pixels of an image
MAX_FRACTION = 4.0  #: coordinates that are all smaller are no pixels
MAX_CONFIDENCE = 10.0  #: of single joints; a little above 1 is clipped, more is another unit
MAX_OUTSIDE = 0.2  #: of the joints, beyond which the image size must be wrong
MAX_FRACTION_OUTSIDE = 0.5  #: image sizes outside the image that a joint is believed

# Anatomy in sizes of the person's box, median over the people (`_guess`).
_FACE_SIZE = 0.3  # five joints of the face lie in less
_MIDDLE = 0.08  # Human3.6M's Hip and Thorax lie that near to the middle of hips and shoulders


def clean(found: Detections) -> tuple[Array, Array, int]:
    """Points, confidence, and how many confidences were outside [0, 1].

    NaN and (0, 0) become confidence 0, and the point (0, 0).

    Raises:
        ValueError: if a coordinate or a confidence cannot be one; names file and frame.
    """
    points, confidence = found.points.copy(), found.confidence.copy()
    missing = np.isnan(points).any(-1) | np.isnan(confidence) | (points == 0).all(-1)
    points[missing] = 0.0
    confidence[missing] = 0.0
    far = ~(np.abs(points) <= MAX_PIXEL).all(-1)
    if far.any():
        row, joint = (int(each) for each in np.argwhere(far)[0])
        x, y = points[row, joint]
        raise ValueError(
            f"{found.where}: frame {found.frame[row]}: joint {joint}: got {x:g}, {y:g} "
            f"({int(far.sum())} such joints), expected pixels below {MAX_PIXEL:,.0f}"
        )
    wrong = ~(np.abs(confidence) <= MAX_CONFIDENCE)
    if wrong.any():
        row, joint = (int(each) for each in np.argwhere(wrong)[0])
        raise ValueError(
            f"{found.where}: frame {found.frame[row]}: joint {joint}: got confidence "
            f"{confidence[row, joint]:g}, expected 0 to 1"
        )
    outside = (confidence < 0) | (confidence > 1)
    return points, np.clip(confidence, 0.0, 1.0), int(outside.sum())


def to_pixels(
    points: Array, seen: Array, found: Detections, size: tuple[float, float] | None
) -> tuple[Array, bool]:
    """Points in pixels, and whether they had been fractions of the image.

    Raises:
        ValueError: if they are fractions and `size` is not known, or neither fractions nor pixels.
    """
    used = points[seen]
    if not len(used):
        return points, False
    largest = float(np.abs(used).max())
    if not found.fractions and largest > MAX_FRACTION:
        return points, False
    typical = np.median(used, axis=0)
    if found.fractions and (np.abs(typical) > MAX_FRACTION).any():
        raise ValueError(
            f"{found.where}: got landmarks at {typical[0]:g}, {typical[1]:g} (median), expected "
            "fractions of the image, 0 to 1; are they pixels?"
        )
    low = float(np.quantile(used, 0.05))
    if low < -0.1 and not found.fractions:
        raise ValueError(
            f"{found.where}: got coordinates from {used.min():.3g} to {used.max():.3g}, which look "
            "normalised to [-1, 1]; expected pixels, or fractions of the image, 0 to 1"
        )
    if size is None:
        raise ValueError(
            f"{found.where}: got coordinates from {used.min():.3g} to {used.max():.3g}, which are "
            "fractions of the image; expected image_size (width, height) with them"
        )
    return points * np.asarray(size), True


def hide_outside(
    points: Array, confidence: Array, found: Detections, size: tuple[float, float], least: float
) -> int:
    """Sets the confidence of joints far outside the image to 0; returns their number.

    Raises:
        ValueError: if so many seen joints lie outside that the image size must be wrong.
    """
    seen = confidence >= least
    wide = np.asarray(size)
    outside = ((points < 0) | (points > wide)).any(-1) & seen
    share = outside.sum() / max(1, int(seen.sum()))
    if share > MAX_OUTSIDE:
        used = points[seen]
        raise ValueError(
            f"{found.where}: got {share:.0%} of the joints outside the image of "
            f"{size[0]:g} x {size[1]:g} pixels (x up to {used[:, 0].max():g}, y up to "
            f"{used[:, 1].max():g}), expected at most {MAX_OUTSIDE:.0%}; is image_size width, "
            "height of the video?"
        )
    border = MAX_FRACTION_OUTSIDE * wide
    far = ((points < -border) | (points > wide + border)).any(-1) & (confidence > 0)
    confidence[far] = 0.0
    return int(far.sum())


def joint_set(points: Array, seen: Array, found: Detections, forced: str | None) -> JointSet:
    """The joints of the file: as forced, as the file says, by their number, or by anatomy.

    Raises:
        ValueError: if the number of joints fits none, or the anatomy neither of two.
    """
    count = points.shape[1]
    name = forced or found.joints
    if name is not None:
        if name not in JOINT_SETS:
            raise ValueError(
                f"{found.where}: got joint set {name!r:.60}, expected one of "
                f"{', '.join(JOINT_SETS)}"
            )
        expected = len(JOINT_SETS[name].joints)
        if expected != count:
            raise ValueError(f"{found.where}: got {count} joints, expected {expected} as {name}")
        return JOINT_SETS[name]
    fits = [each for each in JOINT_SETS.values() if len(each.joints) == count]
    if not fits:
        known = ", ".join(f"{len(each.joints)} ({each.name})" for each in JOINT_SETS.values())
        raise ValueError(f"{found.where}: got {count} joints, expected one of {known}")
    if count not in (16, 17):
        return fits[0]
    return JOINT_SETS[_guess(points, seen, found, [each.name for each in fits])]


def _guess(points: Array, seen: Array, found: Detections, fits: Sequence[str]) -> str:
    """Tells sets of 16 and 17 joints apart by anatomy."""
    arm = (11, 14) if points.shape[1] == 17 else (10, 13)
    high = np.where(seen[..., None], points, -np.inf).max(axis=1)
    low = np.where(seen[..., None], points, np.inf).min(axis=1)
    size = np.maximum((high - low).max(axis=1), 1e-9)

    def median(values: Array, *joints: int) -> float:
        rows = seen[:, joints].all(axis=1) & (seen.sum(axis=1) > 8)
        return float(np.median(values[rows] / size[rows])) if rows.any() else np.inf

    def off_middle(middle: int, right: int, left: int) -> float:
        distance = points[:, middle] - (points[:, right] + points[:, left]) / 2
        return median(np.linalg.norm(distance, axis=-1), middle, right, left)

    is_h36m = off_middle(0, 1, 4) < _MIDDLE and off_middle(8, *arm) < _MIDDLE
    face = points[:, :5]
    extent = median((face.max(axis=1) - face.min(axis=1)).max(axis=1), 0)
    is_coco = "coco_17" in fits and extent < _FACE_SIZE
    if is_h36m == is_coco:
        raise ValueError(
            f"{found.where}: got {points.shape[1]} joints without names, which look like "
            f"{'each' if is_h36m else 'none'} of {', '.join(fits)}; say which with format"
        )
    return "coco_17" if is_coco else next(name for name in fits if name.startswith("h36m"))
