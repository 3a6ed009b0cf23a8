"""Evaluation protocols: each field by itself against what it is said to do, and the named ones."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor

from poseda import metrics
from poseda.data import PoseSet
from poseda.networks.lifters import lift, lift_poses, make_lifter
from poseda.protocol import (
    FIFTEEN,
    HIP_TO_THORAX,
    OFFICIAL_3DHP,
    PROTOCOLS,
    SEVENTEEN,
    SIXTEEN,
    Protocol,
    ProtocolName,
    mirrored,
    reversed_in_time,
)
from poseda.training.run_folder import RunFolder
from poseda_ext import H36M_16, H36M_17
from tests.commands import refused, run

SMALL = (
    *("--width", "8", "--pretrain.steps", "20", "--pretrain.batch", "16", "--jobs", "1"),
    *("--adapt.steps", "40", "--adapt.batch", "16", "--device", "cpu", "--no-control"),
)
HIP, THORAX = H36M_16.names.index("Hip"), H36M_16.names.index("Thorax")


@pytest.fixture
def target(pose_sets: tuple[PoseSet, PoseSet]) -> PoseSet:
    return pose_sets[1].test


@pytest.fixture
def guess(target: PoseSet) -> Tensor:
    """(N, J, 3) predictions, the same in each test."""
    assert target.pose3d is not None
    noise = torch.randn(target.pose3d.shape, generator=torch.Generator().manual_seed(0))
    return target.pose3d - target.pose3d[:, :1] + 0.05 * noise


def test_the_default_is_what_metrics_evaluate(target: PoseSet, guess: Tensor) -> None:
    assert target.pose3d is not None
    expected = metrics.evaluate(guess, target.pose3d, target.camera_class)
    assert PROTOCOLS["poseda"].evaluate(lambda _: guess, target) == expected


def test_joints_without_the_root(target: PoseSet, guess: Tensor) -> None:
    with_root = PROTOCOLS["poseda"].evaluate(lambda _: guess, target)
    without = PROTOCOLS["no-root"].evaluate(lambda _: guess, target)
    assert target.pose3d is not None
    off = guess[:, :1] - target.pose3d[:, :1]  # the root, of which neither is the origin
    error = (guess - off - target.pose3d)[:, 1:].norm(dim=-1).mean() * 1000
    assert without.mpjpe == pytest.approx(error.item(), rel=1e-5)
    assert without.mpjpe == pytest.approx(with_root.mpjpe * 16 / 15, rel=1e-9)
    assert without.pck == pytest.approx((with_root.pck * 16 - 100) / 15, rel=1e-9)


def test_official_joints_of_3dhp_count_for_pck_alone(target: PoseSet, guess: Tensor) -> None:
    assert len(OFFICIAL_3DHP) == 14 and not {"Hip", "Spine"} & set(OFFICIAL_3DHP)
    official = PROTOCOLS["official-3dhp"].evaluate(lambda _: guess, target)
    usual = PROTOCOLS["poseda"].evaluate(lambda _: guess, target)
    assert official.mpjpe == usual.mpjpe and official.pa_mpjpe == usual.pa_mpjpe
    assert target.pose3d is not None
    rows = [H36M_16.names.index(name) for name in OFFICIAL_3DHP]
    ours, theirs = guess - guess[:, :1], target.pose3d - target.pose3d[:, :1]
    near = (ours - theirs)[:, rows].norm(dim=-1) < 0.15
    assert official.pck == pytest.approx(100 * near.double().mean().item(), rel=1e-9)
    assert official.auc != usual.auc


def test_a_mirror_image_is_its_own_inverse_and_swaps_sides() -> None:
    pose = torch.randn(2, 16, 3)
    image = mirrored(pose, H36M_16)
    assert mirrored(image, H36M_16).equal(pose)
    left, right = H36M_16.names.index("LWrist"), H36M_16.names.index("RWrist")
    assert image[:, left].equal(pose[:, right] * torch.tensor([-1.0, 1.0, 1.0]))


def test_flip_is_the_mean_with_the_mirror_image(target: PoseSet) -> None:
    torch.manual_seed(0)
    lifter = make_lifter("videopose3d", H36M_16, 8)
    protocol = PROTOCOLS["poseaug-3dhp"]
    got = protocol.predict(lambda view: lift_poses(lifter, view), target)
    plain = lift(lifter, target.pose2d)
    other = mirrored(lift(lifter, mirrored(target.pose2d, H36M_16)), H36M_16)
    torch.testing.assert_close(got, (plain + other) / 2)
    # so the mirrored target has the mirrored prediction, which no untrained lifter has by itself
    image = dataclasses.replace(target, pose2d=mirrored(target.pose2d, H36M_16))
    again = protocol.predict(lambda view: lift_poses(lifter, view), image)
    torch.testing.assert_close(mirrored(again, H36M_16), got)
    assert not torch.allclose(plain, other, atol=1e-3)


def test_reversing_time_keeps_rows_and_turns_clips_round(target: PoseSet) -> None:
    backwards = reversed_in_time(target)
    assert backwards.pose2d is target.pose2d
    one = (target.clip == target.clip[0]) & (target.camera == target.camera[0]).numpy()
    assert one.sum() > 1
    assert (backwards.frame[one].argsort()[::-1] == target.frame[one].argsort()).all()
    assert (reversed_in_time(backwards).frame == target.frame).all()
    windows, turned = target.windows(5), backwards.windows(5)
    assert turned[one].equal(windows[one].flip(1)) and not turned.equal(windows)


def test_four_views_are_averaged(target: PoseSet) -> None:
    def before(view: PoseSet) -> Tensor:
        """Of several frames: where a joint was in the frame before, along z."""
        order = torch.from_numpy(view.frame.argsort(kind="stable"))
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        earlier = view.pose2d[order[(place - 1).clamp(min=0)]]
        return torch.cat((view.pose2d, earlier[..., :1]), -1)

    protocol = Protocol("four", averaging="flip-and-reverse")
    reverse = reversed_in_time(target)
    views = []
    for each in (target, reverse):
        views.append(before(each))
        image = dataclasses.replace(each, pose2d=mirrored(each.pose2d, H36M_16))
        views.append(mirrored(before(image), H36M_16))
    torch.testing.assert_close(protocol.predict(before, target), torch.stack(views).mean(0))
    assert not torch.allclose(views[0], views[2])


def test_scale_of_adaptpose_is_one_for_each_batch(
    target: PoseSet, guess: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poseda.protocol.SCALE_BATCH", 100)
    protocol = Protocol("scaled", scale="hip-thorax")
    scaled = protocol.predict(lambda _: guess, target)
    for start in (0, 100, len(guess) // 100 * 100):
        part, before = scaled[start : start + 100], guess[start : start + 100]
        length = (part[:, THORAX] - part[:, HIP]).norm(dim=-1).mean()
        assert length.item() == pytest.approx(HIP_TO_THORAX, rel=1e-5)
        ratio = part / before
        torch.testing.assert_close(ratio, ratio[:1, :1, :1].expand_as(ratio))
    assert protocol.predict(lambda _: 0 * guess, target).equal(0 * guess)


def test_size_does_not_matter_to_a_protocol_that_scales(target: PoseSet, guess: Tensor) -> None:
    protocol = Protocol("scaled", scale="hip-thorax")
    small = protocol.evaluate(lambda _: 0.5 * guess, target)
    assert small.mpjpe == pytest.approx(protocol.evaluate(lambda _: guess, target).mpjpe, rel=1e-5)


def test_names_and_lines() -> None:
    assert set(PROTOCOLS) == set(get_args(ProtocolName))
    assert (len(SIXTEEN), len(FIFTEEN), len(SEVENTEEN)) == (16, 15, 17)
    lines = {name: each.describe(H36M_17) for name, each in PROTOCOLS.items()}
    assert len(set(lines.values())) == len(lines)
    for name, line in lines.items():
        assert line.startswith(f"protocol {name}: root-relative")
        assert ("ORACLE" in line) == name.endswith("-best")
    assert "mean over 17 joints, root included" in lines["poseda"]
    assert "mean over 15 joints, without the root" in lines["no-root"]
    assert "PCK and AUC over 14 joints, without the root" in lines["official-3dhp"]


def test_bad_protocols(target: PoseSet, guess: Tensor) -> None:
    with pytest.raises(ValueError, match="averaging: got 'both', expected one of none, flip"):
        Protocol("x", averaging="both")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="joints: got \\(\\), expected at least one"):
        Protocol("x", joints=())
    with pytest.raises(ValueError, match="averages over Neck/Nose, which a lifter of 16 joints"):
        PROTOCOLS["videopose3d"].evaluate(lambda _: guess, target)
    with pytest.raises(ValueError, match="has no pose3d"):
        PROTOCOLS["poseda"].evaluate(lambda _: guess, dataclasses.replace(target, pose3d=None))
    with pytest.raises(ValueError, match=r"pck_joints: got \[16\], expected different joints"):
        metrics.evaluate(guess, guess, pck_joints=[16])


# --- commands


@pytest.mark.usefixtures("no_figures")
def test_runs_carry_their_protocol_and_the_training_does_not_depend_on_it(
    domains: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--source", domains[0], "--target", domains[1])
    out = {name: tmp_path / name for name in ("poseda", "adaptpose")}
    for name, folder in out.items():
        run("adapt", *data, *SMALL, "--method", "gpa", "--protocol", name, "--out", folder)
    rows = {name: json.loads((each / "results.json").read_text()) for name, each in out.items()}
    for name, ours in rows.items():
        assert [row["protocol"] for row in ours] == [name, name]
        line = PROTOCOLS[name].describe(H36M_16)
        assert all(row["protocol_about"] == line for row in ours)
        assert line in (out[name] / "report.md").read_text()
    assert rows["poseda"][1]["mpjpe"] != rows["adaptpose"][1]["mpjpe"]
    weights = [each / "seed0" / "gpa" / "lifter.safetensors" for each in out.values()]
    settings = [each.with_name("settings.json").read_text() for each in weights]
    assert settings[0] == settings[1]
    capsys.readouterr()
    numbers = tmp_path / "m.json"
    run("evaluate", "--weights", weights[0], "--data", domains[1], "--protocol", "adaptpose",
        "--json", numbers)  # fmt: skip
    measured = json.loads(numbers.read_text())
    assert measured["mpjpe"] == rows["adaptpose"][1]["mpjpe"]
    assert measured["protocol"] == "adaptpose"
    assert "0.52 m" in capsys.readouterr().out


@pytest.mark.usefixtures("no_figures")
def test_best_on_test_is_an_oracle_and_says_so(
    domains: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--source", domains[0], "--target", domains[1], "--method", "gpa")
    last, best = tmp_path / "last", tmp_path / "best"
    often = ("--checkpoint-every", "10", "--adapt.lr", "0.05")
    run("adapt", *data, *SMALL, *often, "--protocol", "poseaug-3dhp", "--out", last)
    run("adapt", *data, *SMALL, *often, "--protocol", "poseaug-3dhp-best", "--out", best)
    folder = best / "seed0" / "gpa"
    weights = "lifter.safetensors"
    assert RunFolder(folder).records()[-1]["step"] == 40
    said = json.loads((folder / "best.json").read_text())
    assert said["step"] in (10, 20, 30, 40)
    ours, theirs = (json.loads((each / "results.json").read_text()) for each in (best, last))
    assert ours[1]["mpjpe"] == said["mpjpe"] <= theirs[1]["mpjpe"]
    assert [row["checkpoint"] for row in ours] == ["last", "best on test (oracle)"]
    assert "ORACLE" in (best / "report.md").read_text()
    # watching changes nothing of the training itself
    measured = tmp_path / "m.json"
    run("evaluate", "--weights", folder / weights, "--data", domains[1], "--protocol",
        "poseaug-3dhp", "--json", measured)  # fmt: skip
    assert json.loads(measured.read_text())["mpjpe"] == theirs[1]["mpjpe"]
    line = refused(capsys, "evaluate", "--weights", folder / weights, "--data", domains[1],
                   "--protocol", "poseaug-3dhp-best")  # fmt: skip
    assert "expected one that evaluates weights" in line


def test_a_protocol_that_cannot_be_is_refused_before_training(
    domains: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--source", domains[0], "--target", domains[1], *SMALL, "--out", tmp_path / "run")
    line = refused(capsys, "adapt", *data, "--protocol", "videopose3d")
    assert "averages over Neck/Nose, which a lifter of 16 joints does not have" in line
