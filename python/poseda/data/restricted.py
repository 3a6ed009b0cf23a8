"""Reading pickled files without running code: arrays, dictionaries, lists, strings and numbers come
out, and a file that wants anything else is refused."""

from __future__ import annotations

import codecs
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 pickles bytes for Python 2."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"encoding {encoding}")
    return codecs.encode(text, "latin1")


def _reconstruct(kind: Any, shape: Any, dtype: Any) -> np.ndarray:
    """The empty array that numpy then gives its state."""
    if kind is not np.ndarray or shape not in ((0,), 0):
        raise pickle.UnpicklingError(f"an array of {kind} of shape {shape}")
    return np.ndarray.__new__(np.ndarray, (0,), dtype)


def _scalar(dtype: np.dtype, value: bytes = b"") -> Any:
    if dtype.hasobject:
        raise pickle.UnpicklingError("a scalar of Python objects")
    return np.frombuffer(value, dtype, 1)[0]


def _from_buffer(buffer: Any, dtype: np.dtype, shape: Any, order: str) -> np.ndarray:
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)  # type: ignore[call-overload]


def _allowed() -> dict[tuple[str, str], Callable[..., Any]]:
    names: dict[tuple[str, str], Callable[..., Any]] = {
        ("_codecs", "encode"): _encode,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("collections", "OrderedDict"): OrderedDict,
    }
    for core in ("numpy.core", "numpy._core"):  # numpy 1 and numpy 2
        names[f"{core}.multiarray", "_reconstruct"] = _reconstruct
        names[f"{core}.multiarray", "scalar"] = _scalar
        names[f"{core}.numeric", "_frombuffer"] = _from_buffer
    return names


_ALLOWED = _allowed()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "numpy.dtypes":
            found = getattr(np.dtypes, name, None)
            if isinstance(found, type) and issubclass(found, np.dtype):
                return found
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("a reference to something outside")


def load_pickle(path: str | os.PathLike[str]) -> Any:
    """The content of a ``.pkl`` file, of Python 2 or 3.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file wants more than numpy arrays, dictionaries, lists, tuples, strings
            and numbers, or is damaged; names it.
    """
    with Path(path).open("rb") as file:
        return _load(file, str(path))


def load_pickled_npz(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The members of an ``.npz`` file, also pickled ones; a 0-d object array comes as its content.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: as `load_pickle`, or if it is no ``.npz`` file.
    """
    members: dict[str, Any] = {}
    with Path(path).open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                for name in archive.namelist():
                    with archive.open(name) as member:
                        key = name.removesuffix(".npy")
                        members[key] = _read_array(member, f"{path}: {key}")
        except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
            raise ValueError(f"{path}: got no readable .npz file ({error})") from error
    return members


def _read_array(file: IO[bytes], where: str) -> Any:
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{where}: got no numpy array ({error})") from error
    if dtype.hasobject:
        array = _load(file, where)
        return array.item() if isinstance(array, np.ndarray) and array.shape == () else array
    count = int(np.prod(shape, dtype=np.int64))
    data = file.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise ValueError(f"{where}: the file is truncated")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _load(file: IO[bytes], where: str) -> Any:
    # Damaged bytes raise nearly anything, and so do crafted ones.
    try:
        return _Unpickler(file, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{where}: the pickle wants {error}; expected numpy arrays, dictionaries, lists, "
            "strings and numbers alone, and nothing else is ever loaded"
        ) from error
    except Exception as error:
        raise ValueError(f"{where}: the pickle is damaged ({error})") from error
