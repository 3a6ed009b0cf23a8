"""Poses on a page.

3D poses are drawn root-relative by parallel projection from a point beside and above the camera,
with a floor of half-metre squares below and the body's shadow on it; the camera frame's y axis
(down) points down on the page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from poseda.figures.style import (
    CENTRE,
    FAINT_INK,
    FRAME,
    GHOST,
    GRID,
    LEFT,
    NOTE_SIZE,
    RIGHT,
    SHADOW,
    Array,
    bare,
    legend_below,
    set_limits,
)
from poseda_ext.skeleton import Skeleton

_AZIMUTH, _ELEVATION = math.radians(40), math.radians(14)

_FLOOR_STEP = 0.5  # metres
_EDGE_GAP = 0.2  # of a bone's length


def _bone_colours(skeleton: Skeleton) -> list[str]:
    """A colour for each joint but the root, that of the bone that ends in it."""
    sides = dict.fromkeys(skeleton.left, LEFT) | dict.fromkeys(skeleton.right, RIGHT)
    return [sides.get(joint, CENTRE) for joint in range(1, skeleton.num_joints)]


def draw_sticks(
    axis: Axes,
    points: Array,
    depth: Array,
    skeleton: Skeleton,
    *,
    width: float = 2.2,
    colour: str | None = None,
    zorder: float = 3,
) -> None:
    """Bones over page points (J, 2), the near over the far, with a white edge at crossings."""
    parents = np.array(skeleton.parents[1:])
    segments = np.stack((points[parents], points[1:]), axis=1)  # (J-1, 2, 2)
    far_first = np.argsort(-(depth[parents] + depth[1:]), kind="stable")
    colours = _bone_colours(skeleton) if colour is None else [colour] * len(parents)
    if colour is None:
        lines = np.repeat(segments[far_first], 2, axis=0)
        # The white edge stops short of the joints, where the bones are to meet.
        lines[::2] += _EDGE_GAP * (lines[::2, ::-1] - lines[::2])
        shades = [shade for bone in far_first for shade in ("white", colours[bone])]
        widths = [1.7 * width, width] * len(parents)
    else:
        lines, shades, widths = segments, colours, [width] * len(parents)
    axis.add_collection(
        LineCollection(
            list(lines), colors=shades, linewidths=widths, capstyle="round", zorder=zorder
        ),
        autolim=False,
    )
    if "Head" in skeleton.names:
        head = skeleton.names.index("Head")
        axis.plot(
            *points[head],
            marker="o",
            markersize=2.3 * width,
            color=colours[head - 1],
            markeredgewidth=0,
            zorder=zorder,
        )


def mark_hidden(axis: Axes, points: Array, hidden: NDArray[np.bool_], skeleton: Skeleton) -> None:
    """Rings at the joints that were not seen."""
    edges = [CENTRE, *_bone_colours(skeleton)]
    axis.scatter(
        points[hidden, 0],
        points[hidden, 1],
        s=16,
        facecolors="white",
        edgecolors=[edges[joint] for joint in np.flatnonzero(hidden)],
        zorder=4,
    )


@dataclass(frozen=True)
class View:
    """Parallel projection of the camera frame onto the page, and what it is to show.

    `centre` (x, z) and `floor` (y) are in metres, `half` is half the side of the floor;
    `limits` are those of the page: left, right, bottom, top.
    """

    centre: tuple[float, float]
    floor: float
    half: float
    limits: tuple[float, float, float, float]

    @staticmethod
    def page(points: Array) -> tuple[Array, Array]:
        """(..., 3) to page points (..., 2) and depth (...)."""
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        across = math.cos(_AZIMUTH) * x + math.sin(_AZIMUTH) * z
        away = math.cos(_AZIMUTH) * z - math.sin(_AZIMUTH) * x
        up = math.sin(_ELEVATION) * away - math.cos(_ELEVATION) * y
        depth = math.cos(_ELEVATION) * away + math.sin(_ELEVATION) * y
        return np.stack((across, up), axis=-1), depth

    @classmethod
    def around(cls, poses: Sequence[Array]) -> View:
        """The view that holds all of these root-relative poses and their floor."""
        points = np.concatenate(poses) if poses else np.zeros((1, 3))
        low, high = points.min(0), points.max(0)
        middle = (low + high) / 2
        half = max(0.5 * float((high - low)[[0, 2]].max()) + 0.1, 0.3)
        floor = float(high[1]) + 0.03
        corners = np.array(
            [(middle[0] + i * half, floor, middle[2] + k * half) for i in (-1, 1) for k in (-1, 1)]
        )
        shown, _ = cls.page(np.concatenate((points, corners)))
        centre = (shown.min(0) + shown.max(0)) / 2
        side = 0.53 * float((shown.max(0) - shown.min(0)).max())
        limits = (centre[0] - side, centre[0] + side, centre[1] - side, centre[1] + side)
        return cls((float(middle[0]), float(middle[2])), floor, half, limits)

    def grid(self) -> list[Array]:
        """The floor's lines on the page, (2, 2) each."""
        lines: list[Array] = []
        for axis in (0, 1):
            low, high = self.centre[axis] - self.half, self.centre[axis] + self.half
            first = math.ceil(low / _FLOOR_STEP) * _FLOOR_STEP
            for at in (low, *np.arange(first, high, _FLOOR_STEP), high):
                ends = np.empty((2, 3))
                ends[:, 1] = self.floor
                ends[:, 2 * axis] = at
                ends[:, 2 - 2 * axis] = self.centre[1 - axis] + np.array((-self.half, self.half))
                lines.append(self.page(ends)[0])
        return lines

    def shadow(self, pose: Array) -> Array:
        """(J, 2) page points of the pose dropped to the floor."""
        dropped = pose.copy()
        dropped[:, 1] = self.floor
        return self.page(dropped)[0]


