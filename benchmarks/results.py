"""Rows of results: metadata, JSON files, tables, and the comparison of two files."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import poseda_ext

Row = dict[str, Any]

#: Every row has these; the rest is extra.
KEYS = (
    "op", "pass", "device", "dtype", "joints", "batch", "threads",
    "ours_ms", "eager_ms", "compiled_ms", "floor_ms",
)  # fmt: skip
#: What makes two rows measurements of the same thing.
IDENTITY = ("op", "pass", "device", "dtype", "joints", "batch", "threads")
OPPONENTS = ("eager", "compiled")
#: The same of a training step.
STEP_KEYS = (
    "step", "device", "batch", "width", "threads", "precision",
    "ours_ms", "baseline_ms", "networks_ms", "poses_per_s",
)  # fmt: skip
STEP_IDENTITY = ("step", "device", "batch", "width", "threads", "precision", "poses", "workers")
STEP_OPPONENTS = ("baseline", "networks")
ROOT = Path(__file__).resolve().parents[1]


def _git(*arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def _cpu_name() -> str:
    """With family and model where Linux tells: some machines' names say nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    pairs = (line.partition(":") for line in lines)
    found = {key.strip(): value.strip() for key, _, value in pairs}
    name = found.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in found and "model" in found:
        name += f" (family {found['cpu family']}, model {found['model']})"
    return name


def metadata(device: str) -> Row:
    """What a row says about where, when and with what it was measured."""
    cpu = _cpu_name()
    gpu = torch.cuda.get_device_name(0) if device == "cuda" else None
    changed = _git("status", "--porcelain", "--", "csrc", "poseda_ext", "CMakeLists.txt")
    return {
        "device_name": gpu or cpu,
        "cpu": cpu,
        "cpu_count": os.cpu_count(),
        "gpu": gpu,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "commit": os.environ.get("POSEDA_COMMIT") or _git("rev-parse", "HEAD"),
        "modified": None if changed is None else bool(changed),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "build_info": poseda_ext.build_info(),
    }


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes a file so that a reader finds the old content or the new one, never a part."""
    target = Path(path)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(value, file, indent=1)
            file.write("\n")
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def read_rows(path: str | os.PathLike[str]) -> list[Row]:
    """The rows of a file that `write_json` wrote, or the times among those of a GPU check.

    Raises:
        ValueError: if it is not a list of rows with every key.
    """
    try:
        rows = json.loads(Path(path).read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if isinstance(rows, dict) and isinstance(rows.get("rows"), list):
        rows = _times_of_check(rows)
    if not isinstance(rows, list):
        raise ValueError(f"{path}: got {type(rows).__name__}, expected a list of rows")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(f"{path}: row {number}: got {type(row).__name__}, expected an object")
        keys = STEP_KEYS if "step" in row else KEYS
        missing = [key for key in keys if key not in row]
        if missing:
            raise ValueError(f"{path}: row {number} lacks {', '.join(missing)}")
        for key in keys:
            if key.endswith("_ms") and not isinstance(row[key], float | int | None):
                raise ValueError(
                    f"{path}: row {number}: {key}: got {row[key]!r}, expected a number"
                )
    return rows


def _times_of_check(report: Row) -> list[Any]:
    """The rows of a GPU check, without those that hold no times: of ops, and of training steps."""
    stages = report.get("stages")
    train = stages.get("train") if isinstance(stages, dict) else None
    steps = train.get("train") if isinstance(train, dict) else None
    rows = [*report["rows"], *(steps if isinstance(steps, list) else [])]
    return [row for row in rows if not (isinstance(row, dict) and "ours_peak_bytes" in row)]


def ratio(row: Row, opponent: str) -> float | None:
    """How many times faster than the opponent; None where either was not measured."""
    ours, other = row["ours_ms"], row[f"{opponent}_ms"]
    return other / ours if ours and other else None


def floor_share(row: Row) -> float | None:
    """The higher of the two floors as a share of the time taken: 1 cannot be bettered."""
    ours, copy = row["ours_ms"], row["floor_ms"]
    return max(copy, row.get("arithmetic_floor_ms") or 0.0) / ours if ours and copy else None


def _number(value: float | None, form: str = ".3f", unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def _reliable(row: Row) -> bool:
    """Whether every contender had samples that other work did not disturb."""
    return bool(row.get("reliable", row.get("disturbed", 0) < 1))


_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("op", lambda r: r["op"]),
    ("pass", lambda r: r["pass"]),
    ("dtype", lambda r: r["dtype"]),
    ("batch", lambda r: f"{r['batch']:,}"),
    ("threads", lambda r: str(r["threads"])),
    ("ours ms", lambda r: _number(r["ours_ms"])),
    ("eager ms", lambda r: _number(r["eager_ms"])),
    ("compiled ms", lambda r: _number(r["compiled_ms"])),
    ("copy ms", lambda r: _number(r["floor_ms"])),
    ("arithmetic ms", lambda r: _number(r.get("arithmetic_floor_ms"))),
    ("eager/ours", lambda r: _number(ratio(r, "eager"), ".1f")),
    ("compiled/ours", lambda r: _number(ratio(r, "compiled"), ".1f")),
    ("floor share", lambda r: _number(floor_share(r), ".0%")),
    ("noise", lambda r: _number(r.get("ours_noise"), ".0%") + ("" if _reliable(r) else " ?")),
)
_LEFT = 3  # columns of words


def table(rows: Sequence[Row], markdown: bool = False) -> str:
    """The rows as aligned columns, or as a Markdown table.

    Noise is by how much the highest block median of ours lies above the lowest; a question mark
    says that other work disturbed every sample of a contender.
    """
    cells = [[title for title, _ in _COLUMNS]]
    cells += [[show(row) for _, show in _COLUMNS] for row in rows]
    if markdown:
        rule = ["---" if i < _LEFT else "---:" for i in range(len(_COLUMNS))]
        return "\n".join("| " + " | ".join(line) + " |" for line in [cells[0], rule, *cells[1:]])
    widths = [max(len(line[i]) for line in cells) for i in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < _LEFT else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def _identity(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(key) for key in (STEP_IDENTITY if "step" in row else IDENTITY))


def compare(old: Sequence[Row], new: Sequence[Row], allowed: float = 0.15) -> tuple[str, bool]:
    """Compares how many times faster than each opponent the ops or the training steps are.

    Returns:
        A report, and whether a ratio fell by more than `allowed`.

    Raises:
        ValueError: if no ratio stands in both.
    """
    before = {_identity(row): row for row in old}
    lines, fell, compared, seen = [], False, False, set()
    for row in new:
        identity = _identity(row)
        seen.add(identity)
        label = " ".join(str(part) for part in identity)
        if identity not in before:
            lines.append(f"{label}: new")
            continue
        if not (_reliable(row) and _reliable(before[identity])):
            lines.append(f"{label}: disturbed by other work, not compared")
            continue
        for opponent in STEP_OPPONENTS if "step" in row else OPPONENTS:
            was, now = ratio(before[identity], opponent), ratio(row, opponent)
            if was is None or now is None:
                lines.append(f"{label}: against {opponent} not measured in both")
                continue
            compared = True
            slower = now < (1 - allowed) * was
            fell = fell or slower
            mark = "REGRESSION" if slower else "ok"
            lines.append(f"{label}: {opponent}/ours {was:.2f} -> {now:.2f} {mark}")
    lines += [" ".join(map(str, i)) + ": no longer measured" for i in before if i not in seen]
    if not compared:
        raise ValueError("the files have no row in common that both measured: nothing was compared")
    return "\n".join(lines), fell
