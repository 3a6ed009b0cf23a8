"""Rows that change settings, the trainings that they share, and what a training is claimed with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from poseda.cli import main
from poseda.config import Settings
from poseda.experiment import _recipe
from poseda.plan import Plan, Variant, changed, differences, folder_name, load_plan, start_plan

TARGET_SEES = Variant("S,T", "poseda", {"adapt.poseda.critic2d": "target"})
OTHER_LIFTER = Variant("baseline, GPA", "gpa", {"lifter": "simple_baseline"})
SMALL = {
    "width": 8, "pretrain.steps": 8, "pretrain.batch": 8, "adapt.steps": 6, "adapt.batch": 8,
    "adapt.warmup": 2, "device": "cpu",
}  # fmt: skip


def plan(*rows: str | Variant, seeds: tuple[int, ...] = (0,)) -> Plan:
    return Plan(Settings(out=Path("out")), rows, seeds)


def test_changed_settings_and_what_differs() -> None:
    settings = changed(Settings(), {"adapt.poseda.critic2d": "target", "lifter": "sem_gcn"})
    assert settings.adapt.poseda.critic2d == "target" and settings.lifter == "sem_gcn"
    assert changed(Settings(), {}) == Settings()
    expected = {"adapt.poseda.critic2d": "target", "lifter": "sem_gcn"}
    assert differences(Settings(), settings) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adapt.poseda.critic3d": "x"}, "adapt.poseda.critic3d: no such setting"),
        ({"adapt.poseda": "x"}, "adapt.poseda: no such setting"),
        ({"lifter.name": "x"}, "lifter.name: no such setting"),
        ({"adapt.steps": "many"}, "adapt.steps: Input should be a valid integer"),
        ({"adapt.poseda.rotation": "learned"}, "got learned without a 2D critic"),
    ],
)
def test_bad_changes_name_the_setting(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        changed(Settings(), changes)


def test_a_row_cannot_change_what_all_share() -> None:
    with pytest.raises(ValueError, match="a: changes out, target, which all rows share"):
        plan(Variant("a", "gpa", {"out": "elsewhere", "target": "t.npz"}))
    with pytest.raises(ValueError, match=r"methods: got \('gpa', 'gpa'\), expected .* each once"):
        plan("gpa", Variant("gpa", "lpa"))


def test_rows_share_pre_trainings_and_trainings() -> None:
    same = Variant("once more", "poseda", {"adapt.poseda.critic2d": "target"})
    without = Variant("nothing new", "gpa", {"lifter": "videopose3d"})
    rows = ("source-only", "gpa", TARGET_SEES, same, without, OTHER_LIFTER)
    jobs = plan(*rows, seeds=(0, 7)).jobs()
    names = [(str(start.folder), [job.folder.name for job in then]) for start, then in jobs]
    assert names[:2] == [
        ("out/seed0/pretrain", ["gpa", "poseda-critic2d=target"]),
        ("out/seed0/pretrain-lifter=simple_baseline", ["gpa-lifter=simple_baseline"]),
    ]
    assert [start.seed for start, _ in jobs] == [0, 0, 7, 7]
    assert all(job.start == start.folder for start, then in jobs for job in then)


def test_names_of_folders() -> None:
    assert folder_name("control", {}) == "control"
    assert folder_name("my.module:Class", {}) == "my.module-Class"
    assert folder_name("adaptpose", {"adapt.adaptpose.strides": (1, 2)}) == "adaptpose-strides=1,2"
    one, other = (folder_name("gpa", {"source": Path(name)}) for name in ("a/b", "a_b"))
    assert one != other and "/" not in one
    assert len(folder_name("gpa", {"source": "x" * 500})) < 150


def test_a_plan_with_changes_comes_back_from_its_folder(tmp_path: Path) -> None:
    begun = Plan(Settings(out=tmp_path), ("control", TARGET_SEES), (0, 1))
    start_plan(begun)
    assert load_plan(tmp_path) == begun


def test_a_training_is_claimed_with_what_decides_its_numbers_alone() -> None:
    def differ(method: str | None, changes: dict[str, object]) -> bool:
        other = changed(Settings(), changes)
        return _recipe(Settings(), method, 0) != _recipe(other, method, 0)

    poseda: dict[str, object] = {"adapt.poseda.gan": "lsgan"}
    steps: dict[str, object] = {"adapt.steps": 7}
    assert not differ(None, poseda) and not differ(None, steps)
    assert not differ("control", poseda) and differ("control", steps)
    assert not differ("gpa", poseda) and differ("gpa", {"target": "other.npz"})
    assert differ("poseda", poseda) and differ("lpa", poseda)
    assert differ("module:Own", poseda)  # which may look at anything
    assert not differ(None, {"target": "other.npz"}) and differ(None, {"pretrain.steps": 7})
    assert not differ("poseda", {"protocol": "adaptpose", "out": "there", "device": "cpu"})
    assert differ("poseda", {"protocol": "adaptpose-best"})


@pytest.mark.usefixtures("no_figures")
def test_a_run_of_rows_with_changes(domains: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path
    data = {"source": str(domains[0]), "target": str(domains[1]), "out": str(out)}
    settings = changed(Settings(), {**data, **SMALL})
    again = Variant("GPA again", "gpa")
    rows = ("source-only", "gpa", again, TARGET_SEES, OTHER_LIFTER)
    start_plan(Plan(settings, rows, (0,)))
    main(["compare", "--resume", str(out), "--jobs", "1"])
    results = json.loads((out / "results.json").read_text())
    assert [row["row"] for row in results] == [
        "source-only", "gpa", "GPA again", "S,T", "baseline, GPA",
    ]  # fmt: skip
    assert results[1]["mpjpe"] == results[2]["mpjpe"] != results[3]["mpjpe"]
    assert results[3]["changes"] == {"adapt.poseda.critic2d": "target"}
    assert results[4]["lifter"] == "simple_baseline"
    report = (out / "report.md").read_text()
    assert "| S,T |" in report and "videopose3d, width 8, simple_baseline, width 8" in report
    weights = sorted(path.parent.name for path in (out / "seed0").glob("*/lifter.safetensors"))
    assert weights == [
        "gpa", "gpa-lifter=simple_baseline", "poseda-critic2d=target", "pretrain",
        "pretrain-lifter=simple_baseline",
    ]  # fmt: skip
