"""The tables of PoseDA (Chai et al., ICCV 2023) and of its supplement.

The paper does not say whether it averages with the mirror image at test time; on MPI-INF-3DHP its
baselines agree with those of PoseAug, which does. It trains no control: the rows of that name are
this project's.
"""

from __future__ import annotations

from typing import Any

from poseda.tables.table import Column, Line, Table, columns, only, trained

PAPER = "PoseDA (Chai et al., ICCV 2023)"
THREE_DHP = columns("h36m-3dhp", "mpjpe", "pck", "auc")
NONE3 = (None, None, None)
#: the lifters as the paper calls them
LIFTERS = {
    "SemGCN": "sem_gcn",
    "SimpleBaseline": "simple_baseline",
    "ST-GCN": "st_gcn",
    "VideoPose3D": "videopose3d",
}
GPA_ALONE = trained("no LPA (GPA alone)", "gpa", 66.07, 90.87, 60.07)
CONTROL = "control (not in the paper)"
SUPERVISED = "rows without a number of ours are of other authors, or trained on the target's labels"


def _lpa(name: str, *published: float, **settings: Any) -> Line:
    """A row of Tables 7 and C."""
    changes = {f"adapt.poseda.{key}": value for key, value in settings.items()}
    return trained(name, "poseda", *published, changes=changes)


def _components(rows: dict[str, tuple[tuple[float, ...], ...]]) -> tuple[Line, ...]:
    """Source only, + LPA, + GPA and PoseDA of each lifter, and its control."""
    lines: list[Line] = []
    for name, published in rows.items():
        changes = {"lifter": LIFTERS[name]}
        methods = {"": "source-only", " + LPA": "lpa", " + GPA": "gpa", " + PoseDA": "poseda"}
        for (more, method), numbers in zip(methods.items(), published, strict=True):
            lines.append(trained(name + more, method, *numbers, changes=changes))
        nothing = (None,) * len(published[0])
        lines.append(trained(f"{name}, {CONTROL}", "control", *nothing, changes=changes))
    return tuple(lines)


def _normalization(lifter: str, *rows: tuple[str, str, tuple[float, ...]]) -> tuple[Line, ...]:
    changes = {"lifter": LIFTERS[lifter]}
    lines = []
    for name, how, published in rows:
        own = {} if how in ("screen", "gpa") else {"normalization": how}
        method = "gpa" if how == "gpa" else "source-only"
        lines.append(trained(f"{lifter}, {name}", method, *published, changes=changes | own))
    return tuple(lines)


