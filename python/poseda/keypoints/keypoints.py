"""`Keypoints`, and `read_keypoints`, which makes them of the files of people's own detectors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.poseset import MIN_CONFIDENCE
from poseda.keypoints.detections import MAX_FPS, Detections
from poseda.keypoints.files import CONTAINERS, Source, find_files, read_files
from poseda.keypoints.fill import complete, fill_in_time, from_body, max_gap
from poseda.keypoints.maps import JOINT_SETS, JointSet
from poseda.keypoints.prepare import clean, hide_outside, joint_set, to_pixels
from poseda.keypoints.track import track
from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]

#: a person-frame without a seen hip, without a seen shoulder, or with too few joints
_INCOMPLETE = "no hip, no shoulder, or fewer than 9 of 17 joints"


@dataclass(frozen=True, eq=False)
class Keypoints:
    """People in the frames of one or more videos: N rows, in order of `clip` and `frame`.

    Attributes:
        points: (N, 17, 2) float64 pixels, joints of `H36M_17`; finite, also where not seen.
        confidence: (N, 17) as the detector gives it, 0 ... 1. What is below the threshold was not
            seen; its place is filled in (`poseda.keypoints.fill`).
        person: (N,) strings: the video's name, a slash, and who: the file's own identity, or a
            number from 1 in the order of appearance (`poseda.keypoints.track`). Canonical files and
            VideoPose3D's keep their subjects as they are.
        clip: (N,) integers, one person in one video.
        frame: (N,) integers, as the file counts.
        source: (N,) strings, name of the video: of its file, or of what its files have in common.
        image_size: (N, 2) width, height in pixels, or None where a file does not say it.
        rate: (N,) frames per second, 0 where the file does not say it.
        about: what a canonical file says of itself; with `min_confidence` and counts.
        lines: what was read, kept, filled and dropped, and the table of joints, for the user.
    """

    points: Array
    confidence: Array
    person: Array
    clip: Array
    frame: Array
    source: Array
    image_size: Array | None
    rate: Array
    about: Mapping[str, Any]
    lines: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def fps(self) -> float:
        """Frames per second; 0 where no file says it, or they differ."""
        return float(self.rate[0]) if (self.rate == self.rate[0]).all() else 0.0

    def arrays(self, intrinsics: Any, image_size: Any = None) -> dict[str, Array]:
        """The arrays of a canonical file, for `pose_set_from_arrays` and `save_pose_set`.

        Args:
            intrinsics: (4,) or (N, 4) fx, fy, cx, cy in pixels.
            image_size: (2,) or (N, 2) width, height in pixels; None takes the file's own.

        Raises:
            ValueError: if the shapes do not fit, the image size is not known, or the file says
                another one.
        """
        count = len(self)
        if image_size is None:
            if self.image_size is None:
                raise ValueError("image_size: got None, expected width, height: no file says it")
            size = self.image_size
        else:
            size = _rows("image_size", image_size, (count, 2))
            if self.image_size is not None and not np.array_equal(size, self.image_size):
                row = int((size != self.image_size).any(axis=1).argmax())
                raise ValueError(
                    f"image_size: got {size[row, 0]:g} x {size[row, 1]:g}, expected "
                    f"{self.image_size[row, 0]:g} x {self.image_size[row, 1]:g} as the file of "
                    f"{self.source[row]} says"
                )
        return {
            "pose2d": self.points.astype(np.float32),
            "intrinsics": _rows("intrinsics", intrinsics, (count, 4)).astype(np.float32),
            "image_size": size.astype(np.float32),
            "confidence": self.confidence.astype(np.float32),
            "subject": self.person,
            "clip": self.clip,
            "frame": self.frame,
            "fps": self.rate.astype(np.float32),
            "about": np.asarray(json.dumps(dict(self.about))),
        }


def read_keypoints(
    source: Source | Sequence[Source],
    *,
    format: str = "auto",
    image_size: Sequence[float] | None = None,
    fps: float | None = None,
    min_confidence: float = MIN_CONFIDENCE,
    max_people: int | None = None,
) -> Keypoints:
    """Reads 2D keypoints in any common form.

    Forms: JSON of MMPose, OpenPose, COCO results (Detectron2), AlphaPose and MediaPipe; CSV; NumPy
    archives, VideoPose3D's and canonical ones among them. See `poseda.keypoints.formats`.
    Files of one frame each (OpenPose; MMPose for images) are a video together if their names differ
    only in their last number.

    Args:
        source: a file, a folder, a glob pattern, or a list of them.
        format: ``auto``, or a form (`CONTAINERS`), a joint set (`JOINT_SETS`), or both as
            ``csv:coco_17``. Where a file does not say its joints their number decides, and of two
            sets of 17 or 16 the anatomy.
        image_size: width, height in pixels, where the files do not say it.
        fps: frames per second, likewise.
        min_confidence: a joint of lower confidence counts as not seen.
        max_people: keep those people of each video who are in most frames.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file is not what it should be; names the file and the place.
    """
    container, forced = _parse_format(format)
    size = _parse_size(image_size)
    if fps is not None and not 0 < fps <= MAX_FPS:
        raise ValueError(f"fps: got {fps}, expected frames per second")
    if not 0 < min_confidence <= 1:
        raise ValueError(f"min_confidence: got {min_confidence}, expected above 0, at most 1")
    if max_people is not None and max_people < 1:
        raise ValueError(f"max_people: got {max_people}, expected 1 or more")
    videos = read_files(find_files(source))
    for each in videos:
        if container is not None and each.container != container:
            raise ValueError(
                f"{each.where}: got {each.container}, expected {container} as format says"
            )
    tally = _Tally()
    parts = [
        _Part.of(each, forced, size, fps, min_confidence, max_people, tally) for each in videos
    ]
    tally.lines = _summary(videos, parts)
    return _join(parts, videos, min_confidence, tally)


@dataclass
class _Tally:
    """What is said of the reading."""

    counts: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Part:
    """One video's people, in order of person and frame, with the places that are known."""

    joints: JointSet
    points: Array
    confidence: Array
    frame: Array
    number: Array
    person: list[str]
    size: tuple[float, float] | None
    fps: float
    name: str

    @classmethod
    def of(
        cls,
        found: Detections,
        forced: str | None,
        size: tuple[float, float] | None,
        fps: float | None,
        least: float,
        max_people: int | None,
        tally: _Tally,
    ) -> _Part:
        if size is not None and found.image_size not in (None, size):
            width, height = found.image_size or size
            raise ValueError(
                f"image_size: got {size[0]:g} x {size[1]:g}, expected {width:g} x {height:g} as "
                f"{found.where} says"
            )
        size = found.image_size or size
        rate = found.fps if fps is None else fps
        points, confidence, clipped = clean(found)
        seen = confidence >= least
        if not seen.any():
            raise _nobody_seen(found, least)
        points, scaled = to_pixels(points, seen, found, size)
        joints = joint_set(points, seen, found, forced)
        points, confidence = joints.apply(points, confidence, least)
        if size is not None:
            tally.counts["outside"] += hide_outside(points, confidence, found, size, least)
        tally.counts["clipped"] += clipped
        tally.counts["scaled"] += scaled
        present = (confidence >= least).any(axis=1)
        tally.counts["nobody"] += int((~present).sum())
        rows = np.flatnonzero(present)
        if not len(rows):
            raise _nobody_seen(found, least)
        whose = None if found.person is None else found.person[rows]
        number, names = _people(
            points[rows], confidence[rows] >= least, found, found.frame[rows], whose,
            max_gap(rate),
        )  # fmt: skip
        if max_people is not None:
            kept = _most_seen(number, max_people)
            tally.counts["people"] += len(np.unique(number[~kept]))
            rows, number = rows[kept], number[kept]
        order = np.lexsort((found.frame[rows], number))
        rows, number = rows[order], number[order]
        return cls(
            joints, points[rows], confidence[rows], found.frame[rows], number, names, size, rate,
            found.name,
        )  # fmt: skip


