"""Bad and hostile input to the commands: one line, exit status 2, nothing left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

pytest.importorskip("tyro", reason="the command line needs tyro")

from poseda import Lifter
from poseda.cli import main
from poseda.keypoints import read_keypoints
from poseda.networks.lifters import make_lifter
from poseda.networks.weights import NamedLifter, save_lifter
from poseda.outputs import write_bvh, write_html, write_json
from poseda_ext import H36M_16, H36M_17
from tests.keypoint_files import image, walk

SIZE = ("--image-size", "1920x1080")


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a command ends with."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([str(each) for each in arguments])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("poseda: error: ") and line.isprintable()
    return line


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return image(walk(12)).astype(np.float32)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: np.ndarray) -> Path:
    """A folder with weights and keypoints, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    module = make_lifter("videopose3d", H36M_16, 16).eval()
    save_lifter(tmp_path / "w.safetensors", NamedLifter(module, "videopose3d", 16, H36M_16))
    np.savez("k.npz", keypoints=pixels, joint_set="h36m_17")
    return tmp_path


def lift(keypoints: object = "k.npz", out: object = "o.npz", *more: object) -> tuple[object, ...]:
    return ("lift", "--weights", "w.safetensors", "--keypoints", keypoints, "--out", out, *SIZE,
            *more)  # fmt: skip


def changed(metadata: dict[str, str], scale: float = 1.0) -> None:
    """Other weights in the place of w.safetensors."""
    tensors = load(Path("w.safetensors").read_bytes())
    tensors = {
        name: value * scale if value.is_floating_point() else value
        for name, value in tensors.items()
    }
    said = {"lifter": "videopose3d", "width": "16", "joints": "16", **metadata}
    Path("w.safetensors").write_bytes(save(tensors, said))


# Weights


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"joints": "17"}, r"expand.0.weight: got shape \(16, 32\), expected \(16, 34\)"),
        ({"width": "99"}, r"got shape \(16, 16\), expected \(99, 99\)"),
        ({"width": "-1"}, "width: got -1, expected 1 to 16,384"),
        ({"width": "100000000"}, "width: got 100000000, expected 1 to 16,384"),
        ({"lifter": "simple_baseline"}, r"blocks.0.0.0.bias: got none, expected \(16,\)"),
    ],
)
def test_weights_that_are_not_what_they_say(
    metadata: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(metadata)
    for command in (lift(), ("export", "--weights", "w.safetensors", "--to", "e.pt2")):
        with pytest.raises(ValueError, match=message):
            raise ValueError(refused(capsys, *command))
    assert sorted(os.listdir()) == ["k.npz", "w.safetensors"]


def test_a_large_width_takes_no_memory(capsys: pytest.CaptureFixture[str]) -> None:
    changed({"width": "16384"})  # 8.6 GB
    assert "expected (16384, 16384)" in refused(capsys, *lift())


def test_weights_that_are_no_numbers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    changed({}, scale=float("nan"))
    line = refused(capsys, "export", "--weights", "w.safetensors", "--to", "e.pt2")
    assert "weight: got NaN or infinity" in line


def test_weights_of_another_lifter_than_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, *lift("k.npz", "o.npz", "--lifter", "mine:Lifter"))
    assert "w.safetensors: weights of videopose3d, expected mine:Lifter" in line


# Messages


def test_a_message_is_one_line_without_control_characters(
    capsys: pytest.CaptureFixture[str], pixels: np.ndarray
) -> None:
    np.savez("k.npz", keypoints=pixels, joint_names=np.asarray(["\x1b[31mhip\n" * 50] * 17))
    line = refused(capsys, *lift())
    assert "k.npz: got 17 joints" in line and len(line) < 1000


def test_names_are_printed_without_control_characters(
    capsys: pytest.CaptureFixture[str], pixels: np.ndarray
) -> None:
    os.rename("k.npz", "k\x1b[31m\n.npz")
    main([str(each) for each in lift("k\x1b[31m\n.npz")])
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


def test_folders_in_the_place_of_files(
    capsys: pytest.CaptureFixture[str], here: Path, pixels: np.ndarray
) -> None:
    (here / "o.npz").mkdir()
    assert "out: got o.npz, which is a folder" in refused(capsys, *lift())
    (here / "many" / "b.json").mkdir(parents=True)
    (here / "k.npz").rename(here / "many" / "k.npz")
    main([str(each) for each in lift("many", "p.npz")])  # and the folder is left alone
    line = refused(capsys, *lift("many", "w.safetensors/o.npz"))
    assert "cannot write w.safetensors/o.npz: w.safetensors is no folder" in line
    line = refused(capsys, "prepare", "keypoints", "--from", "many", "--to", "/proc/o.npz", *SIZE)
    assert "cannot write /proc/o.npz" in line


