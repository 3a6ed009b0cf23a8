"""Writes the sections of the README files that show measured numbers, from `benchmarks/results`.

A section stands between ``<!-- benchmarks: begin -->`` and ``<!-- benchmarks: end -->``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.goals import CPU_GOALS, goals_table, judge
from benchmarks.instructions import instructions_table
from benchmarks.registry import CASES
from benchmarks.results import OPPONENTS, ROOT, Row, floor_share, ratio, read_rows, table
from benchmarks.train_step import profile_table

RESULTS = ROOT / "benchmarks" / "results"
OPS, INSTRUCTIONS, TRAIN, GPU = (
    f"{name}.json" for name in ("ops_cpu", "instructions_cpu", "train_cpu", "gpu_check")
)
PASSES = {"fwd": "forward", "fwd_bwd": "forward + backward"}
_SECTION = re.compile(r"(<!-- benchmarks: begin[^>]*-->\n).*?(<!-- benchmarks: end -->)", re.DOTALL)


#: What the READMEs say of where rows come from.
ORIGIN = ("cpu", "cpu_count", "gpu", "torch", "python", "commit", "date")


def _load(folder: Path, name: str) -> Any:
    """The content of a results file; None where it is not there."""
    path = folder / name
    return json.loads(path.read_text()) if path.exists() else None


def _checked(rows: list[Row], path: Path) -> list[Row]:
    """The rows, if there are some and each says where it comes from."""
    if not rows:
        raise ValueError(f"{path}: holds no rows")
    for number, row in enumerate(rows):
        missing = [key for key in ORIGIN if key not in row]
        if missing:
            raise ValueError(f"{path}: row {number} lacks {', '.join(missing)}")
    return rows


def _op_files(folder: Path) -> list[list[Row]]:
    """The rows of each processor that the ops were measured on: of `OPS`, which has to be there,
    and of files of that name with more behind it, such as ops_cpu_zen4.json."""
    first = folder / OPS
    others = sorted(folder.glob(f"{first.stem}_*.json"))
    return [_checked(read_rows(path), path) for path in (first, *others)]


def _origin(rows: Sequence[Row]) -> str:
    """Machine, torch, kernels, commit and date."""
    first = rows[0]
    commits = sorted({(row["commit"] or "unknown")[:12] for row in rows})
    kernels = (first.get("build_info") or {}).get("cpu_level")
    machine = f"{first['cpu']}, {first['cpu_count']} cores" if not first["gpu"] else first["gpu"]
    parts = [
        machine,
        f"{kernels} kernels" if kernels and not first["gpu"] else None,
        f"torch {first['torch']}",
        f"Python {first['python']}",
        f"commit {', '.join(f'`{commit}`' for commit in commits)}",
        first["date"][:10],
    ]
    changed = any(row.get("modified") for row in rows)
    return ", ".join(p for p in parts if p) + (", with uncommitted changes" if changed else "")


def _times(row: Row, opponent: str) -> str:
    ms, times = row[f"{opponent}_ms"], ratio(row, opponent)
    return "-" if ms is None or times is None else f"{ms:.3g} ({times:.2g}x)"


def main_table(rows: Sequence[Row]) -> str:
    """`augment` in every pass, batch and number of threads."""
    lines = [
        "| pass | batch | threads | ours | plain torch, eager | plain torch, compiled | floor |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    order = list(PASSES)
    for row in sorted(rows, key=lambda r: (order.index(r["pass"]), r["batch"], r["threads"])):
        share = floor_share(row)
        lines.append(
            f"| {PASSES[row['pass']]} | {row['batch']:,} | {row['threads']} "
            f"| {row['ours_ms']:.3g} | {_times(row, 'eager')} | {_times(row, 'compiled')} "
            f"| {'-' if share is None else f'{share:.0%}'} |"
        )
    return "\n".join(lines)


def _range(rows: Sequence[Row], opponent: str) -> str:
    found = [value for row in rows if (value := ratio(row, opponent)) is not None]
    return f"{min(found):.1f} to {max(found):.1f}" if found else "-"


def other_table(rows: Sequence[Row]) -> str:
    """For each other op how many times faster ours is, over all batches and threads."""
    lines = [
        "| op | forward: eager | compiled | forward + backward: eager | compiled |",
        "|---|---:|---:|---:|---:|",
    ]
    for op in CASES:
        of_op = [[r for r in rows if r["op"] == op and r["pass"] == which] for which in PASSES]
        if op != "augment" and any(of_op):
            cells = [_range(found, opponent) for found in of_op for opponent in OPPONENTS]
            lines.append(f"| `{op}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def not_won(rows: Sequence[Row], how: str = "") -> str:
    """The cases in which ours is not the fastest; where there are none, the smallest lead.

    Args:
        rows: in which to look.
        how: of the calls, for the heading.
    """
    leads = [
        (times, _lead(row, opponent, times))
        for row in rows
        for opponent in OPPONENTS
        if (times := ratio(row, opponent)) is not None
    ]
    lost = [f"- {words}" for times, words in sorted(leads) if times <= 1]
    if lost:
        return "\n".join([f"Where ours is not the fastest{how}:", "", *lost])
    if not leads:
        return ""
    return f"Ours is the fastest in every row{how}; the smallest lead: {min(leads)[1]}."


def _lead(row: Row, opponent: str, times: float) -> str:
    form = f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"
    if row["device"] == "cuda":
        form = row["dtype"]
    return (
        f"`{row['op']}` {PASSES[row['pass']]}, batch {row['batch']:,}, {form}: "
        f"{times:.2f}x against {opponent}"
    )


def _in_graphs(rows: Sequence[Row]) -> list[Row]:
    """The rows with times as in replayed CUDA graphs, which training runs."""
    names = ("ours", *OPPONENTS)
    return [row | {f"{name}_ms": row.get(f"{name}_graph_ms") for name in names} for row in rows]


def _train_lines(rows: Sequence[Row]) -> str:
    """The training steps, milliseconds."""
    lines = [
        "| step | precision | batch | width | threads | ours | plain torch | bare networks "
        "| poses/s |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        times = row["baseline_ms"] / row["ours_ms"]
        lines.append(
            f"| {row['step']} | {row['precision']} | {row['batch']:,} | {row['width']:,} "
            f"| {row['threads']} "
            f"| {row['ours_ms']:.3g} "
            f"| {row['baseline_ms']:.3g} ({times:.2g}x) | {row['networks_ms']:.3g} "
            f"| {row['poses_per_s']:,.0f} |"
        )
    return "\n".join(lines)


def _training(rows: list[Row]) -> list[str]:
    """The training steps, and where the time of an iteration goes."""
    parts = [f"Training, milliseconds a step ({_origin(rows)}):", _train_lines(rows)]
    for row in rows:
        if "profile" in row:
            form = f"{row['precision']}, batch {row['batch']:,}, width {row['width']:,}"
            parts += [f"Where the time of an iteration goes, {form}:"]
            parts += [profile_table(row["profile"])]
    return parts


def _gpu_lines(report: Any) -> str:
    if report is None:
        return "On a GPU: not measured yet; `make gpu-check OUT=DIR` does it."
    rows = report["rows"]
    augment = [r for r in rows if r["op"] == "augment" and r["dtype"] == "float32"]
    machine = report["machine"]
    origin = (
        f"{machine['gpu']}, torch {machine.get('torch')}, commit "
        f"`{(machine.get('commit') or 'unknown')[:12]}`, {machine.get('date', '')[:10]}"
    )
    failed = [name for name, stage in report["stages"].items() if stage["status"] != "passed"]
    state = f" Stages that did not pass: {', '.join(failed)}." if failed else ""
    parts = [
        f"On a GPU ({origin}), float32, milliseconds a call from Python:{state}",
        *([report["note"]] if "note" in report else []),
        main_table(augment),
        not_won(rows, ", called from Python"),
        not_won(_in_graphs(rows), " in replayed CUDA graphs"),
    ]
    train = report["stages"].get("train", {}).get("train")
    if train:
        parts += _training(train)
    parts.append("The goals, in replayed CUDA graphs where there is a time:")
    return "\n\n".join([*(p for p in parts if p), goals_table(report.get("goals", []))])


def _augment_lines(rows: Sequence[Row]) -> list[str]:
    return [main_table([row for row in rows if row["op"] == "augment"]), not_won(rows)]


def _other_processor(rows: Sequence[Row]) -> list[str]:
    """`augment`, what is lost, and the goals of the ops on a processor other than the first."""
    goals = [goal for goal in judge(rows, CPU_GOALS) if goal["measured"] is not None]
    title = f"`augment` and the goals of the ops on another processor, {_origin(rows)}:"
    return [title, *_augment_lines(rows), goals_table(goals) if goals else ""]


def performance(folder: Path = RESULTS) -> str:
    """The section of the project's README."""
    rows, *others = _op_files(folder)
    augment, lost = _augment_lines(rows)
    train = _load(folder, TRAIN)
    parts = [
        f"{_origin(rows)}.",
        "`augment` with all stages, 16 joints, float32, milliseconds a call, all in one run.\n"
        "In brackets: how many times faster ours is. Floor: the time that the machine needs at\n"
        "least, as a share of ours.",
        augment,
        "The other ops, times faster, from the least to the most over batches and threads:",
        other_table(rows),
        lost,
    ]
    if train:
        parts += _training(_checked(train, folder / TRAIN))
    goals = judge([*rows, *(train or [])], CPU_GOALS)
    parts += ["The goals on a CPU:", goals_table(goals)]
    for other in others:
        parts += _other_processor(other)
    return "\n\n".join(part for part in [*parts, _gpu_lines(_load(folder, GPU))] if part)


