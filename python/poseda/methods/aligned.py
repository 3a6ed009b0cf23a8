"""Alignment of viewpoint, body and pose: this project's own method (docs/aligned.md).

What separates two places most is from where people are seen, how they are built, and what they do.
Global position alignment (PoseDA) corrects none of it: it prints the source's people, as the
source's cameras see them, on the target. All three can be read from the target's 2D by the lifter
that is being adapted (`poseda.methods.reading`):

- **Viewpoint.** Up, for a camera, is across the ground that the people before it walk on. Each
  source pose is turned by the smallest rotation that takes its own camera's up to that of its
  target pose's camera; so who leans, leans on. Where the lifter lets all people before a camera
  lean, its poses are turned upright before anything is read from them. Or, for cameras that move,
  each source pose is turned until its torso points as the lifter sees that of its target pose.
- **Body.** The lifter says which share of a bone lies in the image plane, and the image, at the
  depth that global position alignment solves, how long that share is: so each target pose tells the
  length of its bones (`poseda.body.measured_lengths`). Source bones are scaled to the medians.
- **Pose.** A joint lies on its ray, and bones have the body's lengths; so of a target pose little
  is open, and the lifter says it (`poseda.fitting`). A part of the pairs are target poses with
  depths so fitted; another part are these poses, turned about the vertical and seen by another of
  the target's cameras.
- **Rounds.** All is read anew as the lifter learns.
- **What is known.** Where the lifter knows the target as well as the source, pairs are the source's
  own, with their labels.

One camera does not see absolute size: lengths and depths grow together, and round by round the
lifter's own bias would make people shrink. So only proportions are read; the stature is that of the
source's people, or `height`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from poseda.data.sampler import centre
from poseda.distributed import own_rows
from poseda.methods.lpa import LocalPoseAugmentation
from poseda.methods.method import Labelled, Pairs, Task, chosen, labelled_rows
from poseda.methods.placing import placed_pairs
from poseda.methods.reading import Reading
from poseda.methods.viewpoint import rotation_between, up_directions
from poseda.networks.generator import Transformation
from poseda_ext import augment, bones
from poseda_ext.reference import MIN_BONE_LENGTH

#: how often the lifter must have been asked before its poses are learned from: those of one that
#: does not know viewpoint and body yet would stay wrong
ASKED_BEFORE_FITTED = 2
#: whose multiples, modulo 1, are spread evenly
GOLDEN = (math.sqrt(5) - 1) / 2


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
        self.own = own = task.settings.aligned
        self.source, self.target = task.source, task.target
        self.lifter, self.random = task.lifter, task.random
        self.skeleton = task.source.poses.skeleton
        self.torso = self.skeleton.names.index("Thorax")
        self.local = _local(task) if own.lpa else None
        self.warmup = task.settings.warmup if self.local is not None else 0
        self.up = up_directions(task.source.poses)  # (M, 3) of each source pose's camera
        self.reading = Reading(own, task.source.poses, task.target.poses, self.up)
        # Which pairs of a batch are fitted target poses, and which are such seen from elsewhere.
        batch = task.settings.batch
        place = own_rows(torch.arange(batch, device=task.source.device))
        self.is_fitted = place < own.fitted * batch
        self.is_turned = ~self.is_fitted & (place < (own.fitted + own.turned) * batch)
        self.order = place.double() * GOLDEN % 1  # in which pairs are made, evenly over these parts

    def iterate(self, iteration: int) -> dict[str, Tensor]:
        """Asks the lifter at the start of every round."""
        scalars = {} if self.local is None else self.local.iterate(iteration)
        step, steps, rounds = iteration - self.warmup, self.settings.steps, self.own.rounds
        if step >= 0 and step * rounds // steps > (step - 1) * rounds // steps:
            self.reading.refresh(self.lifter)
        return scalars

    def describe(self) -> dict[str, Tensor]:
        """What is read from the target, and how much of it the last round changed."""
        scalars = {} if self.local is None else self.local.describe()
        return scalars | self.reading.describe()

    def pairs(self) -> Pairs:
        size = self.settings.batch
        there = self.target.rows(size)
        if self.local is None:
            rows = self.source.rows(size)
            pose, own_scale = self.source.pose3d(rows), None
        else:
            rows, made = self.local.latest
            pose, own_scale = self._augmented(rows, made)
        seen_there = self.target.rows(size)
        ready = self.reading.asked >= ASKED_BEFORE_FITTED
        fitted, turned = self.reading.fitted(seen_there), ready & self.is_turned
        pose, up = self._with_turned(pose, rows, fitted, seen_there, turned)
        if own_scale is not None:
            own_scale = own_scale.masked_fill(turned[:, None], 0)
        pairs = self._aligned(rows, pose, up, there, own_scale)
        pairs = self._with_fitted(pairs, fitted, seen_there, ready)
        return self._with_source(pairs, rows)

    def _aligned(
        self, rows: Tensor, pose: Tensor, up: Tensor, there: Tensor, own_scale: Tensor | None
    ) -> Pairs:
        """Poses with the viewpoint, the body and the root of target poses."""
        middle, looks = _middle(pose), centre(there)
        direction = None
        if self.own.viewpoint == "camera":
            rotation = self._turn(up, looks)
        else:
            direction = self.reading.view.index_select(0, looks)
            rotation = self._normal(3) * self.own.view_noise
        return placed_pairs(
            self.source,
            self.target,
            rows,
            pose,
            bone_scale=self._scale(middle, looks, own_scale),
            rotation=rotation,
            direction=direction,
            there=there,
        )

    def _with_turned(
        self, pose: Tensor, rows: Tensor, fitted: Tensor, seen_there: Tensor, turned: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Poses, and (B, 3) what is up for them, of which some are target poses turned about what
        is up, by any angle."""
        up = self.up.index_select(0, centre(rows))
        view = self.reading.view.index_select(0, centre(seen_there))
        angle = torch.empty(self.settings.batch, 1, device=view.device)
        angle = own_rows(angle.uniform_(-math.pi, math.pi, generator=self.random))
        rotation = view * angle
        if pose.dim() == 4:
            rotation = rotation[:, None].expand(-1, pose.shape[1], -1)
        other = augment(fitted, rotation=rotation, skeleton=self.skeleton).pose3d
        pose = torch.where(turned.view(-1, *(1,) * (pose.dim() - 1)), other, pose)
        return pose, torch.where(turned[:, None], view, up)

    def _with_fitted(self, made: Pairs, fitted: Tensor, seen_there: Tensor, ready: Tensor) -> Pairs:
        """Pairs of which some are target poses: what was seen of them, and how they are fitted."""
        own = ready & self.is_fitted
        as_seen = Labelled(self.target.pose2d(seen_there), _middle(fitted))
        pose2d, pose3d, _ = chosen(own, as_seen, made)
        seen = self.target.seen(centre(seen_there))
        if seen is not None:  # joints that were not are fitted too, but not to be learned
            seen = seen | ~(ready & (self.is_fitted | self.is_turned))[:, None]
        return Pairs(pose2d, pose3d, own | made.keep, seen)

    def _with_source(self, made: Pairs, rows: Tensor) -> Pairs:
        """Pairs, as many of them as the target is foreign; the others are the source's own."""
        foreign = self.order < self.reading.foreign
        pose2d, pose3d, seen = chosen(foreign, made, labelled_rows(self.source, rows))
        return Pairs(pose2d, pose3d, made.keep | ~foreign, seen)

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
        reading = self.reading
        people = reading.people
        noise = self._normal(len(people.groups)) @ people.groups
        wanted = reading.body.index_select(0, people.subject.index_select(0, there))
        ratio = wanted / bones(pose, self.skeleton).norm(dim=-1).clamp(min=MIN_BONE_LENGTH)
        ratio = ratio * (1 + self.own.body_noise * noise)
        return (ratio if own is None else ratio * (1 + own)) - 1

    def _turn(self, up: Tensor, looks: Tensor) -> Tensor:
        """(B, 3) axis-angle from cameras with this up to the target's, and a little further."""
        noise = self._normal(3) * self.own.view_noise
        there = normalize(self.reading.view.index_select(0, looks) + noise, dim=-1)
        return rotation_between(up, there)

    def _normal(self, count: int) -> Tensor:
        """(B, count) of this process."""
        shape = self.settings.batch, count
        return own_rows(torch.randn(*shape, generator=self.random, device=self.source.device))

    def state_dict(self) -> dict[str, Any]:
        state = self.reading.state_dict()
        return state | ({} if self.local is None else {"local": self.local.state_dict()})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.reading.load_state_dict(state)
        if self.local is not None:
            self.local.load_state_dict(state["local"])


def _local(task: Task) -> LocalPoseAugmentation:
    """Local pose augmentation that leaves the orientation alone, and whose only critic is that of
    3D poses: the one of 2D poses would look at them as their own cameras saw them."""
    poseda = dataclasses.replace(task.settings.poseda, rotation="none", critic2d="none")
    settings = dataclasses.replace(task.settings, poseda=poseda)
    return LocalPoseAugmentation(dataclasses.replace(task, settings=settings), gpa=True)


def _middle(pose: Tensor) -> Tensor:
    """(B, J, 3) poses as they are, the middle ones of windows (B, T, J, 3)."""
    return pose if pose.dim() == 3 else pose[:, pose.shape[1] // 2]
