"""Canonical files from the files in which data sets come: a module each."""

from poseda.data.prepare.base import Preparation, Report
from poseda.data.prepare.human36m import Human36m
from poseda.data.prepare.join import Join
from poseda.data.prepare.keypoints import PrepareKeypoints
from poseda.data.prepare.mocap import Mocap
from poseda.data.prepare.mpi_inf_3dhp import MpiInf3dhp
from poseda.data.prepare.ski import Ski
from poseda.data.prepare.three_dpw import ThreeDPW

#: name on the command line to the preparation
PREPARATIONS: dict[str, type[Preparation]] = {
    "3dpw": ThreeDPW,
    "human36m": Human36m,
    "join": Join,
    "keypoints": PrepareKeypoints,
    "mocap": Mocap,
    "mpi-inf-3dhp": MpiInf3dhp,
    "ski": Ski,
}

__all__ = ["PREPARATIONS", "Preparation", "Report"]
