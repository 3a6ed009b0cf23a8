"""Which way is up for cameras that stand still, from where the feet of their people are."""

from __future__ import annotations

import torch
from torch import Tensor

#: deviation of the height of the lower foot's ankle over the ground, metres
FOOT_NOISE = 0.05
#: deviation of a person's stature from that by which depths are read, as a share of it
STATURE_NOISE = 0.3
#: deviation of the direction of torsos on the median from up, radians
TORSO_NOISE = 0.3
#: frames of a video of which only one says something new
FRAMES_ALIKE = 60
#: of a residual over its deviation, from which its frame counts less (Cauchy)
CAUCHY = 2.0
#: of noise over what is expected
MOST_EXCESS = 100.0
STEPS = 8
#: metres; a foot that is nearer is left out, such as one of a pose relative to its root
NEAREST = 1.0
TINY = 1e-12


class Groups:
    """Sums over the rows of groups, which on a GPU come out alike each time.

    Args:
        group: (N,) from 0.
        count: G.
    """

    def __init__(self, group: Tensor, count: int) -> None:
        self.order = group.argsort(stable=True)
        self.sizes = group.bincount(minlength=count).tolist()

    def sums(self, values: Tensor) -> Tensor:
        """(N, ...) to (G, ...)."""
        parts = values.index_select(0, self.order).split(self.sizes)
        return torch.stack([part.sum(0) for part in parts])


def ground_normals(
    feet: Tensor,
    seen: Tensor | None,
    camera: Tensor,
    person: Tensor,
    torso: Tensor,
    depth_noise: float,
) -> tuple[Tensor, Tensor]:
    """The normals of the planes on which people walk.

    With n the normal and h the camera's height over the plane, a foot at depth d on its ray
    r = (u, v, 1) has n.r + h / d = 0, linear in n and h. Rays are exact; depths are not, and feet
    are lifted. So over each frame's lower foot

        sum (n.r + h / d)^2 / sum (FOOT_NOISE^2 |n|^2 + depth_noise^2 h^2) / d^2

    is minimised, which is an eigenvalue problem (total least squares), reweighted for those who
    jump or sit: a plane through the points themselves would tilt towards the rays, along which
    depths err. One camera does not see stature: where it is not as believed, all depths of a person
    err by one factor, and so does h; each person has an own one, near to the others'. The plane is
    weighed against the direction of the torsos, to which it falls back where few frames, or feet at
    one place, tell it.

    Args:
        feet: (N, 2, 3) metres, camera frame, both ankles. Those nearer than `NEAREST` and those
            that are not finite are left out.
        seen: (N, 2) which of them were seen; None: all.
        camera: (N,) its number, from 0.
        person: (N,) who it is, from 0.
        torso: (C, 3) unit vectors, in which direction torsos point on the median; one that is no
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
    known = torso.norm(dim=1, keepdim=True) > TINY
    torso = torch.where(known, torso, torso.new_tensor([0.0, -1.0, 0.0])).double()
    pairs, group = torch.stack((camera, person), 1).unique(dim=0, return_inverse=True)
    of = pairs[:, 0]  # the camera of each group
    groups, cameras = Groups(group, len(pairs)), Groups(of, len(torso))
    plane = torch.cat((torso, torch.zeros_like(torso[:, :1])), 1).index_select(0, of)
    for step in range(STEPS):
        height = (place * plane[group, None, :3]).sum(-1)
        lower = height.where(counts, torch.inf).argmin(1, keepdim=True)
        row = rows.take_along_dim(lower[..., None], 1)[:, 0]
        weight = counts.take_along_dim(lower, 1)[:, 0].double()
        # of n.r d + h: as it is, and as its noise explains
        square = ((row * plane[group]).sum(-1) / row[:, 3]).square()
        variance = (noise * plane.square()).sum(-1)[group]
        if step > 0:
            weight = weight / (1 + square / (CAUCHY**2 * variance))
        else:  # nothing is known of the height yet
            square = variance
        told = _told(row, weight, square, variance, noise, groups, cameras, of)
        normal, height, deviation = _planes(told, plane[:, 3], of, cameras, torso)
        plane = torch.cat((normal.index_select(0, of), height), 1)
    return normal.to(feet.dtype), deviation.to(feet.dtype)


def _told(
    row: Tensor,
    weight: Tensor,
    square: Tensor,
    variance: Tensor,
    noise: Tensor,
    groups: Groups,
    cameras: Groups,
    of: Tensor,
) -> Tensor:
    """(G, 4, 4) what rows say of normal and height beyond noise: the inverse of a covariance.

    Args:
        row: (N, 4) u, v, 1, 1 / d.
        weight: (N,) how much it counts.
        square: (N,) the residual of a row times d, squared.
        variance: (N,) what is expected of that.
        noise: (4,) variances of the coordinates of a row times d.
        groups, cameras: rows to groups, and groups to cameras.
        of: (G,) cameras.
    """
    sums = groups.sums(torch.stack((weight * square, weight * variance, weight), 1))
    square, variance, count = cameras.sums(sums).clamp(min=TINY).unbind(1)
    excess = (square / variance).clamp(1, MOST_EXCESS)  # of noise, over what is expected
    outer = groups.sums(weight[:, None, None] * row[:, :, None] * row[:, None, :])
    nearness = outer[:, 3, 3]  # the sum of 1 / d^2, by which a row's noise goes
    scale = cameras.sums(nearness).clamp(min=TINY) / count * variance / count
    told = outer - (excess[of] * nearness)[:, None, None] * noise.diag()
    return told / (FRAMES_ALIKE * excess * scale)[of, None, None]


def _planes(
    told: Tensor, height: Tensor, of: Tensor, cameras: Groups, torso: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """(C, 3) normals, (G, 1) heights and (C,) deviations of normals. The heights are eliminated:
    first that of each group, which lies `STATURE_NOISE` from its camera's, then these.

    Args:
        told: (G, 4, 4) what rows say of normal and height: the inverse of a covariance.
        height: (G,) about how high the groups' cameras are, metres; 0: all alike.
        of: (G,) cameras.
        torso: (C, 3).
    """
    own = told[..., 3]
    stiff = 1 / (STATURE_NOISE * height).square().clamp(min=TINY)
    own_share = own / (own[:, 3] + stiff)[:, None]
    together = cameras.sums(told - own_share[:, :, None] * own[:, None, :])
    side, corner = together[:, :3, 3], together[:, 3, 3, None].clamp(min=TINY)
    values, vectors = torch.linalg.eigh(
        together[:, :3, :3] - side[:, :, None] * side[:, None, :] / corner[..., None]
    )
    normals = (vectors * values.clamp(min=0)[:, None, :]) @ vectors.mT
    across = torch.eye(3, dtype=told.dtype, device=told.device)
    across = across - torso[:, :, None] * torso[:, None, :]
    sure, directions = torch.linalg.eigh(normals + across / TORSO_NOISE**2)
    normal = directions[..., 0]
    normal = normal * (normal * torso).sum(1, keepdim=True).sign()
    plane = torch.cat((normal, -(side * normal).sum(1, keepdim=True) / corner), 1)[of]
    heights = plane[:, 3:] - (own_share * plane).sum(1, keepdim=True)
    return normal, heights, (1 / sure[:, 1:]).mean(1).sqrt()
