"""Keypoints as NumPy archives.

- Our own canonical file (`poseda.data.poseset`), known by ``pose2d``.
- Plain arrays: ``keypoints`` or ``points``, (T, S, 2) for one person, (T, P, S, 2) for P people of
  whom NaN or zero confidence means absent, or (T, S, 3) and (T, P, S, 3) with the confidence; and
  optionally ``confidence`` or ``scores`` of that shape without the last, ``frame`` (T,), ``person``
  (T,) or (P,), ``image_size`` (2,), ``fps`` (), ``joint_names`` (S,) or ``joint_set`` ().
- VideoPose3D's: ``positions_2d``, a pickled dictionary of a dictionary of a list of arrays (T, S,
  2) in pixels: subject or video, action, camera. ``metadata`` says ``layout_name`` (``coco``,
  ``h36m``), ``keypoints_symmetry`` and, of a video of one's own, ``video_metadata`` with ``w``
  and ``h``. It has no confidences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.restricted import load_pickled_npz
from poseda.keypoints.detections import Detections
from poseda.keypoints.formats.common import Naming

Array = NDArray[Any]
#: left joints of a layout in VideoPose3D's metadata
_LEFT = {(1, 3, 5, 7, 9, 11, 13, 15): "coco_17", (4, 5, 6, 11, 12, 13): "h36m_17",
         (4, 5, 6, 10, 11, 12): "h36m_16"}  # fmt: skip
_LAYOUTS = {("coco", 17): "coco_17", ("h36m", 17): "h36m_17", ("h36m", 16): "h36m_16"}


def read(path: Path, naming: Naming) -> list[Detections]:
    """The videos of an archive.

    Raises:
        ValueError: if it is not as described above; names file and array.
    """
    members = load_pickled_npz(path)
    if "positions_2d" in members:
        return _videopose3d(members, naming)
    if "pose2d" in members:
        return _canonical(members, naming)
    return [_plain(members, naming)]


def _array(members: Mapping[str, Any], key: str, naming: Naming, kinds: str = "fiu") -> Array:
    value = np.asarray(members[key])
    if value.dtype.kind not in kinds:
        expected = "strings" if "U" in kinds else "numbers"
        raise ValueError(f"{naming.where}: {key}: got dtype {value.dtype}, expected {expected}")
    return value


def _plain(members: Mapping[str, Any], naming: Naming) -> Detections:
    where = naming.where
    key = next((key for key in ("keypoints", "points") if key in members), None)
    if key is None:
        raise ValueError(
            f"{where}: got arrays {', '.join(sorted(members))[:200] or 'none'}, expected "
            "keypoints (T, S, 2), positions_2d (VideoPose3D) or pose2d (canonical)"
        )
    points = _array(members, key, naming).astype(np.float64)
    if points.ndim not in (3, 4) or points.shape[-1] not in (2, 3):
        raise ValueError(
            f"{where}: {key}: got shape {points.shape}, expected (T, S, 2) or (T, P, S, 2)"
        )
    count = points.shape[0]
    scores = next((name for name in ("confidence", "scores") if name in members), None)
    if scores is not None:
        confidence = _array(members, scores, naming).astype(np.float64)
        if confidence.shape != points.shape[:-1]:
            raise ValueError(
                f"{where}: {scores}: got shape {confidence.shape}, expected {points.shape[:-1]}"
            )
    else:
        confidence = points[..., 2] if points.shape[-1] == 3 else np.ones(points.shape[:-1])
    points = points[..., :2]
    frame = np.arange(count)
    if "frame" in members:
        frame = _array(members, "frame", naming, "iu").astype(np.int64)
    person = (
        _array(members, "person", naming, "iuU").astype(np.str_) if "person" in members else None
    )
    if points.ndim == 4:
        people = points.shape[1]
        person = np.arange(people).astype(np.str_) if person is None else person
        _same_length(person, people, "person", where)
        _same_length(frame, count, "frame", where)
        present = (np.isfinite(points).all(-1) & (confidence > 0)).any(-1)  # (T, P)
        frame = np.repeat(frame, people).reshape(count, people)[present]
        person = np.broadcast_to(person, (count, people))[present]
        points, confidence = points[present], confidence[present]
    else:
        _same_length(frame, count, "frame", where)
        if person is None and len(np.unique(frame)) == count:
            person = np.full(count, "0")
        if person is not None:
            _same_length(person, count, "person", where)
    joints: Any = None
    if "joint_set" in members:
        joints = str(_array(members, "joint_set", naming, "U"))
    elif "joint_names" in members:
        joints = [str(name) for name in _array(members, "joint_names", naming, "U").ravel()]
    known: dict[str, Any] = {}
    if "image_size" in members:
        size = _array(members, "image_size", naming).astype(np.float64)
        if size.shape != (2,):
            raise ValueError(f"{where}: image_size: got shape {size.shape}, expected (2,)")
        known["image_size"] = (float(size[0]), float(size[1]))
    if "fps" in members:
        fps = _array(members, "fps", naming).ravel()
        _same_length(fps, 1, "fps", where)
        known["fps"] = float(fps[0])
    return naming.detections(
        "npz", points, confidence, frame, frames=count, person=person, joints=joints, **known
    )


def _same_length(array: Array, count: int, key: str, where: str) -> None:
    if array.shape != (count,):
        raise ValueError(f"{where}: {key}: got shape {array.shape}, expected ({count},)")


def _canonical(members: Mapping[str, Any], naming: Naming) -> list[Detections]:
    points = _array(members, "pose2d", naming).astype(np.float64)
    if points.ndim != 3 or points.shape[1:] != (17, 2):
        raise ValueError(f"{naming.where}: pose2d: got shape {points.shape}, expected (N, 17, 2)")
    count = len(points)

    def column(key: str, default: Any, kinds: str, tail: tuple[int, ...] = ()) -> Array:
        if key not in members:
            return np.broadcast_to(default, (count, *tail))
        value = _array(members, key, naming, kinds)
        if value.shape != (count, *tail):
            raise ValueError(
                f"{naming.where}: {key}: got shape {value.shape}, expected {(count, *tail)}"
            )
        return value

    frame = column("frame", np.arange(count), "iu").astype(np.int64)
    person = column("subject", "0", "U")
    confidence = column("confidence", 1.0, "fiu", (17,)).astype(np.float64)
    size = column("image_size", np.nan, "fiu", (2,)).astype(np.float64)
    fps = column("fps", 0.0, "fiu").astype(np.float64)
    clip, camera = column("clip", 0, "iu"), column("camera", 0, "iu")
    videos, number = np.unique(np.stack((clip, camera), axis=1), axis=0, return_inverse=True)
    order = np.argsort(number.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(number.ravel(), minlength=len(videos)))
    found = []
    for video, rows in zip(videos, np.split(order, ends[:-1]), strict=True):
        name = f"{naming.name}/{video[0]}/{video[1]}" if len(videos) > 1 else naming.name
        width, height = (float(side) for side in size[rows[0]])
        found.append(
            Naming(name, naming.where).detections(
                "canonical", points[rows], confidence[rows], frame[rows],
                frames=len(np.unique(frame[rows])), person=person[rows], joints="h36m_17",
                image_size=None if np.isnan(width) else (width, height), fps=float(fps[rows[0]]),
                shared=True,
            )
        )  # fmt: skip
    return found


def _videopose3d(members: Mapping[str, Any], naming: Naming) -> list[Detections]:
    where = f"{naming.where}: positions_2d"
    metadata = members.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    sizes = metadata.get("video_metadata")
    sizes = sizes if isinstance(sizes, dict) else {}
    found = []
    for subject, names, points in _videos(members["positions_2d"], where):
        array = np.asarray(points)
        if array.dtype.kind not in "fiu" or array.ndim != 3:
            raise ValueError(
                f"{where}: {': '.join((subject, *names))}: got shape {array.shape} of "
                f"{array.dtype}, expected numbers (T, S, 2)"
            )
        count = len(array)
        name = "/".join((naming.name, subject, *names))
        found.append(
            Naming(name, naming.where).detections(
                "videopose3d", array.astype(np.float64), None, np.arange(count), frames=count,
                person=np.full(count, subject), joints=_layout(metadata, array.shape[1]),
                image_size=_size(sizes.get(subject)), shared=True,
            )
        )  # fmt: skip
    if not found:
        raise ValueError(f"{where}: got no videos, expected at least one")
    return found


def _videos(videos: Any, where: str) -> Iterator[tuple[str, list[str], Any]]:
    """Subject, what else names the video, and its points."""
    if not isinstance(videos, dict):
        raise ValueError(f"{where}: got {type(videos).__name__}, expected a dictionary of videos")
    for subject, actions in videos.items():
        if not isinstance(actions, dict):
            raise ValueError(f"{where}: {subject}: got no dictionary of actions")
        for action, cameras in actions.items():
            if isinstance(cameras, np.ndarray):
                cameras = [cameras] if cameras.ndim == 3 else list(np.atleast_1d(cameras))
            if not isinstance(cameras, (list, tuple)):
                raise ValueError(
                    f"{where}: {subject}: {action}: got {type(cameras).__name__}, expected arrays"
                )
            # a video of one's own is called "custom"
            names = [] if action == "custom" else [str(action)]
            for number, points in enumerate(cameras):
                yield str(subject), names + [str(number)] * (len(cameras) > 1), points


def _layout(metadata: Mapping[str, Any], count: int) -> str | None:
    named = _LAYOUTS.get((str(metadata.get("layout_name")), count))
    if named is not None:
        return named
    symmetry = metadata.get("keypoints_symmetry")
    if not isinstance(symmetry, (list, tuple)) or not symmetry:
        return None
    try:
        return _LEFT.get(tuple(int(joint) for joint in symmetry[0]))
    except (TypeError, ValueError):
        return None


def _size(size: Any) -> tuple[float, float] | None:
    if not isinstance(size, dict):
        return None
    width, height = size.get("w"), size.get("h")
    if not all(isinstance(each, (int, float)) for each in (width, height)):
        return None
    return float(width or 0), float(height or 0)
