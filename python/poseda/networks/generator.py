"""The augmentation generator of local pose augmentation (PoseDA, section 3.3 and Eq. 10)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from poseda.config import PoseDASettings
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
    """Bone angle, bone length and rotation, each by a network of its own from a pose and noise.

    No critic on Gram matrices of bones can teach the rotation, since they do not change under it:
    its gradient is round-off. So the rotation is drawn at random (uniform, zero mean), or comes
    from the paper's third network, which stays as initialised unless a 2D critic teaches it.

    Args:
        skeleton: joints of the poses.
        settings: bounds, the kind of rotation, and whether each network sees the pose that the one
            before it made.
    """

    angle_limit: Tensor
    spread: Tensor
    tilt: Tensor

    def __init__(self, skeleton: Skeleton, settings: PoseDASettings) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.staged = settings.staged
        self.max_rotation = settings.max_rotation
        inputs = 3 * skeleton.num_joints + NOISE
        self.bone_angle = ResidualMLP(inputs, 3 * skeleton.num_bones)
        self.bone_length = ResidualMLP(inputs, len(skeleton.bone_groups))
        self.kind = settings.rotation
        networked = self.kind in ("network", "learned")
        self.rotation = ResidualMLP(inputs, 3) if networked else None
        if self.rotation is not None and self.kind == "network":
            nn.init.kaiming_normal_(self.rotation.last.weight, a=LEAK)
            self.rotation.requires_grad_(False)
        # The torso keeps its direction: turning it would be a rotation of the body (PoseAug).
        spine, thorax = skeleton.bone("Spine"), skeleton.bone("Thorax")
        angle_limit = torch.full((skeleton.num_bones, 1), settings.max_bone_angle)
        angle_limit[[spine, thorax]] = 0
        self.register_buffer("angle_limit", angle_limit, persistent=False)
        spread = bone_spread(skeleton, settings.max_bone_scale)
        self.register_buffer("spread", spread, persistent=False)
        self.register_buffer("tilt", torch.tensor([1.0, 0.0, 0.0]), persistent=False)

    def forward(
        self,
        pose: Tensor,
        random: torch.Generator | None = None,
        condition: Tensor | None = None,
    ) -> Transformation:
        """Args:
        pose: (B, J, 3) source poses, camera frame, metres, which are to be transformed.
        random: where the noise comes from.
        condition: (B, J, 3) poses to generate the transformations from; None: `pose`.
        """
        pose = pose - pose[:, :1]
        shown = pose if condition is None else condition - condition[:, :1]
        angles = torch.tanh(self._run(self.bone_angle, shown, random))
        bone_rotation = self.angle_limit * angles.unflatten(1, (-1, 3))
        turned = augment(pose, bone_rotation=bone_rotation, skeleton=self.skeleton).pose3d
        if condition is None and self.staged:
            shown = turned
        elif self.staged:
            shown = augment(shown, bone_rotation=bone_rotation, skeleton=self.skeleton).pose3d
        bone_scale = torch.tanh(self._run(self.bone_length, shown, random)) @ self.spread
        rotation = self._rotation(shown, bone_scale, random)
        return Transformation(bone_rotation, bone_scale, rotation, turned)

    def _run(self, network: nn.Module, pose: Tensor, random: torch.Generator | None) -> Tensor:
        rows = world_size() * pose.shape[0]
        noise = own_rows(torch.randn(rows, NOISE, generator=random, device=pose.device))
        return network(torch.cat((pose.flatten(1), noise), dim=1))

    def _rotation(
        self, shown: Tensor, bone_scale: Tensor, random: torch.Generator | None
    ) -> Tensor:
        """(B, 3) axis-angle, each component within the bound."""
        limit = self.max_rotation
        if self.rotation is not None:
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.kind == "learned"):
                if self.staged:
                    shown = augment(shown, bone_scale=bone_scale, skeleton=self.skeleton).pose3d
                return limit * torch.tanh(self._run(self.rotation, shown, random))
        if self.kind == "none":
            return shown.new_zeros(len(shown), 3)
        rotation = torch.empty(world_size() * len(shown), 3, device=shown.device)
        rotation = own_rows(rotation.uniform_(-limit, limit, generator=random))
        return self.tilt * rotation if self.kind == "tilt" else rotation


def bone_spread(skeleton: Skeleton, limit: float) -> Tensor:
    """(G, J-1): takes numbers from -1 to 1, one for each group of bones, to their relative changes
    of length. The upper torso keeps its length, which would trade body size for depth (PoseAug)."""
    spread = torch.zeros(len(skeleton.bone_groups), skeleton.num_bones)
    for group, members in enumerate(skeleton.bone_groups):
        spread[group, list(members)] = 0.0 if skeleton.bone("Thorax") in members else limit
    return spread
