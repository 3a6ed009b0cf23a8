"""Reading HDF5 files of others: plain numbers that lie in the file itself, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.prepare.base import need_package

Array = NDArray[Any]


class Hdf5File:
    """An open HDF5 file; see `open_hdf5`. Messages name the file and the dataset."""

    def __init__(self, file: Any, h5py: Any, where: str) -> None:
        self._file = file
        self._h5py = h5py
        self._where = where

    def names(self) -> list[str]:
        """What lies at the top, without MATLAB's own ``#refs#`` and ``#subsystem#``."""
        with _damage_named(self._where):
            return sorted(name for name in map(str, self._file) if not name.startswith("#"))

    def array(self, name: str) -> Array:
        """A dataset of numbers.

        Raises:
            ValueError: if it is missing or damaged, does not hold numbers, or lies in another file.
        """
        return self._numbers(self._dataset(name), name)

    def cells(self, name: str) -> list[Array]:
        """The arrays of a MATLAB cell array, which HDF5 holds as references.

        Raises:
            ValueError: as `array`, or if it is no cell array.
        """
        dataset = self._dataset(name)
        if self._h5py.check_ref_dtype(dataset.dtype) is not self._h5py.Reference:
            raise ValueError(f"{self._where}: {name}: got {dataset.dtype}, expected a cell array")
        return [
            self._cell(reference, f"{name}{{{number + 1}}}")
            for number, reference in enumerate(np.asarray(dataset).ravel())
        ]

    def _cell(self, reference: Any, name: str) -> Array:
        with _damage_named(f"{self._where}: {name}"):
            target = self._file[reference] if reference else None
        if not isinstance(target, self._h5py.Dataset):
            raise ValueError(f"{self._where}: {name}: got no array, expected numbers")
        return self._numbers(target, name)

    def _dataset(self, name: str) -> Any:
        with _damage_named(f"{self._where}: {name}"):
            link = self._file.get(name, getlink=True) if name in self._file else None
            dataset = self._file[name] if isinstance(link, self._h5py.HardLink) else None
        if link is None:
            held = ", ".join(self.names()) or "nothing"
            raise ValueError(f"{self._where}: {name}: missing; found {held}")
        if not isinstance(dataset, self._h5py.Dataset):
            raise ValueError(f"{self._where}: {name}: got no array, expected one in this file")
        return dataset

    def _numbers(self, dataset: Any, name: str) -> Array:
        with _damage_named(f"{self._where}: {name}"):
            # Either would read whatever file the dataset names.
            elsewhere = dataset.is_virtual or dataset.external
        if elsewhere:
            raise ValueError(f"{self._where}: {name}: got data of another file, expected its own")
        if dataset.dtype.kind not in "fiub":
            raise ValueError(f"{self._where}: {name}: got dtype {dataset.dtype}, expected numbers")
        with _damage_named(f"{self._where}: {name}"):
            return np.asarray(dataset)


@contextmanager
def open_hdf5(path: str | os.PathLike[str], purpose: str) -> Iterator[Hdf5File]:
    """Within, an HDF5 file is open.

    Args:
        path: of the file.
        purpose: what it is read for, for the message if h5py is missing.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no HDF5 file; names it.
        ImportError: if h5py is not installed.
    """
    h5py = need_package("h5py", extra="data", purpose=purpose)
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with _damage_named(str(path)):
        file = h5py.File(path, "r")
    with file:
        yield Hdf5File(file, h5py, str(path))


@contextmanager
def _damage_named(where: str) -> Iterator[None]:
    """What h5py makes of damaged bytes becomes a ValueError that names the place."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{where}: got no readable HDF5 data ({error})") from error
