"""Reading pickles that others made: what is in them comes back exactly, and none of it runs."""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import random
import struct
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poseda.data import npz, restricted
from poseda.data.restricted import load_pickle, load_pickled_npz

PROTOCOLS = range(6)
CANARY = "touched"


@pytest.fixture(autouse=True)
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every attack below would make a file in the current folder."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not Path(CANARY).exists()


def loads(data: bytes) -> Any:
    """As `load_pickle`, without the file."""
    return restricted._load(io.BytesIO(data), len(data), "file.pkl")


def same(found: Any, expected: Any) -> bool:
    """Equal in content, type and data type, all the way down."""
    if type(found) is not type(expected):
        return False
    if isinstance(expected, np.ndarray):
        if found.shape != expected.shape or found.dtype != expected.dtype:
            return False
        if expected.dtype.kind != "O":
            return found.tobytes() == expected.tobytes()
        return all(same(a, b) for a, b in zip(found.flat, expected.flat, strict=True))
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(same(found[k], expected[k]) for k in expected)
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(same, found, expected))
    return bool(found == expected)


# --------------------------------------------------------------------------------- what is let in


def _objects(*items: Any) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


CONTENTS = {
    "numbers": [0, -1, 255, 65536, 1 << 80, -(1 << 2000), 1.5, float("inf"), True, False, None],
    "texts": ["", "S1", "Grüße \N{GRINNING FACE}", "line\nline'\"\\", b"", b"\x00\xff", "x" * 300],
    "nested": {"S1": {"Walking 1": [(1, 2.0, ("a",)), [], {}, ()]}, 3: "three", 2.5: b"bytes"},
    "ordered": OrderedDict(z=1, a=[2], m=OrderedDict()),
    "shared": [[shared := [1, 2]], shared, {"again": shared}],
    "floats": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4),
    "large": np.arange(100_000.0).reshape(-1, 4),
    "kinds": [np.arange(4).astype(k) for k in ("b1", "i1", "u2", "i8", "f2", "f8", "c8", "c16")],
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "turned": np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0),
    "none at all": [np.zeros((0, 17, 3), np.float32), np.zeros(0)],
    "no dimension": np.array(2.5),
    "words": [np.array(["Hip", "Neck/Nose", "ü"]), np.array([b"ab", b"c"]), np.array("text")],
    "scalars": [np.float32(0.1), np.int64(-3), np.bool_(True), np.str_("é"), np.bytes_(b"x")],
    "objects": _objects(np.ones(3), None, _objects("in", _objects({"deep": np.zeros(2)})), [1]),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("content", CONTENTS)
def test_content_comes_back_exactly(content: str, protocol: int) -> None:
    expected = CONTENTS[content]
    assert same(loads(pickle.dumps(expected, protocol)), expected)


def test_file_comes_back_exactly_or_is_refused() -> None:
    path = Path("file.pkl")
    path.write_bytes(pickle.dumps(CONTENTS))
    assert same(load_pickle(path), CONTENTS)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match=r"^file\.pkl: the pickle wants 'posix\.system'"):
        load_pickle(path)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_was_one_object_stays_one(protocol: int) -> None:
    array = np.arange(3.0)
    pair: list[Any] = [array, array]
    pair.append(pair)
    found = loads(pickle.dumps(pair, protocol))
    assert found[0] is found[1]
    assert found[2] is found


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_other_byte_order_keeps_its_values(protocol: int) -> None:
    found = loads(pickle.dumps(np.arange(5, dtype=">i4"), protocol))
    assert found.tolist() == [0, 1, 2, 3, 4]
    assert np.dtype("i4").isnative


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_1_and_numpy_2_names_both_work(protocol: int) -> None:
    expected = [np.arange(6.0).reshape(2, 3), np.float32(2), _objects(1, "a")]
    data = pickle.dumps(expected, protocol)
    old, new = b"numpy.core", b"numpy._core"
    assert same(loads(_renamed(data, old, new)), expected)
    assert same(loads(_renamed(data, new, old)), expected)


def _renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    """With another module name. The length before it and of the frame changes with it."""
    for tail in (b".multiarray", b".numeric"):
        before, after = old + tail, new + tail
        data = data.replace(b"\x8c%c%b" % (len(before), before), b"\x8c%c%b" % (len(after), after))
        data = data.replace(b"c%b\n" % before, b"c%b\n" % after)
    if data[:1] == b"\x80" and data[1] >= 4:
        data = data[:3] + struct.pack("<Q", len(data) - 11) + data[11:]
    return data


