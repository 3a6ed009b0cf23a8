"""Fused, differentiable pose operations; importable without the rest of PoseDA."""

from poseda_ext.reference import Augmented, augment, bones, gpa, kcs, part_kcs, pose_from_bones, project
from poseda_ext.skeleton import H36M_16, H36M_17, Skeleton

__all__ = [
    "H36M_16",
    "H36M_17",
    "Augmented",
    "Skeleton",
    "augment",
    "bones",
    "gpa",
    "kcs",
    "part_kcs",
    "pose_from_bones",
    "project",
]
