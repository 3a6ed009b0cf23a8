"""From where people are seen (AdaptPose, Fig. 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from poseda.figures.checks import checked_poses
from poseda.figures.style import (
    ALIGNED,
    FAINT_INK,
    INK,
    LABEL_SIZE,
    NOTE_SIZE,
    SOURCE,
    TARGET,
    Array,
    legend_below,
    new_figure,
    plain,
    title,
)
from poseda_ext.skeleton import Skeleton

#: of up to four sets; dashes tell them apart without colour
STYLES: tuple[tuple[str, Any], ...] = (
    (SOURCE, "-"),
    (ALIGNED, (0, (5, 1.5))),
    (TARGET, (0, (1.5, 1.2))),
    (INK, (0, (6, 2, 1, 2))),
)
_AZIMUTHS, _ELEVATIONS = np.linspace(-180, 180, 37), np.linspace(-90, 90, 19)
#: a torso or a width below which a pose has no front, metres
_MIN_LENGTH = 1e-3


def view_directions(poses: Array, skeleton: Skeleton) -> Array:
    """From where the camera sees each person, as the person would say.

    The body's axes are up (root to thorax), left (hips and shoulders) and front. The camera is
    taken to look along its axis: root-relative poses do not say where in the picture they stand.

    Args:
        poses: (N, J, 3) camera frame, any origin and unit.
        skeleton: with Thorax, hips and shoulders.

    Returns:
        (M, 3) azimuth, 0 in front and positive on the person's left, -180 to 180; elevation,
        positive from above, -90 to 90; and roll, how far the body leans in the picture, positive
        to the right, -180 to 180; degrees. Poses without a torso are left out.
    """
    joint = {name: poses[:, number] for number, name in enumerate(skeleton.names)}
    up = joint["Thorax"] - poses[:, 0]
    left = joint["LHip"] - joint["RHip"] + joint["LShoulder"] - joint["RShoulder"]
    height = np.linalg.norm(up, axis=-1, keepdims=True)
    up = up / np.maximum(height, _MIN_LENGTH)
    left = left - (left * up).sum(-1, keepdims=True) * up
    width = np.linalg.norm(left, axis=-1, keepdims=True)
    left = left / np.maximum(width, _MIN_LENGTH)
    front = np.cross(left, up)
    # towards the camera is (0, 0, -1)
    azimuth = np.degrees(np.arctan2(-left[:, 2], -front[:, 2]))
    elevation = np.degrees(np.arcsin(np.clip(-up[:, 2], -1, 1)))
    roll = np.degrees(np.arctan2(up[:, 0], -up[:, 1]))
    has_front = (height[:, 0] > _MIN_LENGTH) & (width[:, 0] > _MIN_LENGTH)
    return np.stack((azimuth, elevation, roll), -1)[has_front]


def viewpoints(sets: Mapping[str, Tensor], skeleton: Skeleton) -> Figure:
    """From where people are seen in several sets of poses: a map of each, and all of them by
    azimuth, elevation and roll.

    Args:
        sets: names and poses (N, J, 3) in the camera frame, any origin: such as those of the
            source, those that a method generates, and those of the target as a lifter sees them.
        skeleton: J joints.

    Returns:
        The figure: maps of azimuth and elevation with one scale, and below them the distributions
        of the three angles.

    Raises:
        ValueError: if there are no sets or more than four, or a shape or coordinate is not valid.
    """
    if not 1 <= len(sets) <= len(STYLES):
        raise ValueError(f"sets: got {len(sets)}, expected 1 to {len(STYLES)}")
    directions = {}
    for name, poses in sets.items():
        directions[name] = view_directions(checked_poses(name, poses, skeleton, 3), skeleton)
        if not len(directions[name]):
            raise ValueError(f"{name}: got no pose with a torso, expected some")
    figure = new_figure(max(2.9 * len(sets), 6.4) + 0.7, 4.5)
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.0, 0.95))
    upper, lower = halves
    maps = upper.subplots(1, len(sets), sharey=True, squeeze=False)[0]
    shares = [
        100 * np.histogramdd(seen[:, :2], (_AZIMUTHS, _ELEVATIONS))[0] / len(seen)
        for seen in directions.values()
    ]
    most = max(float(share.max()) for share in shares)
    for axis, name, share in zip(maps, sets, shares, strict=True):
        drawn = axis.pcolormesh(
            _AZIMUTHS,
            _ELEVATIONS,
            np.ma.masked_equal(share.T, 0),
            cmap="viridis_r",
            vmin=0,
            vmax=most,
        )
        axis.set_xlabel("azimuth (°)", fontsize=NOTE_SIZE, color=FAINT_INK)
        axis.set_xticks([-180, -90, 0, 90, 180])
        axis.set_yticks([-90, -45, 0, 45, 90])
        axis.set_facecolor("#F7F7F7")
        plain(axis)
        title(axis, name)
    maps[0].set_ylabel("elevation (°)", fontsize=NOTE_SIZE, color=FAINT_INK)
    bar = upper.colorbar(drawn, ax=list(maps), shrink=0.9, pad=0.01)
    bar.set_label("share (%)", fontsize=NOTE_SIZE, color=FAINT_INK)
    bar.ax.tick_params(labelsize=NOTE_SIZE - 0.5, colors=FAINT_INK)
    bar.outline.set_visible(False)
    azimuth, elevation, roll = lower.subplots(1, 3, squeeze=False)[0]
    _outlines(azimuth, directions, 0, _AZIMUTHS, "azimuth (°): 0 front, 90 left")
    _outlines(elevation, directions, 1, _ELEVATIONS, "elevation (°): 90 above the torso")
    _outlines(roll, directions, 2, _AZIMUTHS, "roll (°): 90 leaning to the right")
    azimuth.set_ylabel("share (%)", fontsize=NOTE_SIZE, color=FAINT_INK)
    handles = [
        Line2D([], [], color=colour, linestyle=dashes, linewidth=1.7, label=name)
        for name, (colour, dashes) in zip(sets, STYLES, strict=False)
    ]
    legend_below(figure, handles)
    return figure


def _outlines(
    axis: Axes, directions: Mapping[str, Array], column: int, edges: Array, label: str
) -> None:
    for seen, (colour, dashes) in zip(directions.values(), STYLES, strict=False):
        share = 100 * np.histogram(seen[:, column], edges)[0] / len(seen)
        axis.stairs(share, edges, color=colour, linestyle=dashes, linewidth=1.7)
    axis.set_xlim(edges[0], edges[-1])
    axis.set_ylim(bottom=0)
    axis.set_xticks(np.linspace(edges[0], edges[-1], 5))
    axis.set_xlabel(label, fontsize=LABEL_SIZE, color=INK)
    plain(axis)
