"""The course of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from poseda.figures.checks import finite_number
from poseda.figures.style import FAINT_INK, GRID, NOTE_SIZE, new_figure, part_colours, plain, title

_SMOOTH_FROM = 60  # curves with as many points also get a running mean
_CURVES = {
    "lifter_loss": "lifter loss",
    "critic_loss": "critic loss",
    "critic_gap": "critic gap",
    "critic2d_gap": "2D critic's gap",
    "generator_loss": "generator loss",
    "bone_angle_deg": "bone angle (°)",
    "bone_ratio": "bone length ratio",
    "rotation_deg": "rotation (°)",
    "bone_angle_spread_deg": "spread of bone angles (°)",
    "bone_ratio_spread": "spread of length ratios",
    "rotation_spread_deg": "spread of rotations (°)",
    "pose_spread_deg": "spread of poses (°)",
    "kept": "share of pairs kept",
    "mpjpe": "MPJPE (mm)",
    "pa_mpjpe": "PA-MPJPE (mm)",
    "n_mpjpe": "N-MPJPE (mm)",
    "pck": "PCK (%)",
    "auc": "AUC (%)",
}

_NOT_CURVES = {"step", "epoch", "time", "poses"}


def training_curves(records: Sequence[Mapping[str, Any]]) -> Figure:
    """The course of a run, a small panel for each quantity.

    Args:
        records: the lines of a ``metrics.jsonl``, in order. ``step`` is the horizontal axis
            (the line number where it is missing). Any other finite number is drawn; each key
            may be missing from any record. Keys ``name/part`` share the panel ``name``.

    Returns:
        The figure: known quantities first, then the others by name.

    Raises:
        ValueError: if no record has a number to draw.
    """
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for line, record in enumerate(records):
        step = finite_number(record.get("step"))
        for key, value in record.items():
            number = finite_number(value)
            if key in _NOT_CURVES or number is None:
                continue
            steps, values = curves.setdefault(str(key), ([], []))
            steps.append(line if step is None else step)
            values.append(number)
    if not curves:
        raise ValueError("records: got no numbers to draw besides step")
    panels: dict[str, list[str]] = {}
    for key in sorted(curves):
        panels.setdefault(key.split("/")[0], []).append(key)
    order = [name for name in _CURVES if name in panels]
    order += [name for name in sorted(panels) if name not in _CURVES]

    columns = min(3, len(order))
    rows = math.ceil(len(order) / columns)
    figure = new_figure(3.1 * columns, 2.1 * rows + 0.2)
    axes = figure.subplots(rows, columns, sharex=True, squeeze=False)
    low = min(min(steps) for steps, _ in curves.values())
    high = max(max(steps) for steps, _ in curves.values())
    for place, axis in enumerate(axes.flat):
        if place >= len(order):
            axis.set_axis_off()
            continue
        name = order[place]
        parts = panels[name]
        for part, colour in zip(parts, part_colours(parts), strict=True):
            label = part.partition("/")[2] or "all"
            _draw_curve(axis, *curves[part], colour, label)
        if len(parts) > 1:
            axis.legend(fontsize=NOTE_SIZE - 1, frameon=False, handlelength=1.2, labelspacing=0.2)
        plain(axis)
        axis.grid(axis="y", color=GRID, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.yaxis.set_major_locator(MaxNLocator(4))
        axis.yaxis.get_offset_text().set(fontsize=NOTE_SIZE - 1.5, color=FAINT_INK)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        if high > low:
            axis.set_xlim(low, high)
        title(axis, _CURVES.get(name, name.replace("_", " ")))
        if place + columns >= len(order):
            axis.set_xlabel("step", fontsize=NOTE_SIZE, color=FAINT_INK)
            axis.tick_params(labelbottom=True)
    return figure


def _draw_curve(
    axis: Axes, steps: Sequence[float], values: Sequence[float], colour: str, label: str
) -> None:
    if len(values) < _SMOOTH_FROM:
        marker = "o" if len(values) < 20 else None
        axis.plot(
            steps,
            values,
            color=colour,
            linewidth=1.4,
            marker=marker,
            markersize=3,
            label=label,
            clip_on=False,
        )
        return
    window = np.ones(max(3, len(values) // 30) | 1)
    counts = np.convolve(np.ones(len(values)), window, mode="same")
    smooth = np.convolve(np.asarray(values, dtype=np.float64), window, mode="same") / counts
    axis.plot(steps, values, color=colour, linewidth=0.6, alpha=0.3)
    axis.plot(steps, smooth, color=colour, linewidth=1.5, label=label)
