"""MPI-INF-3DHP: every layout of its files comes back exactly, and what is not it is refused."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from poseda.cli import main
from poseda.data.joint_maps import JointMap
from poseda.data.prepare.anatomy import check_anatomy
from poseda.data.prepare.mpi_inf_3dhp import MpiInf3dhp
from poseda.data.prepare.mpi_inf_3dhp.original import read_calibration
from poseda.data.prepare.mpi_inf_3dhp.tables import (
    ADAPTPOSE_16,
    CAMERAS,
    JOINTS_17,
    JOINTS_28,
    OUTDOOR,
    POSEAUG_16,
    SPIN_24,
    TRAIN_FRAMES,
    VALID_FRAMES,
    camera_class,
)
from poseda_ext.skeleton import H36M_17
from tests import three_dhp_files as made
from tests.commands import prepared

FRAMES = 24
TESTS = tuple(VALID_FRAMES)
VALID = np.arange(FRAMES) % 3 == 0
RECORDINGS = {("S1", "Seq1"): FRAMES, ("S2", "Seq2"): FRAMES}


def of_clip(arrays: dict[str, Any], subject: str, action: str, camera: int) -> dict[str, Any]:
    rows = (
        (arrays["subject"] == subject) & (arrays["action"] == action) & (arrays["camera"] == camera)
    )
    return {key: value[rows] for key, value in arrays.items() if value.ndim}


def assert_view(
    rows: dict[str, Any], view: made.View, frames: Any, labels: str, *, exact: bool = False
) -> None:
    """The rows are these frames of the view, in float32."""
    assert_array_equal(rows["frame"], np.arange(len(view.pose2d))[frames])
    points = view.pose2d[frames]
    # A pose scaled about the pelvis fits its 2D joints where the pelvis moves by the same factor.
    pose = view.pose3d[frames] * (view.scale if labels == "univ_annot3" else 1)
    if exact:
        assert_array_equal(rows["pose2d"], points.astype(np.float32))
        assert_array_equal(rows["pose3d"], (1000 * pose / 1000).astype(np.float32))
    else:
        assert_allclose(rows["pose2d"], points, rtol=3e-7)
        assert_allclose(rows["pose3d"], pose, rtol=3e-7, atol=3e-7)


def refused(folder: Path, match: str, error: type[Exception] = ValueError, **options: Any) -> None:
    """The command fails with this message and leaves no file."""
    path = folder.parent / "refused.npz"
    with pytest.raises(error, match=match):
        MpiInf3dhp(folder=folder, to=path, **options).run()
    assert not path.exists()


@pytest.fixture(scope="module", params=["v5", "v7.3"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set's own folders, in both versions of MATLAB files."""
    folder = tmp_path_factory.mktemp(f"original-{request.param}")
    for subject, sequence in RECORDINGS:
        made.write_train(folder, subject, sequence, FRAMES, request.param)
    for name in TESTS:
        made.write_test(folder, name, VALID, request.param)
    return folder


@pytest.fixture
def changed(original: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(original, tmp_path / "changed"))


# Joint maps


@pytest.mark.parametrize("joints", [JOINTS_28, JOINTS_17, SPIN_24, POSEAUG_16, ADAPTPOSE_16])
def test_mapped_skeleton_is_human(joints: JointMap) -> None:
    world = made.walk(3, 50)
    truth = made.to_camera(world, made.EXTRINSICS[0])
    other = np.full((50, len(joints.joints), 3), np.nan)
    for place, name in enumerate(H36M_17.names):
        for theirs in (name, made.NAMES[name]):
            if theirs in joints.joints:
                other[:, joints.joints.index(theirs)] = truth[:, place]
    pose = joints.points(other)
    check_anatomy(pose, joints.name)
    joint = {name: pose[:, place] for place, name in enumerate(H36M_17.names)}
    assert (joint["Head"][:, 1] < joint["Thorax"][:, 1]).all()  # y points down
    assert (joint["Thorax"][:, 1] < joint["Hip"][:, 1]).all()
    assert (joint["Hip"][:, 1] < joint["LKnee"][:, 1]).all()
    own = [place for place, row in enumerate(joints.matrix) if (row > 0).sum() == 1]
    assert_array_equal(pose[:, own], truth[:, own])
    assert len(own) == (16 if "16" in joints.name else 17)


