"""The command line."""

from __future__ import annotations

import dataclasses
import io
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Union

import tyro
from rich.console import Console
from rich.table import Table

from poseda.config import FlatKeypoints, KeypointSettings, Settings
from poseda.data import PoseSet, load_pose_set
from poseda.data.prepare import PREPARATIONS, Preparation
from poseda.data.target import load_target
from poseda.distributed import from_first, is_first, joined, launched, speaks_first
from poseda.experiment import (
    check_plan,
    collect_results,
    evaluate_lifter,
    parse_camera_classes,
    target_lines,
    weights_of,
    write_json,
)
from poseda.export import export_lifter
from poseda.files import locked_folder, plain_text
from poseda.keypoints.files import find_files
from poseda.lifter import Lifter, check_ending
from poseda.methods import COMPARED, described, title
from poseda.networks.weights import card_text, load_lifter
from poseda.plan import Plan, absolute_paths, check_new, load_plan, start_plan
from poseda.protocol import PROTOCOLS, ProtocolName
from poseda.report import COLUMNS, gain, table, write_report
from poseda.reproduce import (
    Budget,
    Request,
    check_files,
    check_labels,
    collect,
    find_table,
    listed,
    not_done,
    parse_changes,
    plans,
)
from poseda.reproduce import dry_run as trainings
from poseda.runner import run_plan
from poseda.training.loop import Diverged, Interrupted

if TYPE_CHECKING:
    _Preparation = Preparation
else:  # one subcommand per data set
    _Preparation = Union[  # noqa: UP007
        tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, kind in PREPARATIONS.items())
    ]
FlatSettings = Annotated[Settings, tyro.conf.arg(name="")]
Split = Literal["train", "test", "all"]

ADAPT = Settings()
COMPARE = Settings(out=Path("runs/compare"))
KEYPOINTS = KeypointSettings()
PRETRAIN = Settings(out=Path("runs/pretrain"))


def adapt(
    settings: FlatSettings = ADAPT,
    method: str = "poseda",
    seed: int = 0,
    control: bool = True,
    resume: Path | None = None,
    jobs: int = 0,
) -> None:
    """Adapt a lifter to a new place: pre-train or load it, adapt it, evaluate before and after.

    The processes that torchrun starts share the batches of one training after another.

    Args:
        settings: what to train on what.
        method: how to adapt: one of `poseda methods`, or your own as package.module:Class.
        seed: of initial weights, sampling and noise.
        control: also train the control, without which a gain cannot be told from longer training.
        resume: go on with the run in this folder, with its own settings; give no others.
        jobs: trainings at a time; 0 takes one per CPU core, or one on a GPU.
    """
    methods: list[str] = ["source-only", method]
    if control:
        methods.insert(1, "control")
    unused = settings != Settings() or method != "poseda" or seed != 0 or not control
    _run(Plan(settings, tuple(dict.fromkeys(methods)), (seed,)), resume, unused, jobs, "adapt")


def compare(
    settings: FlatSettings = COMPARE,
    methods: tuple[str, ...] = COMPARED,
    seeds: tuple[int, ...] = (0, 1, 2),
    resume: Path | None = None,
    jobs: int = 0,
) -> None:
    """Compare methods over seeds at equal budgets, in one table.

    Args:
        settings: what to train on what.
        methods: rows of the table. The oracle needs 3D of the target's train part.
        seeds: a training of each method for each seed; the table gives mean and deviation.
        resume: go on with the run in this folder, with its own settings; give no others.
        jobs: trainings at a time; 0 takes one per CPU core, or one on a GPU.
    """
    unused = settings != COMPARE or methods != COMPARED or seeds != (0, 1, 2)
    _run(Plan(settings, methods, seeds), resume, unused, jobs, "compare")


