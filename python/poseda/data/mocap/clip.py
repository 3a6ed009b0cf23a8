"""What every reader of motion capture gives: the points of a recording, frame by frame."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Clip:
    """One continuous recording of one person.

    Attributes:
        name: of the recording; unique within its subject.
        subject: person; empty if unknown.
        action: empty if unknown.
        joints: S names, of joints or markers.
        positions: (F, S, 3) in the file's unit and world frame; NaN where a marker was not seen.
        fps: frames per second, or None where the file does not say.
        unit: metres per unit of the file, or None where the file does not say.
    """

    name: str
    subject: str
    action: str
    joints: tuple[str, ...]
    positions: Array
    fps: float | None
    unit: float | None = None


def describe_file(path: Path, folder: Path) -> tuple[str, str]:
    """Subject and action of a recording, as its file is called.

    ``02_01.amc`` (CMU) is of subject 02; its action is not in the name. Elsewhere the subject is
    the sub-folder of `folder` that the file lies in, if any, and the action is the name without
    the number at its end, as in ``S1/Walking 1.bvh``.
    """
    if match := re.fullmatch(r"(\d+)_\d+\w?", path.stem):
        return match[1], ""
    subject = "" if path.parent == folder else path.parent.name
    return subject, re.sub(r"[ _.-]*\d*$", "", path.stem)


def read_text(path: Path) -> str:
    """The text of a file, with Unix line ends.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no text.
    """
    content = path.read_bytes()
    if b"\0" in content:
        raise ValueError(f"{path}: got a binary file, expected text")
    text = content.decode("utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def numbers_of(words: list[str], where: str) -> Array:
    """(n,) finite float64 numbers.

    Raises:
        ValueError: if a word is no finite number; names it.
    """
    try:
        numbers = np.asarray(words, dtype=np.float64)
    except ValueError:
        numbers = np.full(len(words), np.nan)
    if not np.isfinite(numbers).all():
        wrong = next(word for word in words if not _is_number(word))
        raise ValueError(f"{where}: got {wrong[:40]!r}, expected a finite number")
    return numbers


def _is_number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False
