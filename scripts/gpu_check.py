"""Builds, tests, checks and measures the ops on a machine with a GPU, in one go and in minutes.

    python3 scripts/gpu_check.py --out DIR

Needs the Python at hand to have torch with CUDA, pybind11, pytest, hypothesis, numpy and scipy, and
cmake, ninja, nvcc and compute-sanitizer on the path; the stage "train" needs what poseda needs.
No network, and no write access outside DIR and the folder for temporary files. Writes
DIR/gpu_check.json, anew after every stage, so that a run cut short leaves what it has measured. Its
"goals" say what was asked for, what was measured, and whether that is met; they do not decide the
exit status. Copied to benchmarks/results, the file is what the READMEs show of the GPU. Exit
status: 0 where every stage passed, 1 where one did not, 2 where there is no GPU. Changes no setting
of the GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.goals import judge  # noqa: E402

RESULT = "gpu_check.json"
TAIL = 4000  # characters of output kept of a stage that failed
LARGE = 1 << 20

Result = dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """How a command ended. `status` is None where it ran out of time."""

    status: int | None
    output: str

    @property
    def ok(self) -> bool:
        return self.status == 0

    def describe(self) -> Result:
        """Status, and the end of the output where the command did not succeed."""
        if self.ok:
            return {"status": "passed"}
        why = "timed out" if self.status is None else "failed"
        return {"status": why, "exit_status": self.status, "tail": self.output[-TAIL:]}


@dataclass
class Workspace:
    """Where things are: `work` is scratch, `out` gets the results."""

    out: Path
    work: Path
    gpu: Result
    python: str = sys.executable
    extra_environment: dict[str, str] = field(default_factory=dict)

    @property
    def site(self) -> Path:
        return self.work / "site"

    def environment(self) -> dict[str, str]:
        paths = [self.site, ROOT / "python", ROOT]
        commit = self.gpu.get("commit")
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
            **({"POSEDA_COMMIT": commit} if commit else {}),
            **self.extra_environment,
        }

    def run(self, command: Sequence[str], seconds: float, **environment: str) -> Finished:
        """Runs a command in the scratch folder; it and its children are ended when time is up."""
        log = self.work / "output.txt"
        with log.open("wb") as file:
            process = subprocess.Popen(
                list(command),
                cwd=self.work,
                env=self.environment() | environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            status = _wait(process, seconds)
        return Finished(status, log.read_text(errors="replace"))


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(timeout=max(seconds, 0.1))
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@dataclass(frozen=True)
class Stage:
    """A part of the check.

    Attributes:
        name: the key of its result.
        seconds: the most that it may take.
        reserve: seconds kept for it while earlier stages run.
        action: (workspace, seconds) to its result, with "status" "passed" or what went wrong.
        needs: the stage without which it makes no sense.
    """

    name: str
    seconds: float
    reserve: float
    action: Callable[[Workspace, float], Result]
    needs: str | None = None


def write_report(path: Path, report: Result) -> None:
    """Writes the report so that a reader never finds a part of it."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(report, indent=1) + "\n")
    os.replace(temporary, path)


def _run_stage(stage: Stage, workspace: Workspace, seconds: float) -> Result:
    begun = time.monotonic()
    try:
        result = stage.action(workspace, seconds)
    except Exception as error:
        result = {"status": "failed", "tail": f"{type(error).__name__}: {error}"[-TAIL:]}
    return result | {"seconds": round(time.monotonic() - begun, 1)}