def _nobody_seen(found: Detections, least: float) -> ValueError:
    return ValueError(
        f"{found.where}: got no joint with a confidence of {least:g} or more, expected people's "
        "hips, shoulders and limbs; is min_confidence too high for this detector?"
    )


def _people(
    points: Array, seen: Array, found: Detections, frame: Array, person: Array | None, gap: int
) -> tuple[Array, list[str]]:
    """(M,) number of the person, and the persons' names.

    Raises:
        ValueError: if somebody is twice in a frame, or their frames are not in order.
    """
    if person is None:
        order = np.argsort(frame, kind="stable")
        if found.ordered and (np.diff(frame) < 0).any():
            _refuse_order(found, frame, int((np.diff(frame) < 0).argmax()) + 1, "")
        number = np.empty(len(frame), dtype=np.int64)
        number[order] = track(points[order], seen[order], frame[order], gap)
        return number, [f"{found.name}/{each + 1}" for each in range(int(number.max()) + 1)]
    names, first, number = np.unique(person, return_index=True, return_inverse=True)
    ranked = np.argsort(np.argsort(first))  # persons count from their first appearance
    number = ranked[number]
    names = names[np.argsort(first)]
    order = np.argsort(number, kind="stable")
    step = np.diff(frame[order])
    same = np.diff(number[order]) == 0
    if found.ordered and (same & (step < 0)).any():
        row = int(order[int((same & (step < 0)).argmax()) + 1])
        _refuse_order(found, frame, row, f" of person {person[row]}")
    order = np.lexsort((frame, number))
    twice = (np.diff(number[order]) == 0) & (np.diff(frame[order]) == 0)
    if twice.any():
        row = int(order[int(twice.argmax())])
        raise ValueError(
            f"{found.where}: frame {frame[row]}: got person {person[row]} more than once "
            f"({int(twice.sum())} such), expected each person once in a frame"
        )
    shown = [str(name) for name in names]
    return number, shown if found.shared else [f"{found.name}/{name}" for name in shown]


