"""What a run folder is to hold: rows of a table, each a method with what it changes of the run's
settings, and the trainings that they need.

Rows that agree in what decides a training share it: the pre-training of a lifter and seed is done
once, however many rows start from it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from poseda.config import KeypointSettings, Settings
from poseda.files import atomic_write

#: the settings that all rows share
OWN = ("out", "device", "checkpoint_every", "protocol", "camera_classes", "target", "keypoints")
#: those that decide a pre-training's numbers
PRETRAINING = tuple(each.name for each in fields(Settings) if each.name not in (*OWN, "adapt"))
SOURCE_ONLY = "source-only"
LONGEST_NAME = 120


@dataclass(frozen=True)
class Variant:
    """A row of a table.

    Attributes:
        name: what the row is called.
        method: how the lifter is adapted.
        changes: settings by dotted name, e.g. ``{"adapt.poseda.critic2d": "target"}``, that differ
            from the run's. Source, lifter and pre-training may be among them.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str
    method: str
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        settings: of its row.
        method: None pre-trains.
        seed: of initial weights, sampling, noise and dropout.
        folder: its own.
        start: the folder of the pre-training that it goes on from; None of a pre-training.
    """

    settings: Settings
    method: str | None
    seed: int
    folder: Path
    start: Path | None = None

    @property
    def name(self) -> str:
        """For a line of progress."""
        return f"seed {self.seed}, {self.folder.name}"


@dataclass(frozen=True)
class Plan:
    """What a run folder is to hold.

    Attributes:
        settings: that all rows share, but for their changes.
        methods: the rows; a plain name stands for a method without changes.
        seeds: of which each row has a training.

    Raises:
        ValueError: if rows or seeds are missing or stand twice, or a row changes what it cannot.
    """

    settings: Settings
    methods: tuple[str | Variant, ...]
    seeds: tuple[int, ...]

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        names = tuple(variant.name for variant in self.variants)
        for label, values in (("methods", names), ("seeds", self.seeds)):
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{label}: got {values}, expected at least one, and each once")
        if not all(0 <= seed < 2**63 for seed in self.seeds):
            raise ValueError(f"seeds: got {self.seeds}, expected numbers from 0 to 2^63 - 1")
        for variant in self.variants:
            self.settings_of(variant)

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """All rows."""
        return tuple(Variant(row, row) if isinstance(row, str) else row for row in self.methods)

    def variant(self, name: str) -> Variant:
        """The row of a name, or the plain method where there is none."""
        return next((row for row in self.variants if row.name == name), Variant(name, name))

    def settings_of(self, variant: Variant) -> Settings:
        """The run's settings with a row's changes."""
        own = [key for key in variant.changes if key.partition(".")[0] in OWN]
        if own:
            raise ValueError(f"{variant.name}: changes {', '.join(own)}, which all rows share")
        try:
            return changed(self.settings, variant.changes)
        except ValueError as error:
            raise ValueError(f"{variant.name}: {error}") from error

    def start_folder(self, variant: Variant, seed: int) -> Path:
        """Where the pre-training is that a row starts from."""
        settings = self.settings_of(variant)
        changes = {
            key: value
            for key, value in differences(self.settings, settings).items()
            if key.partition(".")[0] in PRETRAINING
        }
        return self._seed(seed) / folder_name("pretrain", changes)

    def folder(self, variant: Variant, seed: int) -> Path:
        """Where a row's training is, or the pre-training of a row that does not adapt."""
        if variant.method == SOURCE_ONLY:
            return self.start_folder(variant, seed)
        changes = differences(self.settings, self.settings_of(variant))
        return self._seed(seed) / folder_name(variant.method, changes)

    def _seed(self, seed: int) -> Path:
        return self.settings.out / f"seed{seed}"

    def jobs(self) -> list[tuple[Job, list[Job]]]:
        """Every pre-training, each with what goes on from it."""
        starts: dict[Path, Job] = {}
        then: dict[Path, dict[Path, Job]] = {}
        for seed in self.seeds:
            for variant in self.variants:
                settings = self.settings_of(variant)
                start, folder = self.start_folder(variant, seed), self.folder(variant, seed)
                starts.setdefault(start, Job(settings, None, seed, start))
                jobs = then.setdefault(start, {})
                if variant.method != SOURCE_ONLY:
                    jobs.setdefault(folder, Job(settings, variant.method, seed, folder, start))
        return [(job, list(then[start].values())) for start, job in starts.items()]


def changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Settings with some replaced.

    Args:
        settings: to begin with.
        changes: values by dotted name, as JSON has them.

    Raises:
        ValueError: if there is no such setting, or it cannot have that value.
    """
    values: dict[str, Any] = TypeAdapter(Settings).dump_python(settings)
    for key, value in changes.items():
        *path, last = key.split(".")
        part: Any = values
        for name in path:
            part = part.get(name) if isinstance(part, dict) else None
        if not isinstance(part, dict) or last not in part or isinstance(part[last], dict):
            raise ValueError(f"{key}: no such setting")
        part[last] = value
    try:
        return TypeAdapter(Settings).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(each) for each in first["loc"])
        raise ValueError(f"{place or 'settings'}: {first['msg']}") from error


def differences(base: object, other: object, prefix: str = "") -> dict[str, Any]:
    """What `other` has another value of, by dotted name."""
    found: dict[str, Any] = {}
    for each in fields(base):  # type: ignore[arg-type]
        ours, theirs = getattr(base, each.name), getattr(other, each.name)
        if is_dataclass(ours):
            found |= differences(ours, theirs, f"{prefix}{each.name}.")
        elif ours != theirs:
            found[prefix + each.name] = theirs
    return found


def folder_name(method: str, changes: Mapping[str, Any]) -> str:
    """A name that a reader can tell trainings apart by, for a file system."""
    said = {
        key.removeprefix("adapt.").removeprefix(f"{method}."): value
        for key, value in changes.items()
    }
    parts = [f"{key}={_text(said[key])}" for key in sorted(said)]
    text = "-".join([method.replace(":", "-"), *parts])
    name = re.sub(r"[^\w.,=+-]", "_", text)
    if name == text.replace(":", "-") and len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ",".join(_text(each) for each in value)
    return str(value)


def start_plan(plan: Plan) -> None:
    """Writes ``config.json`` into an empty folder.

    Raises:
        ValueError: as `check_new`.
    """
    out = plan.settings.out
    check_new(out)
    with atomic_write(out / "config.json") as path:
        path.write_bytes(TypeAdapter(Plan).dump_json(plan, indent=2))


def check_new(out: Path) -> None:
    """Finds out whether a run may start in a folder, before anything is read or written.

    Raises:
        ValueError: if the folder holds a run already, or other files.
    """
    if (out / "config.json").exists():
        raise ValueError(
            f"out: {out} holds a run already; --resume {out} goes on with it, or choose another "
            "--out"
        )
    if out.is_dir() and any(not entry.name.startswith(".") for entry in out.iterdir()):
        raise ValueError(f"out: {out} holds other files, expected a new or an empty folder")


def absolute_paths(plan: Plan) -> Plan:
    """The plan with data paths that hold from any working directory."""
    settings = plan.settings
    return replace(
        plan,
        settings=replace(
            settings,
            source=settings.source and settings.source.absolute(),
            target=settings.target and settings.target.absolute(),
            weights=settings.weights and settings.weights.absolute(),
            keypoints=_absolute_photo(settings.keypoints),
        ),
    )


def _absolute_photo(keypoints: KeypointSettings) -> KeypointSettings:
    kind, colon, photo = (keypoints.camera or "").partition(":")
    if kind != "exif" or not colon:
        return keypoints
    return replace(keypoints, camera=f"exif:{Path(photo).absolute()}")


def load_plan(folder: Path) -> Plan:
    """Reads ``config.json`` of a run folder, wherever the folder lies now.

    Raises:
        FileNotFoundError: if there is no such run.
        ValueError: if the file holds something else.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, expected the config of a run to resume")
    try:
        plan = TypeAdapter(Plan).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"{path}: is not the config of a run: {place}: {first['msg']} "
            f"({error.error_count()} errors in all)"
        ) from error
    return Plan(replace(plan.settings, out=folder), plan.methods, plan.seeds)