# Frames and names


def coco(frames: list[Any], pixels: np.ndarray, **more: Any) -> None:
    records = [
        {"image_id": frame, "keypoints": np.pad(one, ((0, 0), (0, 1)), constant_values=0.9)
         .ravel().tolist(), **more}
        for frame, one in zip(frames, pixels, strict=False)
    ]  # fmt: skip
    Path("k.json").write_text(json.dumps(records))


def test_frames_before_the_first_are_refused_with_their_file(
    capsys: pytest.CaptureFixture[str], pixels: np.ndarray
) -> None:
    coco(list(range(-3, 9)), pixels)
    line = refused(capsys, *lift("k.json", "o.npz", "--format", "h36m_17"))
    assert "k.json: frame: got -3, expected 0 to 2^53 - 1" in line


def test_large_numbers_of_images_come_through(pixels: np.ndarray) -> None:
    """As those of PoseTrack, 10,005,690,000 and so on."""
    first = 10_005_690_000
    coco([first + frame for frame in range(12)], pixels)
    lifted = Lifter.load("w.safetensors")("k.json", format="h36m_17", image_size=(1920, 1080))
    for ending in ("npz", "json", "html", "bvh"):
        assert lifted.save(f"o.{ending}") == [Path(f"o.{ending}")]
    with np.load("o.npz") as file:
        assert file["frame"].tolist() == list(range(first, first + 12))
    assert json.loads(Path("o.json").read_text())["poses"][-1]["frame"] == first + 11


def test_frames_too_far_apart_for_a_format_are_refused_without_taking_memory() -> None:
    poses = np.random.default_rng(0).normal(size=(3, 16, 3))
    frame = [0, 1, 2**52]
    with pytest.raises(ValueError, match="is in 3 of 4,503,599,627,370,497 frames"):
        write_bvh("o.bvh", poses, H36M_16, frame=frame)
    with pytest.raises(ValueError, match="expected at most 1073741824 apart"):
        write_html("o.html", poses, H36M_16, frame=frame)
    write_json("o.json", poses, H36M_16, frame=frame)
    assert not list(Path().glob("o.[bh]*"))


@pytest.mark.filterwarnings("error")
def test_names_that_are_no_text_are_replaced(pixels: np.ndarray) -> None:
    coco(list(range(12)), pixels, idx="\ud800\x1b\n$x^")
    lifted = Lifter.load("w.safetensors")("k.json", format="h36m_17", image_size=(1920, 1080))
    assert set(lifted.person) == {"k/?\x1b\n$x^"}
    for ending in ("npz", "json", "html", "bvh", "png"):
        assert lifted.save(f"o.{ending}") == [Path(f"o.{ending}")]


# Preparing


