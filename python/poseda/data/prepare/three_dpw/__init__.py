"""3DPW (von Marcard et al., "Recovering Accurate 3D Human Pose in the Wild", 2018), from its own
files or from AdaptPose's."""

from poseda.data.prepare.three_dpw.command import ThreeDPW

__all__ = ["ThreeDPW"]
