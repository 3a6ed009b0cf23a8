"""Alignment of viewpoint and body: this project's own method (docs/aligned.md).

What separates two places most is from where people are seen and how they are built. Global
position alignment (PoseDA) corrects neither: it prints the source's bodies, as the source's cameras
see them, on the target. Both can be read from the target's 2D by the lifter that is being adapted:

- **Viewpoint.** Up, for a camera, is where the torsos (root to thorax) of the people before it
  point on the median. Each source pose is turned by the smallest rotation that takes its own
  camera's up to that of its target pose's camera, where the lifter says how the torsos point; so
  who leans, leans on. Or, for cameras that move, it is turned until its torso points as the lifter
  sees that of its target pose.
- **Body.** The lifter says which share of a bone lies in the image plane, and the image, at the
  depth that global position alignment solves, how long that share is: so each target pose tells the
  length of its bones (`poseda.body.measured_lengths`). Source bones are scaled to the medians.
- **Rounds.** Both are read anew as the lifter learns.

One camera does not see absolute size: lengths and depths grow together, and round by round the
lifter's own bias would make people shrink. So only proportions are read; the stature is that of the
source's people, or `height`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from poseda.body import measured_lengths, stature_of_bones
from poseda.data.sampler import Sampler, centre
from poseda.distributed import own_rows
from poseda.methods.lpa import LocalPoseAugmentation
from poseda.methods.method import Pairs, Task
from poseda.methods.placing import placed_pairs
from poseda.methods.viewpoint import rotation_between, up_directions
from poseda.networks.generator import Transformation
from poseda.networks.lifters import lift_poses
from poseda_ext import augment, bones
from poseda_ext.reference import MIN_BONE_LENGTH


class Aligned:
    """One adaptation by alignment.

    Args:
        task: settings, source, target and the lifter that is asked.

    Raises:
        ValueError: if the source has no 3D or there is no lifter.
    """

    def __init__(self, task: Task) -> None:
        if task.source.poses.pose3d is None:
            raise ValueError(f"{task.source.poses.name}: has no pose3d, expected a labelled source")
        if task.lifter is None:
            raise ValueError("lifter: got none, expected the one that is adapted")
        self.settings = task.settings
        self.own = task.settings.aligned
        self.source, self.target = task.source, task.target
        self.lifter, self.random = task.lifter, task.random
        self.skeleton = skeleton = task.source.poses.skeleton
        self.torso = skeleton.names.index("Thorax")
        self.local = _local(task) if self.own.lpa else None
        self.warmup = task.settings.warmup if self.local is not None else 0
        self.refresh_every = max(1, -(-task.settings.steps // self.own.rounds))
        self.groups = _groups(skeleton.bone_groups, skeleton.num_bones, task.source.device)
        lengths = bones(task.source.poses.pose3d, skeleton).norm(dim=-1)
        self.usual = lengths.median(0).values  # (J-1,) of the source
        self.stature = stature_of_bones(self.usual, skeleton)
        if self.own.height is not None:
            self.stature = torch.full_like(self.stature, self.own.height)
        self.subject, self.subjects = _subjects(task.target, self.own.per_subject)
        device = task.source.device
        self.up = up_directions(task.source.poses)  # (M, 3) of each source pose's camera
        #: (N, 3) up for each target pose's camera, or the torso of each, as the lifter sees it
        self.view = torch.zeros(len(task.target.poses), 3, device=device)
        #: (S, J-1) metres, the bones of each subject of the target
        self.body = self.usual.expand(self.subjects, -1).clone()
        #: 0 until the lifter was asked first, then 1
        self.known = torch.zeros((), device=device)
        #: by how much the last round changed what is known: degrees, and a share of the lengths
        self.change = torch.zeros(2, device=device)

    def iterate(self, iteration: int) -> dict[str, Tensor]:
        """Asks the lifter at the start of every round but the first."""
        scalars = {} if self.local is None else self.local.iterate(iteration)
        step = iteration - self.warmup
        if step > 0 and step % self.refresh_every == 0:
            self.refresh()
        return scalars

    @torch.no_grad()
    def refresh(self) -> None:
        """Reads viewpoint and body from the target, as the lifter sees it now."""
        poses = self.target.poses
        predicted = lift_poses(self.lifter, poses)
        if self.own.viewpoint == "camera":
            view = up_directions(dataclasses.replace(poses, pose3d=predicted))
        else:
            view = normalize(predicted[:, self.torso] - predicted[:, 0], dim=-1)
        body = measured_lengths(
            predicted,
            poses.pose2d,
            poses.intrinsics,
            poses.seen,
            self.subject,
            self.subjects,
            self.skeleton,
        )
        body = self._alike(torch.where(body.isnan(), self.body, body))
        body = body * (self.stature / stature_of_bones(body, self.skeleton))[:, None]
        turned = (view * self.view).sum(-1).clamp(-1, 1).acos().mean() * (180 / math.pi)
        self.change[0] = torch.where(self.known > 0, turned, torch.zeros_like(turned))
        self.change[1] = (body / self.body - 1).abs().mean()
        self.view.copy_(view)
        self.body.copy_(body)
        self.known.fill_(1.0)

    def _alike(self, lengths: Tensor) -> Tensor:
        """(S, J-1) lengths with one ratio to the source's for the bones of a group, such as left
        and right."""
        ratio = lengths / self.usual
        return self.usual * (ratio @ self.groups.T / self.groups.sum(1) @ self.groups)

    def describe(self) -> dict[str, Tensor]:
        """What the last round changed, which falls to nothing as the rounds converge, and how far
        the bodies lie from the source's."""
        scalars = {} if self.local is None else self.local.describe()
        return scalars | {
            "view_change_deg": self.change[0],
            "body_change": self.change[1],
            "body_ratio": (self.body / self.usual - 1).abs(),
        }

    def pairs(self) -> Pairs:
        size = self.settings.batch
        there = self.target.rows(size)
        if self.local is None:
            rows = self.source.rows(size)
            pose, own_scale = self.source.pose3d(rows), None
        else:
            rows, made = self.local.latest
            pose, own_scale = self._augmented(rows, made)
        middle, looks = _middle(pose), centre(there)
        scale = self._scale(middle, looks, own_scale)
        direction = None
        if self.own.viewpoint == "camera":
            rotation = self._turn(centre(rows), looks)
        else:
            torso = middle[:, self.torso] - middle[:, 0]
            direction = torch.where(self.known > 0, self.view.index_select(0, looks), torso)
            rotation = self._rotation(self._normal(size, 3) * self.own.view_noise)
        return placed_pairs(
            self.source,
            self.target,
            rows,
            pose,
            bone_scale=scale,
            rotation=rotation,
            direction=direction,
            there=there,
        )

    def _augmented(self, rows: Tensor, made: Transformation) -> tuple[Tensor, Tensor]:
        """Source poses after local pose augmentation, but for the lengths, and those."""
        if rows.dim() == 1:
            return made.turned, made.bone_scale
        turn = made.bone_rotation[:, None].expand(-1, rows.shape[1], -1, -1)
        pose = augment(self.source.pose3d(rows), bone_rotation=turn, skeleton=self.skeleton).pose3d
        return pose, made.bone_scale

    def _scale(self, pose: Tensor, there: Tensor, own: Tensor | None) -> Tensor:
        """(B, J-1) relative change of each bone's length, from the pose's own to the body of the
        target's subject, with a spread alike for the bones of a group."""
        noise = self._normal(self.settings.batch, len(self.groups)) @ self.groups
        wanted = self.body.index_select(0, self.subject.index_select(0, there))
        ratio = wanted / bones(pose, self.skeleton).norm(dim=-1).clamp(min=MIN_BONE_LENGTH)
        ratio = torch.where(self.known > 0, ratio * (1 + self.own.body_noise * noise), 1)
        return (ratio if own is None else ratio * (1 + own)) - 1

    def _turn(self, rows: Tensor, looks: Tensor) -> Tensor:
        """(B, 3) axis-angle from the source's cameras to the target's, and a little further."""
        noise = self._normal(self.settings.batch, 3) * self.own.view_noise
        up = normalize(self.view.index_select(0, looks) + noise, dim=-1)
        return self._rotation(rotation_between(self.up.index_select(0, rows), up))

    def _rotation(self, rotation: Tensor) -> Tensor:
        """(B, 3) axis-angle: the given one, but in the first round any within its bound."""
        uniform = torch.empty(self.settings.batch, 3, device=self.source.device)
        uniform.uniform_(-self.own.first_rotation, self.own.first_rotation, generator=self.random)
        return torch.where(self.known > 0, rotation, own_rows(uniform))

    def _normal(self, *shape: int) -> Tensor:
        return own_rows(torch.randn(*shape, generator=self.random, device=self.source.device))

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {name: getattr(self, name) for name in STATE}
        return state | ({} if self.local is None else {"local": self.local.state_dict()})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in STATE:
            getattr(self, name).copy_(state[name])
        if self.local is not None:
            self.local.load_state_dict(state["local"])


