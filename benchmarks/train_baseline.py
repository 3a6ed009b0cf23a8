"""Algorithm 1 in plain torch, written the way such training is usually written.

Poses go through staged eager ops on matrices, constant matrices are repeated for every batch, each
body part has its own critic network, batches come from a DataLoader, the optimisers are torch's by
default, and losses are read with ``.item()``. The mathematics, the networks and the losses are
those of `poseda`, which lends nothing to them but its settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from poseda.config import AdaptSettings
from poseda.data import PoseSet
from poseda_ext import Skeleton
from poseda_ext.reference import MIN_DEPTH

NOISE = 48
WIDTH = 256


class Noise(NamedTuple):
    """What is random in one call of the generator."""

    angle: Tensor  #: (B, 48) normal
    length: Tensor  #: (B, 48) normal
    rotation: Tensor  #: (B, 3) uniform within [-1, 1]


def draw_noise(batch: int, device: torch.device) -> Noise:
    return Noise(
        torch.randn(batch, NOISE, device=device),
        torch.randn(batch, NOISE, device=device),
        torch.rand(batch, 3, device=device) * 2 - 1,
    )


class Kinematics:
    """Poses to bones and back by products with constant matrices."""

    def __init__(self, skeleton: Skeleton, device: torch.device) -> None:
        joints, bones = skeleton.num_joints, skeleton.num_bones
        self.to_bones = torch.zeros(joints, bones)
        self.to_pose = torch.zeros(bones, joints)
        for bone in range(bones):
            self.to_bones[bone + 1, bone] = 1
            self.to_bones[skeleton.parents[bone + 1], bone] = -1
        for joint in range(1, joints):
            ancestor = joint
            while ancestor > 0:
                self.to_pose[ancestor - 1, joint] = 1
                ancestor = skeleton.parents[ancestor]
        self.to_bones, self.to_pose = self.to_bones.to(device), self.to_pose.to(device)

    def bones(self, pose: Tensor) -> Tensor:
        """(B, J, 3) to (B, J-1, 3)."""
        matrix = self.to_bones.unsqueeze(0).repeat(pose.shape[0], 1, 1)
        return torch.matmul(pose.permute(0, 2, 1), matrix).permute(0, 2, 1)

    def pose(self, bones: Tensor) -> Tensor:
        """(B, J-1, 3) to (B, J, 3), root at the origin."""
        matrix = self.to_pose.unsqueeze(0).repeat(bones.shape[0], 1, 1)
        return torch.matmul(bones.permute(0, 2, 1), matrix).permute(0, 2, 1)


def rotation_matrix(axis_angle: Tensor) -> Tensor:
    """Rodrigues' formula, (..., 3) to (..., 3, 3)."""
    angle = torch.norm(axis_angle, dim=-1, keepdim=True)
    x, y, z = (axis_angle / (angle + 1e-8)).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1)
    cross = cross.view(*x.shape, 3, 3)
    angle = angle.unsqueeze(-1)
    eye = torch.eye(3, device=axis_angle.device).expand_as(cross)
    return eye + torch.sin(angle) * cross + (1 - torch.cos(angle)) * torch.matmul(cross, cross)


class SubNetwork(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, WIDTH)
        self.middle = nn.Linear(WIDTH, WIDTH)
        self.last = nn.Linear(WIDTH, outputs)
        self.activation = nn.LeakyReLU(0.01)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.activation(self.first(features))
        hidden = hidden + self.activation(self.middle(hidden))
        return self.last(hidden)


class Made(NamedTuple):
    scaled: Tensor  #: (B, J, 3) after bone angle and bone length
    turned: Tensor  #: (B, J, 3) also after the body's rotation


class Generator(nn.Module):
    """Bone angle, bone length and rotation, in stages."""

    turning: Tensor
    stretching: Tensor

    def __init__(self, skeleton: Skeleton, settings: AdaptSettings, kinematics: Kinematics) -> None:
        super().__init__()
        self.settings = settings
        self.kinematics = kinematics
        inputs = 3 * skeleton.num_joints + NOISE
        self.bone_angle = SubNetwork(inputs, 3 * skeleton.num_bones)
        self.bone_length = SubNetwork(inputs, len(skeleton.bone_groups))
        spine, thorax = skeleton.bone("Spine"), skeleton.bone("Thorax")
        turning = torch.ones(skeleton.num_bones, 3)
        turning[[spine, thorax]] = 0
        stretching = torch.ones(skeleton.num_bones)
        stretching[thorax] = 0
        self.register_buffer("turning", turning)
        self.register_buffer("stretching", stretching)
        self.group_of = [
            next(g for g, members in enumerate(skeleton.bone_groups) if bone in members)
            for bone in range(skeleton.num_bones)
        ]

    def forward(self, pose: Tensor, noise: Noise) -> Made:
        batch, bones = pose.shape[0], pose.shape[1] - 1
        pose = pose - pose[:, :1]

        angles = self.bone_angle(torch.cat((pose.reshape(batch, -1), noise.angle), dim=1))
        angles = self.settings.poseda.max_bone_angle * torch.tanh(angles.view(batch, bones, 3))
        mask = self.turning.unsqueeze(0).repeat(batch, 1, 1)
        rotation = rotation_matrix(angles * mask)
        bone = torch.matmul(rotation, self.kinematics.bones(pose).unsqueeze(-1)).squeeze(-1)
        pose = self.kinematics.pose(bone)

        ratio = self.bone_length(torch.cat((pose.reshape(batch, -1), noise.length), dim=1))
        ratio = self.settings.poseda.max_bone_scale * torch.tanh(ratio)
        scale = ratio[:, self.group_of] * self.stretching.unsqueeze(0).repeat(batch, 1)
        bone = self.kinematics.bones(pose) * (1 + scale.unsqueeze(-1))
        scaled = self.kinematics.pose(bone)

        body = rotation_matrix(self.settings.poseda.max_rotation * noise.rotation)
        turned = torch.matmul(scaled, body.permute(0, 2, 1))
        return Made(scaled, turned)


