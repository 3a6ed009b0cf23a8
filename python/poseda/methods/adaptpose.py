"""AdaptPose (Gholami et al., CVPR 2022): motions and cameras generated from the source such that
their 2D poses look like the target's.

Each loss here names its equation of the paper; docs/adaptpose.md says what is open in the paper and
where its authors' code differs. Over windows of T frames the discriminators look at one frame of
each, drawn at random, so that every frame of a motion has to stand up to them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from poseda.config import AdaptPoseSettings
from poseda.data.sampler import Sampler, centre
from poseda.distributed import average_gradients, own_rows, world_size
from poseda.methods.diversity import pose_spread_deg, spread
from poseda.methods.losses import (
    asked,
    error_of,
    hardness,
    inside_band,
    lsgan_critic,
    lsgan_generator,
    outside_band,
)
from poseda.methods.method import Pairs, Task
from poseda.methods.placing import visible
from poseda.networks.camera_generation import Rotation
from poseda.networks.critic2d import Critic2D
from poseda.networks.critic3d import PerturbedCritic
from poseda.networks.motion_generator import Motion, MotionGenerator
from poseda.training.graphs import Step, load_optimizer
from poseda_ext import bones
from poseda_ext.reference import rotate

MAX_GRADIENT = 1.0
#: target poses from which the domain discriminator takes the spread of its features
STANDARDIZE = 65_536
MIN_NORM = 1e-6


class Latest(NamedTuple):
    """What the generator made last, in tensors that stay where they are."""

    rows: Tensor  #: (B,) of the source, or windows (B, T)
    frame: Tensor  #: (B,) the frame of each window that the discriminators look at
    ratio: Tensor  #: (B,) how much harder than its source each is for the lifter
    made: Motion


class Samples(NamedTuple):
    """Generated motions beside their sources, for figures."""

    source: Tensor  #: (N, T, J, 3) camera frame, metres
    generated: Tensor  #: (N, T, J, 3) camera frame, metres
    rotation: Tensor  #: (N, 3, 3) R of Eq. 3
    pose2d: Tensor  #: (N, T, J, 2) the generated poses, screen-normalised


class AdaptPose:
    """One adaptation by AdaptPose.

    Raises:
        ValueError: if the task has no lifter, which selects and gives feedback, or its source no
            3D poses.
    """

    least_squares = True

    def __init__(self, task: Task) -> None:
        settings = task.settings.adaptpose
        poses, device = task.source.poses, task.source.device
        if task.lifter is None:
            raise ValueError("lifter: got None, expected the one that adaptpose adapts")
        if poses.pose3d is None:
            raise ValueError(f"{poses.name}: has no pose3d, expected a labelled source")
        self.settings = settings
        self.batch = task.settings.batch
        self.warmup = task.settings.warmup
        self.random = task.random
        self.lifter: nn.Module = task.lifter
        self.skeleton = poses.skeleton
        self.frames = task.source.frames
        # windows to generate from and to lift, and single frames for the discriminators
        self.source = Sampler(poses, task.random, self.frames, settings.strides)
        self.target = task.target
        self.real3d = Sampler(poses, task.random)
        there = task.target.poses if settings.domain == "target" else poses
        self.real2d = Sampler(there, task.random)

        self.generator = MotionGenerator(
            self.skeleton, self.frames, settings.bone_generator, _rotation(settings)
        ).to(device)
        max_angle = math.radians(settings.perturbation_deg)
        self.pose_critic = PerturbedCritic(self.skeleton, max_angle=max_angle).to(device)
        self.pose_critic.standardize(poses.pose3d)
        self.domain_critic = Critic2D(self.skeleton, kcs=True).to(device)
        some = slice(None, None, -(-len(there) // STANDARDIZE))
        seen = None if there.seen is None else there.seen[some]
        self.domain_critic.standardize(there.pose2d[some], seen)
        self.learned = list(self.generator.parameters())
        self.judging = [list(c.parameters()) for c in (self.pose_critic, self.domain_critic)]
        self.generator_optimizer = adam(self.learned, task.settings.gan_lr)
        self.critic_optimizer = adam([*self.judging[0], *self.judging[1]], task.settings.gan_lr)

        rows = self.batch // world_size()
        shape = (rows,) if self.frames == 1 else (rows, self.frames)
        self.latest = Latest(
            torch.zeros(shape, dtype=torch.int64, device=device),
            torch.zeros(rows, dtype=torch.int64, device=device),
            torch.ones(rows, device=device),
            Motion.zeros(rows, self.frames, self.skeleton, device),
        )
        self.critic_step = Step(self._critic_step, task.random)
        self.early_step = Step(self._early_step, task.random)
        graph = bool(getattr(self.lifter, "graph_safe", False))
        self.generator_step = Step(self._generator_step, task.random, graph=graph)

    def iterate(self, iteration: int) -> dict[str, Tensor]:
        """A generator step, and every so many one of both discriminators. The lifter's feedback
        comes in when the lifter itself begins to learn."""
        scalars = self.early_step() if iteration < self.warmup else self.generator_step()
        if (iteration + 1) % self.settings.critic_every == 0:
            scalars = scalars | self.critic_step()
        return scalars

    def _critic_step(self) -> dict[str, Tensor]:
        """Eq. 15 with perturbed source poses, and Eq. 16 with the 2D poses of the target."""
        made, frame = self.latest.made, self.latest.frame
        rows = self.real2d.rows(self.batch)
        seen = self.real2d.seen(rows)
        with torch.no_grad():
            pose = self.real3d.pose3d(self.real3d.rows(self.batch))
            real3d = self.pose_critic.perturbed_features(pose, self.random)
            fake3d = self.pose_critic.features(_at(made.turned, frame))
            real2d = self.domain_critic.features(self.real2d.pose2d(rows), seen)
            fake2d = self.domain_critic.features(_at(made.pose2d, frame), seen)
        of_poses = self.pose_critic.part_scores(torch.cat((real3d, fake3d))).chunk(2, 1)
        of_domain = self.domain_critic(torch.cat((real2d, fake2d))).chunk(2)
        pose_loss, domain_loss = lsgan_critic(*of_poses), lsgan_critic(*of_domain)
        self.critic_optimizer.zero_grad()
        (pose_loss + domain_loss).backward()
        for parameters in self.judging:
            average_gradients(parameters)
            nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT)
        self.critic_optimizer.step()
        return {
            "critic_gap": (of_poses[0].mean() - of_poses[1].mean()).detach(),
            "critic2d_gap": (of_domain[0].mean() - of_domain[1].mean()).detach(),
            "pose_critic_loss": pose_loss.detach(),
            "domain_critic_loss": domain_loss.detach(),
        }

    def _early_step(self) -> dict[str, Tensor]:
        """Eq. 17 alone."""
        loss, scalars = self._adversarial(self._generate())
        self._learn(loss)
        return scalars

    def _generator_step(self) -> dict[str, Tensor]:
        """Eq. 22."""
        settings, made = self.settings, self._generate()
        loss, scalars = self._adversarial(made)
        hard_ratio = self._hard_ratio(made)
        loss = loss + settings.hard_ratio_weight * hard_ratio
        scalars = scalars | {"hard_ratio_loss": hard_ratio.detach()}
        if settings.reprojection_weight > 0:  # a pass through the lifter
            again = self._reprojection(made)
            loss = loss + settings.reprojection_weight * again
            scalars = scalars | {"reprojection_loss": again.detach()}
        self._learn(loss)
        return scalars

    def _generate(self) -> Motion:
        """Transforms a new source batch (Eq. 1) and keeps the result as the latest."""
        latest = self.latest
        rows = self.source.rows(self.batch)
        made = self.generator(
            self._windows(self.source.pose3d(rows)),
            self._windows(self.source.intrinsics(rows)),
            self.random,
        )
        frame = torch.randint(
            self.frames, (self.batch,), generator=self.random, device=self.source.device
        )
        latest.rows.copy_(rows)
        latest.frame.copy_(own_rows(frame))
        for kept, new in zip(latest.made, made, strict=True):
            kept.copy_(new.detach())
        return made

    def _adversarial(self, made: Motion) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 17, for both discriminators, weighted as in Eq. 2."""
        settings, frame = self.settings, self.latest.frame
        # Joints that targets hide are hidden here too, or they would give the generated away.
        hides = self.real2d.poses.seen is not None
        seen = self.real2d.seen(self.real2d.rows(self.batch)) if hides else None
        domain = self.domain_critic.features(_at(made.pose2d, frame), seen)
        domain_loss = lsgan_generator(self.domain_critic(domain))
        pose = self.pose_critic.features(_at(made.turned, frame))
        pose_loss = lsgan_generator(self.pose_critic.part_scores(pose))
        loss = settings.domain_weight * domain_loss + settings.pose_weight * pose_loss
        return loss, {"domain_loss": domain_loss.detach(), "pose_loss": pose_loss.detach()}

    def _hard_ratio(self, made: Motion) -> Tensor:
        """Eq. 20 and 21. Keeps the ratios for the selection; the lifter learns nothing."""
        settings, latest = self.settings, self.latest
        source = self.source.pose3d(centre(latest.rows))
        with asked(self.lifter):
            with torch.no_grad():
                of_source = self.lifter(self.source.pose2d(latest.rows))
            of_made = self.lifter(self._for_lifter(made.pose2d))
        ratio = hardness(
            error_of(of_made, made.pose3d[:, self.frames // 2]),
            error_of(of_source, source - source[:, :1]),
        )
        latest.ratio.copy_(ratio.detach())
        band = outside_band if settings.hard_ratio == "outside" else inside_band
        return band(ratio, settings.hard_ratio_centre, settings.hard_ratio_width).mean()

    def _reprojection(self, made: Motion) -> Tensor:
        """Eq. 18 and 19. The generator learns through its own 2D poses."""
        rows = self.target.rows(self.batch)
        with asked(self.lifter), torch.no_grad():
            predicted = self.lifter(self.target.pose2d(rows))
        pose2d = made.pose2d[:, self.frames // 2]
        return reprojection_loss(predicted, pose2d, self.target.seen(centre(rows)))

    def _learn(self, loss: Tensor) -> None:
        """A step of the generator; nothing else gets a gradient."""
        self.generator_optimizer.zero_grad()
        loss.backward(inputs=self.learned)
        average_gradients(self.learned)
        nn.utils.clip_grad_norm_(self.learned, MAX_GRADIENT)
        self.generator_optimizer.step()

    def pairs(self) -> Pairs:
        """The generated half of Eq. 23: those in sight and selected (Eq. 14)."""
        made, settings = self.latest.made, self.settings
        keep = visible(made.pose3d, made.root, made.pose2d).all(1)
        if settings.select:
            keep &= selected(self.latest.ratio, settings.selection_centre, settings.selection_width)
        return Pairs(self._for_lifter(made.pose2d), made.pose3d[:, self.frames // 2], keep)

    def describe(self) -> dict[str, Tensor]:
        """Of the latest batch, means over all bones, the ones that never turn included."""
        made, degrees = self.latest.made, 180 / math.pi
        source = self._windows(self.source.pose3d(self.latest.rows))
        before, after = bones(source, self.skeleton), bones(made.turned, self.skeleton)
        angle = torch.cosine_similarity(before, after, dim=-1).clamp(-1, 1).acos()
        return {
            "bone_angle_deg": angle * degrees,
            "bone_ratio": made.bone_scale.abs(),
            "rotation_deg": made.rotation.norm(dim=-1) * degrees,
            "bone_angle_spread_deg": spread(angle[..., None]) * degrees,
            "bone_ratio_spread": spread(made.bone_scale[..., None]),
            "rotation_spread_deg": spread(made.rotation) * degrees,
            "pose_spread_deg": pose_spread_deg(made.turned[:, self.frames // 2], self.skeleton),
            "hardness": self.latest.ratio,
        }

    @torch.no_grad()
    def sample(self, count: int, seed: int = 0) -> Samples:
        """Generated motions (the paper's Fig. 5) and rotations (Fig. 7), without any change of
        the training's random state."""
        random = torch.Generator(self.source.device).manual_seed(seed)
        drawn = Sampler(self.source.poses, random, self.frames, self.settings.strides)
        rows = drawn.rows(count)
        source = self._windows(drawn.pose3d(rows))
        made = self.generator(source, self._windows(drawn.intrinsics(rows)), random)
        axes = torch.eye(3, device=self.source.device).expand(len(source), 3, 3)
        rotation = rotate(axes, made.rotation[:, None]).mT
        return Samples(source, made.pose3d + made.root[:, :, None], rotation, made.pose2d)

    def _windows(self, values: Tensor) -> Tensor:
        """(B, T, ...) of what a sampler gives, which has no T for single frames."""
        return values[:, None] if self.frames == 1 else values

    def _for_lifter(self, pose2d: Tensor) -> Tensor:
        """The other way about."""
        return pose2d[:, 0] if self.frames == 1 else pose2d

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator.state_dict(),
            "pose_critic": self.pose_critic.state_dict(),
            "domain_critic": self.domain_critic.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.load_state_dict(state["generator"])
        self.pose_critic.load_state_dict(state["pose_critic"])
        self.domain_critic.load_state_dict(state["domain_critic"])
        load_optimizer(self.generator_optimizer, state["generator_optimizer"])
        load_optimizer(self.critic_optimizer, state["critic_optimizer"])


def selected(ratio: Tensor, centre: float, width: float) -> Tensor:
    """Eq. 14: (...) which poses are neither too simple nor too hard, from the ratios of the
    lifter's errors (`hardness`)."""
    return (ratio - centre).square() < width**2


def reprojection_loss(predicted: Tensor, pose2d: Tensor, seen: Tensor | None = None) -> Tensor:
    """Eq. 18: the L1 distance between generated 2D poses and what the lifter makes of target poses,
    seen from the front (Eq. 19), each about its root and of norm 1; the mean over the batch.

    Args:
        predicted: (B, J, 3) the lifter's poses of the target, root-relative, metres.
        pose2d: (B, J, 2) generated, screen-normalised.
        seen: (B, J) which joints of the target were seen; None: all.
    """
    front = predicted[..., :2]
    generated = pose2d - pose2d[:, :1]
    if seen is not None:
        front, generated = (pose.where(seen[..., None], 0) for pose in (front, generated))
    return (_of_norm_one(front) - _of_norm_one(generated)).abs().sum((-1, -2)).mean()


def _of_norm_one(pose2d: Tensor) -> Tensor:
    norm = torch.linalg.matrix_norm(pose2d, keepdim=True)
    return pose2d / norm.clamp(min=MIN_NORM)


def _at(values: Tensor, frame: Tensor) -> Tensor:
    """(B, ...) one frame (B,) of each window of values (B, T, ...)."""
    windows, frames = values.shape[:2]
    rows = frame + frames * torch.arange(windows, device=frame.device)
    return values.flatten(0, 1).index_select(0, rows)


def _rotation(settings: AdaptPoseSettings) -> Rotation | None:
    if settings.camera == "none":
        return None
    return Rotation(settings.camera_rotation, settings.camera == "probabilistic")


def adam(parameters: list[nn.Parameter], lr: float) -> torch.optim.Adam:
    """The optimiser of generator and discriminators."""
    return torch.optim.Adam(parameters, lr, fused=True, capturable=parameters[0].is_cuda)