@pytest.mark.parametrize("raw_first", [b"\x00", b"\x0a\xf3"])
def test_arrays_of_python_2(raw_first: bytes) -> None:
    """The very bytes that Python 2 writes: `str` for text and for the numbers alike."""
    raw = raw_first + bytes(range(16 - len(raw_first)))
    state = b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ"
    state += b"\xff\xff\xff\xffK\x00tb\x89U\x10" + raw + b"tb"
    start = b"\x80\x02}q\x00U\x05posesq\x01cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
    found = loads(start + b"K\x00\x85U\x01b\x87R" + state + b"s.")
    np.testing.assert_array_equal(found["poses"].view(np.uint8), np.frombuffer(raw, np.uint8))

    text = "".join(f"\\x{byte:02x}" for byte in raw).encode()  # protocol 0
    start = b"(dp0\nS'poses'\np1\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\nt"
    state = b"(I1\n(I2\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'"
    found = loads(start + b"S'b'\ntR" + state + text + b"'\ntbs.")
    assert found["poses"].tobytes() == raw


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_comes_back_exactly(save: Callable[..., None]) -> None:
    poses = {"S1": {"Walking": np.ones((3, 32, 3), np.float32)}}
    members = {
        "positions_3d": poses,
        "list": _objects([1, 2], "a"),
        "plain": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "text": np.array(["a", "bc"]),
        "empty": np.zeros((0, 2)),
    }
    save("file.npz", **members)
    found = load_pickled_npz("file.npz")
    assert list(found) == list(members)
    for name, expected in members.items():
        assert same(found[name], expected), name


# ------------------------------------------------------------------------------ what is turned away


class Evil:
    """Pickled, a call of `function`."""

    def __init__(self, function: Callable[..., Any] = os.system, *arguments: Any) -> None:
        self.call = function, arguments or (f"touch {CANARY}",)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def _in_object_array() -> Any:
    return _objects(1, _objects(2, Evil()))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "content",
    [Evil(), [Evil()], {"a": {"b": (1, Evil())}}, {"a": _in_object_array()}],
    ids=["alone", "in a list", "in a dictionary", "in an object array"],
)
def test_call_is_refused_by_its_name(content: Any, protocol: int) -> None:
    with pytest.raises(ValueError, match=r"file\.pkl: the pickle wants '(posix|nt)\.system'"):
        loads(pickle.dumps(content, protocol))


@pytest.mark.parametrize("function", [eval, exec, getattr, __import__, open, map, pickle.loads])
def test_builtins_are_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=f"{function.__name__}'"):
        loads(pickle.dumps(Evil(function, "x")))


@pytest.mark.parametrize("name", ["object", "plain"])
def test_call_in_npz_is_refused(name: str) -> None:
    np.savez("file.npz", allow_pickle=True, good=np.ones(3), **{name: _objects(Evil())})
    with pytest.raises(ValueError, match=rf"file\.npz: {name}: the pickle wants 'posix\.system'"):
        load_pickled_npz("file.npz")


COMMAND = b"S'touch " + CANARY.encode() + b"'\n"
ARRAY = b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
DTYPE = b"cnumpy\ndtype\n(S'%b'\nI0\nI1\ntR"
NATIVE = b"(I3\nS'='\nNNNI-1\nI-1\nI0\ntb"
POINTER = b"S'AAAAAAAA'\n"

