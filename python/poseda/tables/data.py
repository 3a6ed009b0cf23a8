"""The data that tables are made on: canonical files by name, and how they are made."""

from __future__ import annotations

from dataclasses import dataclass

OPEN = "open"
#: by name of the canonical file, the rest of the command that makes it of the licensed files
PREPARED = {
    "h36m.npz": "human36m --from H36M --to {}",
    "h36m_det.npz": "human36m --from H36M --to {} --pose2d detectron",
    "h36m_cpn.npz": "human36m --from H36M --to {} --pose2d cpn",
    "h36m_hr.npz": "human36m --from H36M --to {} --pose2d hr",
    "h36m_s1.npz": "human36m --from H36M --to {} --protocol s1",
    "h36m_s1_det.npz": "human36m --from H36M --to {} --protocol s1 --pose2d detectron",
    "h36m_s1_cpn.npz": "human36m --from H36M --to {} --protocol s1 --pose2d cpn",
    "h36m_s1_hr.npz": "human36m --from H36M --to {} --protocol s1 --pose2d hr",
    "h36m_s5s8.npz": "human36m --from H36M --to {} --protocol s5s8",
    "h36m_s5s8_det.npz": "human36m --from H36M --to {} --protocol s5s8 --pose2d detectron",
    "h36m_s5s8_cpn.npz": "human36m --from H36M --to {} --protocol s5s8 --pose2d cpn",
    "h36m_s5s8_hr.npz": "human36m --from H36M --to {} --protocol s5s8 --pose2d hr",
    "3dhp.npz": "mpi-inf-3dhp --from 3DHP --to {}",
    "3dhp_adaptpose.npz": "mpi-inf-3dhp --from 3DHP --to {} --frames adaptpose",
    "3dpw.npz": "3dpw --from 3DPW --to {} --body-model SMPL --regressor J_regressor_h36m.npy",
    "ski.npz": "ski --from SKI --to {}",
    "source_cmu.npz": "mocap --from MOCAP --to {} --rig human36m",
    "target_cmu.npz": "mocap --from MOCAP --to {} --rig mpi-inf-3dhp",
}


@dataclass(frozen=True)
class Pair:
    """A source and a target.

    Attributes:
        title: for a reader.
        source: name of the canonical file.
        target: likewise; its train part is adapted to and its test part evaluated.
    """

    title: str
    source: str
    target: str


PAIRS = {
    "h36m-3dhp": Pair("Human3.6M to MPI-INF-3DHP, 2,929 frames", "h36m.npz", "3dhp.npz"),
    "h36m-3dhp-24688": Pair(
        "Human3.6M to MPI-INF-3DHP, 24,688 frames", "h36m.npz", "3dhp_adaptpose.npz"
    ),
    "h36m-3dpw": Pair("Human3.6M to 3DPW", "h36m.npz", "3dpw.npz"),
    "h36m-ski": Pair("Human3.6M to Ski-Pose PTZ", "h36m.npz", "ski.npz"),
    "s1": Pair("Human3.6M, S1 to S5-S8", "h36m_s1.npz", "h36m_s5s8.npz"),
    **{
        f"s1-{kind}": Pair(
            f"Human3.6M, S1 to S5-S8, 2D {kind}", f"h36m_s1_{kind}.npz", f"h36m_s5s8_{kind}.npz"
        )
        for kind in ("det", "cpn", "hr")
    },
    **{
        f"h36m-{kind}-3dhp": Pair(
            f"Human3.6M, 2D {kind}, to MPI-INF-3DHP", f"h36m_{kind}.npz", "3dhp.npz"
        )
        for kind in ("det", "cpn", "hr")
    },
    OPEN: Pair("the open benchmark", "source_cmu.npz", "target_cmu.npz"),
}


def how_to_make(name: str) -> str:
    """The command that makes a canonical file."""
    return f"poseda prepare {PREPARED[name].format(name)}"
