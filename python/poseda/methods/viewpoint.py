"""From where people are seen: which way is up, and how to turn one view into another."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from poseda.data.poseset import PoseSet
from poseda.methods.ground import TORSO_NOISE, Groups, ground_normals
from poseda.methods.people import subjects_of
from poseda_ext import Skeleton

#: deviation of the depth of a foot, as a share of it, in labels
LABEL_NOISE = 0.005
FEET = ("RFoot", "LFoot")
#: deviation between people of how far they lean forward
FORWARD_NOISE = 0.15
#: iterations, after which the direction no longer moves by a tenth of a degree
WEISZFELD = 20
#: between directions, below which one no longer pulls harder
MIN_DISTANCE = 0.05
#: cosine of the angle from up, below which a torso leans no further
MIN_UPRIGHT = 0.2
#: sine of an angle, below which two directions are the same, or opposite
MIN_SINE = 1e-6


def up_directions(poses: PoseSet) -> Tensor:
    """Which way is up for each pose's camera, as `camera_ups` from labels.

    Args:
        poses: N, labelled.

    Returns:
        (N, 3) unit vectors, camera frame.

    Raises:
        ValueError: if there is no 3D.
    """
    if poses.pose3d is None:
        raise ValueError(f"{poses.name}: has no pose3d, expected a labelled source")
    camera, up, _ = camera_ups(poses, LABEL_NOISE)
    return up[camera]


def camera_ups(poses: PoseSet, depth_noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """Which way is up for each camera: the normal of the ground that its people walk on, and where
    they hardly walk, or the skeleton has no feet, the geometric median of the directions from
    pelvis to thorax.

    A canonical file does not say how cameras are tilted, and a tilted camera's y axis is not the
    vertical. People are upright more often than not, but they lean to where they go, and a lifter
    that does not know a camera sees all of its people lean: medians are off by 10 to 40 degrees,
    and the ground, with the same lifter's depths, mostly by less than 5 (docs/aligned.md). A camera
    that moves or rolls, or one number for several cameras, gets one direction all the same.

    Args:
        poses: N, with 3D. Poses relative to their root tell no ground.
        depth_noise: deviation of the depths of their feet, as a share of them, but for one factor
            of each person.

    Returns:
        (N,) which of the C cameras saw a pose, (C, 3) unit vectors, camera frame, and (C,) their
        deviations, radians.
    """
    assert poses.pose3d is not None
    device, names = poses.pose3d.device, poses.skeleton.names
    cameras, camera = poses.camera.to(device).unique(return_inverse=True)
    torso = normalize(_torso(poses.pose3d, poses.skeleton), dim=-1).nan_to_num()
    median = _geometric_medians(torso, Groups(camera, len(cameras)), camera)
    if not {*FEET} <= {*names}:
        return camera, median, torch.full_like(median[:, 0], TORSO_NOISE)
    feet = [names.index(name) for name in FEET]
    seen = None if poses.seen is None else poses.seen[:, feet]
    person, _ = subjects_of(poses)
    return camera, *ground_normals(poses.pose3d[:, feet], seen, camera, person, median, depth_noise)


def forward_lean(poses: PoseSet, up: Tensor) -> Tensor:
    """How far people lean forward on average, by where their joints are held to be.

    Args:
        poses: N, labelled.
        up: (N, 3) unit vectors.

    Returns:
        () horizontal over vertical extent of the torso.
    """
    assert poses.pose3d is not None
    lean, facing = _leans(poses.pose3d, up, poses.skeleton)
    return (lean * facing).sum(-1).mean()


def tilts(
    pose3d: Tensor, up: Tensor, camera: Tensor, forward: Tensor, skeleton: Skeleton
) -> tuple[Tensor, Tensor]:
    """How far all people before a camera seem to lean, beyond how far people lean forward. That is
    how a lifter's poses are tilted which does not know the camera's view.

    Args:
        pose3d: (N, J, 3) camera frame, relative to joint 0.
        up: (C, 3) unit vectors.
        camera: (N,) from 0.
        forward: () of `forward_lean`.
        skeleton: J joints.

    Returns:
        (C, 3) horizontal vectors, over the vertical extent of the torso, and (C,) their deviations,
        since other people lean forward otherwise: nothing where they face all ways,
        `FORWARD_NOISE` where all face one.
    """
    lean, facing = _leans(pose3d, up[camera], skeleton)
    groups = Groups(camera, len(up))
    count = camera.bincount(minlength=len(up)).clamp(min=1)[:, None]
    tilt = groups.sums((lean - forward * facing).nan_to_num()) / count
    one_way = (groups.sums(facing.nan_to_num()) / count).norm(dim=1)
    return tilt, FORWARD_NOISE * one_way


def _leans(pose3d: Tensor, up: Tensor, skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """(N, 3) by how much torsos lean, horizontal over vertical extent, at most 1; and (N, 3) unit
    vectors in which direction bodies face."""
    torso = normalize(_torso(pose3d, skeleton), dim=-1)
    upright = (torso * up).sum(-1, keepdim=True)
    lean = (torso - upright * up) / upright.clamp(min=MIN_UPRIGHT)
    lean = lean / lean.norm(dim=-1, keepdim=True).clamp(min=1)
    right, left = (pose3d[:, skeleton.bone(name) + 1] for name in ("RHip", "LHip"))
    return lean, normalize(torch.linalg.cross(left - right, up), dim=-1)


def _torso(pose3d: Tensor, skeleton: Skeleton) -> Tensor:
    return pose3d[:, skeleton.bone("Thorax") + 1] - pose3d[:, 0]


def _geometric_medians(directions: Tensor, groups: Groups, group: Tensor) -> Tensor:
    """(G, 3) the directions of least total distance to those of a group (N, 3), by Weiszfeld's
    iteration: who lies counts no more than who leans."""
    weight = torch.ones_like(directions[:, :1])
    for _ in range(WEISZFELD + 1):
        median = normalize(groups.sums(weight * directions), dim=-1)
        distance = (directions - median[group]).norm(dim=1, keepdim=True)
        weight = 1 / distance.clamp(min=MIN_DISTANCE)
    return median


def rotation_between(first: Tensor, second: Tensor) -> Tensor:
    """The smallest rotation that takes one direction to another. Of opposite ones no rotation is
    smallest: it is half a turn about an axis at right angles.

    Args:
        first: (..., 3) unit vectors.
        second: (..., 3) unit vectors.

    Returns:
        (..., 3) axis-angle, radians.
    """
    cross = torch.linalg.cross(first, second)
    sine, cosine = cross.norm(dim=-1, keepdim=True), (first * second).sum(-1, keepdim=True)
    other = torch.zeros_like(first)
    other.scatter_(-1, first.abs().argmin(-1, keepdim=True), 1)
    across = normalize(torch.linalg.cross(first, other), dim=-1)
    axis = torch.where(sine > MIN_SINE, cross / sine.clamp(min=MIN_SINE), across)
    return torch.atan2(sine, cosine) * axis
