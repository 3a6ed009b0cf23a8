"""`read_keypoints`: the files of people's own detectors as `Keypoints`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.cameras import parse_image_size
from poseda.data.poseset import MIN_CONFIDENCE
from poseda.keypoints.detections import MAX_FPS
from poseda.keypoints.files import CONTAINERS, Source, find_files, read_files
from poseda.keypoints.fill import MIN_JOINTS, complete, fill_in_time, from_body, max_gap
from poseda.keypoints.keypoints import Keypoints
from poseda.keypoints.maps import JOINT_SETS
from poseda.keypoints.video import Settings, Video, make_video
from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]

_INCOMPLETE = f"no hip, no shoulder, or fewer than {MIN_JOINTS} of 17 joints"
_SHOWN = 20  # videos that are told of one by one
_MANY_HIDDEN = 0.4  # of the joints; then a user is told of other thresholds
_BORDER = 0.5  # image sizes beyond the image in which guesses stay, to pass the checks of a file


def read_keypoints(
    source: Source | Sequence[Source],
    *,
    format: str = "auto",
    image_size: str | Sequence[float] | None = None,
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
        image_size: width, height in pixels, or a text such as ``1920x1080``, where the files do
            not say it.
        fps: frames per second, instead of what the files say.
        min_confidence: a joint of lower confidence counts as not seen.
        max_people: keep those people of each video who are in most frames.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file is not what it should be; names the file and the place.
    """
    container, joints = _parse_format(format)
    if fps is not None and not 0 < fps <= MAX_FPS:
        raise ValueError(f"fps: got {fps}, expected frames per second")
    if not 0 < min_confidence <= 1:
        raise ValueError(f"min_confidence: got {min_confidence}, expected above 0, at most 1")
    if max_people is not None and max_people < 1:
        raise ValueError(f"max_people: got {max_people}, expected 1 or more")
    size = None if image_size is None else parse_image_size(image_size)
    settings = Settings(min_confidence, joints, size, fps, max_people)
    videos = []
    for found in read_files(find_files(source)):
        if container is not None and found.container != container:
            raise ValueError(
                f"{found.where}: got {found.container}, expected {container} as format says"
            )
        videos.append(make_video(found, settings))
    return _join(videos, min_confidence)


def _join(videos: Sequence[Video], least: float) -> Keypoints:
    """Puts videos together, and fills in what was not seen."""
    points = np.concatenate([each.points for each in videos])
    confidence = np.concatenate([each.confidence for each in videos])
    frame = np.concatenate([each.frame for each in videos])
    video = np.repeat(np.arange(len(videos)), [len(each.frame) for each in videos])
    offset = np.cumsum([0, *(len(each.people) for each in videos[:-1])])
    clip = offset[video] + np.concatenate([each.number for each in videos])
    gap = np.asarray([max_gap(each.fps) for each in videos])[video]

    seen = confidence >= least
    in_time = fill_in_time(points, seen, clip, frame, gap)
    known = seen | in_time
    kept = complete(known)
    if not kept.any():
        raise ValueError(
            f"{videos[0].found.where}: got nobody whose trunk was seen: all {len(kept):,} people "
            f"in frames have {_INCOMPLETE}; expected whole people (min_confidence is {least:g})"
        )
    points, seen = from_body(points[kept], known[kept]), seen[kept]
    size = _sizes(videos, video[kept])
    if size is not None:
        border = _BORDER * size[:, None]
        near = np.clip(points, -border, size[:, None] + border)
        points = np.where(seen[..., None], points, near)
    counts = sum((each.counts for each in videos), Counter[str]())
    counts["dropped"] = int((~kept).sum())
    counts["in time"] = int(in_time[kept].sum())
    counts["from the body"] = int((~known[kept]).sum())
    people = np.asarray([name for each in videos for name in each.people])
    return Keypoints(
        points=points,
        confidence=confidence[kept],
        person=people[clip[kept]],
        clip=np.unique(clip[kept], return_inverse=True)[1].astype(np.int64),
        video=video[kept],
        frame=frame[kept],
        source=np.asarray([each.found.name for each in videos])[video[kept]],
        image_size=size,
        rate=np.asarray([each.fps for each in videos])[video[kept]],
        about=_about(videos, counts, least),
        lines=(*_summary(videos), *_count_lines(counts, seen, least)),
    )


def _sizes(videos: Sequence[Video], video: Array) -> Array | None:
    """(N, 2), or None where a video's is not known."""
    sizes = [each.image_size for each in videos if each.image_size is not None]
    return np.asarray(sizes, dtype=np.float64)[video] if len(sizes) == len(videos) else None


def _about(videos: Sequence[Video], counts: Counter[str], least: float) -> dict[str, Any]:
    containers = sorted({each.found.container for each in videos})
    joints = sorted({each.joints.name for each in videos})
    return {
        "dataset": "keypoints of a detector",
        "labels": "none",
        "pose2d": f"detections ({', '.join(containers)}: {', '.join(joints)})",
        "licence": "the user's own",
        "min_confidence": least,
        "filled": {how: counts[how] for how in ("in time", "from the body")},
        "dropped": counts["dropped"],
    }


def _summary(videos: Sequence[Video]) -> list[str]:
    """Files, people, frames, and the tables of joints."""
    lines = []
    for each in videos[:_SHOWN]:
        people = len(np.unique(each.number))
        tracked = " (tracked)" if each.found.person is None else ""
        lines.append(
            f"{each.found.where}: {each.found.container}, {each.joints.name}: {each.found.name}: "
            f"{people:,} {'person' if people == 1 else 'people'}{tracked}, "
            f"{each.found.frames:,} frames"
        )
    if len(videos) > _SHOWN:
        lines.append(f"... and {len(videos) - _SHOWN:,} more videos")
    for name in dict.fromkeys(each.joints.name for each in videos):
        lines.append(f"{H36M_17.num_joints} joints from {name}:")
        lines += [f"  {line}" for line in JOINT_SETS[name].lines()]
    return lines


def _count_lines(counts: Counter[str], seen: Array, least: float) -> list[str]:
    """What was filled in, and what was dropped and changed."""
    hidden = float((~seen).mean())
    told = {
        "dropped": f"people in frames were dropped: {_INCOMPLETE}",
        "nobody": "people in frames were dropped: no joint was seen",
        "people": "people dropped: others are in more frames",
        "outside": "joints lie far outside the image: not seen",
        "clipped": "confidences were outside [0, 1]: clipped",
    }
    lines = [
        f"{len(seen):,} people in frames; {hidden:.1%} of the joints were not seen (confidence "
        f"below {least:g}): {counts['in time']:,} filled in time, {counts['from the body']:,} from "
        "the body"
    ]
    lines += [f"{counts[what]:,} {text}" for what, text in told.items() if counts[what]]
    if counts["scaled"]:
        lines.append("coordinates were fractions of the image: multiplied by its size")
    if hidden > _MANY_HIDDEN:
        lines.append(
            "so many joints are below the threshold: does this detector's confidence reach 1? "
            "Detectron2's is low; try min_confidence 0.05"
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
