"""Pose data: the canonical file, its checks, and the synthetic humans."""

from poseda.data.poseset import (
    PoseSet,
    load_pose_set,
    pose_set_from_arrays,
    save_pose_set,
)

__all__ = ["PoseSet", "load_pose_set", "pose_set_from_arrays", "save_pose_set"]
