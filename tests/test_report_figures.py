"""The figures of a run's report that depend on its methods."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from tests.commands import run

SMALL = ("--width", 8, "--pretrain.steps", 4, "--pretrain.batch", 8, "--adapt.steps", 4,
         "--adapt.batch", 8, "--adapt.warmup", 2, "--jobs", 1)  # fmt: skip


def test_generated_motions_viewpoints_and_cameras_enter_the_report(
    domains: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Figure] = {}
    monkeypatch.setattr(
        "poseda.report.save_figure", lambda figure, path: drawn.update({path.stem: figure})
    )
    data = ("--source", domains[0], "--target", domains[1])
    run("adapt", *data, "--method", "adaptpose", "--no-control", *SMALL, "--out", tmp_path / "out")
    report = (tmp_path / "out" / "report.md").read_text()
    for name in ("cameras", "viewpoints", "motions-adaptpose"):
        assert f"](figures/{name}.png)" in report
    cameras = [label.get_text() for label in drawn["cameras"].axes[0].get_xticklabels()]
    assert cameras == ["all", "ceiling", "chest", "knee"]
    maps = [axis.get_title() for axis in drawn["viewpoints"].axes[:3]]
    assert maps == ["source", "pairs of AdaptPose", "target, as predicted"]
    assert len(drawn["motions-adaptpose"].axes) == 2 * 6  # single poses
