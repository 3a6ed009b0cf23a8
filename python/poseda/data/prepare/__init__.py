"""Canonical files from the files in which data sets come: a module each."""

from poseda.data.prepare.base import Preparation, Report
from poseda.data.prepare.human36m import Human36m
from poseda.data.prepare.keypoints import PrepareKeypoints
from poseda.data.prepare.mocap import Mocap

#: name on the command line to the preparation
PREPARATIONS: dict[str, type[Preparation]] = {
    "human36m": Human36m,
    "keypoints": PrepareKeypoints,
    "mocap": Mocap,
}

__all__ = ["PREPARATIONS", "Preparation", "Report"]
