"""A camera above standing people: what the images of their feet and necks say of it.

People of one size stand upright on level ground: from the ground ``q`` between the feet, the neck
is at ``q + H u``, with ``u`` the direction up. Seen from a height ``h`` above the ground, the image
of the feet, the focal length f and u give ``q / h``. So the image of the neck follows from that of
the feet with four unknowns: f, the pitch and roll that make u, and H / h. Where the camera looks
down, people further away are smaller and lean otherwise, and that tells f. Where it looks level, f
and pitch trade for each other.

Lengths in the image are in the unit of the caller, from the principal point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: of the distance foot to neck in the image; a person who stands leans and sways by as much
TOLERANCE = 0.06
_STEPS = 30
_DIFFERENCE = 1e-5
#: pitch, roll and neck over camera height to start from: level, from above, from below
_STARTS = ((0.05, 0.0, 0.9), (0.5, 0.0, 0.6), (-0.15, 0.0, 1.8))


@dataclass(frozen=True)
class Profile:
    """The best fit for each of F focal lengths.

    Attributes:
        focal: (F,) focal lengths, ascending.
        cost: (F, N) of each person, robust: the logarithm of 1 + (error / `TOLERANCE`)^2.
        pitch: (F,) radians, positive where the camera looks down.
    """

    focal: Array
    cost: Array
    pitch: Array


def up_direction(pitch: float, roll: float) -> Array:
    """(3,) up, in the camera frame (x right, y down, z forward)."""
    level = np.cos(pitch)
    return np.array([np.sin(roll) * level, -np.cos(roll) * level, -np.sin(pitch)])


def necks_of(feet: Array, focal: float, pitch: float, roll: float, ratio: float) -> Array:
    """Where the necks of standing people are seen.

    Args:
        feet: (N, 2) image of the ground between their feet.
        focal: focal length.
        pitch: radians, positive where the camera looks down.
        roll: radians.
        ratio: height of the neck over height of the camera.

    Returns:
        (N, 2).
    """
    up = up_direction(pitch, roll)
    ray = np.concatenate((feet / focal, np.ones((len(feet), 1))), axis=-1)
    ground = ray / np.maximum(-(ray @ up), 1e-3)[:, None]
    neck = ground + ratio * up
    image: Array = focal * neck[:, :2] / np.maximum(neck[:, 2:], 1e-3)
    return image


def fit_profile(feet: Array, necks: Array, focal: Array) -> Profile:
    """Fits pitch, roll and ratio for each focal length.

    Args:
        feet: (N, 2) image of the ground between the feet.
        necks: (N, 2) image of the neck.
        focal: (F,) focal lengths, ascending.
    """
    middle = len(focal) // 2
    found: dict[int, Array] = {}
    for order in (range(middle, len(focal)), range(middle - 1, -1, -1)):
        for i in order:
            near = found.get(i - 1, found.get(i + 1))
            starts = _STARTS if near is None else (near,)  # others lead to the same, measured
            tries = [_fit(feet, necks, focal[i], np.asarray(start)) for start in starts]
            found[i] = min(tries, key=lambda fit: fit[0])[1]
    fits = [found[i] for i in range(len(focal))]
    cost = [_cost(_error(feet, necks, f, fit)) for f, fit in zip(focal, fits, strict=True)]
    return Profile(focal, np.stack(cost), np.array([fit[0] for fit in fits]))


def best_focal(focal: Array, cost: Array) -> Array:
    """The minimum of a parabola through the lowest of (F, ...) costs and its neighbours, over the
    logarithm of (F,) evenly spaced focal lengths. NaN where the lowest is the first or the last."""
    logs = np.log(focal)
    lowest = cost.argmin(0)
    inner = np.clip(lowest, 1, len(focal) - 2)
    left, centre, right = (np.take_along_axis(cost, (inner + k)[None], 0)[0] for k in (-1, 0, 1))
    bend = np.maximum(left - 2 * centre + right, 1e-300)
    shift = np.clip((left - right) / (2 * bend), -1, 1)
    found = np.exp(logs[inner] + shift * (logs[1] - logs[0]))
    return np.where(lowest == inner, found, np.nan)


def _error(feet: Array, necks: Array, focal: float, fit: Array) -> Array:
    """(N, 2) of the distance foot to neck."""
    size = np.linalg.norm(necks - feet, axis=-1, keepdims=True)
    error: Array = (necks_of(feet, focal, *fit) - necks) / size
    return error


def _cost(error: Array) -> Array:
    cost: Array = np.log1p((error**2).sum(-1) / TOLERANCE**2)
    return cost


def _fit(feet: Array, necks: Array, focal: float, start: Array) -> tuple[float, Array]:
    """Levenberg-Marquardt on Cauchy's robust cost, iteratively reweighted."""
    fit, damping = start, 1e-3
    error = _error(feet, necks, focal, fit)
    cost = float(_cost(error).mean())
    for _ in range(_STEPS):
        moved = [
            (_error(feet, necks, focal, fit + step) - error) / _DIFFERENCE
            for step in np.eye(3) * _DIFFERENCE
        ]
        jacobian = np.stack(moved, axis=-1)  # (N, 2, 3)
        weight = 1 / (1 + (error**2).sum(-1) / TOLERANCE**2)
        square = np.einsum("n,nij,nik->jk", weight, jacobian, jacobian)
        slope = np.einsum("n,nij,ni->j", weight, jacobian, error)
        for _ in range(6):
            damped = square + damping * np.diag(np.diag(square)) + 1e-12 * np.eye(3)
            next_fit = fit - np.linalg.solve(damped, slope)
            next_error = _error(feet, necks, focal, next_fit)
            next_cost = float(_cost(next_error).mean())
            if next_cost < cost:
                break
            damping *= 10
        else:
            return cost, fit
        gain, damping = cost - next_cost, max(damping / 5, 1e-9)
        fit, error, cost = next_fit, next_error, next_cost
        if gain < 1e-8:
            break
    return cost, fit
