"""`Keypoints`: people's 2D joints, before there is a camera."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


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
        video: (N,) integers, the video; its people share the count of frames.
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
    video: Array
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

    def sizes(self, image_size: Any = None) -> Array:
        """(N, 2) float64 width, height in pixels of the image of each row.

        Args:
            image_size: (2,) or (N, 2), where the files do not say it.

        Raises:
            ValueError: if the shape does not fit, nobody says the size, or the files say another.
        """
        if image_size is None:
            if self.image_size is None:
                raise ValueError(
                    "image_size: got none, and the keypoints do not say it, expected width and "
                    "height of the images, such as 1920x1080"
                )
            return self.image_size
        size = _rows("image_size", image_size, (len(self), 2))
        if self.image_size is not None and not np.array_equal(size, self.image_size):
            row = int((size != self.image_size).any(axis=1).argmax())
            raise ValueError(
                f"image_size: got {size[row, 0]:g}x{size[row, 1]:g}, expected "
                f"{self.image_size[row, 0]:g}x{self.image_size[row, 1]:g} as the keypoints of "
                f"{self.source[row]} say"
            )
        return size

    def arrays(self, intrinsics: Any, image_size: Any = None) -> dict[str, Array]:
        """The arrays of a canonical file, for `pose_set_from_arrays` and `save_pose_set`.

        Args:
            intrinsics: (4,) or (N, 4) fx, fy, cx, cy in pixels.
            image_size: as in `sizes`.

        Raises:
            ValueError: if the shape does not fit, or as in `sizes`.
        """
        return {
            "pose2d": self.points.astype(np.float32),
            "intrinsics": _rows("intrinsics", intrinsics, (len(self), 4)).astype(np.float32),
            "image_size": self.sizes(image_size).astype(np.float32),
            "confidence": self.confidence.astype(np.float32),
            "subject": self.person,
            "clip": self.clip,
            "frame": self.frame,
            "fps": self.rate.astype(np.float32),
            "about": np.asarray(json.dumps(dict(self.about))),
        }


def _rows(name: str, value: Any, shape: tuple[int, int]) -> Array:
    array = np.asarray(value, dtype=np.float64)
    if array.shape not in (shape, shape[1:]):
        raise ValueError(f"{name}: got shape {array.shape}, expected {shape[1:]} or {shape}")
    return np.broadcast_to(array, shape)
