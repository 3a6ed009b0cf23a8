"""Distributions of source, generated and target poses."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
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


def _box_and_root(poses: Array) -> tuple[Array, Array, Array]:
    """(N,) each: width plus height of the 2D box, root x, root y."""
    size = (poses.max(1) - poses.min(1)).sum(-1)
    return size, poses[:, 0, 0], poses[:, 0, 1]


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
        _box_and_root(checked_poses(name, poses, None, 2))
        for name, poses in zip(("source", "aligned", "target"), columns.values(), strict=True)
    ]
    figure = new_figure(8.0, 5.6)
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
                fontsize=NOTE_SIZE,
                color=INK,
            )
            plain(axis)
            if column == 0:
                axis.set_ylabel("share (%)", fontsize=NOTE_SIZE, color=FAINT_INK)
            axis.set_xlabel(label, fontsize=LABEL_SIZE, color=INK)
            if row == 0:
                title(axis, name)
        axes[row, 0].set_xlim(bins[0], bins[-1])
        axes[row, 0].set_ylim(0, 1.18 * max(float(share.max()) for share in shares) or 1.0)
    handles = [
        LineCollection([], colors=TARGET, linewidths=1.1, label="target"),
        LineCollection(
            [], colors=TARGET, linewidths=1.1, linestyles=[(0, (4, 3))], label="target's median"
        ),
        LineCollection([], colors=INK, linewidths=1.1, label="median"),
    ]
    legend_below(figure, handles)
    return figure