def run_stages(
    stages: Sequence[Stage],
    workspace: Workspace,
    total: float,
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    """Runs the stages in order within `total` seconds; the report is written after each.

    A stage gets its own limit, or less where the time that is left, without what later stages
    have reserved, is less. A stage that fails does not stop the others.
    """
    report: Result = {"machine": workspace.gpu, "finished": False, "stages": {}, "rows": []}
    path = workspace.out / RESULT
    write_report(path, report)
    deadline = clock() + total
    for number, stage in enumerate(stages):
        reserved = sum(later.reserve for later in stages[number + 1 :])
        left = deadline - clock()
        # What later stages reserved is theirs, but never so much that this one gets nothing.
        seconds = min(stage.seconds, max(left - reserved, min(stage.reserve, left)))
        report["stages"][stage.name] = _result(stage, workspace, seconds, report)
        report["rows"] += report["stages"][stage.name].pop("rows", [])
        report["goals"] = judge(_measured(report))
        report["passed"] = all(r["status"] == "passed" for r in report["stages"].values())
        report["finished"] = number + 1 == len(stages)
        write_report(path, report)
        print(_line(stage.name, report["stages"][stage.name]), flush=True)
    return report


def _measured(report: Result) -> list[Result]:
    """The rows of the ops, of their memory and of the training step."""
    stages = report["stages"].values()
    return [
        *report["rows"],
        *(row for s in stages for key in ("memory", "train") for row in s.get(key, [])),
    ]


def _result(stage: Stage, workspace: Workspace, seconds: float, report: Result) -> Result:
    if stage.needs and report["stages"].get(stage.needs, {}).get("status") != "passed":
        return {"status": "skipped", "reason": f"{stage.needs} did not pass"}
    if seconds < 1:
        return {"status": "skipped", "reason": "no time left"}
    return _run_stage(stage, workspace, seconds)


def _line(name: str, result: Result) -> str:
    detail = result.get("summary") or result.get("reason") or ""
    return f"{name:<18} {result['status']:<10} {result.get('seconds', 0):>6} s  {detail}".rstrip()


def _goal_line(goal: Result) -> str:
    state = {True: "met", False: "MISSED", None: ""}[goal["met"]]
    measured = goal["measured"] or "not measured"
    return f"{goal['goal']:<62} {goal['bound'] or '':<14} {measured:<14} {state}".rstrip()


# The stages.


def find_gpu() -> Result | None:
    """Name, driver, compute capability and memory of the first GPU; None where there is none."""
    query = "name,driver_version,compute_cap,memory.total"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = [line for line in found.stdout.splitlines() if line.count(",") == 3]
    if not lines:
        return None
    name, driver, capability, memory = (part.strip() for part in lines[0].split(","))
    return {"gpu": name, "driver": driver, "capability": capability, "memory": memory}


def find_commit() -> str | None:
    """The commit that is checked out, or what POSEDA_COMMIT says."""
    if os.environ.get("POSEDA_COMMIT"):
        return os.environ["POSEDA_COMMIT"]
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


# An editable install of the project would be imported before PYTHONPATH is looked at.
_SITE = """
import sys
sys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ != "ScikitBuildRedirectingFinder"]
"""

_VERSIONS = """
import json, platform, torch
print(json.dumps({
    "python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda,
    "cuda_available": torch.cuda.is_available(), "gpus": torch.cuda.device_count(),
}))
"""


def machine(workspace: Workspace, seconds: float) -> Result:
    """Versions of Python, torch, CUDA and the compiler."""
    found = workspace.run([workspace.python, "-c", _VERSIONS], seconds)
    if not found.ok:
        return found.describe()
    versions = json.loads(found.output.splitlines()[-1])
    compiler = workspace.run(["nvcc", "--version"], seconds)
    versions["nvcc"] = compiler.output.strip().splitlines()[-1] if compiler.ok else None
    workspace.gpu.update(versions)
    if not versions["cuda_available"]:
        return {"status": "failed", "reason": "this torch does not see the GPU"}
    return {"status": "passed", "summary": f"torch {versions['torch']}"}


def resource_usage(output: str) -> list[str]:
    """What the compiler says of each kernel: registers, stack frame, spills."""
    lines, kernel = [], ""
    for line in output.splitlines():
        entry = re.search(r"(?:Compiling entry function|Function properties for) '?([^' ]+)", line)
        if entry:
            kernel = entry.group(1)
        elif "bytes stack frame" in line or re.search(r"Used \d+ registers", line):
            lines.append(f"{kernel}: {line.split('info    :')[-1].strip()}")
    return lines


def build(workspace: Workspace, seconds: float) -> Result:
    """Compiles the extension for this GPU alone, and lays the package out for import."""
    deadline = time.monotonic() + seconds
    folder = workspace.work / "build"
    pybind = workspace.run([workspace.python, "-m", "pybind11", "--cmakedir"], seconds)
    if not pybind.ok:
        return pybind.describe()
    architecture = workspace.gpu["capability"].replace(".", "")
    configured = workspace.run(
        [
            *("cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja"),
            "-DCMAKE_BUILD_TYPE=Release",
            "-DPOSEDA_CUDA=ON",
            f"-DCMAKE_CUDA_ARCHITECTURES={architecture}-real",
            f"-DPython_EXECUTABLE={workspace.python}",
            f"-Dpybind11_DIR={pybind.output.strip().splitlines()[-1]}",
        ],
        deadline - time.monotonic(),
    )
    if not configured.ok:
        return configured.describe()
    built = workspace.run(["cmake", "--build", str(folder)], deadline - time.monotonic())
    usage = resource_usage(built.output)
    spills = [line for line in usage if re.search(r"[1-9]\d* bytes spill", line)]
    if built.ok:
        _lay_out(folder, workspace.site)
    return built.describe() | {
        "architecture": architecture,
        "resource_usage": usage,
        "spills": spills,
        "summary": f"{len(usage)} lines of resource usage, {len(spills)} with spills",
    }


def _lay_out(folder: Path, site: Path) -> None:
    package = site / "poseda_ext"
    shutil.copytree(ROOT / "poseda_ext", package, ignore=shutil.ignore_patterns("_C*", "__pyc*"))
    modules = list(folder.glob("_C*.so"))
    if len(modules) != 1:
        raise FileNotFoundError(f"expected one compiled module in {folder}, got {len(modules)}")
    shutil.copy2(modules[0], package)
    (site / "sitecustomize.py").write_text(_SITE)


_IMPORT = """
import json, torch, poseda_ext, poseda_ext._C as compiled
keys = [op for op in ("augment", "augment_aligned", "gpa", "project", "bones", "pose_from_bones",
                      "kcs", "part_kcs")
        if not torch._C._dispatch_has_kernel_for_dispatch_key("poseda::" + op, "CUDA")]
print(json.dumps({"module": compiled.__file__, "missing": keys,
                  "build_info": poseda_ext.build_info()}))
"""


def imported(workspace: Workspace, seconds: float) -> Result:
    """Whether the package that was just built is the one imported, with every CUDA kernel."""
    found = workspace.run([workspace.python, "-c", _IMPORT], seconds)
    if not found.ok:
        return found.describe()
    info = json.loads(found.output.splitlines()[-1])
    workspace.gpu["build_info"] = info["build_info"]
    if not Path(info["module"]).resolve().is_relative_to(workspace.site.resolve()):
        return {"status": "failed", "reason": "another installed poseda_ext is in the way"}
    if info["missing"]:
        return {"status": "failed", "reason": f"no CUDA kernel for {', '.join(info['missing'])}"}
    return {"status": "passed"}


def pytest_counts(output: str) -> dict[str, int]:
    """Passed, failed and so on, from the last line of pytest's output."""
    pattern = r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed|deselected)"
    for line in reversed(output.splitlines()):
        counts = {name: int(number) for number, name in re.findall(pattern, line)}
        if counts:
            return counts
    return {}


