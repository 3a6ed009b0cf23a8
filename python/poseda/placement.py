"""Where lifted people stand: one body for each person, its size, and its place before the camera.

A lifter gives each frame a body of its own. Here every person gets one body, the median of each
bone's length over their frames, and, where their stature is known, its size. Then global position
alignment (PoseDA, Eq. 7 and 9) gives the root: the depth at which the body has the size that it has
in the image.

**Accuracy.** The formula takes all joints to be as far away as the root. With the true pose of
people at 2.5 to 6 m the depth is off by 3 to 5 % (standard deviation; mean -0.5 to -1.5 %), frame
by frame. An error of the body's size goes into the depth as it is: one camera does not see it.
Errors of the lifted pose add to it. `tests/test_lifter.py` has the bounds.

**Stature.** A chain of lengths (thigh, shin, Hip to Spine, Spine to Thorax, Thorax to Head; left
and right averaged, medians over the person's frames) times `STATURE_PER_CHAIN`. What the chain
lacks is the foot below the ankle and what of the head is above Head. The factor is that of the
synthetic humans, whose proportions are Drillis and Contini's (1966): 1.12 on average, 1.08 to 1.16
over all of them. In the CMU motion of the open benchmark, where Head lies just below the crown,
standing people reach 1.10 chains with Head alone. Where the labels of the source put Head on the
crown itself, as MPI-INF-3DHP's head_top, the factor would be nearer 1.04, and people become up to
7 % too large.
"""

from __future__ import annotations

import torch
from torch import Tensor

from poseda.alignment import gpa_of_seen
from poseda.body import STATURE_PER_CHAIN, chain_lengths, check_height
from poseda_ext import Skeleton, bones, pose_from_bones

#: With fewer seen joints the box says nothing; then those that were not seen count too.
MIN_SEEN = 4


def with_own_bones(pose3d: Tensor, person: Tensor, skeleton: Skeleton) -> Tensor:
    """Poses in which each person has the same bones in every frame: the median of each bone's
    length over their frames. Directions stay.

    Args:
        pose3d: (N, J, 3) metres, relative to joint 0.
        person: (N,) integers, who it is.
        skeleton: J joints.

    Returns:
        (N, J, 3) metres, relative to joint 0.
    """
    bone = bones(pose3d, skeleton)
    length = bone.norm(dim=-1)  # (N, J-1)
    own = _median_of(length, person)
    # a bone without length has no direction either, and stays
    factor = torch.where(length > 1e-6, own / length.clamp(min=1e-6), 1.0)
    return pose_from_bones(bone * factor[..., None], None, skeleton)


def stature(pose3d: Tensor, person: Tensor, skeleton: Skeleton) -> Tensor:
    """Each person's stature by the rule at the head of this module.

    Args:
        pose3d: (N, J, 3) metres.
        person: (N,) integers, who it is.
        skeleton: J joints, among them those of the chain by Human3.6M's names.

    Returns:
        (N,) metres, of the person of each row.
    """

    return STATURE_PER_CHAIN * _median_of(chain_lengths(pose3d, skeleton), person).sum(1)


def scaled_to(pose3d: Tensor, height: float, person: Tensor, skeleton: Skeleton) -> Tensor:
    """Poses (N, J, 3) scaled so that every person's `stature` is `height` metres.

    Raises:
        ValueError: if the height is none of a person in metres.
    """
    check_height(height)
    return pose3d * (height / stature(pose3d, person, skeleton).clamp(min=1e-6))[:, None, None]


def place(pose3d: Tensor, pose2d: Tensor, intrinsics: Tensor, seen: Tensor | None) -> Tensor:
    """The root of each pose before its camera, by global position alignment over the seen joints.

    Where the root itself was not seen, the seen joint that comes first in the skeleton takes its
    part. Where fewer than `MIN_SEEN` joints were seen, all joints are used.

    Args:
        pose3d: (N, J, 3) metres, relative to joint 0.
        pose2d: (N, J, 2), finite also where a joint was not seen.
        intrinsics: (N, 4) fx, fy, cx, cy in the unit of `pose2d`.
        seen: (N, J) which joints of `pose2d` were seen; None for all.

    Returns:
        (N, 3) metres, camera frame.
    """
    if seen is None:
        seen = torch.ones_like(pose2d[..., 0], dtype=torch.bool)
    seen = seen | (seen.sum(1, keepdim=True) < MIN_SEEN)
    rows = torch.arange(len(pose3d), device=pose3d.device)
    anchor = seen.int().argmax(1)  # the root wherever it was seen

    def anchored(points: Tensor) -> Tensor:
        """With the anchor in the place of joint 0."""
        first = points[rows, anchor]
        return torch.cat((first[:, None], points[:, 1:]), 1)

    found = gpa_of_seen(anchored(pose3d), anchored(pose2d), intrinsics, seen)
    return found - (pose3d[rows, anchor] - pose3d[:, 0])


def _median_of(values: Tensor, person: Tensor) -> Tensor:
    """(N, K) values to the median over the rows of the same person, in each of those rows."""
    result = torch.empty_like(values)
    for each in person.unique():
        mine = person == each
        result[mine] = values[mine].median(0).values
    return result
