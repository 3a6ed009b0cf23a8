"""Makes a table of a paper, or of this project: from its rows to trainings, and from these to
Markdown and JSON, with what was published beside.

Tables that need the same training share it. The folder of a reproduction holds a folder for each
pair of data sets, in which the trainings are, and one for each table, with ``table.md``,
``table.json``, ``results.json`` (rows as of every run) and ``figures``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal

from poseda.config import Settings
from poseda.experiment import check_settings, load_data, result_row, write_json
from poseda.figures import MAX_METHODS, save_figure
from poseda.files import atomic_write
from poseda.networks.weights import load_lifter
from poseda.plan import Job, Plan, Variant, changed
from poseda.protocol import PROTOCOLS, ProtocolName
from poseda.report import COLUMNS, camera_figure, file_name, protocol, spread
from poseda.tables import CANNOT, OPEN, PAIRS, TABLES, Column, Line, Table, how_to_make

Budget = Literal["recommended", "published", "cpu", "small"]

#: frames of Human3.6M's training subjects, in batches of 1,024
STEPS_PER_EPOCH = 1524
#: settings of all rows
BUDGETS: dict[Budget, dict[str, Any]] = {
    "recommended": {},
    "published": {
        "pretrain.steps": 50 * STEPS_PER_EPOCH,
        "pretrain.batch": 1024,
        "pretrain.lr": 1e-3,
        "pretrain.final_lr": 1e-3,
        "adapt.steps": 50 * STEPS_PER_EPOCH,
        "adapt.batch": 1024,
        "adapt.lr": 1e-4,
        "adapt.warmup": 5 * STEPS_PER_EPOCH,
        "adapt.gan_lr": 1e-4,
    },
    "cpu": {
        "pretrain.steps": 3000,
        "pretrain.batch": 128,
        "adapt.steps": 3000,
        "adapt.batch": 128,
    },
    "small": {
        "width": 64,
        "pretrain.steps": 300,
        "pretrain.batch": 64,
        "adapt.steps": 300,
        "adapt.batch": 64,
        "adapt.warmup": 50,
    },
}


def _rates(pretrain: float, adapt: float) -> dict[str, float]:
    """Learning rates, of which the pre-training's falls as far as by default."""
    return {"pretrain.lr": pretrain, "pretrain.final_lr": 0.16 * pretrain, "adapt.lr": adapt}


#: what the rows of one lifter have else, unless it is given
RECIPES: dict[Budget, dict[str, dict[str, Any]]] = {
    "published": {
        "sem_gcn": {
            "pretrain.steps": 100 * STEPS_PER_EPOCH,
            "pretrain.lr": 2e-2,
            "pretrain.final_lr": 1.92e-2,
        },
        # As the authors' code of AdaptPose, whose tables have it.
        "videopose3d_27": {"strides": (1, 2)},
    },
    # Half a minute to four minutes for each training on one core. Of the rates tried, ones within
    # 1.2 mm of the least error on held-out recordings of the source (docs/lifters.md).
    "cpu": {
        "simple_baseline": {"width": 256, **_rates(3e-3, 2e-3)},
        "videopose3d": {"width": 256, **_rates(3e-3, 2e-3)},
        "videopose3d_27": {"width": 128},
        "sem_gcn": {"width": 32, **_rates(1e-2, 5e-3)},
        "st_gcn": {"width": 16, **_rates(1e-2, 5e-3)},
    },
}