def reproduce(
    name: Annotated[str | None, tyro.conf.Positional] = None,
    data: str | None = None,
    source: Path | None = None,
    target: Path | None = None,
    seeds: tuple[int, ...] = (0, 1, 2),
    budget: Budget = "recommended",
    set: tuple[str, ...] = (),
    protocol: ProtocolName | None = None,
    device: str = "auto",
    camera_classes: tuple[str, ...] = (),
    out: Path = Path("runs/reproduce"),
    jobs: int = 0,
    dry_run: bool = False,
    so_far: bool = False,
) -> None:
    """Make a table of the papers, with the published numbers beside, or list the tables.

    The same command goes on where it was stopped; tables share trainings.

    Args:
        name: of the table, e.g. poseda-table4; without it the tables are listed.
        data: open, for the open benchmark; or the folder with the data sets as canonical files,
            named as the command says where one is missing. Without it, and for the open benchmark,
            that is $POSEDA_DATA or the folder that you are in.
        source: canonical .npz instead of the one that the table names.
        target: likewise.
        seeds: a training of each row for each; the table gives mean and deviation.
        budget: recommended: the program's defaults; published: batch 1,024 and 50 epochs of
            Human3.6M; cpu: 3,000 steps of 128 and narrow lifters, one to five minutes for each
            training on one core; small: to see that it works, not how well.
        set: settings of all rows, e.g. width=512 precision=bfloat16 adapt.steps=2000.
        protocol: of evaluation; without it the table's, or on the open benchmark poseda.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.
        camera_classes: names for groups of the target's cameras, e.g. chest:0,1,2 ceiling:5,6.
        out: folder for the trainings of all tables, and for the tables.
        jobs: trainings at a time; 0 takes one per CPU core, or one on a GPU.
        dry_run: only list the trainings.
        so_far: train nothing, and make the table of the trainings that are done; it says which are
            not.
    """
    if name is None:
        if source or target or data or set or protocol or dry_run or so_far:
            raise ValueError(
                "name: got none, expected that of a table right after the command: poseda "
                "reproduce poseda-table4 ..."
            )
        for line in listed():
            print(_line(line))
        return
    if dry_run and so_far:
        raise ValueError("dry_run, so_far: got both, expected one of them")
    if launched():
        raise ValueError(
            "reproduce: got several processes, expected to be started without torchrun"
        )
    request = Request(
        *(find_table(name), data, source, target, seeds, budget, parse_changes(set)),
        *(protocol, device, camera_classes, out),
    )
    found = plans(request)
    if dry_run:
        for line in trainings(request):
            print(_line(line))
        return
    check_files(request)
    check_labels(found)
    for plan in found.values():
        check_plan(plan)
    if so_far:
        folder = collect(request, found, not_done(found))
    else:
        failed: dict[Path, str] = {}
        with ExitStack() as held:
            for plan in found.values():
                held.enter_context(locked_folder(plan.settings.out))
                failed |= _train(plan, jobs, "the same command", keep_going=True)
            folder = collect(request, found, failed)
    print((folder / "table.md").read_text(encoding="utf-8"))
    print(f"table: {folder / 'table.md'}")
    print(f"results: {folder / 'results.json'}")


def pretrain(
    settings: FlatSettings = PRETRAIN,
    seed: int = 0,
    resume: Path | None = None,
) -> None:
    """Train a lifter on the source alone.

    Args:
        settings: what to train on what.
        seed: of initial weights, sampling and dropout.
        resume: go on with the run in this folder, with its own settings; give no others.
    """
    unused = settings != PRETRAIN or seed != 0
    _run(Plan(settings, ("source-only",), (seed,)), resume, unused, 1, "pretrain")


