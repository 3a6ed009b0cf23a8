"""Rotations, projections, and where a root-relative pose stands in front of its camera."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from poseda_ext.reference import rotate

Array = NDArray[Any]


def rotation_matrices(axis_angle: Array) -> Array:
    """(..., 3) axis-angle vectors in radians to (..., 3, 3) float64 rotation matrices."""
    vectors = torch.from_numpy(np.array(axis_angle, dtype=np.float64))
    axes = torch.eye(3, dtype=torch.float64).expand(*vectors.shape, 3)
    return rotate(axes, vectors[..., None, :]).mT.numpy()


def project(pose3d: Array, intrinsics: Array) -> Array:
    """The image of points.

    Args:
        pose3d: (..., J, 3), camera frame.
        intrinsics: (..., 4) fx, fy, cx, cy in pixels.

    Returns:
        (..., J, 2) pixels. Points in the plane of the camera come out infinite or NaN.
    """
    focal, centre = intrinsics[..., None, :2], intrinsics[..., None, 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        image: Array = pose3d[..., :2] / pose3d[..., 2:] * focal + centre
    return image


def reprojection_error(pose3d: Array, pose2d: Array, intrinsics: Array) -> Array:
    """(...) pixels: median over the joints of the distance between `pose2d` and the image of
    `pose3d`; infinite where it cannot be told."""
    distance = np.linalg.norm(project(pose3d, intrinsics) - pose2d, axis=-1)
    error: Array = np.median(np.where(np.isfinite(distance), distance, np.inf), axis=-1)
    return error


def solve_root(pose3d: Array, pose2d: Array, intrinsics: Array) -> Array:
    """The root position at which the image of a root-relative pose is nearest to its 2D joints.

    Each joint gives two equations that are linear in the position: with the ray (u, v, 1) through
    the 2D joint, ``x - u z = u z_j - x_j`` and likewise for y. Their least-squares solution is
    exact where 2D and 3D agree; otherwise far joints weigh a little more than near ones.

    Args:
        pose3d: (..., J, 3) relative to the root, camera axes, metres.
        pose2d: (..., J, 2) pixels.
        intrinsics: (..., 4) fx, fy, cx, cy in pixels.

    Returns:
        (..., 3) metres. NaN where all 2D joints are one point.
    """
    ray = (pose2d - intrinsics[..., None, 2:]) / intrinsics[..., None, :2]  # (..., J, 2)
    offset = ray * pose3d[..., 2:] - pose3d[..., :2]  # (..., J, 2)
    ray_mean, offset_mean = ray.mean(-2), offset.mean(-2)
    ray, offset = ray - ray_mean[..., None, :], offset - offset_mean[..., None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = -(ray * offset).sum((-2, -1)) / (ray * ray).sum((-2, -1))
    return np.concatenate((ray_mean * depth[..., None] + offset_mean, depth[..., None]), -1)


def far_outside(pose2d: Array, image_size: Array | tuple[int, int]) -> Array:
    """(N,) whether a joint of (N, J, 2) pixels lies more than one image size outside the image,
    which the canonical file does not take."""
    size = np.asarray(image_size)
    return np.asarray(((pose2d < -size) | (pose2d > 2 * size)).any((1, 2)))
