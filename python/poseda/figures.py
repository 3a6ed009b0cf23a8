"""Figures of the paper and of a run, drawn from data that is already there.

Every function returns a `matplotlib.figure.Figure` of its own: pyplot and its global state are
not touched, so there is nothing to close and nothing needs a display. `save_figure` writes one.

3D poses are drawn root-relative by parallel projection from a point beside and above the camera,
with a floor of half-metre squares below and the body's shadow on it; the camera frame's y axis
(down) points down on the page. Colours are those of Okabe and Ito, told apart with every kind of
colour vision: blue is the person's left, orange the right.
"""

from __future__ import annotations

import io
import math
import numbers
import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from poseda.files import atomic_write
from poseda.metrics import mpjpe
from poseda_ext.skeleton import Skeleton

Array = NDArray[np.float64]

LEFT, RIGHT, CENTRE = "#0072B2", "#D55E00", "#3A3A3A"
SOURCE, ALIGNED, TARGET = "#56B4E9", "#009E73", "#E69F00"
GHOST, SHADOW, GRID, FRAME = "#B0B0B0", "#D9D9D9", "#EBEBEB", "#C4C4C4"
INK, FAINT_INK = "#222222", "#6E6E6E"

MAX_ROWS = 8  #: samples in one figure
MAX_FRAMES = 6  #: frames that `lifted` shows
DPI = 150

_TITLE, _LABEL, _NOTE = 10.0, 9.0, 8.0  # font sizes, points
_LABEL_WIDTH = 26  # characters
_AZIMUTH, _ELEVATION = math.radians(40), math.radians(14)
_FLOOR_STEP = 0.5  # metres
_EDGE_GAP = 0.2  # of a bone's length
_SMOOTH_FROM = 60  # curves with as many points also get a running mean

_CURVES = {
    "lifter_loss": "lifter loss",
    "critic_loss": "critic loss",
    "critic_gap": "critic gap",
    "generator_loss": "generator loss",
    "bone_angle_deg": "bone angle (°)",
    "bone_ratio": "bone length ratio",
    "rotation_deg": "rotation (°)",
    "mpjpe": "MPJPE (mm)",
    "pa_mpjpe": "PA-MPJPE (mm)",
    "n_mpjpe": "N-MPJPE (mm)",
    "pck": "PCK (%)",
    "auc": "AUC (%)",
}
_NOT_CURVES = {"step", "epoch", "time", "poses"}


@dataclass(frozen=True, eq=False)
class Stage:
    """One column of `transformation_stages`.

    Attributes:
        name: the column's title.
        pose3d: (K, J, 3) metres, camera frame; only positions relative to joint 0 are drawn.
            None leaves the place empty.
        pose2d: (K, J, 2) screen-normalised, or None.
    """

    name: str
    pose3d: Tensor | None = None
    pose2d: Tensor | None = None


