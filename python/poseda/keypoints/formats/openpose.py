"""What OpenPose writes with ``--write_json``: a file for each frame of a video.

``VIDEO_000000000012_keypoints.json`` holds ``{"version": 1.3, "people": [{"person_id": [-1],
"pose_keypoints_2d": [x0, y0, c0, x1, ...], ...}]}``. A joint that was not found is written as 0, 0,
0. Coordinates are pixels of the image, or fractions of it with ``--keypoint_scale 3``.
``person_id`` is -1 without its tracker. 25 joints are ``BODY_25``, 18 the older COCO model.

AlphaPose writes the same with ``--format open``, all images in one file: ``{"IMAGE.jpg":
{"people": [...]}}``; and with ``--format cmu`` ``{"bodies": [{"joints": [...]}]}``. Its 18 joints
are those of OpenPose's COCO model.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from poseda.keypoints.detections import Detections, stack
from poseda.keypoints.formats.common import Naming, fields, identities

CONTAINER = "openpose"
_SETS = {25: "body_25", 18: "coco_18"}
_KEYS = {"people": "pose_keypoints_2d", "bodies": "joints"}


def is_frame(content: Any) -> bool:
    return isinstance(content, dict) and ("people" in content or "bodies" in content)


def body_alone(content: dict[str, Any]) -> dict[str, Any]:
    """A frame without hands, faces and 3D, which take far more memory than the body."""
    key = "people" if "people" in content else "bodies"
    people = content[key]
    if not isinstance(people, list):
        return {key: people}
    kept = ("person_id", *_KEYS.values())
    return {
        key: [
            {name: each[name] for name in kept if name in each} if isinstance(each, dict) else each
            for each in people
        ]
    }


def is_frames(content: Any) -> bool:
    """AlphaPose's frames of OpenPose's form."""
    return isinstance(content, dict) and bool(content) and all(map(is_frame, content.values()))


def read(contents: Sequence[Any], frames: Sequence[int], naming: Naming) -> Detections:
    """A video from its frames.

    Raises:
        ValueError: if the content is not as described above; names file and frame.
    """
    people = [
        _people(content, frame, naming) for content, frame in zip(contents, frames, strict=True)
    ]
    frame = np.repeat(np.asarray(frames, dtype=np.int64), [len(each) for each in people])
    records: list[Any] = list(chain.from_iterable(people))
    key = next(
        (key for key in _KEYS.values() if records and key in records[0]), "pose_keypoints_2d"
    )
    values = fields(records, key, naming.where, "person")
    flat = stack(
        values, lambda place: f"{naming.where}: frame {frame[place]}: {key}", "x, y, c, ..."
    )
    if len(flat) and (flat.ndim != 2 or flat.shape[1] % 3):
        raise ValueError(
            f"{naming.where}: {key}: got {' x '.join(map(str, flat.shape[1:]))} numbers for a "
            "person, expected x, y, c of each joint"
        )
    points = flat.reshape(len(flat), -1, 3) if len(flat) else np.zeros((0, 0, 3))
    return naming.detections(
        CONTAINER,
        points,
        None,
        frame,
        frames=len(frames),
        person=identities(records, "person_id", naming.where),
        joints=_SETS.get(points.shape[1]),
    )


def _people(content: Any, frame: int, naming: Naming) -> list[Any]:
    if not is_frame(content):
        raise ValueError(
            f"{naming.where}: frame {frame}: has no 'people', expected OpenPose's form"
        )
    people = content.get("people", content.get("bodies"))
    if not isinstance(people, list):
        raise ValueError(
            f"{naming.where}: frame {frame}: people: got {type(people).__name__}, expected a list"
        )
    for number, person in enumerate(people):
        if not isinstance(person, dict):
            raise ValueError(
                f"{naming.where}: frame {frame}: person {number}: got {type(person).__name__}, "
                "expected an object"
            )
    return people
