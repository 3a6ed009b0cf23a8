"""The numbers in the READMEs come from the committed results; the goals on a GPU are judged."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import readme
from benchmarks.goals import CPU_GOALS, GOALS, LARGE, SMALL, goals_table, judge
from benchmarks.results import Row

COMMON = {
    "cpu": "A processor", "cpu_count": 2, "gpu": None, "torch": "2.13.0", "python": "3.11.7",
    "commit": "0123456789abcdef", "date": "2026-11-20T12:00:00", "modified": False,
    "build_info": {"cpu_level": "avx2"}, "device": "cpu", "dtype": "float32", "joints": 16,
}  # fmt: skip


def _row(**changes: object) -> Row:
    row: Row = {
        **COMMON, "op": "augment", "pass": "fwd", "batch": 1024, "threads": 1,
        "ours_ms": 1.0, "eager_ms": 10.0, "compiled_ms": 5.0, "floor_ms": 0.5,
    }  # fmt: skip
    return row | changes


def test_readmes_are_up_to_date() -> None:
    for path, section in readme.sections().items():
        text = path.read_text()
        assert readme.with_section(text, section) == text, (
            f"{path.name} is not what benchmarks/results gives: python -m benchmarks readme"
        )


def test_rows_that_do_not_say_whence_are_named(tmp_path: Path) -> None:
    path = tmp_path / readme.OPS
    row = _row()
    del row["commit"]
    for rows, what in (([_row(), row], "row 1 lacks commit"), ([], "no rows")):
        path.write_text(json.dumps(rows))
        for section in (readme.performance, readme.details):
            with pytest.raises(ValueError, match=what):
                section(tmp_path)


def test_needs_one_section() -> None:
    section = "<!-- benchmarks: begin, x -->\nold\n<!-- benchmarks: end -->\n"
    assert readme.with_section(f"a\n{section}b", r"new \1") == (
        "a\n<!-- benchmarks: begin, x -->\nnew \\1\n<!-- benchmarks: end -->\nb"
    )
    for text in ("nothing", section + section):
        with pytest.raises(ValueError, match="expected 1"):
            readme.with_section(text, "new")


def test_shows_where_ours_is_not_the_fastest() -> None:
    rows = [_row(), _row(op="bones", batch=1, threads=2, compiled_ms=0.8)]
    assert readme.not_won(rows) == (
        "Where ours is not the fastest:\n\n"
        "- `bones` forward, batch 1, 2 threads: 0.80x against compiled"
    )
    assert readme.not_won(rows[:1]) == (
        "Ours is the fastest in every row; the smallest lead: "
        "`augment` forward, batch 1,024, 1 thread: 5.00x against compiled."
    )


def test_shows_where_ours_is_not_the_fastest_on_a_gpu(tmp_path: Path) -> None:
    slow = {"ours_graph_ms": 0.4, "compiled_graph_ms": 0.1, "op": "kcs", "device": "cuda"}
    machine = {"gpu": "A GPU", "commit": None}
    report = {"machine": machine, "stages": {}, "rows": [_row(device="cuda"), _row(**slow)]}
    _write(tmp_path, ops_cpu=[_row()], gpu_check=report)
    text = readme.performance(tmp_path)
    assert "fastest in every row, called from Python; the smallest lead: `augment` forward" in text
    assert (
        "Where ours is not the fastest in replayed CUDA graphs:\n\n"
        "- `kcs` forward, batch 1,024, float32: 0.25x against compiled\n"
    ) in text


def _write(folder: Path, **files: object) -> None:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def test_sections_from_files(tmp_path: Path) -> None:
    rows = [_row(), _row(op="gpa", compiled_ms=None)]
    _write(tmp_path, ops_cpu=rows)
    text = readme.performance(tmp_path)
    assert "A processor, 2 cores, avx2 kernels, torch 2.13.0, Python 3.11.7" in text
    assert "commit `0123456789ab`, 2026-11-20." in text
    assert "| forward | 1,024 | 1 | 1 | 10 (10x) | 5 (5x) | 50% |" in text
    assert "| `gpa` | 10.0 to 10.0 | - | - | - |" in text
    assert "On a GPU: not measured yet" in text and "milliseconds a step" not in text

    step = {
        **COMMON, "step": "critic", "precision": "float32", "batch": 1024, "width": 512,
        "threads": 2, "ours_ms": 4.0, "baseline_ms": 6.0, "networks_ms": 3.5,
        "poses_per_s": 256000.0,
    }  # fmt: skip
    counted = [{**_row(), "level": "avx2", "ours_per_pose": 10.0, "eager_per_pose": 20.0,
                "ours_per_call": 500.0}]  # fmt: skip
    report: dict[str, Any] = {
        "machine": {"gpu": "A GPU", "torch": "2.11", "commit": "fedcba9876543210", "date": "2026"},
        "stages": {
            "racecheck": {"status": "failed"},
            "train": {"status": "passed", "train": [step | {"step": "lifter", "device": "cuda"}]},
        },
        "rows": [_row(device="cuda"), _row(device="cuda", dtype="bfloat16", ours_ms=0.25)],
        "goals": judge([]),
    }
    step["profile"] = {"matrix products": 0.75, "other": 0.25}
    _write(tmp_path, train_cpu=[step], instructions_cpu=counted, gpu_check=report)
    text = readme.performance(tmp_path)
    assert "| critic | float32 | 1,024 | 512 | 2 | 4 | 6 (1.5x) | 3.5 | 256,000 |" in text
    assert "| matrix products | 75.0% |" in text
    assert "bare networks and optimiser | at most 1.10 | 1.14 | no |" in text
    assert "On a GPU (A GPU, torch 2.11, commit `fedcba987654`, 2026)" in text
    assert "did not pass: racecheck." in text and "not measured" in text
    on_gpu = text[text.index("On a GPU") :]
    assert "float32" in on_gpu and on_gpu.count("| forward | 1,024 |") == 1
    assert "| lifter | float32 | 1,024 | 512 | 2 | 4 | 6 (1.5x) |" in text
    assert "| augment | fwd | 10 | 20 | 2.0 | 500 |" in readme.details(tmp_path)


def test_every_processor_has_its_tables(tmp_path: Path) -> None:
    row = {"pass": "fwd_bwd", "eager_ms": 30.0}
    other = _row(**row, cpu="Another processor", compiled_ms=0.5)
    _write(tmp_path, ops_cpu=[_row(**row)], ops_cpu_other=[other])
    text = readme.performance(tmp_path)
    first, second = text.split("on another processor, Another processor, 2 cores")
    assert first.startswith("A processor, ") and "Ours is the fastest in every row" in first
    assert "| forward + backward | 1,024 | 1 | 1 | 30 (30x) | 0.5 (0.5x) | 50% |" in second
    assert "batch 1,024, 1 thread: 0.50x against compiled" in second
    assert "1,024: times faster than compiled | at least 15.0 | 0.5 | no |" in second
    assert "not measured |" in first and "not measured |" not in second
    assert readme.details(tmp_path).count("CPU: ") == 2


def _cuda(which: str, batch: int, ours: float, **more: object) -> Row:
    return _row(device="cuda", batch=batch, ours_graph_ms=ours, **{"pass": which}, **more)


def test_goals_are_judged_by_the_rows() -> None:
    rows = [
        _cuda("fwd", LARGE, 0.25, floor_ms=0.23),
        _cuda("fwd_bwd", LARGE, 1.0, floor_ms=0.6, eager_graph_ms=45.0, compiled_graph_ms=4.0),
        _cuda("fwd", LARGE, 0.125, dtype="bfloat16"),
        _cuda("fwd", SMALL, 0.004),
        _cuda("fwd_bwd", SMALL, 0.016),
        {"op": "augment", "pass": "fwd", "ours_peak_bytes": 1, "eager_peak_bytes": 10,
         "ours_launches": 1, "bit_identical": True},
        {"op": "augment", "pass": "fwd_bwd", "ours_peak_bytes": 3, "eager_peak_bytes": 10,
         "ours_launches": 2, "bit_identical": True},
        {"step": "iteration", "device": "cuda", "precision": "tf32", "ours_ms": 2.2,
         "networks_ms": 2.0, "baseline_ms": 33.0, "host_syncs": 0, "epoch_s": 3.0,
         "peak_bytes": 512_000_000, "reserved_bytes": 700_000_000},
    ]  # fmt: skip
    judged = judge(rows)
    assert [(g["measured"], g["met"]) for g in judged] == [
        ("92%", True),
        ("60%", False),
        ("2.00", True),
        ("12.0", False),
        ("45.0", True),
        ("4.0", False),
        ("30%", False),
        ("1", True),
        ("1", True),
        ("1.10", None),
        ("15.0", True),
        ("3.0", False),
        ("0.51", True),
        ("0.70", None),
        ("0", True),
    ]
    table = goals_table(judged)
    assert "| at least 85% | 92% | yes |" in table and "| at most 10.0 | 12.0 | no |" in table


def test_goals_on_a_cpu_are_judged_by_the_rows() -> None:
    both = {"pass": "fwd_bwd"}
    rows = [
        _row(**both, eager_ms=26.0, compiled_ms=14.0),
        _row(**both, eager_ms=24.0, compiled_ms=16.0, batch=16384),
        _row(**both, eager_ms=99.0, compiled_ms=99.0, batch=16384, threads=2),
        _row(**both, op="part_kcs", eager_ms=15.0),
        _row(batch=1, eager_ms=3.0),
        _row(batch=1, op="kcs", eager_ms=0.9),
        *({"step": name, "ours_ms": ours, "networks_ms": 2.0}
          for name, ours in (("critic", 2.1), ("lifter", 2.3), ("iteration", 9.0))),
    ]  # fmt: skip
    assert [(g["measured"], g["met"]) for g in judge(rows, CPU_GOALS)] == [
        ("26.0", True),
        ("24.0", False),
        ("14.0", False),
        ("16.0", True),
        ("15.0", True),
        (None, None),
        ("0.90", False),
        ("1.15", False),
    ]


def test_goals_without_rows_are_not_met_and_not_missed() -> None:
    assert [g["met"] for g in judge([])] == [None] * len(GOALS)