def test_anatomy_tells_mislabelled_joints() -> None:
    pose = made.to_camera(made.walk(3, 50), made.EXTRINSICS[0])
    order = list(range(17))
    mirrored = pose[:, list(H36M_17.mirrored)]
    legs = pose[:, [0, 4, 5, 6, 1, 2, 3, *order[7:]]]
    upside = pose[:, [*order[:8], 0, 9, 7, *order[11:]]]
    for wrong, match in (
        (mirrored, "knees that bend backwards"),
        (legs, "shoulders that lie the other way round"),
        (1000 * pose, "a median of .* m to"),
        (pose / 1000, "a median of .* m to"),
        (pose * [1, -1, 1], "knees that bend backwards"),
        (pose[..., [1, 0, 2]], "knees that bend backwards"),
        (upside, "got"),
    ):
        with pytest.raises(ValueError, match=match):
            check_anatomy(wrong, "poses")


# Cameras


def test_calibration_gives_the_known_cameras(tmp_path: Path) -> None:
    path = tmp_path / "camera.calibration"
    made.write_calibration(path)
    assert read_calibration(path) == CAMERAS
    kinds = {number: camera.camera_class for number, camera in CAMERAS.items()}
    assert [number for number, kind in kinds.items() if kind == "chest"] == [0, 2, 4, 7, 8]
    assert [number for number, kind in kinds.items() if kind == "knee"] == [5]


def test_camera_classes() -> None:
    assert camera_class(1.4, -12) == "chest"
    assert camera_class(0.5, 10) == "knee"
    assert camera_class(3.4, -50) == "ceiling"
    assert camera_class(3.0, 20) == "other"


def test_cameras_of_the_test_set_follow_from_the_sensor() -> None:
    # Sensor and focal length in mm, offset of the principal point in mm, aspect of a pixel.
    for camera, sensor, focal, offset, aspect in (
        (CAMERAS[8], (10, 10), 7.32506, (-0.0322884, 0.0929296), 1.00044),
        (OUTDOOR, (10, 5.625), 8.770747185, (-0.104908645, 0.104899704), 0.993236423),
    ):
        per_mm = np.asarray(camera.image_size) / sensor
        expected = [
            focal * per_mm[0],
            focal * per_mm[1] * aspect,
            camera.image_size[0] / 2 + offset[0] * per_mm[0],
            camera.image_size[1] / 2 + offset[1] * per_mm[1],
        ]
        assert_allclose(camera.intrinsics, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda text: "", "got no camera"),
        (lambda text: text.replace("size        2048 2048", "size 2048", 1), "line 4: size: got"),
        (lambda text: text.replace("1497.693", "wide"), "line 6: intrinsic: got"),
        (lambda text: text.replace("1497.693", "nan"), "line 6: intrinsic: got"),
        (
            lambda text: text.replace("name          1\n", "name          0\n"),
            "a new camera number",
        ),
        (lambda text: text.replace("  extrinsic", "  position", 1), "camera 0: extrinsic: missing"),
        (
            lambda text: text.replace("0.9650164", "9.650164"),
            "camera 0: extrinsic: got no rotation",
        ),
    ],
)
def test_damaged_calibration_is_refused(
    tmp_path: Path, change: Callable[[str], str], match: str
) -> None:
    path = tmp_path / "camera.calibration"
    made.write_calibration(path)
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=match):
        read_calibration(path)


# The data set's own files


