"""Camera rigs that look at the synthetic humans."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poseda.data.geometry import project

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in the world frame (z up, metres).

    Attributes:
        camera_class: kind of view.
        intrinsics: fx, fy, cx, cy in pixels.
        image_size: width, height in pixels.
        position: (3,) metres.
        rotation: (3, 3) world to camera; its rows are the camera's right, down and forward.
    """

    camera_class: str
    intrinsics: tuple[float, float, float, float]
    image_size: tuple[int, int]
    position: Array
    rotation: Array

    def to_camera(self, points: Array) -> Array:
        """World points (..., 3) to the camera frame: x right, y down, z forward."""
        relative: Array = (points - self.position) @ self.rotation.T
        return relative

    def project(self, points: Array) -> Array:
        """Points (..., J, 3) of the camera frame to (..., J, 2) pixels."""
        return project(points, np.asarray(self.intrinsics))


def look_at(
    camera_class: str,
    intrinsics: tuple[float, float, float, float],
    image_size: tuple[int, int],
    position: tuple[float, float, float],
    target: tuple[float, float, float],
) -> Camera:
    """A camera at `position` with a level horizon that looks at `target`."""
    eye = np.asarray(position, dtype=np.float64)
    forward = np.asarray(target) - eye
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right = right / np.linalg.norm(right)
    rotation = np.stack((right, np.cross(forward, right), forward))
    return Camera(camera_class, intrinsics, image_size, eye, rotation)


def human36m_rig() -> list[Camera]:
    """Four cameras about 1.6 m high near the corners of a room, as in Human3.6M.

    The intrinsics are those of Human3.6M's cameras without the lens distortion; the positions are
    rounded from its laboratory. All tilt down a little, towards the hips of a standing person.
    """
    cameras = (
        ((1145.0494, 1143.7811, 512.5415, 515.4515), (1000, 1002), (1.9, 4.9, 1.60)),
        ((1149.6757, 1147.5917, 508.8486, 508.0649), (1000, 1000), (1.9, -5.1, 1.62)),
        ((1149.1407, 1148.7990, 519.8159, 501.4026), (1000, 1000), (-1.9, 5.3, 1.56)),
        ((1145.5114, 1144.7739, 514.9682, 501.8820), (1000, 1002), (-1.9, -4.6, 1.55)),
    )
    return [
        look_at("chest", intrinsics, size, position, (0.0, 0.0, 0.95))
        for intrinsics, size, position in cameras
    ]


def mpi_inf_3dhp_rig() -> list[Camera]:
    """Fourteen wide cameras at three heights around the person, in the spirit of MPI-INF-3DHP.

    MPI-INF-3DHP films with 14 cameras at chest height, near the ground looking up and under the
    ceiling looking down, of 2048 x 2048 pixels and about 1500 pixels focal length. The places are
    this project's own choice: 5 chest, 4 knee and 5 ceiling cameras, evenly around with some
    irregularity, 2.9 to 4.2 m from the middle.
    """
    plan = (
        # class, height of the camera, height that it looks at, (direction in degrees, distance)
        ("chest", 1.30, 1.00, ((10, 3.6), (80, 4.0), (155, 3.4), (225, 4.2), (300, 3.7))),
        ("knee", 0.50, 1.10, ((40, 3.2), (125, 3.5), (205, 3.1), (330, 3.4))),
        ("ceiling", 2.70, 0.85, ((0, 3.2), (65, 2.9), (140, 3.3), (215, 3.0), (285, 3.1))),
    )
    cameras = []
    for camera_class, height, aim, places in plan:
        for number, (degrees, distance) in enumerate(places):
            angle = math.radians(degrees)
            focal = 1490.0 + 7.0 * number
            cameras.append(
                look_at(
                    camera_class,
                    (focal, focal * 1.0004, 1024.0 + 6.0 * (number - 2), 1024.0 + 9.0 * number),
                    (2048, 2048),
                    (distance * math.cos(angle), distance * math.sin(angle), height),
                    (0.0, 0.0, aim),
                )
            )
    return cameras
