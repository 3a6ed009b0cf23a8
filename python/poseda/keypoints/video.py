"""One video: from what its file has to people and joints of Human3.6M, nothing filled in yet."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.keypoints.detections import Detections
from poseda.keypoints.fill import max_gap
from poseda.keypoints.maps import JointSet
from poseda.keypoints.pixels import clean, hide_outside, joint_set, to_pixels
from poseda.keypoints.track import track

Array = NDArray[Any]
Size = tuple[float, float]


@dataclass(frozen=True)
class Settings:
    """What a user says of all files.

    Attributes:
        min_confidence: a joint of lower confidence counts as not seen.
        joints: name of the joint set, or None where the files decide.
        image_size: width, height in pixels, or None where the files say it.
        fps: frames per second, or None where the files say it.
        max_people: keep those people who are in most frames; None keeps all.
    """

    min_confidence: float
    joints: str | None = None
    image_size: Size | None = None
    fps: float | None = None
    max_people: int | None = None


@dataclass(frozen=True)
class Video:
    """M people in frames, in order of person and frame.

    Attributes:
        found: what the file has.
        joints: its joints.
        points: (M, 17, 2) pixels.
        confidence: (M, 17), 0 ... 1.
        frame: (M,) integers.
        number: (M,) which person.
        people: names of the people.
        image_size: width, height, or None where nobody says it.
        fps: frames per second, or 0.
        counts: what was left out or changed, and how often.
    """

    found: Detections
    joints: JointSet
    points: Array
    confidence: Array
    frame: Array
    number: Array
    people: list[str]
    image_size: Size | None
    fps: float
    counts: Counter[str]


def make_video(found: Detections, settings: Settings) -> Video:
    """Maps the joints and tells people apart.

    Raises:
        ValueError: if the file holds what no detector can mean, or nobody; names file and place.
    """
    least, size = settings.min_confidence, _size(found, settings)
    fps = found.fps if settings.fps is None else settings.fps
    points, confidence, clipped = clean(found)
    seen = confidence >= least
    if not seen.any():
        raise _nobody_seen(found, least)
    points, scaled = to_pixels(points, seen, found, size)
    joints = joint_set(points, seen, found, settings.joints)
    points, confidence = joints.apply(points, confidence, least)
    outside = 0 if size is None else hide_outside(points, confidence, found, size, least)
    seen = confidence >= least
    rows = np.flatnonzero(seen.any(axis=1))
    if not len(rows):
        raise _nobody_seen(found, least)
    counts = Counter(
        clipped=clipped, scaled=int(scaled), outside=outside, nobody=len(points) - len(rows)
    )
    number, people = _people(points, seen, found, rows, max_gap(fps))
    if settings.max_people is not None:
        kept = _most_seen(number, settings.max_people)
        counts["people"] = len(np.unique(number[~kept]))
        rows, number = rows[kept], number[kept]
    order = np.lexsort((found.frame[rows], number))
    rows, number = rows[order], number[order]
    return Video(
        found, joints, points[rows], confidence[rows], found.frame[rows], number, people, size, fps,
        counts,
    )  # fmt: skip


def _size(found: Detections, settings: Settings) -> Size | None:
    stated = settings.image_size
    if stated is not None and found.image_size not in (None, stated):
        width, height = found.image_size or stated
        raise ValueError(
            f"image_size: got {stated[0]:g} x {stated[1]:g}, expected {width:g} x {height:g} as "
            f"{found.where} says"
        )
    return found.image_size or stated


def _nobody_seen(found: Detections, least: float) -> ValueError:
    return ValueError(
        f"{found.where}: got no joint with a confidence of {least:g} or more, expected people's "
        "hips, shoulders and limbs; is min_confidence too high for this detector?"
    )


def _people(
    points: Array, seen: Array, found: Detections, rows: Array, gap: int
) -> tuple[Array, list[str]]:
    """Who is in some rows: numbers, and the people's names.

    Raises:
        ValueError: if somebody is twice in a frame, or their frames are not in order.
    """
    frame = found.frame[rows]
    if found.person is None:
        if found.ordered and (np.diff(frame) < 0).any():
            _refuse_order(found, int(frame[int((np.diff(frame) < 0).argmax()) + 1]))
        order = np.argsort(frame, kind="stable")
        number = np.empty(len(rows), dtype=np.int64)
        number[order] = track(points[rows[order]], seen[rows[order]], frame[order], gap)
        return number, [f"{found.name}/{each + 1}" for each in range(int(number.max()) + 1)]
    names, first, which = np.unique(found.person[rows], return_index=True, return_inverse=True)
    appearance = np.argsort(first)
    number = np.argsort(appearance)[which]
    names = names[appearance]
    order = np.argsort(number, kind="stable")
    back = (np.diff(number[order]) == 0) & (np.diff(frame[order]) < 0)
    if found.ordered and back.any():
        row = order[int(back.argmax()) + 1]
        _refuse_order(found, int(frame[row]), f" of person {names[number[row]]}")
    order = np.lexsort((frame, number))
    twice = (np.diff(number[order]) == 0) & (np.diff(frame[order]) == 0)
    if twice.any():
        row = order[int(twice.argmax())]
        raise ValueError(
            f"{found.where}: frame {frame[row]}: got person {names[number[row]]} more than once "
            f"({int(twice.sum())} such), expected each person once in a frame"
        )
    return number, [name if found.shared else f"{found.name}/{name}" for name in map(str, names)]


def _refuse_order(found: Detections, frame: int, whose: str = "") -> None:
    raise ValueError(
        f"{found.where}: frame {frame}: got it after a later frame{whose}, expected frames "
        "in order; is more than one video in it?"
    )


def _most_seen(number: Array, count: int) -> Array:
    """(M,) rows of those people who are in most frames; of equals, who comes first."""
    frames = np.bincount(number)
    kept = np.argsort(-frames, kind="stable")[:count]
    return np.isin(number, kept)