@pytest.mark.parametrize("labels", ["annot3", "univ_annot3"])
def test_original_files_come_back(original: Path, labels: Any) -> None:
    arrays, about, lines = prepared(MpiInf3dhp, original, labels=labels, frames="all")
    for subject, sequence in RECORDINGS:
        for camera in made.CAMERAS:
            rows = of_clip(arrays, subject, sequence, camera)
            view = made.train_view(subject, sequence, camera, FRAMES)
            assert_view(rows, view, slice(None), labels, exact=labels == "annot3")
            assert_allclose(rows["intrinsics"], [made.INTRINSICS[camera]] * FRAMES, rtol=1e-7)
            assert set(rows["camera_class"]) == {CAMERAS[camera].camera_class}
            assert set(rows["fps"]) == {25} and set(rows["split"]) == {0}
            assert len(set(rows["clip"])) == 1
    for name in TESTS:
        outdoor = name in ("TS5", "TS6")
        rows = of_clip(arrays, name, name, 14 if outdoor else 8)
        view = made.sequence_view(name, FRAMES)
        assert_view(rows, view, slice(None), labels, exact=labels == "annot3")
        size = (1920, 1080) if outdoor else (2048, 2048)
        assert_array_equal(rows["image_size"], [size] * FRAMES)
        assert set(rows["split"]) == {1} and set(rows["camera_class"]) == {"chest"}
    assert set(arrays["camera"]) == {*made.CAMERAS, 14}
    assert len(set(arrays["clip"])) == 16 + 6
    assert about["labels"] == labels and about["frames"] == "all"
    moved = "moved by the scale of univ_annot3"
    assert about["root"] == ("as in the files" if labels == "annot3" else moved)
    assert about["reprojection_error_px"] < 0.001
    assert any(line.startswith("S1 Seq1: 192 of 192 frames, cameras 0 1 2 4") for line in lines)


def test_valid_univ_annot3_frames_are_the_default(original: Path) -> None:
    arrays, about, lines = prepared(MpiInf3dhp, original, split="test")
    assert len(arrays["frame"]) == 6 * VALID.sum()
    assert_array_equal(of_clip(arrays, "TS2", "TS2", 8)["frame"], np.flatnonzero(VALID))
    assert about["protocol"] == "48 valid test frames of TS1 TS2 TS3 TS4 TS5 TS6"
    assert about["dataset"] == "MPI-INF-3DHP" and "research" in about["licence"]
    assert "dropped 96 frames: not among the valid test frames" in lines


def test_frames_of_adaptpose(tmp_path: Path) -> None:
    for name in ("TS2", "TS3"):
        made.write_test(tmp_path / "data", name, np.arange(110) % 2 == 0, "v7.3")
    arrays, about, lines = prepared(MpiInf3dhp, tmp_path / "data", frames="adaptpose")
    assert_array_equal(of_clip(arrays, "TS3", "TS3", 8)["frame"], np.arange(100, 110))
    assert_array_equal(of_clip(arrays, "TS2", "TS2", 8)["frame"], np.arange(110))
    assert about["protocol"] == "120 adaptpose test frames of TS2 TS3"
    assert "not there: TS1, TS4, TS5, TS6" in lines


def test_frames_after_the_end_of_the_video_are_left_out(
    original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRAIN_FRAMES, ("S1", "Seq1"), (20, 25.0))
    arrays, _, lines = prepared(MpiInf3dhp, original, split="train")
    assert_array_equal(of_clip(arrays, "S1", "Seq1", 4)["frame"], np.arange(20))
    assert "dropped 32 frames: after the end of the video" in lines


def test_impossible_frames_are_dropped(tmp_path: Path) -> None:
    path = made.write_test(tmp_path / "data", "TS1", VALID, "v5")
    variables = made.sequence_variables("TS1", VALID)
    variables["annot2"][0, 3, 0, 0] = -5000
    variables["annot3"][2, 3, 0, 3] = -100
    variables["annot3"][0, 3, 0, 6] = np.nan
    made.save_matlab(path, variables, "v5")
    arrays, _, lines = prepared(MpiInf3dhp, tmp_path / "data", labels="annot3")
    assert_array_equal(arrays["frame"], np.flatnonzero(VALID)[3:])
    assert "dropped 1 frames: a joint more than an image size outside the image" in lines
    assert "dropped 1 frames: a joint behind the camera" in lines
    assert "dropped 1 frames: a joint is hidden or not a finite number" in lines


def test_wrong_legs_of_univ_annot3_move_nobody(tmp_path: Path) -> None:
    # As in the data set's TS6, whose knees and ankles of univ_annot3 are not those of annot3.
    path = made.write_test(tmp_path / "data", "TS6", VALID, "v7.3")
    variables = made.sequence_variables("TS6", VALID)
    variables["univ_annot3"][:, [9, 10, 12, 13]] += 40
    made.save_matlab(path, variables, "v7.3")
    arrays, _, _ = prepared(MpiInf3dhp, tmp_path / "data", frames="all")
    view = made.sequence_view("TS6", FRAMES)
    assert_allclose(arrays["pose3d"][:, 0], view.scale * view.pose3d[:, 0], rtol=3e-7)


