"""Source motions and what a generator makes of them (AdaptPose, Fig. 5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from poseda.figures.bodies import View, draw_3d, side_legend
from poseda.figures.checks import MAX_ROWS, checked_poses, rooted
from poseda.figures.style import INK, LABEL_SIZE, Array, new_figure, title
from poseda_ext.skeleton import Skeleton

MAX_SHOWN = 7  #: frames of a motion in one figure


def motions(
    source: Tensor,
    generated: Tensor,
    skeleton: Skeleton,
    *,
    names: tuple[str, str] = ("source", "generated"),
    fps: float = 0.0,
) -> Figure:
    """Motions over time, each with the one that was made of it below, in the same view.

    Args:
        source: (N, T, J, 3) metres, camera frame; of T > 1, some frames at equal distances are
            drawn, each relative to its joint 0.
        generated: (N, T, J, 3) likewise.
        skeleton: J joints.
        names: of the two rows.
        fps: frames per second, for times above the columns; 0 numbers frames.

    Returns:
        The figure: 2 N rows of frames; single poses (T = 1) stand side by side in two rows.

    Raises:
        ValueError: if there are no motions, more than `MAX_ROWS`, or a shape or coordinate is not
            valid.
    """
    pair = [
        _checked(label, poses, skeleton)
        for label, poses in (("source", source), ("generated", generated))
    ]
    if pair[0].shape != pair[1].shape:
        raise ValueError(
            f"generated: got shape {pair[1].shape}, expected {pair[0].shape} as of the source"
        )
    samples, frames = pair[0].shape[:2]
    if samples > MAX_ROWS:
        raise ValueError(f"got {samples} motions, expected at most {MAX_ROWS} in one figure")
    shown = np.unique(np.linspace(0, frames - 1, min(frames, MAX_SHOWN)).round()).astype(int)
    still = frames == 1
    rows, columns = (2, samples) if still else (2 * samples, len(shown))
    figure = new_figure(1.35 * columns + 0.5, 1.45 * rows + 0.45)
    axes = figure.subplots(rows, columns, squeeze=False)
    for sample in range(samples):
        view = View.around([part[sample, frame] for part in pair for frame in shown])
        for which, part in enumerate(pair):
            for place, frame in enumerate(shown):
                at = (which, sample) if still else (2 * sample + which, place)
                draw_3d(axes[at], part[sample, frame], skeleton, view)
                if at[1] == 0:
                    axes[at].set_ylabel(names[which], fontsize=LABEL_SIZE, color=INK)
    for column, text in enumerate(_heads(samples, shown, fps, still=still)):
        title(axes[0, column], text)
    side_legend(figure, skeleton)
    return figure


def _heads(samples: int, shown: Sequence[int] | Array, fps: float, *, still: bool) -> list[str]:
    if still:
        return [f"sample {sample}" for sample in range(1, samples + 1)]
    return [f"{frame / fps:.2f} s" if fps > 0 else f"frame {frame}" for frame in shown]


def _checked(label: str, poses: Tensor, skeleton: Skeleton) -> Array:
    """(N, T, J, 3) root-relative."""
    if poses.dim() != 4:
        joints = skeleton.num_joints
        raise ValueError(f"{label}: got shape {tuple(poses.shape)}, expected (N, T, {joints}, 3)")
    flat = checked_poses(label, poses.flatten(0, 1), skeleton, 3)
    return rooted(flat).reshape(*poses.shape)
