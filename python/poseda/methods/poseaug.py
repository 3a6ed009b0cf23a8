"""PoseAug (Gong et al., CVPR 2021): an augmentor that is taught by two critics and by the lifter.

It uses nothing of the target. In each iteration the augmentor learns (`_augmentor_step`), in every
second one the critics do (`_critic_step`), and what was made is stored for the lifter, which the
training loop trains on stored pairs and on the source's in turns (`passes`).

The losses are those of the released code, which its authors changed after the paper: the hardness
of Eq. 9 became a band (`outside_band` of a ratio; AdaptPose, Eq. 20 and 21, states it), bone angles
got a band as well, and the torso is fixed. The adversarial ones are AdaptPose's Eq. 15 to 17.

What is wrong in the released code is right here: a pair is left out when a joint is beyond *any*
side of the picture; the lifter scores in evaluation mode, and so its running statistics see no
pose that it does not learn from; the error that a ratio is over has a floor; no bone is divided by
a length of 0; the projection neither is clamped nor divides by 0; and bone lengths come from the
subjects of the source, not of Human3.6M. docs/poseaug.md says what else differs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from poseda.data.poseset import PoseSet
from poseda.distributed import average_gradients, own_rows, world_size
from poseda.methods.diversity import spread
from poseda.methods.fakes import FakePool, PairStore
from poseda.methods.losses import asked, lsgan_critic, lsgan_generator, outside_band
from poseda.methods.method import Pairs, Task
from poseda.methods.placing import visible
from poseda.networks.augmentor import Augmentation, Augmentor, Critic3D
from poseda.networks.critic2d import Critic2D
from poseda.networks.replicas import synchronize
from poseda.training.graphs import Step, load_optimizer
from poseda_ext import Skeleton, augment, bones
from poseda_ext.reference import MIN_BONE_LENGTH

#: Mean of 1 - cos over a pose's bones, and how far it may be from that: 40 degrees for a bone that
#: may turn, where 2 of 15 may not.
ANGLE_BAND = 0.205, 0.165
#: A bone's length may change by this share before it costs.
MAX_FREE_RATIO = 0.1
#: How many times as hard as the source pose: at first and at last, and how far it may be from that.
HARD_ANGLE, HARD_ANGLE_BAND = (3.0, 5.0), 2.0
HARD_VIEW, HARD_VIEW_BAND = 17.0, 15.0
#: Joints whose error counts together, and with what weight.
GROUPS = (
    {"RHip": 5.0, "LHip": 5.0, "LShoulder": 5.0, "RShoulder": 5.0},
    {"RKnee": 2.0, "LKnee": 2.0, "Head": 1.0, "LElbow": 2.0, "RElbow": 2.0},
    {"RFoot": 1.0, "LFoot": 1.0, "LWrist": 1.0, "RWrist": 1.0},
)
#: Weighted error of a group below which a source pose is no easier, metres.
MIN_ERROR = 5e-3
MAX_GRADIENT = 1.0
POOL = 4096
#: Augmented pairs in store: those of an epoch, but no more than this, unless a batch has more.
STORE = 65_536


class Given(NamedTuple):
    """Source poses, with bone lengths swapped."""

    pose: Tensor  #: (B, J, 3) root-relative, metres
    root: Tensor  #: (B, 3) camera frame, metres
    intrinsics: Tensor  #: (B, 4)
    pose2d: Tensor  #: (B, J, 2) as their own camera sees them


class Made(NamedTuple):
    """What the augmentor makes of them."""

    changes: Augmentation
    turned2d: Tensor  #: (B, J, 2) after bone angles (BA), where the source pose stood
    pose: Tensor  #: (B, J, 3) after all (BA, BL, RT), root-relative, metres
    pose2d: Tensor  #: (B, J, 2) likewise
    keep: Tensor  #: (B,) which the camera sees whole


class Latest(NamedTuple):
    """Of the last steps, in tensors that stay where they are."""

    features: Tensor  #: (B, F) of poses after BA, for the 3D critic
    pose2d: Tensor  #: (B, J, 2) after all, for the 2D critic
    bone_angle: Tensor  #: (B, J-1) radians
    bone_ratio: Tensor  #: (B, G)
    rotation: Tensor  #: (B, 3) axis-angle
    depth: Tensor  #: (B,) metres
    keep: Tensor  #: (B,)
    hard: Tensor  #: (2, B, 3) ratios after BA, and after all
    gap: Tensor  #: (2,) the critics' mean score of real poses less that of fakes: 3D, 2D


class PoseAug:
    """One adaptation by PoseAug.

    Args:
        task: settings, source, and the lifter that gives feedback.

    Raises:
        ValueError: if the source has no 3D, the lifter is one of windows, or there is none to ask.
    """

    least_squares = True

    def __init__(self, task: Task) -> None:
        source, settings = task.source, task.settings
        own = settings.poseaug
        if source.frames > 1:
            raise ValueError(
                f"poseaug: got a lifter of {source.frames} frames, expected one of a single frame: "
                "it augments single poses"
            )
        if source.poses.pose3d is None:
            raise ValueError(f"{source.poses.name}: has no pose3d, expected a labelled source")
        self.feedback = own.weight_hard_angle > 0 or own.weight_hard_view > 0
        if self.feedback and task.lifter is None:
            raise ValueError(
                "poseaug: got no lifter, expected the one that is adapted: it is asked"
            )
        poses, device = source.poses.pose3d, source.device
        self.settings, self.own = settings, own
        self.source, self.random, self.lifter = source, task.random, task.lifter
        self.skeleton = source.poses.skeleton
        self.warmup = settings.warmup
        self.passes = max(2, min(2 * own.epochs, settings.steps) // 2 * 2)
        self.total = settings.warmup + settings.steps

        self.augmentor = Augmentor(self.skeleton, depth=float(poses[:, 0, 2].median())).to(device)
        synchronize(self.augmentor)
        self.critic3d = Critic3D(self.skeleton).to(device)
        self.critic2d = Critic2D(self.skeleton).to(device)
        self.learned = list(self.augmentor.parameters())
        self.critics = [list(c.parameters()) for c in (self.critic3d, self.critic2d)]
        self.augmentor_optimizer = adam(self.learned, settings.gan_lr)
        self.critic_optimizer = adam(chain(*self.critics), settings.gan_lr)
        self.rate = torch.zeros((), device=device) if device.type == "cuda" else None
        self.templates = bone_lengths(source.poses) if own.swap_bone_lengths else None
        self.grouped = error_groups(self.skeleton).to(device)
        self.hard_angle = torch.zeros((), device=device)

        batch, joints = settings.batch, self.skeleton.num_joints
        self.pool3d = FakePool(POOL, batch, self.critic3d.num_features, task.random)
        self.pool2d = FakePool(POOL, batch, 2 * joints, task.random)
        kept = max(2 * batch, min(batch * math.ceil(settings.steps / own.epochs), STORE))
        self.store = PairStore(self._source_pairs(kept), task.random)
        self.latest = self._no_latest(batch // world_size(), device)
        graph = not self.feedback or bool(getattr(task.lifter, "graph_safe", False))
        self.first_step = Step(partial(self._augmentor_step, feedback=False), task.random)
        self.augmentor_step = Step(
            partial(self._augmentor_step, feedback=self.feedback), task.random, graph=graph
        )
        self.critic_step = Step(self._critic_step, task.random)

    def iterate(self, iteration: int) -> dict[str, Tensor]:
        """An augmentor step, without feedback during warm-up, and every n-th time a critic step.
        Rates fall, and the aimed hardness grows, with the share of the training that is done."""
        done = iteration / self.total
        self._set_rate(self.settings.gan_lr * (1 - done))
        easy, hard = HARD_ANGLE
        self.hard_angle.fill_(easy + (hard - easy) * done)
        step = self.first_step if iteration < self.warmup else self.augmentor_step
        step()
        if (iteration + 1) % self.own.critic_every == 0:
            self.critic_step()
        return {}

    def pairs(self) -> Pairs:
        """2B stored pairs."""
        pose2d, pose3d = self._unpack(self.store.draw(2 * self.settings.batch))
        return Pairs(pose2d, pose3d, torch.ones_like(pose3d[:, 0, 0], dtype=torch.bool))

    def _augmentor_step(self, *, feedback: bool) -> dict[str, Tensor]:
        """The augmentor's loss: its score with both critics, the range of its changes, feedback."""
        own, given = self.own, self._draw()
        made = self._augment(given)
        features = self.critic3d.features(made.changes.turned)
        loss = own.weight_3d * lsgan_generator(self.critic3d.part_scores(features))
        loss = loss + own.weight_2d * lsgan_generator(self._score2d(made.pose2d))
        loss = loss + own.weight_range * range_loss(made.changes)
        hard = self.latest.hard
        if feedback:
            hard = self._hardness(given, made)
            loss = loss + self._feedback(hard, made.keep)
        self.augmentor_optimizer.zero_grad()
        loss.backward(inputs=self.learned)  # neither the critics nor the lifter learn here
        average_gradients(self.learned)
        nn.utils.clip_grad_norm_(self.learned, MAX_GRADIENT)
        self.augmentor_optimizer.step()
        self._keep(features, made, hard)
        return {}

    def _critic_step(self) -> dict[str, Tensor]:
        """Both critics' loss over the latest fakes, or older ones, and over two draws of source
        poses (AdaptPose, Eq. 15 and 16)."""
        with torch.no_grad():
            real3d = self.critic3d.features(self._draw().pose)
            real2d = self._draw().pose2d
            fake3d = self.pool3d(self.latest.features)
            fake2d = self.pool2d(self.latest.pose2d.flatten(1)).view_as(real2d)
        real, fake = self.critic3d.part_scores(torch.cat((real3d, fake3d))).chunk(2, 1)
        loss = lsgan_critic(real, fake)
        self.latest.gap[0].copy_((real.mean() - fake.mean()).detach())
        real, fake = self._score2d(torch.cat((real2d, fake2d))).chunk(2)
        loss = loss + lsgan_critic(real, fake)
        self.latest.gap[1].copy_((real.mean() - fake.mean()).detach())
        self.critic_optimizer.zero_grad()
        loss.backward()
        for parameters in self.critics:
            average_gradients(parameters)
            nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT)
        self.critic_optimizer.step()
        return {}

    def _draw(self) -> Given:
        """Random source poses. Each keeps its bone directions and place, takes the bone lengths of
        a random subject, and is projected anew."""
        rows = self.source.rows(self.settings.batch)
        pose, intrinsics = self.source.pose3d(rows), self.source.intrinsics(rows)
        scale = None
        if self.templates is not None:
            among = len(self.templates), (self.settings.batch,)
            which = torch.randint(*among, generator=self.random, device=pose.device)
            scale = swap(pose, self.templates.index_select(0, own_rows(which)), self.skeleton)
        root = pose[:, 0]
        seen = augment(
            pose, bone_scale=scale, root=root, intrinsics=intrinsics, skeleton=self.skeleton
        )
        assert seen.pose2d is not None
        return Given(seen.pose3d, root, intrinsics, seen.pose2d)

    def _augment(self, given: Given) -> Made:
        """BA, then BL, then RT; both 2D poses are seen by the source pose's camera."""
        changes = self.augmentor(given.pose, self.random)
        see = partial(augment, changes.turned, intrinsics=given.intrinsics, skeleton=self.skeleton)
        turned2d = see(root=given.root).pose2d
        root = changes.translation
        made = see(bone_scale=changes.bone_scale, rotation=changes.rotation, root=root)
        assert turned2d is not None and made.pose2d is not None
        keep = visible(made.pose3d, root, made.pose2d)
        return Made(changes, turned2d, made.pose3d, made.pose2d, keep)

    def _hardness(self, given: Given, made: Made) -> Tensor:
        """(2, B, 3) the lifter's error on poses after BA, and after all, over that on the source
        pose, for each group of joints."""
        assert self.lifter is not None
        with asked(self.lifter):
            with torch.no_grad():
                easy = self._errors(self.lifter(given.pose2d), given.pose)
            lifted = self.lifter(torch.cat((made.turned2d, made.pose2d)))
        hard = self._errors(lifted, torch.cat((made.changes.turned, made.pose)))
        return hard.unflatten(0, (2, -1)) / easy.clamp(min=MIN_ERROR)

    def _errors(self, lifted: Tensor, pose: Tensor) -> Tensor:
        """(B, 3) weighted mean distance of each group of joints."""
        return (lifted.to(pose.dtype) - pose).norm(dim=-1) @ self.grouped

    def _feedback(self, hard: Tensor, keep: Tensor) -> Tensor:
        """Poses shall be harder than the source's, within a band (AdaptPose, Eq. 20 and 21, in the
        place of Eq. 9). A pair that the lifter will not be given has no say."""
        angle = outside_band(hard[0], self.hard_angle, HARD_ANGLE_BAND)
        view = outside_band(hard[1], HARD_VIEW, HARD_VIEW_BAND).where(keep[:, None], 0)
        own = self.own
        return own.weight_hard_angle * angle.mean() + own.weight_hard_view * view.mean()

    def _score2d(self, pose2d: Tensor) -> Tensor:
        return self.critic2d(self.critic2d.features(pose2d))

    @torch.no_grad()
    def _keep(self, features: Tensor, made: Made, hard: Tensor) -> None:
        """Stores the pairs for the lifter, and what the critics and the log need."""
        self.store.add(torch.cat((made.pose2d.flatten(1), made.pose.flatten(1)), 1), made.keep)
        changes = made.changes
        latest = Latest(
            features,
            made.pose2d,
            (1 - changes.angle).clamp(-1, 1).acos(),
            changes.ratio,
            changes.rotation,
            changes.translation[:, 2],
            made.keep,
            hard,
            self.latest.gap,
        )
        for kept, new in zip(self.latest, latest, strict=True):
            kept.copy_(new)

    def _no_latest(self, batch: int, device: torch.device) -> Latest:
        skeleton = self.skeleton
        joints, bone_groups = skeleton.num_joints, len(skeleton.bone_groups)
        shapes = (
            (batch, self.critic3d.num_features),
            (batch, joints, 2),
            (batch, skeleton.num_bones),
            (batch, bone_groups),
            (batch, 3),
            (batch,),
            (batch,),
            (2, batch, 3),
            (2,),
        )
        return Latest(*(torch.zeros(shape, device=device) for shape in shapes))

    def _source_pairs(self, size: int) -> Tensor:
        """(size, 5J) as the store holds them, from all of the set."""
        rows = torch.arange(size, device=self.source.device) * len(self.source.poses) // size
        pose = self.source.pose3d(rows)
        pose = pose - pose[:, :1]
        return torch.cat((self.source.pose2d(rows).flatten(1), pose.flatten(1)), 1)

    def _unpack(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 5J) as the store holds them to 2D poses (B, J, 2) and 3D poses (B, J, 3)."""
        joints = self.skeleton.num_joints
        pose2d, pose3d = pairs.split((2 * joints, 3 * joints), dim=1)
        return pose2d.unflatten(1, (joints, 2)), pose3d.unflatten(1, (joints, 3))

    def _set_rate(self, rate: float) -> None:
        """As a graph reads it: from where it lies."""
        if self.rate is not None:
            self.rate.fill_(rate)
        for optimizer in (self.augmentor_optimizer, self.critic_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = rate if self.rate is None else self.rate

    def describe(self) -> dict[str, Tensor]:
        """Of the latest batch, means over all bones, the ones that never turn included."""
        latest, degrees = self.latest, 180 / math.pi
        said = {
            "kept": latest.keep,
            "bone_angle_deg": latest.bone_angle * degrees,
            "bone_ratio": latest.bone_ratio.abs(),
            "rotation_deg": wrapped(latest.rotation.norm(dim=-1)) * degrees,
            "bone_angle_spread_deg": spread(latest.bone_angle[..., None]) * degrees,
            "bone_ratio_spread": spread(latest.bone_ratio[..., None]),
            "rotation_spread_deg": spread(latest.rotation) * degrees,
            "depth": latest.depth,
            "critic_gap": latest.gap[0],
            "critic2d_gap": latest.gap[1],
        }
        if self.feedback:
            said |= {"hard_angle": latest.hard[0], "hard_view": latest.hard[1].median()}
        return said

    def state_dict(self) -> dict[str, Any]:
        return {
            "augmentor": self.augmentor.state_dict(),
            "critic3d": self.critic3d.state_dict(),
            "critic2d": self.critic2d.state_dict(),
            "augmentor_optimizer": self.augmentor_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "kept": self._kept(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.augmentor.load_state_dict(state["augmentor"])
        self.critic3d.load_state_dict(state["critic3d"])
        self.critic2d.load_state_dict(state["critic2d"])
        load_optimizer(self.augmentor_optimizer, state["augmentor_optimizer"])
        load_optimizer(self.critic_optimizer, state["critic_optimizer"])
        # in place: the checkpoint's tensors lie on the CPU, these on the device
        for kept, saved in zip(self._kept(), state["kept"], strict=True):
            kept.copy_(saved)

    def _kept(self) -> list[Tensor]:
        return [*self.pool3d.state(), *self.pool2d.state(), *self.store.state()]


def range_loss(changes: Augmentation) -> Tensor:
    """Bone angles within a band, so that something happens but not too much, and bone ratios below
    a limit."""
    angle = outside_band(changes.angle.mean(-1), *ANGLE_BAND)
    return angle.mean() + outside_band(changes.ratio, 0.0, MAX_FREE_RATIO).mean()


def bone_lengths(poses: PoseSet) -> Tensor:
    """(S, J-1) the median bone lengths of each subject in a labelled set, the same on the left and
    on the right, metres."""
    assert poses.pose3d is not None
    lengths = bones(poses.pose3d, poses.skeleton).norm(dim=-1)
    templates = torch.stack([
        lengths[torch.from_numpy(np.flatnonzero(poses.subject == name)).to(lengths.device)]
        .median(0)
        .values
        for name in np.unique(poses.subject)
    ])  # fmt: skip
    for group in poses.skeleton.bone_groups:
        members = list(group)
        templates[:, members] = templates[:, members].mean(1, keepdim=True)
    return templates


def swap(pose: Tensor, lengths: Tensor, skeleton: Skeleton) -> Tensor:
    """(B, J-1) the `bone_scale` that gives poses (B, J, 3) bones of the given lengths (B, J-1)."""
    return lengths / bones(pose, skeleton).norm(dim=-1).clamp(min=MIN_BONE_LENGTH) - 1


def error_groups(skeleton: Skeleton) -> Tensor:
    """(J, 3) what each joint's error counts in each group."""
    grouped = torch.zeros(skeleton.num_joints, len(GROUPS))
    for column, group in enumerate(GROUPS):
        for name, weight in group.items():
            grouped[skeleton.names.index(name), column] = weight / len(group)
    return grouped


def wrapped(angle: Tensor) -> Tensor:
    """The angle of a turn that may go round more than half, 0 to pi."""
    return ((angle + math.pi) % (2 * math.pi) - math.pi).abs()


def adam(parameters: Iterable[Tensor], lr: float) -> torch.optim.Adam:
    """The optimiser of augmentor and critics."""
    learned = list(parameters)
    return torch.optim.Adam(learned, lr, fused=True, capturable=learned[0].is_cuda)
