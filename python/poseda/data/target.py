"""2D keypoints of a new place, whatever their form, as a `PoseSet`.

A canonical file (`poseda.data.poseset`) is taken as it is. Keypoints in any other form
(`poseda.keypoints`) get their camera from what the user knows of it (`poseda.cameras`); lens
distortion is undone, and a point that the lens cannot have shown counts as not seen.
"""

from __future__ import annotations

import dataclasses
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.cameras import ESTIMATE, Camera, parse_camera, parse_image_size, undistort_points
from poseda.cameras.estimate import Estimator
from poseda.config import KeypointSettings, given
from poseda.data.poseset import MIN_CONFIDENCE, PoseSet, load_pose_set, pose_set_from_arrays
from poseda.keypoints import Keypoints, read_keypoints
from poseda.keypoints.files import Source
from poseda.keypoints.fill import complete, from_body
from poseda_ext.skeleton import H36M_17, Skeleton

Size = tuple[int, int]
#: what a user knows of a camera: text, a camera, or fx, fy, cx, cy in pixels
CameraLike = str | Camera | Sequence[float] | None


@dataclass(frozen=True, eq=False)
class Target:
    """2D poses, and what a user is told of them.

    Attributes:
        poses: N frames.
        lines: what was read and dropped, and the camera.
        video: (N,) integers, the video that a frame is of, which several people may share; None
            where that is not known beyond the clips of single people.
    """

    poses: PoseSet
    lines: tuple[str, ...]
    video: NDArray[Any] | None = None


def load_target(
    path: Source | Sequence[Source],
    settings: KeypointSettings,
    skeleton: Skeleton,
    *,
    camera: CameraLike = None,
    camera_classes: Mapping[str, Sequence[int]] | None = None,
    estimator: Estimator | None = None,
) -> Target:
    """Reads a canonical file, or keypoints in any other form.

    Args:
        path: a file, a folder, a glob pattern, or a list of them.
        settings: what is known of the keypoints.
        skeleton: joints to take, as in `load_pose_set`.
        camera: as settings.camera, which it replaces.
        camera_classes: as in `load_pose_set`, for a canonical file.
        estimator: what estimates the camera, where that is asked for.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file is not what it should be, or its camera or image size is missing or
            given twice.
    """
    camera = settings.camera if camera is None else camera
    if isinstance(path, str | os.PathLike) and _is_canonical(Path(path), camera):
        _check_alone(path, settings, camera)
        poses = load_pose_set(
            path,
            skeleton=skeleton,
            camera_classes=camera_classes,
            min_confidence=settings.min_confidence,
        )
        return Target(poses, (f"{path}: canonical, {len(poses):,} poses",))
    if camera_classes is not None:
        raise ValueError(f"camera_classes: got some for {path}, expected them for canonical files")
    keypoints = read_own(path, settings, camera)
    name = Path(path).stem if isinstance(path, str | os.PathLike) else str(keypoints.source[0])
    return with_camera(keypoints, settings, skeleton, camera=camera, name=name, estimator=estimator)


def read_own(
    path: Source | Sequence[Source], settings: KeypointSettings, camera: CameraLike
) -> Keypoints:
    """`read_keypoints` with the user's settings; a `Camera` says the image size too."""
    return read_keypoints(
        path,
        format=settings.format,
        image_size=_given_size(settings, camera),
        fps=settings.fps,
        min_confidence=settings.min_confidence,
        max_people=settings.max_people,
    )


def with_camera(
    keypoints: Keypoints,
    settings: KeypointSettings,
    skeleton: Skeleton,
    *,
    camera: CameraLike,
    name: str,
    estimator: Estimator | None = None,
) -> Target:
    """Keypoints with the camera that took them.

    Args:
        keypoints: to take.
        settings: image size, where the keypoints do not have it, distortion and confidence.
        skeleton: joints to take.
        camera: what is known of it; None assumes one (`poseda.cameras.parse_camera`).
        name: of the set.
        estimator: what estimates the camera, where that is asked for; one for images of one size.

    Raises:
        ValueError: if the image size is not known, or the camera does not fit.
    """
    arrays, lines = canonical_arrays(keypoints, settings, camera, estimator)
    poses = pose_set_from_arrays(
        arrays, name=name, skeleton=skeleton, min_confidence=settings.min_confidence
    )
    return Target(poses, tuple(lines), keypoints.video)


