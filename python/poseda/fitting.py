"""The depths of joints on their rays that fit what is known of a body and what a lifter says.

An image tells each joint's direction from the camera, and a body's proportions how far a joint is
from the next. So of a seen pose only signs are open, and how far a bone is foreshortened is known
best where it is foreshortened most. A lifter knows the signs, and how bones lie that are hardly
foreshortened. Each makes good what the other lacks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from poseda.alignment import gpa_of_seen
from poseda_ext import Skeleton
from poseda_ext.reference import MIN_DEPTH

#: How far a bone's length may be off, relative,
LENGTH_NOISE = 0.05
#: and how far the depth between its ends that a lifter says, metres.
DEPTH_NOISE = 0.06
MIN_LENGTH = 0.01  #: metres
#: Steps of Gauss and Newton. More still move depths, by two millimetres on average where a lifter
#: is off by 5 cm, and make poses no better.
STEPS = 8
#: by which the diagonal is raised, for poses of which nothing says how far they are
DAMPING = 1e-3
#: poses that are fitted at a time
FIT_BATCH = 65_536


@torch.no_grad()
def fitted_depths(
    predicted: Tensor,
    pose2d: Tensor,
    intrinsics: Tensor,
    seen: Tensor | None,
    lengths: Tensor,
    skeleton: Skeleton,
) -> Tensor:
    """The depths d of joints on their rays r = (u, v, 1) that nearly minimise, over bones from i to
    j,

        ((|r_j d_j - r_i d_i| / L - 1) / LENGTH_NOISE)^2 + ((d_j - d_i - z) / DEPTH_NOISE)^2

    with L the bone's length and z the depth between its ends in the predicted pose: the most likely
    pose, if both are right but for independent normal errors. By Gauss-Newton from the predicted
    depths behind the root that global position alignment solves (PoseDA, Eq. 7). A bone's terms
    hold its two ends alone, so that the normal equations are those of a tree and are solved exactly
    from the leaves to the root and back.

    Args:
        predicted: (N, J, 3) metres, relative to joint 0.
        pose2d: (N, J, 2) what was seen.
        intrinsics: (N, 4) fx, fy, cx, cy in the unit of `pose2d`.
        seen: (N, J) which joints were seen; None: all. A bone to a hidden joint has the second term
            only.
        lengths: (N, J-1) metres. One below `MIN_LENGTH` counts as that.
        skeleton: J joints.

    Returns:
        (N, J) metres, at least `MIN_DEPTH`. Finite if all arguments are.
    """
    rows = torch.arange(len(predicted), device=predicted.device)
    parts = [
        _fit(
            predicted[part],
            pose2d[part],
            intrinsics[part],
            None if seen is None else seen[part],
            lengths[part],
            skeleton,
        )
        for part in rows.split(FIT_BATCH)
    ]
    return torch.cat(parts) if parts else predicted.new_zeros(predicted.shape[:2])


def on_rays(pose2d: Tensor, intrinsics: Tensor, depth: Tensor) -> Tensor:
    """Poses from what was seen, and how far it is.

    Args:
        pose2d: (..., J, 2).
        intrinsics: (..., 4) fx, fy, cx, cy in the unit of `pose2d`.
        depth: (..., J) metres.

    Returns:
        (..., J, 3) camera frame, metres.
    """
    return _rays(pose2d, intrinsics) * depth[..., None]


def _rays(pose2d: Tensor, intrinsics: Tensor) -> Tensor:
    plane = (pose2d - intrinsics[..., None, 2:]) / intrinsics[..., None, :2]
    return torch.cat((plane, torch.ones_like(plane[..., :1])), -1)


def _fit(
    predicted: Tensor,
    pose2d: Tensor,
    intrinsics: Tensor,
    seen: Tensor | None,
    lengths: Tensor,
    skeleton: Skeleton,
) -> Tensor:
    parents = list(skeleton.parents[1:])
    root = gpa_of_seen(predicted, pose2d, intrinsics, seen)
    ray = _rays(pose2d, intrinsics).movedim(0, -1).contiguous()  # (J, 3, N)
    z = predicted[..., 2].T  # (J, N)
    depth = (root[:, 2] + z).clamp(min=MIN_DEPTH)
    z = z[1:] - z[parents]
    length = lengths.T.clamp(min=MIN_LENGTH)
    counts = torch.ones_like(length)
    if seen is not None:
        counts = (seen[:, 1:] & seen[:, parents]).T.to(length.dtype)
    for _ in range(STEPS):
        bone = ray[1:] * depth[1:, None] - ray[parents] * depth[parents, None]
        long = bone.norm(dim=1).clamp(min=MIN_LENGTH)
        unit = bone / long[:, None]
        weight = counts / (length * LENGTH_NOISE)
        # what the two residuals are, and how they change with the depth of joint and parent
        first = (long - length) * weight
        joint = (unit * ray[1:]).sum(1) * weight
        parent = -(unit * ray[parents]).sum(1) * weight
        second = (depth[1:] - depth[parents] - z) / DEPTH_NOISE**2
        stiff = 1 / DEPTH_NOISE**2
        depth = depth - _solved_on_tree(
            joint.square() + stiff,
            parent.square() + stiff,
            joint * parent - stiff,
            joint * first + second,
            parent * first - second,
            parents,
        )
        depth = depth.clamp(min=MIN_DEPTH)
    return depth.T


def _solved_on_tree(
    joint: Tensor,
    parent: Tensor,
    both: Tensor,
    joint_side: Tensor,
    parent_side: Tensor,
    parents: list[int],
) -> Tensor:
    """(J, N) the solution x of A x = h, where A and h are sums over the bones, each with a block
    ``[[joint, both], [both, parent]]`` and a part ``(joint_side, parent_side)`` for its two ends.

    Args:
        joint, parent, both, joint_side, parent_side: (J-1, N).
        parents: (J-1,) of joints 1 to J-1, each before its children.
    """
    nothing = torch.zeros_like(joint[0])
    diagonals, sides = [nothing, *joint.unbind()], [nothing, *joint_side.unbind()]
    for bone, at in enumerate(parents):
        diagonals[at] = diagonals[at] + parent[bone]
        sides[at] = sides[at] + parent_side[bone]
    diagonals = [diagonal * (1 + DAMPING) for diagonal in diagonals]
    for bone in reversed(range(len(parents))):
        share = both[bone] / diagonals[bone + 1]
        diagonals[parents[bone]] = diagonals[parents[bone]] - share * both[bone]
        sides[parents[bone]] = sides[parents[bone]] - share * sides[bone + 1]
    found = [sides[0] / diagonals[0]]
    for bone, at in enumerate(parents):
        found.append((sides[bone + 1] - both[bone] * found[at]) / diagonals[bone + 1])
    return torch.stack(found)
