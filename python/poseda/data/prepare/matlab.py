"""Reading MATLAB files, both those up to version 7 (scipy) and 7.3, which are HDF5 (h5py)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.prepare.base import need_package
from poseda.data.prepare.hdf5 import open_hdf5

Array = NDArray[Any]

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_PURPOSE = "read MATLAB files"


def read_matlab(
    path: str | os.PathLike[str], arrays: tuple[str, ...] = (), cells: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Some variables of a MATLAB file, each with the axes that it has in MATLAB.

    Args:
        path: the ``.mat`` file.
        arrays: variables that are numeric arrays.
        cells: variables that are cell arrays of numeric arrays.

    Returns:
        Name to array, or to the list of arrays of a cell array in MATLAB's linear order.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no MATLAB file or damaged, or a variable is missing or of another
            kind; names the file and the variable.
        ImportError: if scipy or h5py is needed and not installed.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if _is_hdf5(Path(path)):
        with open_hdf5(path, _PURPOSE) as file:
            found: dict[str, Any] = {name: file.array(name).T for name in arrays}
            # The cells of an (n, 1) array lie in HDF5 as (1, n): in the same order.
            found |= {name: [cell.T for cell in file.cells(name)] for name in cells}
            return found
    loaded = _load_v5(path, (*arrays, *cells))
    found = {name: _numbers(loaded[name], f"{path}: {name}") for name in arrays}
    for name in cells:
        if loaded[name].dtype != object:
            raise ValueError(f"{path}: {name}: got {loaded[name].dtype}, expected a cell array")
        found[name] = [
            _numbers(cell, f"{path}: {name}{{{number + 1}}}")
            for number, cell in enumerate(loaded[name].ravel(order="F"))
        ]
    return found


def _is_hdf5(path: Path) -> bool:
    """HDF5's signature stands at the start, or behind a header of 512 bytes, as MATLAB's."""
    with path.open("rb") as file:
        start = file.read(520)
    return start.startswith((_HDF5_SIGNATURE, b"MATLAB 7.3")) or start[512:] == _HDF5_SIGNATURE


def _load_v5(path: str | os.PathLike[str], names: tuple[str, ...]) -> dict[str, Any]:
    scipy_io = need_package("scipy.io", extra="data", purpose=_PURPOSE)
    try:
        loaded: dict[str, Any] = scipy_io.loadmat(path, variable_names=list(names))
        held = [name for name, _, _ in scipy_io.whosmat(path)]
    except Exception as error:  # damaged bytes raise nearly anything in scipy
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path}: got no readable MATLAB file ({reason})") from error
    missing = [name for name in names if name not in loaded]
    if missing:
        found = ", ".join(held) or "nothing"
        raise ValueError(f"{path}: {', '.join(missing)}: missing; found {found}")
    return loaded


def _numbers(value: Any, where: str) -> Array:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"{where}: got {kind}, expected numbers")
    return value