HANDMADE = {
    "GLOBAL": (b"cposix\nsystem\n(" + COMMAND + b"tR.", r"'posix\.system'"),
    "dotted name": (b"\x80\x04\x8c\x05numpy\x8c\x0bdtype.type.x\x93.", "damaged|dtype"),
    "attribute of a name": (b"cnumpy\nndarray.__init__\n.", r"ndarray\.__init__"),
    "name with a line feed": (b"\x80\x04\x8c\x02a\nX\x01\x00\x00\x00b\x93.", r"'a\\n\.b'"),
    "INST": (b"(" + COMMAND + b"iposix\nsystem\n.", r"'posix\.system'"),
    "INST of a name": (b"(S'f8'\ninumpy\ndtype\n.", r"'numpy\.dtype'"),
    "OBJ": (b"(cposix\nsystem\n" + COMMAND + b"o.", r"'posix\.system'"),
    "OBJ of a name": (b"(cnumpy\ndtype\nS'f8'\no.", "instruction OBJ"),
    "NEWOBJ": (b"\x80\x02csubprocess\nPopen\n" + COMMAND + b"\x85\x81.", r"'subprocess\.Popen'"),
    "NEWOBJ of a name": (b"\x80\x02cnumpy\nndarray\nI9\n\x85\x81.", "instruction NEWOBJ"),
    "NEWOBJ_EX of a name": (b"\x80\x04cnumpy\nndarray\n)}\x92.", "instruction NEWOBJ_EX"),
    "persistent id": (b"Pposix.system\n.", "instruction PERSID"),
    "persistent id, binary": (b"\x80\x02" + COMMAND + b"Q.", "instruction BINPERSID"),
    "buffer outside": (b"\x80\x05\x97.", "instruction NEXT_BUFFER"),
    "set": (b"\x80\x04\x8f.", "instruction EMPTY_SET"),
    "call of text": (COMMAND + b")R.", "str in the place of _Name"),
    "call of an array": (ARRAY + b")R.", "ndarray in the place of _Name"),
    "call with a list": (b"cnumpy\ndtype\n]R.", "list in the place of tuple"),
    "array of its own making": (b"cnumpy\nndarray\n(I1000000000000\ntR.", "of its own making"),
    "bytes of a length": (b"c__builtin__\nbytes\n(I1000000000000\ntR.", "of its own making"),
    "array of another class": (ARRAY.replace(b"ndarray", b"memmap") + b".", r"'numpy\.memmap'"),
    "array of a class from text": (
        ARRAY.replace(b"cnumpy\nndarray\n", b"S'ndarray'\n") + b".",
        "an array of a kind of its own",
    ),
    "huge array": (ARRAY.replace(b"I0", b"I1000000000000") + b".", "of a kind of its own"),
    "array without bytes": (
        ARRAY + b"(I1\n(I1000000000000\nt" + DTYPE % b"f8" + NATIVE + b"I00\nS''\ntb.",
        "an array of 8000000000000 bytes",
    ),
    "array of negative length": (
        ARRAY + b"(I1\n(I-1\nt" + DTYPE % b"f8" + NATIVE + b"I00\nS''\ntb.",
        "not made of lengths",
    ),
    "array of lengths that overflow": (
        ARRAY + b"(I1\n(I4294967296\nI4294967296\nt" + DTYPE % b"f8" + NATIVE + b"I00\nS''\ntb.",
        "an array of 147573952589676412928 bytes",
    ),
    "pointers as objects": (
        ARRAY + b"(I1\n(I1\nt" + DTYPE % b"O8" + NATIVE + b"I00\n" + POINTER + b"tb.",
        "str in the place of list",
    ),
    "pointers as objects, protocol 5": (
        b"cnumpy._core.numeric\n_frombuffer\n(" + POINTER + DTYPE % b"O8" + NATIVE
        + b"(I1\ntS'C'\ntR.",
        "Python objects made of bytes",
    ),
    "pointer as a scalar": (
        b"cnumpy._core.multiarray\nscalar\n(" + DTYPE % b"O8" + NATIVE + POINTER + b"tR.",
        "Python objects made of bytes",
    ),
    "objects in the place of numbers": (
        ARRAY + b"(I1\n(I1\nt" + DTYPE % b"f8" + NATIVE + b"I00\n(NltbF.", "an array of 8 bytes",
    ),
    "fewer objects than announced": (
        ARRAY + b"(I1\n(I1000000000000\nt" + DTYPE % b"O8" + NATIVE + b"I00\n(Nltb.",
        "an array of 1000000000000 objects from 1",
    ),
    "array that changes": (
        ARRAY + 2 * (b"(I1\n(I1\nt" + DTYPE % b"f8" + NATIVE + b"I00\n" + POINTER + b"tb") + b".",
        "an array that changes",
    ),
    "no data type": (ARRAY + b"(I1\n(I1\ntS'f8'\nI00\n" + POINTER + b"tb.", "place of _Dtype"),
    "state of a dictionary": (b"}(S'a'\nI1\nd}b.", "dict in the place of ndarray"),
    "state of a name": (b"cnumpy\ndtype\n}b.", "_Name in the place of ndarray"),
    "fields": (
        DTYPE % b"f8" + b"(I3\nS'|'\nN(S'a'\nt}S'a'\n(NI0\ntsI8\nI1\nI27\ntb.",
        "a compound data type",
    ),
    "deep key": (b"}" + b"N" + b"\x85" * 300_000 + b"Ns.", "tuple as the key"),
    "array as a key": (b"}" + ARRAY + b"Ns.", "ndarray as the key"),
    "items of an array": (ARRAY + b"I0\nI1\ns.", "ndarray in the place of dict"),
    "items appended to an array": (ARRAY + b"I0\na.", "ndarray in the place of list"),
    "text that is not Unicode": (
        ARRAY + b"(I1\n(I1\nt" + DTYPE % b"U2" + NATIVE + b"I00\n" + POINTER + b"tb.",
        "not Unicode",
    ),
    "other encoding": (b"c_codecs\nencode\n(S'a'\nS'rot13'\ntR.", "encoding"),
}  # fmt: skip


