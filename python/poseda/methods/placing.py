"""Where made poses stand, what of them is in sight, and the pairs that they make."""

from __future__ import annotations

import torch
from torch import Tensor

from poseda.alignment import gpa_of_seen, gpa_of_windows
from poseda.data.sampler import Sampler
from poseda.distributed import world_size
from poseda.methods.method import Pairs
from poseda_ext import augment
from poseda_ext.ops import Augmented
from poseda_ext.reference import MIN_DEPTH, align, torso_of


def place_as_source(
    source: Sampler,
    rows: Tensor,
    pose: Tensor,
    *,
    bone_rotation: Tensor | None = None,
    bone_scale: Tensor | None = None,
    rotation: Tensor | None = None,
) -> Augmented:
    """Poses before the source's camera, their root where it was.

    Args:
        source: labelled poses.
        rows: (B,) of which the poses were made.
        pose: (B, J, 3) metres, any origin.
        bone_rotation, bone_scale, rotation: (B, ...) how to move them first, as in `augment`.
    """
    root, intrinsics = source.pose3d(rows)[:, 0], source.intrinsics(rows)
    return augment(
        pose,
        bone_rotation=bone_rotation,
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
    *,
    bone_rotation: Tensor | None = None,
    bone_scale: Tensor | None = None,
    rotation: Tensor | None = None,
    direction: Tensor | None = None,
) -> Augmented:
    """Poses before the target's camera, by global position alignment with target poses (PoseDA,
    Eq. 4, 7 and 9).

    Args:
        target: 2D poses.
        rows: (B,) of the target, one for each pose.
        pose, bone_rotation, bone_scale, rotation: as in `place_as_source`.
        direction: (B, 3) to which the torso turns before `rotation`, as in `augment`.
    """
    skeleton = target.poses.skeleton
    target2d, intrinsics = target.pose2d(rows), target.intrinsics(rows)
    seen = target.seen(rows)
    if seen is None:
        return augment(
            pose,
            bone_rotation=bone_rotation,
            bone_scale=bone_scale,
            rotation=rotation,
            direction=direction,
            target2d=target2d,
            intrinsics=intrinsics,
            skeleton=skeleton,
        )
    # the op's box is around all joints
    turned = augment(
        pose,
        bone_rotation=bone_rotation,
        bone_scale=bone_scale,
        rotation=rotation,
        direction=direction,
        skeleton=skeleton,
    ).pose3d
    root = gpa_of_seen(turned, target2d, intrinsics, seen)
    return augment(turned, root=root, intrinsics=intrinsics, skeleton=skeleton)


def placed_pairs(
    source: Sampler,
    target: Sampler | None,
    rows: Tensor,
    pose: Tensor,
    *,
    bone_rotation: Tensor | None = None,
    bone_scale: Tensor | None = None,
    rotation: Tensor | None = None,
    direction: Tensor | None = None,
    there: Tensor | None = None,
) -> Pairs:
    """Training pairs of moved source poses.

    Args:
        source: labelled poses.
        target: what they are aligned with; None leaves them before the source's camera.
        rows: (B,) of the source, or windows (B, T).
        pose: (B, J, 3) metres, any origin; (B, T, J, 3) of windows.
        bone_rotation, bone_scale, rotation: (B, ...) how to move them, as in `augment`; all frames
            of a window alike.
        direction: (B, 3) to which the torso turns before `rotation`, in a window that of the middle
            frame; only with a target.
        there: (B,) or (B, T) rows of the target; without them they are drawn.
    """
    moved = {"bone_rotation": bone_rotation, "bone_scale": bone_scale, "rotation": rotation}
    if target is not None and there is None:
        there = target.rows(batch_of(rows))
    if rows.dim() == 2:
        return _window_pairs(source, target, rows, there, pose, moved, direction)
    if target is None or there is None:
        made = place_as_source(source, rows, pose, **moved)
    else:
        made = place_as_target(target, there, pose, **moved, direction=direction)
    assert made.root is not None and made.pose2d is not None
    return Pairs(made.pose2d, made.pose3d, visible(made.pose3d, made.root, made.pose2d))


def _window_pairs(
    source: Sampler,
    target: Sampler | None,
    rows: Tensor,
    there: Tensor | None,
    pose: Tensor,
    moved: dict[str, Tensor | None],
    direction: Tensor | None,
) -> Pairs:
    """`placed_pairs` of windows."""
    skeleton = source.poses.skeleton
    every = {name: None if value is None else value[:, None] for name, value in moved.items()}
    root, turned = pose[:, :, 0], pose
    if direction is not None:  # the op's would turn each frame for itself
        rotation = every.pop("rotation")
        turned = augment(pose, **every, skeleton=skeleton).pose3d
        torso = turned[:, turned.shape[1] // 2, None, torso_of(skeleton)]
        turned, every = align(turned, torso, direction[:, None]), {"rotation": rotation}
    turned = augment(turned, **every, skeleton=skeleton).pose3d  # (B, T, J, 3)
    if target is None or there is None:
        intrinsics = source.intrinsics(rows)
    else:
        intrinsics = target.intrinsics(there)
        root = gpa_of_windows(turned, target.pose2d(there), intrinsics, target.seen(there))
    placed = augment(turned, root=root, intrinsics=intrinsics, skeleton=skeleton)
    assert placed.pose2d is not None
    keep = visible(turned, root, placed.pose2d).all(1)
    return Pairs(placed.pose2d, turned[:, turned.shape[1] // 2], keep)


def batch_of(rows: Tensor) -> int:
    """The batch of all processes together, of which these rows are one's share."""
    return world_size() * len(rows)


def visible(pose3d: Tensor, root: Tensor, pose2d: Tensor) -> Tensor:
    """(...) whether every joint lies before the camera and within [-1, 1]."""
    inside = pose2d.abs().amax((-1, -2)) <= 1
    return inside & (pose3d[..., 2].amin(-1) + root[..., 2] > MIN_DEPTH)


def seen_in_both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """(B, J) joints that two masks show; None shows all."""
    if first is None or second is None:
        return second if first is None else first
    return torch.logical_and(first, second)