def _refuse_order(found: Detections, frame: Array, row: int, whose: str) -> None:
    raise ValueError(
        f"{found.where}: frame {frame[row]}: got it after a later frame{whose}, expected frames "
        "in order; is more than one video in it?"
    )


def _most_seen(number: Array, count: int) -> Array:
    """(M,) rows of those people who are in most frames; of equals, who comes first."""
    frames = np.bincount(number)
    kept = np.argsort(-frames, kind="stable")[:count]
    return np.isin(number, kept)


def _join(
    parts: Sequence[_Part], videos: Sequence[Detections], least: float, tally: _Tally
) -> Keypoints:
    offsets = np.cumsum([0, *(len(part.person) for part in parts)])
    points = np.concatenate([part.points for part in parts])
    confidence = np.concatenate([part.confidence for part in parts])
    frame = np.concatenate([part.frame for part in parts])
    clip = np.concatenate(
        [offset + part.number for offset, part in zip(offsets, parts, strict=False)]
    )
    video = np.repeat(np.arange(len(parts)), [len(part.frame) for part in parts])
    gap = np.asarray([max_gap(part.fps) for part in parts])[video]
    seen = confidence >= least
    in_time = fill_in_time(points, seen, clip, frame, gap)
    known = seen | in_time
    kept = complete(known)
    tally.counts["dropped"] = int((~kept).sum())
    if not kept.any():
        raise ValueError(
            f"{videos[0].where}: got nobody whose trunk was seen: all {len(kept):,} people in "
            f"frames have {_INCOMPLETE}; expected whole people (min_confidence is {least:g})"
        )
    points, confidence, seen = from_body(points[kept], known[kept]), confidence[kept], seen[kept]
    video, clip, frame = video[kept], clip[kept], frame[kept]
    names = np.asarray([name for part in parts for name in part.person])
    person = names[clip]
    clip = np.unique(clip, return_inverse=True)[1]
    sizes = [part.size for part in parts]
    size = None
    if all(each is not None for each in sizes):
        size = np.asarray(sizes, dtype=np.float64)[video]
        # Guesses may lie anywhere; within reach of the image they pass the checks.
        border = size[:, None] * 0.5
        guess = np.clip(points, -border, size[:, None] + border)
        points = np.where(seen[..., None], points, guess)
    tally.counts["time"] = int((in_time[kept] & ~seen).sum())
    tally.counts["body"] = int((~seen).sum()) - tally.counts["time"]
    tally.counts["rows"] = len(points)
    lines = (*tally.lines, *_count_lines(tally.counts, seen, least))
    joints = sorted({part.joints.name for part in parts})
    containers = sorted({each.container for each in videos})
    about = {
        "dataset": "keypoints of a detector",
        "labels": "none",
        "pose2d": f"detections ({', '.join(containers)}: {', '.join(joints)})",
        "licence": "the user's own",
        "min_confidence": least,
        "filled": {"in time": tally.counts["time"], "from the body": tally.counts["body"]},
        "dropped": tally.counts["dropped"],
    }
    return Keypoints(
        points,
        confidence,
        person,
        clip.astype(np.int64),
        frame,
        np.asarray([part.name for part in parts])[video],
        size,
        np.asarray([part.fps for part in parts], dtype=np.float64)[video],
        about,
        lines,
    )