def test_wrong_intrinsics_are_told(original: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(original, tmp_path / "data"))
    path = folder / "S1" / "Seq1" / "camera.calibration"
    path.write_text(path.read_text().replace("1497.693 0 1024.704", "1497.693 0 1044.704"))
    lines = prepared(MpiInf3dhp, folder, labels="annot3", split="train")[2]
    (line,) = [line for line in lines if "are the intrinsics those of this recording?" in line]
    assert line.startswith("S1 Seq1") and "median reprojection error 20.000 pixels" in line
    assert "not there: S1 Seq2, S2 Seq1, S3 Seq1" in "\n".join(lines)


def test_data_set_found_twice_needs_a_choice(original: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        shutil.copytree(original, tmp_path / "data" / name)
    refused(tmp_path / "data", "found the data set more than once, in .*first, .*second; name one")
    shutil.rmtree(tmp_path / "data" / "second")
    assert prepared(MpiInf3dhp, tmp_path / "data")[1]["frames"] == "valid"


def test_missing_calibration_is_named(changed: Path) -> None:
    (changed / "S2" / "Seq2" / "camera.calibration").unlink()
    refused(changed, r"S2/Seq2/camera.calibration: no such file; .*licence", FileNotFoundError)


def test_empty_folder_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    match = r"data: has no S1/Seq1/annot.mat or .*; the files of MPI-INF-3DHP come from https"
    refused(tmp_path / "data", match, FileNotFoundError)
    match = r"has no test_3dhp.npz \(github.com/jfzhang95/PoseAug\); the files .*licence: for resea"
    refused(tmp_path / "data", match, FileNotFoundError, source="poseaug")
    refused(tmp_path / "data", "of this part", FileNotFoundError, source="spin", split="train")


def spoil_train(folder: Path, spoil: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "S1" / "Seq1" / "annot.mat"
    variables = made.train_variables("S1", "Seq1", FRAMES)
    spoil(variables)
    made.save_matlab(path, variables, "v7.3" if h5py.is_hdf5(path) else "v5")


def spoil_test(folder: Path, spoil: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "TS3" / "annot_data.mat"
    variables = made.sequence_variables("TS3", VALID)
    spoil(variables)
    made.save_matlab(path, variables, "v7.3" if h5py.is_hdf5(path) else "v5")


def _each(name: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    """Spoils all cells of a cell array."""

    def spoil(variables: dict[str, Any]) -> None:
        variables[name] = [change(cell) for cell in variables[name]]

    return spoil


def swapped(cell: Any) -> Any:
    return cell.reshape(len(cell), 28, 2)[..., ::-1].reshape(len(cell), 56)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (
            lambda found: found.pop("annot2"),
            "annot.mat: annot2: missing; found annot3, univ_annot3",
        ),
        (_each("annot3", lambda cell: cell[:, :51]), r"annot3: got shape \(24, 51\), expected"),
        (_each("annot3", lambda cell: cell / 1000), "camera 0: got a median of .* m to"),
        (_each("annot2", swapped), "got 2D joints at a median distance of"),
        (_each("annot2", lambda cell: cell[:9]), "annot3: got 24 frames, expected 9 as in 2D"),
        (_each("annot3", lambda cell: cell[::-1]), "got 2D joints at a median distance of"),
        (lambda found: found["annot3"].pop(), "annot3: got 13 cells, expected 14"),
        (lambda found: found.update(annot3=found["annot3"][0]), "annot3: got .*expected a cell"),
    ],
)
def test_wrong_train_annotations_are_refused(
    changed: Path, spoil: Callable[[dict[str, Any]], Any], match: str
) -> None:
    spoil_train(changed, spoil)
    refused(changed, match, labels="annot3")


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda found: found.pop("valid_frame"), "annot_data.mat: valid_frame: missing; found"),
        (lambda found: found.update(annot3=found["annot3"][:, :16]), r"got shape \(3, 16, 1, 24\)"),
        (lambda found: found.update(annot3=found["annot3"] / 10), "got a median of .* m to"),
        (lambda found: found.update(annot2=found["annot2"][::-1]), "got 2D joints at a median"),
        (lambda found: found.update(annot2=found["annot2"].transpose(3, 2, 1, 0)), "got shape"),
        (lambda found: found.update(valid_frame=np.ones((1, 9))), "valid_frame: got 9 frames"),
    ],
)
def test_wrong_test_annotations_are_refused(
    changed: Path, spoil: Callable[[dict[str, Any]], Any], match: str
) -> None:
    spoil_test(changed, spoil)
    refused(
        changed, f"TS3/.*{match}" if "TS3" not in match else match, labels="annot3", split="test"
    )


