"""Where made poses stand, and what of them is in sight."""

from __future__ import annotations

import torch
from torch import Tensor

from poseda.alignment import gpa_of_seen
from poseda.data.sampler import Sampler
from poseda_ext import augment
from poseda_ext.ops import Augmented
from poseda_ext.reference import MIN_DEPTH


def place_as_source(
    source: Sampler,
    rows: Tensor,
    pose: Tensor,
    bone_scale: Tensor | None = None,
    rotation: Tensor | None = None,
) -> Augmented:
    """Poses before the source's camera, their root where it was.

    Args:
        source: labelled poses.
        rows: (B,) of which the poses were made.
        pose: (B, J, 3) metres, any origin.
        bone_scale: (B, J-1) to scale bones by first, as in `augment`.
        rotation: (B, 3) to turn the body by next, as in `augment`.
    """
    root, intrinsics = source.pose3d(rows)[:, 0], source.intrinsics(rows)
    return augment(
        pose,
        bone_scale=bone_scale,
        rotation=rotation,
        root=root,
        intrinsics=intrinsics,
        skeleton=source.poses.skeleton,
    )


def place_as_target(
    target: Sampler,
    rows: Tensor,
    pose: Tensor,
    bone_scale: Tensor | None = None,
    rotation: Tensor | None = None,
) -> Augmented:
    """Poses before the target's camera, by global position alignment with target poses (PoseDA,
    Eq. 4, 7 and 9).

    Args:
        target: 2D poses.
        rows: (B,) of the target, one for each pose.
        pose, bone_scale, rotation: as in `place_as_source`.
    """
    skeleton = target.poses.skeleton
    target2d, intrinsics = target.pose2d(rows), target.intrinsics(rows)
    seen = target.seen(rows)
    if seen is None:
        return augment(
            pose,
            bone_scale=bone_scale,
            rotation=rotation,
            target2d=target2d,
            intrinsics=intrinsics,
            skeleton=skeleton,
        )
    # the op's box is around all joints
    turned = augment(pose, bone_scale=bone_scale, rotation=rotation, skeleton=skeleton).pose3d
    root = gpa_of_seen(turned, target2d, intrinsics, seen)
    return augment(turned, root=root, intrinsics=intrinsics, skeleton=skeleton)


def visible(pose3d: Tensor, root: Tensor, pose2d: Tensor) -> Tensor:
    """(...) whether every joint lies before the camera and within [-1, 1]."""
    inside = pose2d.abs().amax((-1, -2)) <= 1
    return inside & (pose3d[..., 2].amin(-1) + root[..., 2] > MIN_DEPTH)


def seen_in_both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """(B, J) joints that two masks show; None shows all."""
    if first is None or second is None:
        return second if first is None else first
    return torch.logical_and(first, second)
