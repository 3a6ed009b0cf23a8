"""Writing a canonical file piece by piece, so that a set of any size needs little memory."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.checks import (
    COLUMNS,
    INTEGERS,
    REQUIRED,
    STRINGS,
    TAILS,
    Checks,
    chunks,
)
from poseda.files import atomic_write

Array = NDArray[Any]

_COPY = 1 << 20  #: bytes at a time


class PoseWriter:
    """Collects the rows of a canonical file; see `write_poses`.

    Numbers go to a scratch file for each column, strings are kept as runs of equal ones: those of a
    clip take no more memory than one.
    """

    def __init__(self, scratch: Path, where: str) -> None:
        self._scratch = scratch
        self._where = where
        self._files: dict[str, IO[bytes]] = {}
        self._runs: dict[str, list[tuple[str, int]]] = {}
        self._checks = Checks(where)
        self._columns: tuple[str, ...] | None = None
        self.rows = 0

    def add(self, **columns: Any) -> None:
        """Adds frames.

        Args:
            columns: arrays of the canonical file (see `poseda.data.poseset`), n rows each, or one
                value for all of them. Every call gives the same columns.

        Raises:
            ValueError: if a column is unknown, missing, of another shape, or of another length than
                `pose2d`. What the values are is judged in the end.
        """
        names = tuple(sorted(columns))
        known = {*REQUIRED} <= {*names} <= {*COLUMNS}
        if not known or names != (self._columns or names):
            raise ValueError(f"columns: got {names}, expected {self._columns or REQUIRED}")
        self._columns = names
        count = len(columns["pose2d"])
        if count == 0:
            return
        arrays = {name: _rows(name, values, count) for name, values in columns.items()}
        for rows in chunks(count):
            self._checks.add({name: array[rows] for name, array in arrays.items()})
        for name, array in arrays.items():
            if name in STRINGS:
                self._add_strings(name, array)
            else:
                self._add_numbers(name, array)
        self.rows += count

    def _add_strings(self, name: str, array: Array) -> None:
        runs = self._runs.setdefault(name, [])
        starts = [0, *(np.flatnonzero(array[1:] != array[:-1]) + 1), len(array)]
        for start, stop in pairwise(starts):
            runs.append((str(array[start]), int(stop - start)))

    def _add_numbers(self, name: str, array: Array) -> None:
        try:
            if name not in self._files:
                self._files[name] = (self._scratch / name).open("w+b")
            for rows in chunks(len(array)):
                self._files[name].write(np.ascontiguousarray(array[rows]).data.cast("B"))
        except OSError as error:
            raise OSError(f"cannot write {self._where}: {error.strerror}") from error

    def write(self, path: Path, about: Mapping[str, Any]) -> None:
        """Checks what was added and writes it."""
        self._checks.finish()
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name in self._columns or ():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    if name in STRINGS:
                        self._write_strings(member, name)
                    else:
                        self._write_numbers(member, name)
            if about:
                with archive.open("about.npy", "w") as member:
                    np.lib.format.write_array(member, np.asarray(json.dumps(about)))

    def _write_numbers(self, member: IO[bytes], name: str) -> None:
        dtype = np.dtype(np.int64 if name in INTEGERS else np.float32)
        _write_header(member, dtype, (self.rows, *TAILS.get(name, ())))
        self._files[name].seek(0)
        shutil.copyfileobj(self._files[name], member, _COPY)

    def _write_strings(self, member: IO[bytes], name: str) -> None:
        runs = self._runs[name]
        dtype = np.dtype(f"U{max(1, *(len(text) for text, _ in runs))}")
        _write_header(member, dtype, (self.rows,))
        for text, count in runs:
            for rows in chunks(count):
                member.write(np.full(rows.stop - rows.start, text, dtype).tobytes())

    def close(self) -> None:
        for file in self._files.values():
            file.close()


@contextmanager
def write_poses(
    path: str | os.PathLike[str], about: Mapping[str, Any] | None = None
) -> Iterator[PoseWriter]:
    """Within, frames are added and checked; at the end they are written as a canonical file, as a
    whole or not at all.

    Args:
        path: the ``.npz`` file to write or replace.
        about: what the file says of itself. The caller may still change it within the block.

    Raises:
        ValueError: if no frames were added, or they are not what the canonical format asks for.
        OSError: if the file cannot be written; nothing is left behind.
    """
    with _scratch(path) as scratch:
        writer = PoseWriter(Path(scratch), str(path))
        try:
            yield writer
            if writer.rows == 0:
                raise ValueError(f"{path}: no frames to write")
            with atomic_write(path) as temporary:
                writer.write(temporary, dict(about or {}))
        finally:
            writer.close()


def _scratch(path: str | os.PathLike[str]) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix=".poses.", dir=Path(path).parent)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from error


def _rows(name: str, values: Any, count: int) -> Array:
    """(count, ...) of the type that is written; a view where one value stands for all."""
    array = np.asarray(values)
    if name in INTEGERS and array.dtype.kind not in "iub":
        raise ValueError(f"{name}: got dtype {array.dtype}, expected integers")
    shape = (count, *TAILS.get(name, ()))
    if array.shape not in (shape, shape[1:]):
        raise ValueError(f"{name}: got shape {array.shape}, expected {shape} or {shape[1:]}")
    kind = np.str_ if name in STRINGS else np.int64 if name in INTEGERS else np.float32
    return np.broadcast_to(array.astype(kind, copy=False), shape)


def _write_header(member: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, header)
