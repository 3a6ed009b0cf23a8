"""Gradients of the fused ops: against the reference's autograd, numerically, and twice."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from op_cases import (
    CASES,
    IDS,
    SKELETONS,
    TOLERANCE,
    Case,
    assert_gradients,
    gradients,
    require_grad,
    total,
)

import poseda_ext


def _compare(case: Case, sample: dict, names: list[str] | None = None, **options) -> None:
    inputs, copies = require_grad(sample, names), require_grad(sample, names)
    got = gradients(case.call(inputs, **options), inputs)
    assert_gradients(got, gradients(case.reference(copies, **options), copies))


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_against_reference(case: Case, dtype: torch.dtype, device: str) -> None:
    _compare(case, case.sample((37,), dtype, device))


@pytest.mark.parametrize("lead", [(), (0,), (3, 5)], ids=str)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_leading_dimensions(case: Case, lead: tuple[int, ...], device: str) -> None:
    _compare(case, case.sample(lead, device=device))


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS.keys())
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_skeletons(case: Case, skeleton: poseda_ext.Skeleton, device: str) -> None:
    _compare(case, case.sample((3,), device=device, skeleton=skeleton), skeleton=skeleton)


def test_the_order_of_the_parts_matters_to_the_order_of_features_only(device: str) -> None:
    # On the CPU there is a kernel for these parts in this order.
    parts = poseda_ext.H36M_16.kcs_parts
    backwards = replace(poseda_ext.H36M_16, kcs_parts=parts[::-1])
    pose = torch.randn(50, 16, 3, dtype=torch.float64, device=device, requires_grad=True)
    weight = torch.randn(50, 78, dtype=torch.float64, device=device)
    sizes = [len(part) * (len(part) + 1) // 2 for part in parts]

    features = poseda_ext.part_kcs(pose)
    (grad,) = torch.autograd.grad(features, [pose], [weight])
    features2 = poseda_ext.part_kcs(pose, backwards)
    weight2 = torch.cat(weight.split(sizes, -1)[::-1], -1)
    (grad2,) = torch.autograd.grad(features2, [pose], [weight2])
    torch.testing.assert_close(torch.cat(features2.split(sizes[::-1], -1)[::-1], -1), features)
    torch.testing.assert_close(grad2, grad)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_numerically_twice(case: Case, device: str) -> None:
    inputs = case.sample((2,), device=device, skeleton=poseda_ext.H36M_16)
    tensors = [tensor.requires_grad_() for tensor in inputs.values()]
    function = case.function(list(inputs))
    assert torch.autograd.gradcheck(function, tensors, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, tensors, fast_mode=True)


@pytest.mark.parametrize(
    "case", [CASES[0], CASES[1], CASES[10], CASES[-3]], ids=lambda case: case.name
)
def test_subsets_of_inputs(case: Case, device: str) -> None:
    sample = case.sample((5,), device=device)
    for count in (1, 2):
        for names in combinations(sample, count):
            _compare(case, sample, list(names))


def test_only_needed_gradients_are_returned() -> None:
    pose, rotation = torch.randn(3, 16, 3), torch.randn(3, 3)
    grad = torch.randn(3, 16, 3)
    arguments = (pose, None, None, rotation, None, None, None, poseda_ext.H36M_16.parents)
    results = torch.ops.poseda.augment_backward(grad, None, None, *arguments, 0b1000)
    assert [result.numel() for result in results] == [0, 0, 0, 9, 0, 0, 0]


@pytest.mark.parametrize("used", [(0,), (1,), (2,), (0, 1), (1, 2)], ids=str)
def test_subsets_of_outputs(used: tuple[int, ...], device: str) -> None:
    case = CASES[0]
    sample = case.sample((5,), device=device)
    results = []
    for call in (case.call, case.reference):
        inputs = require_grad(sample)
        outputs = call(inputs)
        found = torch.autograd.grad(
            total(outputs[i].sin() for i in used),
            list(inputs.values()),
            allow_unused=True,
            materialize_grads=True,
        )
        results.append(dict(zip(inputs, found, strict=True)))
    assert_gradients(*results)


def test_gradient_of_a_broadcast_argument_is_the_sum(device: str) -> None:
    pose = torch.randn(6, 16, 3, dtype=torch.float64, device=device)
    rotation = torch.randn(3, dtype=torch.float64, device=device, requires_grad=True)
    each = rotation.detach().expand(6, 3).clone().requires_grad_()
    (grad,) = torch.autograd.grad(
        poseda_ext.augment(pose, rotation=rotation).pose3d.sin().sum(), rotation
    )
    (grads,) = torch.autograd.grad(poseda_ext.augment(pose, rotation=each).pose3d.sin().sum(), each)
    torch.testing.assert_close(grad, grads.sum(0))


def test_third_derivative(device: str) -> None:
    x = torch.randn(2, 3, dtype=torch.float64, device=device, requires_grad=True)
    pose = torch.randn(2, 16, 3, dtype=torch.float64, device=device)
    results = []
    for module in (poseda_ext, poseda_ext.reference):
        value = module.augment(pose, rotation=x).pose3d.sin().sum()
        for _ in range(3):
            (grad,) = torch.autograd.grad(value, x, create_graph=True)
            value = grad.square().sum()
        results.append(value)
    torch.testing.assert_close(*results)