@dataclass(frozen=True)
class Request:
    """What is to be made.

    Attributes:
        table: which.
        data: "open", or the folder with the papers' data as canonical files; None for
            ``$POSEDA_DATA`` or this folder.
        source: canonical file instead of the one that the table names.
        target: likewise.
        seeds: a training of each row for each.
        budget: length of trainings.
        changes: settings of all rows beyond the budget, by dotted name.
        protocol: None takes the table's, or on the open benchmark "poseda".
        device: as of `Settings`.
        camera_classes: as of `Settings`.
        out: folder of the reproduction.
    """

    table: Table
    data: str | None = None
    source: Path | None = None
    target: Path | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    budget: Budget = "recommended"
    changes: Mapping[str, Any] = field(default_factory=dict)
    protocol: ProtocolName | None = None
    device: str = "auto"
    camera_classes: tuple[str, ...] = ()
    out: Path = Path("runs/reproduce")

    @property
    def open(self) -> bool:
        """Whether it is made on the open benchmark."""
        return self.data == OPEN or self.table.pairs == (OPEN,)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of the table, on the data that is asked for."""
        if not self.open:
            return self.table.columns
        return tuple(Column(each.metric, OPEN, each.title) for each in self.table.columns)

    def how(self, pair: str) -> ProtocolName:
        """The name of the protocol by which a pair of data sets is evaluated."""
        own = self.table.protocols.get(pair, self.table.protocol)
        return self.protocol or ("poseda" if self.open else own)

    @property
    def folder(self) -> Path:
        """Of the table."""
        own = self.open and self.table.pairs != (OPEN,)
        name = f"{self.table.name}-open" if own else self.table.name
        checkpoints = {PROTOCOLS[self.how(each.pair)].checkpoint for each in self.columns}
        best = "-best" if "best-on-test" in checkpoints else ""
        return self.out / f"{name}{best}"


def find_table(name: str) -> Table:
    """A table by name.

    Raises:
        ValueError: if there is none.
    """
    if name not in TABLES:
        raise ValueError(f"name: got {name!r:.60}, expected one of {', '.join(TABLES)}")
    return TABLES[name]


def listed() -> Iterator[str]:
    """All tables, for the user."""
    for table in TABLES.values():
        rows = sum(line.method is not None for line in table.lines)
        data = "; ".join(PAIRS[pair].title for pair in table.pairs)
        no = f"; not on the open benchmark: {table.only_paper}" if table.only_paper else ""
        yield f"{table.name:18} {table.title} ({data}; {rows} rows{no})"
    for name, why in CANNOT.items():
        yield f"not there: {name}: {why}"


def plans(request: Request) -> dict[str, Plan]:
    """What has to be trained, by pair of data sets.

    Raises:
        ValueError: if the table cannot be made on that data, or a change is none.
    """
    table = request.table
    if request.open and table.only_paper:
        raise ValueError(f"{table.name}: data: got open, but {table.only_paper}")
    found = {}
    for pair in dict.fromkeys(column.pair for column in request.columns):
        source, target = _files(request, pair)
        how = request.how(pair)
        best = "-best" if PROTOCOLS[how].checkpoint == "best-on-test" else ""
        own: dict[str, Any] = {
            "source": source,
            "target": target,
            "out": request.out / f"{pair}{best}",
            "device": request.device,
            "protocol": how,
            "camera_classes": request.camera_classes,
        }
        base = changed(Settings(), {**own, **BUDGETS[request.budget], **request.changes})
        rows = [_variant(line, request) for line in table.lines if line.method is not None]
        found[pair] = Plan(base, tuple(rows), request.seeds)
    return found


def _variant(line: Line, request: Request) -> Variant:
    assert line.method is not None
    given = {**request.changes, **line.changes}
    lifter = str(given.get("lifter", Settings().lifter))
    recipe = _recipe(request.budget, lifter, line.method)
    own = {name: value for name, value in recipe.items() if name not in given}
    return Variant(line.name, line.method, {**line.changes, **own})


def _recipe(budget: Budget, lifter: str, method: str) -> dict[str, Any]:
    """What the rows of one lifter and method have beyond the budget."""
    recipe = RECIPES.get(budget, {}).get(lifter, {})
    if budget != "published" or method != "poseaug":
        return recipe
    own = {"adapt.steps": 48 * STEPS_PER_EPOCH, "adapt.warmup": 2 * STEPS_PER_EPOCH}
    rate = {"adapt.lr": 1e-3} if lifter == "sem_gcn" else {}
    return {**recipe, **own, **rate}


def _files(request: Request, pair: str) -> tuple[Path, Path]:
    own = request.data if request.data not in (None, OPEN) else os.environ.get("POSEDA_DATA", "")
    folder = Path(own or "")
    source = request.source or folder / PAIRS[pair].source
    target = request.target or folder / PAIRS[pair].target
    return source.absolute(), target.absolute()


def check_files(request: Request) -> None:
    """Finds out whether the data is there.

    Raises:
        FileNotFoundError: if not: names each file and the command that makes it.
    """
    missing = {}
    for pair in dict.fromkeys(column.pair for column in request.columns):
        expected = PAIRS[pair].source, PAIRS[pair].target
        for path, name in zip(_files(request, pair), expected, strict=True):
            if not path.is_file():
                missing[path] = how_to_make(name)
    if not missing:
        return
    said = "; ".join(f"{path} ({how})" for path, how in missing.items())
    other = "give --source and --target" if request.open else "or --data open"
    raise FileNotFoundError(f"{request.table.name}: missing: {said}; {other}")


def check_labels(found: Mapping[str, Plan]) -> None:
    """Finds out whether a table can be evaluated, before anything is trained for it.

    Raises:
        ValueError: if a target has no labelled test part.
    """
    for plan in found.values():
        _, target = load_data(plan.settings)
        if target.pose3d is None or not bool((target.split == 1).any()):
            raise ValueError(f"{plan.settings.target}: has no labelled test part to evaluate on")


def dry_run(request: Request) -> Iterator[str]:
    """The trainings of a table, and which of them are done."""
    for pair, plan in plans(request).items():
        settings = plan.settings
        yield f"{PAIRS[pair].title}: {settings.source}, {settings.target}"
        for job, done in _trainings(plan):
            yield f"  {'done ' if done else 'to do'} {job.folder}"


def _trainings(plan: Plan) -> Iterator[tuple[Job, bool]]:
    """Every training of a plan, and whether it is done."""
    for start, then in plan.jobs():
        for job in (start, *then):
            yield job, _is_done(job.folder)


def _is_done(folder: Path) -> bool:
    return (folder / "lifter.safetensors").exists()


def not_done(found: Mapping[str, Plan]) -> dict[Path, str]:
    """The trainings that are still to do, by folder, for `collect`.

    Raises:
        ValueError: if one was begun with other settings.
    """
    missing = {}
    for plan in found.values():
        for job, done in _trainings(plan):
            begun = check_settings(job)
            if not done:
                missing[job.folder] = "not trained to the end" if begun else "not trained yet"
            elif wrong := _wrong_weights(job):
                missing[job.folder] = wrong
    return missing


def _wrong_weights(job: Job) -> str | None:
    try:
        load_lifter(job.folder / "lifter.safetensors", job.settings.lifter)
    except ValueError as error:
        return str(error)
    return None


def collect(request: Request, found: Mapping[str, Plan], absent: Mapping[Path, str]) -> Path:
    """Evaluates what was trained and writes the table.

    Args:
        request: which table.
        found: what was trained, as of `plans`.
        absent: why trainings have no result, by folder. Their rows have fewer seeds, or none, and
            the table says so.

    Returns:
        Its folder.

    Raises:
        ValueError: if no training has a result.
    """
    rows: list[dict[str, Any]] = []
    lines: dict[str, str] = {}
    missing = []
    for pair, plan in found.items():
        here = []
        for variant in plan.variants:
            for seed in plan.seeds:
                why = _why_absent(plan, variant, seed, absent)
                if why is None:
                    here.append(result_row(plan, variant, seed))
                else:
                    missing.append(f"{variant.name}, seed {seed}: {why}")
        if here:
            lines[PAIRS[pair].title] = protocol(plan, here)
        rows += [{"table": request.table.name, "pair": pair, **row} for row in here]
    if not rows:
        raise ValueError(f"{request.out}: no row has a result: {missing[0]}")
    folder = request.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "results.json", rows)
    write_json(folder / "table.json", as_json(request, rows, lines) | {"missing": missing})
    text = as_markdown(request, rows, lines)
    text += "".join(f"\n- not there: {each}" for each in missing) + "\n" * bool(missing)
    text += "".join(f"\n{line}\n" for line in _draw_camera_errors(folder, rows))
    with atomic_write(folder / "table.md") as path:
        path.write_text(text, encoding="utf-8")
    return folder


def _draw_camera_errors(folder: Path, rows: list[dict[str, Any]]) -> list[str]:
    """A figure for each pair of data sets and lifter with several rows and cameras.

    Returns:
        What the table says of each, in Markdown. It stands without them where one cannot be drawn.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["pair"], row["lifter"]), []).append(row)
    said = []
    for (pair, lifter), group in groups.items():
        several = 1 < len({row["row"] for row in group}) <= MAX_METHODS
        if not several or len(group[0]["per_camera"]) < 2:
            continue
        name = f"figures/cameras-{pair}-{file_name(lifter)}.png"
        caption = f"MPJPE by camera, {lifter}, {PAIRS[pair].title}."
        try:
            (folder / name).parent.mkdir(exist_ok=True)
            save_figure(camera_figure(group), folder / name)
            said.append(f"![{caption}]({name})")
        except (OSError, ValueError) as error:
            said.append(f"No figure: {caption} {error}")
    return said