def _op_details(rows: Sequence[Row]) -> list[str]:
    """Every row of one processor."""
    copies = {row["threads"]: row.get("large_copy_gb_per_s") for row in rows}
    products = {row["threads"]: row.get("gflop_per_s") for row in rows}
    limits = [
        f"{name} on {threads} thread{'s' if threads > 1 else ''} {value:,.0f} {unit}"
        for name, found, unit in (
            ("a large copy", copies, "GB/s"),
            ("a matrix product", products, "GFLOP/s"),
        )
        for threads, value in found.items()
        if value
    ]
    doubtful = sum(not row.get("reliable", True) for row in rows)
    return [
        f"CPU: {_origin(rows)}. Measured limits: {', '.join(limits)}. "
        f"{doubtful or 'No'} row{'' if doubtful == 1 else 's'} disturbed by other work.",
        table(rows, markdown=True),
    ]


def details(folder: Path = RESULTS) -> str:
    """The section of the benchmarks' README: every row, and the instruction counts."""
    counted = _load(folder, INSTRUCTIONS)
    parts = [part for rows in _op_files(folder) for part in _op_details(rows)]
    if counted:
        parts += [
            f"Instructions ({counted[0]['level']} kernels, which is the most that valgrind knows; "
            f"commit `{(counted[0]['commit'] or 'unknown')[:12]}`):",
            instructions_table(counted),
        ]
    report = _load(folder, GPU)
    if report:
        parts += [f"GPU: {report['machine']['gpu']}.", table(report["rows"], markdown=True)]
    else:
        parts.append("GPU: not measured yet. No number for CUDA is given until it has been.")
    return "\n\n".join(parts)


def sections(folder: Path = RESULTS) -> dict[Path, str]:
    """What each file's section should hold."""
    return {
        ROOT / "README.md": performance(folder),
        ROOT / "benchmarks" / "README.md": details(folder),
    }


def with_section(text: str, section: str) -> str:
    """The text with its section replaced.

    Raises:
        ValueError: if it has not exactly one.
    """
    found = len(_SECTION.findall(text))
    if found != 1:
        raise ValueError(f"got {found} sections of benchmarks, expected 1")
    return _SECTION.sub(lambda match: f"{match[1]}{section}\n{match[2]}", text)


def write_sections() -> None:
    """Writes both files anew."""
    for path, section in sections().items():
        path.write_text(with_section(path.read_text(), section))
