"""Each bad argument, with its message: what was got, what was expected."""

# ruff: noqa: E501 (one line per case)

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

import poseda_ext
from poseda_ext import H36M_17, Skeleton

POSE = torch.randn(4, 16, 3)
TARGET = torch.randn(4, 16, 2)
CAMERA = torch.tensor([2.0, 2.0, 0.0, 0.0])
AUGMENT, GPA, PROJECT = poseda_ext.augment, poseda_ext.gpa, poseda_ext.project
MANY_PARTS = Skeleton(names=tuple("abc"), parents=(-1, 0, 1), kcs_parts=((0, 1),) * (4096 // 3 + 1))

BAD: list[tuple[Any, tuple, dict[str, Any], type[Exception], str]] = [
    (AUGMENT, ([1.0],), {}, TypeError, "pose: got list, expected a tensor"),
    (AUGMENT, (POSE.long(),), {}, TypeError, "pose: got dtype torch.int64, expected a floating"),
    (AUGMENT, (POSE,), {"rotation": 1.0}, TypeError, "rotation: got float, expected a tensor"),
    (AUGMENT, (POSE,), {"rotation": torch.zeros(4, 3, dtype=torch.int32)}, TypeError,
     "rotation: got dtype torch.int32"),
    (AUGMENT, (POSE.to_sparse(),), {}, TypeError, "pose: got layout torch.sparse_coo, expected a dense"),
    (AUGMENT, (POSE,), {"rotation": POSE[:, 0].to_sparse()}, TypeError,
     "rotation: got layout torch.sparse_coo, expected a dense tensor"),
    (GPA, (POSE.to_sparse(), TARGET, CAMERA), {}, TypeError, "pose: got layout torch.sparse_coo"),
    (AUGMENT, (POSE[0, 0],), {}, ValueError, "pose: got shape (3,), expected (..., 16, 3)"),
    (AUGMENT, (POSE[..., :2],), {}, ValueError, "pose: got shape (4, 16, 2), expected (..., 16, 3)"),
    (AUGMENT, (POSE,), {"skeleton": H36M_17}, ValueError, "got shape (4, 16, 3), expected (..., 17, 3)"),
    (AUGMENT, (POSE,), {"skeleton": (-1, 0)}, TypeError, "skeleton: got tuple, expected a Skeleton"),
    (AUGMENT, (POSE,), {"bone_rotation": POSE}, ValueError,
     "bone_rotation: got shape (4, 16, 3), expected (4, 15, 3)"),
    (AUGMENT, (POSE,), {"bone_scale": torch.zeros(3, 15)}, ValueError,
     "bone_scale: got shape (3, 15), expected (4, 15)"),
    (AUGMENT, (POSE,), {"rotation": torch.zeros(2, 4, 3)}, ValueError,
     "rotation: got shape (2, 4, 3), expected (4, 3) or one that broadcasts to it"),
    (AUGMENT, (POSE,), {"target2d": TARGET, "root": torch.zeros(4, 3), "intrinsics": CAMERA},
     ValueError, "target2d, root: got both, expected at most one"),
    (AUGMENT, (POSE,), {"target2d": TARGET}, ValueError, "intrinsics: got None, expected it together"),
    (AUGMENT, (POSE,), {"root": torch.zeros(3)}, ValueError, "intrinsics: got None"),
    (AUGMENT, (POSE,), {"intrinsics": CAMERA}, ValueError, "target2d or root: got None"),
    (AUGMENT, (POSE,), {"rotation": torch.zeros(4, 3, device="meta")}, ValueError,
     "rotation: got device meta, expected cpu"),
    (AUGMENT, (POSE,), {"direction": torch.zeros(4, 2)}, ValueError,
     "direction: got shape (4, 2), expected (4, 3)"),
    (AUGMENT, (POSE[:, :3],), {"direction": torch.zeros(3), "skeleton": MANY_PARTS}, ValueError,
     "skeleton.torso: got None, expected the joint that direction is for"),
    (poseda_ext.reference.augment, (POSE[:, :3],), {"direction": torch.zeros(3), "skeleton": MANY_PARTS},
     ValueError, "skeleton.torso: got None"),
    (GPA, (POSE, TARGET[:, :15], CAMERA), {}, ValueError, "target2d: got shape (4, 15, 2)"),
    (GPA, (POSE, TARGET, CAMERA[:3]), {}, ValueError, "intrinsics: got shape (3,), expected (4, 4)"),
    (GPA, (torch.zeros(2, 65, 3), TARGET, CAMERA), {}, ValueError, "pose: got shape (2, 65, 3)"),
    (GPA, (None, TARGET, CAMERA), {}, TypeError, "pose: got NoneType, expected a tensor"),
    (PROJECT, (TARGET, CAMERA), {}, ValueError, "points: got shape (4, 16, 2), expected (..., J, 3)"),
    (PROJECT, (POSE, CAMERA, CAMERA), {}, ValueError, "distortion: got shape (4,), expected (4, 5)"),
    (poseda_ext.bones, (POSE[:, :7],), {}, ValueError, "pose: got shape (4, 7, 3)"),
    (poseda_ext.bones, (POSE[..., :1],), {}, ValueError, "expected (..., 16, 3)"),
    (poseda_ext.pose_from_bones, (POSE,), {}, ValueError, "bones: got shape (4, 16, 3), expected (..., 15, 3)"),
    (poseda_ext.pose_from_bones, (POSE[:, 1:], torch.zeros(4, 2)), {}, ValueError,
     "root: got shape (4, 2), expected (4, 3)"),
    (poseda_ext.kcs, (POSE[0, 0, 0],), {}, ValueError, "pose: got shape (), expected (..., 16, 3)"),
    (poseda_ext.kcs, (3,), {}, TypeError, "pose: got int, expected a tensor"),
    (poseda_ext.part_kcs, (POSE[..., :2],), {"bone_scale": POSE[:, 1:, 0]}, ValueError,
     "pose: got shape (4, 16, 2), expected (..., 16, 3)"),
    (poseda_ext.part_kcs, (POSE[:, :3], MANY_PARTS), {}, ValueError,
     "skeleton.kcs_parts: got 4098 features, expected at most 4096"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "args", "kwargs", "error", "message"), BAD)
def test_bad_argument(
    function: Any, args: tuple, kwargs: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        function(*args, **kwargs)


def test_compiled_op_checks_sizes_again() -> None:
    if poseda_ext.build_info()["backend"] != "compiled":
        pytest.skip("the compiled extension is not built")
    with pytest.raises(RuntimeError, match="expected 4 times 3"):
        torch.ops.poseda.augment(
            POSE, None, None, torch.zeros(3), None, None, None, poseda_ext.H36M_16.parents
        )
    for torso in (0, 16, -1):
        with pytest.raises(RuntimeError, match=f"no joint {torso} for the torso"):
            torch.ops.poseda.augment_aligned(
                *(POSE, None, None, None, None, None, None, POSE[:, 0]),
                *(poseda_ext.H36M_16.parents, torso),
            )
    with pytest.raises(RuntimeError, match="is not before it"):
        torch.ops.poseda.bones(POSE[:, :2], (-1, 1))
