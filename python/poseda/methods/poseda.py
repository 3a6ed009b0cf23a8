"""PoseDA (Chai et al., ICCV 2023): global position alignment and local pose augmentation.

`PoseDA.iterate` is lines 3 to 15 of Algorithm 1 and `PoseDA.pairs` the augmented half of line 19;
the training loop does the rest. Either half of the method can be switched off.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from poseda.config import AdaptSettings
from poseda.data.sampler import Batch, Sampler
from poseda.methods.pairs import Pairs
from poseda.networks.critic import Critic, lipschitz_penalty
from poseda.networks.generator import Generator, Transformation
from poseda_ext import augment
from poseda_ext.reference import MIN_DEPTH

CLIP = 0.01
PENALTY_WEIGHT = 1.0
MAX_GENERATOR_GRADIENT = 1.0


class Augmentation(NamedTuple):
    """A source batch and the transformation that the generator chose for it."""

    source: Batch
    transformation: Transformation


class PoseDA:
    """One adaptation by PoseDA, or by one half of it.

    Args:
        settings: sizes, rates and bounds.
        source: labelled poses.
        target: 2D poses and intrinsics of the new place.
        random: where all sampling and noise comes from.
        gpa: whether the root comes from global position alignment (Eq. 7 and 9) and the camera
            from the target; otherwise both stay the source's.
        lpa: whether poses go through the generator.
    """

    def __init__(
        self,
        settings: AdaptSettings,
        source: Sampler,
        target: Sampler,
        random: torch.Generator,
        *,
        gpa: bool,
        lpa: bool,
    ) -> None:
        self.settings = settings
        self.source = source
        self.target = target
        self.random = random
        self.gpa = gpa
        self.skeleton = source.poses.skeleton
        self.local = LocalPoseAugmentation(settings, source, random) if lpa else None
        self.warmup = settings.warmup if lpa else 0

    def iterate(self, iteration: int) -> dict[str, Tensor]:
        return {} if self.local is None else self.local.iterate(iteration)

    def pairs(self) -> Pairs:
        settings = self.settings
        if self.local is None:
            source, pose3d = self.source.with_pose3d(settings.batch)
            pose, rotation = pose3d, None
        else:
            source, transformation = self.local.latest
            pose, rotation = transformation.scaled, transformation.rotation
        if self.gpa:
            target = self.target(settings.batch)
            made = augment(
                pose,
                rotation=rotation,
                target2d=target.pose2d,
                intrinsics=target.intrinsics,
                skeleton=self.skeleton,
            )
        else:
            assert source.pose3d is not None
            made = augment(
                pose,
                rotation=rotation,
                root=source.pose3d[:, 0],
                intrinsics=source.intrinsics,
                skeleton=self.skeleton,
            )
        assert made.root is not None and made.pose2d is not None
        return Pairs(made.pose2d, made.pose3d, visible(made.pose3d, made.root, made.pose2d))

    def state_dict(self) -> dict[str, Any]:
        return {} if self.local is None else self.local.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.local is not None:
            self.local.load_state_dict(state)


def visible(pose3d: Tensor, root: Tensor, pose2d: Tensor) -> Tensor:
    """(B,) 1 where every joint lies before the camera and within [-1, 1], else 0."""
    inside = (pose2d.abs() <= 1).flatten(1).all(1)
    before = (pose3d[..., 2] + root[:, 2:] > MIN_DEPTH).all(1)
    return (inside & before).to(pose3d.dtype)


class LocalPoseAugmentation:
    """Generator and critic, trained in turn (Eq. 11 and 12)."""

    def __init__(self, settings: AdaptSettings, source: Sampler, random: torch.Generator) -> None:
        skeleton = source.poses.skeleton
        poses = source.poses.pose3d
        if poses is None:
            raise ValueError(f"{source.poses.name}: has no pose3d, expected a labelled source")
        self.settings = settings
        self.source = source
        self.random = random
        self.generator = Generator(
            skeleton,
            max_bone_angle=settings.max_bone_angle,
            max_bone_scale=settings.max_bone_scale,
            max_rotation=settings.max_rotation,
            rotation_network=settings.rotation_network,
        ).to(poses.device)
        self.critic = Critic(skeleton, unit=settings.unit_bones).to(poses.device)
        self.critic.standardize(poses)
        with torch.no_grad():
            self.real_features = self.critic.features(poses)  # the source never changes
        self.learned = [p for p in self.generator.parameters() if p.requires_grad]
        self.generator_optimizer = torch.optim.RMSprop(self.learned, settings.gan_lr)
        self.critic_optimizer = torch.optim.RMSprop(self.critic.parameters(), settings.gan_lr)
        self.stabilizer = _STABILIZERS[settings.stabilizer](self.critic, random)
        self.latest = self._generate()

    def iterate(self, iteration: int) -> dict[str, Tensor]:
        """A critic step, and every n-th time a generator step."""
        scalars = self.critic_step()
        if (iteration + 1) % self.settings.generator_every == 0:
            self.generator_step()
        return scalars | _describe(self.latest.transformation)

    def critic_step(self) -> dict[str, Tensor]:
        """Lines 3 to 8: Eq. 11."""
        with torch.no_grad():
            self.latest = self._generate()
            fake = self.critic.features(self.latest.transformation.scaled)
        real = self.real_features[self.latest.source.rows]
        fake_score, real_score = self.critic(torch.cat((fake, real))).chunk(2)
        gap = real_score.mean() - fake_score.mean()
        loss = -gap + self.stabilizer.loss(real, fake)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        self.stabilizer.after_step()
        return {"critic_gap": gap.detach()}

    def generator_step(self) -> None:
        """Lines 9 to 15: Eq. 12."""
        self.critic.requires_grad_(False)
        made = self._generate()
        loss = -self.critic(self.critic.features(made.transformation.scaled)).mean()
        self.generator_optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.learned, MAX_GENERATOR_GRADIENT)
        self.generator_optimizer.step()
        self.critic.requires_grad_(True)
        detached = Transformation(*(t.detach() for t in made.transformation))
        self.latest = Augmentation(made.source, detached)

    def _generate(self) -> Augmentation:
        batch, pose3d = self.source.with_pose3d(self.settings.batch)
        return Augmentation(batch, self.generator(pose3d, self.random))

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator.state_dict(),
            "critic": self.critic.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "stabilizer": self.stabilizer.vectors,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.load_state_dict(state["generator"])
        self.critic.load_state_dict(state["critic"])
        self.generator_optimizer.load_state_dict(state["generator_optimizer"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        # in place: the checkpoint's tensors lie on the CPU, these on the device
        for vector, saved in zip(self.stabilizer.vectors, state["stabilizer"], strict=True):
            vector.copy_(saved)


def _describe(made: Transformation) -> dict[str, Tensor]:
    """Means over a batch, of all bones, the ones that never turn included."""
    degrees = 180 / math.pi
    return {
        "bone_angle_deg": made.bone_rotation.detach().norm(dim=-1).mean() * degrees,
        "bone_ratio": made.bone_scale.detach().abs().mean(),
        "rotation_deg": made.rotation.detach().norm(dim=-1).mean() * degrees,
    }


class Stabilizer:
    """Keeps a critic near Lipschitz: by a term of its loss, or by a change after its step."""

    def __init__(self, critic: Critic, random: torch.Generator) -> None:
        self.critic = critic
        self.random = random
        self.vectors: list[Tensor] = []  #: what a checkpoint must hold

    def loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return real.new_zeros(())

    def after_step(self) -> None:
        pass


class Clip(Stabilizer):
    """Weights within +-0.01 (Arjovsky et al., ICML 2017), the published choice for RMSProp."""

    @torch.no_grad()
    def after_step(self) -> None:
        for parameter in self.critic.parameters():
            parameter.clamp_(-CLIP, CLIP)


class Penalty(Stabilizer):
    """Gradient penalty (Gulrajani et al., NeurIPS 2017) of weight 1; weight 10 stalls bone
    angles."""

    def loss(self, real: Tensor, fake: Tensor) -> Tensor:
        mix = torch.rand(real.shape[0], 1, generator=self.random, device=real.device)
        return PENALTY_WEIGHT * lipschitz_penalty(self.critic, real, fake, mix)


class Spectral(Stabilizer):
    """Each part's weights scaled to spectral norm at most 1 (one power iteration a step)."""

    def __init__(self, critic: Critic, random: torch.Generator) -> None:
        super().__init__(critic, random)
        self.vectors = [torch.ones_like(weight[:, :1]) for weight in critic.weights]  # (P, 1, O)
        for _ in range(10):
            self.after_step()

    @torch.no_grad()
    def after_step(self) -> None:
        for weight, vector in zip(self.critic.weights, self.vectors, strict=True):
            left = torch.nn.functional.normalize(vector @ weight.mT, dim=-1)  # (P, 1, I)
            product = left @ weight
            norm = product.norm(dim=-1, keepdim=True)
            vector.copy_(product / norm.clamp(min=1e-12))
            weight.div_(norm.clamp(min=1))


_STABILIZERS = {"clip": Clip, "penalty": Penalty, "spectral": Spectral}