def cuda_tests(workspace: Workspace, seconds: float) -> Result:
    """The tests that need CUDA."""
    command = [
        *(workspace.python, "-m", "pytest", "-q", "-rf", "-m", "gpu", "-p", "no:cacheprovider"),
        *("--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"), str(ROOT / "tests")),
    ]
    # Many small launches: several processes share the GPU well, where pytest-xdist is there.
    if workspace.run([workspace.python, "-c", "import xdist"], seconds).ok:
        command += ["-n", str(min(8, os.cpu_count() or 1))]
    found = workspace.run(command, seconds)
    counts = pytest_counts(found.output)
    result = found.describe() | {"counts": counts}
    if found.ok and not counts.get("passed"):
        result |= {"status": "failed", "reason": "no test ran on CUDA"}
    result["summary"] = ", ".join(f"{number} {name}" for name, number in counts.items())
    return result


def sanitizer_summary(output: str) -> list[str]:
    """The lines in which compute-sanitizer sums up what it found."""
    return [line.lstrip("= ") for line in output.splitlines() if "SUMMARY" in line]


def sanitize(tool: str) -> Callable[[Workspace, float], Result]:
    """A stage that runs every op under one tool of compute-sanitizer."""

    def action(workspace: Workspace, seconds: float) -> Result:
        command = [
            *("compute-sanitizer", "--tool", tool, "--error-exitcode", "99", "--print-limit", "20"),
            *(workspace.python, str(ROOT / "scripts" / "sanitize_ops.py")),
            *(() if tool == "memcheck" else ("--quick",)),
        ]
        # Without torch's caching every tensor is an allocation of its own, with its own bounds.
        found = workspace.run(command, seconds, PYTORCH_NO_CUDA_MEMORY_CACHING="1")
        summary = sanitizer_summary(found.output)
        result = found.describe() | {"summary": "; ".join(summary)}
        if found.ok and not summary:
            result |= {"status": "failed", "reason": "no summary", "tail": found.output[-TAIL:]}
        return result

    return action


