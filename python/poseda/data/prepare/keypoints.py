"""A target of one's own: 2D keypoints of any detector, and the camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from poseda.cameras import Camera, parse_camera, parse_image_size, undistort_points
from poseda.data.poseset import MIN_CONFIDENCE
from poseda.data.prepare.base import Preparation, Report
from poseda.data.writer import PoseWriter
from poseda.keypoints import Keypoints, read_keypoints


@dataclass(frozen=True, kw_only=True)
class PrepareKeypoints(Preparation):
    """2D keypoints of your own detector (MMPose, OpenPose, COCO results, AlphaPose, MediaPipe, CSV,
    npz), in a file or a folder.
    """

    dataset: ClassVar[str] = "keypoints of a detector"
    origin: ClassVar[str] = "your own videos"
    licence: ClassVar[str] = "your own"

    camera: str | None = None
    """fov=60 (degrees across the width), f=1500 (pixels), fx,fy,cx,cy (pixels), 35mm=26 or
    exif:PHOTO.jpg; left out, 60 degrees across the longer side are assumed."""
    distortion: str | None = None
    """k1,k2,p1,p2[,k3] of the lens in OpenCV's order; the keypoints are straightened."""
    image_size: str | None = None
    """Width and height of the images, e.g. 1920x1080; may be left out where the files say it."""
    fps: float | None = None
    """Frames per second, where the files do not say it."""
    format: str = "auto"
    """Form or joints of the files, where they do not say it: e.g. mmpose, coco_17, csv:h36m_17."""
    min_confidence: float = MIN_CONFIDENCE
    """A joint of lower confidence counts as not seen; where it is not 0.3, confidences are written
    stretched so that 0.3 is this threshold."""
    max_people: int | None = None
    """Keep those people of each video who are in most frames."""

    def convert(self, writer: PoseWriter, about: dict[str, Any], report: Report) -> None:
        keypoints = read_keypoints(
            self.folder,
            format=self.format,
            image_size=None if self.image_size is None else parse_image_size(self.image_size),
            fps=self.fps,
            min_confidence=self.min_confidence,
            max_people=self.max_people,
        )
        if keypoints.image_size is None:
            raise ValueError(
                f"image_size: got none, expected e.g. 1920x1080: {self.folder} does not say it"
            )
        for line in keypoints.lines:
            report.find(line)
        sizes, size_of = np.unique(keypoints.image_size, axis=0, return_inverse=True)
        cameras = [parse_camera(self.camera, size, distortion=self.distortion) for size in sizes]
        for camera in cameras:
            for line in camera.lines():
                report.find(line)
        columns = keypoints.arrays(np.asarray([each.intrinsics for each in cameras])[size_of])
        _straighten(columns, keypoints, cameras, size_of)
        columns.pop("about")
        columns["confidence"] = _to_threshold(columns["confidence"], self.min_confidence)
        writer.add(**columns)
        about.update(keypoints.about, camera=[each.origin for each in cameras])


def _to_threshold(confidence: Any, least: float) -> Any:
    """Confidences stretched so that canonical files' threshold stands for `least`."""
    if least == MIN_CONFIDENCE:
        return confidence
    stretched = np.interp(confidence, (0.0, least, 1.0), (0.0, MIN_CONFIDENCE, 1.0))
    hidden = np.minimum(stretched, 0.999 * MIN_CONFIDENCE)
    return np.where(confidence >= np.float32(least), np.maximum(stretched, MIN_CONFIDENCE), hidden)


def _straighten(
    columns: dict[str, Any], keypoints: Keypoints, cameras: list[Camera], size_of: Any
) -> None:
    """Undoes the lens distortion; what the lens cannot have seen counts as not seen."""
    for number, camera in enumerate(cameras):
        rows = np.flatnonzero(size_of == number)
        points, valid = undistort_points(keypoints.points[rows], camera)
        columns["pose2d"][rows] = points
        columns["confidence"][rows] = np.where(valid, columns["confidence"][rows], 0.0)
