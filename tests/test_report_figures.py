"""What of a run's report depends on its methods."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from poseda.report import describe_pairs
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
    methods = ("--methods", "gpa", "adaptpose", "--seeds", 0)
    run("compare", *data, *methods, *SMALL, "--out", tmp_path / "out")
    report = (tmp_path / "out" / "report.md").read_text()
    for name in ("cameras", "viewpoints", "viewpoints-adaptpose", "motions-adaptpose"):
        assert f"](figures/{name}.png)" in report
    cameras = [label.get_text() for label in drawn["cameras"].axes[0].get_xticklabels()]
    assert cameras == ["all", "ceiling", "chest", "knee"]
    for name, pairs in (("", "+ GPA"), ("-adaptpose", "AdaptPose")):
        maps = [axis.get_title() for axis in drawn[f"viewpoints{name}"].axes[:3]]
        assert maps == ["source", f"pairs of {pairs}", "target, as predicted"]
    assert len(drawn["motions-adaptpose"].axes) == 2 * 6  # single poses
    assert "stages" not in drawn  # those of PoseDA's generator
    (note,) = [line for line in report.splitlines() if line.startswith("- AdaptPose, seed 0")]
    assert "; seed 0. Control" in report  # of which there is no deviation
    assert "of the generated pairs in sight and selected" in note and "times as hard" in note


@pytest.mark.usefixtures("no_figures")
def test_each_method_says_what_became_of_its_pairs(
    domains: tuple[Path, Path], tmp_path: Path
) -> None:
    methods = ("control", "gpa", "poseaug", "random-both", "aligned", "oracle")
    run("compare", "--source", domains[0], "--target", domains[1], "--methods", *methods,
        "--seeds", 0, *SMALL, "--out", tmp_path / "out")  # fmt: skip
    report = (tmp_path / "out" / "report.md").read_text()
    notes = {
        line[2:].partition(", seed")[0]: line for line in report.splitlines() if ", seed 0:" in line
    }
    assert list(notes) == ["+ GPA", "PoseAug", "+ GPA, both random", "aligned"]
    assert all("% of the augmented pairs in sight" in note for note in notes.values())
    assert "mean rotation" in notes["PoseAug"] and "off the source's" in notes["aligned"]


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("poseda", "**the others were left out: check the target's cameras**"),
        ("lpa", "check the source's cameras"),
        ("adaptpose", "selection-centre"),
        ("poseaug", "--adapt.gan-lr"),
        ("mine:Method", "20 % of the made pairs kept"),
    ],
)
def test_few_kept_pairs_are_warned_of(method: str, said: str) -> None:
    assert said in ", ".join(describe_pairs(method, {"kept": 0.2, "rotation_deg": 7.0}))


def test_a_target_that_is_not_foreign_is_told() -> None:
    said = {share: describe_pairs("aligned", {"kept": 1.0, "foreign": share}) for share in (0, 0.5)}
    assert "knows the target" in said[0][1]
    assert said[0.5][1:] == ["the target 50.0% foreign to the lifter"]


def test_scalars_of_a_method_of_the_users_own_are_not_explained() -> None:
    assert describe_pairs("mine:Method", {"kept": 1.0, "rotation_deg": 7.0}) == [
        "100 % of the made pairs kept"
    ]
