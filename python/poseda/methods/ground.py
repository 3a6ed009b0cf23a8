"""Which way is up for cameras that stand still, from where the feet of their people are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: deviation of the height of the lower foot's ankle over the ground, metres
FOOT_NOISE = 0.05
#: deviation of the direction in which people lean from up, radians
LEAN_NOISE = 0.3
#: radians; a plane whose normal is further from there is no ground, but what people at one place do
FURTHEST = 0.9
#: frames of a video of which only one says something new
FRAMES_ALIKE = 200
#: of a residual over its deviation, from which its frame counts less (Cauchy)
CAUCHY = 2.0
STEPS = 8
#: metres; a foot that is nearer is left out, such as one of a pose relative to its root
NEAREST = 1.0
TINY = 1e-12


def ground_normals(
    feet: Tensor, seen: Tensor | None, camera: Tensor, lean: Tensor, depth_noise: float
) -> tuple[Tensor, Tensor]:
    """The normals of the planes on which people walk.

    With n the normal and h the camera's height over the plane, a foot at depth d on its ray
    r = (u, v, 1) has n.r + h / d = 0, linear in n and h. Rays are exact; depths are not, and feet
    are lifted. So of each frame's lower foot the sum of

        (n.r + h / d)^2 d^2 / (FOOT_NOISE^2 |n|^2 + depth_noise^2 h^2)

    is minimised, which is an eigenvalue problem (total least squares), reweighted for those who
    jump or sit: a plane through the points themselves would tilt towards the rays, along which
    depths err. An error of all depths by one factor, or a lean of all predicted bodies, hardly
    tilts it. It is weighed against the direction in which people lean, to which it falls back where
    few frames, or feet at one place, tell the plane, or where the plane is none to stand on.

    Args:
        feet: (N, 2, 3) metres, camera frame, both ankles. Those nearer than `NEAREST` and those
            that are not finite are left out.
        seen: (N, 2) which of them were seen; None: all.
        camera: (N,) its number, from 0.
        lean: (C, 3) unit vectors, in which direction people lean on the median; one that is no
            direction counts as the camera's upward axis.
        depth_noise: deviation of the depth of a foot, as a share of it.

    Returns:
        (C, 3) unit vectors, upward, and (C,) their deviations, radians.
    """
    counts = feet.isfinite().all(-1) & (feet[..., 2] > NEAREST)
    if seen is not None:
        counts = counts & seen
    place = torch.where(counts[..., None], feet, torch.ones_like(feet)).double()
    rows = torch.cat((place, torch.ones_like(place[..., :1])), -1) / place[..., 2:]  # (N, 2, 4)
    noise = place.new_tensor([FOOT_NOISE**2] * 3 + [depth_noise**2])
    known = lean.norm(dim=1, keepdim=True) > TINY
    lean = torch.where(known, lean, lean.new_tensor([0.0, -1.0, 0.0])).double()
    plane = torch.cat((lean, torch.zeros_like(lean[:, :1])), 1)
    deviation = torch.zeros_like(lean[:, 0])
    for step in range(STEPS):
        height = (place * plane[camera, None, :3]).sum(-1)
        lower = height.where(counts, torch.inf).argmin(1, keepdim=True)
        row = rows.take_along_dim(lower[..., None], 1)[:, 0]
        weight = counts.take_along_dim(lower, 1)[:, 0].double()
        if step > 0:
            residual = (row * plane[camera]).sum(-1) / row[:, 3]
            variance = (noise * plane.square()).sum(-1)[camera]
            weight = weight / (1 + residual.square() / (CAUCHY**2 * variance))
        plane, deviation = _planes(row, weight, camera, lean, noise)
    near = (plane[:, :3] * lean).sum(1) > math.cos(FURTHEST)
    normal = torch.where(near[:, None], plane[:, :3], lean)
    deviation = torch.where(near, deviation, LEAN_NOISE)
    return normal.to(feet.dtype), deviation.to(feet.dtype)


def _planes(
    row: Tensor, weight: Tensor, camera: Tensor, lean: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """(C, 4) normals and heights of cameras, and (C,) deviations of the normals.

    Args:
        row: (N, 4) u, v, 1, 1 / d.
        weight: (N,) how much it counts.
        camera: (N,).
        lean: (C, 3).
        noise: (4,) variances of the coordinates of a row, over those of its 1 / d.
    """
    outer = weight[:, None, None] * row[:, :, None] * row[:, None, :]
    square = row.new_zeros(len(lean), 4, 4).index_add(0, camera, outer)
    count = row.new_zeros(len(lean)).index_add(0, camera, weight).clamp(min=TINY)
    scale = square[:, 3, 3].clamp(min=TINY)
    whiten = (scale[:, None] * noise).rsqrt()
    values, vectors = torch.linalg.eigh(whiten[:, :, None] * square * whiten[:, None, :])
    least, best = values[:, :1].clamp(min=1), whiten * vectors[..., 0]
    best = best / best[:, :3].norm(dim=1, keepdim=True).clamp(min=TINY)
    variance = least * (noise * best.square()).sum(1, keepdim=True) * (scale / count)[:, None]
    # What rows say beyond noise, over the variance of one of them. h is then eliminated.
    excess = (values - least).clamp(min=0) / (FRAMES_ALIKE * variance)
    vectors = vectors / whiten[:, :, None]
    told = (vectors * excess[:, None, :]) @ vectors.mT
    side, corner = told[:, :3, 3], told[:, 3, 3, None].clamp(min=TINY)
    normals = told[:, :3, :3] - side[:, :, None] * side[:, None, :] / corner[..., None]
    across = torch.eye(3, dtype=row.dtype, device=row.device) - lean[:, :, None] * lean[:, None, :]
    sure, directions = torch.linalg.eigh(normals + across / LEAN_NOISE**2)
    normal = directions[..., 0]
    normal = normal * (normal * lean).sum(1, keepdim=True).sign()
    height = -(side * normal).sum(1, keepdim=True) / corner
    return torch.cat((normal, height), 1), (1 / sure[:, 1:]).mean(1).sqrt()
