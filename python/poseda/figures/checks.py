"""What figures are drawn from, checked."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from poseda.figures.style import Array
from poseda_ext.skeleton import Skeleton


def checked_poses(label: str, poses: Tensor, skeleton: Skeleton | None, dims: int) -> Array:
    """(K, J, dims) as float64 numpy, or a ValueError that names the argument."""
    joints = "J" if skeleton is None else str(skeleton.num_joints)
    shape = tuple(poses.shape)
    expected = f"expected (K, {joints}, {dims})"
    if len(shape) != 3 or shape[2] != dims or shape[1] == 0:
        raise ValueError(f"{label}: got shape {shape}, {expected}")
    if skeleton is not None and shape[1] != skeleton.num_joints:
        raise ValueError(f"{label}: got shape {shape}, {expected}")
    if shape[0] == 0:
        raise ValueError(f"{label}: got no poses, {expected} with K at least 1")
    array: Array = torch.as_tensor(poses).detach().cpu().double().numpy()
    bad = int((~np.isfinite(array)).any((1, 2)).sum())
    if bad:
        raise ValueError(f"{label}: got NaN or infinity in {bad} of {shape[0]} poses")
    return array


def optional_poses(label: str, poses: Tensor | None, skeleton: Skeleton, dims: int) -> Array | None:
    return None if poses is None else checked_poses(label, poses, skeleton, dims)


MAX_ROWS = 8  #: samples in one figure


def common_samples(poses: Mapping[str, Array | None]) -> int:
    """The common number of samples."""
    counts = {label: len(array) for label, array in poses.items() if array is not None}
    if not counts:
        raise ValueError("stages: got no poses, expected pose3d or pose2d in at least one")
    samples = next(iter(counts.values()))
    for label, count in counts.items():
        if count != samples:
            raise ValueError(f"{label}: got {count} samples, expected {samples} as in the others")
    if samples > MAX_ROWS:
        raise ValueError(f"got {samples} samples, expected at most {MAX_ROWS} in one figure")
    return samples


def rooted(poses: Array) -> Array:
    return poses - poses[:, :1]


def finite_number(value: Any) -> float | None:
    """A finite number as float; anything else, flags too, as None."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    number = float(value)
    return number if math.isfinite(number) else None
