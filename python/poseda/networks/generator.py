"""The augmentation generator of local pose augmentation (PoseDA, section 3.3 and Eq. 10)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from poseda.distributed import own_rows, world_size
from poseda_ext import Skeleton, augment

WIDTH = 256
NOISE = 48
LEAK = 0.01


class ResidualMLP(nn.Module):
    """Three layers with a skip over the middle one. The last starts small, so that training
    starts near the identity; without that, or with batch norm, the first angles are wild."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, WIDTH)
        self.middle = nn.Linear(WIDTH, WIDTH)
        self.last = nn.Linear(WIDTH, outputs)
        self.activation = nn.LeakyReLU(LEAK, inplace=True)
        for layer in (self.first, self.middle):
            nn.init.kaiming_normal_(layer.weight, a=LEAK)
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.zeros_(self.last.bias)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.activation(self.first(features))
        hidden = hidden + self.activation(self.middle(hidden))
        return self.last(hidden)


class Transformation(NamedTuple):
    """Parameters of one batch of pose transformations, as `poseda_ext.augment` takes them."""

    bone_rotation: Tensor  #: (B, J-1, 3) axis-angle, radians
    bone_scale: Tensor  #: (B, J-1), length times 1 + scale
    rotation: Tensor  #: (B, 3) axis-angle about the root, radians
    turned: Tensor  #: (B, J, 3) the root-relative pose after bone rotation alone

    @classmethod
    def zeros(cls, batch: int, skeleton: Skeleton, device: torch.device) -> Transformation:
        bones, joints = skeleton.num_bones, skeleton.num_joints
        shapes = (bones, 3), (bones,), (3,), (joints, 3)
        return cls(*(torch.zeros(batch, *shape, device=device) for shape in shapes))


class Generator(nn.Module):
    """Bone angle, bone length and rotation, each from the pose that the one before it made, and
    noise.

    No critic on Gram matrices of bones can teach the rotation, since they do not change under it:
    its gradient is round-off. So the rotation is either drawn at random (uniform, zero mean) or
    comes from the paper's third network, which then stays as initialised.

    Args:
        skeleton: joints of the poses.
        max_bone_angle: bound of each component of a bone's axis-angle vector, radians.
        max_bone_scale: bound of the relative change of a bone's length.
        max_rotation: bound of each component of the body's axis-angle vector, radians.
        rotation_network: True takes the rotation from the untrained third network.
    """

    angle_limit: Tensor
    spread: Tensor

    def __init__(
        self,
        skeleton: Skeleton,
        *,
        max_bone_angle: float,
        max_bone_scale: float,
        max_rotation: float,
        rotation_network: bool,
    ) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.max_rotation = max_rotation
        inputs = 3 * skeleton.num_joints + NOISE
        self.bone_angle = ResidualMLP(inputs, 3 * skeleton.num_bones)
        self.bone_length = ResidualMLP(inputs, len(skeleton.bone_groups))
        self.rotation = ResidualMLP(inputs, 3) if rotation_network else None
        if self.rotation is not None:
            nn.init.kaiming_normal_(self.rotation.last.weight, a=LEAK)
            self.rotation.requires_grad_(False)
        # The torso keeps its direction, and the upper torso its length: the first would be a
        # rotation of the body, the second trades body size for depth (PoseAug).
        spine, thorax = skeleton.bone("Spine"), skeleton.bone("Thorax")
        angle_limit = torch.full((skeleton.num_bones, 1), max_bone_angle)
        angle_limit[[spine, thorax]] = 0
        spread = torch.zeros(len(skeleton.bone_groups), skeleton.num_bones)
        for group, members in enumerate(skeleton.bone_groups):
            spread[group, list(members)] = 0.0 if thorax in members else max_bone_scale
        self.register_buffer("angle_limit", angle_limit, persistent=False)
        self.register_buffer("spread", spread, persistent=False)

    def forward(self, pose: Tensor, random: torch.Generator | None = None) -> Transformation:
        """Args:
        pose: (B, J, 3) source poses, camera frame, metres.
        random: where the noise comes from.
        """
        pose = pose - pose[:, :1]
        angles = torch.tanh(self._run(self.bone_angle, pose, random))
        bone_rotation = self.angle_limit * angles.unflatten(1, (-1, 3))
        turned = augment(pose, bone_rotation=bone_rotation, skeleton=self.skeleton).pose3d
        bone_scale = torch.tanh(self._run(self.bone_length, turned, random)) @ self.spread
        rotation = self._rotation(turned, bone_scale, random)
        return Transformation(bone_rotation, bone_scale, rotation, turned)

    def _run(self, network: nn.Module, pose: Tensor, random: torch.Generator | None) -> Tensor:
        rows = world_size() * pose.shape[0]
        noise = own_rows(torch.randn(rows, NOISE, generator=random, device=pose.device))
        return network(torch.cat((pose.flatten(1), noise), dim=1))

    def _rotation(
        self, turned: Tensor, bone_scale: Tensor, random: torch.Generator | None
    ) -> Tensor:
        if self.rotation is not None:
            with torch.no_grad():
                scaled = augment(turned, bone_scale=bone_scale, skeleton=self.skeleton).pose3d
                return self.max_rotation * torch.tanh(self._run(self.rotation, scaled, random))
        rotation = torch.empty(world_size() * len(turned), 3, device=turned.device)
        limit = self.max_rotation
        return own_rows(rotation.uniform_(-limit, limit, generator=random))
