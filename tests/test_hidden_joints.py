"""Joints of the target that were not seen touch neither global position alignment nor a loss."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from poseda.alignment import gpa_of_seen
from poseda.config import AdaptSettings
from poseda.data import PoseSet, load_pose_set, save_pose_set
from poseda.data.synthetic import make_target
from poseda.methods import PoseDA, make_method
from poseda.methods.method import Labelled, Pairs
from poseda.training.loop import mix, squared_error
from poseda_ext import H36M_16, gpa

FEET = [H36M_16.names.index(name) for name in ("RFoot", "LFoot")]
SETTINGS = AdaptSettings(batch=200, warmup=0)


def hidden(poses: PoseSet, joints: list[int], value: float) -> PoseSet:
    """The same set without some joints, with `value` where they were."""
    seen = torch.ones_like(poses.pose2d[..., 0], dtype=torch.bool)
    pose2d = poses.pose2d.clone()
    seen[:, joints], pose2d[:, joints] = False, value
    return dataclasses.replace(poses, pose2d=pose2d, seen=seen)


def drawn(source: PoseSet, target: PoseSet, name: str) -> Tensor:
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    method = make_method(name, SETTINGS, source, target, random)
    method.iterate(0)
    return method.pairs().pose2d


def test_alignment_is_the_usual_one_where_all_is_seen(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    poses = pose_sets[1]
    assert poses.pose3d is not None
    seen = torch.ones_like(poses.pose2d[..., 0], dtype=torch.bool)
    found = gpa_of_seen(poses.pose3d, poses.pose2d, poses.intrinsics, seen)
    assert torch.equal(found, gpa(poses.pose3d, poses.pose2d, poses.intrinsics))


def test_alignment_finds_the_depth_without_the_feet(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    poses = hidden(pose_sets[1], FEET, 3.0)
    assert poses.pose3d is not None and poses.seen is not None
    depth = poses.pose3d[:, 0, 2]
    found = gpa_of_seen(poses.pose3d, poses.pose2d, poses.intrinsics, poses.seen)[:, 2] / depth
    astray = gpa(poses.pose3d, poses.pose2d, poses.intrinsics)[:, 2] / depth
    assert found.median().item() == pytest.approx(1, abs=0.05)
    assert astray.median().item() < 0.5


@pytest.mark.parametrize("method", ["gpa", "poseda"])
def test_what_stands_for_a_hidden_joint_makes_no_difference(
    pose_sets: tuple[PoseSet, PoseSet], method: str
) -> None:
    source, target = pose_sets
    first, second = (drawn(source, hidden(target, FEET, value), method) for value in (0.0, 3.0))
    assert torch.equal(first, second)
    assert not torch.equal(first, drawn(source, target, method))


def test_pairs_are_the_same_where_a_mask_hides_nothing(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    source, target = pose_sets
    masked = hidden(target, [], 0.0)
    torch.testing.assert_close(
        drawn(source, masked, "poseda"), drawn(source, target, "poseda"), atol=1e-5, rtol=0
    )


def test_only_frames_that_show_enough_are_drawn(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    source, target = pose_sets
    masked = hidden(target, [], 0.0)
    assert masked.seen is not None
    masked.seen[::2, 0] = False  # without a root
    masked.seen[1::4, 7:] = False  # less than half
    method = make_method("gpa", SETTINGS, source, masked, torch.Generator())
    assert isinstance(method, PoseDA)
    assert len(method.target.poses) == len(range(3, len(target), 4))
    masked.seen[:] = False
    with pytest.raises(ValueError, match=r"confidence: none of .* frames shows the root .*and 50%"):
        make_method("gpa", SETTINGS, source, masked, torch.Generator())


def test_loss_is_over_the_joints_that_were_seen() -> None:
    predicted = torch.zeros(2, 3, 3, requires_grad=True)
    truth = torch.ones(2, 3, 3)
    truth[0, 1] = 100.0
    seen = torch.tensor([[True, False, True], [True, True, True]])
    loss = squared_error(predicted, Labelled(truth[..., :2], truth, seen))
    loss.backward()
    assert loss.item() == pytest.approx(1)
    assert predicted.grad is not None and (predicted.grad.abs().sum(-1) > 0).equal(seen)


def test_a_mixed_batch_keeps_the_masks_of_its_halves() -> None:
    pose = torch.zeros(2, 3, 3)
    mask = torch.tensor([[True, False, True], [True, True, False]])
    keep = torch.tensor([True, False])
    own, made = Labelled(pose[..., :2], pose), Pairs(pose[..., :2], pose, keep)
    assert mix(own, made).seen is None
    everything = torch.ones_like(mask)
    first = mix(own._replace(seen=mask), made).seen
    second = mix(own, made._replace(seen=mask)).seen
    assert first is not None and second is not None
    assert first.equal(torch.cat((mask, torch.stack((everything[0], mask[1])))))
    assert second.equal(torch.cat((everything, torch.stack((mask[0], everything[1])))))


def test_low_confidence_in_a_file_is_not_seen(tmp_path: Path) -> None:
    arrays = dict(make_target(seed=3, frames=50))
    count = len(arrays["pose2d"])
    path = tmp_path / "target.npz"
    save_pose_set(path, {**arrays, "confidence": np.ones((count, 17), np.float32)})
    assert load_pose_set(path).seen is None
    confidence = np.ones((count, 17), np.float32)
    confidence[5, 16] = 0.25  # RWrist
    save_pose_set(path, {**arrays, "confidence": confidence})
    seen = load_pose_set(path).seen
    assert seen is not None and (~seen).nonzero().tolist() == [[5, 15]]
    assert load_pose_set(path, min_confidence=0.2).seen is None
    for bad, message in ((1.5, r"outside \[0, 1\]"), (np.nan, "NaN or infinity")):
        confidence[5, 16] = bad
        with pytest.raises(ValueError, match=f"confidence: got .*{message}.* in 1 of"):
            save_pose_set(path, {**arrays, "confidence": confidence})
    for about in ("no JSON", "[1]"):
        with pytest.raises(ValueError, match=r"about: .* expected one JSON object"):
            save_pose_set(path, {**arrays, "about": np.asarray(about)})
