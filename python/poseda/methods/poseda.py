"""PoseDA (Chai et al., ICCV 2023): global position alignment and local pose augmentation.

`PoseDA.iterate` is lines 3 to 15 of Algorithm 1 and `PoseDA.pairs` the augmented half of line 19;
the training loop does the rest. Either half of the method can be switched off.

Over windows of T frames, which the paper does not have, generator and critic look at the middle
frame, its transformation is applied to all T, and the window is aligned with one of the target
(`poseda.alignment.gpa_of_windows`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from poseda.alignment import gpa_of_seen, gpa_of_windows
from poseda.data.sampler import centre
from poseda.distributed import average_gradients, own_rows, world_size
from poseda.methods.method import Pairs, Task
from poseda.networks.critic import Critic, lipschitz_penalty
from poseda.networks.generator import Generator, Transformation
from poseda.training.graphs import Step, load_optimizer
from poseda_ext import augment
from poseda_ext.reference import MIN_DEPTH

CLIP = 0.01
PENALTY_WEIGHT = 1.0
MAX_GENERATOR_GRADIENT = 1.0


class Latest(NamedTuple):
    """What the generator made last, in tensors that stay where they are."""

    rows: Tensor  #: (B,) of the source, or windows (B, T)
    made: Transformation


class PoseDA:
    """One adaptation by PoseDA, or by one half of it.

    Args:
        task: settings, source and target.
        gpa: whether the root comes from global position alignment (Eq. 7 and 9) and the camera
            from the target; otherwise both stay the source's.
        lpa: whether poses go through the generator.
    """

    def __init__(self, task: Task, *, gpa: bool = True, lpa: bool = True) -> None:
        self.settings = task.settings
        self.source = task.source
        self.target = task.target
        self.gpa = gpa
        self.skeleton = task.source.poses.skeleton
        self.local = LocalPoseAugmentation(task) if lpa else None
        self.warmup = task.settings.warmup if lpa else 0

    def iterate(self, iteration: int) -> dict[str, Tensor]:
        return {} if self.local is None else self.local.iterate(iteration)

    def describe(self) -> dict[str, Tensor]:
        return {} if self.local is None else self.local.describe()

    def pairs(self) -> Pairs:
        if self.source.frames > 1:
            return self._window_pairs()
        batch = self.settings.batch
        bone_scale = rotation = None
        if self.local is None:
            rows = self.source.rows(batch)
            pose = self.source.pose3d(rows)
        else:
            rows, (_, bone_scale, rotation, pose) = self.local.latest
        target2d = root = None
        if self.gpa:
            there = self.target.rows(batch)
            target2d, intrinsics = self.target.pose2d(there), self.target.intrinsics(there)
            seen = self.target.seen(there)
            if seen is not None:  # the op's box is around all joints
                turned = augment(
                    pose, bone_scale=bone_scale, rotation=rotation, skeleton=self.skeleton
                )
                pose, bone_scale, rotation = turned.pose3d, None, None
                root = gpa_of_seen(pose, target2d, intrinsics, seen)
                target2d = None
        else:
            root = self.source.pose3d(rows)[:, 0]
            intrinsics = self.source.intrinsics(rows)
        made = augment(
            pose,
            bone_scale=bone_scale,
            rotation=rotation,
            target2d=target2d,
            root=root,
            intrinsics=intrinsics,
            skeleton=self.skeleton,
        )
        assert made.root is not None and made.pose2d is not None
        return Pairs(made.pose2d, made.pose3d, visible(made.pose3d, made.root, made.pose2d))

    def _window_pairs(self) -> Pairs:
        """`pairs` over (B, T) frames."""
        skeleton, batch = self.skeleton, self.settings.batch
        rows = self.source.rows(batch) if self.local is None else self.local.latest.rows
        pose = self.source.pose3d(rows)  # (B, T, J, 3)
        root, intrinsics = pose[:, :, 0], self.source.intrinsics(rows)
        if self.local is not None:
            made = self.local.latest.made
            turned = augment(
                pose,
                bone_rotation=made.bone_rotation[:, None],
                bone_scale=made.bone_scale[:, None],
                rotation=made.rotation[:, None],
                skeleton=skeleton,
            ).pose3d
        else:
            turned = augment(pose, skeleton=skeleton).pose3d
        if self.gpa:
            there = self.target.rows(batch)
            intrinsics = self.target.intrinsics(there)
            target2d, seen = self.target.pose2d(there), self.target.seen(there)
            root = gpa_of_windows(turned, target2d, intrinsics, seen)
        placed = augment(turned, root=root, intrinsics=intrinsics, skeleton=skeleton)
        assert placed.pose2d is not None
        keep = visible(turned, root, placed.pose2d).all(1)
        return Pairs(placed.pose2d, turned[:, turned.shape[1] // 2], keep)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.local is None else self.local.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.local is not None:
            self.local.load_state_dict(state)


def visible(pose3d: Tensor, root: Tensor, pose2d: Tensor) -> Tensor:
    """(...) whether every joint lies before the camera and within [-1, 1]."""
    inside = pose2d.abs().amax((-1, -2)) <= 1
    return inside & (pose3d[..., 2].amin(-1) + root[..., 2] > MIN_DEPTH)


class LocalPoseAugmentation:
    """Generator and critic, trained in turn (Eq. 11 and 12)."""

    def __init__(self, task: Task) -> None:
        settings, source, random = task.settings, task.source, task.random
        own = settings.poseda
        skeleton = source.poses.skeleton
        poses = source.poses.pose3d
        if poses is None:
            raise ValueError(f"{source.poses.name}: has no pose3d, expected a labelled source")
        self.settings = settings
        self.source = source
        self.random = random
        self.generator = Generator(
            skeleton,
            max_bone_angle=own.max_bone_angle,
            max_bone_scale=own.max_bone_scale,
            max_rotation=own.max_rotation,
            rotation_network=own.rotation_network,
        ).to(poses.device)
        self.critic = Critic(skeleton, unit=own.unit_bones).to(poses.device)
        self.critic.standardize(poses)
        self.learned = [p for p in self.generator.parameters() if p.requires_grad]
        self.generator_optimizer = rmsprop(self.learned, settings.gan_lr)
        self.critic_optimizer = rmsprop(self.critic.parameters(), settings.gan_lr)
        self.stabilizer = _STABILIZERS[own.stabilizer](self.critic, random)
        batch = settings.batch // world_size()
        shape = (batch,) if source.frames == 1 else (batch, source.frames)
        self.latest = Latest(
            torch.zeros(shape, dtype=torch.int64, device=poses.device),
            Transformation.zeros(batch, skeleton, poses.device),
        )
        self.features = poses.new_zeros(2 * batch, self.critic.num_features)  # fake, real
        self.critic_step = Step(self._critic_step, random)
        self.generator_step = Step(self._generator_step, random)

    def iterate(self, iteration: int) -> dict[str, Tensor]:
        """A critic step, and every n-th time a generator step."""
        scalars = self.critic_step()
        if (iteration + 1) % self.settings.poseda.generator_every == 0:
            self.generator_step()
        return scalars

    def _critic_step(self) -> dict[str, Tensor]:
        """Lines 3 to 8: Eq. 11."""
        fake, real = self.features.chunk(2)
        with torch.inference_mode():
            pose, made = self._generate()
            self.critic.features(made.turned, made.bone_scale, out=fake)
            # The op is as fast as gathering features that were computed before.
            self.critic.features(pose, out=real)
        fake_score, real_score = self.critic(self.features).chunk(2)
        loss = fake_score.mean() - real_score.mean()
        gap = -loss.detach()
        self.critic_optimizer.zero_grad()
        self.stabilizer.add_to(loss, real, fake).backward()
        average_gradients(self.critic.parameters())
        self.critic_optimizer.step()
        self.stabilizer.after_step()
        return {"critic_gap": gap}

    def _generator_step(self) -> dict[str, Tensor]:
        """Lines 9 to 15: Eq. 12."""
        self.critic.requires_grad_(False)
        _, made = self._generate()
        score = self.critic(self.critic.features(made.turned, made.bone_scale)).mean()
        self.generator_optimizer.zero_grad()
        (-score).backward()
        average_gradients(self.learned)
        torch.nn.utils.clip_grad_norm_(self.learned, MAX_GENERATOR_GRADIENT)
        self.generator_optimizer.step()
        self.critic.requires_grad_(True)
        return {"generator_score": score.detach()}

    def _generate(self) -> tuple[Tensor, Transformation]:
        """Transforms a new source batch and keeps the result as the latest."""
        rows = self.source.rows(self.settings.batch)
        pose = self.source.pose3d(centre(rows))
        made = self.generator(pose, self.random)
        self.latest.rows.copy_(rows)
        for kept, new in zip(self.latest.made, made, strict=True):
            kept.copy_(new.detach())
        return pose, made

    def describe(self) -> dict[str, Tensor]:
        """Of the latest batch, means over all bones, the ones that never turn included."""
        made, degrees = self.latest.made, 180 / math.pi
        return {
            "bone_angle_deg": made.bone_rotation.norm(dim=-1) * degrees,
            "bone_ratio": made.bone_scale.abs(),
            "rotation_deg": made.rotation.norm(dim=-1) * degrees,
        }

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
        load_optimizer(self.generator_optimizer, state["generator_optimizer"])
        load_optimizer(self.critic_optimizer, state["critic_optimizer"])
        # in place: the checkpoint's tensors lie on the CPU, these on the device
        for vector, saved in zip(self.stabilizer.vectors, state["stabilizer"], strict=True):
            vector.copy_(saved)


def rmsprop(parameters: Iterable[Tensor], lr: float) -> torch.optim.RMSprop:
    """The optimiser of critic and generator."""
    learned = list(parameters)
    return torch.optim.RMSprop(learned, lr, foreach=True, capturable=learned[0].is_cuda)


class Stabilizer:
    """Keeps a critic near Lipschitz: by a term of its loss, or by a change after its step."""

    def __init__(self, critic: Critic, random: torch.Generator) -> None:
        self.critic = critic
        self.parameters: list[Tensor] = list(critic.parameters())
        self.random = random
        self.vectors: list[Tensor] = []  #: what a checkpoint must hold

    def add_to(self, loss: Tensor, real: Tensor, fake: Tensor) -> Tensor:
        return loss

    def after_step(self) -> None:
        pass


class Clip(Stabilizer):
    """Weights within +-0.01 (Arjovsky et al., ICML 2017), the published choice for RMSProp."""

    @torch.no_grad()
    def after_step(self) -> None:
        torch._foreach_clamp_min_(self.parameters, -CLIP)
        torch._foreach_clamp_max_(self.parameters, CLIP)


class Penalty(Stabilizer):
    """Gradient penalty (Gulrajani et al., NeurIPS 2017) of weight 1; weight 10 stalls bone
    angles."""

    def add_to(self, loss: Tensor, real: Tensor, fake: Tensor) -> Tensor:
        rows = world_size() * real.shape[0]
        mix = own_rows(torch.rand(rows, 1, generator=self.random, device=real.device))
        return loss + PENALTY_WEIGHT * lipschitz_penalty(self.critic, real, fake, mix)


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
