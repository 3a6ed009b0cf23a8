"""Typed settings. Each field's docstring is its help text on the command line.

`Settings` is everything that decides a run's numbers; each method has its own part of it, in
`AdaptSettings`.
"""

from poseda.config.adaptpose import AdaptPoseSettings
from poseda.config.aligned import AlignedSettings
from poseda.config.checks import MAX_BATCH, MAX_WIDTH, check_numbers
from poseda.config.keypoints import KeypointSettings
from poseda.config.poseaug import PoseAugSettings
from poseda.config.poseda import PoseDASettings
from poseda.config.run import FlatKeypoints, Normalization, Settings, given
from poseda.config.training import AdaptSettings, PretrainSettings

__all__ = [
    "MAX_BATCH",
    "MAX_WIDTH",
    "AdaptPoseSettings",
    "AdaptSettings",
    "AlignedSettings",
    "FlatKeypoints",
    "KeypointSettings",
    "Normalization",
    "PoseAugSettings",
    "PoseDASettings",
    "PretrainSettings",
    "Settings",
    "check_numbers",
    "given",
]
