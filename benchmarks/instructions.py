"""Instructions per pose, counted by callgrind: a second opinion on speed that has no noise.

What is counted is everything that a call does on one thread, Python included. The count per pose is
the difference of two batches over the difference of their sizes, so that what a call costs whatever
its batch drops out. valgrind knows no AVX-512: ours runs on its AVX2 kernels, and torch does too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.registry import CASES
from benchmarks.results import ROOT, Row, metadata
from benchmarks.runner import PASSES, Target, bind, make_sets

LEVEL = "avx2"
BATCHES = (1024, 2048)
SIDES = ("ours", "eager")


def _targets(ops: Sequence[str]) -> list[tuple[Target, str]]:
    """What is counted, in the order of the dumps."""
    return [
        (Target(CASES[op], which, "cpu", torch.float32, 16, batch, 1), side)
        for op in ops
        for which in PASSES
        for side in SIDES
        for batch in BATCHES
    ]


def run_counted(ops: Sequence[str]) -> None:
    """What runs under callgrind: every call once uncounted, then once counted."""
    torch.set_num_threads(1)
    for target, side in _targets(ops):
        function = target.case.fused if side == "ours" else target.case.reference
        call = bind(function, target, make_sets(target))
        for i in range(2):
            call(i)
        torch._C._valgrind_toggle()
        call(0)
        torch._C._valgrind_toggle_and_dump_stats()


def read_totals(folder: Path) -> list[int]:
    """The instructions of each dump, in order."""
    dumps = sorted(folder.glob("counts.[0-9]*"), key=lambda path: int(path.suffix[1:]))
    totals = [re.search(r"^(?:totals|summary): (\d+)", d.read_text(), re.MULTILINE) for d in dumps]
    return [int(found[1]) for found in totals if found]


def count_instructions(ops: Sequence[str]) -> list[Row]:
    """A row per op and pass; takes minutes, nearly all of it for importing torch.

    Raises:
        RuntimeError: without valgrind, or where it fails.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise RuntimeError("valgrind is not installed")
    with tempfile.TemporaryDirectory(prefix="poseda_counts_") as folder:
        command = [
            *(valgrind, "--tool=callgrind", "--collect-atstart=no"),
            f"--callgrind-out-file={folder}/counts",
            *(sys.executable, "-m", "benchmarks.instructions", *ops),
        ]
        environment = {
            **os.environ,
            "POSEDA_CPU_CAPABILITY": LEVEL,
            "OMP_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
        }
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        totals = read_totals(Path(folder))
    targets = _targets(ops)
    if done.returncode or len(totals) != len(targets):
        raise RuntimeError(f"valgrind failed after {len(totals)} counts: {done.stderr[-2000:]}")
    counts = {
        (t.case.op, t.which, s, t.batch): n for (t, s), n in zip(targets, totals, strict=True)
    }
    common = metadata("cpu") | {"level": LEVEL, "joints": 16, "dtype": "float32"}
    return [
        {"op": op, "pass": which, **_per_pose(counts, op, which), **common}
        for op in ops
        for which in PASSES
    ]


def _per_pose(counts: dict[tuple[str, str, str, int], int], op: str, which: str) -> Row:
    small, large = BATCHES
    row: Row = {}
    for side in SIDES:
        first, second = (counts[op, which, side, batch] for batch in BATCHES)
        per_pose = (second - first) / (large - small)
        row |= {f"{side}_per_pose": per_pose, f"{side}_per_call": first - small * per_pose}
    return row


def instructions_table(rows: Sequence[Row]) -> str:
    """A Markdown table."""
    lines = [
        "| op | pass | ours, per pose | eager, per pose | eager/ours | ours, per call |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        ours, eager = row["ours_per_pose"], row["eager_per_pose"]
        lines.append(
            f"| {row['op']} | {row['pass']} | {ours:,.0f} | {eager:,.0f} | {eager / ours:.1f} "
            f"| {row['ours_per_call']:,.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    run_counted(sys.argv[1:])
