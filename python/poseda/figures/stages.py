"""What each transformation does to a pose (PoseDA, Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from poseda.figures.bodies import View, draw_3d, draw_in_frame, side_legend
from poseda.figures.checks import common_samples, optional_poses, rooted
from poseda.figures.style import empty, new_figure, set_limits, title
from poseda_ext.skeleton import Skeleton


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
    poses3d = [optional_poses(f"stages[{s.name!r}].pose3d", s.pose3d, skeleton, 3) for s in stages]
    poses2d = [optional_poses(f"stages[{s.name!r}].pose2d", s.pose2d, skeleton, 2) for s in stages]
    samples = common_samples(
        {
            f"stages[{stage.name!r}].{kind}": poses
            for stage, pair in zip(stages, zip(poses3d, poses2d, strict=True), strict=True)
            for kind, poses in zip(("pose3d", "pose2d"), pair, strict=True)
        }
    )
    poses3d = [None if poses is None else rooted(poses) for poses in poses3d]

    figure = new_figure(1.75 * len(stages) + 0.2, samples * (1.85 + 1.6 * min(aspect, 1.5)) + 0.3)
    axes = figure.subplots(
        2 * samples,
        len(stages),
        squeeze=False,
        gridspec_kw={"height_ratios": [1.85, 1.6 * min(aspect, 1.5)] * samples},
    )
    for sample in range(samples):
        upper, lower = axes[2 * sample], axes[2 * sample + 1]
        view = View.around([poses[sample] for poses in poses3d if poses is not None])
        for column, stage in enumerate(stages):
            pose3d, pose2d = poses3d[column], poses2d[column]
            if pose3d is None:
                empty(upper[column], "no 3D" if pose2d is not None else "")
                set_limits(upper[column], view.limits)
            else:
                draw_3d(upper[column], pose3d[sample], skeleton, view)
            if pose2d is None:
                empty(lower[column])
            else:
                draw_in_frame(lower[column], pose2d[sample], skeleton, aspect)
            if sample == 0:
                title(upper[column], stage.name)
    side_legend(figure, skeleton)
    return figure