STATE = ("view", "body", "known", "change")


def _local(task: Task) -> LocalPoseAugmentation:
    """Local pose augmentation that leaves the orientation alone."""
    poseda = dataclasses.replace(task.settings.poseda, rotation="none")
    settings = dataclasses.replace(task.settings, poseda=poseda)
    return LocalPoseAugmentation(dataclasses.replace(task, settings=settings), gpa=True)


def _middle(pose: Tensor) -> Tensor:
    """(B, J, 3) poses as they are, the middle ones of windows (B, T, J, 3)."""
    return pose if pose.dim() == 3 else pose[:, pose.shape[1] // 2]


def _groups(groups: Sequence[Sequence[int]], bones: int, device: torch.device) -> Tensor:
    """(G, J-1) one where a bone belongs to a group."""
    members = torch.zeros(len(groups), bones, device=device)
    for group, member in zip(members, groups, strict=True):
        group[list(member)] = 1
    return members


def _subjects(target: Sampler, apart: bool) -> tuple[Tensor, int]:
    """(N,) which of the target's people each row is, and how many they are."""
    poses = target.poses
    if not apart:
        return torch.zeros(len(poses), dtype=torch.int64, device=target.device), 1
    names, subject = np.unique(poses.subject, return_inverse=True)
    return torch.from_numpy(subject).to(target.device), len(names)