@pytest.mark.parametrize("keep", [0, 100, 600, 5000])
def test_truncated_matlab_files_are_refused(changed: Path, keep: int) -> None:
    path = changed / "TS1" / "annot_data.mat"
    path.write_bytes(path.read_bytes()[:keep])
    refused(changed, "TS1/annot_data.mat: ", split="test")


@pytest.mark.parametrize("version", ["v5", "v7.3"])
def test_damaged_matlab_files_are_refused_or_read(tmp_path: Path, version: str) -> None:
    path = made.write_test(tmp_path / "data", "TS1", VALID, version)
    whole = path.read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(30):
        damaged = bytearray(whole)
        for place in rng.integers(0, min(3000, len(whole)), 8):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(ValueError):  # and nothing else
            MpiInf3dhp(folder=tmp_path / "data", to=tmp_path / "3dhp.npz").run()


def test_matlab_file_of_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data" / "TS1" / "annot_data.mat"
    variables = {**made.sequence_variables("TS1", VALID), "annot2": "numbers"}
    path.parent.mkdir(parents=True)
    made.scipy.io.savemat(path, variables)
    refused(tmp_path / "data", "annot2: got <U7, expected numbers")


def test_hdf5_that_points_to_other_files_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    path = made.write_test(folder, "TS1", VALID, "v7.3")
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(8 * 24))
    with h5py.File(path, "r+") as file:
        del file["valid_frame"]
        file.create_dataset("valid_frame", (24, 1), "f8", external=[(str(secret), 0, 8 * 24)])
    refused(folder, "valid_frame: got data of another file")
    with h5py.File(path, "r+") as file:
        del file["valid_frame"]
        file["valid_frame"] = h5py.ExternalLink(str(path), "annot2")
    refused(folder, "valid_frame: got no array, expected one in this file")