def evaluate(
    weights: Path,
    data: Path,
    split: Split = "test",
    camera_classes: tuple[str, ...] = (),
    protocol: ProtocolName = "poseda",
    json: Path | None = None,
    lifter: str | None = None,
) -> None:
    """Measure a lifter on labelled poses.

    Args:
        weights: a lifter.safetensors.
        data: canonical .npz with pose3d.
        split: the part to measure.
        camera_classes: names for groups of cameras, e.g. chest:0,1,2 ceiling:5,6.
        protocol: joints, test-time averaging and scale of predictions.
        json: also write the numbers to this file.
        lifter: package.module:Class, if the weights are of a lifter of your own.
    """
    loaded = load_lifter(weights, lifter)
    poses = load_pose_set(
        data,
        skeleton=loaded.skeleton,
        camera_classes=parse_camera_classes(camera_classes),
        need_pose3d=True,
    )
    how = PROTOCOLS[protocol]
    if how.checkpoint != "last":
        raise ValueError(
            f"protocol: got {protocol}, which chooses among the checkpoints of a training, "
            "expected one that evaluates weights"
        )
    metrics = evaluate_lifter(loaded.module, _part(poses, split), how)
    console = Console()
    shown = Table("metric", "value", title=f"{loaded.name} on {poses.name}, {split}")
    for name, value in metrics.as_row().items():
        shown.add_row(COLUMNS.get(name, name), f"{value:,}" if name == "poses" else f"{value:.1f}")
    console.print(shown)
    about = how.measured(loaded.skeleton)
    console.print(about, soft_wrap=True, markup=False, highlight=False)
    if json is not None:
        row = {"protocol": how.name, "protocol_about": about}
        write_json(json, {**metrics.as_row(), **row})


@tyro.conf.configure(tyro.conf.ConsolidateSubcommandArgs, tyro.conf.OmitSubcommandPrefixes)
def prepare(dataset: _Preparation) -> None:
    """Make a canonical file of a data set's own files.

    Args:
        dataset: which data set; each has its own options.
    """
    for line in dataset.run().lines():
        print(_line(line))


def lift_keypoints(
    weights: Path,
    keypoints: Path,
    out: tuple[Path, ...],
    settings: FlatKeypoints = KEYPOINTS,
    split: Split = "all",
    global_position: Annotated[bool, tyro.conf.arg(name="global")] = False,
    height: float | None = None,
    lifter: str | None = None,
    device: str = "auto",
) -> None:
    """Lift 2D keypoints to 3D poses.

    Args:
        weights: a lifter.safetensors.
        keypoints: a canonical .npz, or a file or folder of keypoints as your detector writes them
            (MMPose, OpenPose, COCO results, AlphaPose, MediaPipe, CSV, npz).
        out: files to write, by their endings: .npz and .json hold everything, .bvh is for animation
            programs (a file for each person), .html is a page to look at it in a browser, .png
            shows some frames.
        settings: what is known of keypoints that are not canonical.
        split: the part of a canonical file to lift.
        global_position: also find each person's place before the camera. Each then has the same
            bones in every frame, and the depth is off by some 5 % even where the pose is right.
        height: stature of the people, metres: they are scaled to it, and their distance with them.
        lifter: package.module:Class, if the weights are of a lifter of your own.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.
    """
    if not out:
        raise ValueError("out: got no files, expected at least one")
    given = find_files(keypoints)
    for path in out:
        check_ending(path)
        if path.is_dir():
            raise ValueError(f"out: got {path}, which is a folder, expected a file")
        if path.exists() and any(path.samefile(each) for each in given):
            raise ValueError(f"out: got {path}, which is the file of the keypoints")
    ready = Lifter.load(weights, own=lifter, device=device)
    target = load_target(keypoints, settings, ready.skeleton, estimator=ready.estimator)
    target = dataclasses.replace(target, poses=_part(target.poses, split))
    lifted = ready.lift(target, global_position=global_position, height=height)
    for line in (*lifted.lines, *lifted.summary()):
        print(_line(line))
    written = [file for path in out for file in lifted.save(path)]
    print(plain_text(f"{len(lifted):,} poses: {', '.join(map(str, written))}"))


def methods() -> None:
    """List the methods."""
    entries = described()
    width = max(map(len, entries))
    for name, says in entries.items():
        print(f"{name:{width}} {says}")


def card(weights: Path) -> None:
    """Show what a lifter was trained on, how, and under which licences.

    Args:
        weights: a lifter.safetensors.
    """
    print(card_text(weights), end="")


def export(weights: Path, to: Path, lifter: str | None = None) -> None:
    """Export a lifter for other programs, as ONNX or as a program of torch.export.

    Args:
        weights: a lifter.safetensors.
        to: .onnx or .pt2 to write. It takes (B, J, 2) screen-normalised keypoints to (B, J, 3)
            metres, for any batch B, and holds that convention, the joints' names and the card.
        lifter: package.module:Class, if the weights are of a lifter of your own.
    """
    loaded = load_lifter(weights, lifter)
    worst = export_lifter(loaded, to)
    print(f"{to}: {loaded.name}, within {1000 * worst:.2g} mm of the lifter on random keypoints")


