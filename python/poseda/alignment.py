"""Global position alignment where some joints of the target were not seen, and over time."""

from __future__ import annotations

import torch
from torch import Tensor

from poseda_ext import gpa


def gpa_of_seen(pose: Tensor, target2d: Tensor, intrinsics: Tensor, seen: Tensor | None) -> Tensor:
    """Global position alignment (PoseDA, Eq. 7 and 9) with the boxes, of pose and target alike,
    around the joints that were seen and the root.

    A hidden joint is put on the root in both, where it does not widen a box that holds the root.

    Args:
        pose: (..., J, 3) metres; only positions relative to joint 0 matter.
        target2d: (..., J, 2) in the unit of the intrinsics; finite also where a joint is hidden.
        intrinsics: (..., 4) fx, fy, cx, cy of the target camera.
        seen: (..., J) which joints of the target were seen; None: all. The root counts as seen.

    Returns:
        (..., 3) root position, camera frame, metres.
    """
    if seen is None:
        return gpa(pose, target2d, intrinsics)
    here = seen[..., None]
    return gpa(
        torch.where(here, pose, pose[..., :1, :]),
        torch.where(here, target2d, target2d[..., :1, :]),
        intrinsics,
    )


def gpa_of_windows(
    pose: Tensor, target2d: Tensor, intrinsics: Tensor, seen: Tensor | None = None
) -> Tensor:
    """Global position alignment of windows over time: in each frame the root lies on the ray
    through the target's root in that frame, at one depth for the whole window, the geometric mean
    of what Eq. 7 gives for its frames. (Frame by frame the depth would jump with the pose: one who
    crouches beside a target that stands would rush to the camera.)

    Args:
        pose: (..., T, J, 3) metres; only positions relative to joint 0 matter.
        target2d: (..., T, J, 2) in the unit of the intrinsics.
        intrinsics: (..., T, 4) fx, fy, cx, cy of the target camera.
        seen: (..., T, J) which joints of the target were seen, as in `gpa_of_seen`; None: all.

    Returns:
        (..., T, 3) root positions, camera frame, metres.
    """
    root = gpa_of_seen(pose, target2d, intrinsics, seen)
    depth = root[..., 2:]
    return root * (depth.log().mean(-2, keepdim=True).exp() / depth)
