"""How long a body is along its bones, and what an image says of it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from poseda.alignment import gpa_of_seen
from poseda.fitting import on_rays
from poseda_ext import Skeleton, bones

#: stature over the sum of the chain's lengths (`poseda.placement`)
STATURE_PER_CHAIN = 1.12
STATURE_RANGE = (0.4, 2.6)  #: metres
#: A bone says its length where at least this share of it lies in the image plane,
MIN_SHARE = 0.8
#: and a body part of a person where at least so many frames say it.
MIN_FRAMES = 20

_TRUNK = (("Hip", "Spine"), ("Spine", "Thorax"), ("Thorax", "Head"))
_LEG = (("Hip", "Knee"), ("Knee", "Foot"))


def chain_lengths(pose3d: Tensor, skeleton: Skeleton) -> Tensor:
    """The lengths from the head down to the ankle.

    Args:
        pose3d: (N, J, 3).
        skeleton: J joints, among them those of the chain by Human3.6M's names.

    Returns:
        (N, 5) Hip to Spine, Spine to Thorax, Thorax to Head, thigh and shin, of which left and
        right are averaged.
    """

    def length(one: str, other: str) -> Tensor:
        names = skeleton.names
        return (pose3d[:, names.index(one)] - pose3d[:, names.index(other)]).norm(dim=-1)

    trunk = [length(one, other) for one, other in _TRUNK]
    legs = [
        (length(f"R{one}", f"R{other}") + length(f"L{one}", f"L{other}")) / 2 for one, other in _LEG
    ]
    return torch.stack((*trunk, *legs), 1)


def check_height(height: float) -> None:
    """Refuses what is no stature.

    Raises:
        ValueError: if the height is none of a person in metres.
    """
    low, high = STATURE_RANGE
    if isinstance(height, str) or not (math.isfinite(height) and low <= height <= high):
        raise ValueError(f"height: got {height}, expected {low} to {high} metres")


def stature_of_bones(lengths: Tensor, skeleton: Skeleton) -> Tensor:
    """The stature of bodies: `STATURE_PER_CHAIN` times the lengths from head to ankle.

    Args:
        lengths: (..., J-1) metres, of the bones of a skeleton with the joints of the chain.
        skeleton: J joints.

    Returns:
        (...) metres.
    """
    share = lengths.new_zeros(skeleton.num_bones)
    for _, joint in _TRUNK:
        share[skeleton.bone(joint)] = 1
    for _, joint in _LEG:
        share[[skeleton.bone(f"L{joint}"), skeleton.bone(f"R{joint}")]] = 0.5
    return STATURE_PER_CHAIN * (lengths @ share)


def measured_lengths(
    predicted: Tensor,
    pose2d: Tensor,
    intrinsics: Tensor,
    seen: Tensor | None,
    subject: Tensor,
    subjects: int,
    skeleton: Skeleton,
) -> Tensor:
    """The lengths of people's bones, from the image and what a lifter says of the pose.

    With (u, v) the joints on the image plane at depth 1, Z the root's depth by global position
    alignment (PoseDA, Eq. 7) and z the predicted depths behind it, a bone's projection is
    |(u, v)_j (Z + z_j) - (u, v)_i (Z + z_i)| metres long. Over the share of the predicted bone that
    lies in the image plane, where that is at least `MIN_SHARE`, this is the bone's length. The
    result is the median over a person's frames; where fewer than `MIN_FRAMES` say it, that over all
    people's. All lengths are in the scale of the predictions: one camera does not see the size.

    Args:
        predicted: (N, J, 3) metres, relative to joint 0.
        pose2d: (N, J, 2) what was seen.
        intrinsics: (N, 4) fx, fy, cx, cy in the unit of `pose2d`.
        seen: (N, J) which joints were seen; None: all.
        subject: (N,) whose body it is, from 0.
        subjects: S, how many people they are.
        skeleton: J joints.

    Returns:
        (S, J-1) metres; NaN for a bone that no frame tells.
    """
    root = gpa_of_seen(predicted, pose2d, intrinsics, seen)
    plane = on_rays(pose2d, intrinsics, predicted[..., 2] + root[:, 2:])[..., :2]
    bone = bones(predicted, skeleton)
    share = bone[..., :2].norm(dim=-1) / bone.norm(dim=-1)
    length = bones(plane, skeleton).norm(dim=-1) / share
    tells = share >= MIN_SHARE
    if seen is not None:
        tells = tells & seen[:, 1:] & seen[:, list(skeleton.parents[1:])]
    length = length.where(tells, torch.nan)
    everyone = length.nanmedian(0).values
    found = everyone.repeat(subjects, 1)
    for each in range(subjects if subjects > 1 else 0):
        mine = length[subject == each]
        enough = (~mine.isnan()).sum(0) >= MIN_FRAMES
        found[each] = torch.where(enough, mine.nanmedian(0).values, everyone)
    return found


def torso_rotations(pose3d: Tensor, skeleton: Skeleton) -> Tensor:
    """How bodies stand to the camera: the identity is upright and facing it.

    Args:
        pose3d: (..., J, 3) camera frame (x right, y down, z forward).
        skeleton: J joints, among them Thorax, LHip and RHip.

    Returns:
        (..., 3, 3) rotations whose columns are the body's directions from right to left hip, down
        along the torso, and to the back. NaN where hips or torso have no length.
    """
    joint = skeleton.names.index
    down = _unit(pose3d[..., 0, :] - pose3d[..., joint("Thorax"), :])
    across = pose3d[..., joint("LHip"), :] - pose3d[..., joint("RHip"), :]
    left = _unit(across - (across * down).sum(-1, keepdim=True) * down)
    return torch.stack((left, down, torch.linalg.cross(left, down)), dim=-1)


def viewpoints(pose3d: Tensor, skeleton: Skeleton) -> Tensor:
    """The viewpoints of poses (AdaptPose, Fig. 7), as Euler angles of `torso_rotations`.

    Args and shapes as there.

    Returns:
        (..., 3) alpha, beta, gamma in radians, R = Rz(alpha) Ry(beta) Rx(gamma): how far the body
        leans to the side, turns from the camera (within a quarter turn), and pitches.
    """
    rotation = torso_rotations(pose3d, skeleton)
    alpha = torch.atan2(rotation[..., 1, 0], rotation[..., 0, 0])
    beta = -torch.asin(rotation[..., 2, 0].clamp(-1, 1))
    gamma = torch.atan2(rotation[..., 2, 1], rotation[..., 2, 2])
    return torch.stack((alpha, beta, gamma), dim=-1)


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=-1, keepdim=True)
