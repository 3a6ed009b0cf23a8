"""The fused ops against the reference: dtypes, shapes, skeletons, strides, broadcasting."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from op_cases import CASES, IDS, MAIN, MAIN_IDS, SKELETONS, TOLERANCE, Case, assert_same

import poseda_ext
from poseda_ext import H36M_16

ALIGNED = next(case for case in CASES if case.name == "augment_aligned")


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_dtypes(case: Case, dtype: torch.dtype, device: str) -> None:
    inputs = case.sample((37,), dtype, device)
    assert_same(case.call(inputs), case.reference(inputs))


@pytest.mark.parametrize("lead", [(), (0,), (1,), (2, 0, 3), (3, 5), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_leading_dimensions(case: Case, lead: tuple[int, ...], device: str) -> None:
    inputs = case.sample(lead, device=device)
    assert_same(case.call(inputs), case.reference(inputs))


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS.keys())
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_skeletons(case: Case, skeleton: poseda_ext.Skeleton, device: str) -> None:
    inputs = case.sample((9,), torch.float64, device, skeleton)
    assert_same(case.call(inputs, skeleton), case.reference(inputs, skeleton))


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_any_strides(case: Case, device: str) -> None:
    inputs = {
        name: torch.stack((tensor, tensor), -1)[..., 0].transpose(0, 1)
        for name, tensor in case.sample((4, 3), device=device).items()
    }
    assert not any(tensor.is_contiguous() for tensor in inputs.values())
    assert_same(case.call(inputs), case.reference(inputs))


@pytest.mark.parametrize("case", MAIN, ids=MAIN_IDS)
def test_broadcasts_to_the_first_argument(case: Case, device: str) -> None:
    inputs = case.sample((4, 3), device=device)
    first = next(iter(inputs))
    small = {
        n: t if n == first else t[:1, 0] if n == "intrinsics" else t[0] for n, t in inputs.items()
    }
    full = {
        n: t
        if n == first
        else small[n].expand_as(t)
        if n != "intrinsics"
        else t[:1, :1].expand_as(t)
        for n, t in inputs.items()
    }
    assert_same(case.call(small), case.reference(full))


def test_root_is_broadcast_in_the_result() -> None:
    pose = torch.randn(4, 16, 3)
    root, intrinsics = torch.tensor([0.0, 0.0, 4.0]), torch.tensor([2.0, 2.0, 0.0, 0.0])
    result = poseda_ext.augment(pose, root=root, intrinsics=intrinsics)
    assert result.root is not None and result.root.shape == (4, 3)


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float32, torch.float64, torch.float64),
        (torch.float16, torch.bfloat16, torch.float32),
    ],
)
def test_promotes_dtypes(first: torch.dtype, second: torch.dtype, result: torch.dtype) -> None:
    pose, rotation = torch.randn(3, 16, 3, dtype=first), torch.randn(3, 3, dtype=second)
    got = poseda_ext.augment(pose, rotation=rotation).pose3d
    expected = poseda_ext.reference.augment(pose.to(result), rotation=rotation.to(result)).pose3d
    assert_same((got,), (expected,))


@pytest.mark.parametrize("case", MAIN, ids=MAIN_IDS)
def test_inputs_are_left_alone(case: Case, device: str) -> None:
    inputs = case.sample((5,), device=device)
    before = {name: tensor.clone() for name, tensor in inputs.items()}
    outputs = case.call(inputs)
    assert all(torch.equal(inputs[name], before[name]) for name in inputs)
    pointers = {tensor.data_ptr() for tensor in inputs.values()}
    assert pointers.isdisjoint(output.data_ptr() for output in outputs)


@pytest.mark.parametrize("module", [poseda_ext, poseda_ext.reference], ids=["fused", "reference"])
def test_root_in_the_result_is_a_copy(module: object, device: str) -> None:
    case = next(case for case in CASES if case.name == "augment_placed")
    for lead in ((5,), ()):
        inputs = case.sample(lead, device=device)
        _, root, _ = case.call(inputs, module=module)
        root.zero_()
        assert inputs["root"].all()


def test_gpa_depth_follows_the_focal_length(device: str) -> None:
    pose = torch.randn(8, 16, 3, device=device)
    target = 0.2 * torch.randn(8, 16, 2, device=device)
    near, far = (
        poseda_ext.gpa(pose, target, torch.tensor([f, f, 0.0, 0.0], device=device))[:, 2]
        for f in (1.465, 2.29)
    )
    torch.testing.assert_close(near / far, torch.full_like(near, 1.465 / 2.29))
    assert abs(1.465 / 2.29 - 0.64) < 1e-3


def test_gpa_gives_the_target_box() -> None:
    # A flat pose projects to the very box and root of its target.
    pose = torch.randn(8, 16, 3, dtype=torch.float64) * torch.tensor([1.0, 1.0, 0.0])
    pose = pose.double()
    target = 0.2 * torch.randn(8, 16, 2, dtype=torch.float64)
    intrinsics = torch.tensor([2.29, 2.2, 0.1, -0.1], dtype=torch.float64)
    result = poseda_ext.augment(pose, target2d=target, intrinsics=intrinsics)
    assert result.pose2d is not None

    def size(points: torch.Tensor) -> torch.Tensor:
        return (points.amax(-2) - points.amin(-2)).sum(-1)

    torch.testing.assert_close(size(result.pose2d), size(target))
    torch.testing.assert_close(result.pose2d[:, 0], target[:, 0])


def test_stages_one_by_one_make_the_whole() -> None:
    case = CASES[0]
    whole = case.sample((6,))
    pose = whole["pose"]
    pose = poseda_ext.augment(pose, bone_rotation=whole["bone_rotation"]).pose3d
    pose = poseda_ext.augment(pose, bone_scale=whole["bone_scale"]).pose3d
    pose = poseda_ext.augment(pose, rotation=whole["rotation"]).pose3d
    last = poseda_ext.augment(pose, target2d=whole["target2d"], intrinsics=whole["intrinsics"])
    assert last.root is not None and last.pose2d is not None
    assert_same((last.pose3d, last.root, last.pose2d), case.call(whole))


def test_stages_of_an_alignment_one_by_one_make_the_whole() -> None:
    whole = ALIGNED.sample((6,))
    pose = poseda_ext.augment(
        whole["pose"], bone_rotation=whole["bone_rotation"], bone_scale=whole["bone_scale"]
    ).pose3d
    pose = poseda_ext.augment(pose, direction=whole["direction"]).pose3d
    names = ("rotation", "target2d", "intrinsics")
    last = ALIGNED.call({"pose": pose, **{name: whole[name] for name in names}})
    assert_same(last, ALIGNED.call(whole))


@pytest.mark.parametrize("module", [poseda_ext, poseda_ext.reference], ids=["fused", "reference"])
@pytest.mark.parametrize("name", ["h36m16", "seven", "sixty_four"])
def test_alignment_is_the_smallest_rotation_to_the_direction(name: str, module: Any) -> None:
    skeleton = SKELETONS[name]
    pose = torch.randn(50, skeleton.num_joints, 3, dtype=torch.float64)
    direction = 7 * torch.randn(50, 3, dtype=torch.float64)
    got = module.augment(pose, direction=direction, skeleton=skeleton).pose3d
    # By R = I + [v]x + [v]x^2 / (1 + c)
    pose = pose - pose[:, :1]
    a = torch.nn.functional.normalize(pose[:, skeleton.torso], dim=-1)
    b = torch.nn.functional.normalize(direction, dim=-1)
    v = torch.linalg.cross(a, b)[:, None].expand_as(pose)
    once = torch.linalg.cross(v, pose)
    twice = torch.linalg.cross(v, once)
    expected = pose + once + twice / (1 + (a * b).sum(-1))[:, None, None]
    torch.testing.assert_close(got, expected)
    length = pose[:, skeleton.torso].norm(dim=-1, keepdim=True)
    torch.testing.assert_close(got[:, skeleton.torso], length * b)


def test_alignment_looks_at_the_torso_of_the_moved_bones() -> None:
    whole = ALIGNED.sample((6,))
    inputs = {name: whole[name] for name in ("pose", "bone_rotation", "direction")}
    torso = ALIGNED.call(inputs)[0][:, H36M_16.torso]
    got, wanted = (torch.nn.functional.normalize(x, dim=-1) for x in (torso, inputs["direction"]))
    torch.testing.assert_close(got, wanted)


def test_bones_and_pose_from_bones_are_inverses() -> None:
    pose = torch.randn(5, 16, 3, dtype=torch.float64)
    back = poseda_ext.pose_from_bones(poseda_ext.bones(pose), pose[:, 0])
    torch.testing.assert_close(back, pose)


def test_part_kcs_of_a_skeleton_without_parts() -> None:
    skeleton = poseda_ext.Skeleton(names=("a", "b"), parents=(-1, 0))
    assert poseda_ext.part_kcs(torch.randn(4, 2, 3), skeleton).shape == (4, 0)
    assert poseda_ext.part_kcs(torch.randn(4, 16, 3), H36M_16).shape == (4, 78)


def test_part_kcs_of_moved_bones_is_that_of_the_moved_pose() -> None:
    case = next(case for case in CASES if case.name == "part_kcs_moved")
    inputs: dict[str, Any] = case.sample((6,))
    moved = poseda_ext.augment(**inputs).pose3d
    torch.testing.assert_close(poseda_ext.part_kcs(**inputs), poseda_ext.part_kcs(moved))