@pytest.mark.parametrize("attack", HANDMADE)
def test_handmade_pickle_is_refused(attack: str) -> None:
    data, message = HANDMADE[attack]
    with pytest.raises(ValueError, match=r"^file\.pkl: the pickle ") as caught:
        loads(data)
    assert caught.match(message)
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "code",
    ["f8,f8", "V8", "(1000000,)f8", "f16", "M8[ns]", "O4294967296", "U999999999999", "S0", "U0",
     "[('a','O')]", "{'names':['a'],'formats':['O']}", "float64", "<f8", ">O", "f8\\n", "i3", ""],
)  # fmt: skip
def test_strange_data_types_are_refused(code: str) -> None:
    with pytest.raises(ValueError, match="the pickle wants the data type"):
        loads(DTYPE % code.encode() + b".")


def test_data_types_of_the_process_stay_as_they_are() -> None:
    """numpy hands out one and the same `float64` where no copy is asked for."""
    shared = b"cnumpy\ndtype\n(S'f8'\nI00\nI00\ntR(I3\nS'>'\nNNNI-1\nI-1\nI0\ntb."
    loads(shared)
    assert np.dtype("f8").isnative
    assert np.ones(1).tobytes() == struct.pack("=d", 1)


def test_extension_codes_are_refused() -> None:
    """A name that someone registered is called up without a look at what it is."""
    copyreg.add_extension("posix", "system", 0x7A)
    try:
        data = pickle.dumps(os.system, 2)
        assert b"\x82\x7a" in data
        pickle.loads(data)  # now it lies in a cache, which the base class would take it from
        with pytest.raises(ValueError, match="the instruction EXT1"):
            loads(data)
        for code in (b"\x83\x7a\x00", b"\x84\x7a\x00\x00\x00"):
            with pytest.raises(ValueError, match="the instruction EXT"):
                loads(b"\x80\x02" + code + COMMAND + b"\x85R.")
    finally:
        copyreg.remove_extension("posix", "system", 0x7A)
        copyreg._extension_cache.clear()  # type: ignore[attr-defined]


def test_what_comes_out_of_names_alone_cannot_be_called() -> None:
    for name in restricted._MAKERS:
        assert not callable(loads(f"c{name.module}\n{name.name}\n.".encode()))


# ------------------------------------------------------------------------------------------ memory

BOMBS = {
    "BINBYTES8": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40),
    "BINBYTES8, largest": b"\x80\x04\x8e" + struct.pack("<Q", (1 << 63) - 1),
    "BINBYTES": b"\x80\x04B" + struct.pack("<I", (1 << 32) - 1),
    "BINUNICODE8": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40),
    "BINSTRING": b"\x80\x02T" + struct.pack("<i", (1 << 31) - 1),
    "BYTEARRAY8": b"\x80\x05\x96" + struct.pack("<Q", 1 << 33),
    "FRAME": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40),
    "LONG4": b"\x80\x02\x8b" + struct.pack("<i", (1 << 31) - 1),
    "memo": b"\x80\x02Nr" + struct.pack("<I", (1 << 32) - 1) + b"0j\x00\x00\x00\x00",
    "digits": b"L" + b"9" * 100_000 + b"L\n.",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_announced_length_takes_no_memory(bomb: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"file\.pkl: the pickle is damaged"):
            loads(BOMBS[bomb] + b"abc.")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20


