"""The bone generators BG1, BG2 and BG3 of AdaptPose (section 4.1): one bone vector per bone of a
source motion becomes another direction, its length kept. The ratio 1 + lambda of Eq. 5 and 6 comes
after, as `poseda_ext.augment` applies it.

n is T - 1: the frames of a window are j = 0 to n. A window of one frame (n = 0) is the last frame
of its motion, since the first one never changes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from poseda_ext import Skeleton, augment, bones, pose_from_bones
from poseda_ext.reference import MIN_BONE_LENGTH


def ramp(frames: int, like: Tensor) -> Tensor:
    """(T,) j / n of Eq. 6 and 7: from 0 in the first frame to 1 in the last."""
    if frames == 1:
        return like.new_ones(1)
    return torch.arange(frames, device=like.device, dtype=like.dtype) / (frames - 1)


def bg1(pose: Tensor, displacement: Tensor, skeleton: Skeleton) -> Tensor:
    """Eq. 5: each bone of each frame is displaced alike, and gets its length back.

    Args:
        pose: (B, T, J, 3) metres.
        displacement: (B, J-1, 3) metres, the Delta B of all frames.
        skeleton: J joints.

    Returns:
        (B, T, J, 3) root-relative.
    """
    bone = bones(pose, skeleton)
    moved = _of_length(bone + displacement[:, None], _length(bone))
    return pose_from_bones(moved, skeleton=skeleton)


def bg2(pose: Tensor, displacement: Tensor, skeleton: Skeleton) -> Tensor:
    """Eq. 6: a motion away from the window's first frame, whose displacement grows evenly. The
    other frames of the source are not looked at.

    Args and returns: as `bg1`.
    """
    bone = bones(pose[:, :1], skeleton)  # (B, 1, J-1, 3)
    grown = ramp(pose.shape[1], pose)[:, None, None] * displacement[:, None]
    return pose_from_bones(_of_length(bone + grown, _length(bone)), skeleton=skeleton)


def bg3(pose: Tensor, axis: Tensor, angle: Tensor, skeleton: Skeleton) -> Tensor:
    """Eq. 7: each bone of frame j is turned by j/n of an angle about an axis.

    Args:
        pose: (B, T, J, 3) metres.
        axis: (B, J-1, 3) r, of any length.
        angle: (B, J-1) theta, radians.
        skeleton: J joints.

    Returns:
        (B, T, J, 3) root-relative.
    """
    turn = _of_length(axis, angle[..., None])
    grown = ramp(pose.shape[1], pose)[:, None, None] * turn[:, None]  # (B, T, J-1, 3)
    return augment(pose, bone_rotation=grown, skeleton=skeleton).pose3d


def _length(vector: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vector, dim=-1, keepdim=True)


def _of_length(vector: Tensor, length: Tensor) -> Tensor:
    return vector * (length / _length(vector).clamp(min=MIN_BONE_LENGTH))
