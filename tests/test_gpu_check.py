"""The GPU check's logic, without a GPU: stages, budgets, the report, what is read from output."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "gpu_check.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_check", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_check"] = module
    spec.loader.exec_module(module)
    return module


gpu_check = _load()


@pytest.fixture
def workspace(tmp_path: Path) -> Any:
    (tmp_path / "out").mkdir()
    (tmp_path / "work").mkdir()
    return gpu_check.Workspace(tmp_path / "out", tmp_path / "work", {"gpu": "none"})


def _stage(name: str, result: dict[str, Any], seconds: float = 10, **more: Any) -> Any:
    return gpu_check.Stage(name, seconds, more.pop("reserve", 1), lambda w, s: dict(result), **more)


def _report(workspace: Any) -> dict[str, Any]:
    return json.loads((workspace.out / gpu_check.RESULT).read_text())


def test_a_failing_stage_does_not_stop_the_others(workspace: Any) -> None:
    def explode(*_: Any) -> dict[str, Any]:
        raise RuntimeError("broken")

    stages = [
        _stage("first", {"status": "passed", "rows": [{"op": "augment"}]}),
        gpu_check.Stage("second", 10, 1, explode),
        _stage("third", {"status": "passed"}),
        _stage("fourth", {"status": "passed"}, needs="second"),
    ]
    report = gpu_check.run_stages(stages, workspace, 100)
    statuses = {name: stage["status"] for name, stage in report["stages"].items()}
    assert statuses == {
        "first": "passed",
        "second": "failed",
        "third": "passed",
        "fourth": "skipped",
    }
    assert report["stages"]["second"]["tail"] == "RuntimeError: broken"
    assert report["rows"] == [{"op": "augment"}]
    assert report["finished"] and not report["passed"]
    assert report == _report(workspace)


def test_the_report_is_written_after_every_stage(workspace: Any) -> None:
    seen: list[list[str]] = []

    def look(w: Any, _: float) -> dict[str, Any]:
        report = _report(w)
        assert not report["finished"]
        seen.append(list(report["stages"]))
        return {"status": "passed"}

    stages = [gpu_check.Stage(name, 10, 1, look) for name in "abc"]
    assert gpu_check.run_stages(stages, workspace, 100)["passed"]
    assert seen == [[], ["a"], ["a", "b"]]
    assert [path.name for path in workspace.out.iterdir()] == [gpu_check.RESULT]


def test_stages_share_the_time(workspace: Any) -> None:
    now, given = [0.0], {}

    def use(name: str, share: float) -> Any:
        def action(_: Any, seconds: float) -> dict[str, Any]:
            given[name] = seconds
            now[0] += share * seconds
            return {"status": "passed"}

        return action

    stages = [
        gpu_check.Stage("greedy", 90, 10, use("greedy", 1.0)),
        gpu_check.Stage("modest", 30, 20, use("modest", 0.1)),
        gpu_check.Stage("last", 100, 30, use("last", 1.0)),
        gpu_check.Stage("late", 100, 0, use("late", 1.0)),
    ]
    report = gpu_check.run_stages(stages, workspace, 100, clock=lambda: now[0])
    assert given == {"greedy": 50, "modest": 20, "last": 48}
    assert report["stages"]["late"] == {"status": "skipped", "reason": "no time left"}
    assert not report["passed"]
    assert now[0] <= 100


def test_the_report_judges_the_goals(workspace: Any) -> None:
    rows = [
        {"op": "augment", "pass": "fwd", "ours_peak_bytes": 1, "eager_peak_bytes": 8,
         "bit_identical": True},
    ]  # fmt: skip
    steps = [
        {
            "step": "iteration",
            "device": "cuda",
            "precision": "tf32",
            "ours_ms": 3.0,
            "networks_ms": 2.0,
        }
    ]
    stages = [
        _stage("memory", {"status": "passed", "memory": rows}),
        _stage("train", {"status": "passed", "train": steps}),
    ]
    goals = gpu_check.run_stages(stages, workspace, 100)["goals"]
    measured = {goal["goal"]: goal["measured"] for goal in goals if goal["measured"]}
    assert list(measured.values()) == ["12%", "1", "1.50"]
    assert gpu_check._goal_line(goals[0]).endswith("not measured")


def test_sass_is_of_the_module_just_built(workspace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = workspace.site / "poseda_ext" / "_C.so"
    module.parent.mkdir(parents=True)
    module.touch()
    workspace.gpu["capability"] = "9.0"
    seen: list[str] = []

    def run(command: list[str], *_: Any, **__: Any) -> Any:
        seen.extend(command)
        return gpu_check.Finished(1, "sm_90: 1 kernel\nsm_90 Gpa float: 1 x LDL\n")

    monkeypatch.setattr(workspace, "run", run)
    result = gpu_check.sass(workspace, 1)
    assert seen[2:] == [str(module), "--architectures", "sm_90", "--require"]
    assert result["status"] == "failed" and result["summary"].endswith("1 x LDL")


def test_train_rows_before_a_failure_count(workspace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], *_: Any, **__: Any) -> Any:
        Path(command[command.index("--json") + 1]).write_text('[{"step": "critic"}]')
        return gpu_check.Finished(None, "")

    monkeypatch.setattr(workspace, "run", run)
    result = gpu_check.train(workspace, 1)
    assert result["status"] == "timed out" and result["train"] == [{"step": "critic"}]


def test_the_stages_fit_into_nine_minutes() -> None:
    assert sum(stage.reserve for stage in gpu_check.STAGES) < 530
    names = [stage.name for stage in gpu_check.STAGES]
    assert len(set(names)) == len(names)
    for number, stage in enumerate(gpu_check.STAGES):
        assert stage.needs is None or stage.needs in names[:number]
    assert [s.name for s in gpu_check._chosen(["memory"])] == [
        "machine",
        "build",
        "import",
        "memory",
    ]


def test_a_command_out_of_time_is_ended_with_its_children(workspace: Any) -> None:
    begun = time.monotonic()
    found = workspace.run(["bash", "-c", "echo begun; sleep 60 & echo $!; wait"], 0.5)
    assert time.monotonic() - begun < 10
    assert found.status is None and found.describe()["status"] == "timed out"
    word, child = found.output.split()
    assert word == "begun"
    for _ in range(50):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the child still runs")


def test_a_command_sees_the_built_package_first(workspace: Any) -> None:
    found = workspace.run([sys.executable, "-c", "import sys; print(sys.path[1])"], 30)
    assert found.ok and found.describe() == {"status": "passed"}
    assert found.output.strip() == str(workspace.site)


def test_rows_of_a_benchmark_out_of_time_are_kept(
    workspace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], seconds: float, **_: str) -> Any:
        Path(command[command.index("--json") + 1]).write_text('[{"op": "augment"}]')
        return gpu_check.Finished(None, "late")

    monkeypatch.setattr(workspace, "run", run)
    result = gpu_check.bench("x", "--batch", "1")(workspace, 1)
    assert result["status"] == "timed out" and result["rows"] == [{"op": "augment"}]


def test_memory_fails_where_runs_differ(workspace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], seconds: float, **_: str) -> Any:
        rows = [{"op": "augment", "pass": p, "bit_identical": p == "fwd"} for p in ("fwd", "bwd")]
        Path(command[command.index("--json") + 1]).write_text(json.dumps(rows))
        return gpu_check.Finished(0, "")

    monkeypatch.setattr(workspace, "run", run)
    result = gpu_check.memory(workspace, 1)
    assert result["status"] == "failed" and result["reason"] == "runs differ: augment bwd"


@pytest.mark.parametrize(
    ("status", "output", "expected"),
    [
        (0, "== ERROR SUMMARY: 0 errors", "passed"),
        (99, "== ERROR SUMMARY: 3 errors", "failed"),
        (0, "nothing was checked", "failed"),
        (None, "", "timed out"),
    ],
)
def test_sanitizer(
    workspace: Any,
    monkeypatch: pytest.MonkeyPatch,
    status: int | None,
    output: str,
    expected: str,
) -> None:
    monkeypatch.setattr(workspace, "run", lambda *_, **__: gpu_check.Finished(status, output))
    assert gpu_check.sanitize("memcheck")(workspace, 1)["status"] == expected


def test_tests_that_all_skip_do_not_pass(workspace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = gpu_check.Finished(0, "ss\n12 skipped, 30 deselected in 1.2s\n")
    monkeypatch.setattr(workspace, "run", lambda *_, **__: found)
    result = gpu_check.cuda_tests(workspace, 1)
    assert result["status"] == "failed" and result["counts"] == {"skipped": 12, "deselected": 30}


def test_reads_the_last_line_of_pytest() -> None:
    output = "....F\nFAILED x\n1 failed, 2 errors, 40 passed in 3.2s"
    assert gpu_check.pytest_counts(output) == {"failed": 1, "errors": 2, "passed": 40}
    assert gpu_check.pytest_counts("") == {}


def test_reads_resource_usage() -> None:
    output = """
ptxas info    : Compiling entry function '_Z6kernelv' for 'sm_90'
ptxas info    : Function properties for _Z6kernelv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 168 registers, used 1 barriers, 37632 bytes smem
"""
    assert gpu_check.resource_usage(output) == [
        "_Z6kernelv: 0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads",
        "_Z6kernelv: Used 168 registers, used 1 barriers, 37632 bytes smem",
    ]


def _fake_smi(folder: Path, answer: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)


def test_reads_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    _fake_smi(tmp_path, "NVIDIA H200, 580.1, 9.0, 143771 MiB")
    assert gpu_check.find_gpu() == {
        "gpu": "NVIDIA H200",
        "driver": "580.1",
        "capability": "9.0",
        "memory": "143771 MiB",
    }
    _fake_smi(tmp_path, "No devices were found")
    assert gpu_check.find_gpu() is None


def test_without_a_gpu(tmp_path: Path) -> None:
    _fake_smi(tmp_path, "No devices were found")
    out = tmp_path / "out"
    result = subprocess.run(
        [sys.executable, str(SCRIPT), "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert result.returncode == 2
    assert result.stderr == "gpu_check: no NVIDIA GPU found (nvidia-smi lists none)\n"
    assert not out.exists()
