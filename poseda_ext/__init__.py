"""Fused, differentiable pose operations; importable without the rest of PoseDA.

Forward-mode differentiation and the transforms of `torch.func` are refused by the fused ops;
the functions of `poseda_ext.reference` support them.
"""

from poseda_ext import reference
from poseda_ext._build import build_info
from poseda_ext.camera import (
    denormalize_intrinsics,
    denormalize_points,
    normalize_intrinsics,
    normalize_points,
)
from poseda_ext.ops import augment, bones, gpa, kcs, part_kcs, pose_from_bones, project
from poseda_ext.reference import Augmented
from poseda_ext.skeleton import H36M_16, H36M_17, Skeleton

__all__ = [
    "H36M_16",
    "H36M_17",
    "Augmented",
    "Skeleton",
    "augment",
    "bones",
    "build_info",
    "denormalize_intrinsics",
    "denormalize_points",
    "gpa",
    "kcs",
    "normalize_intrinsics",
    "normalize_points",
    "part_kcs",
    "pose_from_bones",
    "project",
    "reference",
]
