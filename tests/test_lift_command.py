"""``poseda lift``, and ``adapt`` to keypoints as detectors write them, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("tyro", reason="the command line needs tyro")

from poseda.config import KeypointSettings, Settings
from poseda.data.synthetic import make_target
from poseda.experiment import _recipe
from poseda.networks.lifters import make_lifter
from poseda.networks.weights import NamedLifter, read_card, save_lifter
from poseda.plan import Plan, absolute_paths, load_plan, start_plan
from poseda_ext import H36M_16, H36M_17
from tests.commands import refused, run

COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
    "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
CAMERA = "1490,1490.6,1012,1024"


def as_coco(pose2d: np.ndarray) -> np.ndarray:
    """(N, 17, 3) COCO keypoints of a person whose face is one point."""
    joint = {name: pose2d[:, number] for number, name in enumerate(H36M_17.names)}
    ears = joint["Thorax"] + (joint["Head"] - joint["Thorax"]) / 1.25
    theirs = {"shoulder": "Shoulder", "elbow": "Elbow", "wrist": "Wrist", "hip": "Hip",
              "knee": "Knee", "ankle": "Foot"}  # fmt: skip
    columns = []
    for name in COCO:
        side, _, part = name.partition("_")
        columns.append(joint[side[0].upper() + theirs[part]] if part in theirs else ears)
    points = np.stack(columns, axis=1)
    return np.concatenate((points, np.full((*points.shape[:2], 1), 0.9)), axis=-1)


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COCO results of three people, one after another, filmed by one camera."""
    made = make_target(seed=4, frames=1000)
    person = as_coco(made["pose2d"][made["camera"] == 0])[:90]
    rows: list[dict[str, Any]] = [
        {"image_id": frame, "category_id": 1, "keypoints": one.ravel().tolist(), "score": 1.0}
        for frame, one in enumerate(person)
    ]
    path = tmp_path_factory.mktemp("keypoints") / "clip.json"
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "lifter.safetensors"
    module = make_lifter("videopose3d", H36M_16, 16).eval()
    save_lifter(path, NamedLifter(module, "videopose3d", 16, H36M_16))
    return path


def test_lift_keypoints_of_a_detector(
    coco: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = [tmp_path / "new" / f"lifted{ending}" for ending in (".npz", ".json", ".bvh")]
    known = ("--camera", CAMERA, "--image-size", "2048x2048", "--fps", 10)
    run("lift", "--weights", weights, "--keypoints", coco, *known, "--out", *out, "--global")
    said = capsys.readouterr().out
    for line in (
        "clip.json: coco, coco_17: clip: 3 people (tracked), 90 frames",
        "  Thorax <- +0.5 left_shoulder +0.5 right_shoulder",
        "camera: focal length 1490 px, 69.0 degrees",
        "distance from the camera: median",
        "90 poses: ",
    ):
        assert line in said
    with np.load(out[0]) as lifted:
        assert lifted["pose3d"].shape == (90, 16, 3) and lifted["root"].shape == (90, 3)
        assert lifted["fps"] == 10 and np.isfinite(lifted["root"]).all()
        for name in set(lifted["person"]):
            pose = lifted["pose3d"][lifted["person"] == name]
            thigh = np.linalg.norm(pose[:, 2] - pose[:, 1], axis=-1)
            np.testing.assert_allclose(thigh, thigh[0], rtol=1e-4)
    assert len(json.loads(out[1].read_text())["poses"]) == 90
    for person in (1, 2, 3):
        bvh = out[2].with_name(f"lifted.clip_{person}.bvh")
        assert bvh.is_file() and str(bvh) in said


def test_people_of_a_video_are_shown_together(weights: Path, tmp_path: Path) -> None:
    """Two people side by side in one of two videos of the same name."""
    made = make_target(seed=4, frames=1000)
    person = as_coco(made["pose2d"][made["camera"] == 0])[:20]
    beside = person + np.asarray([300.0, 0.0, 0.0])
    for folder, people in (("one", (person, beside)), ("other", (person,))):
        rows = [
            {"image_id": frame, "category_id": 1, "keypoints": each[frame].ravel().tolist()}
            for frame in range(20)
            for each in people
        ]
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "clip.json").write_text(json.dumps(rows))
    out = tmp_path / "lifted.npz"
    known = ("--camera", CAMERA, "--image-size", "2048x2048")
    run(
        "lift",
        "--weights",
        weights,
        "--keypoints",
        tmp_path / "*" / "clip.json",
        *known,
        "--out",
        out,
    )
    with np.load(out) as lifted:
        first, second = (lifted["clip"] == number for number in (0, 1))
        assert first.sum() == 40 and second.sum() == 20
        assert len(set(lifted["person"][first])) == 2
        assert len(set(lifted["person"])) == 3
        np.testing.assert_allclose(lifted["intrinsics"][:, 0], 1490, rtol=1e-6)
        assert (lifted["image_size"] == 2048).all()