def test_missing_package_is_named(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("h5py", "scipy.io", "scipy"):
        monkeypatch.setitem(sys.modules, package, None)
    match = r"is needed to read MATLAB files; install it with: pip install 'poseda\[data\]'"
    refused(original, match, ImportError)


# P-STMO and PoSynDA


@pytest.mark.parametrize(("labels", "suffix"), [("univ_annot3", ""), ("annot3", "_ori")])
def test_pstmo_files_come_back(tmp_path: Path, labels: str, suffix: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    made.save_npz(
        folder / f"data_train_3dhp{suffix}.npz", data=made.pstmo_train(labels, RECORDINGS)
    )
    made.save_npz(
        folder / f"data_test_3dhp{suffix}.npz",
        data=made.pstmo_test(labels, dict.fromkeys(TESTS, VALID)),
    )
    arrays, about, _ = prepared(MpiInf3dhp, folder)
    for subject, sequence in RECORDINGS:
        for camera in made.CAMERAS:
            rows = of_clip(arrays, subject, sequence, camera)
            view = made.train_view(subject, sequence, camera, FRAMES)
            assert_view(rows, view, slice(None), labels, exact=labels == "annot3")
            assert set(rows["camera_class"]) == {CAMERAS[camera].camera_class}
    for name in TESTS:
        rows = of_clip(arrays, name, name, 14 if name in ("TS5", "TS6") else 8)
        assert_view(rows, made.sequence_view(name, FRAMES), VALID, labels, exact=labels == "annot3")
    assert about["labels"] == labels and about["frames"] == "valid"
    other = "annot3" if labels == "univ_annot3" else "univ_annot3"
    refused(folder, f"labels: got {other}, but .* fix it to {labels}", labels=other)


def test_labels_are_told_by_the_data_and_not_the_name(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    data = made.pstmo_test("annot3", dict.fromkeys(TESTS, VALID))
    made.save_npz(folder / "data_test_3dhp.npz", data=data)
    assert prepared(MpiInf3dhp, folder)[1]["labels"] == "annot3"


def test_the_lens_outdoors_does_not_decide_the_labels(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    data = made.pstmo_test("annot3", dict.fromkeys(TESTS, VALID))
    focal, centre = np.asarray(made.OUTDOOR[:2]), np.asarray(made.OUTDOOR[2:])
    for name in ("TS5", "TS6"):
        plane = (data[name]["data_2d"] - centre) / focal
        radius = (plane**2).sum(-1, keepdims=True)
        bent = plane * (1 - 0.2769 * radius + 0.1311 * radius**2)
        data[name]["data_2d"] = bent * focal + centre
    made.save_npz(folder / "data_test_3dhp_ori.npz", data=data)
    assert prepared(MpiInf3dhp, folder)[1]["labels"] == "annot3"


def test_both_kinds_of_pstmo_files_need_a_choice(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for labels, suffix in (("univ_annot3", ""), ("annot3", "_ori")):
        data = made.pstmo_test(labels, {"TS1": VALID})
        made.save_npz(folder / f"data_test_3dhp{suffix}.npz", data=data)
    refused(folder, "say which with --labels")
    assert prepared(MpiInf3dhp, folder, labels="annot3")[1]["files"] == ["data_test_3dhp_ori.npz"]


def test_normalised_2d_becomes_pixels(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    data = made.pstmo_test("annot3", {"TS1": VALID, "TS5": VALID})
    data["TS1"]["data_2d"] = data["TS1"]["data_2d"] / 2048 * 2 - 1
    data["TS5"]["data_2d"] = data["TS5"]["data_2d"] / 1920 * 2 - [1, 1080 / 1920]
    made.save_npz(folder / "data_test_3dhp.npz", data=data)
    arrays = prepared(MpiInf3dhp, folder)[0]
    for name, camera in (("TS1", 8), ("TS5", 14)):
        rows = of_clip(arrays, name, name, camera)
        assert_view(rows, made.sequence_view(name, FRAMES), VALID, "annot3")


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda data: data["TS1"].pop("valid"), "npz: TS1: valid: missing; found data_2d, data_3d"),
        (lambda data: data.update(TS9=data["TS1"]), "TS9: got 'TS9', expected one of TS1"),
        (lambda data: data.update(TS1=[1, 2]), "TS1: got list, expected a dictionary"),
        (
            lambda data: data["TS1"].update(data_2d=data["TS1"]["data_2d"].astype("U8")),
            "data_2d: got dtype <U8, expected an array of numbers",
        ),
        (
            lambda data: data["TS1"].update(data_3d=data["TS1"]["data_3d"][:, :16]),
            r"data_3d: got shape \(24, 16, 3\), expected \(frames, 17, 3\)",
        ),
        (
            lambda data: data["TS1"].update(data_3d=data["TS1"]["data_3d"] / 1000),
            "TS1: got a median of .* m to",
        ),
        (
            lambda data: data["TS1"].update(data_2d=data["TS1"]["data_2d"][..., ::-1]),
            "TS1: got 2D joints at a median distance",
        ),
        (
            # Already in the order of Human3.6M, as some copies of the scripts write it.
            lambda data: data["TS1"].update(
                {
                    key: data["TS1"][key][
                        :, [14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]
                    ]
                    for key in ("data_2d", "data_3d")
                }
            ),
            "TS1: got .*expected the data set's unit, joint order and axes",
        ),
    ],
)
def test_wrong_pstmo_files_are_refused(
    tmp_path: Path, spoil: Callable[[Any], Any], match: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    data = made.pstmo_test("annot3", {"TS1": VALID})
    spoil(data)
    made.save_npz(folder / "data_test_3dhp.npz", data=data)
    refused(folder, match)


def test_pickles_run_no_code(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    trace = tmp_path / "trace"
    data = {**made.pstmo_test("annot3", {"TS1": VALID}), "TS2": made.Hostile(trace)}
    made.save_npz(folder / "data_test_3dhp.npz", data=data)
    refused(folder, "data: the pickle wants 'builtins.exec'")
    assert not trace.exists()


@pytest.mark.parametrize("keep", [0, 40, 3000])
def test_truncated_npz_is_refused(tmp_path: Path, keep: int) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = made.save_npz(
        folder / "data_test_3dhp.npz", data=made.pstmo_test("annot3", {"TS1": VALID})
    )
    path.write_bytes(path.read_bytes()[:keep])
    refused(folder, "data_test_3dhp.npz: got no readable")


# PoseAug and SPIN


def test_poseaug_file_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    made.save_npz(folder / "test_3dhp.npz", **made.poseaug_arrays())
    arrays, about, lines = prepared(MpiInf3dhp, folder)
    assert len(arrays["frame"]) == 2929
    neck, own = 9, [place for place in range(17) if place != 9]
    for name, count in VALID_FRAMES.items():
        rows = of_clip(arrays, name, name, 14 if name in ("TS5", "TS6") else 8)
        view = made.sequence_view(name, count)
        rows = {
            key: value[:, own] if key in ("pose2d", "pose3d") else value
            for key, value in rows.items()
        }
        chosen = made.View(view.pose3d[:, own], view.pose2d[:, own], view.scale)
        assert_view(rows, chosen, slice(None), "univ_annot3")
    assert (arrays["confidence"][:, neck] == 0).all() and (arrays["confidence"][:, own] == 1).all()
    assert (
        about["protocol"].startswith("2,929 valid test frames of TS1") and "Neck" in about["joints"]
    )
    assert about["reprojection_error_px"] < 0.001
    assert "root positions: solved from the 2D joints" in lines
    refused(folder, "labels: got annot3, but test_3dhp.npz fix it to univ_annot3", labels="annot3")
    refused(folder, "frames: got all, but test_3dhp.npz fix it to valid", frames="all")


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda data: data.pop("pose2d"), "test_3dhp.npz: pose2d: missing; found pose3d"),
        (lambda data: data.update(pose2d=data["pose2d"][:-1]), "pose2d: got 2,928 poses, expected"),
        (lambda data: data.update(pose3d=data["pose3d"] * 1000), "TS1: got a median of"),
        (lambda data: data.update(pose2d=data["pose2d"][..., ::-1]), "TS1: got 2D joints at a"),
        (lambda data: data.update(pose2d=data["pose2d"][::-1]), "got 2D joints at a median"),
    ],
)
def test_wrong_poseaug_files_are_refused(
    tmp_path: Path, spoil: Callable[[Any], Any], match: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    arrays = made.poseaug_arrays()
    spoil(arrays)
    made.save_npz(folder / "test_3dhp.npz", **arrays)
    refused(folder, match)


def test_spin_file_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    arrays = made.spin_arrays(FRAMES)
    arrays["part"][3, 2, 2] = 0  # the right hip is hidden
    made.save_npz(folder / "mpi_inf_3dhp_valid.npz", **arrays)
    found, about, lines = prepared(MpiInf3dhp, folder)
    hidden = np.arange(FRAMES) == 9
    for name in TESTS:
        rows = of_clip(found, name, name, 14 if name in ("TS5", "TS6") else 8)
        chosen = VALID & ~hidden if name == "TS1" else VALID
        assert_view(rows, made.sequence_view(name, FRAMES), chosen, "univ_annot3")
    assert "dropped 1 frames: a joint is hidden or not a finite number" in lines
    assert about["labels"] == "univ_annot3"
    arrays["imgname"] = np.asarray([name.replace("TS2", "TX2") for name in arrays["imgname"]])
    made.save_npz(folder / "mpi_inf_3dhp_valid.npz", **arrays)
    refused(folder, "imgname: got 'mpi_inf_3dhp_test_set/TX2/.*', expected a folder TS1 to TS6")


# AdaptPose


def test_adaptpose_files_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    train, test = folder / "data_3dhp_gt_train.npz", folder / "data_3dhp_gt_test.npz"
    made.save_npz(train, positions_2d=made.adaptpose_train("2d", RECORDINGS))
    own = [place for place in range(17) if place != 9]

    arrays, about, _ = prepared(MpiInf3dhp, folder)
    assert "pose3d" not in arrays and about["labels"] == "none"
    for camera in range(14):
        rows = of_clip(arrays, "S2", "Seq2", camera)
        view = made.train_view("S2", "Seq2", camera, FRAMES)
        assert_array_equal(rows["pose2d"][:, own], view.pose2d[:, own].astype(np.float32))
        assert_allclose(rows["intrinsics"], [made.INTRINSICS[camera]] * FRAMES, rtol=1e-7)

    made.save_npz(test, **made.adaptpose_test("annot3", dict.fromkeys(TESTS, 110)))
    refused(folder, "choose with --split train or --split test")
    arrays, about, _ = prepared(MpiInf3dhp, folder, split="test")
    assert about["labels"] == "annot3"
    assert about["protocol"].startswith("460 adaptpose test frames")
    assert_array_equal(of_clip(arrays, "TS3", "TS3", 8)["frame"], np.arange(100, 110))
    refused(
        folder, "frames: got valid, but .* fix it to adaptpose or all", split="test", frames="valid"
    )

    made.save_npz(
        folder / "data_3dhp_gt_train_3d.npz", positions_3d=made.adaptpose_train("3d", RECORDINGS)
    )
    arrays, about, _ = prepared(MpiInf3dhp, folder, frames="all")
    rows = of_clip(arrays, "S1", "Seq1", 13)
    view = made.train_view("S1", "Seq1", 13, FRAMES)
    assert_array_equal(rows["pose3d"][:, own], view.pose3d[:, own].astype(np.float32))
    rows = of_clip(arrays, "TS6", "TS6", 14)
    view = made.sequence_view("TS6", 110)
    assert_array_equal(rows["pose3d"][:, own], view.pose3d[:, own].astype(np.float32))


def test_root_relative_labels_of_adaptpose_are_unknown(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    data = made.adaptpose_test("annot3", dict.fromkeys(TESTS, 30))
    data["positions_3d"] = {name: pose - pose[:, :1] for name, pose in data["positions_3d"].items()}
    made.save_npz(folder / "data_3dhp_gt_test.npz", **data)
    arrays, about, _ = prepared(MpiInf3dhp, folder, frames="all")
    assert about["labels"] == "unknown" and about["root"] == "solved from the 2D joints"
    view = made.sequence_view("TS4", 30)
    assert_allclose(of_clip(arrays, "TS4", "TS4", 8)["pose3d"][:, 0], view.pose3d[:, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda pose: pose[..., ::-1], "heads that are not above the feet"),
        (lambda pose: pose[:, [0, 4, 5, 6, 1, 2, 3, *range(7, 16)]], "the other way round"),
        (lambda pose: pose[:, :15], r"got shape \(24, 15, 2\)"),
    ],
)
def test_wrong_adaptpose_train_files_are_refused(
    tmp_path: Path, change: Callable[[Any], Any], match: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    data = made.adaptpose_train("2d", {("S1", "Seq1"): FRAMES})
    data["S1"]["Seq1"] = {camera: change(pose) for camera, pose in data["S1"]["Seq1"].items()}
    made.save_npz(folder / "data_3dhp_gt_train.npz", positions_2d=data)
    refused(folder, match)


# The command


def test_several_kinds_of_files_need_a_choice(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    made.save_npz(folder / "test_3dhp.npz", **made.poseaug_arrays())
    made.save_npz(folder / "data_test_3dhp.npz", data=made.pstmo_test("annot3", {"TS1": VALID}))
    refused(folder, "found files of several kinds; choose with --source")
    assert prepared(MpiInf3dhp, folder, source="p-stmo")[1]["source"] == "P-STMO's files"


def test_frames_without_test_files_are_refused(original: Path) -> None:
    refused(original, "frames: got valid, but .* fix it to none", split="train", frames="valid")


def test_command_prints_what_it_found(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "3dhp.npz"
    main(["prepare", "mpi-inf-3dhp", "--from", str(original), "--to", str(path), "--split", "test"])
    shown = capsys.readouterr().out
    assert "TS6: 8 of 24 frames; median reprojection error" in shown
    assert "dropped 96 frames: not among the valid test frames" in shown
    assert f"48 frames: {path}" in shown
    with pytest.raises(SystemExit) as failure:
        main(["prepare", "mpi-inf-3dhp", "--from", str(tmp_path), "--to", str(path)])
    assert failure.value.code == 2
    assert "licence: for research only" in capsys.readouterr().err
