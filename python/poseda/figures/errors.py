"""Errors of methods, camera by camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from poseda.figures.checks import finite_number
from poseda.figures.style import (
    ALIGNED,
    FAINT_INK,
    GRID,
    INK,
    LABEL_SIZE,
    LEFT,
    NOTE_SIZE,
    RIGHT,
    SOURCE,
    TARGET,
    legend_below,
    new_figure,
    plain,
)

#: of methods, in turn; the first is what the others are compared with
FILLS = ("#9A9A9A", SOURCE, RIGHT, ALIGNED, TARGET, LEFT, "#CC79A7", "#F0E442", "#D9D9D9")
_HATCHES = ("", "////", "....")
MAX_METHODS = len(FILLS) * len(_HATCHES)  #: in one figure
_LEGEND_COLUMNS = 5


def camera_errors(errors: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """MPJPE of each method by camera, before and after adaptation.

    Args:
        errors: for each method, in the order of the bars, a mapping for each seed from names of
            cameras to errors in mm. The first method's cameras, in their order, are drawn.

    Returns:
        The figure: a group of bars for each camera, a bar for each method: the mean over seeds. Of
        several seeds whiskers show the standard deviation, and dots each seed.

    Raises:
        ValueError: if there are no methods, more than `MAX_METHODS`, no seeds or no cameras, or an
            error is missing or not finite.
    """
    if not 1 <= len(errors) <= MAX_METHODS:
        raise ValueError(f"errors: got {len(errors)} methods, expected 1 to {MAX_METHODS}")
    first = next(iter(errors.values()))
    cameras = list(first[0]) if first else []
    if not cameras:
        raise ValueError("errors: got no cameras, expected at least one")
    values = {
        name: [[_value(name, seed, camera) for seed in seeds] for camera in cameras]
        for name, seeds in errors.items()
    }
    width = min(0.8 / len(values), 0.3)
    several = any(len(seeds) > 1 for seeds in errors.values())
    least = 5.4 if several else 4.5  # inches; room for the note
    figure = new_figure(min(max(1.2 + 0.24 * len(values) * len(cameras), least), 14), 3.3)
    axis = figure.subplots()
    handles = []
    for number, (name, of_cameras) in enumerate(values.items()):
        at = np.arange(len(cameras)) + (number - (len(values) - 1) / 2) * width
        fill, hatch = FILLS[number % len(FILLS)], _HATCHES[number // len(FILLS)]
        style: dict[str, Any] = {
            "facecolor": fill,
            "hatch": hatch,
            "edgecolor": "white",
            "linewidth": 0.5,
        }
        axis.bar(at, [mean(each) for each in of_cameras], width, **style, zorder=2)
        handles.append(Patch(**style, label=name))
        if len(of_cameras[0]) > 1:
            spread = [stdev(each) for each in of_cameras]
            means = [mean(each) for each in of_cameras]
            axis.errorbar(
                at, means, spread, fmt="none", ecolor=INK, elinewidth=1, capsize=2, zorder=3
            )
            for place, each in zip(at, of_cameras, strict=True):
                axis.plot([place] * len(each), each, ".", color=INK, markersize=2.5, zorder=4)
    axis.set_xticks(range(len(cameras)), cameras)
    axis.set_ylabel("MPJPE (mm)", fontsize=LABEL_SIZE, color=INK)
    axis.grid(axis="y", color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    plain(axis)
    axis.tick_params(axis="x", length=0)
    for label in axis.get_xticklabels():
        label.set(fontsize=LABEL_SIZE, color=INK, parse_math=False)
        if len(cameras) > 8:
            label.set(rotation=35, ha="right", fontsize=NOTE_SIZE)
    legend_below(figure, handles, columns=_LEGEND_COLUMNS)
    if several:
        note = "bars: mean over seeds; whiskers: their standard deviation; dots: each seed"
        axis.set_title(note, fontsize=NOTE_SIZE, color=FAINT_INK, loc="left", pad=4)
    return figure


def _value(name: str, seed: Mapping[str, float], camera: str) -> float:
    value = finite_number(seed.get(camera))
    if value is None:
        raise ValueError(
            f"errors: {name}: {camera}: got {seed.get(camera)!r}, expected a number of mm"
        )
    return value