class PartCritic(nn.Module):
    """The network of one body part."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Linear(i, o)
            for i, o in ((inputs, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, 1))
        )
        self.activation = nn.LeakyReLU(0.01)

    def forward(self, features: Tensor) -> Tensor:
        first = self.activation(self.layers[0](features))
        hidden = self.activation(self.layers[1](first))
        hidden = first + self.activation(self.layers[2](hidden))
        return self.layers[3](hidden)


class Critic(nn.Module):
    """One network per body part, on the distinct entries of the Gram matrix of its bones."""

    def __init__(self, skeleton: Skeleton, kinematics: Kinematics, unit: bool) -> None:
        super().__init__()
        self.kinematics = kinematics
        self.unit = unit
        self.parts = skeleton.kcs_parts
        device = kinematics.to_bones.device
        self.networks = nn.ModuleList(
            PartCritic(len(part) * (len(part) + 1) // 2) for part in self.parts
        )
        self.triangles = [torch.triu_indices(len(p), len(p), device=device) for p in self.parts]
        self.mean: list[Tensor] = []
        self.spread: list[Tensor] = []

    def standardize(self, pose: Tensor) -> None:
        features = self.part_features(pose)
        self.mean = [feature.mean(0) for feature in features]
        self.spread = [f.std(0, correction=0).clamp(min=5e-3) for f in features]

    def part_features(self, pose: Tensor) -> list[Tensor]:
        bones = self.kinematics.bones(pose)
        if self.unit:
            bones = bones / torch.norm(bones, dim=-1, keepdim=True)
        features = []
        for part, triangle in zip(self.parts, self.triangles, strict=True):
            chosen = bones[:, list(part)]
            gram = torch.matmul(chosen, chosen.permute(0, 2, 1))
            features.append(gram[:, triangle[0], triangle[1]])
        return features

    def forward(self, pose: Tensor) -> Tensor:
        scores = []
        for part, features in enumerate(self.part_features(pose)):
            features = (features - self.mean[part]) / self.spread[part]
            scores.append(self.networks[part](features))
        return torch.cat(scores, dim=1).mean(dim=1)


class Lifter(nn.Module):
    """VideoPose3D over one frame."""

    def __init__(self, joints: int, width: int, dropout: float = 0.25) -> None:
        super().__init__()

        def layer(inputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(inputs, width, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
            )

        self.expand = layer(2 * joints)
        self.blocks = nn.ModuleList(nn.Sequential(layer(width), layer(width)) for _ in range(4))
        self.shrink = nn.Linear(width, 3 * (joints - 1))

    def forward(self, pose2d: Tensor) -> Tensor:
        batch, joints, _ = pose2d.shape
        hidden = self.expand(pose2d.reshape(batch, -1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        pose3d = self.shrink(hidden).view(batch, joints - 1, 3)
        return torch.cat((torch.zeros(batch, 1, 3, device=pose2d.device), pose3d), dim=1)


def gpa(pose: Tensor, target2d: Tensor, intrinsics: Tensor) -> Tensor:
    """Eq. 7 and 9: (B, 3) where the root goes."""
    focal, centre = intrinsics[:, :2], intrinsics[:, 2:]
    plane = focal.unsqueeze(1) * pose[..., :2]
    size = (plane.max(dim=1)[0] - plane.min(dim=1)[0]).sum(dim=-1)
    target_size = (target2d.max(dim=1)[0] - target2d.min(dim=1)[0]).sum(dim=-1)
    z = (size / target_size).unsqueeze(-1)
    xy = (target2d[:, 0] - centre) * z / focal
    return torch.cat((xy, z), dim=-1)


def project(pose: Tensor, intrinsics: Tensor) -> Tensor:
    focal, centre = intrinsics[:, None, :2], intrinsics[:, None, 2:]
    return focal * pose[..., :2] / pose[..., 2:] + centre


def endless(loader: DataLoader) -> Iterator[list[Tensor]]:
    while True:
        yield from loader


class Baseline:
    """The training: `iterate` is one turn of Algorithm 1.

    Args:
        settings: sizes, rates and bounds; the critic's weights are clipped.
        source: labelled poses, on the CPU.
        target: 2D poses, on the CPU.
        width: units of the lifter's hidden layers.
        device: where the networks are.
        workers: processes that load batches.
    """

    def __init__(
        self,
        settings: AdaptSettings,
        source: PoseSet,
        target: PoseSet,
        *,
        width: int,
        device: str,
        workers: int,
    ) -> None:
        if settings.poseda.stabilizer != "clip":
            raise ValueError(
                f"settings.stabilizer: got {settings.poseda.stabilizer!r}, expected 'clip'"
            )
        assert source.pose3d is not None
        self.settings = settings
        self.device = torch.device(device)
        skeleton = source.skeleton
        kinematics = Kinematics(skeleton, self.device)
        self.generator = Generator(skeleton, settings, kinematics).to(self.device)
        self.critic = Critic(skeleton, kinematics, settings.poseda.unit_bones).to(self.device)
        self.critic.standardize(source.pose3d.to(self.device))
        self.lifter = Lifter(skeleton.num_joints, width).to(self.device).train()
        self.generator_optimizer = torch.optim.RMSprop(self.generator.parameters(), settings.gan_lr)
        self.critic_optimizer = torch.optim.RMSprop(self.critic.parameters(), settings.gan_lr)
        self.lifter_optimizer = torch.optim.Adam(self.lifter.parameters(), settings.lr)

        def loader(*tensors: Tensor) -> Iterator[list[Tensor]]:
            return endless(
                DataLoader(
                    TensorDataset(*tensors),
                    batch_size=settings.batch,
                    shuffle=True,
                    drop_last=True,
                    num_workers=workers,
                    pin_memory=device == "cuda",
                )
            )

        self.poses = loader(source.pose3d)
        self.pairs = loader(source.pose2d, source.pose3d)
        self.targets = loader(target.pose2d, target.intrinsics)
        self.latest = torch.zeros(0)
        self.iteration = 0

    def next(self, batches: Iterator[list[Tensor]]) -> list[Tensor]:
        return [tensor.to(self.device) for tensor in next(batches)]

    def iterate(self) -> dict[str, float]:
        """One iteration after the warm-up."""
        losses = self.critic_turn()
        self.iteration += 1
        if self.iteration % self.settings.poseda.generator_every == 0:
            losses |= self.generator_turn()
        return losses | self.lifter_turn()

    def critic_turn(self) -> dict[str, float]:
        (pose3d,) = self.next(self.poses)
        return self.critic_step(pose3d, draw_noise(len(pose3d), self.device))

    def generator_turn(self) -> dict[str, float]:
        (pose3d,) = self.next(self.poses)
        return self.generator_step(pose3d, draw_noise(len(pose3d), self.device))

    def lifter_turn(self) -> dict[str, float]:
        pose2d, pose3d = self.next(self.pairs)
        target2d, intrinsics = self.next(self.targets)
        return self.lifter_step(pose2d, pose3d, target2d, intrinsics)

    def critic_step(self, pose3d: Tensor, noise: Noise) -> dict[str, float]:
        """Eq. 11."""
        with torch.no_grad():
            made = self.generator(pose3d, noise)
        self.latest = made.turned
        fake_score = self.critic(made.scaled)
        real_score = self.critic(pose3d)
        loss = fake_score.mean() - real_score.mean()
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        for parameter in self.critic.parameters():
            parameter.data.clamp_(-0.01, 0.01)
        return {"critic_gap": -loss.item()}

    def generator_step(self, pose3d: Tensor, noise: Noise) -> dict[str, float]:
        """Eq. 12."""
        for parameter in self.critic.parameters():
            parameter.requires_grad = False
        made = self.generator(pose3d, noise)
        self.latest = made.turned.detach()
        score = self.critic(made.scaled).mean()
        self.generator_optimizer.zero_grad()
        (-score).backward()
        nn.utils.clip_grad_norm_(self.generator.parameters(), 1.0)
        self.generator_optimizer.step()
        for parameter in self.critic.parameters():
            parameter.requires_grad = True
        return {"generator_score": score.item()}

    def lifter_step(
        self, pose2d: Tensor, pose3d: Tensor, target2d: Tensor, intrinsics: Tensor
    ) -> dict[str, float]:
        """Eq. 13, on source pairs and as many augmented ones."""
        root = gpa(self.latest, target2d, intrinsics)
        placed = self.latest + root.unsqueeze(1)
        made2d = project(placed, intrinsics)
        pose3d = pose3d - pose3d[:, :1]
        keep = (made2d.abs() <= 1).flatten(1).all(dim=1) & (placed[..., 2] > MIN_DEPTH).all(dim=1)
        made2d = torch.where(keep[:, None, None], made2d, pose2d)
        made3d = torch.where(keep[:, None, None], self.latest, pose3d)
        predicted = self.lifter(torch.cat((pose2d, made2d)))
        loss = nn.functional.mse_loss(predicted, torch.cat((pose3d, made3d)))
        self.lifter_optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.lifter.parameters(), 1.0)
        self.lifter_optimizer.step()
        return {"lifter_loss": loss.item(), "kept": keep.float().mean().item()}
