"""NaN and infinite inputs show in every output that depends on them, and in no other pose."""

from __future__ import annotations

import math

import pytest
import torch
from op_cases import CASES, IDS, Case, gradients, require_grad
from torch import Tensor

BATCH, BAD = 37, 5
#: Ops whose gradient does not depend on the inputs' values.
LINEAR = {"bones", "pose_from_bones"}


def _spoilt(case: Case, sample: dict[str, Tensor], value: float) -> list[tuple[str, dict]]:
    """For each input, copies of the sample with `value` at some places of pose `BAD`."""
    found = []
    for name, tensor in sample.items():
        width = tensor[BAD].numel()
        for place in sorted({0, width // 2, width - 1}):
            inputs = {other: t.clone() for other, t in sample.items()}
            inputs[name][BAD].view(-1)[place] = value
            found.append((f"{name}[{place}]", inputs))
    return found


def _others(tensor: Tensor) -> Tensor:
    return torch.cat((tensor[:BAD], tensor[BAD + 1 :]))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_outputs(case: Case, dtype: torch.dtype, value: float, device: str) -> None:
    sample = case.sample((BATCH,), dtype, device)
    clean = case.call(sample)
    for what, inputs in _spoilt(case, sample, value):
        got, expected = case.call(inputs), case.reference(inputs)
        # Global position alignment does not look at the depth of a joint.
        seen = not (case.op == "gpa" and what == "pose[47]")
        assert any(not output[BAD].isfinite().all() for output in expected) == seen, what
        for a, b, before in zip(got, expected, clean, strict=True):
            assert torch.equal(a[BAD].isfinite(), b[BAD].isfinite()), what
            assert torch.equal(_others(a), _others(before)), what


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("case", [c for c in CASES if c.op not in LINEAR], ids=lambda c: c.name)
def test_gradients(case: Case, value: float, device: str) -> None:
    sample = case.sample((BATCH,), torch.float32, device)
    inputs = require_grad(sample)
    clean = gradients(case.call(inputs), inputs)
    for what, spoilt in _spoilt(case, sample, value):
        inputs = require_grad(spoilt)
        outputs = case.call(inputs)
        got = gradients(outputs, inputs)
        for name, grad in got.items():
            assert torch.equal(_others(grad), _others(clean[name])), what
        # cx and cy are added to a projection: no gradient depends on them.
        adds = what in ("intrinsics[2]", "intrinsics[3]") and "target2d" not in inputs
        if case.name != "augment_nothing" and not adds and not outputs[-1][BAD].isfinite().all():
            assert any(not grad[BAD].isfinite().all() for grad in got.values()), what


def _one_bad(case: Case, name: str, place: tuple[int, ...], value: float) -> tuple[Tensor, ...]:
    sample = case.sample((3,), torch.float32)
    sample[name][(1, *place)] = value
    return tuple(output[1] for output in case.call(sample))


def _case(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_bound_makes_up_a_number(value: float) -> None:
    for name, place in (("pose", (3, 0)), ("pose", (0, 1)), ("target2d", (15, 1))):
        (root,) = _one_bad(_case("gpa"), name, place, value)
        assert not root.isfinite().any(), name
    for axis in range(2):
        (root,) = _one_bad(_case("gpa"), "intrinsics", (axis,), value)
        assert not root.isfinite().any()
    for case in ("project", "project_lens"):
        (pose2d,) = _one_bad(_case(case), "points", (4, 2), value)
        assert not pose2d[4].isfinite().any() and pose2d[:4].isfinite().all()
    pose3d, root, pose2d = _one_bad(_case("augment"), "rotation", (2,), value)
    assert not any(t.isfinite().any() for t in (pose3d, root, pose2d))
    (gram,) = _one_bad(_case("kcs_unit"), "pose", (15, 1), value)
    assert not gram[14].isfinite().any() and not gram[:, 14].isfinite().any()
    assert gram[:14, :14].isfinite().all()
