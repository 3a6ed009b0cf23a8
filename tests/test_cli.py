"""The commands as a user runs them, on small data: results, resuming, and bad input."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tyro", reason="the command line needs tyro")
pytest.importorskip("pydantic", reason="run folders need pydantic")

from poseda.training.run_folder import RunFolder
from tests.commands import refused, run

SMALL = (
    *("--width", "16", "--pretrain.steps", "60", "--pretrain.batch", "32"),
    *("--adapt.steps", "40", "--adapt.batch", "32", "--adapt.warmup", "10"),
    *("--checkpoint-every", "20", "--device", "cpu"),
)


@pytest.fixture(scope="module")
def data(domains: tuple[Path, Path]) -> tuple[str, ...]:
    return ("--source", str(domains[0]), "--target", str(domains[1]))


@pytest.fixture(scope="module")
def adapted(data: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "adapted"
    run("adapt", *data, *SMALL, "--out", out, "--jobs", 1)
    return out


def test_adapt_leaves_a_whole_run_folder(adapted: Path) -> None:
    rows = json.loads((adapted / "results.json").read_text())
    assert [row["method"] for row in rows] == ["source-only", "control", "poseda"]
    required = {"method", "lifter", "seed", "source", "target", "mpjpe", "pa_mpjpe", "n_mpjpe"}
    for row in rows:
        assert required | {"pck", "auc", "per_camera"} <= set(row)
        assert 0 < row["pa_mpjpe"] < row["mpjpe"] < 1000
        assert set(row["per_camera"]) == {"ceiling", "chest", "knee"}
    report = (adapted / "report.md").read_text()
    assert "against control" in report and "last step" in report
    for name in ("stages", "distributions", "predictions", "curves"):
        assert f"figures/{name}.png" in report
        assert (adapted / "figures" / f"{name}.png").stat().st_size > 10_000
    training = adapted / "seed0" / "poseda"
    records = RunFolder(training).records()
    assert {"critic_gap", "bone_angle_deg", "bone_ratio", "rotation_deg"} <= set(records[-1])
    assert records[-1]["step"] == 50
    assert (training / "lifter.safetensors").is_file()
    assert list((training / "tensorboard").glob("events.*"))
    assert not list(adapted.rglob("*.tmp"))


def test_same_command_gives_the_same_numbers(
    adapted: Path, data: tuple[str, ...], tmp_path: Path
) -> None:
    run("adapt", *data, *SMALL, "--out", tmp_path / "again", "--jobs", 1, "--no-control")
    rows = json.loads((tmp_path / "again" / "results.json").read_text())
    expected = json.loads((adapted / "results.json").read_text())
    assert rows == [row for row in expected if row["method"] != "control"]


def test_a_finished_run_resumes_to_its_own_results(adapted: Path) -> None:
    before = (adapted / "results.json").read_bytes()
    weights = adapted / "seed0" / "poseda" / "lifter.safetensors"
    written = weights.stat().st_mtime_ns
    run("adapt", "--resume", adapted, "--jobs", 1)
    assert (adapted / "results.json").read_bytes() == before
    assert weights.stat().st_mtime_ns == written


def test_compare_gives_mean_and_deviation_and_classes(
    data: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "compare"
    classes = ("low:0,1,2,3,4,5,6", "high:7,8,9,10,11,12,13")
    run(
        "compare",
        *(*data, *SMALL, "--out", out, "--methods", "source-only", "gpa"),
        *("--seeds", 0, 1, "--jobs", 1, "--camera-classes", *classes),
    )
    rows = json.loads((out / "results.json").read_text())
    assert [(row["method"], row["seed"]) for row in rows] == [
        ("source-only", 0),
        ("source-only", 1),
        ("gpa", 0),
        ("gpa", 1),
    ]
    assert set(rows[0]["per_camera"]) == {"low", "high"}
    assert "±" in (out / "report.md").read_text()
    assert "results.json" in capsys.readouterr().out


def test_own_weights_replace_pre_training(
    adapted: Path, data: tuple[str, ...], tmp_path: Path
) -> None:
    weights = adapted / "seed0" / "pretrain" / "lifter.safetensors"
    run("adapt", *data, *SMALL, "--out", tmp_path / "run", "--weights", weights, "--jobs", 1)
    rows = json.loads((tmp_path / "run" / "results.json").read_text())
    expected = json.loads((adapted / "results.json").read_text())
    assert rows[0]["mpjpe"] == expected[0]["mpjpe"]
    assert rows[0]["pretrain_steps"] is None
    assert f"weights from {weights}" in (tmp_path / "run" / "report.md").read_text()
    assert not (tmp_path / "run" / "seed0" / "pretrain" / "metrics.jsonl").exists()


def test_evaluate_and_lift(
    adapted: Path, domains: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = adapted / "seed0" / "poseda" / "lifter.safetensors"
    run("evaluate", "--weights", weights, "--data", domains[1], "--json", tmp_path / "m.json")
    rows = json.loads((adapted / "results.json").read_text())
    assert json.loads((tmp_path / "m.json").read_text())["mpjpe"] == rows[-1]["mpjpe"]
    assert "MPJPE" in capsys.readouterr().out
    out = tmp_path / "new" / "lifted.npz"
    picture = out.with_suffix(".png")
    run("lift", "--weights", weights, "--keypoints", domains[1], "--out", out, picture)
    with np.load(out) as lifted, np.load(domains[1]) as given:
        assert lifted["pose3d"].shape == (len(given["pose2d"]), 16, 3)
        assert not lifted["pose3d"][:, 0].any()
        assert lifted["joint_names"][0] == "Hip"
    assert picture.stat().st_size > 10_000


def test_target_without_labels_is_adapted_to_and_not_evaluated(
    domains: tuple[Path, Path], data: tuple[str, ...], tmp_path: Path
) -> None:
    with np.load(domains[1]) as given:
        arrays = {key: given[key] for key in ("pose2d", "intrinsics", "image_size")}
    target = tmp_path / "target.npz"
    np.savez(target, **arrays)
    out = tmp_path / "run"
    run("adapt", *data[:2], "--target", target, *SMALL, "--out", out, "--jobs", 1, "--no-control")
    assert json.loads((out / "results.json").read_text()) == []
    assert "nothing could be evaluated" in (out / "report.md").read_text()
    assert (out / "figures" / "predictions.png").is_file()


# --- Ctrl-C


def _hear_ctrl_c() -> None:
    """Tests that were started in the background are deaf to it, and so are their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_long_run(data: tuple[str, ...], out: Path) -> tuple[subprocess.Popen[str], Path]:
    """A run with workers, once it trains, and the metrics that it writes."""
    command = [sys.executable, "-m", "poseda", "adapt", *data, *SMALL, "--out", str(out)]
    command += ["--pretrain.steps", "100000", "--jobs", "2", "--no-control"]
    command += ["--checkpoint-every", "100000"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=_hear_ctrl_c
    )
    metrics = out / "seed0" / "pretrain" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.1)
    return process, metrics


