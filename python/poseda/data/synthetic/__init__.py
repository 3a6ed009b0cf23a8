"""Synthetic humans: data that the package makes by itself, without a download.

`body` holds the articulated body, `actions` what it does, `rigs` the cameras that look at it, and
`dataset` puts them together into a labelled source and a target of another domain.
"""

from poseda.data.synthetic.actions import ACTIONS, perform
from poseda.data.synthetic.body import ANGLES, Body, Motion, forward_kinematics, sample_body
from poseda.data.synthetic.dataset import make_source, make_target, synthetic_pair
from poseda.data.synthetic.rigs import Camera, human36m_rig, mpi_inf_3dhp_rig

__all__ = [
    "ACTIONS",
    "ANGLES",
    "Body",
    "Camera",
    "Motion",
    "forward_kinematics",
    "human36m_rig",
    "make_source",
    "make_target",
    "mpi_inf_3dhp_rig",
    "perform",
    "sample_body",
    "synthetic_pair",
]
