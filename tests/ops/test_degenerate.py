"""Degenerate geometry: each rule of `poseda_ext.reference`, and nothing but finite numbers."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import CASES, Case, assert_gradients, assert_same, gradients, require_grad
from torch import Tensor

import poseda_ext
from poseda_ext.reference import (
    MIN_BONE_LENGTH,
    MIN_BOX_SIZE,
    MIN_DEPTH,
    MIN_FOCAL_LENGTH,
    MIN_HALFWAY,
    TAYLOR_SQUARED_ANGLE,
)

THRESHOLD = math.sqrt(TAYLOR_SQUARED_ANGLE)
ANGLES = [0.0, 1e-30, 1e-8, 1e-4, 0.1, THRESHOLD * 0.999, THRESHOLD, THRESHOLD * 1.001, 1.0, 3.0,
          math.pi - 1e-6, math.pi, math.pi + 1e-6, 4.0, 2 * math.pi, 3 * math.pi, 10.0, 100.0,
          1000.0]  # fmt: skip


def _like(case: Case, **inputs: Tensor) -> None:
    """Values and gradients agree with the reference."""
    a, b = require_grad(inputs), require_grad(inputs)
    got, expected = case.call(a), case.reference(b)
    assert_same(tuple(t.detach() for t in got), tuple(t.detach() for t in expected))
    assert_gradients(gradients(got, a), gradients(expected, b))


@pytest.mark.parametrize("angle", ANGLES)
def test_rotation_by_angle(angle: float, device: str) -> None:
    axis = torch.nn.functional.normalize(torch.randn(7, 3, dtype=torch.float64), dim=-1)
    pose = torch.randn(7, 16, 3, dtype=torch.float64, device=device)
    rotation = (angle * axis).to(device)
    _like(CASES[4], pose=pose, rotation=rotation)
    bone_rotation = rotation[:, None].expand(7, 15, 3).contiguous()
    _like(CASES[2], pose=pose, bone_rotation=bone_rotation)


@pytest.mark.parametrize("angle", ANGLES)
def test_rotation_by_angle_in_float32(angle: float, device: str) -> None:
    axis = torch.nn.functional.normalize(torch.randn(64, 3, dtype=torch.float64), dim=-1)
    rotation = (angle * axis).float()
    pose = torch.randn(64, 16, 3)
    exact = poseda_ext.reference.augment(pose.double(), rotation=rotation.double()).pose3d
    got = poseda_ext.augment(pose.to(device), rotation=rotation.to(device)).pose3d
    # 4e-7 per coefficient, and the rounding of the angle itself when it is large.
    assert (got.cpu().double() - exact).abs().max() < 3e-6 + 2e-6 * angle


def test_gradient_at_zero_rotation_is_the_cross_product(device: str) -> None:
    pose = torch.randn(3, 16, 3, dtype=torch.float64, device=device)
    rotation = torch.zeros(3, 3, dtype=torch.float64, device=device, requires_grad=True)
    pose3d = poseda_ext.augment(pose, rotation=rotation).pose3d
    grad_out = torch.randn_like(pose3d)
    (grad,) = torch.autograd.grad(pose3d, rotation, grad_out)
    expected = torch.linalg.cross(pose3d.detach(), grad_out).sum(1)
    torch.testing.assert_close(grad, expected, rtol=1e-14, atol=1e-14)
    assert grad.abs().min() > 0


def test_zero_bones(device: str) -> None:
    pose = torch.randn(4, 16, 3, dtype=torch.float64, device=device)
    pose[:, 5] = pose[:, 4]
    pose[:, 8] = pose[:, 7] + 0.5 * MIN_BONE_LENGTH / math.sqrt(3)
    pose[:, 12] = pose[:, 11] + 2 * MIN_BONE_LENGTH
    for case in CASES:
        if case.op in ("kcs", "part_kcs") and case.inputs["pose"] == "pose":
            inputs = {"pose": pose}
            assert_same(case.call(inputs), case.reference(inputs))
    inputs = require_grad({"pose": pose})
    gram = poseda_ext.kcs(inputs["pose"], unit=True)
    assert not gram[:, 4].any() and not gram[:, 7].any()
    assert gram[:, 11, 11].allclose(torch.ones_like(gram[:, 0, 0]))
    keep = torch.ones(15, dtype=torch.bool)
    keep[11] = False  # a bone of two micrometres has an enormous gradient
    (grad,) = torch.autograd.grad(gram[:, keep][:, :, keep].sum(), inputs["pose"])
    assert grad.isfinite().all()
    _like(CASES[0], **{**CASES[0].sample((4,), device=device), "pose": pose})


def test_zero_size_target_box(device: str) -> None:
    inputs = CASES[0].sample((4,), device=device)
    inputs["target2d"] = inputs["target2d"][:, :1].expand(4, 16, 2).clone()
    _like(CASES[0], **inputs)
    got = CASES[8].call({k: inputs[k] for k in ("pose", "target2d", "intrinsics")})[0]
    pose, k = inputs["pose"], inputs["intrinsics"]
    extent = pose.amax(1)[:, :2] - pose.amin(1)[:, :2]
    torch.testing.assert_close(got[:, 2], (k[:, :2] * extent).sum(-1) / MIN_BOX_SIZE)


def test_pose_without_extent_counts_as_at_the_least_depth(device: str) -> None:
    inputs = CASES[8].sample((4,), device=device)
    inputs["pose"] = torch.zeros_like(inputs["pose"])
    assert (CASES[8].call(inputs)[0][:, 2] == MIN_DEPTH).all()
    _like(CASES[8], **inputs)
    whole = CASES[0].sample((4,), device=device)
    _like(CASES[0], **{**whole, "pose": torch.zeros_like(whole["pose"])})


@pytest.mark.parametrize("depth", [-3.0, 0.0, MIN_DEPTH * 0.999, MIN_DEPTH, MIN_DEPTH * 1.001])
def test_points_behind_and_at_the_camera(depth: float, device: str) -> None:
    for case in (CASES[9], CASES[10]):
        inputs = case.sample((4,), device=device)
        inputs["points"][..., 2] = depth
        _like(case, **inputs)
    inputs = CASES[9].sample((4,), device=device)
    inputs["points"][..., 2] = depth
    inputs = require_grad(inputs)
    grad = gradients(CASES[9].call(inputs), inputs)["points"]
    assert (grad[..., 2] != 0).all() if depth >= MIN_DEPTH else not grad[..., 2].any()


@pytest.mark.parametrize("focal", [-1.0, 0.0, MIN_FOCAL_LENGTH])
def test_small_focal_length(focal: float, device: str) -> None:
    for case in (CASES[0], CASES[8]):
        inputs = case.sample((4,), device=device)
        inputs["intrinsics"][:, :2] = focal
        _like(case, **inputs)


def test_of_joints_that_tie_the_first_gets_the_gradient(device: str) -> None:
    inputs = CASES[8].sample((4,), device=device)
    for name in ("pose", "target2d"):
        inputs[name][:, 5] = inputs[name].amax(1) + 0.1
        inputs[name][:, 9] = inputs[name][:, 5]
        inputs[name][:, 3] = inputs[name].amin(1) - 0.1
        inputs[name][:, 11] = inputs[name][:, 3]
    _like(CASES[8], **inputs)
    inputs = require_grad(inputs)
    grads = gradients(CASES[8].call(inputs), inputs)
    for name in ("pose", "target2d"):
        assert grads[name][:, 5, :2].all() and grads[name][:, 3, :2].all()
        assert not grads[name][:, 9].any() and not grads[name][:, 11].any()


def test_lens_clamps_the_plane(device: str) -> None:
    inputs = CASES[10].sample((4,), device=device)
    inputs["points"][:, :8, :2] *= 20
    _like(CASES[10], **inputs)


ALIGNED, DIRECTED = (
    next(case for case in CASES if case.name == name)
    for name in ("augment_aligned", "augment_direction")
)
UNITS = torch.tensor(
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0, 0.8], [0.8, 0, 0.6]], dtype=torch.float64
)
#: Unit vectors on the axes and off them; the torso of a pose points there.
_OTHERS = torch.randn(9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TORSOS = torch.cat((UNITS, -UNITS, torch.nn.functional.normalize(_OTHERS, dim=-1)))


def _with_torso(torso: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    pose = torch.randn(len(torso), 16, 3, dtype=torch.float64)
    pose[:, 0] = 0
    pose[:, 8] = torso
    return pose.to(dtype)


def _at_angle(torso: Tensor, angle: float) -> Tensor:
    """Unit vectors so many radians away, on any side."""
    side = torch.linalg.cross(torso, torch.randn_like(torso))
    side = torch.nn.functional.normalize(side, dim=-1)
    return math.cos(angle) * torso + math.sin(angle) * side


@pytest.mark.parametrize("name", ["torso", "direction", "both"])
@pytest.mark.parametrize("length", [0.0, 1e-30, 0.5 * MIN_BONE_LENGTH])
def test_without_a_direction_nothing_is_aligned(name: str, length: float, device: str) -> None:
    inputs = {name: t.to(device) for name, t in ALIGNED.sample((len(TORSOS),)).items()}
    torso = (length if name != "direction" else 1.0) * TORSOS
    del inputs["bone_rotation"], inputs["bone_scale"]
    inputs["pose"] = _with_torso(torso).to(device)
    inputs["direction"] = ((length if name != "torso" else 1.0) * TORSOS.flip(0)).to(device)
    _like(ALIGNED, **inputs)
    inputs = require_grad(inputs)
    outputs = ALIGNED.call(inputs)
    grads = gradients(outputs, inputs)
    assert not grads["direction"].any()
    del inputs["direction"]
    expected = CASES[0].call(inputs)
    assert_same(tuple(t.detach() for t in outputs), tuple(t.detach() for t in expected))
    torch.testing.assert_close(grads["pose"], gradients(expected, inputs)["pose"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("short", [0.0, 0.1 * MIN_HALFWAY, 0.9 * MIN_HALFWAY])
def test_opposite_directions_make_half_a_turn(
    short: float, dtype: torch.dtype, device: str
) -> None:
    pose = _with_torso(0.5 * TORSOS, dtype).to(device)
    direction = (3 * _at_angle(TORSOS, math.pi - short)).to(device, dtype)
    for module in (poseda_ext, poseda_ext.reference):
        inputs = require_grad({"pose": pose, "direction": direction})
        (turned,) = DIRECTED.call(inputs, module=module)
        # About z or x, made perpendicular to the torso: x + R x = 2 n (n . x).
        along_z = (TORSOS[:, 2].abs() > TORSOS[:, 0].abs())[:, None]
        axis = torch.where(along_z, UNITS[0], UNITS[2])
        axis = axis - (axis * TORSOS).sum(-1, keepdim=True) * TORSOS
        axis = torch.nn.functional.normalize(axis, dim=-1)[:, None].to(device, dtype)
        expected = 2 * (axis * pose).sum(-1, keepdim=True) * axis - pose
        assert (turned - expected).abs().max() < {torch.float32: 5e-6, torch.float64: 1e-14}[dtype]
        grad_out = torch.randn_like(turned)
        by_pose, by_direction = torch.autograd.grad(turned, list(inputs.values()), grad_out)
        assert not by_direction.any()
        back = 2 * (axis * grad_out).sum(-1, keepdim=True) * axis - grad_out
        back[:, 0] = 0
        back[:, 0] = -back.sum(1)
        torch.testing.assert_close(by_pose, back, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    "angle",
    [0.0, 1e-30, 1e-12, 1e-8, 1e-4, 0.1, 1.0, math.pi / 2, 3.0, math.pi - 0.01, math.pi - 1e-3,
     math.pi - 1.1 * MIN_HALFWAY],
)  # fmt: skip
def test_alignment_by_angle(angle: float, dtype: torch.dtype, device: str) -> None:
    pose = _with_torso(0.5 * TORSOS, dtype).to(device)
    direction = (3 * _at_angle(TORSOS, angle)).to(device, dtype)
    eps = torch.finfo(dtype).eps
    short = math.pi - angle
    for module in (poseda_ext, poseda_ext.reference):
        inputs = require_grad({"pose": pose, "direction": direction})
        (turned,) = DIRECTED.call(inputs, module=module)
        # Distances stay, and the torso goes where it should, whatever the angle.
        assert (torch.cdist(turned, turned) - torch.cdist(pose, pose)).abs().max() < 100 * eps
        aim = torch.nn.functional.normalize(turned[:, 8], dim=-1)
        assert (aim - direction / direction.norm(dim=-1, keepdim=True)).abs().max() < 8 * eps
        # An axis across both: what lies along it stays. Near half a turn it is known less well.
        axis = torch.linalg.cross(pose[:, 8], direction)
        if angle > 1e-3:
            axis = torch.nn.functional.normalize(axis, dim=-1)[:, None]
            moved = (axis * (turned - pose)).sum(-1).abs().max()
            assert moved < 50 * eps / min(1.0, short)
        else:
            assert (turned - pose).abs().max() < 40 * (angle + eps)
        grads = gradients((turned,), inputs)
        assert all(grad.isfinite().all() for grad in grads.values())
        # The gradient lies across the direction: its length does not count.
        by_direction = grads["direction"]
        along = (by_direction * direction).sum(-1).abs() / 3
        assert (along < 100 * eps * (by_direction.norm(dim=-1) + 1 / min(1.0, short))).all()
    if dtype is torch.float64 and short > 0.1:
        _like(DIRECTED, pose=pose, direction=direction)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1.0, math.pi - 0.05])
def test_derivatives_of_an_alignment_by_angle(angle: float, device: str) -> None:
    pose = _with_torso(0.5 * TORSOS).to(device)
    direction = _at_angle(TORSOS, angle).to(device)
    inputs = require_grad({"pose": pose, "direction": direction})
    function = DIRECTED.function(list(inputs))
    assert torch.autograd.gradcheck(function, list(inputs.values()), fast_mode=True)
    assert torch.autograd.gradgradcheck(
        function, list(inputs.values()), fast_mode=True, atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize("module", [poseda_ext, poseda_ext.reference], ids=["fused", "reference"])
def test_a_direction_too_long_to_square_is_no_plausible_one(module: object, device: str) -> None:
    inputs = DIRECTED.sample((3,), torch.float32, device)
    expected = DIRECTED.call(inputs, module=module)[0]
    for factor in (1e-4, 1e10):
        (got,) = DIRECTED.call({**inputs, "direction": factor * inputs["direction"]}, module=module)
        torch.testing.assert_close(got, expected)
    (got,) = DIRECTED.call({**inputs, "direction": 1e25 * inputs["direction"]}, module=module)
    assert got.isnan().all()


SPECIAL = [0.0, -0.0, 1e-30, -1e-30, 1e-7, -1e-7, 1e-3, -1e-3, 0.1, 1.0, -1.0, math.pi, -10.0, 10.0]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    share=st.floats(0, 1),
    case=st.sampled_from(CASES),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_finite_in_finite_out(seed: int, share: float, case: Case, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)
    special = torch.tensor(SPECIAL, dtype=dtype)

    def odd(tensor: Tensor) -> Tensor:
        picks = special[torch.randint(len(SPECIAL), tensor.shape, generator=generator)]
        uniform = 20 * torch.rand(tensor.shape, generator=generator, dtype=dtype) - 10
        chosen = torch.rand(tensor.shape, generator=generator) < share
        return torch.where(chosen, picks, uniform)

    inputs = require_grad({name: odd(t) for name, t in case.sample((3,), dtype).items()})
    outputs = case.call(inputs)
    assert all(output.isfinite().all() for output in outputs)
    assert all(grad.isfinite().all() for grad in gradients(outputs, inputs).values())
