"""The canonical pose file: reading, checking, writing."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from poseda.data import (
    PoseSet,
    checks,
    load_pose_set,
    npz,
    pose_set_from_arrays,
    save_pose_set,
)
from poseda.data.synthetic import make_target
from poseda.files import atomic_write
from poseda_ext.camera import denormalize_points
from poseda_ext.skeleton import H36M_16, H36M_17

Arrays = dict[str, Any]


@pytest.fixture(scope="module")
def good() -> Arrays:
    return make_target(seed=3, frames=900, test=300)


@pytest.fixture
def arrays(good: Arrays) -> Arrays:
    return {key: value.copy() for key, value in good.items()}


# ----------------------------------------------------------------------------------- reading


def test_file_comes_back_as_it_was(tmp_path: Path, arrays: Arrays) -> None:
    path = tmp_path / "people.npz"
    save_pose_set(path, arrays)
    poses = load_pose_set(path, skeleton=H36M_17, need_pose3d=True)

    assert poses.name == "people"
    assert len(poses) == len(arrays["pose2d"])
    assert poses.pose2d.dtype == poses.intrinsics.dtype == torch.float32
    assert poses.camera.dtype == torch.int64
    assert poses.split.dtype == torch.uint8
    pixels = denormalize_points(poses.pose2d, poses.image_size)
    np.testing.assert_allclose(pixels, arrays["pose2d"], atol=2e-3)
    assert poses.pose3d is not None
    np.testing.assert_array_equal(poses.pose3d, arrays["pose3d"])
    for key in ("camera", "camera_class", "subject", "action", "clip", "frame", "split"):
        np.testing.assert_array_equal(getattr(poses, key), arrays[key])
    assert os.listdir(tmp_path) == ["people.npz"]


def test_sixteen_joints_are_the_seventeen_without_the_nose(arrays: Arrays) -> None:
    all_joints = pose_set_from_arrays(arrays, name="all", skeleton=H36M_17)
    fewer = pose_set_from_arrays(arrays, name="fewer")
    assert fewer.skeleton is H36M_16
    for joint, name in enumerate(H36M_16.names):
        same = H36M_17.names.index(name)
        assert torch.equal(fewer.pose2d[:, joint], all_joints.pose2d[:, same])


def test_2d_is_the_projection_of_3d_after_normalising(arrays: Arrays) -> None:
    poses = pose_set_from_arrays(arrays, name="x")
    assert poses.pose3d is not None
    focal, centre = poses.intrinsics[:, None, :2], poses.intrinsics[:, None, 2:]
    projected = poses.pose3d[..., :2] / poses.pose3d[..., 2:] * focal + centre
    torch.testing.assert_close(projected, poses.pose2d, atol=1e-5, rtol=0)


def test_three_arrays_are_enough_for_a_target(arrays: Arrays) -> None:
    few = {key: arrays[key] for key in ("pose2d", "intrinsics", "image_size")}
    poses = pose_set_from_arrays(few, name="few")
    assert poses.pose3d is None
    assert set(poses.camera_class) == {"0"}
    assert poses.frame.tolist() == list(range(len(poses)))
    assert len(poses.train) == len(poses)
    with pytest.raises(ValueError, match="few: the test split is empty"):
        _ = poses.test
    with pytest.raises(ValueError, match="few: pose3d: missing"):
        pose_set_from_arrays(few, name="few", need_pose3d=True)


def test_rows_splits_and_device(arrays: Arrays) -> None:
    poses = pose_set_from_arrays(arrays, name="x")
    assert len(poses.train) + len(poses.test) == len(poses)
    assert bool((poses.test.split == 1).all())
    chosen = torch.tensor([5, 2, 2])
    for index in (chosen, chosen.numpy(), [5, 2, 2]):
        picked = poses.rows(index)
        assert torch.equal(picked.pose2d, poses.pose2d[chosen])
        assert picked.clip.tolist() == poses.clip[chosen.numpy()].tolist()
    assert len(poses.rows(slice(0, 7))) == 7
    assert len(poses.rows([])) == 0
    mask = poses.camera == poses.camera[0]
    assert len(poses.rows(mask)) == int(mask.sum())
    moved = poses.to("meta")
    assert moved.pose2d.device.type == moved.split.device.type == "meta"
    assert moved.action is poses.action


def test_camera_classes(arrays: Arrays) -> None:
    arrays["camera"] = np.arange(len(arrays["pose2d"])) % 3
    del arrays["pose3d"], arrays["camera_class"]
    assert set(pose_set_from_arrays(arrays, name="x").camera_class) == {"0", "1", "2"}
    classes = {"low": [0, 2], "high": [1]}
    poses = pose_set_from_arrays(arrays, name="x", camera_classes=classes)
    assert poses.camera_class[:4].tolist() == ["low", "high", "low", "low"]
    with pytest.raises(ValueError, match=re.escape("got cameras [2] that camera_classes does not")):
        pose_set_from_arrays(arrays, name="x", camera_classes={"low": [0], "high": [1]})
    with pytest.raises(ValueError, match="got camera 1 in 'low' and 'high', expected it once"):
        pose_set_from_arrays(arrays, name="x", camera_classes={"low": [0, 1], "high": [1, 2]})


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("chunk", [checks.CHUNK, 7])
def test_other_ways_to_store_the_same(
    tmp_path: Path,
    arrays: Arrays,
    save: Callable[..., None],
    chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Compressed, of other types, in Fortran's order, as bytes; read in small pieces or large."""
    arrays = {key: value[:100] for key, value in arrays.items()}
    arrays["pose2d"] = arrays["pose2d"].round()
    expected = pose_set_from_arrays(arrays, name="x")
    arrays["pose2d"] = np.asfortranarray(arrays["pose2d"]).astype(np.int32, order="K")
    arrays["pose3d"] = arrays["pose3d"].astype(np.float64)
    arrays["camera"] = arrays["camera"].astype(">i2")
    arrays["image_size"] = np.asfortranarray(arrays["image_size"].astype(np.uint16))
    arrays["subject"] = arrays["subject"].astype("S")
    arrays["confidence"] = np.ones((100, 17), np.uint8)
    save(tmp_path / "x.npz", **arrays)
    monkeypatch.setattr(checks, "CHUNK", chunk)
    found = load_pose_set(tmp_path / "x.npz")
    for field in dataclasses.fields(PoseSet):
        value, other = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(value, torch.Tensor | np.ndarray):
            assert value.dtype == other.dtype, field.name
            np.testing.assert_array_equal(value, other, err_msg=field.name)
        else:
            assert value == other, field.name


