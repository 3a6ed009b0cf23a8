"""The focal length from standing people: exact where it can be told, refused where it cannot."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from poseda.cameras import Camera
from poseda.cameras.estimate import (
    BLOCK,
    MAX_UNCERTAINTY,
    MODEL_UNCERTAINTY,
    Found,
    Standing,
    _blocks,
    camera_estimator,
    estimate_camera,
    find_focal,
)
from poseda.cameras.standing import best_focal, fit_profile, necks_of, up_direction
from poseda.config import KeypointSettings
from poseda.data.synthetic.rigs import look_at
from poseda.data.target import keypoints_of, with_camera
from poseda_ext import H36M_16, H36M_17

Array = NDArray[Any]
SIZE = (1000, 1000)
HALF = 500.0
JOINT = {name: joint for joint, name in enumerate(H36M_16.names)}


def standing_people(
    count: int,
    focal: float,
    pitch: float,
    *,
    height: float | None = None,
    sway: float = 0.0,
    room: float = 2.0,
) -> tuple[Array, Array]:
    """(N, 16, 3) people of sticks in the camera frame, metres, and (N, 16, 2) pixels: upright, but
    for what they sway, in a square room whose middle is 5 m from a camera at `height`, which looks
    at the people's hips where that is None."""
    rng = np.random.default_rng(0)
    height = 0.9 + 5 * math.sin(pitch) if height is None else height
    eye = (0.0, -5 * math.cos(pitch), height)
    aim = (0.0, 0.0, height - 5 * math.sin(pitch))
    camera = look_at("above", (focal, focal, HALF, HALF), SIZE, eye, aim)
    ground = np.concatenate((rng.uniform(-room, room, (count, 2)), np.zeros((count, 1))), -1)
    heights = {"Foot": 0.08, "Knee": 0.5, "Hip": 0.9, "Spine": 1.15, "Thorax": 1.45}
    heights |= {"Head": 1.7, "Shoulder": 1.4, "Elbow": 1.15, "Wrist": 0.9}
    up = np.array([0, 0, 1.0]) + sway * rng.standard_normal((count, 3)) * (1, 1, 0)
    yaw = rng.uniform(0, 2 * math.pi, count)
    side = np.stack((np.cos(yaw), np.sin(yaw), np.zeros(count)), -1)
    people = np.empty((count, 16, 3))
    for name, joint in JOINT.items():
        across = 0.0 if name in heights else {"R": 0.15, "L": -0.15}[name[0]]
        above = heights[name if name in heights else name[1:]]
        people[:, joint] = ground + above * up + across * side
    return camera.to_camera(people), camera.project(camera.to_camera(people))


def told(people: Array) -> Callable[[Tensor], Tensor]:
    """A lifter that knows."""
    return lambda points: torch.from_numpy((people - people[:, :1])[: len(points)]).float()


