"""The camera generation of AdaptPose (section 4.2): a network's outputs become rotations and
translations.

A rotation is a point of a distribution that the network describes (*probabilistic*) or what the
network says (*deterministic*), in one of three representations. All become axis-angle vectors, as
`poseda_ext.augment` takes them.

A distribution's point is ``mean + std * noise``, so that the gradient of whatever is made of it
reaches mean and standard deviation. (A sample of ``torch.normal`` has no gradient.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from poseda_ext.reference import MIN_DEPTH

Representation = Literal["axis-angle", "quaternion", "euler"]

#: The rotations before any learning, radians, roughly: at an angle of 0 neither that angle nor the
#: distribution of its axis would have a gradient.
FIRST_ANGLE = math.radians(20)
#: numbers that describe a rotation
SIZES: dict[Representation, int] = {"axis-angle": 3, "quaternion": 4, "euler": 3}
#: standard deviation of each before any learning, such that rotations are by `FIRST_ANGLE` or so
_FIRST_STD: dict[Representation, float] = {
    "axis-angle": 1.0,
    "quaternion": FIRST_ANGLE / 2 / math.sqrt(3),
    "euler": FIRST_ANGLE / math.sqrt(3),
}
#: A generated camera is nearer or further than the source's by at most this factor, ...
MAX_DEPTH_RATIO = 4.0
#: ... and the ray to the person turned by at most this, in X/Z.
MAX_RAY_SHIFT = 1.0
_SMALL = 1e-12


@dataclass(frozen=True)
class Rotation:
    """How a network's outputs become rotations.

    Attributes:
        representation: what the outputs stand for.
        probabilistic: whether they describe a distribution.
    """

    representation: Representation
    probabilistic: bool

    @property
    def outputs(self) -> int:
        """How many numbers `axis_angle` asks for."""
        size = SIZES[self.representation]
        if not self.probabilistic:
            return size
        return 2 * size + (self.representation == "axis-angle")

    @property
    def noise(self) -> int:
        """How many of them are drawn from normal distributions."""
        return SIZES[self.representation] if self.probabilistic else 0

    def axis_angle(self, raw: Tensor, noise: Tensor) -> Tensor:
        """Args:
            raw: (B, `outputs`) of a network, any numbers.
            noise: (B, `noise`) standard normal.

        Returns:
            (B, 3) axis-angle, radians.
        """
        size = SIZES[self.representation]
        point = raw[:, :size]  # a distribution's mean, or the point itself
        if self.representation == "quaternion":  # near the identity
            point = point + functional.pad(torch.ones_like(point[:, :1]), (0, size - 1))
        elif self.representation == "euler" or not self.probabilistic:
            point = _bounded(point)
        if self.probabilistic:
            first = math.log(math.expm1(_FIRST_STD[self.representation]))
            std = functional.softplus(raw[:, size : 2 * size] + first)
            point = point + std * noise
        if self.representation == "quaternion":
            return axis_angle_of_quaternion(point)
        if self.representation == "euler":
            return axis_angle_of_quaternion(quaternion_of_euler(point))
        if not self.probabilistic:
            return point  # the angle is its length
        return _unit(point) * _bounded(raw[:, 2 * size :] + FIRST_ANGLE)  # Eq. 11


def quaternion_of_euler(angles: Tensor) -> Tensor:
    """Eq. 12: (..., 3) alpha, beta, gamma, radians, to the quaternion (..., 4) of
    R = Rz(alpha) Ry(beta) Rx(gamma), real part first."""
    (cz, cy, cx), (sz, sy, sx) = ((angles / 2).cos().unbind(-1), (angles / 2).sin().unbind(-1))
    parts = (
        cz * cy * cx + sz * sy * sx,
        cz * cy * sx - sz * sy * cx,
        cz * sy * cx + sz * cy * sx,
        sz * cy * cx - cz * sy * sx,
    )
    return torch.stack(parts, dim=-1)


def axis_angle_of_quaternion(quaternion: Tensor) -> Tensor:
    """Eq. 13, backwards: (..., 4) of any length, real part first, to (..., 3) axis-angle of at most
    half a turn."""
    quaternion = _unit(quaternion)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    real, vector = quaternion[..., :1], quaternion[..., 1:]
    squared = vector.square().sum(-1, keepdim=True)
    small = squared < _SMALL
    sine = torch.where(small, torch.ones_like(squared), squared).sqrt()
    gain = torch.where(small, 2 / real.clamp(min=0.5), 2 * torch.atan2(sine, real) / sine)
    return vector * gain


def placed(root: Tensor, raw: Tensor) -> Tensor:
    """The translation T of Eq. 3: the source's own root, its distance and ray changed.

    Args:
        root: (B, 3) source, camera frame, metres.
        raw: (B, 3) of a network, any numbers; 0 keeps the root.

    Returns:
        (B, 3) camera frame, metres, in front of the camera.
    """
    shift = torch.tanh(raw)
    depth = root[:, 2:].clamp(min=MIN_DEPTH)
    ray = root[:, :2] / depth + MAX_RAY_SHIFT * shift[:, :2]
    depth = depth * torch.exp(math.log(MAX_DEPTH_RATIO) * shift[:, 2:])
    return torch.cat((ray * depth, depth), dim=1)


def _bounded(angle: Tensor) -> Tensor:
    """Within half a turn, as in PoseAug: angles beyond it are others again, and nothing would keep
    them from growing."""
    return math.pi * torch.tanh(angle / math.pi)


def _unit(vector: Tensor) -> Tensor:
    return vector / torch.linalg.vector_norm(vector, dim=-1, keepdim=True).clamp(min=1e-6)