def transformation_stages(
    stages: Sequence[Stage], skeleton: Skeleton, *, aspect: float = 1.0
) -> Figure:
    """What each transformation does to a source pose (PoseDA, Fig. 3).

    A column for each stage: source, bone angle, bone length, rotation, translation (GPA), target.
    Each sample has two rows: the root-relative 3D pose, and its projection in the image frame
    with its 2D box.

    Args:
        stages: the columns, each with the same K samples.
        skeleton: J joints.
        aspect: image height by width; the frame is drawn from -1 to 1 and -aspect to aspect.

    Returns:
        The figure: 2 K rows of axes, one column per stage.

    Raises:
        ValueError: if there are no stages or samples, more than `MAX_ROWS` samples, or a shape or
            coordinate is not valid.
    """
    if not stages:
        raise ValueError("stages: got none, expected at least one")
    if not aspect > 0:
        raise ValueError(f"aspect: got {aspect}, expected a positive number")
    poses3d = [_optional(f"stages[{s.name!r}].pose3d", s.pose3d, skeleton, 3) for s in stages]
    poses2d = [_optional(f"stages[{s.name!r}].pose2d", s.pose2d, skeleton, 2) for s in stages]
    samples = _samples(
        {
            f"stages[{stage.name!r}].{kind}": poses
            for stage, pair in zip(stages, zip(poses3d, poses2d, strict=True), strict=True)
            for kind, poses in zip(("pose3d", "pose2d"), pair, strict=True)
        }
    )
    poses3d = [None if poses is None else _rooted(poses) for poses in poses3d]

    figure = _figure(1.75 * len(stages) + 0.2, samples * (1.85 + 1.6 * min(aspect, 1.5)) + 0.3)
    axes = figure.subplots(
        2 * samples,
        len(stages),
        squeeze=False,
        gridspec_kw={"height_ratios": [1.85, 1.6 * min(aspect, 1.5)] * samples},
    )
    for sample in range(samples):
        upper, lower = axes[2 * sample], axes[2 * sample + 1]
        view = _View.around([poses[sample] for poses in poses3d if poses is not None])
        for column, stage in enumerate(stages):
            pose3d, pose2d = poses3d[column], poses2d[column]
            if pose3d is None:
                _empty(upper[column], "no 3D" if pose2d is not None else "")
                _limits(upper[column], view.limits)
            else:
                _draw_3d(upper[column], pose3d[sample], skeleton, view)
            if pose2d is None:
                _empty(lower[column])
            else:
                _draw_in_frame(lower[column], pose2d[sample], skeleton, aspect)
            if sample == 0:
                _title(upper[column], stage.name)
    _side_legend(figure, skeleton)
    return figure


def predictions(
    pose2d: Tensor,
    truth: Tensor | None,
    before: Tensor,
    after: Tensor,
    skeleton: Skeleton,
    labels: Sequence[str] | None = None,
    *,
    names: tuple[str, str] = ("source only", "adapted"),
) -> Figure:
    """Predictions before and after adaptation (PoseDA, Fig. 4), with the MPJPE of each.

    The truth lies in grey under each prediction.

    Args:
        pose2d: (K, J, 2) the input, y down, in any unit.
        truth: (K, J, 3) metres, camera frame; None leaves out its column and the errors.
        before: (K, J, 3) metres, the prediction of the model trained on the source.
        after: (K, J, 3) metres, that of the adapted model.
        skeleton: J joints.
        labels: K texts, one beside each row.
        names: titles of the two columns of predictions.

    Returns:
        The figure: K rows, four columns (three without truth).

    Raises:
        ValueError: if there are no samples, more than `MAX_ROWS`, or a shape, coordinate or the
            number of labels is not valid.
    """
    inputs = _poses("pose2d", pose2d, skeleton, 2)
    true = _optional("truth", truth, skeleton, 3)
    guesses = [_poses("before", before, skeleton, 3), _poses("after", after, skeleton, 3)]
    samples = _samples({"pose2d": inputs, "truth": true, "before": guesses[0], "after": guesses[1]})
    if labels is not None and len(labels) != samples:
        raise ValueError(f"labels: got {len(labels)}, expected one per sample ({samples})")
    errors: list[list[float]] = []
    if true is not None:
        errors = [
            mpjpe(torch.from_numpy(guess), torch.from_numpy(true)).tolist() for guess in guesses
        ]
        true = _rooted(true)
    guesses = [_rooted(guess) for guess in guesses]

    first = 1 if true is None else 2
    figure = _figure(2.15 * (first + 2) + 0.3, 2.2 * samples + 0.35)
    axes = figure.subplots(samples, first + 2, squeeze=False)
    for sample in range(samples):
        row = axes[sample]
        drawn = [guess[sample] for guess in guesses]
        if true is not None:
            drawn.append(true[sample])
        view = _View.around(drawn)
        _draw_cropped(row[0], inputs[sample], skeleton)
        if labels is not None:
            label = textwrap.fill(labels[sample], _LABEL_WIDTH)
            row[0].set_ylabel(label, fontsize=_LABEL, color=INK, parse_math=False)
        if true is not None:
            _draw_3d(row[1], true[sample], skeleton, view)
        for column, guess in enumerate(guesses):
            axis = row[first + column]
            ghost = None if true is None else true[sample]
            _draw_3d(axis, guess[sample], skeleton, view, ghost=ghost)
            head = names[column] if sample == 0 else ""
            if errors:
                head += f"\n{errors[column][sample]:.0f} mm"
            _title(axis, head.strip("\n"))
        if sample == 0:
            _title(row[0], "2D input")
            if true is not None:
                _title(row[1], "ground truth")
    _side_legend(figure, skeleton)
    return figure


