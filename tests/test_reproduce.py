"""Tables of the papers as data, and the command that makes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poseda.config import Settings
from poseda.experiment import run_training
from poseda.methods import check_method
from poseda.networks.lifters import LIFTERS
from poseda.plan import Job, changed
from poseda.protocol import PROTOCOLS
from poseda.report import COLUMNS, schedules
from poseda.reproduce import BUDGETS, RECIPES, Request, parse_changes, plans
from poseda.tables import PAIRS, PREPARED, TABLES, how_to_make
from poseda.tables.table import Line, Table
from poseda.training.loop import Diverged, Progress
from tests.commands import refused, run

SMALL = (
    *("--set", "width=8", "pretrain.steps=4", "pretrain.batch=8", "adapt.steps=4"),
    *("adapt.batch=8", "adapt.warmup=2", "--device", "cpu", "--jobs", "1"),
)


def trained_lines(table: Table) -> Iterator[Line]:
    return (line for line in table.lines if line.method is not None)


@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_a_method_with_settings_that_there_are(name: str) -> None:
    table = TABLES[name]
    for line in trained_lines(table):
        assert line.method is not None
        settings = changed(Settings(), line.changes)
        frames = 27 if settings.lifter.endswith("_27") else 1
        assert settings.lifter in LIFTERS
        check_method(line.method, frames)
    assert plans(Request(table))


def test_tables_are_whole() -> None:
    papers = [f"poseda-table{number}" for number in (*range(1, 8), "A", "B", "C")]
    papers += [f"adaptpose-table{number}" for number in range(1, 9)]
    assert {*papers, "open-table4", "open-methods", "open-rotations"} == {*TABLES}
    for table in TABLES.values():
        assert table.protocol in PROTOCOLS and PROTOCOLS[table.protocol].checkpoint == "last"
        assert {column.metric for column in table.columns} <= {*COLUMNS}
        names = [line.name for line in table.lines]
        assert len(set(names)) == len(names)
        assert any(True for _ in trained_lines(table))
        for pair in table.pairs:
            assert {PAIRS[pair].source, PAIRS[pair].target} <= {*PREPARED}
    for key, value in {**BUDGETS["published"], **RECIPES["published"]["sem_gcn"]}.items():
        assert changed(Settings(), {key: value}) is not None


def test_recipes_of_a_budget_go_to_the_rows_of_their_lifter_unless_given() -> None:
    table = TABLES["open-table4"]

    def widths(**changes: object) -> dict[str, int | None]:
        (plan,) = plans(Request(table, budget="cpu", changes=changes)).values()
        rows = [plan.settings_of(row) for row in plan.variants]
        assert {(row.adapt.steps, row.adapt.batch, row.pretrain.steps) for row in rows} == {
            (3000, 128, 3000)
        }
        return {row.lifter: row.width for row in rows}

    assert widths() == {name: RECIPES["cpu"][name]["width"] for name in LIFTERS if name in widths()}
    assert {*widths(width=48).values()} == {48}
    (plan,) = plans(Request(table, budget="published")).values()
    steps = {plan.settings_of(row).lifter: plan.settings_of(row).pretrain.steps
             for row in plan.variants}  # fmt: skip
    assert steps["sem_gcn"] == 2 * steps["st_gcn"] == 100 * 1524


def test_columns_have_the_protocol_of_their_data_unless_one_is_given() -> None:
    table = TABLES["poseda-tableA"]

    def protocols(**given: Any) -> dict[str, str]:
        found = plans(Request(table, **given))
        return {pair: plan.settings.protocol for pair, plan in found.items()}

    found = protocols()
    assert found["s1"] == found["s1-det"] == "poseda"
    assert found["h36m-3dhp"] == found["h36m-cpn-3dhp"] == "poseaug-3dhp"
    assert {*protocols(protocol="no-root").values()} == {"no-root"}


def test_poseaug_has_its_own_published_epochs() -> None:
    table = TABLES["poseda-tableA"]
    plan = next(iter(plans(Request(table, budget="published")).values()))
    found = {row.name: plan.settings_of(row).adapt for row in plan.variants}
    ours, other = found["SimpleBaseline + PoseAug"], found["SimpleBaseline + PoseDA"]
    assert (ours.warmup, ours.steps, ours.lr) == (2 * 1524, 48 * 1524, 1e-4)
    assert (other.warmup, other.steps, other.lr) == (5 * 1524, 50 * 1524, 1e-4)
    assert found["SemGCN + PoseAug"].lr == 1e-3 and found["SemGCN + PoseDA"].lr == 1e-4
    shorter = next(iter(plans(Request(table, changes={"adapt.steps": 7})).values()))
    assert {shorter.settings_of(row).adapt.steps for row in shorter.variants} == {7}


def test_the_protocol_says_how_each_lifter_was_trained() -> None:
    table = TABLES["open-table4"]
    (plan,) = plans(Request(table, budget="cpu")).values()
    said = schedules(plan, [])
    for lifters, at in (("sem_gcn, st_gcn", 0.01), ("simple_baseline, videopose3d", 0.003)):
        assert {*lifters.split(", ")} <= {*LIFTERS}
        assert re.search(rf"pre-training 3,000 steps of 128 at {at} falling to {0.16 * at:g}", said)
    assert said.count("pre-training") == 2
    (several,) = plans(Request(TABLES["open-methods"], budget="published")).values()
    said = schedules(several, [])
    assert "videopose3d (PoseAug): pre-training" in said and "then 73,152 steps" in said
    assert "; videopose3d (source only, control," in f"; {said}"
    (strided,) = plans(Request(table, changes={"strides": [1, 2]})).values()
    assert schedules(strided, []).endswith(" falling to 0, source windows of strides 1, 2")
    one = schedules(plan, [{"row": "VideoPose3D, control"}])
    assert one == (
        "pre-training 3,000 steps of 128 at 0.003 falling to 0.00048, then 3,000 steps of 128 + "
        "128 at 0.002 falling to 0"
    )


def test_a_row_that_stands_in_several_tables_has_the_same_numbers() -> None:
    """The papers repeat themselves; a slip of the pen in copying them does not."""
    published: dict[object, set[tuple[float | None, ...]]] = {}
    for name in (
        "poseda-table4",
        "poseda-table5",
        "poseda-table6",
        "poseda-table7",
        "poseda-tableC",
    ):
        table = TABLES[name]
        for line in trained_lines(table):
            if None in line.published:
                continue
            changes = {"lifter": "videopose3d", "adapt.poseda.critic2d": "none"} | {
                key: value for key, value in line.changes.items() if value != "source"
            }
            if line.changes.get("adapt.poseda.critic2d") == "source":
                changes["adapt.poseda.critic2d"] = "source"
            row = line.method, frozenset(changes.items())
            published.setdefault(row, set()).add(line.published)
    assert all(len(numbers) == 1 for numbers in published.values())
    assert len(published) > 20
    last = TABLES["poseda-table4"].lines[-2]
    assert last.name == "VideoPose3D + PoseDA" and last.published == (61.36, 92.05, 62.52)


def test_commands_that_make_the_files_are_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for name in PREPARED:
        words = how_to_make(name).split()
        assert words[:2] == ["poseda", "prepare"] and words[-1] != "{}"
        with pytest.raises(SystemExit):
            run("prepare", words[2], "--help")
        said = capsys.readouterr().out
        for option in re.findall(r"--[\w-]+", " ".join(words)):
            assert option in said, (name, option)


def test_list_of_tables(capsys: pytest.CaptureFixture[str]) -> None:
    run("reproduce")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(TABLES)]] == [*TABLES]
    assert "not there: AdaptPose, Table 9: needs a 2D detector" in lines[-1]


def test_missing_data_is_named_with_the_command_that_makes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ("--out", tmp_path / "out")
    (tmp_path / "h36m.npz").write_bytes(b"")
    line = refused(capsys, "reproduce", "poseda-table6", "--data", tmp_path, *out)
    assert f"{tmp_path}/3dhp.npz (poseda prepare mpi-inf-3dhp --from 3DHP --to 3dhp.npz)" in line
    assert "h36m.npz (" not in line and "or --data open" in line
    monkeypatch.setenv("POSEDA_DATA", str(tmp_path / "there"))
    line = refused(capsys, "reproduce", "poseda-table6", "--data", "open", *out)
    assert f"{tmp_path}/there/source_cmu.npz" in line and "give --source and --target" in line
    assert not (tmp_path / "out").exists()


def test_a_table_on_open_data_and_one_that_shares_its_trainings(
    domains: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data", "open", "--source", domains[0], "--target", domains[1])
    given = (*data, *SMALL, "--seeds", 0, 1, "--out", tmp_path)
    run("reproduce", "poseda-tableC", *given, "--dry-run")
    listed = capsys.readouterr().out
    assert listed.count("to do") == 2 * 5 and "done" not in listed
    assert str(tmp_path / "open" / "seed1" / "poseda-critic2d=target") in listed
    assert not (tmp_path / "open").exists()

    run("reproduce", "poseda-tableC", *given)
    folder = tmp_path / "poseda-tableC-open"
    text = (folder / "table.md").read_text()
    assert text in capsys.readouterr().out
    assert "| method | MPJPE | published | PCK | published | AUC | published |" in text
    assert re.search(r"\| S, S, T \| [\d.]+ ± [\d.]+ \| 65.46 \|", text)
    assert "Ours are on other data than the published numbers" in text
    assert "protocol poseda: root-relative, mean over 16 joints, root included" in text
    assert "4 steps of 8 + 8" in text and "seeds 0, 1" in text and "subjects" in text
    assert "(figures/cameras-open-videopose3d.png)" in text
    assert (folder / "figures" / "cameras-open-videopose3d.png").stat().st_size > 5000
    table = json.loads((folder / "table.json").read_text())
    cell = table["lines"][0]["cells"][0]
    assert table["lines"][0]["method"] == "gpa" and cell["published"] == 66.07
    rows = json.loads((folder / "results.json").read_text())
    assert len(rows) == 4 * 2 and rows[0]["row"] == "no LPA (GPA alone)"
    assert cell["ours"]["values"] == [rows[0]["mpjpe"], rows[1]["mpjpe"]]
    assert {row["protocol"] for row in rows} == {"poseda"}

    weights = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("lifter.safetensors")}
    run("reproduce", "poseda-tableC", *given)
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    assert json.loads((folder / "results.json").read_text()) == rows
    capsys.readouterr()
    run("reproduce", "poseda-table6", *given, "--dry-run")
    listed = capsys.readouterr().out
    assert listed.count("done ") == 2 * 3  # pre-training, GPA and PoseDA
    assert listed.count("to do") == 2 * 4


def test_a_table_of_a_paper_with_windows_by_its_own_protocol(
    domains: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "h36m.npz").symlink_to(domains[0])
    (tmp_path / "3dhp_adaptpose.npz").symlink_to(domains[1])
    run("reproduce", "adaptpose-table8", "--data", tmp_path, *SMALL, "--seeds", 0, "--out",
        tmp_path / "out")  # fmt: skip
    text = (tmp_path / "out" / "adaptpose-table8" / "table.md").read_text()
    assert "protocol adaptpose:" in text and "hip-thorax length of 0.52 m" in text
    assert "videopose3d, width 8, videopose3d_27, width 8" in text
    for lifter in ("videopose3d", "videopose3d_27"):
        assert f"(figures/cameras-h36m-3dhp-24688-{lifter}.png)" in text
    assert "only orders compare" not in text


def test_a_row_that_diverges_leaves_the_others(
    domains: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def diverging(job: Job, progress: Progress) -> None:
        if job.settings.adapt.poseda.critic2d == "target" and job.seed == 0 and job.method:
            raise Diverged("training diverged: lower the rate")
        run_training(job, progress)

    monkeypatch.setattr("poseda.runner.run_training", diverging)
    data = ("--data", "open", "--source", domains[0], "--target", domains[1])
    run("reproduce", "poseda-tableC", *data, *SMALL, "--seeds", 0, "--out", tmp_path)
    said = capsys.readouterr().out
    assert "- not there: S, S, T, seed 0: training diverged: lower the rate" in said
    assert "| S, S, T | - | 65.46 |" in said and re.search(r"\| S, S, S \| \d", said)
    table = json.loads((tmp_path / "poseda-tableC-open" / "table.json").read_text())
    assert table["missing"] == ["S, S, T, seed 0: training diverged: lower the rate"]
    monkeypatch.undo()
    run("reproduce", "poseda-tableC", *data, *SMALL, "--seeds", 0, "--out", tmp_path)
    assert "not there" not in capsys.readouterr().out


def test_a_table_of_what_is_done_so_far(
    domains: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data", "open", "--source", domains[0], "--target", domains[1], *SMALL)
    given = (*data, "--out", tmp_path, "--seeds", 0)
    line = refused(capsys, "reproduce", "poseda-table6", *given, "--so-far")
    assert "no row has a result" in line and line.endswith("not trained yet")
    run("reproduce", "poseda-tableC", *given)
    capsys.readouterr()
    trained = {*tmp_path.rglob("lifter.safetensors")}
    run("reproduce", "poseda-table6", *given, 1, "--so-far")
    said = capsys.readouterr().out
    assert re.search(r"\| no aug \(GPA alone\) \| [\d.]+ \| 66.07", said)
    assert "- not there: RR, seed 0: not trained yet" in said
    assert "- not there: PoseDA, seed 1: not trained yet" in said
    assert {*tmp_path.rglob("lifter.safetensors")} == trained
    broken = next(path for path in trained if path.parent.name == "poseda")
    broken.write_bytes(b"cut off")
    run("reproduce", "poseda-table6", *given, "--so-far")
    assert "- not there: PoseDA, seed 0" in capsys.readouterr().out
    line = refused(capsys, "reproduce", "poseda-table6", *given, "--so-far", "--dry-run")
    assert "dry_run, so_far: got both" in line
    other = ("--so-far", "--set", "adapt.steps=5", "width=8", "pretrain.steps=4")
    line = refused(capsys, "reproduce", "poseda-table6", *given, *other)
    assert "started with other settings" in line


def test_a_target_without_labels_is_refused_before_anything_is_trained(
    domains: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(domains[1]) as file:
        np.savez(tmp_path / "target.npz", **{k: file[k] for k in file.files if k != "pose3d"})
    given = ("--data", "open", "--source", domains[0], "--target", tmp_path / "target.npz")
    out = tmp_path / "out"
    line = refused(capsys, "reproduce", "poseda-tableC", *given, "--out", out, *SMALL)
    assert line.endswith("target.npz: has no labelled test part to evaluate on")
    assert not out.exists()


def test_other_settings_in_a_folder_are_refused(
    domains: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--data", "open", "--source", domains[0], "--target", domains[1], "--out", tmp_path)
    run("reproduce", "adaptpose-table6", *given, *SMALL, "--seeds", 0)
    line = refused(capsys, "reproduce", "adaptpose-table6", *given, "--seeds", 0, "--jobs", 1)
    assert "started with other settings (width 8, now null; " in line and "another --out" in line


def test_bad_requests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--data", "open", "--out", tmp_path / "out")
    line = refused(capsys, "reproduce", "poseda-table9", *out)
    assert "name: got 'poseda-table9', expected one of poseda-table1" in line
    line = refused(capsys, "reproduce", "--dry-run", "--set", "width=8", "poseda-table6")
    assert "name: got none, expected that of a table right after the command" in line
    assert "has no detected 2D" in refused(capsys, "reproduce", "poseda-tableA", *out)
    line = refused(capsys, "reproduce", "poseda-table6", *out, "--set", "width")
    assert "set: got 'width', expected name=value" in line
    line = refused(capsys, "reproduce", "poseda-table6", *out, "--set", "adapt.stepz=3")
    assert "adapt.stepz: no such setting" in line
    with pytest.raises(ValueError, match="out, which is an option by itself"):
        parse_changes(("out=x",))
    assert parse_changes(("adapt.adaptpose.strides=[1, 2]", "lifter=sem_gcn")) == {
        "adapt.adaptpose.strides": [1, 2], "lifter": "sem_gcn",
    }  # fmt: skip
