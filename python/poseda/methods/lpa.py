"""PoseDA's local pose augmentation (section 3.3): a generator of transformations, and the critic
that keeps the poses plausible."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from poseda.data.sampler import Sampler, centre
from poseda.distributed import average_gradients, world_size
from poseda.methods.adversary import Adversary, rmsprop
from poseda.methods.diversity import pose_spread_deg, spread
from poseda.methods.method import Task
from poseda.methods.projections import Projections
from poseda.methods.stabilizers import make_stabilizer
from poseda.networks.critic import Critic
from poseda.networks.generator import Generator, Transformation
from poseda.networks.lifters import lift_poses
from poseda.training.graphs import Step, load_optimizer

MAX_GENERATOR_GRADIENT = 1.0


class Latest(NamedTuple):
    """What the generator made last, in tensors that stay where they are."""

    rows: Tensor  #: (B,) of the source, or windows (B, T)
    made: Transformation


class LocalPoseAugmentation:
    """Generator and critics, trained in turn (Eq. 11 and 12).

    Args:
        task: settings and source; target and lifter where a variant asks them.
        gpa: whether poses are placed by global position alignment before a 2D critic sees them.

    Raises:
        ValueError: if the source has no 3D, or a variant asks a lifter that is not there.
    """

    def __init__(self, task: Task, *, gpa: bool) -> None:
        settings, source, random = task.settings, task.source, task.random
        own, skeleton = settings.poseda, source.poses.skeleton
        if source.poses.pose3d is None:
            raise ValueError(f"{source.poses.name}: has no pose3d, expected a labelled source")
        device = source.device
        self.settings = settings
        self.source = source
        self.random = random
        # Table 7. None: the source pose that is transformed.
        asked = "target" in (own.generator_condition, own.critic_domain)
        predicted = predicted_target(task) if asked else None
        self.condition = predicted if own.generator_condition == "target" else None
        self.real = predicted if own.critic_domain == "target" else None
        self.generator = Generator(skeleton, own).to(device)
        self.learned = [p for p in self.generator.parameters() if p.requires_grad]
        self.generator_optimizer = rmsprop(self.learned, settings.gan_lr)
        self.critic = Critic(skeleton, unit=own.unit_bones).to(device)
        real = (self.real or source).poses.pose3d
        assert real is not None
        self.critic.standardize(real)
        stabilizer = make_stabilizer(own.gan, own.stabilizer, self.critic, random)
        self.adversary = Adversary(self.critic, own.gan, stabilizer, settings.gan_lr)
        self.projections = None if own.critic2d == "none" else Projections(task, gpa=gpa)
        batch = settings.batch // world_size()
        shape = (batch,) if source.frames == 1 else (batch, source.frames)
        self.latest = Latest(
            torch.zeros(shape, dtype=torch.int64, device=device),
            Transformation.zeros(batch, skeleton, device),
        )
        self.features = real.new_zeros(2 * batch, self.critic.num_features)  # fake, real
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
            if self.real is not None:
                pose = some_poses(self.real, len(pose))
            self.critic.features(pose, out=real)
        scalars = {"critic_gap": self.adversary.learn(self.features)}
        if self.projections is not None:
            scalars["critic2d_gap"] = self.projections.learn(*self.latest)
        return scalars

    def _generator_step(self) -> dict[str, Tensor]:
        """Lines 9 to 15: Eq. 12."""
        _, made = self._generate()
        score = self.adversary.judge(self.critic.features(made.turned, made.bone_scale))
        loss = self.adversary.losses.generator(score)
        if self.projections is not None:
            weight = self.settings.poseda.critic2d_weight
            loss = loss + weight * self.projections.loss(self.latest.rows, made)
        self.generator_optimizer.zero_grad()
        loss.backward()
        average_gradients(self.learned)
        torch.nn.utils.clip_grad_norm_(self.learned, MAX_GENERATOR_GRADIENT)
        self.generator_optimizer.step()
        return {"generator_score": score.detach().mean()}

    def _generate(self) -> tuple[Tensor, Transformation]:
        """Transforms a new source batch and keeps the result as the latest."""
        rows = self.source.rows(self.settings.batch)
        pose = self.source.pose3d(centre(rows))
        made = self.transform(pose)
        self.latest.rows.copy_(rows)
        for kept, new in zip(self.latest.made, made, strict=True):
            kept.copy_(new.detach())
        return pose, made

    def transform(self, pose: Tensor) -> Transformation:
        """Eq. 10 for source poses (B, J, 3), camera frame, metres."""
        condition = None if self.condition is None else some_poses(self.condition, len(pose))
        return self.generator(pose, self.random, condition)

    def describe(self) -> dict[str, Tensor]:
        """Of the latest batch, means over all bones, the ones that never turn included, and how
        much samples differ."""
        made, degrees = self.latest.made, 180 / math.pi
        return {
            "bone_angle_deg": made.bone_rotation.norm(dim=-1) * degrees,
            "bone_ratio": made.bone_scale.abs(),
            "rotation_deg": made.rotation.norm(dim=-1) * degrees,
            "bone_angle_spread_deg": spread(made.bone_rotation) * degrees,
            "bone_ratio_spread": spread(made.bone_scale[..., None]),
            "rotation_spread_deg": spread(made.rotation) * degrees,
            "pose_spread_deg": pose_spread_deg(made.turned, self.generator.skeleton),
        }

    def state_dict(self) -> dict[str, Any]:
        state = {
            "generator": self.generator.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "critic": self.adversary.state_dict(),
        }
        if self.projections is not None:
            state["critic2d"] = self.projections.adversary.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.load_state_dict(state["generator"])
        load_optimizer(self.generator_optimizer, state["generator_optimizer"])
        self.adversary.load_state_dict(state["critic"])
        if self.projections is not None:
            self.projections.adversary.load_state_dict(state["critic2d"])


def predicted_target(task: Task) -> Sampler:
    """The target with the 3D poses that the lifter predicts before it is adapted (section 4.5), of
    windows those of their middle frames.

    Raises:
        ValueError: if there is no lifter to ask.
    """
    poses = task.target.poses
    if task.lifter is None:
        raise ValueError(
            "generator_condition, critic_domain: got target without a lifter, expected the "
            "pre-trained one"
        )
    predicted = lift_poses(task.lifter, poses).clone()  # a tensor that autograd may save
    return Sampler(dataclasses.replace(poses, pose3d=predicted), task.random)


def some_poses(sampler: Sampler, count: int) -> Tensor:
    """(count, J, 3) random poses; of several processes each draws as many of its own."""
    return sampler.pose3d(sampler.rows(world_size() * count))
