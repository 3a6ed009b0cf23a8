"""Global position alignment where some joints of the target were not seen."""

from __future__ import annotations

import torch
from torch import Tensor

from poseda_ext import gpa


def gpa_of_seen(pose: Tensor, target2d: Tensor, intrinsics: Tensor, seen: Tensor) -> Tensor:
    """Global position alignment (PoseDA, Eq. 7 and 9) with the boxes, of pose and target alike,
    around the joints that were seen and the root.

    A hidden joint is put on the root in both, where it does not widen a box that holds the root.

    Args:
        pose: (..., J, 3) metres; only positions relative to joint 0 matter.
        target2d: (..., J, 2) in the unit of the intrinsics; finite also where a joint is hidden.
        intrinsics: (..., 4) fx, fy, cx, cy of the target camera.
        seen: (..., J) which joints of the target were seen. The root counts as seen.

    Returns:
        (..., 3) root position, camera frame, metres.
    """
    here = seen[..., None]
    return gpa(
        torch.where(here, pose, pose[..., :1, :]),
        torch.where(here, target2d, target2d[..., :1, :]),
        intrinsics,
    )
