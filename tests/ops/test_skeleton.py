"""What `Skeleton` accepts, and what it refuses."""

from __future__ import annotations

import re
from typing import Any

import pytest

from poseda_ext import H36M_16, H36M_17, Skeleton

GOOD: dict[str, Any] = {"names": ("a", "b", "c"), "parents": (-1, 0, 0)}

BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"names": ("a", "b", "b")}, ValueError, "names: got 'b' twice, expected different names"),
    ({"names": ("a", "b", 3)}, TypeError, "names: got int, expected strings"),
    ({"names": "abc"}, TypeError, "names: got str, expected a sequence of strings"),
    ({"names": None}, TypeError, "names: got NoneType, expected a sequence of strings"),
    ({"names": ("a", "b")}, ValueError, "names: got 2, expected one per joint (3)"),
    ({"parents": (-1, 0.0, 0)}, TypeError, "parents: got float, expected integers"),
    ({"parents": (-1, "0", 0)}, TypeError, "parents: got str, expected integers"),
    ({"parents": 3}, TypeError, "parents: got int, expected a sequence of integers"),
    ({"parents": (0, 0, 0)}, ValueError, "parents[0]: got 0, expected -1 (the root)"),
    ({"parents": (-1, 1, 0)}, ValueError, "parents[1]: got 1, expected 0 to 0"),
    ({"left": (1,), "right": (1,)}, ValueError, "left, right: got joint 1 twice, expected it once"),
    ({"left": (1, 1), "right": (2, 0)}, ValueError, "left, right: got joint 1 twice"),
    ({"left": (1, 2), "right": (2, 1)}, ValueError, "left, right: got joint 2 twice"),
    ({"left": (1,)}, ValueError, "left, right: got 1 and 0 joints"),
    ({"left": (3,), "right": (1,)}, ValueError, "left: got (3,), expected indices 0 to 2"),
    ({"left": (1.5,), "right": (2,)}, TypeError, "left: got float, expected integers"),
    ({"kcs_parts": ((0, 2),)}, ValueError, "kcs_parts: got (0, 2), expected indices 0 to 1"),
    ({"torso": 0}, ValueError, "torso: got 0, expected 1 to 2"),
    ({"torso": 3}, ValueError, "torso: got 3, expected 1 to 2"),
    ({"torso": "b"}, TypeError, "torso: got str, expected integers"),
    ({"bone_groups": (0, 1)}, TypeError, "bone_groups: got int, expected a sequence of integers"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD)
def test_bad_skeleton(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        Skeleton(**{**GOOD, **change})


def test_any_sequence_will_do() -> None:
    lists = Skeleton(
        names=["a", "b", "c"],  # type: ignore[arg-type]
        parents=[-1, 0, 0],  # type: ignore[arg-type]
        left=[1],  # type: ignore[arg-type]
        right=[2],  # type: ignore[arg-type]
        bone_groups=[[0, 1]],  # type: ignore[arg-type]
        kcs_parts=[[0], (1,)],  # type: ignore[arg-type]
    )
    tuples = Skeleton(("a", "b", "c"), (-1, 0, 0), (1,), (2,), ((0, 1),), ((0,), (1,)))
    assert lists == tuples and hash(lists) == hash(tuples)


def test_the_torso_points_to_the_thorax() -> None:
    for skeleton in (H36M_16, H36M_17):
        assert skeleton.torso is not None and skeleton.names[skeleton.torso] == "Thorax"


def test_mirroring_twice_changes_nothing() -> None:
    for skeleton in (H36M_16, H36M_17):
        order = skeleton.mirrored
        assert order != tuple(range(skeleton.num_joints))
        assert tuple(order[joint] for joint in order) == tuple(range(skeleton.num_joints))
