"""PoseAug's networks (Gong et al., CVPR 2021, sections 3.2 and 3.3): the augmentor, which changes
bone angles, bone lengths and the view, and the part-aware critic of 3D poses. The critic of 2D
poses is `poseda.networks.critic2d.Critic2D`."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from poseda.distributed import own_rows, world_size
from poseda.networks.critic import LEAK, Critic
from poseda_ext import Skeleton, bones, pose_from_bones
from poseda_ext.reference import MIN_BONE_LENGTH

WIDTH = 256
STAGES = 2
NOISE = 48
#: Bound of the relative change of a bone's length.
MAX_BONE_RATIO = 0.2
#: Bound of each component of the body's axis-angle vector, radians.
MAX_ROTATION = math.pi


class Augmentation(NamedTuple):
    """One batch of changes, in the form that `poseda_ext.augment` takes."""

    turned: Tensor  #: (B, J, 3) the root-relative pose after the bone angles alone
    angle: Tensor  #: (B, J-1) 1 - cos of the angle by which each bone has turned
    ratio: Tensor  #: (B, G) relative change of length of each group of bones
    bone_scale: Tensor  #: (B, J-1) the same for each bone
    rotation: Tensor  #: (B, 3) axis-angle about the root, radians
    translation: Tensor  #: (B, 3) where the root goes, camera frame, metres


class Trunk(nn.Sequential):
    """A layer, two stages of two layers each, with batch norm and leaky ReLU, and a linear end."""

    def __init__(self, inputs: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for size in (inputs, *[WIDTH] * 2 * STAGES):
            layers += [
                nn.Linear(size, WIDTH),
                nn.BatchNorm1d(WIDTH),
                nn.LeakyReLU(LEAK, inplace=True),
            ]
        super().__init__(*layers, nn.Linear(WIDTH, outputs))
        for layer in self:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight)

    @property
    def last(self) -> nn.Linear:
        layer = self[-1]
        assert isinstance(layer, nn.Linear)
        return layer


class Augmentor(nn.Module):
    """Bone angles (BA), bone lengths (BL), rotation and translation (RT). Each network sees the
    root-relative *source* pose and noise of its own, not what the one before it made.

    The torso's two bones keep their direction, and the upper one its length: the first would be a
    rotation of the body, the second trades body size for depth.

    Args:
        skeleton: joints of the poses.
        depth: metres before the camera at which poses stand at first, on the whole. The published
            network starts at 0, where a pose is inside the camera.
    """

    free: Tensor
    movable: Tensor
    spread: Tensor

    def __init__(self, skeleton: Skeleton, *, depth: float) -> None:
        super().__init__()
        self.skeleton = skeleton
        groups, inputs = len(skeleton.bone_groups), 3 * skeleton.num_joints + NOISE
        self.bone_angle = Trunk(inputs, 3 * skeleton.num_bones)
        self.bone_length = Trunk(inputs + skeleton.num_bones, groups)
        self.rotation = Trunk(inputs, 3)
        self.translation = Trunk(inputs, 3)
        with torch.no_grad():
            self.translation.last.bias.copy_(torch.tensor([0.0, 0.0, depth**0.5]))
        spine, thorax = skeleton.bone("Spine"), skeleton.bone("Thorax")
        free = torch.ones(skeleton.num_bones, 1)
        free[[spine, thorax]] = 0
        spread = torch.zeros(groups, skeleton.num_bones)
        for group, members in enumerate(skeleton.bone_groups):
            spread[group, list(members)] = float(thorax not in members)
        self.register_buffer("free", free, persistent=False)
        self.register_buffer("movable", spread.amax(1), persistent=False)
        self.register_buffer("spread", spread, persistent=False)

    def forward(self, pose: Tensor, random: torch.Generator | None = None) -> Augmentation:
        """Args:
        pose: (B, J, 3) source poses, camera frame, metres, any origin.
        random: where the noise comes from.
        """
        bone = bones(pose, self.skeleton)  # (B, J-1, 3)
        length = bone.norm(dim=-1, keepdim=True)
        unit = bone / length.clamp(min=MIN_BONE_LENGTH)
        given = (pose - pose[:, :1]).flatten(1)

        change = self._run(self.bone_angle, random, given).view_as(bone)
        new = nn.functional.normalize(unit + self.free * change, dim=-1, eps=MIN_BONE_LENGTH)
        turned = pose_from_bones(length * new, skeleton=self.skeleton)
        angle = 1 - (unit * new).sum(-1)

        ratio = self._run(self.bone_length, random, given, length.flatten(1))
        ratio = MAX_BONE_RATIO * torch.tanh(ratio * self.movable)
        rotation = MAX_ROTATION * torch.tanh(self._run(self.rotation, random, given))
        across, root = self._run(self.translation, random, given).split((2, 1), dim=1)
        translation = torch.cat((across, root.square()), 1)
        return Augmentation(turned, angle, ratio, ratio @ self.spread, rotation, translation)

    def _run(self, network: nn.Module, random: torch.Generator | None, *given: Tensor) -> Tensor:
        rows, device = world_size() * len(given[0]), given[0].device
        noise = own_rows(torch.randn(rows, NOISE, generator=random, device=device))
        return network(torch.cat((*given, noise), 1))


class Critic3D(Critic):
    """PoseAug's part-aware KCS discriminator: five layers for each part, over the cosines between
    its bones. It sees neither bone lengths nor the view.

    The published network is given the symmetric matrix of all bones with the other parts' rows set
    to zero, flattened; here each cosine of the part stands once.
    """

    WIDTHS: ClassVar[tuple[int, ...]] = (256, 256, 256, 100)

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__(skeleton, unit=True)

    @staticmethod
    def path(hidden: Tensor, *layers: Tensor) -> Tensor:
        """(P, B, I) to (P, B, 1): P networks side by side, given all weights, then all biases."""
        weights, biases = layers[:5], layers[5:]

        def layer(index: int, hidden: Tensor) -> Tensor:
            return torch.baddbmm(biases[index], hidden, weights[index])

        def leaky(hidden: Tensor) -> Tensor:
            return nn.functional.leaky_relu_(hidden, LEAK)

        first = leaky(layer(0, hidden))
        hidden = first + layer(2, leaky(layer(1, first)))
        return layer(4, leaky(layer(3, hidden)))
