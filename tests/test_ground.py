"""Which way is up for a camera, from feet on the ground and from leaning bodies."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from poseda.data import pose_set_from_arrays
from poseda.data.poseset import PoseSet
from poseda.data.synthetic import make_source
from poseda.methods.ground import TORSO_NOISE, ground_normals
from poseda.methods.viewpoint import (
    FORWARD_NOISE,
    camera_ups,
    forward_lean,
    tilts,
    up_directions,
)
from poseda_ext import H36M_16, augment

FRAMES = 4000
#: what people seem to lean to before a camera that is not known: half a radian off
WRONG = 0.5
NOISE = 0.02


def up_of(pitch: float) -> Tensor:
    """Of a camera that looks down by so many radians."""
    return torch.tensor([0.0, -math.cos(pitch), -math.sin(pitch)])


def walk(
    pitch: float, height: float, *, spread: float = 1.2, frames: int = FRAMES, lift: float = 0.02
) -> Tensor:
    """(F, 2, 3) feet of people who walk within metres of a place 5 m before a camera; one of them
    is up to a quarter of a metre over the ground."""
    random = torch.Generator().manual_seed(0)
    up = up_of(pitch)
    ahead = torch.tensor([0.0, -up[2], up[1]]) * -1
    place = spread * torch.randn(frames, 2, generator=random).clamp(-2, 2)
    ground = (5 + place[:, :1]) * ahead + place[:, 1:] * torch.tensor([1.0, 0, 0]) - height * up
    step = torch.rand(frames, 2, generator=random) * torch.tensor([lift, 0.25])
    step = torch.where(torch.rand(frames, 1, generator=random) < 0.5, step, step.flip(1))
    return ground[:, None] + step[..., None] * up


def far(feet: Tensor, deviation: float) -> Tensor:
    """With depths that err, on the same rays."""
    random = torch.Generator().manual_seed(1)
    return feet * (1 + deviation * torch.randn(len(feet), 1, 1, generator=random))


def found(feet: Tensor, lean: Tensor, seen: Tensor | None = None) -> tuple[Tensor, float]:
    camera = torch.zeros(len(feet), dtype=torch.int64)
    up, deviation = ground_normals(feet, seen, camera, camera, lean[None], NOISE)
    return up[0], float(deviation[0])


def degrees(one: Tensor, other: Tensor) -> float:
    return math.degrees(math.acos(min(1.0, float(one @ other))))


CAMERAS = ((0.1, 1.5), (0.5, 3.0), (-0.2, 0.15), (0.0, 0.4))


@pytest.mark.parametrize(("pitch", "height"), CAMERAS)
def test_up_is_found_from_feet_whatever_people_seem_to_lean_to(pitch: float, height: float) -> None:
    feet = far(walk(pitch, height), NOISE)
    up, deviation = found(feet, up_of(pitch + WRONG))
    assert degrees(up, up_of(pitch)) < 1.5
    assert math.degrees(deviation) < 5


def test_all_depths_by_one_factor_change_nothing() -> None:
    feet = far(walk(0.3, 2.0), NOISE)
    near, _ = found(0.8 * feet, up_of(0.3))
    assert degrees(near, found(feet, up_of(0.3))[0]) < 1


@pytest.mark.parametrize("pitch", [0.1, 0.5])
def test_people_of_other_stature_than_believed_do_not_tilt_the_ground(pitch: float) -> None:
    feet = far(walk(pitch, 2.0), NOISE)
    person = (feet[:, 0, 2] > feet[:, 0, 2].median()).long()  # who is taller walks at the back
    feet = feet * torch.tensor([0.92, 1.08])[person][:, None, None]
    camera = torch.zeros_like(person)
    given = feet, None, camera
    up, _ = ground_normals(*given, person, up_of(pitch)[None], NOISE)
    assert degrees(up[0], up_of(pitch)) < 2
    as_one, _ = ground_normals(*given, camera, up_of(pitch)[None], NOISE)
    assert degrees(as_one[0], up_of(pitch)) > 3


def test_who_sits_or_jumps_counts_little() -> None:
    feet = far(walk(0.3, 2.0), NOISE)
    feet[::5] -= 0.5 * torch.tensor([0.0, 1.0, 0.0])  # a fifth is half a metre higher
    assert degrees(found(feet, up_of(0.3 + WRONG))[0], up_of(0.3)) < 2


def test_lean_is_believed_where_nothing_is_known_of_the_ground() -> None:
    lean = up_of(0.3)
    still = far(walk(0.1, 1.5, spread=0.0), NOISE)
    hidden = torch.zeros(FRAMES, 2, dtype=torch.bool)
    relative = torch.zeros(FRAMES, 2, 3)
    unknown = torch.full((FRAMES, 2, 3), torch.nan)
    for feet, seen in ((walk(0.1, 1.5), hidden), (relative, None), (unknown, None)):
        up, deviation = found(feet, lean, seen)
        torch.testing.assert_close(up, lean)
        assert deviation == pytest.approx(0.3, rel=0.01)
    assert degrees(found(still, lean)[0], lean) < 3
    few, deviation = found(far(walk(0.1, 1.5, frames=5), NOISE), lean)
    assert degrees(few, lean) < 6 and deviation > 0.15


def test_a_hidden_foot_is_not_stood_on() -> None:
    feet = far(walk(0.3, 2.0), NOISE)
    seen = torch.ones(FRAMES, 2, dtype=torch.bool)
    seen[::2, 0] = False
    wrong = feet.clone()
    wrong[::2, 0] += torch.tensor([0.0, 3.0, 0.0])  # far below the ground
    up, _ = found(wrong, up_of(0.3), seen)
    assert degrees(up, up_of(0.3)) < 2
    assert degrees(found(wrong, up_of(0.3))[0], up_of(0.3)) > 3


def test_cameras_do_not_mix() -> None:
    walks = [far(walk(pitch, height), NOISE) for pitch, height in CAMERAS]
    camera = torch.arange(len(CAMERAS)).repeat(FRAMES)
    lean = torch.stack([up_of(pitch) for pitch, _ in CAMERAS])
    together, deviation = ground_normals(
        torch.stack(walks, 1).flatten(0, 1), None, camera, torch.zeros_like(camera), lean, NOISE
    )
    for number, feet in enumerate(walks):
        up, own = found(feet, lean[number])
        torch.testing.assert_close(together[number], up, atol=1e-5, rtol=0)
        assert float(deviation[number]) == pytest.approx(own, rel=1e-4)


def test_lean_that_is_no_number_leaves_numbers() -> None:
    up, _ = found(far(walk(0.3, 2.0), NOISE), torch.full((3,), torch.nan))
    assert bool(up.isfinite().all())


def turned_about_x(poses: PoseSet, angle: float) -> PoseSet:
    assert poses.pose3d is not None
    rotation = torch.tensor([[angle, 0.0, 0.0]]).expand(len(poses), -1)
    root = poses.pose3d[:, :1]
    pose = augment(poses.pose3d, rotation=rotation, skeleton=H36M_16).pose3d + root
    return dataclasses.replace(poses, pose3d=pose)


def test_lean_of_a_lifter_is_told_from_that_of_people(
    pose_sets: tuple[PoseSet, PoseSet],
) -> None:
    source = pose_sets[0]
    camera, up, _ = camera_ups(source, NOISE)
    forward = forward_lean(source, up[camera])

    def lean(poses: PoseSet) -> Tensor:
        assert poses.pose3d is not None
        return tilts(poses.pose3d, up, camera, forward, H36M_16)[0]

    tilted = lean(turned_about_x(source, 0.3)) - lean(source)
    # the torso's upper end, which is at -y, goes to -z by a turn about x
    expected = torch.stack([torch.linalg.cross(torch.tensor([1.0, 0, 0]), each) for each in up])
    angles = torch.atan((tilted * expected).sum(1))
    assert bool(((angles - 0.3).abs() < 0.1).all())


def test_people_lean_forward(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    source = pose_sets[0]
    assert source.pose3d is not None
    up = up_directions(source)
    upright = forward_lean(source, up)
    # each pose turned about the line of its hips, from up to where it faces
    hips = source.pose3d[:, 4] - source.pose3d[:, 1]
    hips = hips - (hips * up).sum(-1, keepdim=True) * up
    axis = torch.nn.functional.normalize(hips, dim=-1)
    pose = augment(source.pose3d, rotation=0.2 * axis, skeleton=H36M_16).pose3d
    bent = dataclasses.replace(source, pose3d=pose + source.pose3d[:, :1])
    assert 0.1 < float(forward_lean(bent, up) - upright) < 0.35


def test_only_where_all_face_one_way_is_their_lean_uncertain() -> None:
    poses = pose_set_from_arrays(make_source(seed=1, frames=1500), name="source")
    assert poses.pose3d is not None
    camera, up, _ = camera_ups(poses, NOISE)
    forward = forward_lean(poses, up[camera])
    given = up, camera, forward, poses.skeleton
    assert tilts(poses.pose3d, *given)[1].max() < FORWARD_NOISE / 2
    one = poses.pose3d[:1].expand(len(poses), -1, -1)
    unsure = tilts(one, up[camera[:1]], torch.zeros_like(camera), forward, poses.skeleton)[1]
    torch.testing.assert_close(unsure, torch.full_like(unsure, FORWARD_NOISE))


def test_a_skeleton_without_feet_has_no_ground(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    names = tuple(name.replace("Foot", "Toe") for name in H36M_16.names)
    poses = dataclasses.replace(
        pose_sets[0], skeleton=dataclasses.replace(pose_sets[0].skeleton, names=names)
    )
    _, up, deviation = camera_ups(poses, NOISE)
    torch.testing.assert_close(deviation, torch.full_like(deviation, TORSO_NOISE))
    assert degrees(up[0], camera_ups(pose_sets[0], NOISE)[1][0]) < 10


def test_a_pose_that_is_no_number_spoils_no_other(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    source = pose_sets[0]
    assert source.pose3d is not None
    pose = source.pose3d.clone()
    pose[3] = torch.nan
    camera, up, _ = camera_ups(dataclasses.replace(source, pose3d=pose), NOISE)
    torch.testing.assert_close(up, camera_ups(source, NOISE)[1], atol=1e-2, rtol=0)
    tilt, _ = tilts(pose, up, camera, torch.tensor(0.3), H36M_16)
    assert bool(tilt.isfinite().all())