def _why_absent(plan: Plan, variant: Variant, seed: int, absent: Mapping[Path, str]) -> str | None:
    """Why a row has no result for a seed; None where it has."""
    folder, start = plan.folder(variant, seed), plan.start_folder(variant, seed)
    if folder not in absent and _is_done(folder):
        return None
    return absent.get(folder, absent.get(start))


def _values(rows: list[dict[str, Any]], line: Line, column: Column) -> list[float]:
    return [
        row[column.metric] for row in rows if (row["row"], row["pair"]) == (line.name, column.pair)
    ]


def as_json(
    request: Request, rows: list[dict[str, Any]], protocols: Mapping[str, str]
) -> dict[str, Any]:
    """The table for programs: ours and what was published, cell by cell."""
    table = request.table
    lines = []
    for line in table.lines:
        cells = []
        for column, published in zip(request.columns, line.published, strict=True):
            values = _values(rows, line, column)
            ours = None if not values else {"mean": mean(values), "values": values}
            if ours is not None:
                ours["deviation"] = stdev(values) if len(values) > 1 else None
            cells.append({"ours": ours, "published": published})
        lines.append(
            {"name": line.name, "method": line.method, "changes": dict(line.changes)}
            | {"cells": cells}
        )
    return {
        "table": table.name,
        "title": table.title,
        "published_in": table.source,
        "data": OPEN if request.open else "the papers'",
        "budget": request.budget,
        "changes": json.loads(json.dumps(dict(request.changes), default=str)),
        "seeds": list(request.seeds),
        "columns": [
            {"metric": each.metric, "pair": each.pair, "title": _title(each)}
            for each in request.columns
        ],
        "lines": lines,
        "protocol": dict(protocols),
        "note": table.note,
    }


