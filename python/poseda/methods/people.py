"""People who were seen, and what a lifter tells of their bodies and of how far their joints are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from poseda.body import measured_lengths, stature_of_bones
from poseda.data.poseset import PoseSet
from poseda.fitting import MIN_LENGTH, fitted_depths, on_rays


class Fit(NamedTuple):
    """Poses that fit bodies, image and lifter.

    Attributes:
        body: (S, J-1) metres, the lengths of their bones, of the stature.
        pose: (N, J, 3) metres, as the lifter sees them, but scaled.
        place: (N, J, 3) metres, camera frame, where joints are.
    """

    body: Tensor
    pose: Tensor
    place: Tensor


class People:
    """The people of a set of poses.

    Args:
        poses: of N poses the 2D is used, not the 3D.
        usual: (J-1,) metres, the lengths of the source's people.
        stature: () metres, of these people.
        apart: whether those whom the set names are measured for themselves.

    Attributes:
        subject: (N,) whose each pose is, from 0.
        count: S, how many people they are.
        groups: (G, J-1) one where a bone belongs to a group, such as left and right.
    """

    def __init__(self, poses: PoseSet, usual: Tensor, stature: Tensor, apart: bool) -> None:
        self.poses = poses
        self.skeleton = poses.skeleton
        self.usual, self.stature = usual, stature
        self.groups = _groups(poses.skeleton.bone_groups, len(usual), usual.device)
        self.subject, self.count = subjects_of(poses)
        if not apart:
            self.subject, self.count = torch.zeros_like(self.subject), 1

    def fit(self, predicted: Tensor, otherwise: Tensor) -> Fit:
        """Poses that fit what a lifter says of them.

        Args:
            predicted: (N, J, 3) metres, as a lifter sees them.
            otherwise: (S, J-1) or (J-1,) metres, for bones that no pose tells.
        """
        body, scale = self.measured(predicted, otherwise)
        pose = predicted * scale
        depth = self.depths(pose, pose[..., 2], body)
        place = on_rays(self.poses.pose2d, self.poses.intrinsics, depth)
        return Fit(body, pose, place)

    def measured(self, predicted: Tensor, otherwise: Tensor) -> tuple[Tensor, Tensor]:
        """The lengths of their bones, with one ratio to the source's for the bones of a group.

        Args:
            predicted, otherwise: as in `fit`.

        Returns:
            (S, J-1) metres, and (N, 1, 1) their size over that which the lifter sees.
        """
        poses = self.poses
        body = measured_lengths(
            predicted,
            poses.pose2d,
            poses.intrinsics,
            poses.seen,
            self.subject,
            self.count,
            self.skeleton,
        )
        ratio = torch.where(body.isnan(), otherwise, body) / self.usual
        ratio = ratio @ self.groups.T / self.groups.sum(1) @ self.groups
        body = (self.usual * ratio).clamp(min=MIN_LENGTH)
        scale = self.stature / stature_of_bones(body, self.skeleton)
        return body * scale[:, None], scale.index_select(0, self.subject)[:, None, None]

    def depths(self, pose: Tensor, behind: Tensor, body: Tensor) -> Tensor:
        """(N, J) metres, fitted to poses but for how far joints are behind the root.

        Args:
            pose: (N, J, 3) metres, in the scale of the bodies.
            behind: (N, J) metres.
            body: (S, J-1) metres.
        """
        return fitted_depths(
            torch.cat((pose[..., :2], behind[..., None]), -1),
            self.poses.pose2d,
            self.poses.intrinsics,
            self.poses.seen,
            body.index_select(0, self.subject),
            self.skeleton,
        )

    def usual_body(self, fit: Fit) -> Tensor:
        """(J-1,) metres, the mean lengths of those in the poses."""
        return fit.body.index_select(0, self.subject).mean(0)

    def misfit(self, fit: Fit) -> Tensor:
        """() how far what the lifter says is from what fits, as a share of the stature: mean over
        the joints that were seen."""
        off = (fit.place - fit.place[:, :1] - fit.pose).norm(dim=-1) / self.stature
        if self.poses.seen is None:
            return off.mean()
        return (off * self.poses.seen).sum() / self.poses.seen.sum().clamp(min=1)


def _groups(groups: Sequence[Sequence[int]], bones: int, device: torch.device) -> Tensor:
    members = torch.zeros(len(groups), bones, device=device)
    for group, member in zip(members, groups, strict=True):
        group[list(member)] = 1
    return members


def subjects_of(poses: PoseSet) -> tuple[Tensor, int]:
    """(N,) which of the people whom a set names each pose is, from 0, and how many they are."""
    names, subject = np.unique(poses.subject, return_inverse=True)
    return torch.from_numpy(subject).to(poses.pose2d.device), len(names)
