"""Files that others made of MPI-INF-3DHP, and of which their code reads.

Layouts, read in the code that writes or reads them: P-STMO ``data_to_npz_3dhp*.py`` (the same in
MotionAGFormer) and ``load_data_3dhp_mae.py``; PoSynDA ``data/3DHP/README.md``; PoseAug
``data_extra/prepare_data_3dhp.py``; SPIN ``datasets/preprocess/mpi_inf_3dhp.py``; AdaptPose
``utils/data_utils.py`` and ``function_adaptpose/data_preparation.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from poseda.data.joint_maps import JointMap
from poseda.data.prepare.mpi_inf_3dhp.clips import (
    Clip,
    dictionary,
    entry,
    in_pixels,
    joint_array,
    labels_of,
    last_number,
    same_length,
)
from poseda.data.prepare.mpi_inf_3dhp.tables import (
    ADAPTPOSE_16,
    CAMERAS,
    JOINTS_17,
    POSEAUG_16,
    SPIN_24,
    TEST_CAMERAS,
    TRAIN_FRAMES,
    VALID_FRAMES,
    Camera,
    Frames,
    Labels,
)
from poseda.data.restricted import load_pickled_npz

Array = NDArray[Any]


class PStmo:
    """``data_train_3dhp.npz`` and ``data_test_3dhp.npz``, which hold univ_annot3 as P-STMO writes
    them, and the same names with ``_ori``, which hold annot3 (D3DP, PoSynDA)."""

    title: ClassVar[str] = "P-STMO's files"
    origin: ClassVar[str] = "github.com/paTRICK-swk/P-STMO or github.com/hbing-l/PoSynDA"
    train_file: ClassVar[str | None] = "data_train_3dhp.npz"
    test_file: ClassVar[str] = "data_test_3dhp.npz"
    SUFFIXES: ClassVar[dict[Labels, str]] = {"univ_annot3": "", "annot3": "_ori"}

    def __init__(self, train: Path | None, test: Path | None) -> None:
        self._train = (train, _data(train)) if train else None
        self._test = (test, _data(test)) if test else None
        self.names = tuple(path.name for path in (train, test) if path)
        held = labels_of(self.clips(None))
        self.labels: tuple[Labels, ...] = (held,) if held else ()
        self.frames: tuple[Frames, ...] = ("valid", "adaptpose", "all") if test else ()

    @classmethod
    def find(cls, folder: Path, train: bool, test: bool, labels: Labels | None) -> PStmo | None:
        parts = [part for part, wanted in (("train", train), ("test", test)) if wanted]
        there = {
            kind: {
                part: path
                for part in parts
                if (path := folder / f"data_{part}_3dhp{suffix}.npz").is_file()
            }
            for kind, suffix in cls.SUFFIXES.items()
        }
        kinds = [kind for kind, paths in there.items() if paths]
        if len(kinds) > 1 and labels is None:
            raise ValueError(
                f"{folder}: found data_*_3dhp.npz, which hold univ_annot3, and "
                "data_*_3dhp_ori.npz, which hold annot3; say which with --labels"
            )
        if not kinds:
            return None
        paths = there[labels if len(kinds) > 1 and labels else kinds[0]]
        return cls(paths.get("train"), paths.get("test"))

    def clips(self, labels: Labels | None) -> Iterator[Clip]:
        if self._train:
            yield from _pstmo_train(*self._train)
        if self._test:
            yield from _pstmo_test(*self._test)


def _data(path: Path) -> Any:
    return entry(load_pickled_npz(path), "data", path)


def _pstmo_train(path: Path, data: Any) -> Iterator[Clip]:
    """``{"S1 Seq1": [{"0": {"data_2d": ..., "data_3d": ...}, ...}, fps], ...}``"""
    for key in dictionary(data, path):
        where = f"{path}: {key}"
        words = str(key).split()
        if len(words) != 2:
            raise ValueError(f"{where}: got the key {key!r}, expected one such as 'S1 Seq1'")
        subject, action = f"S{last_number(words[0], where)}", f"Seq{last_number(words[1], where)}"
        recording = data[key]
        if not isinstance(recording, (list, tuple)) or not recording:
            kind = type(recording).__name__
            raise ValueError(f"{where}: got {kind}, expected [cameras, frames per second]")
        for name, arrays in dictionary(recording[0], where).items():
            place = f"{where}: camera {name}"
            camera = _train_camera(name, where)
            yield _train_clip(
                place, subject, action, camera, JOINTS_17, *_pstmo_arrays(arrays, place)
            )


def _pstmo_test(path: Path, data: Any) -> Iterator[Clip]:
    """``{"TS1": {"data_2d": ..., "data_3d": ..., "valid": ...}, ...}``"""
    for name, arrays in dictionary(data, path).items():
        where = f"{path}: {name}"
        subject = _test_name(name, where)
        pose2d, pose3d = _pstmo_arrays(arrays, where)
        valid = np.asarray(entry(arrays, "valid", where)).ravel()
        if valid.dtype.kind not in "fiub":
            raise ValueError(f"{where}: valid: got dtype {valid.dtype}, expected numbers")
        same_length(pose2d, valid, f"{where}: valid")
        yield _test_clip(where, subject, JOINTS_17, pose2d, pose3d, valid=valid > 0)


def _pstmo_arrays(arrays: Any, where: str) -> tuple[Array, Array]:
    """(F, 17, 2) as in the file, and (F, 17, 3) metres."""
    pose2d = joint_array(entry(arrays, "data_2d", where), 17, 2, f"{where}: data_2d")
    pose3d = joint_array(entry(arrays, "data_3d", where), 17, 3, f"{where}: data_3d") / 1000
    same_length(pose2d, pose3d, f"{where}: data_3d")
    return pose2d, pose3d


class _ValidFrames:
    """One file of univ_annot3 in the valid frames of the test set."""

    train_file: ClassVar[str | None] = None
    test_file: ClassVar[str]
    other_names: ClassVar[tuple[str, ...]] = ()
    labels: tuple[Labels, ...] = ("univ_annot3",)
    frames: tuple[Frames, ...] = ("valid",)

    def __init__(self, path: Path) -> None:
        self._path = path
        self.names: tuple[str, ...] = (path.name,)

    @classmethod
    def find(
        cls, folder: Path, train: bool, test: bool, labels: Labels | None = None
    ) -> Self | None:
        paths = [folder / name for name in (cls.test_file, *cls.other_names)]
        there = [path for path in paths if path.is_file()]
        return cls(there[0]) if test and there else None


class PoseAug(_ValidFrames):
    """``test_3dhp.npz``: screen-normalised 2D and root-relative univ_annot3 of the valid frames,
    one test sequence after the other."""

    title: ClassVar[str] = "PoseAug's file"
    origin: ClassVar[str] = "github.com/jfzhang95/PoseAug"
    test_file: ClassVar[str] = "test_3dhp.npz"

    def clips(self, labels: Labels | None) -> Iterator[Clip]:
        members = load_pickled_npz(self._path)
        pose2d, pose3d = (
            joint_array(entry(members, name, self._path), 16, dims, f"{self._path}: {name}")
            for name, dims in (("pose2d", 2), ("pose3d", 3))
        )
        total = sum(VALID_FRAMES.values())
        for name, poses in (("pose2d", pose2d), ("pose3d", pose3d)):
            if len(poses) != total:
                raise ValueError(
                    f"{self._path}: {name}: got {len(poses):,} poses, expected the {total:,} valid "
                    "frames, by whose number the test sequences are told apart"
                )
        start = 0
        for name, count in VALID_FRAMES.items():
            rows = slice(start, start + count)
            start += count
            yield _test_clip(f"{self._path}: {name}", name, POSEAUG_16, pose2d[rows], pose3d[rows])


class Spin(_ValidFrames):
    """``mpi_inf_3dhp_valid.npz``: pixels and root-relative univ_annot3 of the valid frames."""

    title: ClassVar[str] = "SPIN's file"
    origin: ClassVar[str] = "github.com/nkolot/SPIN"
    test_file: ClassVar[str] = "mpi_inf_3dhp_valid.npz"
    other_names: ClassVar[tuple[str, ...]] = ("mpi_inf_3dhp_test.npz",)

    def clips(self, labels: Labels | None) -> Iterator[Clip]:
        members = load_pickled_npz(self._path)
        # The last column tells whether a joint is there.
        part = joint_array(entry(members, "part", self._path), 24, 3, f"{self._path}: part")
        pose = joint_array(entry(members, "S", self._path), 24, 4, f"{self._path}: S")
        images = np.asarray(entry(members, "imgname", self._path)).astype(np.str_).tolist()
        same_length(part, pose, f"{self._path}: S")
        same_length(part, images, f"{self._path}: imgname")
        used = [SPIN_24.joints.index(name) for rule in SPIN_24.rules.values() for name in rule]
        hidden = np.any((part[:, used, 2] <= 0) | (pose[:, used, 3] <= 0), axis=1)
        part = np.where(hidden[:, None, None], np.nan, part)
        sequence = np.asarray([self._sequence(image) for image in images])
        number = np.asarray([last_number(image, str(self._path)) - 1 for image in images])
        for name in VALID_FRAMES:
            rows = sequence == name
            yield _test_clip(
                f"{self._path}: {name}",
                name,
                SPIN_24,
                part[rows, :, :2],
                pose[rows, :, :3],
                frame=number[rows],
            )

    def _sequence(self, image: str) -> str:
        """TS1 of ``mpi_inf_3dhp_test_set/TS1/imageSequence/img_000001.jpg``."""
        for name in image.replace("\\", "/").split("/"):
            if name in VALID_FRAMES:
                return name
        raise ValueError(
            f"{self._path}: imgname: got {image!r:.80}, expected a folder TS1 to TS6 in it"
        )


class AdaptPose:
    """``data_3dhp_gt_train.npz``: pixels of 14 cameras, with ``data_3dhp_gt_train_3d.npz`` if it is
    there; ``data_3dhp_gt_test.npz``: pixels and millimetres of all frames."""

    title: ClassVar[str] = "AdaptPose's files"
    origin: ClassVar[str] = "github.com/mgholamikn/AdaptPose"
    train_file: ClassVar[str | None] = "data_3dhp_gt_train.npz"
    test_file: ClassVar[str] = "data_3dhp_gt_test.npz"

    def __init__(self, train: Path | None, train3d: Path | None, test: Path | None) -> None:
        paths = [path for path in (train, train3d, test) if path]
        self.names = tuple(path.name for path in paths)
        self._members = {path: load_pickled_npz(path) for path in paths}
        self._train, self._train3d, self._test = train, train3d, test
        held = labels_of(self.clips(None)) if train3d or test else None
        self.labels: tuple[Labels, ...] = (held,) if held else ()
        self.frames: tuple[Frames, ...] = ("adaptpose", "all") if test else ()

    @classmethod
    def find(
        cls, folder: Path, train: bool, test: bool, labels: Labels | None = None
    ) -> AdaptPose | None:
        paths = [
            path if wanted and (path := folder / f"data_3dhp_gt_{part}.npz").is_file() else None
            for part, wanted in (("train", train), ("train_3d", train), ("test", test))
        ]
        if paths[0] and paths[2] and not paths[1]:
            raise ValueError(
                f"{folder}: found {paths[0].name} without 3D poses (data_3dhp_gt_train_3d.npz) and "
                f"{paths[2].name} with them, which do not fit in one file; choose with --split "
                "train or --split test"
            )
        return cls(*paths) if paths[0] or paths[2] else None

    def clips(self, labels: Labels | None) -> Iterator[Clip]:
        if self._train:
            yield from self._train_clips(self._train)
        if self._test:
            yield from self._test_clips(self._test)

    def _train_clips(self, path: Path) -> Iterator[Clip]:
        """``{"S1": {"Seq1": {camera: pixels}}}``, and the same of millimetres."""
        positions = self._positions(path, "positions_2d")
        labelled = self._positions(self._train3d, "positions_3d") if self._train3d else None
        for person, sequences in dictionary(positions, path).items():
            for sequence, cameras in dictionary(sequences, f"{path}: {person}").items():
                where = f"{path}: {person} {sequence}"
                subject = f"S{last_number(person, where)}"
                action = f"Seq{last_number(sequence, where)}"
                for name, pixels in dictionary(cameras, where).items():
                    place = f"{where} camera {name}"
                    camera = _train_camera(name, place)
                    pose2d, pose3d = joint_array(pixels, 16, 2, place), None
                    if labelled is not None:
                        of_sequence = entry(
                            entry(labelled, person, self._train3d or ""), sequence, f"{place}: 3D"
                        )
                        if isinstance(of_sequence, (list, tuple)):
                            of_sequence = dict(enumerate(of_sequence))
                        poses = entry(of_sequence, name, f"{place}: 3D")
                        pose3d = joint_array(poses, 16, 3, f"{place}: 3D") / 1000
                        same_length(pose2d, pose3d, f"{place}: 3D")
                    yield _train_clip(place, subject, action, camera, ADAPTPOSE_16, pose2d, pose3d)

    def _test_clips(self, path: Path) -> Iterator[Clip]:
        """``{"TS1": pixels}`` and ``{"TS1": millimetres}``"""
        points = self._positions(path, "positions_2d")
        poses = self._positions(path, "positions_3d")
        for name, pixels in dictionary(points, path).items():
            where = f"{path}: {name}"
            pose3d = joint_array(entry(poses, name, path), 16, 3, f"{where}: positions_3d") / 1000
            pose2d = joint_array(pixels, 16, 2, f"{where}: positions_2d")
            yield _test_clip(where, _test_name(name, where), POSEAUG_16, pose2d, pose3d)

    def _positions(self, path: Path, name: str) -> Any:
        return entry(self._members[path], name, path)


def _train_camera(name: Any, where: str) -> Camera:
    number = last_number(name, where)
    if number not in CAMERAS:
        raise ValueError(f"{where}: got camera {name}, expected 0 to {max(CAMERAS)}")
    return CAMERAS[number]


def _test_name(name: Any, where: str) -> str:
    if name not in VALID_FRAMES:
        raise ValueError(f"{where}: got {name!r}, expected one of {', '.join(VALID_FRAMES)}")
    return str(name)


def _train_clip(
    where: str,
    subject: str,
    action: str,
    camera: Camera,
    joints: JointMap,
    pose2d: Array,
    pose3d: Array | None,
) -> Clip:
    return Clip(
        where=where,
        joints=joints,
        pose2d=in_pixels(pose2d, camera.image_size),
        pose3d=pose3d,
        camera=camera,
        subject=subject,
        action=action,
        split=0,
        fps=TRAIN_FRAMES.get((subject, action), (0, 0.0))[1],
        frame=np.arange(len(pose2d)),
    )


def _test_clip(
    where: str,
    name: str,
    joints: JointMap,
    pose2d: Array,
    pose3d: Array,
    *,
    frame: Array | None = None,
    valid: Array | None = None,
) -> Clip:
    """All frames in order, and all valid, if nothing else is said."""
    same_length(pose2d, pose3d, where)
    camera = TEST_CAMERAS[name]
    return Clip(
        where=where,
        joints=joints,
        pose2d=in_pixels(pose2d, camera.image_size),
        pose3d=pose3d,
        camera=camera,
        subject=name,
        action=name,
        split=1,
        frame=np.arange(len(pose2d)) if frame is None else frame,
        valid=np.ones(len(pose2d), dtype=bool) if valid is None else valid,
    )
