"""opcheck, torch.compile, export, fake tensors, autocast and the transforms of torch.func."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from op_cases import CASES, MAIN, MAIN_IDS, Case, assert_same, require_grad, total
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad

import poseda_ext
from poseda_ext import H36M_16

PARENTS = H36M_16.parents
#: Arguments after the tensors, and the tensors in schema order (None where the case has none).
SCHEMAS: dict[str, tuple[tuple[str, ...], tuple]] = {
    "augment": (
        ("pose", "bone_rotation", "bone_scale", "rotation", "target2d", "root", "intrinsics"),
        (PARENTS,),
    ),
    "augment_aligned": (
        (
            *("pose", "bone_rotation", "bone_scale", "rotation", "target2d", "root", "intrinsics"),
            "direction",
        ),
        (PARENTS, H36M_16.torso),
    ),
    "gpa": (("pose", "target2d", "intrinsics"), ()),
    "project": (("points", "intrinsics", "distortion"), ()),
    "bones": (("pose",), (PARENTS,)),
    "pose_from_bones": (("bones", "root"), (PARENTS,)),
    "kcs": (("pose",), (PARENTS, True)),
    "part_kcs": (
        ("pose", "bone_rotation", "bone_scale"),
        (PARENTS, (0, 1, 2, 7), (3, 1), False),
    ),
}


@pytest.mark.parametrize("case", [*MAIN, CASES[1]], ids=[*MAIN_IDS, CASES[1].name])
def test_opcheck(case: Case, device: str) -> None:
    names, options = SCHEMAS[case.torch_op]
    inputs = require_grad(case.sample((3,), torch.float32, device))
    arguments: tuple[Any, ...] = (*(inputs.get(name) for name in names), *options)
    torch.library.opcheck(getattr(torch.ops.poseda, case.torch_op).default, arguments)

    with torch.no_grad():
        outputs = getattr(torch.ops.poseda, case.torch_op)(*arguments)
    outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    grads = [torch.randn_like(o).requires_grad_() if o.numel() else None for o in outputs]
    needs = sum(1 << i for i, name in enumerate(names) if name in inputs)
    backward = getattr(torch.ops.poseda, f"{case.torch_op}_backward").default
    torch.library.opcheck(backward, (*grads, *arguments, needs))


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", ["augment", "augment_aligned"])
def test_compile_augment_and_critic_features(name: str, dynamic: bool, device: str) -> None:
    case = next(case for case in CASES if case.name == name)

    def function(inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        pose3d, root, pose2d = case.call(inputs)
        return poseda_ext.part_kcs(pose3d, unit=True), root * 2, pose2d.sin()

    compiled = torch.compile(function, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for batch in (3, 5) if dynamic else (3,):
        sample = case.sample((batch,), torch.float64, device)
        inputs, copies = require_grad(sample), require_grad(sample)
        got, expected = compiled(inputs), function(copies)
        assert_same(got, expected)
        a = torch.autograd.grad(total(got), list(inputs.values()))
        b = torch.autograd.grad(total(expected), list(copies.values()))
        assert_same(a, b)


def test_compile_with_inductor(device: str) -> None:
    function = torch.compile(
        lambda pose, rotation: poseda_ext.augment(pose, rotation=rotation).pose3d.square().sum(),
        fullgraph=True,
    )
    pose = torch.randn(4, 16, 3, device=device)
    rotation = torch.randn(4, 3, device=device, requires_grad=True)
    (grad,) = torch.autograd.grad(function(pose, rotation), rotation)
    torch.testing.assert_close(grad, torch.zeros_like(grad), atol=1e-4, rtol=0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fake_tensors(case: Case) -> None:
    sample = case.sample((2, 3), torch.float32)
    real = case.call(sample)
    with FakeTensorMode() as mode:
        fake = case.call({name: mode.from_tensor(tensor) for name, tensor in sample.items()})
    assert [(f.shape, f.dtype, f.stride()) for f in fake] == [
        (r.shape, r.dtype, r.stride()) for r in real
    ]


@pytest.mark.parametrize("case", MAIN, ids=MAIN_IDS)
def test_autocast_leaves_the_dtype(case: Case, device: str) -> None:
    inputs = case.sample((3,), torch.float32, device)
    with torch.autocast(device, dtype=torch.bfloat16):
        got = case.call(inputs)
    assert_same(got, case.reference(inputs))


_TRANSFORMS: dict[str, Any] = {
    "jvp": lambda f, x: torch.func.jvp(f, (x,), (torch.ones_like(x),)),
    "jacfwd": lambda f, x: torch.func.jacfwd(f)(x),
    "grad": lambda f, x: torch.func.grad(f)(x),
    "jacrev": lambda f, x: torch.func.jacrev(f)(x),
    "vmap": lambda f, x: torch.func.vmap(f)(x),
    "dual": lambda f, x: _dual(f, x),
}


def _dual(function: Any, x: torch.Tensor) -> None:
    with forward_ad.dual_level():
        function(forward_ad.make_dual(x, torch.ones_like(x)))


@pytest.mark.parametrize("transform", _TRANSFORMS)
@pytest.mark.parametrize("case", MAIN, ids=MAIN_IDS)
def test_transforms_are_refused(case: Case, transform: str) -> None:
    sample = case.sample((3,))
    last = list(sample)[-1]

    def run(module: Any) -> None:
        def function(tensor: torch.Tensor) -> torch.Tensor:
            others = {n: t[0] if transform == "vmap" else t for n, t in sample.items()}
            inputs = {**others, last: tensor}
            return case.call(inputs, module=module)[0].sum()

        _TRANSFORMS[transform](function, sample[last])

    message = (
        rf"{case.op}: got {last} .*expected a plain tensor; use poseda_ext.reference.{case.op}"
    )
    with pytest.raises(NotImplementedError, match=message):
        run(poseda_ext)
    run(poseda_ext.reference)


def test_constants_within_a_transform() -> None:
    pose = torch.randn(4, 16, 3)
    expected = poseda_ext.kcs(pose).sum()
    got = torch.func.grad(lambda x: x * poseda_ext.kcs(pose).sum())(torch.tensor(2.0))
    torch.testing.assert_close(got, expected)
    with forward_ad.dual_level():
        assert torch.equal(poseda_ext.kcs(pose).sum(), expected)


@pytest.mark.parametrize("strict", [False, True], ids=["free", "strict"])
def test_export(strict: bool) -> None:
    class Features(torch.nn.Module):
        def forward(self, pose: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
            turned = poseda_ext.augment(pose, rotation=rotation).pose3d
            return poseda_ext.part_kcs(turned, unit=True)

    arguments = (torch.randn(4, 16, 3), torch.randn(4, 3))
    program = torch.export.export(Features(), arguments, strict=strict)
    torch.testing.assert_close(program.module()(*arguments), Features()(*arguments))


class Posed(torch.nn.Module):
    """A learned pose."""

    def __init__(self) -> None:
        super().__init__()
        self.pose = torch.nn.Parameter(torch.randn(3, 16, 3))

    def forward(self, scale: torch.Tensor) -> torch.Tensor:
        return poseda_ext.part_kcs(self.pose, bone_scale=scale)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_jit_trace_holds_the_op_where_a_parameter_is_learned() -> None:
    module = Posed()
    traced = torch.jit.trace(module, (torch.rand(3, 15),))
    assert "poseda::part_kcs" in str(traced.graph)
    scale = torch.rand(3, 15)
    assert torch.equal(traced(scale), module(scale))
