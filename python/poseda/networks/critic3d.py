"""AdaptPose's 3D discriminator (Gholami et al., CVPR 2022, section 4.3 and Fig. 8)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from poseda.distributed import own_rows, world_size
from poseda.networks.augmentor import Critic3D
from poseda_ext import Skeleton, part_kcs


class PerturbedCritic(Critic3D):
    """PoseAug's discriminator, whose real poses are perturbed: each bone by less than some degrees
    about an axis of its own, before the networks of the limbs. The network of the torso sees the
    real pose as it is.

    Lengths are not seen: they are for the domain discriminator to teach.

    Args:
        skeleton: joints of the poses; its first part is the torso.
        max_angle: radians.
    """

    def __init__(self, skeleton: Skeleton, *, max_angle: float) -> None:
        super().__init__(skeleton)
        self.max_angle = max_angle
        parts = self.skeleton.kcs_parts
        self.torso = replace(self.skeleton, kcs_parts=parts[:1])
        self.limbs = replace(self.skeleton, kcs_parts=parts[1:])

    def perturbed_features(self, pose: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Standardised features of real poses, (B, J, 3) metres, to (B, `num_features`)."""
        turn = perturbation(len(pose), self.skeleton.num_bones, self.max_angle, pose.device, random)
        torso = part_kcs(pose, self.torso, unit=True)
        limbs = part_kcs(pose, self.limbs, bone_rotation=turn, unit=True)
        return torch.addcmul(self.shift, torch.cat((torso, limbs), 1), self.scale)


def perturbation(
    batch: int,
    bones: int,
    max_angle: float,
    device: torch.device,
    random: torch.Generator | None = None,
) -> Tensor:
    """Small rotations of bones: axes uniform on the sphere, angles uniform below a bound.

    Args:
        batch: B, of this process.
        bones: J-1.
        max_angle: radians.
        device: where they are drawn.
        random: where the numbers come from.

    Returns:
        (B, J-1, 3) axis-angle, radians.
    """
    rows = world_size() * batch
    axis = torch.randn(rows, bones, 3, generator=random, device=device)
    angle = max_angle * torch.rand(rows, bones, 1, generator=random, device=device)
    return own_rows(angle * torch.nn.functional.normalize(axis, dim=-1))
