"""Draws docs/conventions.svg: frames, joints and units in one picture.

python scripts/draw_conventions.py [FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from poseda.figures import CENTRE, FAINT_INK, FRAME, GRID, LEFT, RIGHT
from poseda.files import atomic_write
from poseda_ext import H36M_17

#: someone who faces the camera with the arms out: x right, y down of the camera, metres
BODY = np.array(
    [
        (0.00, 0.00), (-0.13, 0.02), (-0.16, 0.45), (-0.17, 0.88), (0.13, 0.02), (0.16, 0.45),
        (0.17, 0.88), (0.00, -0.24), (0.00, -0.50), (0.00, -0.62), (0.00, -0.75), (0.17, -0.47),
        (0.43, -0.40), (0.67, -0.36), (-0.17, -0.47), (-0.43, -0.40), (-0.67, -0.36),
    ]
)  # fmt: skip
#: where a joint's label stands, from the joint; beside it, on its own side, if not named here
_LABELS = {
    "LElbow": (0.0, -0.075), "LWrist": (0.0, 0.085), "RElbow": (0.0, -0.075),
    "RWrist": (0.0, 0.085), "LShoulder": (0.12, -0.085), "RShoulder": (-0.12, -0.085),
    "Hip": (0.0, -0.06), "Thorax": (0.0, 0.06),
}  # fmt: skip


def _colour(joint: int) -> str:
    return LEFT if joint in H36M_17.left else RIGHT if joint in H36M_17.right else CENTRE


def _stick_figure(axis: Axes, points: np.ndarray, width: float) -> None:
    for joint, parent in enumerate(H36M_17.parents):
        if parent >= 0:
            ends = points[[parent, joint]]
            axis.plot(*ends.T, color=_colour(joint), linewidth=width, solid_capstyle="round")


def _arrow(
    axis: Axes, start: tuple[float, float], end: tuple[float, float], label: str, colour: str
) -> None:
    axis.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.6}
    )
    beyond = np.asarray(end) + 0.16 * (np.asarray(end) - np.asarray(start))
    axis.text(*beyond, label, color=colour, fontsize=9, ha="center", va="center")


def _joints(axis: Axes) -> None:
    """The 17 joints, seen from the front."""
    _stick_figure(axis, BODY, 2.4)
    for joint, (x, y) in enumerate(BODY):
        name = H36M_17.names[joint]
        axis.plot(x, y, "o", color=_colour(joint), markersize=4)
        side = -1 if joint in H36M_17.right else 1
        offset = _LABELS.get(name)
        beside = "right" if side < 0 else "left"
        axis.text(
            x + (0.035 * side if offset is None else offset[0]),
            y + (0 if offset is None else offset[1]),
            f"{joint} {name}",
            color=_colour(joint),
            fontsize=7.5,
            ha=beside if offset is None else "center",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8},
        )
    axis.set_title("Joints (H36M_17; H36M_16 has no 9)", fontsize=10)
    axis.text(0, 1.06, "blue: the person's left, orange: right, seen from the front",
              fontsize=8, ha="center", color=FAINT_INK)  # fmt: skip
    axis.set_xlim(-0.98, 0.98)
    axis.set_ylim(1.12, -0.9)


def _frames(axis: Axes) -> None:
    """The camera frame and the world frame, from the side."""
    eye, ahead = np.array((-1.5, -0.55)), np.array((0.75, 0.12))
    axis.plot(*np.array([(-1.75, 0.9), (1.7, 0.9)]).T, color=GRID, linewidth=2)
    for corner in ((1.02, -0.98), (1.02, 0.9)):
        axis.plot(*np.array([eye, corner]).T, color=GRID, linewidth=1)
    axis.add_patch(Rectangle(tuple(eye - 0.08), 0.16, 0.16, color=CENTRE))
    _arrow(axis, tuple(eye), tuple(eye + ahead), "", CENTRE)
    axis.text(*(eye + ahead + (0.06, 0.0)), "z forward", fontsize=9, va="center", color=CENTRE)
    _arrow(axis, tuple(eye), (eye[0] - 0.09, eye[1] + 0.62), "y down", CENTRE)
    axis.text(eye[0] - 0.03, eye[1] - 0.22, "camera\n(x right: towards the reader)",
              fontsize=8, ha="center", va="bottom", color=CENTRE)  # fmt: skip
    # seen from the camera's left: the person faces the camera
    aside = np.stack((1.0 + 0.18 * BODY[:, 0], 0.9 + (BODY[:, 1] - 0.9)), axis=1)
    _stick_figure(axis, aside, 2.0)
    axis.plot(1.0, 0.0, "o", color=CENTRE, markersize=5)
    axis.annotate(
        "root (joint 0): absolute, metres,\ncamera frame; poses are relative to it",
        (1.0, 0.0), (-0.02, 0.62), fontsize=8, color=CENTRE, ha="center",
        arrowprops={"arrowstyle": "-", "color": FAINT_INK, "linewidth": 0.8},
    )  # fmt: skip
    _arrow(axis, (-1.5, 0.9), (-1.5, 0.5), "z up", FAINT_INK)
    axis.text(-1.3, 0.98, "world (rigs, motion capture)", fontsize=8, color=FAINT_INK,
              ha="center", va="top")  # fmt: skip
    axis.set_title("Frames: metres, radians", fontsize=10)
    axis.set_xlim(-2.0, 1.75)
    axis.set_ylim(1.25, -1.15)


def _image(axis: Axes) -> None:
    """Pixels and the screen-normalised plane, for a landscape image."""
    width, height = 2.0, 9 / 8
    axis.add_patch(
        Rectangle((-1, -height / 2), width, height, facecolor="#F7F7F7", edgecolor=FRAME)
    )
    _stick_figure(axis, 0.5 * BODY + (0.25, 0.02), 1.5)
    axis.plot(0, 0, "+", color=CENTRE, markersize=9)
    axis.text(-0.05, 0.07, "(0, 0)", fontsize=8, color=CENTRE, ha="right")
    _arrow(axis, (-1, -height / 2), (-0.6, -height / 2), "x", CENTRE)
    _arrow(axis, (-1, -height / 2), (-1, -height / 2 + 0.35), "y", CENTRE)
    for place, words in (
        ((-1, -height / 2 - 0.06), "pixel (0, 0)\nnormalised (-1, -h/w)"),
        ((1, height / 2 + 0.05), "pixel (w, h)\nnormalised (1, h/w)"),
    ):
        axis.text(*place, words, fontsize=8, ha="center", color=CENTRE,
                  va="bottom" if place[1] < 0 else "top")  # fmt: skip
    axis.text(0, 1.0, "x' = 2x/w - 1     y' = 2y/w - h/w\nfocal lengths times 2/w; "
              "h > w: padded to a square first", fontsize=8, ha="center", va="top",
              color=FAINT_INK)  # fmt: skip
    axis.set_title("2D: pixels in files, screen-normalised inside", fontsize=10)
    axis.set_xlim(-1.4, 1.4)
    axis.set_ylim(1.3, -1.1)


def draw() -> Figure:
    """The picture."""
    figure = Figure(figsize=(13, 4.8), layout=ConstrainedLayoutEngine(h_pad=0.12))
    for axis, panel in zip(figure.subplots(1, 3), (_joints, _frames, _image), strict=True):
        axis.set_aspect("equal")
        axis.axis("off")
        panel(axis)
    return figure


def main() -> None:
    root = Path(__file__).resolve().parents[1]
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "docs" / "conventions.svg"
    with (
        matplotlib.rc_context({"svg.hashsalt": "poseda", "svg.fonttype": "none"}),
        atomic_write(target) as path,
    ):
        draw().savefig(path, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