def test_parts_that_lie_together_are_not_copied(arrays: Arrays) -> None:
    order = np.argsort(arrays["split"], kind="stable")
    for value, turned in ((0, order), (1, order), (0, order[::-1])):
        poses = pose_set_from_arrays({k: v[turned] for k, v in arrays.items()}, name="x")
        part = poses.test if value else poses.train
        assert len(part) == int((arrays["split"] == value).sum())
        assert bool((part.split == value).all())
        assert part.pose2d.untyped_storage().data_ptr() == poses.pose2d.untyped_storage().data_ptr()
        assert np.shares_memory(part.action, poses.action)
    arrays["split"][::7] ^= 1
    mixed = pose_set_from_arrays(arrays, name="x")
    rows = np.flatnonzero(arrays["split"] == 1)
    assert torch.equal(mixed.test.pose2d, mixed.pose2d[rows])
    assert mixed.test.frame.tolist() == mixed.frame[rows].tolist()


def test_joints_cropped_by_the_border_are_legal(arrays: Arrays) -> None:
    del arrays["pose3d"]
    arrays["pose2d"][:, :2] -= 1.2 * arrays["pose2d"][:, :2].max()
    arrays["pose2d"] = np.maximum(arrays["pose2d"], -900)
    pose_set_from_arrays(arrays, name="x")