def draw_3d(
    axis: Axes, pose: Array, skeleton: Skeleton, view: View, *, ghost: Array | None = None
) -> None:
    axis.add_collection(
        LineCollection(view.grid(), colors=GRID, linewidths=0.8, zorder=1), autolim=False
    )
    points, depth = view.page(pose)
    draw_sticks(axis, view.shadow(pose), depth, skeleton, width=1.8, colour=SHADOW, zorder=2)
    if ghost is not None:
        draw_sticks(axis, *view.page(ghost), skeleton, width=1.6, colour=GHOST, zorder=2.5)
    draw_sticks(axis, points, depth, skeleton)
    set_limits(axis, view.limits)
    bare(axis)


def draw_in_frame(axis: Axes, pose: Array, skeleton: Skeleton, aspect: float) -> None:
    """A 2D pose at its place in the image, with its box."""
    axis.add_patch(
        Rectangle((-1, -aspect), 2, 2 * aspect, facecolor="#F7F7F7", edgecolor=FRAME, linewidth=1)
    )
    low, high = pose.min(0), pose.max(0)
    axis.add_patch(
        Rectangle(
            (low[0], low[1]),
            *(high - low),
            fill=False,
            edgecolor=FAINT_INK,
            linewidth=0.7,
            linestyle=(0, (3, 2)),
            zorder=2,
        )
    )
    draw_sticks(axis, pose, np.zeros(len(pose)), skeleton, width=1.5)
    axis.text(
        -0.94,
        -0.94 * aspect,
        f"w+h {float((high - low).sum()):.2f}",
        fontsize=NOTE_SIZE - 1,
        color=FAINT_INK,
        ha="left",
        va="top",
    )
    set_limits(axis, (-1.02, 1.02, 1.02 * aspect, -1.02 * aspect))
    bare(axis)


def draw_cropped(axis: Axes, pose: Array, skeleton: Skeleton) -> None:
    """A 2D pose that fills its square."""
    low, high = pose.min(0), pose.max(0)
    centre, half = (low + high) / 2, 0.56 * max(float((high - low).max()), 1e-9)
    axis.add_patch(
        Rectangle(
            tuple(centre - half),
            2 * half,
            2 * half,
            facecolor="#F7F7F7",
            edgecolor=FRAME,
            linewidth=1,
        )
    )
    draw_sticks(axis, pose, np.zeros(len(pose)), skeleton)
    half *= 1.01
    set_limits(axis, (centre[0] - half, centre[0] + half, centre[1] + half, centre[1] - half))
    bare(axis)


def draw_metre_grid(axis: Axes, centre: Array, half: float) -> None:
    """Half-metre lines through the root, over the square around `centre`."""
    low, high = centre - half, centre + half
    lines = [
        np.array([(at, low[1]), (at, high[1])]) for at in _multiples(float(low[0]), float(high[0]))
    ]
    lines += [
        np.array([(low[0], at), (high[0], at)]) for at in _multiples(float(low[1]), float(high[1]))
    ]
    axis.add_collection(LineCollection(lines, colors=GRID, linewidths=0.8, zorder=1), autolim=False)


def _multiples(low: float, high: float) -> Array:
    return np.arange(math.ceil(low / _FLOOR_STEP) * _FLOOR_STEP, high, _FLOOR_STEP)


def side_legend(figure: Figure, skeleton: Skeleton, *, marked: bool = False) -> None:
    """Which colour is which side of the body, and what rings are, below the figure."""
    sides = ((LEFT, "left"), (RIGHT, "right")) if skeleton.left else ()
    handles: list[Artist] = [
        LineCollection([], colors=colour, linewidths=2.2, label=label) for colour, label in sides
    ]
    if marked:
        ring = Line2D([], [], linestyle="", marker="o", markersize=4, color=CENTRE)
        ring.set(markerfacecolor="white", label="not seen in the image")
        handles.append(ring)
    if handles:
        legend_below(figure, handles)
