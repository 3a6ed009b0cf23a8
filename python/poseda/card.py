"""Model cards: what a lifter's weights were trained on and how, carried by the weights themselves.

A card is one JSON object under ``card`` in the metadata of the safetensors. ``MODEL_CARD.md``
beside the weights says the same to a reader. Weights without a card, of earlier versions, still
load.

============ ==================================================================================
``format``   1
``version``  of this program
``commit``   of this program, where it ran from its repository (``-dirty`` with changes); or null
``method``   ``source-only`` (pre-training), or the name of the method that adapted it
``seed``     of initial weights, sampling and noise
``source``   the labelled data: ``name``, ``frames`` (of its train part) and ``about``, which is
             what the data file says of itself: ``labels``, ``pose2d``, ``licence``, ...
``target``   likewise the data that it was adapted to; null where none was used
``settings`` of all trainings up to these weights, by field names of `poseda.config.Settings`
``start``    the card of the weights that it started from, where they were given; otherwise null
``results``  rows of ``results.json``
============ ==================================================================================
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

FORMAT = 1
FILE_NAME = "MODEL_CARD.md"


@dataclass(frozen=True)
class DataCard:
    """One set of poses.

    Attributes:
        name: of the set.
        frames: trained on.
        about: what the data file says of itself.
    """

    name: str
    frames: int
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelCard:
    """What the head of this module describes."""

    #: a later version's card may say more
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "ignore"}

    method: str
    seed: int
    source: DataCard
    target: DataCard | None
    settings: Mapping[str, Any]
    start: ModelCard | None = None
    results: tuple[Mapping[str, Any], ...] = ()
    version: str = ""
    commit: str | None = None
    format: int = FORMAT

    def to_json(self) -> str:
        return TypeAdapter(ModelCard).dump_json(self).decode()


def parse_card(text: str, where: str) -> ModelCard:
    """The card that `ModelCard.to_json` wrote.

    Raises:
        ValueError: if the text is something else; names `where`.
    """
    try:
        return TypeAdapter(ModelCard).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: card: {place or 'text'}: {first['msg']}") from error


@functools.cache
def version_and_commit() -> tuple[str, str | None]:
    """Of this program; no commit where it does not run from its repository."""
    try:
        version = importlib.metadata.version("poseda")
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    here = Path(__file__)
    # an installed copy may lie within somebody else's repository, which does not track it
    tracked = _git(here.parent, "ls-files", "--error-unmatch", here.name) is not None
    commit = os.environ.get("POSEDA_COMMIT") or (
        _git(here.parent, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
        if tracked
        else None
    )
    return version, commit


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def markdown(
    card: ModelCard,
    lifter: str,
    width: int,
    joints: int,
    frames: int = 1,
    normalization: str = "screen",
) -> str:
    """The card for a reader.

    Args:
        card: to show.
        lifter: name of the network.
        width: of its hidden layers.
        joints: of its input and output.
        frames: of its input.
        normalization: by which it changes its input first.
    """
    shape = f"{joints}, 2" if frames == 1 else f"{frames} frames, {joints}, 2"
    middle = "" if frames == 1 else ", of the middle frame"
    first = "" if normalization == "screen" else f"; it normalises its input by {normalization}"
    lines = [f"# Model card: {lifter}, {joints} joints", ""]
    lines += _table(
        {
            "method": card.method,
            "seed": card.seed,
            "network": f"{lifter}, width {width}{first}",
            "input": f"(B, {shape}) keypoints, screen-normalised: width to [-1, 1], y down",
            "output": f"(B, {joints}, 3) metres relative to the root (joint 0), camera frame: "
            f"x right, y down, z forward{middle}",
            "program": f"poseda {card.version or 'unknown'}, commit {card.commit or 'unknown'}",
        }
    )
    lines += ["", "## Trained on", "", *_data("Labelled source", card.source)]
    if card.target is not None:
        use = "3D labels used too" if card.method == "oracle" else "2D and intrinsics only"
        lines += [*_data(f"Target ({use})", card.target)]
    if card.start is not None:
        lines += [
            f"Started from weights trained by {card.start.method} on:",
            "",
            *_data("Labelled source", card.start.source),
            *([] if card.start.target is None else _data("Target", card.start.target)),
        ]
    lines += ["The licences of the data may bind the use of the weights.", ""]
    if card.results:
        lines += ["## Results", "", *_results(card.results), ""]
    lines += ["## Settings", "", "```json", json.dumps(card.settings, indent=1), "```", ""]
    return "\n".join(lines)


def _data(title: str, data: DataCard) -> list[str]:
    rows = {"name": data.name, "train frames": f"{data.frames:,}"}
    rows |= {key: value for key, value in data.about.items() if key not in rows}
    return [f"**{title}**", "", *_table(rows), ""]


def _results(rows: tuple[Mapping[str, Any], ...]) -> list[str]:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = [keys, ["---"] * len(keys)]
    lines += [[_cell(row.get(key)) for key in keys] for row in rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _table(rows: Mapping[str, Any]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {_cell(key)} | {_cell(rows[key])} |" for key in rows)]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value)
    return " ".join(text.split()).replace("|", "\\|")
