"""Result lists in the form of COCO, as Detectron2, MMPose's evaluation and AlphaPose write them.

``[{"image_id": ..., "category_id": 1, "keypoints": [x0, y0, c0, x1, ...], "score": ...}, ...]``,
a record per person and image. ``image_id`` is an integer, or with AlphaPose the name of the image
(``12.jpg`` for frame 12 of a video). AlphaPose adds ``box`` and ``idx``, the person, which is
the same for all (0) without tracking and may stand in a list. Detectron2's confidences are softmax
peaks and rank lower than those of others: joints that are right have 0.05 and more.

An image's name is read as a video's name and the frame's number: all before its last number, and
that number.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.keypoints.detections import Detections, stack, whole
from poseda.keypoints.formats.common import Naming, fields, identities, numbered

Array = NDArray[Any]


def is_results(content: Any) -> bool:
    return (
        isinstance(content, list)
        and bool(content)
        and isinstance(content[0], dict)
        and "image_id" in content[0]
    )


def read(content: Sequence[Any], naming: Naming) -> list[Detections]:
    """The videos of a result list.

    Raises:
        ValueError: if the content is not as described above; names file and record.
    """
    where = naming.where
    images = fields(content, "image_id", where, "record")
    videos, frame, names = _places(images, where)
    flat = stack(
        fields(content, "keypoints", where, "record"),
        lambda place: f"{where}: record {place} (image {str(images[place])[:60]}): keypoints",
        "x, y, c, ...",
    )
    if flat.ndim == 2 and flat.shape[1] % 3 == 0:
        points = flat.reshape(len(flat), -1, 3)
    elif flat.ndim == 3:
        points = flat
    else:
        raise ValueError(
            f"{where}: keypoints: got {' x '.join(map(str, flat.shape[1:]))} numbers for a "
            "person, expected x, y, c of each joint"
        )
    keys = ("idx", "track_id")
    person = next(
        (each for key in keys if (each := identities(content, key, where)) is not None), None
    )
    alphapose = isinstance(images[0], str)
    found = []
    order = np.argsort(videos, kind="stable")
    ends = np.cumsum(np.bincount(videos, minlength=len(names)))
    for name, rows in zip(names, np.split(order, ends[:-1]), strict=True):
        whose = None if person is None else _trusted(person[rows], frame[rows])
        found.append(
            Naming(f"{naming.name}/{name}" if len(names) > 1 else naming.name, where).detections(
                "alphapose" if alphapose else "coco",
                points[rows],
                None,
                frame[rows],
                frames=len(np.unique(frame[rows])),
                person=whose,
                joints="coco_17" if points.shape[1] == 17 else None,
                ordered=False,
            )
        )
    return found


def _places(images: Sequence[Any], where: str) -> tuple[Array, Array, list[str]]:
    """(M,) number of the video, (M,) frame, and the videos' names."""
    if not isinstance(images[0], str):
        frame = whole(images, lambda place: f"{where}: record {place}", "image_id")
        return np.zeros(len(frame), dtype=np.int64), frame, [""]
    videos: dict[str, int] = {}
    unnumbered: dict[str, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for record, image in enumerate(images):
        if not isinstance(image, str):
            raise ValueError(
                f"{where}: record {record}: image_id: got {type(image).__name__}, expected a "
                "name as in those before"
            )
        if image not in places:
            path = PurePosixPath(image)
            name, frame_number = numbered(str(path.with_name(path.stem)) if path.name else image)
            if frame_number is None:
                frame_number = unnumbered.setdefault(image, len(unnumbered))
                name = ""
            places[image] = (videos.setdefault(name, len(videos)), frame_number)
    found = np.asarray([places[image] for image in images], dtype=np.int64)
    return found[:, 0], found[:, 1], [name.rstrip("_-. /") or "images" for name in videos]


def _trusted(person: Array, frame: Array) -> Array | None:
    """The identities, or None where they are all one although several people are in a frame."""
    alone = len(np.unique(frame)) == len(frame)
    return None if len(np.unique(person)) == 1 and not alone else person
