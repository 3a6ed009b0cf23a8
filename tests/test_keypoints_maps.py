"""The tables from detectors' joints to Human3.6M's are anatomically right."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from poseda.data.synthetic.actions import ACTIONS
from poseda.keypoints.maps import JOINT_SETS
from poseda_ext.skeleton import H36M_16, H36M_17

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.keypoint_files import Array, body_points, camera, detected, image, walk

NAMES = list(JOINT_SETS)
DETECTORS = [name for name in NAMES if not name.startswith("h36m")]
AT = {name: number for number, name in enumerate(H36M_17.names)}
CERTAIN = 0.9


def mapped(name: str, world: Array) -> Array:
    points = detected(world, name)
    return JOINT_SETS[name].apply(points, np.full(points.shape[:2], CERTAIN), 0.3)[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_joint_has_a_rule(name: str) -> None:
    each = JOINT_SETS[name]
    assert set(each.map.rules) == set(H36M_17.names)
    np.testing.assert_allclose(each.map.matrix.sum(1), 1)
    assert len(each.lines()) == 17
    assert len(set(each.joints)) == len(each.joints)


def test_numbers_of_joints() -> None:
    counts = {name: len(each.joints) for name, each in JOINT_SETS.items()}
    assert counts == {
        "coco_17": 17, "h36m_17": 17, "h36m_16": 16, "body_25": 25, "coco_18": 18, "halpe_26": 26,
        "halpe_136": 136, "mediapipe_33": 33, "wholebody_133": 133,
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_limbs_are_taken_as_they_are(name: str) -> None:
    world = walk(5)
    limbs = [number for joint, number in AT.items() if joint[0] in "LR"]
    np.testing.assert_allclose(mapped(name, world)[:, limbs], image(world)[:, limbs], atol=1e-9)


@pytest.mark.parametrize("name", DETECTORS)
def test_mirrored_people_are_mapped_to_mirrored_people(name: str) -> None:
    """Left and right play the same part in every rule."""

    def other(joint: str) -> str:
        for left, right in (("left", "right"), ("L", "R")):
            for one, two in ((left, right), (right, left)):
                if joint.startswith(one) or joint.endswith(f"_{one}"):
                    return joint.replace(one, two, 1)
        return joint

    rules = JOINT_SETS[name].map.rules
    for joint, weights in rules.items():
        swapped = {other(each): weight for each, weight in weights.items()}
        assert swapped == pytest.approx(rules[other(joint)]), joint


@pytest.mark.parametrize("name", NAMES)
def test_a_standing_person_is_upright(name: str) -> None:
    """From the crown down, and right of the image what is left of a person facing the camera."""
    world = walk(20, action="stand", seed=3)
    across = (world[0, AT["LShoulder"]] - world[0, AT["RShoulder"]])[:2]
    right = camera().rotation[0, :2]  # turn the person to the camera
    turn = np.arctan2(right[1], right[0]) - np.arctan2(across[1], across[0])
    cos, sin = np.cos(turn), np.sin(turn)
    world = world @ np.asarray([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    points = mapped(name, world)
    column = [points[:, AT[joint], 1] for joint in ("Head", "Neck/Nose", "Thorax", "Spine", "Hip")]
    assert (np.diff(column, axis=0) > 0).all()
    for joint in ("Shoulder", "Hip"):
        assert (points[:, AT[f"L{joint}"], 0] > points[:, AT[f"R{joint}"], 0]).all()


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize(
    ("joint", "near"),
    [("Head", 0.025), ("Neck/Nose", 0.05), ("Hip", 0.003), ("Thorax", 0.045), ("Spine", 0.05)],
)
def test_the_trunk_and_head_are_human36ms(name: str, joint: str, near: float) -> None:
    """Over all that the synthetic humans do: metres at their distance, on average."""
    for seed, action in enumerate(ACTIONS):
        world = walk(30, seed=seed, action=action)
        error = np.linalg.norm(mapped(name, world) - image(world), axis=-1)[:, AT[joint]]
        depth = camera().to_camera(world)[:, AT[joint], 2]
        assert (error * depth / camera().intrinsics[0]).mean() < near, action


def test_head_is_between_ears_and_crown_not_at_the_crown() -> None:
    world = walk(30, action="stand")
    height = {name: points[:, 2].mean() for name, points in body_points(world).items()}
    head = world[:, AT["Head"], 2].mean()
    assert height["left_ear"] - 0.03 < head < height["crown"] - 0.05


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_one_hidden_ear_leaves_a_head(name: str, side: str) -> None:
    world = walk(10)
    points = detected(world, name)
    each = JOINT_SETS[name]
    confidence = np.full(points.shape[:2], CERTAIN)
    hidden = [
        number
        for number, joint in enumerate(each.joints)
        if joint in (f"{side}_ear", f"{side[0].upper()}Ear", "head")
    ]
    points[:, hidden] = 0
    confidence[:, hidden] = 0.1
    got, certain = each.apply(points, confidence, 0.3)
    assert (certain == CERTAIN).all()
    error = np.linalg.norm(got - image(world), axis=-1)[:, [AT["Head"], AT["Neck/Nose"]]]
    assert (error * 5 / camera().intrinsics[0]).mean() < 0.12  # half the breadth of a head, more


def test_without_both_ears_there_is_no_head() -> None:
    each = JOINT_SETS["coco_17"]
    points = detected(walk(3), "coco_17")
    confidence = np.full(points.shape[:2], CERTAIN)
    confidence[:, 3:5] = 0.2
    certain = each.apply(points, confidence, 0.3)[1]
    assert (certain[:, AT["Head"]] == 0.2).all()
    assert (certain[:, AT["Thorax"]] == CERTAIN).all()


def test_sixteen_joints_put_neck_midway() -> None:
    world = walk(3)
    points = image(world)
    sixteen = points[:, [AT[name] for name in H36M_16.names]]
    got = JOINT_SETS["h36m_16"].apply(sixteen, np.ones((3, 16)), 0.3)[0]
    middle = (points[:, AT["Thorax"]] + points[:, AT["Head"]]) / 2
    np.testing.assert_allclose(got[:, AT["Neck/Nose"]], middle)
    rest = [number for joint, number in AT.items() if joint != "Neck/Nose"]
    np.testing.assert_array_equal(got[:, rest], points[:, rest])