def sass(workspace: Workspace, seconds: float) -> Result:
    """No local memory and only coalesced access in the machine code: see check_sass.py."""
    (module,) = (workspace.site / "poseda_ext").glob("_C*.so")
    architecture = "sm_" + workspace.gpu["capability"].replace(".", "")
    script = str(ROOT / "scripts" / "check_sass.py")
    command = [workspace.python, script, str(module), "--architectures", architecture, "--require"]
    found = workspace.run(command, seconds)
    return found.describe() | {"summary": "; ".join(found.output.splitlines()[-2:])}


def correct(workspace: Workspace, seconds: float) -> Result:
    """Every form of every op against the reference on the CPU, without the sanitizer."""
    script = str(ROOT / "scripts" / "sanitize_ops.py")
    found = workspace.run([workspace.python, script], seconds)
    return found.describe() | {"summary": "".join(found.output.splitlines()[-1:])}


def _rows(path: Path) -> list[Result]:
    return json.loads(path.read_text()) if path.exists() else []


def bench(name: str, *options: str) -> Callable[[Workspace, float], Result]:
    """A stage that runs the benchmarks; rows measured before a timeout count."""

    def action(workspace: Workspace, seconds: float) -> Result:
        path = workspace.work / f"{name}.json"
        command = [workspace.python, "-m", "benchmarks", "ops", "--device", "cuda"]
        found = workspace.run([*command, "--json", str(path), *options], seconds)
        rows = _rows(path)
        return found.describe() | {"rows": rows, "summary": f"{len(rows)} rows"}

    return action


def train(workspace: Workspace, seconds: float) -> Result:
    """The training step against its baseline and its bare networks, as the GPU multiplies fastest
    in single precision, and exactly."""
    rows: list[Result] = []
    for precision in ("tf32", "float32"):
        path = workspace.work / f"train_{precision}.json"
        command = [workspace.python, "-m", "benchmarks", "train", "--device", "cuda", "--profile"]
        options = ["--precision", precision, "--seconds", "3", "--json", str(path)]
        found = workspace.run([*command, *options], seconds / 2)
        rows += _rows(path)
        if not found.ok:
            break
    return found.describe() | {"train": rows, "summary": f"{len(rows)} rows"}