def standing(focal: float, pitch: float, **options: Any) -> Standing:
    _, pixels = standing_people(400, focal, pitch, **options)
    points = (pixels - HALF) / HALF
    feet = (points[:, JOINT["RFoot"]] + points[:, JOINT["LFoot"]]) / 2
    return Standing(feet, points[:, JOINT["Thorax"]], np.arange(400) // 16)


def few(people: Standing, count: int) -> Standing:
    """Some of them, in 25 groups."""
    return Standing(people.feet[:count], people.necks[:count], np.arange(count) % 25)


# ---------------------------------------------------------------------------------- the model


@pytest.mark.parametrize("pitch", [-0.2, 0.0, 0.6])
def test_necks_are_where_a_camera_sees_them(pitch: float) -> None:
    focal = 900.0
    people, pixels = standing_people(50, focal, pitch, height=1.3)
    feet = (pixels[:, JOINT["RFoot"]] + pixels[:, JOINT["LFoot"]]) / 2
    # the middle of two feet's images is nearly that of the middle between them
    feet3 = (people[:, JOINT["RFoot"]] + people[:, JOINT["LFoot"]]) / 2
    exact = feet3[:, :2] / feet3[:, 2:] * focal
    assert np.abs(exact + HALF - feet).max() < 3  # pixels
    necks = necks_of(exact, focal, pitch, 0.0, (1.45 - 0.08) / (1.3 - 0.08))
    np.testing.assert_allclose(necks + HALF, pixels[:, JOINT["Thorax"]], atol=1e-6)


def test_up_is_a_unit_vector_against_y() -> None:
    np.testing.assert_allclose(up_direction(0.0, 0.0), (0, -1, 0), atol=1e-15)
    assert np.linalg.norm(up_direction(0.4, 0.1)) == pytest.approx(1)
    assert up_direction(0.4, 0.0)[2] < 0  # looking down, up comes towards the camera


def test_the_profile_is_lowest_at_the_truth() -> None:
    people = standing(900.0, 0.5)
    focal = np.exp(np.linspace(math.log(0.9), math.log(3.6), 17))
    profile = fit_profile(people.feet, people.necks, focal)
    cost = profile.cost.mean(1)
    assert best_focal(focal, cost) == pytest.approx(1.8, rel=0.01)
    assert profile.pitch[cost.argmin()] == pytest.approx(0.5, abs=0.02)
    assert cost.min() < 1e-3 < 0.02 < min(cost[0], cost[-1])


def test_the_lowest_point_of_a_parabola() -> None:
    focal = np.exp(np.linspace(0, 2, 9))
    cost = (np.log(focal)[:, None] - np.array([0.6, 1.31])) ** 2
    np.testing.assert_allclose(best_focal(focal, cost), np.exp([0.6, 1.31]), rtol=1e-9)
    assert np.isnan(best_focal(focal, np.log(focal)))
    assert np.isnan(best_focal(focal, -np.log(focal)))


# ---------------------------------------------------------------------------------- the decision


@pytest.mark.parametrize(("focal", "pitch"), [(600.0, 40.0), (900.0, 25.0), (1400.0, 30.0)])
def test_the_focal_length_is_found_from_above(focal: float, pitch: float) -> None:
    found = find_focal(standing(focal, math.radians(pitch), sway=0.03))
    assert isinstance(found, Found)
    assert found.focal * HALF == pytest.approx(focal, rel=0.1)
    assert math.degrees(found.pitch) == pytest.approx(pitch, abs=4)
    assert MODEL_UNCERTAINTY < found.uncertainty < MAX_UNCERTAINTY


def test_who_sways_more_is_more_uncertain() -> None:
    little, much = (
        find_focal(standing(900.0, math.radians(30), sway=sway)) for sway in (0.02, 0.06)
    )
    assert isinstance(little, Found) and isinstance(much, Found)
    assert little.uncertainty < much.uncertainty


@pytest.mark.parametrize(
    ("people", "reason"),
    [
        (lambda: standing(900.0, math.radians(10)), "down by some 10 degrees"),
        (lambda: standing(900.0, math.radians(-12), height=0.6), "up by some 12 degrees"),
        (lambda: standing(900.0, math.radians(30), room=0.05), "the same height of the image"),
        (lambda: standing(900.0, 0.0, height=1.6, sway=0.1), "any focal length fits"),
        (lambda: few(standing(900.0, math.radians(25), sway=0.12), 50), "uncertain by more than"),
    ],
)
def test_what_cannot_be_told_is_refused(people: Callable[[], Standing], reason: str) -> None:
    found = find_focal(people())
    assert isinstance(found, str)
    assert reason in found


def test_few_groups_are_refused() -> None:
    people = standing(900.0, math.radians(30))
    found = find_focal(Standing(people.feet, people.necks, np.zeros(400, dtype=np.int64)))
    assert found == "1 groups of standing poses, at least 24 are needed"


def test_blocks_end_with_a_clip_and_when_they_are_full() -> None:
    clip = np.repeat([4, 4, 2, 4], [BLOCK, 1, 3, 2])
    expected = np.repeat([0, 1, 2, 3], [BLOCK, 1, 3, 2])
    np.testing.assert_array_equal(_blocks(clip), expected)
    assert len(_blocks(clip[:0])) == 0


# ---------------------------------------------------------------------------------- keypoints


@pytest.fixture(scope="module")
def people() -> tuple[Array, Array]:
    return standing_people(480, 900.0, math.radians(32), sway=0.03)


#: clips of 20 frames
CLIP = np.arange(480) // 20


def test_a_camera_is_estimated_from_keypoints(people: tuple[Array, Array]) -> None:
    camera = estimate_camera(people[1], told(people[0]), SIZE, clip=CLIP)
    assert camera.intrinsics[0] == pytest.approx(900, rel=0.1)
    assert camera.intrinsics[0] == camera.intrinsics[1]
    assert camera.intrinsics[2:] == (HALF, HALF)
    assert camera.relative_uncertainty is not None
    assert MODEL_UNCERTAINTY < camera.relative_uncertainty < MAX_UNCERTAINTY
    assert "estimated from 480 standing poses, seen 3" in camera.lines()[0]
    assert "uncertain by about" in camera.lines()[1]


def test_people_who_do_not_stand_do_not_count(people: tuple[Array, Array]) -> None:
    pose3d, pixels = (each.copy() for each in people)
    sit = np.arange(len(pixels)) % 3 == 0
    for points in (pose3d, pixels):  # the neck comes down to the hips
        points[sit, JOINT["Thorax"]] = points[sit, JOINT["Hip"]]
    camera = estimate_camera(pixels, told(pose3d), SIZE, clip=CLIP)
    assert "estimated from 320 standing poses" in camera.origin
    assert camera.intrinsics[0] == pytest.approx(900, rel=0.1)


def test_what_was_not_seen_does_not_count(people: tuple[Array, Array]) -> None:
    pose3d, pixels = people
    hidden = np.arange(len(pixels)) % 3 == 0
    seen = np.ones(pixels.shape[:2], dtype=bool)
    seen[hidden, JOINT["LFoot"]] = False
    moved = pixels.copy()
    moved[hidden, JOINT["LFoot"]] += 300
    moved[1, JOINT["RWrist"]] = np.nan
    seen[1, JOINT["RWrist"]] = False
    used = ~hidden
    used[1] = False
    camera = estimate_camera(moved, told(pose3d[used]), SIZE, seen=seen, clip=CLIP)
    alone = estimate_camera(pixels[used], told(pose3d[used]), SIZE, clip=CLIP[used])
    assert camera == alone


def test_17_joints_are_taken_by_name(people: tuple[Array, Array]) -> None:
    pose3d, pixels = people
    all_joints = np.zeros((len(pixels), 17, 2))
    all_joints[:, [H36M_17.names.index(name) for name in H36M_16.names]] = pixels
    camera = estimate_camera(all_joints, told(pose3d), "1000x1000", clip=CLIP)
    assert camera.origin.startswith("estimated")
    assert camera == estimate_camera(pixels, told(pose3d), SIZE, clip=CLIP)


def test_where_nothing_is_told_the_assumption_says_why(people: tuple[Array, Array]) -> None:
    pose3d, pixels = people
    camera = estimate_camera(pixels, told(pose3d), SIZE)  # one clip
    assert camera.fov == pytest.approx(60) and camera.relative_uncertainty == 0.35
    assert "assumed: 60 degrees" in camera.origin
    assert "since the keypoints do not tell: 5 groups of standing poses" in camera.origin
    upside_down = estimate_camera(1000 - people[1], told(people[0]), SIZE)
    assert upside_down.origin.endswith("nobody stands")
    none = estimate_camera(pixels, told(pose3d), SIZE, seen=np.zeros((480, 16), dtype=bool))
    assert none.origin.endswith("no pose with both feet and Thorax seen")


def test_a_module_needs_no_gradients(people: tuple[Array, Array]) -> None:
    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, points: Tensor) -> Tensor:
            return torch.nn.functional.pad(points, (0, 1)) * self.scale

    assert estimate_camera(people[1][:50], Module(), SIZE).origin.startswith("assumed")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": np.zeros((4, 16, 3))}, "keypoints: got shape (4, 16, 3), expected (N, 16"),
        ({"keypoints": np.zeros((4, 15, 2))}, "keypoints: got shape (4, 15, 2), expected (N, 16"),
        ({"keypoints": np.full((4, 16, 2), np.nan)}, "keypoints: got NaN or infinity where seen"),
        (
            {"seen": np.ones((4, 16))},
            "seen: got shape (4, 16) of float64, expected (4, 16) of bool",
        ),
        ({"seen": np.ones((3, 16), dtype=bool)}, "seen: got shape (3, 16) of bool, expected (4"),
        ({"clip": np.zeros(3)}, "clip: got shape (3,), expected (4,)"),
        ({"image_size": "wide"}, "image_size: got 'wide'"),
    ],
)
def test_wrong_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"keypoints": np.zeros((4, 16, 2)), "image_size": SIZE} | change
    with pytest.raises(ValueError) as caught:
        estimate_camera(lifter=told(np.zeros((4, 16, 3))), **arguments)
    assert message in str(caught.value)


