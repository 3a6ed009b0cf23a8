"""2D keypoints of people's own detectors, in any common form."""

from poseda.keypoints.files import CONTAINERS
from poseda.keypoints.keypoints import Keypoints
from poseda.keypoints.maps import JOINT_SETS
from poseda.keypoints.read import read_keypoints

__all__ = ["CONTAINERS", "JOINT_SETS", "Keypoints", "read_keypoints"]