def distributions(source: Tensor, aligned: Tensor, target: Tensor) -> Figure:
    """2D scale and root position before and after GPA, and in the target (PoseDA, Fig. B).

    Each row has one scale and one set of bins; the target's outline and its median (dashed) are
    repeated in the other columns. The farthest 0.1 % on either side may lie outside the axes.

    Args:
        source: (N, J, 2) screen-normalised poses of the source.
        aligned: (M, J, 2) the same after GPA.
        target: (L, J, 2) of the target.

    Returns:
        The figure: rows box size (width plus height), root x, root y; columns source, source
        after GPA, target.

    Raises:
        ValueError: if a shape or coordinate is not valid, or there are no poses.
    """
    columns = {"source": source, "source after GPA": aligned, "target": target}
    features = [
        _box_and_root(_poses(name, poses, None, 2))
        for name, poses in zip(("source", "aligned", "target"), columns.values(), strict=True)
    ]
    figure = _figure(8.0, 5.6)
    axes = figure.subplots(3, 3, sharex="row", sharey="row", squeeze=False)
    rows = ("box width + height", "root x", "root y")
    for row, label in enumerate(rows):
        everything = np.concatenate([feature[row] for feature in features])
        low, high = np.quantile(everything, (0.001, 0.999))
        if high - low < 1e-6:
            low, high = low - 0.05, high + 0.05
        bins = np.linspace(low, high, 49)
        shares = [
            100 * np.histogram(feature[row], bins)[0] / len(feature[row]) for feature in features
        ]
        target_median = float(np.median(features[2][row]))
        for column, (name, colour) in enumerate(
            zip(columns, (SOURCE, ALIGNED, TARGET), strict=True)
        ):
            axis = axes[row, column]
            median = float(np.median(features[column][row]))
            axis.stairs(shares[column], bins, fill=True, color=colour, alpha=0.75)
            if column != 2:
                axis.stairs(shares[2], bins, color=TARGET, linewidth=1.1)
                axis.axvline(target_median, color=TARGET, linewidth=1.1, linestyle=(0, (4, 3)))
            axis.axvline(median, color=INK, linewidth=1.1)
            axis.text(
                0.97,
                0.93,
                f"median {round(median, 2) + 0.0:.2f}",
                transform=axis.transAxes,
                ha="right",
                va="top",
                fontsize=_NOTE,
                color=INK,
            )
            _plain(axis)
            if column == 0:
                axis.set_ylabel("share (%)", fontsize=_NOTE, color=FAINT_INK)
            axis.set_xlabel(label, fontsize=_LABEL, color=INK)
            if row == 0:
                _title(axis, name)
        axes[row, 0].set_xlim(bins[0], bins[-1])
        axes[row, 0].set_ylim(0, 1.18 * max(float(share.max()) for share in shares) or 1.0)
    handles = [
        LineCollection([], colors=TARGET, linewidths=1.1, label="target"),
        LineCollection(
            [], colors=TARGET, linewidths=1.1, linestyles=[(0, (4, 3))], label="target's median"
        ),
        LineCollection([], colors=INK, linewidths=1.1, label="median"),
    ]
    _legend(figure, handles)
    return figure


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
        step = _number(record.get("step"))
        for key, value in record.items():
            number = _number(value)
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
    figure = _figure(3.1 * columns, 2.1 * rows + 0.2)
    axes = figure.subplots(rows, columns, sharex=True, squeeze=False)
    low = min(min(steps) for steps, _ in curves.values())
    high = max(max(steps) for steps, _ in curves.values())
    for place, axis in enumerate(axes.flat):
        if place >= len(order):
            axis.set_axis_off()
            continue
        name = order[place]
        parts = panels[name]
        for part, colour in zip(parts, _colours(parts), strict=True):
            label = part.partition("/")[2] or "all"
            _draw_curve(axis, *curves[part], colour, label)
        if len(parts) > 1:
            axis.legend(fontsize=_NOTE - 1, frameon=False, handlelength=1.2, labelspacing=0.2)
        _plain(axis)
        axis.grid(axis="y", color=GRID, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.yaxis.set_major_locator(MaxNLocator(4))
        axis.yaxis.get_offset_text().set(fontsize=_NOTE - 1.5, color=FAINT_INK)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        if high > low:
            axis.set_xlim(low, high)
        _title(axis, _CURVES.get(name, name.replace("_", " ")))
        if place + columns >= len(order):
            axis.set_xlabel("step", fontsize=_NOTE, color=FAINT_INK)
            axis.tick_params(labelbottom=True)
    return figure


def lifted(
    pose2d: Tensor,
    pose3d: Tensor,
    skeleton: Skeleton,
    *,
    labels: Sequence[str] | None = None,
    seen: Tensor | None = None,
) -> Figure:
    """Lifted poses: the 2D input beside a front and a side view, for up to `MAX_FRAMES` frames.

    Args:
        pose2d: (T, J, 2) the input, y down, in any unit.
        pose3d: (T, J, 3) metres, camera frame.
        skeleton: J joints.
        labels: T texts, one beside each frame; its number if None.
        seen: (T, J) which joints were seen; the others are marked. All were if None.

    Returns:
        The figure: three axes a frame; of more frames, some at equal distances.

    Raises:
        ValueError: if there are no frames, or a shape, a coordinate or the number of labels is not
            valid.
    """
    inputs, poses = _poses("pose2d", pose2d, skeleton, 2), _poses("pose3d", pose3d, skeleton, 3)
    if len(inputs) != len(poses):
        raise ValueError(f"pose3d: got {len(poses)} frames, expected as many as 2D, {len(inputs)}")
    if labels is not None and len(labels) != len(poses):
        raise ValueError(f"labels: got {len(labels)}, expected one per frame ({len(poses)})")
    hidden = np.zeros(poses.shape[:2], dtype=bool)
    if seen is not None:
        if tuple(seen.shape) != hidden.shape:
            raise ValueError(f"seen: got shape {tuple(seen.shape)}, expected {hidden.shape}")
        hidden = ~seen.detach().cpu().bool().numpy()
    shown = np.unique(np.linspace(0, len(poses) - 1, min(len(poses), MAX_FRAMES)).round())
    frames = [int(frame) for frame in shown]
    poses = _rooted(poses)
    # All views with one scale: the largest body fills its square.
    drawn = poses[frames]
    middle = (drawn.max(1) + drawn.min(1)) / 2  # (K, 3)
    half = 0.54 * max(float((drawn.max(1) - drawn.min(1)).max()), 1e-3)

    wide = min(2, len(frames))
    rows = math.ceil(len(frames) / wide)
    figure = _figure(5.6 * wide, 1.88 * rows + 0.45)
    axes = figure.subplots(rows, 3 * wide, squeeze=False)
    for axis in axes.flat[3 * len(frames) :]:
        axis.set_axis_off()
    for place, frame in enumerate(frames):
        row, first = divmod(place, wide)
        flat, front, side = axes[row, 3 * first : 3 * first + 3]
        _draw_cropped(flat, inputs[frame], skeleton)
        _mark(flat, inputs[frame], hidden[frame], skeleton)
        if labels is not None or len(inputs) > 1:
            label = f"frame {frame}" if labels is None else labels[frame]
            label = textwrap.fill(label, _LABEL_WIDTH)
            flat.set_ylabel(label, fontsize=_NOTE, color=FAINT_INK, parse_math=False)
        for axis, across in ((front, 0), (side, 2)):
            points = poses[frame][:, [across, 1]] * (1, -1)
            centre = middle[place, [across, 1]] * (1, -1)
            # From the side the eye looks along -x.
            depth = poses[frame][:, 2] if across == 0 else -poses[frame][:, 0]
            _metre_grid(axis, centre, half)
            _sticks(axis, points, depth, skeleton)
            _mark(axis, points, hidden[frame], skeleton)
            _limits(
                axis,
                (centre[0] - half, centre[0] + half, centre[1] - half, centre[1] + half),
            )
            _bare(axis)
        if row == 0:
            _title(flat, "2D input")
            _title(front, "front")
            _title(side, "side (camera at left)")
    _side_legend(figure, skeleton, marked=bool(hidden[frames].any()))
    return figure


def save_figure(figure: Figure, path: str | os.PathLike[str], *, dpi: int = DPI) -> None:
    """Writes a figure as a PNG file, which appears whole or not at all.

    Args:
        figure: any figure.
        path: ends in ``.png``; the folder must exist.
        dpi: pixels per inch.

    Raises:
        ValueError: if the path does not end in ``.png``.
        OSError: if the file cannot be written.
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"path: got {os.fspath(path)!r}, expected a name that ends in .png")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


# Checks and small computations


def _poses(label: str, poses: Tensor, skeleton: Skeleton | None, dims: int) -> Array:
    """(K, J, dims) as float64 numpy, or a ValueError that names the argument."""
    joints = "J" if skeleton is None else str(skeleton.num_joints)
    shape = tuple(poses.shape)
    expected = f"expected (K, {joints}, {dims})"
    if len(shape) != 3 or shape[2] != dims or shape[1] == 0:
        raise ValueError(f"{label}: got shape {shape}, {expected}")
    if skeleton is not None and shape[1] != skeleton.num_joints:
        raise ValueError(f"{label}: got shape {shape}, {expected}")
    if shape[0] == 0:
        raise ValueError(f"{label}: got no poses, {expected} with K at least 1")
    array: Array = torch.as_tensor(poses).detach().cpu().double().numpy()
    bad = int((~np.isfinite(array)).any((1, 2)).sum())
    if bad:
        raise ValueError(f"{label}: got NaN or infinity in {bad} of {shape[0]} poses")
    return array


def _optional(label: str, poses: Tensor | None, skeleton: Skeleton, dims: int) -> Array | None:
    return None if poses is None else _poses(label, poses, skeleton, dims)


def _samples(poses: Mapping[str, Array | None]) -> int:
    """The common number of samples."""
    counts = {label: len(array) for label, array in poses.items() if array is not None}
    if not counts:
        raise ValueError("stages: got no poses, expected pose3d or pose2d in at least one")
    samples = next(iter(counts.values()))
    for label, count in counts.items():
        if count != samples:
            raise ValueError(f"{label}: got {count} samples, expected {samples} as in the others")
    if samples > MAX_ROWS:
        raise ValueError(f"got {samples} samples, expected at most {MAX_ROWS} in one figure")
    return samples


def _rooted(poses: Array) -> Array:
    return poses - poses[:, :1]


def _box_and_root(poses: Array) -> tuple[Array, Array, Array]:
    """(N,) each: width plus height of the 2D box, root x, root y."""
    size = (poses.max(1) - poses.min(1)).sum(-1)
    return size, poses[:, 0, 0], poses[:, 0, 1]


def _number(value: Any) -> float | None:
    """A finite number as float; anything else, flags too, as None."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _colours(parts: Sequence[str]) -> list[str]:
    """One for each curve of a panel: dark for the whole, colours for the parts."""
    palette = (LEFT, RIGHT, ALIGNED, TARGET, "#CC79A7", SOURCE)
    if len(parts) == 1:
        return [LEFT]
    first = 0 if "/" in parts[0] else 1
    return [INK] * first + [palette[i % len(palette)] for i in range(len(parts) - first)]


# Drawing


def _figure(width: float, height: float) -> Figure:
    figure = Figure(
        figsize=(width, height),
        layout=ConstrainedLayoutEngine(h_pad=0.05, w_pad=0.05),
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    return figure


def _title(axis: Axes, text: str) -> None:
    axis.set_title(text, fontsize=_TITLE, color=INK, parse_math=False, pad=4)


def _limits(axis: Axes, limits: tuple[float, float, float, float]) -> None:
    axis.set_xlim(limits[0], limits[1])
    axis.set_ylim(limits[2], limits[3])
    axis.set_aspect("equal")


def _bare(axis: Axes) -> None:
    """No ticks and no frame, but room for a label."""
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)


def _plain(axis: Axes) -> None:
    """Two quiet spines with small ticks."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(FRAME)
    axis.tick_params(labelsize=_NOTE - 0.5, colors=FAINT_INK, length=3, color=FRAME)


def _empty(axis: Axes, text: str = "") -> None:
    _bare(axis)
    axis.text(
        0.5,
        0.5,
        text,
        transform=axis.transAxes,
        ha="center",
        va="center",
        fontsize=_NOTE,
        color=FAINT_INK,
    )


def _bone_colours(skeleton: Skeleton) -> list[str]:
    """A colour for each joint but the root, that of the bone that ends in it."""
    sides = dict.fromkeys(skeleton.left, LEFT) | dict.fromkeys(skeleton.right, RIGHT)
    return [sides.get(joint, CENTRE) for joint in range(1, skeleton.num_joints)]


def _sticks(
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


def _mark(axis: Axes, points: Array, hidden: NDArray[np.bool_], skeleton: Skeleton) -> None:
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
class _View:
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
    def around(cls, poses: Sequence[Array]) -> _View:
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


def _draw_3d(
    axis: Axes, pose: Array, skeleton: Skeleton, view: _View, *, ghost: Array | None = None
) -> None:
    axis.add_collection(
        LineCollection(view.grid(), colors=GRID, linewidths=0.8, zorder=1), autolim=False
    )
    points, depth = view.page(pose)
    _sticks(axis, view.shadow(pose), depth, skeleton, width=1.8, colour=SHADOW, zorder=2)
    if ghost is not None:
        _sticks(axis, *view.page(ghost), skeleton, width=1.6, colour=GHOST, zorder=2.5)
    _sticks(axis, points, depth, skeleton)
    _limits(axis, view.limits)
    _bare(axis)


def _draw_in_frame(axis: Axes, pose: Array, skeleton: Skeleton, aspect: float) -> None:
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
    _sticks(axis, pose, np.zeros(len(pose)), skeleton, width=1.5)
    axis.text(
        -0.94,
        -0.94 * aspect,
        f"w+h {float((high - low).sum()):.2f}",
        fontsize=_NOTE - 1,
        color=FAINT_INK,
        ha="left",
        va="top",
    )
    _limits(axis, (-1.02, 1.02, 1.02 * aspect, -1.02 * aspect))
    _bare(axis)


def _draw_cropped(axis: Axes, pose: Array, skeleton: Skeleton) -> None:
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
    _sticks(axis, pose, np.zeros(len(pose)), skeleton)
    half *= 1.01
    _limits(axis, (centre[0] - half, centre[0] + half, centre[1] + half, centre[1] - half))
    _bare(axis)


def _metre_grid(axis: Axes, centre: Array, half: float) -> None:
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


def _side_legend(figure: Figure, skeleton: Skeleton, *, marked: bool = False) -> None:
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
        _legend(figure, handles)


def _legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """One line of text below the axes."""
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=len(handles),
        fontsize=_NOTE,
        frameon=False,
        labelcolor=FAINT_INK,
        handlelength=1.4,
        borderpad=0,
    )
