"""Augmentation without learning: what is random, within what bounds, and what is up."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from poseda.data import PoseSet
from poseda.data.poseset import pose_set_from_arrays
from poseda.data.synthetic import human36m_rig, make_source
from poseda.methods import make_method
from poseda.methods.baselines import RandomAugmentation
from poseda.methods.viewpoint import up_directions
from poseda.networks.generator import bone_spread
from poseda_ext import H36M_16, augment, bones
from tests.adapt_settings import adapt_settings

Sets = tuple[PoseSet, PoseSet]


def make(sets: Sets, name: str, frames: int = 1, seed: int = 0) -> RandomAugmentation:
    random = torch.Generator().manual_seed(seed)
    method = make_method(name, adapt_settings(batch=500), *sets, random, frames)
    assert isinstance(method, RandomAugmentation)
    return method


def drawn_rows(method: RandomAugmentation) -> Tensor:
    """The source rows that the next pairs are made of."""
    state = method.random.get_state()
    rows = method.source.rows(500)
    method.random.set_state(state)
    return rows


def standing(poses: PoseSet, *tilts: float) -> PoseSet:
    """Every pose turned upright in the world, and seen by cameras that are pitched so far."""
    assert poses.pose3d is not None
    torso = poses.pose3d[:, H36M_16.bone("Thorax") + 1] - poses.pose3d[:, 0]
    torso = torch.nn.functional.normalize(torso, dim=-1)
    to = torch.tensor([0.0, -1.0, 0.0]).expand_as(torso)
    axis = torch.linalg.cross(torso, to)
    angle = torch.atan2(axis.norm(dim=-1), (torso * to).sum(-1))
    upright = augment(
        poses.pose3d,
        rotation=torch.nn.functional.normalize(axis, dim=-1) * angle[:, None],
    ).pose3d
    number = torch.arange(len(poses)) % len(tilts)
    pitch = torch.zeros(len(poses), 3)
    pitch[:, 0] = torch.tensor(tilts)[number]
    return dataclasses.replace(
        poses, pose3d=augment(upright, rotation=pitch).pose3d, camera=number + 3
    )


def test_up_is_found_for_each_camera(pose_sets: Sets) -> None:
    tilts = (-0.5, 0.0, 0.3)
    up = up_directions(standing(pose_sets[0], *tilts))
    for number, tilt in enumerate(tilts):
        expected = torch.tensor([0.0, -math.cos(tilt), -math.sin(tilt)])
        torch.testing.assert_close(up[number::3], expected.expand_as(up[number::3]))


def test_up_is_not_swayed_by_who_lies_on_the_floor(pose_sets: Sets) -> None:
    poses = standing(pose_sets[0], 0.2)
    assert poses.pose3d is not None
    count = len(poses) // 4
    poses.pose3d[:count] = poses.pose3d[:count, :, [1, 0, 2]]  # a quarter along x
    expected = torch.tensor([0.0, -math.cos(0.2), -math.sin(0.2)])
    assert (up_directions(poses)[0] @ expected).item() > math.cos(math.radians(1))


def test_up_of_synthetic_cameras_is_nearly_right() -> None:
    poses = pose_set_from_arrays(make_source(seed=1, frames=1500), name="source")
    up = up_directions(poses)
    for number, camera in enumerate(human36m_rig()):
        true = torch.from_numpy(camera.rotation @ np.array([0.0, 0.0, 1.0])).float()
        found = up[poses.camera == number][0]
        assert math.degrees(math.acos(float(found @ true))) < 5


def test_random_rotation_is_about_the_vertical_and_takes_all_angles(pose_sets: Sets) -> None:
    source = standing(pose_sets[0], 0.4)
    method = make((source, pose_sets[1]), "random-rotation")
    assert method.up is not None and source.pose3d is not None
    rows, pairs = drawn_rows(method), method.pairs()
    before = source.pose3d[rows] - source.pose3d[rows, :1]
    up = method.up[0]
    torch.testing.assert_close(pairs.pose3d @ up, before @ up, atol=1e-5, rtol=0)
    across = torch.tensor([1.0, 0.0, 0.0])
    heading = torch.stack((across, torch.linalg.cross(up, across)))

    def angles(pose: Tensor) -> Tensor:
        hip = pose[:, 1] @ heading.T
        return torch.atan2(hip[:, 1], hip[:, 0])

    turned = (angles(pairs.pose3d) - angles(before)).remainder(2 * math.pi)
    assert torch.histc(turned, 8, 0, 2 * math.pi).min() > 500 / 8 / 2


def test_random_lengths_are_uniform_within_a_fifth_and_alike_on_both_sides(
    pose_sets: Sets,
) -> None:
    method = make(pose_sets, "random-lengths")
    assert pose_sets[0].pose3d is not None
    rows, pairs = drawn_rows(method), method.pairs()
    before = bones(pose_sets[0].pose3d[rows])
    after = bones(pairs.pose3d)
    ratio = after.norm(dim=-1) / before.norm(dim=-1)
    for limit in (0.8, 1.2):
        assert ratio.min() > 0.8 - 1e-4 and ratio.max() < 1.2 + 1e-4
        assert (ratio - limit).abs().amin(0).sort().values[:-1].max() < 0.01
    thorax = H36M_16.bone("Thorax")
    torch.testing.assert_close(ratio[:, thorax], torch.ones(500), atol=1e-4, rtol=0)
    for left, right in H36M_16.bone_groups[:3]:
        torch.testing.assert_close(ratio[:, left], ratio[:, right], atol=1e-3, rtol=0)
    aligned = torch.nn.functional.cosine_similarity(before, after, dim=-1)
    assert aligned.min() > 1 - 1e-5


def test_spread_takes_one_number_for_each_group() -> None:
    spread = bone_spread(H36M_16, 0.2)
    assert spread.shape == (9, 15)
    assert spread.sum(0).tolist() == pytest.approx([0.2] * 7 + [0.0] + [0.2] * 7)


@pytest.mark.parametrize("name", ["random-rotation", "random-lengths", "random-both"])
def test_pairs_stand_where_the_target_does_and_follow_their_seed(
    pose_sets: Sets, name: str
) -> None:
    first, again, other = (make(pose_sets, name, seed=seed).pairs() for seed in (0, 0, 1))
    assert torch.equal(first.pose2d, again.pose2d)
    assert not torch.equal(first.pose2d, other.pose2d)
    roots = pose_sets[1].pose2d[:, 0]
    assert torch.cdist(first.pose2d[:, 0], roots).amin(1).max() < 3e-3


def test_frames_of_a_window_are_changed_alike(pose_sets: Sets) -> None:
    source = standing(pose_sets[0], 0.0)
    method = make((source, pose_sets[1]), "random-both", frames=3)
    rows, pairs = drawn_rows(method), method.pairs()
    assert source.pose3d is not None
    assert pairs.pose2d.shape == (500, 3, 16, 2) and pairs.pose3d.shape == (500, 16, 3)
    height = bones(pairs.pose3d)[..., 1] / bones(source.pose3d[rows[:, 1]])[..., 1]
    assert height[:, 6].min() > 0.79 and height[:, 6].max() < 1.21  # Hip to Spine stays upright


def test_random_rotation_needs_labels(pose_sets: Sets) -> None:
    unlabelled = dataclasses.replace(pose_sets[0], pose3d=None)
    with pytest.raises(ValueError, match="has no pose3d, expected a labelled source"):
        make((unlabelled, pose_sets[1]), "random-rotation")
