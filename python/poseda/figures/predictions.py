"""Predictions before and after adaptation (PoseDA, Fig. 4), and lifted poses."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from poseda.figures.bodies import (
    View,
    draw_3d,
    draw_cropped,
    draw_metre_grid,
    draw_sticks,
    mark_hidden,
    side_legend,
)
from poseda.figures.checks import checked_poses, common_samples, optional_poses, rooted
from poseda.figures.style import (
    FAINT_INK,
    INK,
    LABEL_SIZE,
    NOTE_SIZE,
    bare,
    new_figure,
    set_limits,
    title,
)
from poseda.metrics import mpjpe
from poseda_ext.skeleton import Skeleton

_LABEL_WIDTH = 26  # characters


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
    inputs = checked_poses("pose2d", pose2d, skeleton, 2)
    true = optional_poses("truth", truth, skeleton, 3)
    guesses = [
        checked_poses("before", before, skeleton, 3),
        checked_poses("after", after, skeleton, 3),
    ]
    samples = common_samples(
        {"pose2d": inputs, "truth": true, "before": guesses[0], "after": guesses[1]}
    )
    if labels is not None and len(labels) != samples:
        raise ValueError(f"labels: got {len(labels)}, expected one per sample ({samples})")
    errors: list[list[float]] = []
    if true is not None:
        errors = [
            mpjpe(torch.from_numpy(guess), torch.from_numpy(true)).tolist() for guess in guesses
        ]
        true = rooted(true)
    guesses = [rooted(guess) for guess in guesses]

    first = 1 if true is None else 2
    figure = new_figure(2.15 * (first + 2) + 0.3, 2.2 * samples + 0.35)
    axes = figure.subplots(samples, first + 2, squeeze=False)
    for sample in range(samples):
        row = axes[sample]
        drawn = [guess[sample] for guess in guesses]
        if true is not None:
            drawn.append(true[sample])
        view = View.around(drawn)
        draw_cropped(row[0], inputs[sample], skeleton)
        if labels is not None:
            label = textwrap.fill(labels[sample], _LABEL_WIDTH)
            row[0].set_ylabel(label, fontsize=LABEL_SIZE, color=INK, parse_math=False)
        if true is not None:
            draw_3d(row[1], true[sample], skeleton, view)
        for column, guess in enumerate(guesses):
            axis = row[first + column]
            ghost = None if true is None else true[sample]
            draw_3d(axis, guess[sample], skeleton, view, ghost=ghost)
            head = names[column] if sample == 0 else ""
            if errors:
                head += f"\n{errors[column][sample]:.0f} mm"
            title(axis, head.strip("\n"))
        if sample == 0:
            title(row[0], "2D input")
            if true is not None:
                title(row[1], "ground truth")
    side_legend(figure, skeleton)
    return figure


MAX_FRAMES = 6  #: frames that `lifted` shows


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
    inputs, poses = (
        checked_poses("pose2d", pose2d, skeleton, 2),
        checked_poses("pose3d", pose3d, skeleton, 3),
    )
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
    poses = rooted(poses)
    # All views with one scale: the largest body fills its square.
    drawn = poses[frames]
    middle = (drawn.max(1) + drawn.min(1)) / 2  # (K, 3)
    half = 0.54 * max(float((drawn.max(1) - drawn.min(1)).max()), 1e-3)

    wide = min(2, len(frames))
    rows = math.ceil(len(frames) / wide)
    figure = new_figure(5.6 * wide, 1.88 * rows + 0.45)
    axes = figure.subplots(rows, 3 * wide, squeeze=False)
    for axis in axes.flat[3 * len(frames) :]:
        axis.set_axis_off()
    for place, frame in enumerate(frames):
        row, first = divmod(place, wide)
        flat, front, side = axes[row, 3 * first : 3 * first + 3]
        draw_cropped(flat, inputs[frame], skeleton)
        mark_hidden(flat, inputs[frame], hidden[frame], skeleton)
        if labels is not None or len(inputs) > 1:
            label = f"frame {frame}" if labels is None else labels[frame]
            label = textwrap.fill(label, _LABEL_WIDTH)
            flat.set_ylabel(label, fontsize=NOTE_SIZE, color=FAINT_INK, parse_math=False)
        for axis, across in ((front, 0), (side, 2)):
            points = poses[frame][:, [across, 1]] * (1, -1)
            centre = middle[place, [across, 1]] * (1, -1)
            # From the side the eye looks along -x.
            depth = poses[frame][:, 2] if across == 0 else -poses[frame][:, 0]
            draw_metre_grid(axis, centre, half)
            draw_sticks(axis, points, depth, skeleton)
            mark_hidden(axis, points, hidden[frame], skeleton)
            set_limits(
                axis,
                (centre[0] - half, centre[0] + half, centre[1] - half, centre[1] + half),
            )
            bare(axis)
        if row == 0:
            title(flat, "2D input")
            title(front, "front")
            title(side, "side (camera at left)")
    side_legend(figure, skeleton, marked=bool(hidden[frames].any()))
    return figure