def test_an_unknown_camera_is_assumed_and_said(
    coco: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lifted.npz"
    arguments = ("--weights", weights, "--keypoints", coco, "--out", out)
    assert "image_size: got none" in refused(capsys, "lift", *arguments)
    assert not out.exists()
    run("lift", *arguments, "--image-size", "2048x2048")
    said = capsys.readouterr().out
    assert "assumed: 60 degrees across the longer side" in said and "uncertain by about" in said
    with np.load(out) as lifted:
        assert "root" not in lifted and lifted["joint_names"][0] == "Hip"


def test_height_and_split(
    domains: tuple[Path, Path], weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--weights", weights, "--keypoints", domains[1], "--split", "test")
    run("lift", *given, "--out", tmp_path / "small.npz", "--height", 1.2, "--global")
    run("lift", *given, "--out", tmp_path / "tall.npz", "--height", 1.8, "--global")
    with np.load(tmp_path / "small.npz") as small, np.load(tmp_path / "tall.npz") as tall:
        with np.load(domains[1]) as data:
            assert len(tall["pose3d"]) == (data["split"] == 1).sum()
        np.testing.assert_allclose(tall["pose3d"], 1.5 * small["pose3d"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(tall["root"], 1.5 * small["root"], rtol=1e-4)
        assert len(set(tall["person"])) > 4
    assert "canonical" in capsys.readouterr().out


def test_lift_replaces_none_of_its_inputs(
    coco: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    clip = folder / "clip.json"
    clip.write_bytes(coco.read_bytes())
    known = ("--image-size", "2048x2048")
    for keypoints in (clip, folder):
        arguments = ("--weights", weights, "--keypoints", keypoints, *known, "--out", clip)
        assert "is the file of the keypoints" in refused(capsys, "lift", *arguments)
    assert clip.read_bytes() == coco.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "lifted.mp4"), "out: got lifted.mp4, expected a name that ends in"),
        (("--out",), "out: got no files, expected at least one"),
        (("--out", "a.npz", "--height", "180"), "height: got 180.0, expected 0.4 to 2.6 metres"),
        (("--out", "a.npz", "--camera", "fov=600"), "expected a field of view of 1 to 180"),
        (("--out", "a.npz", "--format", "openpose"), "got coco, expected openpose as format says"),
        (("--out", "a.npz", "--min-confidence", "2"), "min_confidence: got 2.0"),
        (("--out", "a.npz", "--distortion", "0.1,0,0,0"), "distortion: got coefficients without"),
    ],
)
def test_bad_options_write_nothing(
    arguments: tuple[str, ...],
    message: str,
    coco: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ("--weights", weights, "--keypoints", coco, "--image-size", "2048x2048")
    assert message in refused(capsys, "lift", *given, *arguments)
    assert not list(tmp_path.iterdir())


# --- a target as a detector wrote it

SMALL = (
    *("--width", "8", "--pretrain.steps", "4", "--pretrain.batch", "8", "--device", "cpu"),
    *("--adapt.steps", "4", "--adapt.batch", "8", "--adapt.warmup", "2", "--jobs", "1"),
)


def test_adapt_to_keypoints_of_a_detector(
    coco: Path, domains: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    known = ("--target", coco, "--camera", CAMERA, "--image-size", "2048x2048")
    run("adapt", "--source", domains[0], *known, *SMALL, "--no-control", "--out", out)
    errors = capsys.readouterr().err
    assert "Thorax <- +0.5 left_shoulder" in errors and "camera: focal length 1490 px" in errors
    report = (out / "report.md").read_text()
    assert "2D: detections (coco: coco_17)" in report and "focal length 1490 px" in report
    card = read_card(out / "seed0" / "poseda" / "lifter.safetensors")
    assert card is not None and card.target is not None and card.target.frames == 90
    assert load_plan(out).settings.keypoints.camera == CAMERA


def test_the_weights_estimate_the_camera(
    coco: Path,
    weights: Path,
    domains: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    known = ("--weights", weights, "--camera", "estimate", "--image-size", "2048x2048")
    run("lift", "--keypoints", coco, *known, "--out", tmp_path / "lifted.npz")
    said = capsys.readouterr().out
    target = ("--source", domains[0], "--target", coco)
    run("adapt", *target, *known, *SMALL, "--no-control", "--out", tmp_path / "run")
    for text in (said, capsys.readouterr().err):
        assert "60 degrees across the longer side, since the keypoints do not tell: " in text


def test_configs_of_earlier_versions_resume(tmp_path: Path) -> None:
    plan = Plan(Settings(out=tmp_path), ("source-only",), (0,))
    start_plan(plan)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["settings"]["keypoints"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_plan(tmp_path) == plan
    assert "keypoints" not in _recipe(plan.settings, None, 0)  # nor do their trainings have it


def test_a_photo_is_found_again_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keypoints = KeypointSettings(camera="exif:photo.jpg")
    plan = Plan(Settings(target=Path("clip.json"), keypoints=keypoints), ("gpa",), (0,))
    monkeypatch.chdir(tmp_path)
    assert absolute_paths(plan).settings.keypoints.camera == f"exif:{tmp_path / 'photo.jpg'}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--camera", "fov=60"), "camera: got some, expected them only together with target"),
        (("--target", "COCO", "--camera", "estimate"), "estimate, expected it only together with"),
        (("--target", "COCO", "--camera", "fov=60"), "image_size: got none"),
        (("--target", "COCO", "--image-size", "2048x"), "image_size: got '2048x', expected"),
        (("--target", "CANONICAL", "--camera", "fov=60"), "which is a canonical file with a came"),
        (("--target", "COCO", "--image-size", "2048x2048", "--camera-classes", "a:0"),
         "camera_classes: got some for"),
    ],
)  # fmt: skip
def test_bad_targets_are_told_before_anything_is_written(
    arguments: tuple[str, ...],
    message: str,
    coco: Path,
    domains: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"COCO": coco, "CANONICAL": domains[1]}
    given = [places.get(argument, argument) for argument in arguments]
    out = tmp_path / "run"
    line = refused(capsys, "adapt", "--source", domains[0], *SMALL, "--out", out, *given)
    assert message in line
    assert not out.exists()
