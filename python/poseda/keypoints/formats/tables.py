"""Keypoints as CSV.

The first line names the columns; case and what joins the parts of a name do not count. Cells are
separated by commas, semicolons or tabs; decimals have points. A cell that is empty is
a joint that was not found. ``person`` may be a name or a number, and may be left out.

- Wide, a line per person and frame: ``frame, person, nose_x, nose_y, nose_c, left_eye_x, ...``. The
  endings ``_c``, ``_score``, ``_confidence``, ``_visibility`` and ``_likelihood`` mean the same.
- Long, a line per joint: ``frame, person, joint, x, y, confidence``.

Joints are known by name and come in any order; those of a joint set that are left out count as not
found.
"""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.keypoints.detections import Detections
from poseda.keypoints.formats.common import Naming, plain
from poseda.keypoints.maps import JOINT_SETS, JointSet

Array = NDArray[Any]
CONTAINER = "csv"
_CONFIDENCE = ("c", "score", "confidence", "visibility", "likelihood")
_CHUNK = 5000  # lines
_MAX_CELL = 64  # letters
_SEPARATORS = (",", ";", "\t")  # spreadsheets follow the country


def read(path: Path, naming: Naming) -> Detections:
    """A video.

    Raises:
        ValueError: if the table is not as described above; names file and line.
    """
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        first = file.readline()
        if "\0" in first:
            raise ValueError(f"{naming.where}: got text of another encoding, expected UTF-8")
        separator = max(_SEPARATORS, key=first.count)
        lines = csv.reader(itertools.chain([first], file), delimiter=separator)
        try:
            header = [plain(name) for name in next(lines, [])]
            counts = Counter(header)
            twice = [name[:40] for name in sorted(counts) if name and counts[name] > 1][:8]
            if twice:
                raise ValueError(f"{naming.where}: line 1: got columns {twice} twice")
            if "frame" not in header:
                raise ValueError(
                    f"{naming.where}: line 1: got columns {', '.join(header[:8])[:200]}, expected "
                    "frame, person, and x, y, confidence of the joints"
                )
            if {"joint", "x", "y"} <= set(header):
                return _long(header, lines, naming)
            return _wide(header, lines, naming)
        except csv.Error as error:
            raise ValueError(
                f"{naming.where}: line {lines.line_num}: got no readable CSV ({error})"
            ) from error


def _wide(header: list[str], lines: Iterator[list[str]], naming: Naming) -> Detections:
    columns = {name: place for place, name in enumerate(header)}
    names = [name[:-1] for name in header if name[-1:] == "x" and f"{name[:-1]}y" in columns]
    joints = _set_with(names, naming)
    places = [names.index(plain(each)) if plain(each) in names else -1 for each in joints.joints]
    used = [columns["frame"]]
    for name in names:
        score = next((columns[name + end] for end in _CONFIDENCE if name + end in columns), -1)
        used += [columns[name + "x"], columns[name + "y"], score]
    table, person = _table(header, lines, naming, used)
    values = table[:, 1:].reshape(len(table), len(names), 3)
    scores = np.asarray([used[3 * number + 3] >= 0 for number in range(len(names))])
    values[:, ~scores, 2] = 1.0
    wanted = np.full((len(table), len(places), 3), np.nan)
    known = np.asarray(places) >= 0
    wanted[:, known] = values[:, np.asarray(places)[known]]
    return _detections(wanted, _frames(table[:, 0], naming), person, joints, naming)


def _long(header: list[str], lines: Iterator[list[str]], naming: Naming) -> Detections:
    columns = {name: place for place, name in enumerate(header)}
    score = next((columns[end] for end in _CONFIDENCE if end in columns), -1)
    used = [columns["frame"], columns["x"], columns["y"], score]
    table, person, joint = _table(header, lines, naming, used, ("joint",))
    if score < 0:
        table[:, 3] = 1.0
    frames = _frames(table[:, 0], naming)
    names, which = np.unique(joint, return_inverse=True)
    plains = [plain(str(name)) for name in names]
    joints = _set_with(plains, naming)
    order = {plain(each): number for number, each in enumerate(joints.joints)}
    column = np.asarray([order[name] for name in plains])[which]
    who = np.zeros(len(table), dtype="U1") if person is None else person
    _, row, back = np.unique(
        np.rec.fromarrays([who, frames]), return_index=True, return_inverse=True
    )
    values = np.full((len(row), len(joints.joints), 3), np.nan)
    twice = np.zeros(values.shape[:2], dtype=np.int64)
    np.add.at(twice, (back, column), 1)
    if twice.max(initial=0) > 1:
        first, number = (int(each[0]) for each in np.nonzero(twice > 1))
        raise ValueError(
            f"{naming.where}: frame {frames[row[first]]}: got joint {joints.joints[number]} "
            f"{twice[first, number]} times, expected it once for a person and frame"
        )
    values[back, column] = table[:, 1:]
    whose = None if person is None else person[row]
    return _detections(values, frames[row], whose, joints, naming)


