"""Writing a canonical file piece by piece, so that a set of any size needs little memory."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from poseda.data.poseset import INTEGERS, NUMBERS, REQUIRED, STRINGS, check_arrays
from poseda.files import atomic_write

Array = NDArray[Any]

#: kind and shape of one row of each column that is kept in a scratch file
_TAILS = {"pose2d": (17, 2), "pose3d": (17, 3), "intrinsics": (4,), "image_size": (2,),
          "confidence": (17,)}  # fmt: skip
_COPY = 1 << 24


class PoseWriter:
    """Collects the rows of a canonical file; see `write_poses`."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._files: dict[str, BinaryIO] = {}
        self._strings: dict[str, list[tuple[str, int]]] = {}
        self._columns: tuple[str, ...] | None = None
        self.rows = 0

    def add(self, **columns: Any) -> None:
        """Adds frames.

        Args:
            columns: arrays of the canonical file (see `poseda.data.poseset`), n rows each, or one
                value for all of them. Every call gives the same columns.

        Raises:
            ValueError: if a column is unknown, missing, or of another length than `pose2d`.
        """
        count = len(columns["pose2d"])
        names = tuple(sorted(columns))
        unknown = set(names) - {*NUMBERS, *INTEGERS, *STRINGS}
        if unknown or not set(REQUIRED) <= set(names) or (self._columns or names) != names:
            raise ValueError(f"columns: got {names}, expected {self._columns or REQUIRED}")
        self._columns = names
        for name, values in columns.items():
            if name in STRINGS:
                self._add_strings(name, values, count)
            else:
                self._add_numbers(name, values, count)
        self.rows += count

    def _add_strings(self, name: str, values: Any, count: int) -> None:
        runs = self._strings.setdefault(name, [])
        if isinstance(values, str):
            runs.append((values, count))
            return
        if len(values) != count:
            raise ValueError(f"{name}: got {len(values)} rows, expected {count} as in pose2d")
        runs += [(str(value), 1) for value in values]

    def _add_numbers(self, name: str, values: Any, count: int) -> None:
        dtype = np.int64 if name in INTEGERS else np.float32
        shape = (count, *_TAILS.get(name, ()))
        array = np.ascontiguousarray(np.broadcast_to(np.asarray(values, dtype=dtype), shape))
        if name not in self._files:
            self._files[name] = (self._scratch / name).open("wb")
        self._files[name].write(array.data.cast("B"))

    def arrays(self) -> dict[str, Array]:
        """What was added; numbers are mapped from the scratch files."""
        found: dict[str, Array] = {}
        for name, file in self._files.items():
            file.flush()
            shape = (self.rows, *_TAILS.get(name, ()))
            dtype = np.int64 if name in INTEGERS else np.float32
            found[name] = np.memmap(file.name, dtype, "r", shape=shape)
        for name, runs in self._strings.items():
            values, counts = zip(*runs, strict=True)
            found[name] = np.repeat(np.asarray(values, dtype=np.str_), counts)
        return found

    def close(self) -> None:
        for file in self._files.values():
            file.close()


@contextmanager
def write_poses(
    path: str | os.PathLike[str], about: Mapping[str, Any] | None = None
) -> Iterator[PoseWriter]:
    """Within, frames are added; at the end they are checked and written as a canonical file, as a
    whole or not at all.

    Args:
        path: the ``.npz`` file to write or replace.
        about: what the file says of itself. The caller may still change it within the block.

    Raises:
        ValueError: if no frames were added, or they are not what the canonical format asks for.
        OSError: if the file cannot be written; nothing is left behind.
    """
    target = Path(path)
    with tempfile.TemporaryDirectory(prefix=".poses.", dir=target.parent) as scratch:
        writer = PoseWriter(Path(scratch))
        try:
            yield writer
            if writer.rows == 0:
                raise ValueError(f"{path}: no frames to write")
            arrays = writer.arrays()
            check_arrays(arrays, str(path))
            if about:
                arrays["about"] = np.asarray(json.dumps(dict(about)))
            with atomic_write(path) as temporary:
                _write_npz(temporary, arrays)
        finally:
            writer.close()


def _write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """As `numpy.savez`, without a copy of what is mapped from a file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                if isinstance(array, np.memmap):
                    header = np.lib.format.header_data_from_array_1_0(array)
                    np.lib.format.write_array_header_1_0(member, header)
                    with open(array.filename or "", "rb") as file:
                        shutil.copyfileobj(file, member, _COPY)
                else:
                    np.lib.format.write_array(member, array, allow_pickle=False)