@pytest.mark.parametrize(
    "send",
    [
        lambda pid: os.killpg(pid, signal.SIGINT),
        lambda pid: os.kill(pid, signal.SIGINT),
        lambda pid: os.kill(pid, signal.SIGTERM),
    ],
    ids=["ctrl-c", "interrupt", "terminate"],
)
def test_a_stopped_run_saves_and_says_how_to_resume(
    data: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    send: Callable[[int], None],
) -> None:
    out = tmp_path / "run"
    process, metrics = start_long_run(data, out)
    others = refused(capsys, "adapt", "--resume", out, "--jobs", 1)
    assert f"another process works in {out}" in others
    send(process.pid)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"stopped; go on with: poseda adapt --resume {out}" in errors
    assert "Traceback" not in errors
    state = RunFolder(metrics.parent).load_state()
    assert state is not None and state["iteration"] > 0
    assert not list(out.rglob("*.tmp"))


def test_workers_end_with_the_run_that_started_them(data: tuple[str, ...], tmp_path: Path) -> None:
    process, metrics = start_long_run(data, tmp_path / "run")
    process.kill()
    process.communicate(timeout=60)
    state = RunFolder(metrics.parent)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not state.state_path.exists():
        time.sleep(0.1)
    loaded = state.load_state()
    assert loaded is not None and 0 < loaded["iteration"] < 100_000
    size = metrics.stat().st_size
    time.sleep(2)
    assert metrics.stat().st_size == size


# --- bad input