def test_real_motion_loads(mocap: Path) -> None:
    target = load_pose_set(
        mocap / "target_cmu.npz",
        camera_classes={"chest": [0, 1, 2], "knee": [3, 4], "ceiling": [5, 6]},
        need_pose3d=True,
    )
    assert (len(target.train), len(target.test)) == (31_920, 22_417)
    assert target.skeleton.num_joints == target.pose2d.shape[1] == 16


# ------------------------------------------------------------------------- what is refused, and how


def _set(key: str, change: Callable[[Any], Any]) -> Callable[[Arrays], None]:
    def apply(arrays: Arrays) -> None:
        arrays[key] = change(arrays[key])

    return apply


def _poke(key: str, place: Any, value: Any) -> Callable[[Arrays], None]:
    def apply(arrays: Arrays) -> None:
        arrays[key] = arrays[key].copy()
        arrays[key][place] = value

    return apply


def _without_3d(change: Callable[[Arrays], None]) -> Callable[[Arrays], None]:
    def apply(arrays: Arrays) -> None:
        del arrays["pose3d"]
        change(arrays)

    return apply


def _empty(arrays: Arrays) -> None:
    for key in arrays:
        arrays[key] = arrays[key][:0]


BAD: dict[str, tuple[Callable[[Arrays], None], str]] = {
    "missing": (lambda a: a.pop("intrinsics"), r"intrinsics: missing; found action, camera"),
    "joints": (
        _set("pose2d", lambda v: v[:, :16]),
        r"pose2d: got shape \(\d+, 16, 2\), expected \(N, 17, 2\)",
    ),
    "rank": (
        _set("camera", lambda v: v[:, None]),
        r"camera: got shape \(\d+, 1\), expected \(\d+,\)",
    ),
    "rows": (_set("image_size", lambda v: v[:-3]), r"image_size: got \d+ rows, expected \d+ as in"),
    "empty": (_empty, r"pose2d: got no rows, expected at least one"),
    "complex": (_set("pose2d", lambda v: v * 1j), r"pose2d: got dtype complex64, expected numbers"),
    "text": (_set("split", lambda v: v.astype(str)), r"split: got dtype <U\d+, expected integers"),
    "names": (
        _set("action", lambda v: np.arange(len(v))),
        r"action: got dtype int64, expected str",
    ),
    "nan": (
        _poke("pose2d", ([4, 7], 3, 0), np.nan),
        r"pose2d: got NaN or infinity in 2 of \d+ rows \(first: row 4\), expected finite numbers",
    ),
    "infinity": (_poke("pose3d", (9, 0, 2), np.inf), r"pose3d: got NaN or infinity in 1 of"),
    "split": (
        _poke("split", 11, 2),
        r"split: got another value in 1 of .*row 11: 2\), expected 0 \(tr",
    ),
    "image size": (
        _poke("image_size", (2, 1), 0),
        r"image_size: got a side .* in 1 of \d+ rows \(first: row 2: 2048, 0\)",
    ),
    "negative focal": (
        _set("intrinsics", lambda v: v * [-1, 1, 1, 1]),
        r"intrinsics: got a focal length that is not positive in \d+ of",
    ),
    "normalised intrinsics": (
        _set("intrinsics", lambda v: v / 1024),
        r"intrinsics: got a focal length below 10, which looks screen-normalised .*pixels",
    ),
    "huge focal": (
        _poke("intrinsics", (7, 1), 2e5),
        r"intrinsics: got a focal length above 50 image sides in 1 of .*row 7: .*pixels",
    ),
    "one pixel": (
        _without_3d(_set("pose2d", lambda v: np.full_like(v, 500))),
        r"pose2d: got people of a median width \+ height of 0\.00% of the longer image side, exp",
    ),
    "principal point": (
        _poke("intrinsics", (0, 2), 9000),
        r"intrinsics: got a principal point more than one image size and one focal",
    ),
    "order of intrinsics": (
        _without_3d(_set("intrinsics", lambda v: v[:, [2, 3, 0, 1]])),
        r"intrinsics: got numbers that look like cx, cy, fx, fy",
    ),
    "normalised 2d": (
        _set("pose2d", lambda v: v / 1024 - 1),
        r"pose2d: got values up to \S+ in images of 2048 x 2048 pixels, which look screen-norm",
    ),
    "far outside": (
        _poke("pose2d", (5, 2, 0), 5000),
        r"pose2d: got a joint more than one image size outside .*in 1 of .*row 5: 5000,",
    ),
    "many outside": (
        _set("pose2d", lambda v: v - 1200),
        r"pose2d: got \d+% of the joints outside the image",
    ),
    "root-relative": (
        _set("pose3d", lambda v: v - v[:, :1]),
        r"pose3d: got the root at the origin in every row, which looks root-relative",
    ),
    "millimetres": (_set("pose3d", lambda v: v * 1000), r"pose3d: .*looks like millimetres"),
    "centimetres": (_set("pose3d", lambda v: v * 100), r"pose3d: .*looks like centimetres"),
    "far away": (
        _set("pose3d", lambda v: np.add(v, [0, 0, 500])),
        r"pose3d: .*median root depth of 50\d\.\d; expected metres",
    ),
    "behind": (
        _poke("pose3d", (6, 3, 2), -0.5),
        r"pose3d: got a joint behind the camera .*in 1 of .*row 6: -0.5\)",
    ),
    "y up": (
        _set("pose3d", lambda v: v * [1, -1, 1]),
        r"pose2d: got a median distance of \d+% of the image side from the projection of pose3d",
    ),
    "no Unicode": (
        _set("action", lambda v: np.full((len(v), 2), 1 << 30, np.uint32).view("<U2")[:, 0]),
        r"action: got no text in \d+ of \d+ rows .*expected characters that there are",
    ),
    "no ASCII": (
        _set("subject", lambda v: np.where(np.arange(len(v)) == 8, b"\xff", b"S1")),
        r"subject: got no text in 1 of \d+ rows \(first: row 8\), expected characters",
    ),
    "one camera wrong": (
        lambda a: a["intrinsics"].__setitem__((a["camera"] == 3, slice(0, 2)), 700),
        r"projection of pose3d of camera 3, expected at most 3%",
    ),
}


