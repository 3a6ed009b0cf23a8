"""Lens distortion in OpenCV's model, and its inverse.

A point u of the image plane (X/Z, Y/Z) is seen at

    x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6) + 2 p1 x y + p2 (r^2 + 2 x^2)
    y' = y (1 + k1 r^2 + k2 r^4 + k3 r^6) + p1 (r^2 + 2 y^2) + 2 p2 x y

The coefficients come in OpenCV's order: k1, k2, p1, p2, k3. Human3.6M's, as VideoPose3D stores
them, are others: their order is k1, k2, k3, p1, p2, their p is (p2, p1) of OpenCV, and the terms
2 x y and 2 x^2 stand there without the 2 (`poseda_ext.reference.project`). Fisheye and rational
models are not known here.

The model is a polynomial, and only near the centre a lens: beyond the radius where
r (1 + k1 r^2 + k2 r^4 + k3 r^6) stops to grow it folds back. **Rule**: a seen point is undone where
the lens can have produced it from within that radius, with the image the right way round (positive
Jacobian determinant). Any other point is not valid, and stays where it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from poseda_ext.reference import distort

Array = NDArray[Any]
Intrinsics = tuple[float, float, float, float]
Distortion = tuple[float, float, float, float, float]

_BISECTIONS = 40
_NEWTON_STEPS = 12
_TOLERANCE = 1e-11  #: of the image plane; 1e-8 pixels at a focal length of 1,000


def distort_plane(plane: Array, distortion: Distortion) -> Array:
    """The lens itself: (..., 2) points of the image plane to where they are seen."""
    k1, k2, p1, p2, k3 = distortion
    radial = torch.tensor((k1, k2, k3), dtype=torch.float64)
    tangential = torch.tensor((p2, p1), dtype=torch.float64)
    points = torch.from_numpy(np.ascontiguousarray(plane, dtype=np.float64))
    return distort(points, radial, tangential, 2.0).numpy()


def undistort_plane(seen: Array, distortion: Distortion) -> tuple[Array, Array]:
    """The inverse of `distort_plane`: bisection along the radius, then Newton's method.

    Args:
        seen: (..., 2) distorted points of the image plane.
        distortion: k1, k2, p1, p2, k3.

    Returns:
        (..., 2) undistorted points, and (...) whether each is valid by the rule at the head of
        this module. A point that is not is returned as it came.
    """
    seen = np.asarray(seen, dtype=np.float64)
    finite: Array = np.asarray(np.isfinite(seen).all(-1))
    target = np.where(finite[..., None], seen, 0.0)
    fold = fold_radius(distortion)
    plane = _undo_radial(target, distortion, fold)
    for _ in range(_NEWTON_STEPS):
        jacobian, determinant = _jacobian(plane, distortion)
        step = _solve(jacobian, determinant, distort_plane(plane, distortion) - target)
        plane = plane - step
    error = np.abs(distort_plane(plane, distortion) - target).max(-1)
    inside = np.linalg.norm(plane, axis=-1) < fold
    valid = finite & inside & (_jacobian(plane, distortion)[1] > 0)
    valid &= error <= _TOLERANCE * np.maximum(1, np.abs(target).max(-1))
    return np.where(valid[..., None], plane, seen), valid


def fold_radius(distortion: Distortion) -> float:
    """The radius on the image plane where the radial part folds back; infinity if nowhere."""
    k1, k2, _, _, k3 = distortion
    roots = np.roots(np.trim_zeros((7 * k3, 5 * k2, 3 * k1, 1.0), "f"))  # in r^2
    real = roots.real[(np.abs(roots.imag) < 1e-9 * np.abs(roots)) & (roots.real > 0)]
    return float(np.sqrt(real.min())) if len(real) else np.inf


def _radial(squared: Array, distortion: Distortion) -> Array:
    k1, k2, _, _, k3 = distortion
    gain: Array = 1 + squared * (k1 + squared * (k2 + squared * k3))
    return gain


def _undo_radial(seen: Array, distortion: Distortion, fold: float) -> Array:
    """The radial part alone, undone by bisection of r within [0, fold]."""
    radius = np.linalg.norm(seen, axis=-1)
    low, high = np.zeros_like(radius), np.full_like(radius, fold)
    if np.isinf(fold):
        high = np.maximum(radius, 1e-12)
        while (short := high * _radial(high**2, distortion) < radius).any():
            high = np.where(short, 2 * high, high)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        short = middle * _radial(middle**2, distortion) < radius
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return seen * (low / np.maximum(radius, 1e-300))[..., None]


def _jacobian(plane: Array, distortion: Distortion) -> tuple[Array, Array]:
    """(..., 2, 2) derivative of `distort_plane`, and (...) its determinant."""
    k1, k2, p1, p2, k3 = distortion
    x, y = plane[..., 0], plane[..., 1]
    squared = x * x + y * y
    gain = _radial(squared, distortion)
    slope = 2 * (k1 + squared * (2 * k2 + squared * 3 * k3))  # of the gain by r^2, doubled
    xx = gain + slope * x * x + 2 * p1 * y + 6 * p2 * x
    yy = gain + slope * y * y + 6 * p1 * y + 2 * p2 * x
    xy = slope * x * y + 2 * p1 * x + 2 * p2 * y
    jacobian = np.stack((np.stack((xx, xy), -1), np.stack((xy, yy), -1)), -2)
    return jacobian, xx * yy - xy * xy


def _solve(jacobian: Array, determinant: Array, right: Array) -> Array:
    """(..., 2) solutions; zero where the determinant is."""
    usable = np.abs(determinant) > 1e-12
    inverse = np.where(usable, 1 / np.where(usable, determinant, 1), 0)
    (a, b), (c, d) = (
        (jacobian[..., 0, 0], jacobian[..., 0, 1]),
        (jacobian[..., 1, 0], jacobian[..., 1, 1]),
    )
    x, y = right[..., 0], right[..., 1]
    return np.stack((d * x - b * y, a * y - c * x), -1) * inverse[..., None]