TABLE_1 = Table(
    "poseda-table1",
    "Human3.6M, from S1 to S5-S8",
    f"{PAPER}, Table 1",
    columns("s1", "mpjpe", "pa_mpjpe"),
    (
        only("VideoPose3D, full", 51.8, 40.0),
        only("ST-GCN, full", 50.6, 40.2),
        only("SimpleBaseline, full", 45.5, 37.1),
        only("SemGCN, full", 43.8, None),
        trained("VideoPose3D", "source-only", 64.7, None),
        only("Li et al.", 62.9, None),
        trained("PoseAug", "poseaug", 56.7, None),
        trained("AdaptPose", "adaptpose", 54.2, 35.6, changes={"lifter": "videopose3d_27"}),
        trained("PoseDA", "poseda", 49.9, 34.2),
        trained(CONTROL, "control", None, None),
    ),
    "poseda",
    note=f"{SUPERVISED.capitalize()}. The papers are not clear on the test subjects: some of these "
    "numbers were published for S9 and S11.",
)
TABLE_2 = Table(
    "poseda-table2",
    "Human3.6M to MPI-INF-3DHP",
    f"{PAPER}, Table 2",
    THREE_DHP,
    (
        only("Multi Person (supervised)", 122.2, 75.2, 37.8),
        only("Mehta et al. (supervised)", 117.6, 76.5, 40.8),
        only("VNect (supervised)", 124.7, 76.6, 40.4),
        only("OriNet (supervised)", 89.4, 81.8, 45.2),
        only("SimpleBaseline (supervised)", 84.3, 85.0, 52.0),
        only("MixSTE (supervised)", 57.9, 94.2, 63.8),
        only("LCN", None, 74.0, 36.7),
        only("HMR", 113.2, 77.1, 40.7),
        only("SRNet", None, 77.6, 43.8),
        only("Li et al.", 99.7, 81.2, 46.1),
        only("RepNet", 92.5, 81.8, 54.8),
        trained("PoseAug", "poseaug", 73.0, 88.6, 57.3),
        trained("AdaptPose", "adaptpose", 68.3, 90.2, 59.0, changes={"lifter": "videopose3d_27"}),
        trained("PoseDA", "poseda", 61.3, 92.1, 62.5),
        trained(CONTROL, "control", *NONE3),
    ),
    "poseaug-3dhp",
    note=f"{SUPERVISED.capitalize()}. A lifter of 27 frames needs frames that follow each other: "
    "the 2,929 valid ones do so in parts only.",
)
TABLE_3 = Table(
    "poseda-table3",
    "Human3.6M to 3DPW",
    f"{PAPER}, Table 3",
    columns("h36m-3dpw", "pa_mpjpe", "mpjpe"),
    (
        only("VideoPose3D (supervised, video)", 68.0, 105.0),
        only("EFT (supervised)", 55.7, None),
        only("VIBE (supervised, video)", 51.9, 82.9),
        only("Lin et al. (supervised)", 45.6, 74.7),
        trained("PoseAug", "poseaug", 58.5, 94.1),
        only("VIBE (video)", 56.5, 93.5),
        only("BOA (video)", 49.5, 77.2),
        trained("AdaptPose (video)", "adaptpose", 46.5, 81.2, changes={"lifter": "videopose3d_27"}),
        trained("PoseDA", "poseda", 55.3, 87.7),
        trained(CONTROL, "control", None, None),
    ),
    "poseda",
    note=f"{SUPERVISED.capitalize()}.",
)
TABLE_4 = Table(
    "poseda-table4",
    "Parts of PoseDA, with four lifters",
    f"{PAPER}, Table 4",
    THREE_DHP,
    _components(
        {
            "SemGCN": (
                (95.96, 80.68, 48.48),
                (87.64, 84.21, 51.24),
                (86.56, 83.85, 50.98),
                (78.37, 86.17, 54.74),
            ),
            "SimpleBaseline": (
                (81.23, 85.85, 53.95),
                (66.56, 90.16, 60.41),
                (69.19, 89.90, 58.50),
                (64.79, 90.55, 61.32),
            ),
            "ST-GCN": (
                (81.19, 85.92, 53.78),
                (74.31, 88.72, 56.20),
                (74.41, 88.58, 55.52),
                (69.50, 90.15, 58.56),
            ),
            "VideoPose3D": (
                (82.55, 85.71, 53.35),
                (66.65, 90.05, 60.24),
                (66.07, 90.87, 60.07),
                (61.36, 92.05, 62.52),
            ),
        }
    ),
    "poseaug-3dhp",
)
TABLE_5 = Table(
    "poseda-table5",
    "GPA against other normalisations of the lifter's input",
    f"{PAPER}, Table 5",
    THREE_DHP,
    (
        *_normalization(
            "SimpleBaseline",
            ("screen norm", "screen", (81.23, 85.85, 53.95)),
            ("crop norm", "crop", (95.37, 81.40, 47.66)),
            ("square crop", "square-crop", (84.81, 84.29, 52.27)),
            ("GPA", "gpa", (69.19, 89.90, 58.50)),
        ),
        *_normalization(
            "VideoPose3D",
            ("screen norm", "screen", (82.55, 85.71, 53.35)),
            ("crop norm", "crop", (93.16, 82.23, 48.00)),
            ("square crop", "square-crop", (85.05, 84.90, 51.81)),
            ("GPA", "gpa", (66.07, 90.87, 60.07)),
        ),
    ),
    "poseaug-3dhp",
)
TABLE_6 = Table(
    "poseda-table6",
    "LPA against augmentation without learning",
    f"{PAPER}, Table 6",
    THREE_DHP,
    (
        trained("no aug (GPA alone)", "gpa", 66.07, 90.87, 60.07),
        trained("RR", "random-rotation", 66.88, 90.77, 59.31),
        trained("BL", "random-lengths", 65.81, 90.94, 59.91),
        trained("RR + BL", "random-both", 64.99, 91.07, 60.49),
        trained("PoseDA", "poseda", 61.36, 92.05, 62.52),
        trained(CONTROL, "control", *NONE3),
    ),
    "poseaug-3dhp",
)
TABLE_7 = Table(
    "poseda-table7",
    "Which domain each part of LPA sees: generator, 3D critic, 2D critic",
    f"{PAPER}, Table 7",
    THREE_DHP,
    (
        GPA_ALONE,
        *(
            _lpa(
                f"{generator}, {critic}, {critic2d}",
                *published,
                generator_condition={"S": "source", "T": "target"}[generator],
                critic_domain={"S": "source", "T": "target"}[critic],
                critic2d={"S": "source", "T": "target", "-": "none"}[critic2d],
            )
            for generator, critic, critic2d, published in (
                ("T", "T", "T", (66.34, 90.81, 59.72)),
                ("T", "S", "T", (65.91, 91.02, 59.92)),
                ("T", "S", "-", (65.37, 90.98, 60.30)),
                ("S", "T", "T", (64.20, 91.64, 60.85)),
                ("S", "T", "-", (63.66, 91.57, 61.34)),
                ("S", "S", "S", (73.55, 88.96, 56.41)),
                ("S", "S", "T", (65.46, 91.27, 60.03)),
                ("S", "S", "-", (61.36, 92.05, 62.52)),
            )
        ),
    ),
    "poseaug-3dhp",
    note="S source, T target: the target's 3D poses are the pre-trained lifter's predictions.",
)
TABLE_A = Table(
    "poseda-tableA",
    "Lifters trained on detected 2D poses",
    f"{PAPER}, supplement, Table A",
    (
        *(
            Column("mpjpe", pair, f"H36M {kind.upper()}")
            for kind, pair in (("det", "s1-det"), ("cpn", "s1-cpn"), ("hr", "s1-hr"), ("gt", "s1"))
        ),
        *(
            Column("mpjpe", pair, f"3DHP {kind.upper()}")
            for kind, pair in (
                ("det", "h36m-det-3dhp"),
                ("cpn", "h36m-cpn-3dhp"),
                ("hr", "h36m-hr-3dhp"),
                ("gt", "h36m-3dhp"),
            )
        ),
    ),
    tuple(
        trained(lifter + more, method, *published, changes={"lifter": LIFTERS[lifter]})
        for lifter, more, method, published in (
            ("SemGCN", "", "source-only", (77.3, 73.8, 67.2, 58.9, 101.9, 98.7, 95.6, 95.6)),
            ("SemGCN", " + PoseAug", "poseaug", (75.5, 73.5, 66.1, 58.0, 89.9, 89.3, 89.1, 86.1)),
            ("SemGCN", " + PoseDA", "poseda", (75.0, 71.9, 63.8, 53.9, 80.3, 80.3, 80.9, 78.3)),
            ("SimpleBaseline", "", "source-only", (69.2, 65.1, 60.3, 53.6, 91.1, 88.8, 86.4, 81.2)),
            (
                *("SimpleBaseline", " + PoseAug", "poseaug"),
                (68.4, 64.5, 59.7, 51.8, 78.7, 78.7, 76.4, 76.2),
            ),
            (
                *("SimpleBaseline", " + PoseDA", "poseda"),
                (67.9, 63.0, 56.8, 50.2, 67.3, 67.3, 67.3, 64.7),
            ),
            ("ST-GCN", "", "source-only", (73.8, 76.8, 62.9, 57.2, 95.5, 91.3, 87.9, 81.2)),
            ("ST-GCN", " + PoseAug", "poseaug", (73.8, 72.9, 61.3, 51.2, 83.5, 77.7, 76.6, 74.9)),
            ("ST-GCN", " + PoseDA", "poseda", (73.0, 68.6, 61.2, 48.4, 78.8, 77.8, 75.1, 69.5)),
            ("VideoPose3D", "", "source-only", (70.4, 79.2, 70.7, 64.7, 92.6, 89.8, 85.6, 82.3)),
            (
                *("VideoPose3D", " + PoseAug", "poseaug"),
                (67.1, 70.4, 63.6, 56.7, 78.3, 78.4, 73.2, 73.0),
            ),
            (
                *("VideoPose3D", " + PoseDA", "poseda"),
                (67.4, 62.2, 55.7, 49.9, 64.6, 65.4, 64.5, 61.4),
            ),
        )
    ),
    "poseda",
    only_paper="it compares 2D detectors, and the open benchmark has no detected 2D",
    protocols=dict.fromkeys(
        ("h36m-det-3dhp", "h36m-cpn-3dhp", "h36m-hr-3dhp", "h36m-3dhp"), "poseaug-3dhp"
    ),
)
TABLE_B = Table(
    "poseda-tableB",
    "Parts of PoseDA on 3DPW, with two lifters",
    f"{PAPER}, supplement, Table B",
    columns("h36m-3dpw", "mpjpe", "pa_mpjpe", "pck", "auc"),
    _components(
        {
            "SimpleBaseline": (
                (153.44, 100.95, 59.79, 28.59),
                (136.64, 79.07, 63.07, 28.99),
                (131.41, 90.10, 67.53, 28.94),
                (121.93, 78.39, 69.23, 29.72),
            ),
            "VideoPose3D": (
                (101.46, 61.49, 80.50, 41.17),
                (96.72, 58.96, 83.42, 43.17),
                (92.44, 58.59, 83.94, 45.05),
                (87.70, 55.30, 84.98, 46.10),
            ),
        }
    ),
    "poseda",
)
TABLE_C = Table(
    "poseda-tableC",
    "A 2D critic beside the 3D critic",
    f"{PAPER}, supplement, Table C",
    THREE_DHP,
    (
        GPA_ALONE,
        _lpa("S, S, S", 73.55, 88.96, 56.41, critic2d="source"),
        _lpa("S, S, T", 65.46, 91.27, 60.03, critic2d="target"),
        _lpa("S, S, -", 61.36, 92.05, 62.52, critic2d="none"),
    ),
    "poseaug-3dhp",
    note="Generator, 3D critic and 2D critic; S source, T target.",
)
TABLES = (
    *(TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5, TABLE_6, TABLE_7),
    *(TABLE_A, TABLE_B, TABLE_C),
)
