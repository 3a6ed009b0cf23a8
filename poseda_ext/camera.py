"""Conversions between pixels and the screen-normalised plane.

The plane has x' = 2x/w - 1 and y' = 2y/w - h/w: the image width maps to [-1, 1] and the aspect
ratio is kept (VideoPose3D's ``normalize_screen_coordinates``). An image that is higher than wide
is first padded to a square, left and right alike, as AdaptPose does, so that every point of the
image stays within [-1, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor


def _scale_and_shift(points: Tensor, image_size: Tensor) -> tuple[Tensor, Tensor]:
    """Per row: 2 / side, and the (x, y) that is added after scaling. Shapes (..., 1), (..., 2)."""
    size = torch.as_tensor(image_size, device=points.device)
    if size.shape[-1] != 2:
        raise ValueError(f"image_size: got shape {tuple(size.shape)}, expected (..., 2)")
    size = size.to(points.dtype)
    width, height = size[..., :1], size[..., 1:]
    side = torch.maximum(width, height)
    shift = -torch.cat((width, height), dim=-1) / side
    return 2 / side, shift


def normalize_points(points: Tensor, image_size: Tensor) -> Tensor:
    """Pixels to the screen-normalised plane.

    Args:
        points: (..., J, 2) pixels, origin in the upper left corner, y down.
        image_size: (2,) or (..., 2), width and height in pixels.

    Returns:
        (..., J, 2) screen-normalised points.
    """
    scale, shift = _scale_and_shift(points, image_size)
    return points * scale[..., None, :] + shift[..., None, :]


def denormalize_points(points: Tensor, image_size: Tensor) -> Tensor:
    """The inverse of `normalize_points`: (..., J, 2) screen-normalised to (..., J, 2) pixels."""
    scale, shift = _scale_and_shift(points, image_size)
    return (points - shift[..., None, :]) / scale[..., None, :]


def normalize_intrinsics(intrinsics: Tensor, image_size: Tensor) -> Tensor:
    """Intrinsics in pixels to the unit of `normalize_points`.

    Args:
        intrinsics: (..., 4) fx, fy, cx, cy in pixels.
        image_size: (2,) or (..., 2), width and height in pixels.

    Returns:
        (..., 4) fx, fy, cx, cy, screen-normalised: about 2.29 for Human3.6M's cameras.
    """
    scale, shift = _scale_and_shift(intrinsics, image_size)
    focal = intrinsics[..., :2] * scale
    return torch.cat((focal, intrinsics[..., 2:] * scale + shift), dim=-1)


def denormalize_intrinsics(intrinsics: Tensor, image_size: Tensor) -> Tensor:
    """The inverse of `normalize_intrinsics`: (..., 4) screen-normalised to (..., 4) pixels."""
    scale, shift = _scale_and_shift(intrinsics, image_size)
    focal = intrinsics[..., :2] / scale
    return torch.cat((focal, (intrinsics[..., 2:] - shift) / scale), dim=-1)