def _summary(videos: Sequence[Detections], parts: Sequence[_Part]) -> list[str]:
    """Files, people, frames, and the tables of joints."""
    lines = []
    for each, part in list(zip(videos, parts, strict=True))[:20]:
        people = len(np.unique(part.number))
        tracked = " (tracked)" if each.person is None else ""
        lines.append(
            f"{each.where}: {each.container}, {part.joints.name}: {each.name}: "
            f"{people:,} {'person' if people == 1 else 'people'}{tracked}, {each.frames:,} frames"
        )
    if len(videos) > 20:
        lines.append(f"... and {len(videos) - 20:,} more videos")
    for name in dict.fromkeys(part.joints.name for part in parts):
        lines.append(f"{H36M_17.num_joints} joints from {name}:")
        lines += [f"  {line}" for line in JOINT_SETS[name].lines()]
    return lines


def _count_lines(counts: Counter[str], seen: Array, least: float) -> list[str]:
    joints = seen.size
    lines = [
        f"{counts['rows']:,} people in frames; {(~seen).sum() / joints:.1%} of the joints were not "
        f"seen (confidence below {least:g}): {counts['time']:,} filled in time, "
        f"{counts['body']:,} from the body"
    ]
    if counts["dropped"]:
        lines.append(f"dropped {counts['dropped']:,} people in frames: {_INCOMPLETE}")
    if counts["nobody"]:
        lines.append(f"dropped {counts['nobody']:,} people in frames: no joint was seen")
    if counts["people"]:
        lines.append(f"dropped {counts['people']:,} people: others are in more frames")
    if counts["outside"]:
        lines.append(f"{counts['outside']:,} joints were far outside the image: not seen")
    if counts["clipped"]:
        lines.append(f"{counts['clipped']:,} confidences were outside [0, 1]: clipped")
    if counts["scaled"]:
        lines.append("coordinates were fractions of the image: multiplied by its size")
    if (~seen).sum() > 0.4 * joints:
        lines.append(
            "most joints are near or below the threshold: does this detector's confidence reach "
            "1? Detectron2's is low; try min_confidence 0.05"
        )
    return lines


def _parse_format(format: str) -> tuple[str | None, str | None]:
    """The form and the joint set that `format` forces."""
    container = joints = None
    for part in [] if format == "auto" else format.split(":"):
        if part in CONTAINERS and container is None:
            container = part
        elif part in JOINT_SETS and joints is None:
            joints = part
        else:
            raise ValueError(
                f"format: got {format!r}, expected auto, one of {', '.join(CONTAINERS)}, one of "
                f"{', '.join(JOINT_SETS)}, or both with a colon"
            )
    return container, joints


def _parse_size(size: Sequence[float] | None) -> tuple[float, float] | None:
    if size is None:
        return None
    try:
        width, height = (float(each) for each in size)
    except (TypeError, ValueError):
        raise ValueError(f"image_size: got {size!r:.60}, expected width, height") from None
    if not (16 <= width <= 1e5 and 16 <= height <= 1e5):
        raise ValueError(f"image_size: got {width:g} x {height:g}, expected pixels")
    return width, height


def _rows(name: str, value: Any, shape: tuple[int, int]) -> Array:
    array = np.asarray(value, dtype=np.float64)
    if array.shape not in (shape, shape[1:]):
        raise ValueError(f"{name}: got shape {array.shape}, expected {shape[1:]} or {shape}")
    return np.broadcast_to(array, shape)