def _part(poses: PoseSet, split: Split) -> PoseSet:
    return poses if split == "all" else getattr(poses, split)


def _run(plan: Plan, resume: Path | None, unused: bool, jobs: int, command: str) -> None:
    if resume is not None and unused:
        raise ValueError("resume: got other settings too, expected none: a run keeps its own")
    again = _again(command, resume or plan.settings.out)
    with ExitStack() as held:
        with joined(again):
            plan = absolute_paths(plan) if resume is None else load_plan(resume)
            if is_first() and resume is None:
                check_new(plan.settings.out)
            check_plan(plan)
            if is_first():
                for line in target_lines(plan.settings):
                    print(_line(line), file=sys.stderr)
                held.enter_context(locked_folder(plan.settings.out))
                if resume is None:
                    start_plan(plan)
            from_first(lambda: None)  # the others wait until the folder is ready
            _train(plan, jobs, again)
            if not is_first():
                return
        _show_results(plan)


def _again(command: str, out: Path) -> str:
    """The command that goes on with a run."""
    count = os.environ.get("LOCAL_WORLD_SIZE", "N")
    program = f"torchrun --nproc-per-node {count} -m poseda" if launched() else "poseda"
    return f"{program} {command} --resume {shlex.quote(str(out))}"


def _train(plan: Plan, jobs: int, again: str, *, keep_going: bool = False) -> dict[Path, str]:
    console = Console(stderr=True)
    try:
        return run_plan(plan, jobs=jobs, console=console, keep_going=keep_going)
    except Interrupted:
        if is_first():
            console.print(f"stopped; go on with: {again}", soft_wrap=True, markup=False)
        raise SystemExit(130) from None


def _show_results(plan: Plan) -> None:
    rows = collect_results(plan)
    report = write_report(plan, rows)
    out = Console()
    if not out.is_terminal:
        out = Console(width=140)
    if rows:
        header, lines = table(rows)
        shown = Table(*header, title=f"{rows[0]['source']} to {rows[0]['target']}")
        for cells in lines:
            shown.add_row(*cells)
        out.print(shown)
        for line in gain(rows):
            out.print(line, soft_wrap=True, markup=False, highlight=False)
    if len(plan.seeds) == 1:
        for row in plan.variants:
            print(f"weights, {title(row.name)}: {weights_of(plan, row, plan.seeds[0])}")
    print(f"report: {report}")
    print(f"figures: {report.parent / 'figures'}")
    if rows:
        print(f"results: {report.parent / 'results.json'}")


COMMANDS: dict[str, Callable[..., None]] = {
    "adapt": adapt,
    "compare": compare,
    "reproduce": reproduce,
    "pretrain": pretrain,
    "evaluate": evaluate,
    "prepare": prepare,
    "lift": lift_keypoints,
    "export": export,
    "card": card,
    "methods": methods,
}


def _line(text: str) -> str:
    """A line for the user, with its indentation."""
    return " " * (len(text) - len(text.lstrip(" "))) + plain_text(text)


def _message(error: Exception) -> str:
    """An error in one line, with what a system error is about."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{os.fsdecode(error.filename)}: {error.strerror}"
    elif isinstance(error, MemoryError):
        text = f"out of memory: {text or 'no more is left'}"
    return plain_text(text)


def _any_text(stream: object) -> None:
    """Lets a stream write what its encoding lacks, such as names of files that are not UTF-8."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; known errors become one line on stderr and exit status 2."""
    _any_text(sys.stdout)
    _any_text(sys.stderr)
    sys.path.append(os.getcwd())  # where a lifter of the user's own may lie
    try:
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="poseda", args=arguments)
    except (ValueError, TypeError, OSError, ImportError, MemoryError, Diverged) as error:
        if speaks_first():
            print(f"poseda: error: {_message(error)}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt:
        if speaks_first():
            print("poseda: stopped", file=sys.stderr)
        raise SystemExit(130) from None