def canonical_arrays(
    keypoints: Keypoints,
    settings: KeypointSettings,
    camera: CameraLike,
    estimator: Estimator | None = None,
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Keypoints with their camera, as the arrays of a canonical file, and what a user is told.

    Args:
        keypoints: as in `with_camera`.
        settings: as in `with_camera`.
        camera: as in `with_camera`.
        estimator: as in `with_camera`.

    Raises:
        ValueError: as in `with_camera`.
    """
    sizes = keypoints.sizes(_given_size(settings, camera))
    cameras: list[Camera] = []
    points, seen = keypoints.points.copy(), np.ones(keypoints.points.shape[:2], dtype=bool)
    intrinsics = np.empty((len(keypoints), 4))
    of_size = _camera_maker(camera, settings.distortion)
    for size in np.unique(sizes, axis=0):
        rows = (sizes == size).all(axis=1)
        if estimator is not None and camera == ESTIMATE:
            one = _estimated(keypoints, rows, parse_image_size(size), settings, estimator)
        else:
            one = of_size(parse_image_size(size))
        points[rows], seen[rows] = undistort_points(points[rows], one)
        intrinsics[rows] = one.intrinsics
        cameras.append(one)
    shown = dataclasses.replace(
        keypoints,
        points=points,
        confidence=np.where(seen, keypoints.confidence, 0.0),
        about={**keypoints.about, "camera": " | ".join(map(_said, cameras))},
    )
    lines = [*keypoints.lines, *(line for each in cameras for line in each.lines())]
    if not seen.all():
        lines.append(f"{(~seen).sum():,} joints lie where the lens shows nothing: not seen")
    return shown.arrays(intrinsics, sizes), lines


def keypoints_of(
    points: NDArray[Any], settings: KeypointSettings, skeleton: Skeleton, *, name: str = "keypoints"
) -> Keypoints:
    """Keypoints of one person, frame by frame, from an array.

    Args:
        points: (N, J, 2) pixels, or (N, J, 3) with the confidence; joints of `skeleton`, or of
            `H36M_17`. NaN where a joint was not seen.
        settings: frame rate and confidence.
        skeleton: J joints, of those of `H36M_17`.
        name: of the person.

    Raises:
        ValueError: if the shape is another, or too few joints of a row were seen.
    """
    joints = {each.num_joints: each for each in (H36M_17, skeleton)}
    if points.ndim != 3 or points.shape[1] not in joints or points.shape[2] not in (2, 3):
        raise ValueError(
            f"keypoints: got shape {points.shape}, expected (N, {skeleton.num_joints}, 2), or 3 "
            "with the confidence"
        )
    if not len(points):
        raise ValueError("keypoints: got no rows, expected at least one frame")
    columns = [H36M_17.names.index(joint) for joint in joints[points.shape[1]].names]
    at = np.full((len(points), H36M_17.num_joints, 2), np.nan)
    confidence = np.zeros(at.shape[:2])
    at[:, columns] = points[..., :2]
    confidence[:, columns] = points[..., 2] if points.shape[2] == 3 else 1.0
    confidence = np.where(np.isfinite(at).all(-1) & np.isfinite(confidence), confidence, 0.0)
    seen = confidence >= settings.min_confidence
    whole = complete(seen)
    if not whole.all():
        raise ValueError(
            f"keypoints: got {int((~whole).sum())} of {len(whole)} rows (first: row "
            f"{int(whole.argmin())}) without a seen hip, without a seen shoulder, or with fewer "
            "than 9 joints, expected whole people: leave such rows out"
        )
    rows = np.arange(len(points))
    return Keypoints(
        points=from_body(at, seen),
        confidence=confidence,
        person=np.full(len(points), name),
        clip=np.zeros(len(points), dtype=np.int64),
        video=np.zeros(len(points), dtype=np.int64),
        frame=rows,
        source=np.full(len(points), name),
        image_size=None,
        rate=np.full(len(points), settings.fps or 0.0),
        about={"dataset": "keypoints of the user", "labels": "none", "pose2d": "as given"},
        lines=(f"{len(points):,} poses of {points.shape[1]} joints",),
    )


def _said(camera: Camera) -> str:
    return camera.lines()[0].removeprefix("camera: ")


def _is_canonical(path: Path, camera: CameraLike) -> bool:
    """One with 2D and intrinsics; without a camera also one that lacks them, so that it is told."""
    if path.suffix.lower() != ".npz" or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False
    return "pose2d.npy" in members and (camera is None or "intrinsics.npy" in members)


def _check_alone(path: Source, settings: KeypointSettings, camera: CameraLike) -> None:
    """A canonical file says itself what the settings could say."""
    said = given(dataclasses.replace(settings, min_confidence=MIN_CONFIDENCE))
    if camera is not None and "camera" not in said:
        said.append("camera")
    if said:
        raise ValueError(
            f"{', '.join(said)}: got some for {path}, which is a canonical file with a camera of "
            "its own, expected none"
        )


def _given_size(settings: KeypointSettings, camera: CameraLike) -> Size | None:
    if settings.image_size is not None:
        return parse_image_size(settings.image_size)
    return camera.image_size if isinstance(camera, Camera) else None


def _estimated(
    keypoints: Keypoints,
    rows: NDArray[np.bool_],
    size: Size,
    settings: KeypointSettings,
    estimator: Estimator,
) -> Camera:
    """The camera that the rows tell."""
    if settings.distortion is not None:
        raise ValueError(
            "distortion: got coefficients beside camera estimate, expected a focal length: they "
            "belong to one; say --camera fx,fy,cx,cy"
        )
    sure = keypoints.confidence[rows] >= settings.min_confidence
    return estimator(keypoints.points[rows], size, seen=sure, clip=keypoints.clip[rows])


def _camera_maker(camera: CameraLike, distortion: str | None) -> Callable[[Size], Camera]:
    """What makes the camera for images of a size."""
    if isinstance(camera, Camera):
        if distortion is not None:
            raise ValueError("distortion: got some beside a Camera, which has its own")
        return lambda size: camera  # sizes are its own, or were refused
    if camera is None or isinstance(camera, str):
        return lambda size: parse_camera(camera, size, distortion=distortion)
    try:
        text = ",".join(repr(float(number)) for number in camera)
    except (TypeError, ValueError):
        raise TypeError(
            f"camera: got {camera!r:.60}, expected a text such as fov=60, a Camera, or the numbers "
            "fx, fy, cx, cy"
        ) from None
    return lambda size: parse_camera(text, size, distortion=distortion)