def _detections(
    values: Array, frame: Array, person: Array | None, joints: JointSet, naming: Naming
) -> Detections:
    return naming.detections(
        CONTAINER, values, None, frame, frames=len(np.unique(frame)), person=person,
        joints=joints.name,
    )  # fmt: skip


def _table(
    header: list[str],
    lines: Iterator[list[str]],
    naming: Naming,
    used: Sequence[int],
    texts: Sequence[str] = (),
) -> tuple[Any, ...]:
    """(M, len(used)) numbers, NaN for an empty cell or column -1; persons; further text columns."""
    wanted = [header.index(name) for name in texts]
    whose = header.index("person") if "person" in header else -1
    numbers: list[Array] = []
    people: list[str] = []
    words: list[list[str]] = [[] for _ in wanted]
    line = 2
    while chunk := list(itertools.islice(lines, _CHUNK)):
        rows = [row for row in chunk if row]
        for offset, row in enumerate(chunk):
            if row and len(row) != len(header):
                raise ValueError(
                    f"{naming.where}: line {line + offset}: got {len(row)} cells, expected "
                    f"{len(header)} as in the first line"
                )
        numbers.append(_to_numbers(rows, used, naming, line))
        if whose >= 0:
            people += [row[whose].strip()[:80] for row in rows]
        for column, found in zip(wanted, words, strict=True):
            found += [row[column][:80] for row in rows]
        line += len(chunk)
    table = np.concatenate(numbers) if numbers else np.zeros((0, len(used)))
    if not len(table):
        raise ValueError(f"{naming.where}: got no lines below the first, expected people")
    person = np.asarray(people) if whose >= 0 else None
    return (table, person, *(np.asarray(found) for found in words))


def _to_numbers(rows: list[list[str]], used: Sequence[int], naming: Naming, line: int) -> Array:
    """(len(rows), len(used)); rows start at a line."""
    longest = max((len(cell) for row in rows for cell in row), default=0)
    if longest > _MAX_CELL:  # one long cell would make every cell of an array as long
        rows = [[cell.strip()[:_MAX_CELL] for cell in row] for row in rows]
    cells = np.asarray([["", *row] for row in rows], dtype=np.str_).reshape(len(rows), -1)
    chosen = cells[:, np.asarray(used) + 1] if len(rows) else np.zeros((0, len(used)), np.str_)
    chosen = np.where(chosen == "", "nan", chosen)
    try:
        return chosen.astype(np.float64)
    except ValueError:
        for place, column in np.ndindex(chosen.shape):
            cell = str(chosen[place, column]).strip() or "nan"
            try:
                chosen[place, column] = float(cell)
            except ValueError:
                raise ValueError(
                    f"{naming.where}: line {line + place}: got {cell!r}, expected a number"
                ) from None
        return chosen.astype(np.float64)


def _frames(values: Array, naming: Naming) -> Array:
    wrong = ~(np.abs(values) < 2.0**53) | (
        values != np.floor(np.where(np.isnan(values), 0, values))
    )
    if wrong.any():
        place = int(wrong.argmax())
        raise ValueError(
            f"{naming.where}: line {place + 2}: frame: got {values[place]:g}, expected an integer"
        )
    return values.astype(np.int64)


def _set_with(names: Sequence[str], naming: Naming) -> JointSet:
    """The smallest joint set that has these joints and needs few others."""
    fits = [
        each
        for each in JOINT_SETS.values()
        if set(names) <= {plain(joint) for joint in each.joints}
    ]
    if not names or not fits:
        known = {plain(joint) for each in JOINT_SETS.values() for joint in each.joints}
        unknown = sorted(set(names) - known)
        raise ValueError(
            f"{naming.where}: got joints {', '.join(unknown or names)[:200] or 'none'}, expected "
            f"those of one of {', '.join(JOINT_SETS)}"
        )
    return min(fits, key=lambda each: len(each.joints))
