"""Critics of 2D poses: PoseAug's discriminator (Gong et al., CVPR 2021), and AdaptPose's domain
discriminator, which looks at the KCS of the 2D bones beside it (Gholami et al., CVPR 2022, section
4.3)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from poseda_ext import Skeleton, part_kcs

WIDTH = 100
KCS_WIDTH = 256
LEAK = 0.01
#: A feature that hardly varies (a product of two short bones) is not blown up beyond this spread.
MIN_SPREAD = 1e-4


class Critic2D(nn.Module):
    """Whether a 2D pose, where and how large it is in the picture included, looks like a real one.

    The poses are not centred on their root, so that a scale and a place count (both papers).
    PoseAug's network has 43,801 parameters at 16 joints. With `kcs` a second branch sees the Gram
    matrix of all 2D bones: lengths in the picture, and the angles between bones. Its upper triangle
    is given once, where AdaptPose's code gives the symmetric matrix whole.

    Joints that were not seen say nothing: their features are 0, which `standardize` makes the mean.

    Args:
        skeleton: J joints.
        kcs: whether there is the second branch.
    """

    scale: Tensor
    shift: Tensor
    parents: Tensor
    sides: Tensor

    def __init__(self, skeleton: Skeleton, *, kcs: bool = False) -> None:
        super().__init__()
        self.skeleton = replace(skeleton, kcs_parts=(tuple(range(skeleton.num_bones)),))
        self.joints = Joints(2 * skeleton.num_joints)
        pairs = skeleton.num_bones * (skeleton.num_bones + 1) // 2
        self.bones = Bones(pairs) if kcs else None
        self.last = nn.Sequential(nn.Linear(2 * WIDTH, WIDTH), nn.LeakyReLU(LEAK)) if kcs else None
        self.score = nn.Linear(WIDTH, 1)
        features = 2 * skeleton.num_joints + (pairs if kcs else 0)
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("shift", torch.zeros(features))
        sides = torch.triu_indices(skeleton.num_bones, skeleton.num_bones)
        self.register_buffer("parents", torch.tensor(skeleton.parents[1:]), persistent=False)
        self.register_buffer("sides", sides, persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    @property
    def num_features(self) -> int:
        return len(self.scale)

    @property
    def matrices(self) -> list[Tensor]:
        """The weights as (1, inputs, outputs), views."""
        linear = [module for module in self.modules() if isinstance(module, nn.Linear)]
        return [module.weight.mT[None] for module in linear]

    @torch.no_grad()
    def standardize(self, pose2d: Tensor, seen: Tensor | None = None) -> None:
        """Takes the mean and spread of the features from real poses. Without it features are as
        they are, as in both papers' codes; a critic with clipped weights needs it.

        Args:
            pose2d: (N, J, 2) screen-normalised.
            seen: (N, J) which joints were seen; None for all.
        """
        features = self._raw(pose2d).double()
        weight = torch.ones_like(features) if seen is None else self._known(seen).double()
        count = weight.sum(0).clamp(min=1)
        mean = (weight * features).sum(0) / count
        spread = ((weight * (features - mean).square()).sum(0) / count).sqrt()
        self.scale.copy_(1 / spread.clamp(min=MIN_SPREAD))
        self.shift.copy_(-mean * self.scale)

    def features(self, pose2d: Tensor, seen: Tensor | None = None) -> Tensor:
        """Coordinates, and with `kcs` products of bones, standardised.

        Args:
            pose2d: (B, J, 2) screen-normalised.
            seen: (B, J) which joints to look at; None for all.

        Returns:
            (B, `num_features`).
        """
        features = torch.addcmul(self.shift, self._raw(pose2d), self.scale)
        return features if seen is None else features.where(self._known(seen), 0)

    def _raw(self, pose2d: Tensor) -> Tensor:
        coordinates = pose2d.flatten(1)
        if self.bones is None:
            return coordinates
        return torch.cat((coordinates, part_kcs(pose2d, self.skeleton)), 1)

    def _known(self, seen: Tensor) -> Tensor:
        """(B, `num_features`) from (B, J): a product of two bones takes all their joints."""
        coordinates = seen.repeat_interleave(2, 1)
        if self.bones is None:
            return coordinates
        bone = seen[:, 1:] & seen.index_select(1, self.parents)  # (B, J-1)
        first, second = (bone.index_select(1, side) for side in self.sides)
        return torch.cat((coordinates, first & second), 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, `num_features`) to (B,) scores, high for real poses."""
        if self.bones is None or self.last is None:
            return self.score(self.joints(features)).squeeze(-1)
        joints = 2 * self.skeleton.num_joints
        branches = self.joints(features[:, :joints]), self.bones(features[:, joints:])
        return self.score(self.last(torch.cat(branches, 1))).squeeze(-1)

    def part_scores(self, features: Tensor) -> Tensor:
        """(1, B): as of the part-wise critic (`poseda.networks.critic`), for its one part."""
        return self.forward(features)[None]


class Joints(nn.Module):
    """Five layers over coordinates, with a skip from the first to the third."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        sizes = inputs, *[WIDTH] * 5
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(sizes))
        self.activation = nn.LeakyReLU(LEAK)

    def forward(self, coordinates: Tensor) -> Tensor:
        first, second, third, fourth, fifth = self.layers
        skip = self.activation(first(coordinates))
        hidden = self.activation(skip + third(self.activation(second(skip))))
        return self.activation(fifth(fourth(hidden)))


class Bones(nn.Module):
    """Four layers over products of bones, with a skip from the first to the third."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        sizes = inputs, *[KCS_WIDTH] * 3, WIDTH
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(sizes))
        self.activation = nn.LeakyReLU(LEAK)

    def forward(self, products: Tensor) -> Tensor:
        first, second, third, fourth = self.layers
        skip = self.activation(first(products))
        return self.activation(fourth(skip + third(self.activation(second(skip)))))
