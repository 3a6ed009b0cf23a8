"""From what is known of a camera to intrinsics in pixels."""

from poseda.cameras.camera import (
    ESTIMATE,
    Camera,
    distort_points,
    parse_camera,
    parse_distortion,
    parse_image_size,
    sensitivity,
    undistort_points,
)
from poseda.cameras.estimate import estimate_camera

__all__ = [
    "ESTIMATE",
    "Camera",
    "distort_points",
    "estimate_camera",
    "parse_camera",
    "parse_distortion",
    "parse_image_size",
    "sensitivity",
    "undistort_points",
]