def as_markdown(request: Request, rows: list[dict[str, Any]], protocols: Mapping[str, str]) -> str:
    """The table for a reader."""
    table = request.table
    shown = any(number is not None for line in table.lines for number in line.published)
    header = ["method"]
    for column in request.columns:
        header += [_title(column), "published"] if shown else [_title(column)]
    cells = [header, ["---"] * len(header)]
    for line in table.lines:
        own = [line.name]
        for column, published in zip(request.columns, line.published, strict=True):
            own.append(spread(_values(rows, line, column)))
            if shown:
                own.append("-" if published is None else f"{published:g}")
        cells.append(own)
    lines = [f"# {table.title}", ""]
    lines += ["| " + " | ".join(row) + " |" for row in cells]
    lines.append("")
    if shown:
        where = "; ".join(PAIRS[pair].title for pair in table.pairs)
        lines += [f"Published: {table.source}, {where}.", ""]
    if shown and request.open:
        lines += ["Ours are on other data than the published numbers: only orders compare.", ""]
    if table.note:
        lines += [table.note, ""]
    lines += [f"Ours, {title}: {line}\n" for title, line in protocols.items()]
    return "\n".join(lines)


def _title(column: Column) -> str:
    return column.title or COLUMNS[column.metric]


def parse_changes(entries: tuple[str, ...]) -> dict[str, Any]:
    """``("width=64", "adapt.lr=1e-3")`` to settings by name.

    Raises:
        ValueError: if an entry is not name=value, or a table decides that setting itself.
    """
    changes: dict[str, Any] = {}
    for entry in entries:
        name, sign, text = entry.partition("=")
        if not (name and sign):
            raise ValueError(f"set: got {entry!r:.60}, expected name=value, e.g. width=64")
        if name in ("source", "target", "out", "device", "protocol", "camera_classes"):
            raise ValueError(f"set: got {name}, which is an option by itself")
        try:
            changes[name] = json.loads(text)
        except json.JSONDecodeError:
            changes[name] = text
    return changes
