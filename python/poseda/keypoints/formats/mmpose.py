"""What MMPose writes.

- The inferencer, for a video: a list of ``{"frame_id": int, "instances": [...]}``; for an image:
  the list of instances alone, a file per image.
- Its demo scripts: ``{"meta_info": {...}, "instance_info": [...]}`` with either of those lists;
  ``meta_info`` names the joints (``keypoint_id2name``, ``num_keypoints``, ``dataset_name``).
- The result of a call of the inferencer: ``{"predictions": [[instance, ...], ...]}``.

An instance has ``keypoints`` (S pairs x, y in pixels), ``keypoint_scores`` (S) and mostly ``bbox``
and ``bbox_score``; from a tracker also ``track_id``. Scores of SimCC models (RTMPose) may be a
little above 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from poseda.keypoints.detections import Detections, stack, whole
from poseda.keypoints.formats.common import Naming, fields, identities

CONTAINER = "mmpose"


def is_video(content: Any) -> bool:
    """A list of frames."""
    return isinstance(content, list) and _has(content, "instances")


def is_image(content: Any) -> bool:
    """A list of instances."""
    return isinstance(content, list) and _has(content, "keypoint_scores")


def is_result(content: Any) -> bool:
    """A demo's file, or the result of a call."""
    return isinstance(content, dict) and ("instance_info" in content or "predictions" in content)


def _has(content: list[Any], key: str) -> bool:
    return bool(content) and isinstance(content[0], dict) and key in content[0]


def read(content: Any, naming: Naming) -> Detections:
    """A video, or the result of a call.

    Raises:
        ValueError: if the content is not as described above; names file and frame.
    """
    where = naming.where
    joints: Sequence[str] | None = None
    if isinstance(content, dict):
        joints = _joint_names(content.get("meta_info"), where)
        content = content.get("instance_info", content.get("predictions"))
        if not isinstance(content, list):
            raise ValueError(f"{where}: instance_info: got no list, expected frames")
    if is_image(content):
        content = [content]
    if is_video(content):
        numbers = fields(content, "frame_id", where, "frame", default=None)
        numbers = [place if number is None else number for place, number in enumerate(numbers)]
        frames = whole(numbers, lambda place: f"{where}: frame {place}", "frame_id")
        if (np.diff(frames) <= 0).any():
            place = int((np.diff(frames) <= 0).argmax()) + 1
            raise ValueError(
                f"{where}: frame {place}: frame_id: got {frames[place]} after "
                f"{frames[place - 1]}, expected growing numbers; is more than one video in it?"
            )
        found = fields(content, "instances", where, "frame")
    else:
        found, frames = content, np.arange(len(content))
    for place, instances in enumerate(found):
        if not isinstance(instances, list):
            raise ValueError(f"{where}: frame {place}: got no list, expected a list of instances")
    counts = np.asarray([len(instances) for instances in found], dtype=np.int64)
    return _detections(
        list(chain.from_iterable(found)), np.repeat(frames, counts), len(frames), naming, joints
    )


def read_images(contents: Sequence[Any], frames: Sequence[int], naming: Naming) -> Detections:
    """A list of instances for each image."""
    counts = [len(each) for each in contents]
    return _detections(
        list(chain.from_iterable(contents)),
        np.repeat(np.asarray(frames, dtype=np.int64), counts),
        len(contents),
        naming,
        None,
    )


def _detections(
    instances: list[Any], frame: Any, frames: int, naming: Naming, joints: Sequence[str] | None
) -> Detections:
    def where(place: int) -> str:
        return f"{naming.where}: frame {frame[place]}"

    points = stack(
        fields(instances, "keypoints", naming.where, "instance"),
        lambda place: f"{where(place)}: keypoints",
        "S x 2",
    )
    scores = stack(
        fields(instances, "keypoint_scores", naming.where, "instance"),
        lambda place: f"{where(place)}: keypoint_scores",
        "S",
    )
    return naming.detections(
        CONTAINER,
        points,
        scores,
        frame,
        frames=frames,
        person=identities(instances, "track_id", naming.where),
        joints=joints,
    )


def _joint_names(meta: Any, where: str) -> list[str] | None:
    """Names of the joints in their order, where `meta_info` has them."""
    names = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(names, dict):
        return None
    found = [names.get(str(number)) for number in range(len(names))]
    if not all(isinstance(name, str) for name in found):
        raise ValueError(
            f"{where}: meta_info: keypoint_id2name: got {len(names)} entries, expected names of "
            "the joints 0, 1, ..."
        )
    return [str(name) for name in found]
