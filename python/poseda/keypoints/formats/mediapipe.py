"""MediaPipe Pose's landmarks, as programs write them; MediaPipe itself has no form of file.

A landmark is ``{"x": ..., "y": ..., "z": ..., "visibility": ...}``; x and y are fractions of the
image's width and height, not limited to 0 ... 1. There are 33 to a person. A file is a list of
frames (also under ``"frames"``), or one frame. A frame is

- ``{"pose_landmarks": ...}`` (Python), ``{"landmarks": ...}`` (JavaScript) or
  ``{"poseLandmarks": ...}`` (the older JavaScript), with a list of people, or one person;
  null or an empty list is a frame without people. Keys ``frame``, ``frame_id`` or ``index`` may
  number it;
- a person alone.

A person is a list of landmarks, or ``{"landmark": [...]}``, the protocol buffer as JSON. Landmarks
may also be lists ``[x, y, z, visibility]``. World landmarks are metres and are no 2D points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from poseda.keypoints.detections import Detections, stack, whole
from poseda.keypoints.formats.common import Naming, fields

CONTAINER = "mediapipe"
_PEOPLE = ("pose_landmarks", "poseLandmarks", "landmarks", "landmark")
_NUMBER = ("frame", "frame_id", "index")
_DEPTH = 4


def is_frame(content: Any) -> bool:
    if isinstance(content, dict):
        return any(key in content for key in _PEOPLE)
    return isinstance(content, list) and bool(content) and _is_landmark(content[0])


def is_frames(content: Any) -> bool:
    if isinstance(content, dict):
        return is_frames(content.get("frames"))
    if not isinstance(content, list):
        return False
    some = next((each for each in content if each), None)
    if isinstance(some, dict):
        return not _is_landmark(some) and is_frame(some)
    return some is not None and _is_landmark(_first(some))


def _is_landmark(value: Any) -> bool:
    return isinstance(value, dict) and "x" in value and "y" in value


def _first(value: Any) -> Any:
    for _ in range(_DEPTH):
        if not isinstance(value, list) or not value:
            break
        value = value[0]
    return value


def read(contents: Sequence[Any], frames: Sequence[int], naming: Naming) -> Detections:
    """A video from its frames.

    Raises:
        ValueError: if the content is not as described above; names file and frame.
    """
    people: list[list[Any]] = []
    frame: list[int] = []
    for content, number in zip(contents, frames, strict=True):
        found = _people(content, f"{naming.where}: frame {number}")
        people += found
        frame += [number] * len(found)
    values = [
        _values(landmarks, f"{naming.where}: frame {number}")
        for landmarks, number in zip(people, frame, strict=True)
    ]
    points = stack(
        values, lambda place: f"{naming.where}: frame {frame[place]}: landmarks", "33 x 3"
    )
    return naming.detections(
        CONTAINER,
        points,
        None,
        np.asarray(frame, dtype=np.int64),
        frames=len(frames),
        joints="mediapipe_33" if len(points) and points.shape[1] == 33 else None,
        fractions=True,
    )


def read_video(content: Any, naming: Naming) -> Detections:
    """A list of frames."""
    if isinstance(content, dict):
        content = content["frames"]
    key = next((key for key in _NUMBER if isinstance(content[0], dict) and key in content[0]), None)
    if key is None:
        return read(content, range(len(content)), naming)
    numbers = whole(
        fields(content, key, naming.where, "frame"),
        lambda place: f"{naming.where}: frame {place}",
        key,
    )
    if (np.diff(numbers) <= 0).any():
        place = int((np.diff(numbers) <= 0).argmax()) + 1
        raise ValueError(
            f"{naming.where}: frame {place}: {key}: got {numbers[place]} after "
            f"{numbers[place - 1]}, expected growing numbers; is more than one video in it?"
        )
    return read(content, numbers.tolist(), naming)


def _people(content: Any, where: str) -> list[Any]:
    """The people of a frame, a list of landmarks each."""
    if isinstance(content, dict):
        key = next((key for key in _PEOPLE if key in content), None)
        if key is None:
            raise ValueError(f"{where}: has none of {', '.join(_PEOPLE)}; expected landmarks")
        content = content[key]
    if not content:
        return []
    if isinstance(content, dict):  # one person as a protocol buffer
        content = [content]
    if not isinstance(content, list):
        raise ValueError(f"{where}: landmarks: got {type(content).__name__}, expected a list")
    person = content[0]
    one = _is_landmark(person) or (
        isinstance(person, list) and not isinstance(_first(person), (dict, list))
    )
    people = [content] if one else content
    return [
        person["landmark"] if isinstance(person, dict) and "landmark" in person else person
        for person in people
    ]


def _values(landmarks: Any, where: str) -> list[Any]:
    """x, y, visibility of each landmark; visibility is 1 where there is none."""
    if not isinstance(landmarks, list):
        raise ValueError(f"{where}: landmarks: got {type(landmarks).__name__}, expected a list")
    try:
        return [
            (each["x"], each["y"], each.get("visibility", 1.0))
            if isinstance(each, dict)
            else (each[0], each[1], each[3] if len(each) > 3 else 1.0)
            for each in landmarks
        ]
    except (KeyError, TypeError, IndexError):
        raise ValueError(
            f"{where}: landmarks: got something else than x, y, z, visibility of each landmark"
        ) from None