# ---------------------------------------------------------------------------------- a target


def test_a_target_asks_for_the_estimate(people: tuple[Array, Array]) -> None:
    pose3d, pixels = people
    settings = KeypointSettings(camera="estimate", image_size="1000x1000")
    keypoints = dataclasses.replace(keypoints_of(pixels, settings, H36M_16), clip=CLIP)
    estimator = camera_estimator(told(pose3d), H36M_16)
    target = with_camera(
        keypoints, settings, H36M_16, camera="estimate", name="a", estimator=estimator
    )
    focal = target.poses.intrinsics[:, 0] * HALF
    assert torch.all(focal == focal[0]) and float(focal[0]) == pytest.approx(900, rel=0.1)
    assert any("estimated from 480 standing poses" in line for line in target.lines)
    assert "estimated from" in target.poses.about["camera"]


def test_the_estimator_is_told_what_was_seen(people: tuple[Array, Array]) -> None:
    points = np.concatenate((people[1][:9], np.ones((9, 16, 1))), -1)
    points[3, JOINT["LFoot"], 2] = 0.1
    settings = KeypointSettings(image_size="1000x1000")
    asked: list[Any] = []

    def estimator(keypoints: Array, image_size: Any, *, seen: Array, clip: Array) -> Camera:
        asked.append((keypoints.shape, image_size, np.argwhere(~seen[:, :7]).tolist(), clip.shape))
        return Camera((900.0, 900.0, HALF, HALF), SIZE)

    keypoints = keypoints_of(points, settings, H36M_16)
    with_camera(keypoints, settings, H36M_16, camera="estimate", name="a", estimator=estimator)
    left_foot = H36M_17.names.index("LFoot")
    assert asked == [((9, 17, 2), SIZE, [[3, left_foot]], (9,))]


def test_distortion_needs_a_known_focal_length(people: tuple[Array, Array]) -> None:
    settings = KeypointSettings(image_size="1000x1000", distortion="-0.2,0.1,0,0")
    keypoints = keypoints_of(people[1][:9], settings, H36M_16)
    estimator = camera_estimator(told(people[0]), H36M_16)
    with pytest.raises(ValueError, match="distortion: got coefficients beside camera estimate"):
        with_camera(keypoints, settings, H36M_16, camera="estimate", name="a", estimator=estimator)


def test_without_a_lifter_the_estimate_is_refused(people: tuple[Array, Array]) -> None:
    settings = KeypointSettings(image_size="1000x1000")
    keypoints = keypoints_of(people[1][:9], settings, H36M_16)
    with pytest.raises(ValueError, match="got estimate, which needs keypoints and a lifter"):
        with_camera(keypoints, settings, H36M_16, camera="estimate", name="a")
