"""Reading pickled files without running code: arrays, dictionaries, lists, strings and numbers come
out, and a file that wants anything else is refused.

A pickle is a program. Here it has but the instructions of `_OPCODES` and the names of `_MAKERS`:

- It imports nothing. A name becomes an inert `_Name`, or is refused at once.
- The only functions that it calls are the few below, which check what they are given. numpy's own
  functions for unpickling trust their arguments and are not among them: an array of pointers made
  of bytes would be code, and a data type that is changed in place would be everybody's.
- It gets no more memory than its size justifies: nothing is made larger than the bytes that fill
  it, the number of instructions is limited, and so is what a ``.npz`` file may unpack to.

So nothing that comes out can be called, and nothing outside is changed.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import pickletools
import re
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.npz import Unusable, check_size, read_header

Array = NDArray[Any]

MAX_STEPS = 10_000_000  #: instructions of one pickle; Human3.6M's files have about 50,000

#: numbers, bytes, texts and Python objects, as `numpy.dtype.str` writes them without byte order
_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|c8|c16|[SU][1-9][0-9]{0,7}|O[48]?", re.ASCII)


class _Refused(Exception):
    """What the pickle wants and does not get."""


@dataclass(frozen=True)
class _Name:
    """A name that a pickle may refer to. It stands for itself and is never called."""

    module: str
    name: str


@dataclass
class _Dtype:
    """A data type as pickles build it up: its code, then its byte order."""

    code: str
    order: str = "="

    def numpy(self) -> np.dtype[Any]:
        return np.dtype("O" if self.code.startswith("O") else self.order + self.code)


def _is(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise _Refused(f"{type(value).__name__} in the place of {kind.__name__}")
    return value


def _shape(value: Any) -> tuple[int, ...]:
    if any(type(length) is not int or length < 0 for length in _is(value, tuple)):
        raise _Refused("an array of a shape that is not made of lengths")
    return value


def _raw(value: Any, count: int, dtype: np.dtype[Any]) -> bytes | bytearray:
    """The bytes of an array of `count` numbers or texts; Python 2 wrote them as text."""
    if dtype.kind == "O":
        raise _Refused("Python objects made of bytes")
    if type(value) is str:
        value = value.encode("latin1")
    size = count * dtype.itemsize
    if type(value) not in (bytes, bytearray) or len(value) != size:
        raise _Refused(f"an array of {size} bytes from something else")
    if dtype.kind == "U" and not is_unicode(np.frombuffer(value, dtype)):
        raise _Refused("text that is not Unicode")
    return value


def is_unicode(texts: Array) -> bool:
    """Whether the texts of an array have but characters that there are."""
    flat = np.ascontiguousarray(texts).reshape(-1)
    codes = flat.view(texts.dtype.str[0] + "u4")
    return int(codes.max(initial=0)) <= sys.maxunicode


def _encode(text: Any, encoding: Any) -> bytes:
    """How Python 3 pickles bytes for Python 2."""
    if encoding != "latin1":
        raise _Refused("an encoding other than latin1")
    return _is(text, str).encode("latin1")


def _dtype(code: Any, align: Any = False, copy: Any = True) -> _Dtype:
    if not _DTYPE.fullmatch(_is(code, str)):
        raise _Refused(f"the data type {code[:40]!a}")
    return _Dtype(code)


def _set_dtype(dtype: _Dtype, state: Any) -> None:
    """State is (version, byte order, subarray, names, fields, ...)."""
    _, order, *compound = _is(state, tuple)[:5]
    if order not in ("<", ">", "=", "|") or compound != [None] * 3:
        raise _Refused("a compound data type")
    dtype.order = order


def _reconstruct(kind: Any, shape: Any, code: Any) -> Array:
    """The empty array that then gets its state; of a kind that no pickle can ask for."""
    if kind != _Name("numpy", "ndarray") or shape != (0,):
        raise _Refused("an array of a kind of its own")
    return np.empty(0, "V1")


def _set_array(array: Array, state: Any) -> None:
    _, shape, spec, fortran, content = _is(state, tuple)
    if array.dtype.kind != "V":
        raise _Refused("an array that changes")
    dtype: np.dtype[Any] = _is(spec, _Dtype).numpy()
    count = math.prod(_shape(shape))
    if dtype.kind == "O":
        if len(_is(content, list)) != count:
            raise _Refused(f"an array of {count} objects from {len(content)}")
    else:
        content = bytes(_raw(content, count, dtype))
    array.__setstate__((1, shape, dtype, _is(fortran, bool), content))


def _from_buffer(buffer: Any, spec: Any, shape: Any, order: Any, axes: Any = None) -> Array:
    """How protocol 5 writes arrays."""
    dtype: np.dtype[Any] = _is(spec, _Dtype).numpy()
    raw = _raw(buffer, math.prod(_shape(shape)), dtype)
    flat = np.frombuffer(raw, dtype) if len(raw) else np.empty(0, dtype)
    if order == "K":
        return flat.reshape(shape).transpose(_shape(axes))
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _scalar(spec: Any, value: Any = b"") -> Any:
    dtype: np.dtype[Any] = _is(spec, _Dtype).numpy()
    return np.frombuffer(_raw(value, 1, dtype), dtype)[0]


def _ordered(pairs: Any = ()) -> OrderedDict[Any, Any]:
    return OrderedDict((_key(key), value) for key, value in pairs)


def _key(key: Any) -> Any:
    """Nothing nested: hashing what is nested deeply overflows the stack."""
    if type(key) not in (str, bytes, int, float):
        raise _Refused(f"{type(key).__name__} as the key of a dictionary")
    return key


def _makers() -> dict[_Name, Callable[..., Any] | None]:
    names: dict[_Name, Callable[..., Any] | None] = {
        _Name("_codecs", "encode"): _encode,
        _Name("__builtin__", "bytes"): bytes,  # without arguments, as all empty bytes
        _Name("numpy", "ndarray"): None,
        _Name("numpy", "dtype"): _dtype,
        _Name("collections", "OrderedDict"): _ordered,
    }
    for core in ("numpy.core", "numpy._core"):  # numpy 1 and numpy 2
        names[_Name(f"{core}.multiarray", "_reconstruct")] = _reconstruct
        names[_Name(f"{core}.multiarray", "scalar")] = _scalar
        names[_Name(f"{core}.numeric", "_frombuffer")] = _from_buffer
    return names


_MAKERS = _makers()


class _Unpickler(pickle._Unpickler):
    """Python's own unpickler in Python, so that each instruction can be replaced."""

    stack: list[Any]
    steps = 0

    def find_class(self, module: str, name: str) -> Any:
        found = _Name(module, name)
        if found not in _MAKERS:
            raise _Refused(ascii(f"{module}.{name}"[:100]))
        return found

    def load_inst(self) -> None:
        lines = [self.readline()[:-1].decode("latin1") for _ in range(2)]  # type: ignore[attr-defined]
        raise _Refused(f"an instance of {'.'.join(lines)[:100]!a}")

    def load_reduce(self) -> None:
        arguments = _is(self.stack.pop(), tuple)
        maker = _MAKERS[_is(self.stack.pop(), _Name)]
        if maker is None or (maker is bytes and arguments):
            raise _Refused("an array or bytes of its own making")
        self.stack.append(maker(*arguments))

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) is _Dtype:
            _set_dtype(target, state)
        else:
            _set_array(_is(target, np.ndarray), state)

    def load_bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))  # type: ignore[attr-defined]
        self.stack.append(bytearray(self.read(size)))  # type: ignore[attr-defined]

    def load_append(self) -> None:
        value = self.stack.pop()
        _is(self.stack[-1], list).append(value)

    def load_appends(self) -> None:
        values = self.pop_mark()  # type: ignore[attr-defined]
        _is(self.stack[-1], list).extend(values)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def load_setitems(self) -> None:
        self._set_items(self.pop_mark())  # type: ignore[attr-defined]

    def load_dict(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        self.stack.append({})
        self._set_items(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not OrderedDict:
            _is(target, dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value


#: What runs. Not among them: OBJ, NEWOBJ and NEWOBJ_EX make objects, EXT1 to EXT4 call up names
#: that some other part of the process registered, PERSID, BINPERSID, NEXT_BUFFER and
#: READONLY_BUFFER what is outside of the file. INST, which makes objects too, is there to be
#: refused by name.
_OPCODES = {
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP",
    "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4",
    "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "TUPLE", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST", "APPEND", "APPENDS",
    "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS",
    "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET",
    "GLOBAL", "STACK_GLOBAL", "INST", "REDUCE", "BUILD",
}  # fmt: skip


def _handler(opcode: pickletools.OpcodeInfo) -> Callable[[Any], None]:
    base = pickle._Unpickler.dispatch[ord(opcode.code)]
    handle = getattr(_Unpickler, base.__name__, base)
    allowed = opcode.name in _OPCODES

    def run(unpickler: Any) -> None:
        if not allowed:
            raise _Refused(f"the instruction {opcode.name}")
        unpickler.steps += 1
        if unpickler.steps > MAX_STEPS:
            raise _Refused(f"more than {MAX_STEPS:,} instructions")
        handle(unpickler)

    return run


_Unpickler.dispatch = {ord(opcode.code): _handler(opcode) for opcode in pickletools.opcodes}


class _Bounded:
    """A file that gives no more than is left of it, before any memory is taken for it."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def read(self, count: int) -> bytes:
        if count > self._left:
            raise EOFError(f"{count:,} bytes announced, {self._left:,} left")
        data = self._file.read(count)
        self._left -= count
        if len(data) != count:
            raise EOFError("the file is truncated")
        return data

    def readline(self) -> bytes:
        line = self._file.readline(self._left)
        self._left -= len(line)
        return line


def load_pickle(path: str | os.PathLike[str]) -> Any:
    """The content of a ``.pkl`` file, of Python 2 or 3.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file wants more than numpy arrays, dictionaries, lists, tuples, strings
            and numbers, or is damaged; names it.
    """
    with Path(path).open("rb") as file:
        return _load(file, os.fstat(file.fileno()).st_size, str(path))


def load_pickled_npz(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The members of an ``.npz`` file, also pickled ones; a 0-d object array comes as its content.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: as `load_pickle`, or if it is no ``.npz`` file, or one that unpacks to far
            more than its size.
    """
    members: dict[str, Any] = {}
    with Path(path).open("rb") as file:
        # Damaged bytes raise nearly anything: zipfile and zlib have errors of their own.
        try:
            with zipfile.ZipFile(file) as archive:
                check_size(archive, os.fstat(file.fileno()).st_size, str(path))
                for info in archive.infolist():
                    key = info.filename.removesuffix(".npy")
                    with archive.open(info) as member:
                        members[key] = _member(member, info.file_size, f"{path}: {key}")
        except Unusable:
            raise
        except Exception as error:
            raise ValueError(f"{path}: got no readable .npz file ({error})") from error
    return members


def _member(file: IO[bytes], size: int, where: str) -> Any:
    try:
        shape, _, dtype = read_header(file)
        if not _DTYPE.fullmatch(dtype.str[1:]):
            raise ValueError(f"of data type {dtype.str[:40]}")
    except Exception as error:
        raise Unusable(f"{where}: got no numpy array ({error})") from error
    left = size - file.tell()
    if dtype.kind == "O":
        array = _load(io.BufferedReader(file), left, where)  # type: ignore[type-var]
        if not isinstance(array, np.ndarray) or array.shape != shape:
            raise Unusable(f"{where}: got a pickle of something else than the array announced")
        return array.item() if shape == () else array
    if math.prod(shape) * dtype.itemsize != left:
        raise Unusable(f"{where}: got {left:,} bytes for an array {shape} of {dtype.str}")
    file.seek(0)
    array = np.lib.format.read_array(file, allow_pickle=False)
    if dtype.kind == "U" and not is_unicode(array):
        raise Unusable(f"{where}: got text that is not Unicode")
    return array


def _load(file: IO[bytes], size: int, where: str) -> Any:
    # Damaged bytes raise nearly anything, and so do crafted ones.
    try:
        return _Unpickler(_Bounded(file, size), encoding="latin1").load()
    except _Refused as error:
        raise Unusable(
            f"{where}: the pickle wants {error}; expected numpy arrays, dictionaries, lists, "
            "strings and numbers alone, and nothing else is ever loaded"
        ) from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise Unusable(f"{where}: the pickle is damaged ({reason[:200]!a})") from error
