"""The benchmarks: rows, tables, comparison, and what the registry claims to move."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import instructions
from benchmarks.__main__ import _parser, _plan, main
from benchmarks.floor import copy_floor, matrix_product
from benchmarks.registry import CASES, SKELETONS, Case, bytes_table
from benchmarks.results import (
    KEYS,
    Row,
    _cpu_name,
    compare,
    ratio,
    read_rows,
    table,
    write_json,
)
from benchmarks.runner import QUICK, Contender, Target, _timing, alternate, bind, make_sets

CASE_LIST = list(CASES.values())


def _row(**changes: object) -> Row:
    row: Row = {
        "op": "augment",
        "pass": "fwd",
        "device": "cpu",
        "dtype": "float32",
        "joints": 16,
        "batch": 1024,
        "threads": 1,
        "ours_ms": 1.0,
        "eager_ms": 10.0,
        "compiled_ms": 5.0,
        "floor_ms": 0.5,
    }
    return row | changes


@pytest.mark.parametrize("joints", SKELETONS)
@pytest.mark.parametrize("case", CASE_LIST, ids=lambda case: case.op)
def test_case_moves_what_it_says(case: Case, joints: int) -> None:
    skeleton = SKELETONS[joints]
    inputs = case.make_inputs(3, skeleton, torch.float32, "cpu")
    ours, expected = case.fused(inputs, skeleton), case.reference(inputs, skeleton)
    assert len(ours) == len(case.outputs)
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    moved = sum(t.nbytes for t in (*inputs.values(), *expected))
    assert case.bytes_moved("fwd", 3, skeleton, torch.float32) == moved
    grads = sum(inputs[name].nbytes for name in case.gradient_to)
    read = sum(inputs[name].nbytes for name in case.backward_reads)
    backward = sum(t.nbytes for t in expected) + read + grads
    assert case.bytes_moved("fwd_bwd", 3, skeleton, torch.float32) == moved + backward


@pytest.mark.parametrize("case", CASE_LIST, ids=lambda case: case.op)
def test_both_sides_give_the_same_gradients(case: Case) -> None:
    target = Target(case, "fwd_bwd", "cpu", torch.float32, 16, 5, 1)
    sets = make_sets(target)
    ours, eager = (bind(f, target, sets)(0) for f in (case.fused, case.reference))
    for a, b in zip(ours, eager, strict=True):  # type: ignore[call-overload]
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_augment_moves_920_bytes_forward() -> None:
    assert CASES["augment"].bytes_moved("fwd", 1, SKELETONS[16], torch.float32) == 920
    assert "| 920 | 2,284 |" in bytes_table()


def test_ops_writes_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.json"
    arguments = ["ops", "--json", str(path), "--quick", "--seconds", "0.01", "--batch", "7"]
    assert main([*arguments, "--ops", "augment", "gpa"]) == 0
    rows = read_rows(path)
    assert [(row["op"], row["pass"]) for row in rows] == [
        (op, which) for op in ("augment", "gpa") for which in ("fwd", "fwd_bwd")
    ]
    for row in rows:
        assert set(KEYS) <= set(row)
        assert row["ours_ms"] > 0 and row["eager_ms"] > 0 and row["floor_ms"] > 0
        assert row["arithmetic_floor_ms"] == pytest.approx(row["flops"] / row["gflop_per_s"] / 1e6)
        assert row["compiled_ms"] is None and "torch.compile was not asked for" in row["notes"]
        assert row["torch"] == torch.__version__ and row["device_name"] and row["date"]
    assert "eager/ours" in capsys.readouterr().out


def test_more_threads_are_for_the_largest_batch() -> None:
    options = ["--ops", "gpa", "--passes", "fwd", "--batch", "1", "9", "--threads", "1", "2"]
    args = _parser().parse_args(["ops", "--json", "x", *options])
    assert _plan(args, args.threads) == [
        ("gpa", "fwd", 1, 1),
        ("gpa", "fwd", 9, 1),
        ("gpa", "fwd", 9, 2),
    ]


def test_matrix_product_counts_its_operations() -> None:
    call, operations = matrix_product("cpu", torch.bfloat16)
    call(0)
    assert operations == 2 * 768**3


def test_instructions_are_counted_per_pose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A call costs 500 and a pose 10 instructions; twice as many in eager.
    def fake(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        out = next(word.split("=")[1] for word in command if "callgrind-out-file" in word)
        assert options["env"]["POSEDA_CPU_CAPABILITY"] == "avx2"  # type: ignore[index]
        for number, (target, side) in enumerate(instructions._targets(["gpa"]), start=1):
            count = (500 + 10 * target.batch) * (1 if side == "ours" else 2)
            Path(f"{out}.{number}").write_text(f"fn=x\n1 2\ntotals: {count}\n")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(instructions.shutil, "which", lambda _: "valgrind")
    monkeypatch.setattr(instructions.subprocess, "run", fake)
    monkeypatch.setattr(instructions, "metadata", lambda _: {})
    path = tmp_path / "rows.json"
    assert main(["instructions", "--json", str(path), "--ops", "gpa"]) == 0
    rows = json.loads(path.read_text())
    assert [(r["pass"], r["ours_per_pose"], r["ours_per_call"]) for r in rows] == [
        ("fwd", 10, 500),
        ("fwd_bwd", 10, 500),
    ]
    assert "| gpa | fwd | 10 | 20 | 2.0 | 500 |" in capsys.readouterr().out


def test_compile_failure_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(torch, "compile", fail)
    path = tmp_path / "rows.json"
    common = ["ops", "--json", str(path), "--seconds", "0.01", "--batch", "7", "--ops", "bones"]
    assert main([*common, "--passes", "fwd"]) == 0
    (row,) = read_rows(path)
    assert row["compiled_ms"] is None
    assert "torch.compile failed: RuntimeError: no compiler at all" in row["notes"]


def test_no_cuda_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    assert main(["ops", "--device", "cuda", "--json", str(tmp_path / "rows.json")]) == 2
    assert "no CUDA device" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_table() -> None:
    lines = table([_row(), _row(compiled_ms=None, batch=16384)]).splitlines()
    assert len(lines) == 3
    assert lines[1].split()[-4:] == ["10.0", "5.0", "50%", "-"]
    assert table([_row(arithmetic_floor_ms=0.8)]).split()[-2:] == ["80%", "-"]
    assert "16,384" in lines[2] and " - " in lines[2]
    markdown = table([_row()], markdown=True).splitlines()
    assert markdown[1].startswith("| --- |") and len(markdown) == 3
    assert table([_row(reliable=False)]).endswith("?")


def test_compare_flags_a_fall_of_more_than_15_percent() -> None:
    old = [_row()]
    assert compare(old, [_row(ours_ms=1.1)])[1] is False
    report, fell = compare(old, [_row(ours_ms=1.25)])
    assert fell and report.count("REGRESSION") == 2
    # The machine is slower, and ours no more than the others.
    assert compare(old, [_row(ours_ms=2.0, eager_ms=20.0, compiled_ms=10.0)])[1] is False
    assert "not measured in both" in compare(old, [_row(compiled_ms=None)])[0]
    report, fell = compare([*old, _row(batch=3)], [*old, _row(batch=2)])
    assert not fell and "new" in report and "no longer measured" in report
    assert (
        compare([*old, _row(batch=3)], [*old, _row(batch=3, ours_ms=9.0, reliable=False)])[1]
        is False
    )


def test_compare_refuses_files_that_share_nothing() -> None:
    for new in (_row(batch=2), _row(reliable=False), _row(eager_ms=None, compiled_ms=None)):
        with pytest.raises(ValueError, match="nothing was compared"):
            compare([_row()], [new])


def test_compare_command(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    write_json(old, [_row()])
    write_json(new, [_row(ours_ms=2.0)])
    assert main(["compare", str(old), str(old)]) == 0
    assert main(["compare", str(old), str(new)]) == 1
    write_json(new, [_row(batch=2)])
    assert main(["compare", str(old), str(new)]) == 2


def test_training_steps_and_gpu_checks_are_compared_too(tmp_path: Path) -> None:
    step = {
        "step": "lifter", "device": "cpu", "batch": 64, "width": 8, "threads": 1,
        "precision": "float32", "ours_ms": 1.0, "baseline_ms": 2.0, "networks_ms": 0.9,
        "poses_per_s": 64e3, "poses": 200, "workers": 0,
    }  # fmt: skip
    old, new = tmp_path / "old.json", tmp_path / "gpu_check.json"
    write_json(old, [step])
    assert main(["compare", str(old), str(old)]) == 0
    stages = {"build": {"status": "passed"}, "train": {"train": [step | {"ours_ms": 1.3}]}}
    write_json(new, {"rows": [{"op": "kcs", "ours_peak_bytes": 1}], "stages": stages})
    assert main(["compare", str(old), str(new)]) == 1
    report, _ = compare([step], read_rows(new))
    assert "lifter cpu 64 8 1 float32 200 0: baseline/ours 2.00 -> 1.54 REGRESSION" in report
    assert main(["table", str(new)]) == 0
    assert "not compared" in compare([step, _row()], [step | {"disturbed": 1.0}, _row()])[0]
    for stages in ([], None, {"train": "cut off"}, {"train": {"train": None}}):  # type: ignore[assignment]
        write_json(new, {"rows": [_row()], "stages": stages})
        assert read_rows(new) == [_row()]


@pytest.mark.parametrize(
    "content",
    [
        *(None, "", '{"a": 1', "[1]", '[{"op": "kcs"}]', '{"rows": [1]}', '{"rows": 1}'),
        '{"rows": [], "stages": {"train": {"train": [{"step": "lifter"}]}}}',
        json.dumps([_row(ours_ms="fast")]),
    ],
)
@pytest.mark.parametrize("command", ["compare", "table"])
def test_a_file_that_cannot_be_read_is_not_taken_for_a_fall(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, content: str | None
) -> None:
    path = tmp_path / "rows.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SystemExit) as stop:
        main([command, str(path), *([str(path)] if command == "compare" else [])])
    assert stop.value.code == 2
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["-1", "0", "nan", "inf"])
def test_ops_and_train_refuse_no_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seconds: str
) -> None:
    for command in ("ops", "train"):
        with pytest.raises(SystemExit):
            main([command, "--json", str(tmp_path / "rows.json"), "--seconds", seconds])
        assert "expected a finite number above 0" in capsys.readouterr().err


def test_ratio_of_what_was_not_measured() -> None:
    assert ratio(_row(eager_ms=None), "eager") is None
    assert ratio(_row(), "eager") == 10


def test_write_is_whole_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    write_json(path, [_row()])
    with pytest.raises(TypeError):
        write_json(path, [object()])
    assert json.loads(path.read_text()) == [_row()]
    assert [p.name for p in tmp_path.iterdir()] == ["rows.json"]


def test_read_rows_refuses_other_files(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match="expected a list of rows"):
        read_rows(path)
    path.write_text('[{"op": "augment"}]')
    with pytest.raises(ValueError, match="row 0 lacks pass"):
        read_rows(path)


def test_floor_is_the_time_of_as_many_bytes() -> None:
    floor = copy_floor(8_000_000, "cpu")
    assert floor.copied == 8_000_000
    assert floor.floor_ms(2.0) == 2.0
    assert floor.gb_per_s(2.0) == pytest.approx(4.0)


def test_disturbed_samples_are_left_out() -> None:
    contender = Contender(lambda _: None)
    contender.samples = [(1.0, False), (9.0, True), (1.2, False), (9.0, True)]
    timing = _timing(contender, blocks=2)
    assert timing.ms == 1.0 and timing.noise == pytest.approx(0.2)
    contender.samples = [(9.0, True), (8.0, True)]
    assert _timing(contender, blocks=2).ms == 8.0


def test_contenders_take_turns() -> None:
    order: list[str] = []
    contenders = {name: Contender(lambda _, name=name: order.append(name)) for name in "ab"}  # type: ignore[misc]
    alternate(contenders, QUICK, "cpu")
    assert len(contenders["a"].samples) == len(contenders["b"].samples)
    changes = sum(a != b for a, b in itertools.pairwise(order))
    assert changes >= 2 * len(contenders["a"].samples) - 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cpu family\t: 26\nmodel\t\t: 2\nmodel name\t: A CPU\n", "A CPU (family 26, model 2)"),
        ("processor\t: 0\nBogoMIPS\t: 50.00\n", "a machine"),
        (None, "a machine"),
    ],
)
def test_a_processor_is_named_with_its_family(
    text: str | None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(_: Path) -> str:
        if text is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr(Path, "read_text", read)
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "a machine")
    assert _cpu_name() == name
