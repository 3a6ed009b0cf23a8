"""Tables of this project's own, on the open benchmark. Nothing was published for them."""

from __future__ import annotations

from poseda.tables.data import OPEN
from poseda.tables.poseda import LIFTERS
from poseda.tables.table import Line, Table, columns, trained

PROJECT = "this project"
METRICS = columns(OPEN, "mpjpe", "pa_mpjpe", "n_mpjpe", "pck", "auc")
NOTHING = (None,) * len(METRICS)
#: rows by what they are called
METHODS = {
    "source only": "source-only",
    "control": "control",
    "LPA": "lpa",
    "GPA": "gpa",
    "PoseDA": "poseda",
    "aligned": "aligned",
    "oracle": "oracle",
}


def _rows(methods: dict[str, str], lifter: str, prefix: str = "") -> tuple[Line, ...]:
    changes = {"lifter": lifter}
    return tuple(
        trained(prefix + name, method, *NOTHING, changes=changes)
        for name, method in methods.items()
    )


TABLE_4 = Table(
    "open-table4",
    "Four lifters, on the open benchmark",
    PROJECT,
    METRICS,
    tuple(line for name, lifter in LIFTERS.items() for line in _rows(METHODS, lifter, f"{name}, ")),
    "poseda",
)
COMPARED = _rows(
    {
        "source only": "source-only",
        "control": "control",
        "PoseAug": "poseaug",
        "AdaptPose (1 frame)": "adaptpose",
        "PoseDA": "poseda",
        "aligned": "aligned",
        "oracle": "oracle",
    },
    "videopose3d",
)
COMPARISON = Table(
    "open-methods",
    "The methods, on the open benchmark",
    PROJECT,
    METRICS,
    COMPARED,
    "poseda",
)
ROTATIONS = Table(
    "open-rotations",
    "What turns the body in PoseDA, on the open benchmark",
    PROJECT,
    METRICS,
    (
        *(
            trained(name, "poseda", *NOTHING, changes=changes)
            for name, changes in (
                ("nothing", {"adapt.poseda.rotation": "none"}),
                ("a network, as published", {"adapt.poseda.rotation": "network"}),
                (
                    "a network, taught by a 2D critic",
                    {"adapt.poseda.rotation": "learned", "adapt.poseda.critic2d": "target"},
                ),
                ("chance, about the camera's x axis", {"adapt.poseda.rotation": "tilt"}),
                ("chance, about all axes (default)", {}),
            )
        ),
        trained("control", "control", *NOTHING),
    ),
    "poseda",
    note="The published losses have no gradient for the network's rotation: it stays as it was "
    "initialised.",
)
TABLES = (TABLE_4, COMPARISON, ROTATIONS)