def memory(workspace: Workspace, seconds: float) -> Result:
    """Peak memory of ours and of the reference, launches, and whether runs agree bit for bit."""
    path = workspace.work / "memory.json"
    command = [workspace.python, "-m", "benchmarks", "memory", "--json", str(path)]
    found = workspace.run([*command, "--batch", str(LARGE)], seconds)
    rows = _rows(path)
    result = found.describe() | {"memory": rows}
    differing = [f"{r['op']} {r['pass']}" for r in rows if not r["bit_identical"]]
    if differing:
        result |= {"status": "failed", "reason": f"runs differ: {', '.join(differing)}"}
    return result


# Largest first: what a timeout cuts off is the least telling.
_BATCHES = tuple(str(batch) for batch in (LARGE, 131072, 16384, 1024))
_OTHERS = ("gpa", "project", "bones", "pose_from_bones", "kcs", "part_kcs", "augment_aligned")

STAGES = (
    Stage("machine", 30, 20, machine),
    Stage("build", 150, 60, build, needs="machine"),
    Stage("import", 30, 15, imported, needs="build"),
    Stage("sass", 40, 10, sass, needs="import"),
    Stage("correct", 60, 30, correct, needs="import"),
    Stage("tests", 120, 40, cuda_tests, needs="import"),
    Stage(
        "bench_augment",
        150,
        70,
        bench(
            *("augment", "--ops", "augment", "--seconds", "1", "--compile-seconds", "70"),
            *("--batch", *_BATCHES),
        ),
        needs="import",
    ),
    Stage("memory", 40, 25, memory, needs="import"),
    Stage("train", 110, 60, train, needs="import"),
    Stage("memcheck", 90, 40, sanitize("memcheck"), needs="import"),
    Stage("racecheck", 60, 30, sanitize("racecheck"), needs="import"),
    Stage("initcheck", 60, 25, sanitize("initcheck"), needs="import"),
    Stage("synccheck", 60, 25, sanitize("synccheck"), needs="import"),
    Stage(
        "bench_bfloat16",
        45,
        20,
        bench(
            *("bfloat16", "--ops", "augment", "--dtype", "bfloat16", "--seconds", "1"),
            *("--batch", str(LARGE), "--compile-seconds", "20"),
        ),
        needs="import",
    ),
    Stage(
        "bench_others",
        180,
        40,
        bench(
            *("others", "--ops", *_OTHERS, "--seconds", "0.5", "--compile-seconds", "60"),
            *("--batch", *_BATCHES),
        ),
        needs="import",
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, help="folder for gpu_check.json")
    parser.add_argument("--seconds", type=float, default=530, help="for everything together")
    names = [stage.name for stage in STAGES]
    parser.add_argument("--only", nargs="+", choices=names, help="these stages alone")
    args = parser.parse_args(arguments)
    gpu = find_gpu()
    if gpu is None:
        print("gpu_check: no NVIDIA GPU found (nvidia-smi lists none)", file=sys.stderr)
        return 2
    gpu |= {"commit": find_commit(), "date": datetime.now(UTC).isoformat(timespec="seconds")}
    stages = _chosen(args.only)
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gpu_check_") as work:
        workspace = Workspace(args.out.resolve(), Path(work), gpu)
        report = run_stages(stages, workspace, args.seconds)
    print(*map(_goal_line, report["goals"]), sep="\n")
    print(f"{'passed' if report['passed'] else 'FAILED'}: {args.out / RESULT}")
    return 0 if report["passed"] else 1


def _chosen(only: Sequence[str] | None) -> list[Stage]:
    """The stages named, with those that they need; all where none is named."""
    wanted = set(only or [stage.name for stage in STAGES])
    for stage in reversed(STAGES):
        if stage.name in wanted and stage.needs:
            wanted.add(stage.needs)
    return [stage for stage in STAGES if stage.name in wanted]


if __name__ == "__main__":
    sys.exit(main())