def test_many_instructions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte can make an object of some 70."""
    monkeypatch.setattr(restricted, "MAX_STEPS", 1000)
    assert len(loads(b"(" + b"]" * 990 + b"l.")) == 990
    with pytest.raises(ValueError, match="more than 1,000 instructions"):
        loads(b"(" + b"]" * 1000 + b"l.")


def test_deep_nesting_does_no_harm() -> None:
    depth = 200_000
    found = loads(b"]" * depth + b"a" * (depth - 1) + b".")
    for _ in range(depth - 1):
        (found,) = found
    assert found == []


def test_billion_laughs_stay_small() -> None:
    """Lists of lists of lists that are one and the same take no memory of their own."""
    data = b"]" + b"".join(b"q%c]h%c%b" % (i, i, b"a" + b"h%ca" % i * 9) for i in range(30)) + b"."
    found = loads(data)
    for _ in range(30):
        assert len(found) == 10
        assert found[0] is found[9]
        found = found[0]


def test_zip_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "ALLOWANCE", 1 << 20)
    np.savez_compressed("file.npz", a=np.zeros(1 << 18))
    with pytest.raises(ValueError, match=r"file\.npz: got 2,097,\d+ bytes in a file of 2,\d+"):
        load_pickled_npz("file.npz")
    np.savez_compressed("file.npz", a=np.zeros(1 << 16))
    assert not load_pickled_npz("file.npz")["a"].any()


def _npy(header: str, content: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin1")
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + content


def _npz(member: bytes, name: str = "a.npy") -> None:
    with zipfile.ZipFile("file.npz", "w") as archive:
        archive.writestr(name, member)


def _header(descr: str, shape: str = "(1,)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (_npy(_header("'<f8'", "(1000000000000,)"), bytes(8)), "got 8 bytes for an array"),
        (_npy(_header("'<f8'", "(4294967296, 4294967296)"), bytes(8)), "got 8 bytes for"),
        (_npy(_header("'<f8'", "(-1,)"), bytes(8)), "got no numpy array"),
        (_npy(_header("'|S0'", "(1000000000000,)")), "got no numpy array"),
        (_npy(_header("[('a', '|O')]"), bytes(8)), "got no numpy array"),
        (_npy(_header("('<f8', (1000000,))"), bytes(8)), "got no numpy array"),
        (_npy(_header("'|V8'"), bytes(8)), "got no numpy array"),
        (_npy(_header("__import__('os').system('touch touched')"), bytes(8)), "no numpy array"),
        (_npy("(" * 5000), "got no numpy array"),
        (_npy("-" * 9000), "got no numpy array"),
        (_npy(_header("'<f8'"), bytes(8), b"\x09\x00"), "got no numpy array"),
        (_npy(_header("'<U1'"), b"\xff" * 4), "not Unicode"),
        (_npy(_header("'|O'", "()"), pickle.dumps(Evil())), r"'posix\.system'"),
        (_npy(_header("'|O'", "()"), pickle.dumps([1])), "something else than the array announced"),
        (_npy(_header("'|O'", "(2,)"), pickle.dumps(_objects(1))), "something else than the array"),
        (b"", "got no numpy array"),
        (b"text", "got no numpy array"),
        (pickle.dumps(Evil()), "got no numpy array"),
    ],
)
def test_hostile_members_are_refused(member: bytes, message: str) -> None:
    _npz(member)
    with pytest.raises(ValueError, match=r"^file\.npz: a: ") as caught:
        load_pickled_npz("file.npz")
    assert caught.match(message)


# ------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_truncated_pickle_is_refused_wherever_it_ends(protocol: int) -> None:
    data = pickle.dumps({"a": np.arange(3.0), "b": ["text", b"bytes", 2.5, _objects(1)]}, protocol)
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"file\.pkl: the pickle"):
            loads(data[:length])


def test_truncated_npz_is_refused_wherever_it_ends() -> None:
    np.savez_compressed("whole.npz", a=_objects(1, "b"), b=np.arange(3))
    data = Path("whole.npz").read_bytes()
    for length in range(0, len(data), 7):
        Path("file.npz").write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"file\.npz: got no readable \.npz file"):
            load_pickled_npz("file.npz")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_changed_bytes_give_content_or_a_message(protocol: int) -> None:
    """Half a thousand damaged and crossed pickles; hostile ones are among what is crossed."""
    chance = random.Random(protocol)
    good = pickle.dumps({"a": np.arange(3.0), "b": [np.str_("x"), _objects(1, {})]}, protocol)
    parts = [good, pickle.dumps(Evil(), protocol), *(data for data, _ in HANDMADE.values())]
    for _ in range(500):
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(data))
            if chance.random() < 0.5:
                data[place] = chance.randrange(256)
            else:
                part = chance.choice(parts)[:2000]
                start = chance.randrange(len(part))
                data[place:place] = part[start : start + chance.randint(1, 200)]
        try:
            loads(bytes(data))
        except ValueError as error:
            assert str(error).startswith("file.pkl: the pickle")


def test_encrypted_and_foreign_archives_are_refused() -> None:
    _npz(b"x", name="readme.txt")
    with pytest.raises(ValueError, match=r"file\.npz: readme\.txt: got no numpy array"):
        load_pickled_npz("file.npz")
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(2))
    data = bytearray(buffer.getvalue())
    for signature, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flag] |= 1  # encrypted
    Path("file.npz").write_bytes(data)
    with pytest.raises(ValueError, match=r"file\.npz: got no readable .npz file .*encrypted"):
        load_pickled_npz("file.npz")


def test_missing_files_and_folders_are_named() -> None:
    for load in (load_pickle, load_pickled_npz):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            load("nowhere")
        with pytest.raises(OSError, match=r"'\.'"):
            load(".")