@pytest.mark.parametrize("chunk", [checks.CHUNK, 7])
@pytest.mark.parametrize("case", BAD)
def test_bad_arrays_are_refused(
    case: str, chunk: int, tmp_path: Path, arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "CHUNK", chunk)
    spoil, message = BAD[case]
    spoil(arrays)
    path = tmp_path / "bad.npz"
    with pytest.raises(ValueError, match=message) as refusal:
        save_pose_set(path, arrays)
    assert str(refusal.value).startswith(f"{path}: ")
    assert os.listdir(tmp_path) == []
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=message):
        load_pose_set(path)


def test_files_that_are_no_pose_files(tmp_path: Path, arrays: Arrays) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.npz: no such file; expected a canonical"):
        load_pose_set(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="got a folder, expected a canonical"):
        load_pose_set(tmp_path)
    path = tmp_path / "x.npz"
    for content in (b"", b"PK", b"not poses at all"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.npz: got something else, expected a canonical"):
            load_pose_set(path)
    save_pose_set(path, arrays)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"x\.npz: got a damaged or truncated \.npz file"):
        load_pose_set(path)
    middle = len(whole) // 3
    path.write_bytes(whole[:middle] + bytes(200) + whole[middle + 200 :])
    with pytest.raises(ValueError, match=r"x\.npz: \w+: the file is damaged"):
        load_pose_set(path)


def test_a_damaged_directory_of_the_file(tmp_path: Path, arrays: Arrays) -> None:
    path = tmp_path / "x.npz"
    save_pose_set(path, {key: value[:20] for key, value in arrays.items()})
    whole = path.read_bytes()
    directory = whole.index(b"PK\x01\x02")
    for place in range(directory, len(whole)):
        for value in (0x00, 0xFF):
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                load_pose_set(path)
            except ValueError as error:
                assert str(error).startswith(str(path)), place
    path.write_bytes(whole[:directory] + bytes(4) + whole[directory + 4 :])
    with pytest.raises(ValueError, match=r"x\.npz: the file is damaged"):
        load_pose_set(path)


