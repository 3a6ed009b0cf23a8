"""Command line: ``python -m benchmarks COMMAND``; ``--help`` lists the commands."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from dataclasses import replace

import torch

from benchmarks.instructions import count_instructions, instructions_table
from benchmarks.memory import measure_memory
from benchmarks.readme import write_sections
from benchmarks.registry import CASES, SKELETONS, bytes_table
from benchmarks.results import Row, compare, read_rows, table, write_json
from benchmarks.runner import (
    DTYPES,
    PASSES,
    QUICK,
    CompileClock,
    Settings,
    Target,
    machine_limits,
    measure,
)
from benchmarks.scaling import SCALED_LIFTERS, scaling_tables
from benchmarks.train_step import (
    EPOCH,
    STEPS,
    Bench,
    TrainSettings,
    data,
    profile_table,
    train_table,
)
from poseda.experiment import PRECISIONS
from poseda.training.memory import keep_freed_memory


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    ops = commands.add_parser("ops", help="time the ops against plain torch and torch.compile")
    ops.add_argument("--json", required=True, metavar="FILE", help="write the rows here")
    ops.add_argument("--ops", nargs="+", choices=CASES, default=list(CASES))
    ops.add_argument("--passes", nargs="+", choices=PASSES, default=list(PASSES))
    ops.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    ops.add_argument("--dtype", choices=DTYPES, default="float32")
    ops.add_argument("--joints", type=int, choices=SKELETONS, default=16)
    ops.add_argument("--batch", nargs="+", type=_positive, default=[1024, 16384])
    ops.add_argument(
        "--threads",
        nargs="+",
        type=_positive,
        default=[1],
        help="the first for every batch, the others for the largest batch alone",
    )
    ops.add_argument("--seconds", type=_positive_number, help="time for the samples of a row")
    ops.add_argument("--quick", action="store_true", help="a rough measurement, without compile")
    ops.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    ops.add_argument(
        "--compile-seconds",
        type=float,
        default=float("inf"),
        help="once compiling took this long in all, later rows go without",
    )

    train = commands.add_parser("train", help="time the training steps against plain torch")
    train.add_argument("--json", required=True, metavar="FILE")
    train.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    train.add_argument("--batch", nargs="+", type=_positive, default=[1024])
    train.add_argument("--width", nargs="+", type=_positive, default=[1024])
    train.add_argument("--threads", nargs="+", type=_positive, default=[1])
    train.add_argument("--precision", choices=PRECISIONS, default="float32")
    train.add_argument("--poses", type=_positive, help="of each data set (GPU: an epoch's)")
    train.add_argument("--workers", type=int, help="of the baseline's loaders (GPU: 2, CPU: 0)")
    train.add_argument(
        "--seconds", type=_positive_number, default=10.0, help="time for a row's samples"
    )
    train.add_argument("--quick", action="store_true", help="a rough measurement")
    train.add_argument("--profile", action="store_true", help="also say where our time goes")

    memory = commands.add_parser("memory", help="peak memory and bit identity on CUDA")
    memory.add_argument("--json", required=True, metavar="FILE")
    memory.add_argument("--ops", nargs="+", choices=CASES, default=list(CASES))
    memory.add_argument("--batch", type=_positive, default=1 << 20)

    counted = commands.add_parser("instructions", help="instructions per pose, by callgrind")
    counted.add_argument("--json", required=True, metavar="FILE")
    counted.add_argument("--ops", nargs="+", choices=CASES, default=list(CASES))

    both = commands.add_parser("compare", help="exit status 1 where a ratio fell by over 15 %%")
    both.add_argument("old", type=_rows)
    both.add_argument("new", type=_rows)

    show = commands.add_parser("table", help="show the rows of a file")
    show.add_argument("file", type=_rows)
    show.add_argument("--markdown", action="store_true")

    commands.add_parser("readme", help="write the numbers of benchmarks/results into the READMEs")
    commands.add_parser("bytes", help="bytes and arithmetic per pose of every op")

    scaling = commands.add_parser("scaling", help="predict the efficiency of 8 and 64 GPUs")
    scaling.add_argument("--lifter", choices=SCALED_LIFTERS, default="videopose3d")
    scaling.add_argument(
        "--step-ms",
        nargs="+",
        type=_positive_number,
        default=[],
        metavar="MS",
        help="milliseconds that one GPU takes for an iteration; otherwise round ones and measured",
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value}, expected at least 1")
    return value


def _positive_number(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"got {value}, expected a finite number above 0")
    return value


def _rows(path: str) -> list[Row]:
    """A file that cannot be read is a wrong argument: exit status 2, not that of a comparison."""
    try:
        return read_rows(path)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _settings(args: argparse.Namespace) -> Settings:
    settings = QUICK if args.quick else Settings()
    if args.seconds is not None:
        settings = replace(settings, seconds=args.seconds)
    return replace(
        settings,
        compiled=not (args.quick or args.no_compile),
        compile_seconds=args.compile_seconds,
    )


def _plan(args: argparse.Namespace, threads: Sequence[int]) -> list[tuple[str, str, int, int]]:
    """What is measured: op, pass, batch and threads of each row."""
    return [
        (op, which, batch, count)
        for op in args.ops
        for batch in args.batch
        for which in args.passes
        for count in (threads if batch == max(args.batch) else threads[:1])
    ]


def run_ops(args: argparse.Namespace) -> list[Row]:
    """Measures, and writes the file anew after every row."""
    keep_freed_memory()  # as training does; else a row depends on when glibc gives pages back
    settings, clock = _settings(args), CompileClock()
    threads = args.threads if args.device == "cpu" else args.threads[:1]
    dtype = DTYPES[args.dtype]
    limits = {n: machine_limits(args.device, dtype, n, settings.seconds / 4) for n in threads}
    rows: list[Row] = []
    write_json(args.json, rows)
    for op, which, batch, count in _plan(args, threads):
        target = Target(CASES[op], which, args.device, dtype, args.joints, batch, count)
        row = measure(target, settings, clock) | limits[count]
        arithmetic_ms = row["flops"] / row["gflop_per_s"] / 1e6
        rows.append(row | {"arithmetic_floor_ms": arithmetic_ms})
        write_json(args.json, rows)
        print(table(rows[-1:]).splitlines()[1], file=sys.stderr, flush=True)
    return rows


def run_train(args: argparse.Namespace) -> None:
    """Measures, and writes the file anew after every row."""
    on_gpu = args.device == "cuda"
    rows: list[Row] = []
    write_json(args.json, rows)
    threads = args.threads[:1] if on_gpu else args.threads
    for batch, width, count in itertools.product(args.batch, args.width, threads):
        settings = TrainSettings(
            batch=batch,
            width=width,
            poses=args.poses or (EPOCH if on_gpu else 20_000),
            device=args.device,
            threads=count,
            workers=(2 if on_gpu else 0) if args.workers is None else args.workers,
            precision=args.precision,
            timing=QUICK if args.quick else Settings(seconds=args.seconds),
        )
        bench = Bench(settings, *data(settings))
        for row in bench.measure():
            rows.append(row)
            write_json(args.json, rows)
        print(train_table(rows[-len(STEPS) :]), flush=True)
        if args.profile:
            rows[-1]["profile"] = bench.profile()
            write_json(args.json, rows)
            print(profile_table(rows[-1]["profile"]), flush=True)


def _needs_cuda(args: argparse.Namespace) -> bool:
    return args.command == "memory" or getattr(args, "device", "cpu") == "cuda"


def _from_results(args: argparse.Namespace) -> int:
    """The commands that say something of results; the exit status.

    Raises:
        ValueError: if the results do not hold what that takes.
    """
    if args.command == "compare":
        report, fell = compare(args.old, args.new)
        print(report)
        return int(fell)
    if args.command == "readme":
        write_sections()
    else:
        print(scaling_tables(args.lifter, args.step_ms))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    rows: list[Row]
    if _needs_cuda(args) and not torch.cuda.is_available():
        print("benchmarks: no CUDA device on this machine", file=sys.stderr)
        return 2
    if args.command == "ops":
        print(table(run_ops(args)))
    elif args.command == "train":
        run_train(args)
    elif args.command == "memory":
        rows = []
        for op in args.ops:
            rows += measure_memory(op, args.batch)
            write_json(args.json, rows)
        print(f"{len(rows)} rows written to {args.json}")
    elif args.command == "instructions":
        rows = count_instructions(args.ops)
        write_json(args.json, rows)
        print(instructions_table(rows))
    elif args.command == "table":
        steps = [row for row in args.file if "step" in row]
        ops = [row for row in args.file if "step" not in row]
        shown = [table(ops, args.markdown)] if ops or not steps else []
        print("\n\n".join([*shown, *([train_table(steps)] if steps else [])]))
    elif args.command in ("compare", "readme", "scaling"):
        try:
            return _from_results(args)
        except ValueError as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return 2
    else:
        print(bytes_table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
