"""The figures: they draw without a warning, show what they should, and refuse what they cannot."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import imread
from torch import Tensor

from poseda.figures import (
    LEFT,
    MAX_FRAMES,
    MAX_METHODS,
    MAX_ROWS,
    RIGHT,
    Stage,
    camera_errors,
    distributions,
    lifted,
    motions,
    predictions,
    save_figure,
    training_curves,
    transformation_stages,
    viewpoints,
)
from poseda.figures.viewpoints import view_directions
from poseda_ext.skeleton import H36M_16, H36M_17, Skeleton

pytestmark = pytest.mark.filterwarnings("error")


def poses3d(count: int, joints: int = 16, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shift = torch.tensor([0.0, 0.0, 4.0])
    return 0.3 * torch.randn(count, joints, 3, generator=generator) + shift


def poses2d(count: int, joints: int = 16, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.2 * torch.randn(count, joints, 2, generator=generator)


def stages(count: int) -> list[Stage]:
    names = ("source", "bone angle", "bone length", "rotation", "translation (GPA)")
    drawn = [
        Stage(name, poses3d(count, seed=i), poses2d(count, seed=i)) for i, name in enumerate(names)
    ]
    return [*drawn, Stage("target", None, poses2d(count, seed=9))]


def rendered(figure: Figure) -> list[Axes]:
    """The axes, after everything has been drawn once."""
    figure.draw_without_rendering()
    return figure.axes


def titles(axes: list[Axes]) -> list[str]:
    return [axis.get_title() for axis in axes]


def texts(axis: Axes) -> list[str]:
    return [text.get_text() for text in axis.texts]


def test_stages() -> None:
    axes = rendered(transformation_stages(stages(2), H36M_16))
    assert len(axes) == 2 * 2 * 6
    names = ["source", "bone angle", "bone length", "rotation", "translation (GPA)", "target"]
    assert titles(axes) == names + [""] * 18
    for row in (0, 2):
        views = axes[6 * row : 6 * row + 6]
        assert len({(axis.get_xlim(), axis.get_ylim()) for axis in views}) == 1
        assert texts(views[5]) == ["no 3D"]
        frames = axes[6 * row + 6 : 6 * row + 12]
        assert len({(axis.get_xlim(), axis.get_ylim()) for axis in frames}) == 1
    assert all(axis.get_aspect() == 1 for axis in axes)
    bottom, top = axes[6].get_ylim()
    assert bottom > top  # the image's y axis points down


def test_stages_write_the_box_size() -> None:
    pose = torch.zeros(1, 16, 2)
    pose[0, 3] = torch.tensor([0.3, 0.45])
    axes = rendered(transformation_stages([Stage("target", None, pose)], H36M_16, aspect=0.5625))
    assert texts(axes[1]) == ["w+h 0.75"]
    assert axes[1].get_ylim()[0] == pytest.approx(1.02 * 0.5625)


def test_the_camera_y_axis_points_down_on_the_page_and_sides_have_their_colours() -> None:
    pose = torch.zeros(1, 16, 3)
    pose[0, 9, 1] = -0.7  # head above the root
    axes = rendered(transformation_stages([Stage("pose", pose)], H36M_16))
    shadow, head = (float(np.asarray(line.get_ydata())[0]) for line in axes[0].lines)
    assert head > 0.6 > 0 > shadow
    sticks = [c for c in axes[0].collections if isinstance(c, LineCollection)][-1]
    colours = {to_rgba(tuple(c)) for c in np.asarray(sticks.get_colors())}
    assert {to_rgba(LEFT), to_rgba(RIGHT), to_rgba("white")} <= colours


@pytest.mark.parametrize("with_truth", [True, False])
def test_predictions(with_truth: bool) -> None:
    truth = poses3d(3)
    before, after = truth.clone(), truth + 2  # another root position is no error
    before[:, 1:] += torch.tensor([0.032, 0.0, 0.0])
    figure = predictions(
        poses2d(3),
        truth if with_truth else None,
        before,
        after,
        H36M_16,
        ["walk", "a $ sign _ and ^", "a long name " * 6],
        names=("control", "ours"),
    )
    axes = rendered(figure)
    if with_truth:
        head = ["2D input", "ground truth", "control\n30 mm", "ours\n0 mm"]
        assert titles(axes) == head + ["", "", "30 mm", "0 mm"] * 2
    else:
        assert titles(axes) == ["2D input", "control", "ours"] + [""] * 6
    columns = 4 if with_truth else 3
    for row in range(3):
        views = axes[columns * row + 1 : columns * (row + 1)]
        assert len({(axis.get_xlim(), axis.get_ylim()) for axis in views}) == 1
    assert axes[columns].get_ylabel() == "a $ sign _ and ^"
    assert "\n" in axes[2 * columns].get_ylabel()


def test_distributions() -> None:
    source, aligned, target = poses2d(300), 0.5 * poses2d(200) + 0.3, poses2d(100, 17, seed=2)
    axes = rendered(distributions(source, aligned, target))
    assert len(axes) == 9
    assert titles(axes)[:3] == ["source", "source after GPA", "target"]
    for row in range(3):
        views = axes[3 * row : 3 * row + 3]
        assert len({(axis.get_xlim(), axis.get_ylim()) for axis in views}) == 1
        edges = [axis.patches[0].get_data().edges for axis in views]  # type: ignore[attr-defined]
        assert all(np.array_equal(edge, edges[0]) for edge in edges)
    median = float(np.median(aligned[:, 0, 0].numpy()))
    assert texts(axes[4]) == [f"median {median:.2f}"]
    box = (source.amax(1) - source.amin(1)).sum(-1).numpy()
    assert texts(axes[0]) == [f"median {np.median(box):.2f}"]


def test_training_curves() -> None:
    records: list[dict[str, object]] = [
        {"step": 10 * k, "lifter_loss": 1 / (k + 1), "bone_angle_deg": np.float32(k), "note": "x"}
        for k in range(100)
    ]
    records[3]["lifter_loss"] = math.nan
    records[4] = {"step": 40, "flag": True, "critic_gap": None}
    records.append({"step": 1000, "mpjpe": 99.0, "mpjpe/chest": 90.0, "mpjpe/knee": 101.0})
    records.append({"zeal": 3})  # no step
    axes = rendered(training_curves(records))
    assert titles(axes) == ["lifter loss", "bone angle (°)", "MPJPE (mm)", "zeal", "", ""]
    raw, smooth = axes[0].lines
    assert len(np.asarray(raw.get_xdata())) == len(np.asarray(smooth.get_xdata())) == 98
    legend = axes[2].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["all", "chest", "knee"]


def test_smoothing_keeps_a_constant() -> None:
    axes = rendered(training_curves([{"step": k, "pck": 7.5} for k in range(500)]))
    np.testing.assert_allclose(np.asarray(axes[0].lines[1].get_ydata()), 7.5)


@pytest.mark.parametrize("frames", [1, 5, 50])
def test_lifted(frames: int) -> None:
    flat = 900 + 300 * poses2d(frames)  # any unit
    axes = rendered(lifted(flat, poses3d(frames), H36M_16))
    drawn = min(frames, MAX_FRAMES)
    used = [axis for axis in axes if axis.axison]
    assert len(used) == 3 * drawn
    assert titles(used)[:3] == ["2D input", "front", "side (camera at left)"]
    metres = [axis for index, axis in enumerate(used) if index % 3]
    widths = [np.ptp(limits) for axis in metres for limits in (axis.get_xlim(), axis.get_ylim())]
    np.testing.assert_allclose(widths, widths[0])
    if frames > 1:
        assert used[0].get_ylabel() == "frame 0"
        assert used[-3].get_ylabel() == f"frame {frames - 1}"


def test_lifted_of_several_people_with_hidden_joints() -> None:
    seen = torch.ones(20, 16, dtype=torch.bool)
    seen[0, [2, 5]] = False
    labels = [f"$anna_{row}$, frame {row}" for row in range(20)]
    figure = lifted(poses2d(20), poses3d(20), H36M_16, labels=labels, seen=seen)
    used = [axis for axis in rendered(figure) if axis.axison]
    assert used[0].get_ylabel() == "$anna_0$, frame 0"
    assert used[-3].get_ylabel() == "$anna_19$, frame 19"
    rings = [len(np.asarray(axis.collections[-1].get_offsets())) for axis in used]
    assert rings[:4] == [2, 2, 2, 0]
    assert "not seen in the image" in [text.get_text() for text in figure.legends[0].texts]
    with pytest.raises(ValueError, match=r"labels: got 1, expected one per frame \(20\)"):
        lifted(poses2d(20), poses3d(20), H36M_16, labels=["a"])
    with pytest.raises(ValueError, match=r"seen: got shape \(20,\), expected \(20, 16\)"):
        lifted(poses2d(20), poses3d(20), H36M_16, seen=seen[:, 0])


def test_motions_stand_below_their_sources_in_one_view() -> None:
    source = poses3d(2 * 27).unflatten(0, (2, 27))
    axes = rendered(motions(source, source + 5, H36M_16, fps=25))  # drawn relative to the root
    assert len(axes) == 4 * 7
    assert titles(axes)[:7] == [
        "0.00 s",
        "0.16 s",
        "0.36 s",
        "0.52 s",
        "0.68 s",
        "0.88 s",
        "1.04 s",
    ]
    names = [axis.get_ylabel() for axis in axes if axis.get_ylabel()]
    assert names == ["source", "generated"] * 2
    for sample in (0, 1):
        views = axes[14 * sample : 14 * (sample + 1)]
        assert len({(axis.get_xlim(), axis.get_ylim()) for axis in views}) == 1
        above, below = (
            [np.asarray(line.get_xydata()) for line in axis.lines] for axis in (views[3], views[10])
        )
        np.testing.assert_allclose(above, below, atol=1e-5)


def test_single_poses_stand_side_by_side() -> None:
    axes = rendered(motions(poses3d(3)[:, None], poses3d(3, seed=1)[:, None], H36M_16))
    assert titles(axes) == ["sample 1", "sample 2", "sample 3", "", "", ""]


def standing(facing_deg: float, above_deg: float = 0.0) -> Tensor:
    """(1, 16, 3) a person before a camera that looks down by some angle, turned to its own left
    from facing the camera."""
    pose = torch.zeros(1, 16, 3, dtype=torch.float64)
    at = {name: number for number, name in enumerate(H36M_16.names)}
    pose[0, at["Thorax"]] = torch.tensor([0.0, -0.5, 0.0])
    for side, sign in (("L", 1), ("R", -1)):
        # who faces the camera has the left on the picture's right
        pose[0, at[f"{side}Hip"], 0] = sign * 0.15
        pose[0, at[f"{side}Shoulder"]] = torch.tensor([sign * 0.2, -0.5, 0.0])
    turn, down = math.radians(facing_deg), math.radians(above_deg)
    y = torch.tensor(
        [[math.cos(turn), 0, -math.sin(turn)], [0, 1, 0], [math.sin(turn), 0, math.cos(turn)]],
        dtype=torch.float64,
    )
    x = torch.tensor(
        [[1, 0, 0], [0, math.cos(down), -math.sin(down)], [0, math.sin(down), math.cos(down)]],
        dtype=torch.float64,
    )
    return pose @ y.T @ x.T + torch.tensor([0.3, 0.1, 4.0])


@pytest.mark.parametrize(
    ("facing", "above", "azimuth"), [(0, 0, 0), (90, 0, -90), (-90, 20, 90), (150, -30, -150)]
)
def test_view_directions(facing: float, above: float, azimuth: float) -> None:
    """Who turns left shows the camera the right side; a camera above sees from above."""
    (seen,) = view_directions(standing(facing, above).numpy(), H36M_16)
    np.testing.assert_allclose(seen, [azimuth, above, 0], atol=1e-6)


@pytest.mark.parametrize("lean", [-120, 15, 90])
def test_roll_is_how_far_a_body_leans_in_the_picture(lean: float) -> None:
    angle = math.radians(lean)  # to the right, where x points; up is -y
    turn = torch.tensor(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]],
        dtype=torch.float64,
    )
    (seen,) = view_directions((standing(0, 0) @ turn.T).numpy(), H36M_16)
    np.testing.assert_allclose(seen, [0, 0, lean], atol=1e-6)


def test_viewpoints() -> None:
    sets = {"source": poses3d(300), "target": torch.cat([standing(90, 20)] * 7).float()}
    sets["target"][2] = 0  # without a torso
    axes = rendered(viewpoints(sets, H36M_16))
    maps, lower = axes[:2], axes[-3:]
    assert titles(maps) == ["source", "target"]
    shares = maps[1].collections[0].get_array()
    assert shares is not None and shares.max() == shares.sum() == 100
    for axis, edge in zip(lower, (-90, 20, 0), strict=True):
        patch = axis.patches[1].get_data()  # type: ignore[attr-defined]
        at = int(np.argmax(patch.values))
        assert patch.edges[at] - 1e-6 <= edge <= patch.edges[at + 1] + 1e-6


def test_camera_errors() -> None:
    before = [{"all": 100.0, "knee_$1": 120.0}, {"all": 110.0, "knee_$1": 130.0}]
    after = [{"all": 80.0, "knee_$1": 90.0, "unknown": 1.0}, {"all": 90.0, "knee_$1": 90.0}]
    figure = camera_errors({"source only": before, "ours": after})
    (axis,) = rendered(figure)
    heights = [patch.get_height() for patch in axis.patches]  # type: ignore[attr-defined]
    assert heights == [105, 125, 85, 90]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["all", "knee_$1"]
    assert axis.get_ylabel() == "MPJPE (mm)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["source only", "ours"]
    (single,) = rendered(camera_errors({"ours": after[:1]}))
    assert not single.get_title(loc="left")


def test_the_note_on_camera_errors_fits_into_the_figure() -> None:
    figure = camera_errors({"ours": [{"all": 100.0}, {"all": 110.0}]})
    rendered(figure)
    note = next(
        text
        for text in figure.axes[0].get_children()
        if "whiskers" in getattr(text, "get_text", str)()
    )
    assert note.get_window_extent().x1 < figure.bbox.x1


def test_other_skeletons() -> None:
    rendered(lifted(poses2d(2, 17), poses3d(2, 17), H36M_17))
    chain = Skeleton(names=("a", "b", "c"), parents=(-1, 0, 1))
    figure = lifted(poses2d(1, 3), poses3d(1, 3), chain)
    rendered(figure)
    assert not figure.legends  # nothing is left or right


def test_degenerate_poses_draw() -> None:
    point2d, point3d = torch.zeros(1, 16, 2), torch.zeros(1, 16, 3)
    rendered(transformation_stages([Stage("", point3d, point2d), Stage("empty")], H36M_16))
    rendered(predictions(point2d, point3d, point3d, point3d, H36M_16))
    rendered(lifted(point2d, point3d, H36M_16))
    rendered(distributions(point2d, point2d, point2d))
    rendered(training_curves([{"step": 5, "pck": 1}]))
    rendered(training_curves([{"pck": 1, "auc": 2, "mpjpe": 3, "critic_gap": 4}]))
    # Far outside of the image, and with gradients
    rendered(transformation_stages([Stage("far", None, poses2d(1) + 50)], H36M_16))
    rendered(lifted(poses2d(1).requires_grad_(), poses3d(1).double(), H36M_16))


def test_inputs_stay_as_they_were() -> None:
    flat, pose = poses2d(2).double(), poses3d(2).double()
    before = flat.clone(), pose.clone()
    rendered(predictions(flat, pose, pose, pose, H36M_16))
    rendered(lifted(flat, pose, H36M_16))
    rendered(transformation_stages([Stage("source", pose, flat)], H36M_16))
    assert flat.equal(before[0])
    assert pose.equal(before[1])


def test_save_figure(tmp_path: Path) -> None:
    figure = training_curves([{"step": k, "pck": k} for k in range(5)])
    path = tmp_path / "curves.png"
    path.write_bytes(b"old")
    save_figure(figure, path, dpi=60)
    save_figure(figure, str(path), dpi=80)
    width, height = figure.get_size_inches()
    assert imread(path).shape[:2] == (int(height * 80), int(width * 80))
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]
    with pytest.raises(ValueError, match=r"expected a name that ends in \.png"):
        save_figure(figure, tmp_path / "curves.pdf")
    with pytest.raises(OSError, match="cannot write"):
        save_figure(figure, tmp_path / "missing" / "curves.png")


def test_pyplot_is_left_alone() -> None:
    loaded = "matplotlib.pyplot" in sys.modules
    rendered(lifted(poses2d(1), poses3d(1), H36M_16))
    assert ("matplotlib.pyplot" in sys.modules) == loaded


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: transformation_stages([], H36M_16), "stages: got none"),
        (lambda: transformation_stages([Stage("a")], H36M_16), "stages: got no poses"),
        (lambda: transformation_stages(stages(1), H36M_16, aspect=0.0), "aspect: got 0.0"),
        (
            lambda: transformation_stages(
                [Stage("a", poses3d(2)), Stage("b", poses3d(3))], H36M_16
            ),
            r"stages\['b'\].pose3d: got 3 samples, expected 2",
        ),
        (
            lambda: transformation_stages(stages(MAX_ROWS + 1), H36M_16),
            f"got {MAX_ROWS + 1} samples, expected at most {MAX_ROWS}",
        ),
        (
            lambda: transformation_stages([Stage("a", poses3d(2, 17))], H36M_16),
            r"stages\['a'\].pose3d: got shape \(2, 17, 3\), expected \(K, 16, 3\)",
        ),
        (
            lambda: predictions(poses2d(2), None, poses3d(2), poses3d(1), H36M_16),
            "after: got 1 samples, expected 2",
        ),
        (
            lambda: predictions(poses2d(1), None, poses3d(1), poses3d(1), H36M_16, ["a", "b"]),
            "labels: got 2, expected one per sample",
        ),
        (
            lambda: predictions(poses3d(1), None, poses3d(1), poses3d(1), H36M_16),
            r"pose2d: got shape \(1, 16, 3\), expected \(K, 16, 2\)",
        ),
        (
            lambda: distributions(poses2d(2), poses2d(2)[0], poses2d(2)),
            r"aligned: got shape \(16, 2\), expected \(K, J, 2\)",
        ),
        (lambda: distributions(poses2d(0), poses2d(2), poses2d(2)), "source: got no poses"),
        (lambda: distributions(poses2d(2) / 0, poses2d(2), poses2d(2)), "infinity in 2 of 2"),
        (lambda: training_curves([]), "records: got no numbers"),
        (lambda: training_curves([{"step": 3, "name": "x"}]), "records: got no numbers"),
        (lambda: lifted(poses2d(2), poses3d(3), H36M_16), "pose3d: got 3 frames"),
        (lambda: lifted(poses2d(0), poses3d(0), H36M_16), "pose2d: got no poses"),
        (lambda: motions(poses3d(2), poses3d(2), H36M_16), r"expected \(N, T, 16, 3\)"),
        (
            lambda: motions(poses3d(2)[None], poses3d(3)[None], H36M_16),
            r"generated: got shape \(1, 3, 16, 3\), expected \(1, 2, 16, 3\)",
        ),
        (lambda: motions(poses3d(9)[:, None], poses3d(9)[:, None], H36M_16), "got 9 motions"),
        (lambda: viewpoints({}, H36M_16), "sets: got 0, expected 1 to 4"),
        (lambda: viewpoints({"a": 0 * poses3d(2)}, H36M_16), "a: got no pose with a torso"),
        (lambda: camera_errors({}), "errors: got 0 methods"),
        (
            lambda: camera_errors({str(k): [{"all": 1.0}] for k in range(MAX_METHODS + 1)}),
            f"got {MAX_METHODS + 1} methods",
        ),
        (lambda: camera_errors({"a": []}), "errors: got no cameras"),
        (
            lambda: camera_errors({"a": [{"x": 1.0}], "b": [{"x": math.nan}]}),
            "errors: b: x: got nan, expected a number of mm",
        ),
    ],
)
def test_bad_input(draw: Callable[[], Figure], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()