def test_prepared_keypoints_are_not_their_own_source(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    (here / "many").mkdir()
    (here / "k.npz").rename(here / "many" / "k.npz")
    command = ("prepare", "keypoints", "--from", "many", "--to", "many/all.npz", *SIZE)
    for _ in range(2):
        main(list(command))
        with np.load("many/all.npz") as made:
            assert len(made["pose2d"]) == 12
    line = refused(capsys, "prepare", "keypoints", "--from", "many/all.npz", "--to", "many/all.npz")
    assert "to: got many/all.npz, which is the file of the keypoints" in line


@pytest.mark.filterwarnings("error")
def test_coefficients_beyond_all_lenses_are_refused_without_a_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = ("--distortion", "1e300,0,0,0", "--camera", "f=1500")
    assert "folds back before the edge" in refused(capsys, *lift("k.npz", "o.npz", *more))


# Tables


@pytest.fixture
def table(pixels: np.ndarray) -> list[str]:
    names = [f"{name}_{axis}" for name in H36M_17.names for axis in "xy"]
    rows = [f"{frame},anna," + ",".join(map(str, one.ravel())) for frame, one in enumerate(pixels)]
    return ["frame,person," + ",".join(names), *rows]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_tables_of_other_programs(separator: str, newline: str, table: list[str]) -> None:
    text = newline.join(table).replace(",", separator)
    Path("k.csv").write_bytes(text.encode("utf-8-sig"))
    assert len(read_keypoints("k.csv")) == 12


def test_tables_that_cannot_be_read(capsys: pytest.CaptureFixture[str], table: list[str]) -> None:
    Path("k.csv").write_bytes("\n".join(table).encode("utf-16"))
    assert "k.csv: got text of another encoding, expected UTF-8" in refused(capsys, *lift("k.csv"))
    Path("k.csv").write_text("\n".join(table).replace(",", ";").replace(".", ","))
    assert "k.csv: line 2: got '" in refused(capsys, *lift("k.csv"))
    Path("k.csv").write_text(",".join(f"z{number}" for number in range(1_000_000)))
    assert "k.csv: line 1: got columns z0, z1" in refused(capsys, *lift("k.csv"))


def test_each_image_its_own_video(pixels: np.ndarray) -> None:
    """Names that are hashes; time grows with their number, not with its square."""
    names = [f"{number:08x}z{number % 7}.jpg" for number in range(300)]
    coco(names, np.tile(pixels, (25, 1, 1)))
    found = read_keypoints("k.json", format="h36m_17", image_size=(1920, 1080))
    assert len(np.unique(found.source)) == 300
    np.testing.assert_allclose(found.points[:12], pixels, atol=1e-3)


# Python


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "keypoints: got NoneType"),
        (3, "keypoints: got int"),
        (b"k.npz", "keypoints: got bytes"),
        ([[[1.0, 2.0]] * 17], "keypoints: got a list of list"),
        ({"a": 1}, "keypoints: got dict"),
        (torch.zeros(3, 17, 2, device="meta"), "keypoints: got a tensor without data"),
        (torch.zeros(3, 17, 2, dtype=torch.complex64), "keypoints: got a tensor of complex64"),
        (torch.zeros(3, 17, 2).to_sparse(), "keypoints: got a tensor of sparse_coo"),
    ],
)
def test_what_is_no_keypoints(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}"):
        Lifter.load("w.safetensors")(value, image_size=(1920, 1080))


def test_tensors_and_masked_arrays(pixels: np.ndarray) -> None:
    lifter = Lifter.load("w.safetensors")
    size: dict[str, Any] = {"image_size": (1920, 1080)}
    expected = lifter(pixels, **size).pose3d
    tensor = torch.from_numpy(pixels)
    np.testing.assert_array_equal(lifter(torch._neg_view(-tensor), **size).pose3d, expected)
    assert lifter(tensor.bfloat16(), **size).pose3d.shape == expected.shape
    mask = np.zeros(pixels.shape, bool)
    mask[:, 3] = True
    lifted = lifter(np.ma.masked_array(pixels, mask), **size)
    assert not lifted.seen[:, 3].any() and lifted.seen.sum() == 12 * 15


@pytest.mark.parametrize(
    ("setting", "value"),
    [("min_confidence", "a"), ("min_confidence", None), ("fps", "a"), ("max_people", 1.5),
     ("max_people", "a"), ("format", None), ("height", "a"), ("camera", 60),
     ("camera", ["a"] * 4), ("camera", [[1, 2]])],
)  # fmt: skip
def test_settings_of_other_types_are_named(setting: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{setting}: got "):
        Lifter.load("w.safetensors")("k.npz", image_size=(1920, 1080), **{setting: value})


# Runs


def test_a_target_that_shows_too_little_is_refused_before_training(
    capsys: pytest.CaptureFixture[str], pixels: np.ndarray, domains: tuple[Path, Path]
) -> None:
    hips = [H36M_17.names.index(name) for name in ("RHip", "LHip")]
    confidence = np.ones(pixels.shape[:2])
    confidence[:, [0, hips[0]]] = 0.1  # never the root itself, but enough to fill it in
    np.savez("k.npz", keypoints=pixels, confidence=confidence, joint_set="h36m_17")
    command = ("adapt", "--source", domains[0], "--target", "k.npz", *SIZE, "--out", "run")
    line = refused(capsys, *command)
    assert "k.npz: k: confidence: none of 12 training frames shows the root" in line
    assert not Path("run").exists()


def test_a_folder_with_other_files_stays_as_it_is(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    assert "out: . holds other files" in refused(capsys, "adapt", "--out", ".")
    assert sorted(os.listdir()) == ["k.npz", "w.safetensors"]