def test_members_that_are_no_arrays(tmp_path: Path, arrays: Arrays) -> None:
    path = tmp_path / "x.npz"
    save_pose_set(path, arrays)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr("pose2d" if name == "pose2d.npy" else name, content[100:])
    with pytest.raises(ValueError, match=r"x\.npz: \w+: (got a member without|the file is dam)"):
        load_pose_set(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("pose2d", b"no array")
    with pytest.raises(ValueError, match=r"x\.npz: pose2d: got a member without \.npy"):
        load_pose_set(path)


def test_pickles_are_never_loaded(tmp_path: Path, arrays: Arrays) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    trap = np.empty(len(arrays["pose2d"]), dtype=object)
    trap[:] = [Trap() for _ in trap]
    arrays["action"] = trap
    path = tmp_path / "x.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"x\.npz: action: got pickled Python objects, which are"):
        load_pose_set(path)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(ValueError, match="action: got dtype object, expected strings"):
        save_pose_set(path, arrays)


def _npy(header: str, content: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1 << 40, 17, 2)}", b""), "damag"),
        (
            _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 17, 2)}", b""),
            "the file is damaged (.* bytes with an array",
        ),
        (
            _npy("{'descr': '<f4', 'fortran_order': True, 'shape': (9999999999, 17, 2)}", b""),
            "the file is damaged (.* bytes with an array",
        ),
        (
            _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-9, 17, 2)}", b""),
            "the file is damaged",
        ),
        (
            _npy("{'descr': '|S0', 'fortran_order': False, 'shape': (9999999999,)}", b""),
            "got dtype [|]S0, expected numbers",
        ),
    ],
)
def test_announced_shape_takes_no_memory(
    tmp_path: Path, arrays: Arrays, member: bytes, message: str
) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, **{key: value for key, value in arrays.items() if key != "pose2d"})
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("pose2d.npy", member)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message.replace("(", r"\(")):
            load_pose_set(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 21
    finally:
        tracemalloc.stop()


def test_zip_bomb_is_refused(
    tmp_path: Path, arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npz, "ALLOWANCE", 1 << 20)
    path = tmp_path / "x.npz"
    np.savez_compressed(path, **arrays, more=np.zeros(1 << 23))
    with pytest.raises(ValueError, match=r"x\.npz: got \S+ bytes in a file of \S+, expected at"):
        load_pose_set(path)


# ----------------------------------------------------------------------------------- writing


def test_a_failed_write_keeps_the_old_file(
    tmp_path: Path, arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(b"old")

    def full_disk(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full_disk)
    message = r"cannot write .*x\.npz: No space left on device; nothing was written"
    with pytest.raises(OSError, match=message):
        save_pose_set(path, arrays)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.npz"]


def test_atomic_write(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == tmp_path
    assert path.read_text() == "new"

    with pytest.raises(KeyboardInterrupt), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["report.txt"]

    missing = tmp_path / "no folder" / "x"
    with (
        pytest.raises(OSError, match=r"cannot write .*no folder/x: No such file or directory; not"),
        atomic_write(missing),
    ):
        raise AssertionError("the block must not run")
    with (
        pytest.raises(FileNotFoundError, match="other"),
        atomic_write(path),
        open(tmp_path / "other"),
    ):
        raise AssertionError("the block must not run")
    with pytest.raises(OSError, match=r"cannot write .*: Is a directory"), atomic_write(tmp_path):
        pass


def test_atomic_write_keeps_links_and_modes(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    with atomic_write(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_pose_set_is_frozen(arrays: Arrays) -> None:
    poses: PoseSet = pose_set_from_arrays(arrays, name="x")
    with pytest.raises(AttributeError):
        poses.name = "y"  # type: ignore[misc]
