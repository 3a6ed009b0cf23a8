"""How long a body is along its bones."""

from __future__ import annotations

import torch
from torch import Tensor

from poseda_ext import Skeleton

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