def test_a_run_folder_is_not_overwritten(
    adapted: Path, data: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(capsys, "adapt", *data, *SMALL, "--out", adapted)
    assert "holds a run already; --resume" in message


def test_only_an_empty_folder_becomes_a_run(
    data: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.md").write_text("precious")
    message = refused(capsys, "adapt", *data, *SMALL, "--out", tmp_path)
    assert "holds other files, expected a new or an empty folder" in message
    assert (tmp_path / "report.md").read_text() == "precious"


def test_resume_takes_no_other_settings(adapted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "adapt", "--resume", adapted, "--adapt.steps", 99)
    assert "resume: got other settings too" in message


def test_edited_config_does_not_relabel_what_was_trained(
    adapted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder = tmp_path / "run"
    shutil.copytree(adapted, run_folder)
    config = json.loads((run_folder / "config.json").read_text())
    config["settings"]["adapt"]["steps"] = 123_456
    (run_folder / "config.json").write_text(json.dumps(config))
    message = refused(capsys, "adapt", "--resume", run_folder, "--jobs", 1)
    assert "started with other settings (adapt.steps 40, now 123456); give" in message
    config["settings"]["stepz"] = 1
    (run_folder / "config.json").write_text(json.dumps(config))
    assert "stepz" in refused(capsys, "adapt", "--resume", run_folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--methods", "gpa", "gpa"), "methods: got ('gpa', 'gpa'), expected at least one, and"),
        (("--seeds", "0", "0"), "seeds: got (0, 0)"),
        (("--seeds", "-1"), "seeds: got (-1,), expected numbers from 0"),
        (("--seeds",), "seeds: got ()"),
        (("--methods",), "methods: got ()"),
        (("--jobs", "-1"), "jobs: got -1, expected at least 0"),
    ],
)
def test_bad_plans(
    arguments: tuple[str, ...],
    message: str,
    data: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = refused(capsys, "compare", *data, *SMALL, "--out", tmp_path / "run", *arguments)
    assert message in line


def test_lift_does_not_replace_its_input(
    adapted: Path, domains: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keypoints = tmp_path / "keypoints.npz"
    shutil.copy(domains[1], keypoints)
    weights = adapted / "seed0" / "poseda" / "lifter.safetensors"
    line = refused(
        capsys, "lift", "--weights", weights, "--keypoints", keypoints, "--out", keypoints
    )
    assert "is the file of the keypoints" in line
    assert keypoints.read_bytes() == domains[1].read_bytes()


def test_resume_of_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected the config of a run" in refused(capsys, "adapt", "--resume", tmp_path)
    (tmp_path / "config.json").write_text('{"settings": {"width": "wide"}}')
    assert "is not the config of a run" in refused(capsys, "adapt", "--resume", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--source", "nowhere.npz"), "nowhere.npz"),
        (("--lifter", "videopose"), "expected one of simple_baseline, videopose3d, "),
        (("--device", "cuda:77"), "device: got 'cuda:77', which is not available"),
        (("--camera-classes", "chest"), "got 'chest', expected NAME:CAMERA"),
        (("--weights", "nowhere.safetensors"), "nowhere.safetensors: no such file"),
        (("--joints", "17", "--weights", "WEIGHTS"), "16 joints, expected 17"),
        (("--lifter", "simple_baseline", "--weights", "WEIGHTS"), "weights of videopose3d"),
        (("--device", "meta"), "device: got 'meta', expected auto, cpu, cuda or cuda:N"),
        (("--camera-classes", "a:0", "a:1"), "camera_classes: got 'a' twice"),
    ],
)
def test_bad_arguments_end_in_one_line_and_write_nothing(
    arguments: tuple[str, ...],
    message: str,
    adapted: Path,
    data: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights = str(adapted / "seed0" / "poseda" / "lifter.safetensors")
    given = [weights if argument == "WEIGHTS" else argument for argument in arguments]
    line = refused(capsys, "adapt", *data, *SMALL, "--out", tmp_path / "run", "--jobs", 1, *given)
    assert message in line
    assert not (tmp_path / "run").exists()


def test_bad_data_names_file_and_array(
    domains: tuple[Path, Path],
    data: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with np.load(domains[1]) as given:
        arrays = dict(given)
    target = tmp_path / "target.npz"

    def message(**changes: object) -> str:
        np.savez(target, **{k: v for k, v in (arrays | changes).items() if v is not None})
        arguments = (*data[:2], "--target", target, *SMALL, "--out", tmp_path / "run")
        line = refused(capsys, "adapt", *arguments)
        assert str(target) in line
        return line

    assert "intrinsics" in message(intrinsics=None)
    assert "pose3d" in message(pose3d=arrays["pose3d"] * 1000)
    assert "pose2d" in message(pose2d=arrays["pose2d"] / 1000 - 1)
    assert "split" in message(split=np.ones_like(arrays["split"]))
    assert not (tmp_path / "run").exists()


def test_source_without_labels(
    domains: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(domains[0]) as given:
        arrays = {key: value for key, value in given.items() if key != "pose3d"}
    source = tmp_path / "source.npz"
    np.savez(source, **arrays)
    line = refused(capsys, "adapt", "--source", source, *SMALL, "--out", tmp_path / "run")
    assert str(source) in line and "pose3d" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(
    data: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o500)
    line = refused(capsys, "adapt", *data, *SMALL, "--out", tmp_path / "run")
    assert str(tmp_path) in line


def test_out_is_a_file(
    data: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").write_text("")
    line = refused(capsys, "adapt", *data, *SMALL, "--out", tmp_path / "run")
    assert str(tmp_path / "run") in line


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """Files cannot grow beyond `limit` bytes: the system refuses as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_full_disk_leaves_no_half_written_file(
    data: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    with full_disk(20_000):  # the config fits, a checkpoint does not
        line = refused(capsys, "adapt", *data, *SMALL, "--out", out, "--jobs", 1)
    assert "cannot write" in line and "state.pt" in line
    assert not list(out.rglob("*.tmp"))
    assert not (out / "seed0" / "pretrain" / "state.pt").exists()
    run("adapt", "--resume", out, "--jobs", 1)
    assert (out / "results.json").is_file()
