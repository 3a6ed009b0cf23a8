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

from dataclasses import dataclass
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


@dataclass(frozen=True)
class LensModel:
    """The polynomial of `poseda_ext.reference.distort`, on the image plane.

    Attributes:
        radial: k1, k2, k3.
        tangential: p, as it stands there.
        tangential_gain: g, which is 1 in VideoPose3D's model and 2 in OpenCV's.
    """

    radial: tuple[float, float, float]
    tangential: tuple[float, float]
    tangential_gain: float

    def distort(self, plane: Array) -> Array:
        """(..., 2) points to where they are seen."""
        radial = torch.tensor(self.radial, dtype=torch.float64)
        tangential = torch.tensor(self.tangential, dtype=torch.float64)
        points = torch.from_numpy(np.ascontiguousarray(plane, dtype=np.float64))
        return distort(points, radial, tangential, self.tangential_gain).numpy()

    def step(self, plane: Array, error: Array) -> Array:
        """Newton's step: (..., 2) what the derivative at `plane` turns into `error`; zero where its
        determinant is."""
        (xx, xy), (yx, yy) = self._jacobian(plane)
        determinant = xx * yy - xy * yx
        usable = np.abs(determinant) > 1e-12
        inverse = np.where(usable, 1 / np.where(usable, determinant, 1), 0)
        a, b = error[..., 0], error[..., 1]
        return np.stack((yy * a - xy * b, xx * b - yx * a), -1) * inverse[..., None]

    def upright(self, plane: Array) -> Array:
        """(...) whether the image there is the right way round."""
        (xx, xy), (yx, yy) = self._jacobian(plane)
        return np.asarray(xx * yy - xy * yx > 0)

    def radial_gain(self, squared: Array) -> Array:
        """By what the radial part multiplies a radius, from its square."""
        k1, k2, k3 = self.radial
        gain: Array = 1 + squared * (k1 + squared * (k2 + squared * k3))
        return gain

    def fold_radius(self) -> float:
        """The radius where the radial part folds back; infinity if nowhere."""
        k1, k2, k3 = self.radial
        roots = np.roots(np.trim_zeros((7 * k3, 5 * k2, 3 * k1, 1.0), "f"))  # in r^2
        real = roots.real[(np.abs(roots.imag) < 1e-9 * np.abs(roots)) & (roots.real > 0)]
        return float(np.sqrt(real.min())) if len(real) else np.inf

    def _jacobian(self, plane: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        (k1, k2, k3), (p, q), g = self.radial, self.tangential, self.tangential_gain
        x, y = plane[..., 0], plane[..., 1]
        squared = x * x + y * y
        gain = self.radial_gain(squared) + g * (p * x + q * y)
        slope = 2 * (
            k1 + squared * (2 * k2 + squared * 3 * k3)
        )  # of the radial part by r^2, doubled
        along_x, along_y = slope * x + g * p, slope * y + g * q
        return (
            (gain + x * along_x + 2 * p * x, x * along_y + 2 * p * y),
            (y * along_x + 2 * q * x, gain + y * along_y + 2 * q * y),
        )


def opencv(distortion: Distortion) -> LensModel:
    """The model of OpenCV's k1, k2, p1, p2, k3."""
    k1, k2, p1, p2, k3 = distortion
    return LensModel((k1, k2, k3), (p2, p1), 2.0)


def distort_plane(plane: Array, distortion: Distortion) -> Array:
    """The lens itself: (..., 2) points of the image plane to where they are seen."""
    return opencv(distortion).distort(plane)


@np.errstate(over="ignore", invalid="ignore")  # of points that are then not valid
def undistort_plane(seen: Array, distortion: Distortion) -> tuple[Array, Array]:
    """The inverse of `distort_plane`: bisection along the radius, then Newton's method.

    Args:
        seen: (..., 2) distorted points of the image plane.
        distortion: k1, k2, p1, p2, k3.

    Returns:
        (..., 2) undistorted points, and (...) whether each is valid by the rule at the head of
        this module. A point that is not is returned as it came.
    """
    model = opencv(distortion)
    seen = np.asarray(seen, dtype=np.float64)
    finite: Array = np.asarray(np.isfinite(seen).all(-1))
    target = np.where(finite[..., None], seen, 0.0)
    fold = model.fold_radius()
    plane = _undo_radial(target, model, fold)
    for _ in range(_NEWTON_STEPS):
        plane = plane - model.step(plane, model.distort(plane) - target)
    error = np.abs(model.distort(plane) - target).max(-1)
    valid = finite & (np.linalg.norm(plane, axis=-1) < fold) & model.upright(plane)
    valid &= error <= _TOLERANCE * np.maximum(1, np.abs(target).max(-1))
    return np.where(valid[..., None], plane, seen), valid


def _undo_radial(seen: Array, model: LensModel, fold: float) -> Array:
    """The radial part alone, undone by bisection of r within [0, fold]."""
    radius = np.linalg.norm(seen, axis=-1)
    low, high = np.zeros_like(radius), np.full_like(radius, fold)
    if np.isinf(fold):
        high = np.maximum(radius, 1e-12)
        while (short := high * model.radial_gain(high**2) < radius).any():
            high = np.where(short, 2 * high, high)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        short = middle * model.radial_gain(middle**2) < radius
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return seen * (low / np.maximum(radius, 1e-300))[..., None]
