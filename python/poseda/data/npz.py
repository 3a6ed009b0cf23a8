"""Reading ``.npz`` files a few rows at a time, so that an array need not be in memory as a whole.
Nothing is ever unpickled."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MAX_RATIO = 100  #: bytes of content for each byte of an .npz file; poses have less than 2
ALLOWANCE = 1 << 26  #: bytes of content that an .npz file may have in any case


class Unusable(ValueError):
    """A message for the user that stands as it is."""


def check_size(archive: zipfile.ZipFile, size: int, where: str) -> None:
    """Refuses an archive of `size` bytes that unpacks to far more than poses do.

    Raises:
        ValueError: names `where`, and both sizes.
    """
    content = sum(info.file_size for info in archive.infolist())
    if content > ALLOWANCE + MAX_RATIO * size:
        raise Unusable(
            f"{where}: got {content:,} bytes in a file of {size:,}, "
            f"expected at most {MAX_RATIO} times its size"
        )


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it is in Fortran's order, and data type of an ``.npy`` file.

    Raises:
        ValueError: if it is no such file. Damaged ones raise nearly anything else too.
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"version {version}")
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"shape {shape}")
    return shape, fortran, dtype


class Column:
    """One array of a file, of which `next_rows` gives some rows after the other."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.shape, fortran, self.dtype = read_header(file)
        self._file = file
        self._whole: Array | None = None
        self._next = 0
        if self.dtype.hasobject:
            return
        if math.prod(self.shape) * self.dtype.itemsize != size - file.tell():
            raise ValueError(f"{size:,} bytes with an array {self.shape} of {self.dtype}")
        if len(self.shape) == 0 or (fortran and len(self.shape) > 1):
            file.seek(0)
            self._whole = np.lib.format.read_array(file, allow_pickle=False)

    def __len__(self) -> int:
        return self.shape[0]

    def whole(self) -> Array:
        """All of it, if nothing was read before."""
        return self.next_rows(len(self)) if self._whole is None else self._whole

    def next_rows(self, count: int) -> Array:
        """The next `count` rows; read-only."""
        first, self._next = self._next, self._next + count
        if self._whole is not None:
            return self._whole[first : self._next]
        shape = (count, *self.shape[1:])
        data = self._file.read(math.prod(shape) * self.dtype.itemsize)
        return np.ndarray(shape, self.dtype, data)


class NpzReader:
    """The arrays of an ``.npz`` file.

    Args:
        path: the file.
        wanted: names of arrays; others are left alone.
        what: what is expected, for messages.

    Attributes:
        columns: the wanted arrays that are there, in the order of the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no ``.npz`` file, damaged, one that unpacks to far more than its size,
            or if a wanted array is pickled.
    """

    def __init__(self, path: Path, wanted: Collection[str], what: str) -> None:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file; expected {what}")
        if path.is_dir():
            raise ValueError(f"{path}: got a folder, expected {what}")
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                is_zip = file.read(4) == b"PK\x03\x04"
            found = "a damaged or truncated .npz file" if is_zip else "something else"
            raise ValueError(f"{path}: got {found}, expected {what}")
        self._path = path
        self.columns: dict[str, Column] = {}
        with self._damage():
            self._archive = zipfile.ZipFile(path)
        try:
            check_size(self._archive, path.stat().st_size, str(path))
            for info in self._archive.infolist():
                name = info.filename.removesuffix(".npy")
                if name in wanted:
                    self._open(name, info)
        except BaseException:
            self.close()
            raise

    def _open(self, name: str, info: zipfile.ZipInfo) -> None:
        if info.filename == name:
            raise Unusable(
                f"{self._path}: {name}: got a member without .npy, expected a numpy array"
            )
        with self._damage(name):
            column = Column(self._archive.open(info), info.file_size)
        if column.dtype.hasobject:
            raise Unusable(
                f"{self._path}: {name}: got pickled Python objects, which are never loaded; "
                "expected a plain array of numbers or strings"
            )
        self.columns[name] = column

    def whole(self, name: str) -> Array:
        """One array as a whole."""
        with self._damage(name):
            return self.columns[name].whole()

    def next_rows(self, names: Collection[str], count: int) -> dict[str, Array]:
        """The next rows of some arrays; read-only."""
        rows: dict[str, Array] = {}
        for name in names:
            with self._damage(name):
                rows[name] = self.columns[name].next_rows(count)
        return rows

    def close(self) -> None:
        self._archive.close()

    @contextmanager
    def _damage(self, name: str | None = None) -> Iterator[None]:
        """Damaged bytes raise nearly anything: zipfile, zlib and numpy each have errors of their
        own."""
        try:
            yield
        except Unusable:
            raise
        except Exception as error:
            place = self._path if name is None else f"{self._path}: {name}"
            raise Unusable(f"{place}: the file is damaged ({error})") from error
