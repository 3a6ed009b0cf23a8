"""Figures of the papers and of a run, drawn from data that is already there; a file for each
family.

Every function returns a `matplotlib.figure.Figure` of its own: pyplot and its global state are
not touched, so there is nothing to close and nothing needs a display. `save_figure` writes one.
"""

from matplotlib.figure import Figure

from poseda.figures.checks import MAX_ROWS
from poseda.figures.curves import training_curves
from poseda.figures.distributions import distributions
from poseda.figures.errors import MAX_METHODS, camera_errors
from poseda.figures.motions import motions
from poseda.figures.predictions import MAX_FRAMES, lifted, predictions
from poseda.figures.stages import Stage, transformation_stages
from poseda.figures.style import (
    ALIGNED,
    CENTRE,
    DPI,
    FAINT_INK,
    FRAME,
    GHOST,
    GRID,
    INK,
    LEFT,
    RIGHT,
    SHADOW,
    SOURCE,
    TARGET,
    save_figure,
)
from poseda.figures.viewpoints import viewpoints

__all__ = [
    "ALIGNED",
    "CENTRE",
    "DPI",
    "FAINT_INK",
    "FRAME",
    "GHOST",
    "GRID",
    "INK",
    "LEFT",
    "MAX_FRAMES",
    "MAX_METHODS",
    "MAX_ROWS",
    "RIGHT",
    "SHADOW",
    "SOURCE",
    "TARGET",
    "Figure",
    "Stage",
    "camera_errors",
    "distributions",
    "lifted",
    "motions",
    "predictions",
    "save_figure",
    "training_curves",
    "transformation_stages",
    "viewpoints",
]
