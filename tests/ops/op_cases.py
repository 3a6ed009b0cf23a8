"""The ops with sample inputs, each callable on the fused ops and on the reference alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import poseda_ext
from poseda_ext import H36M_16, H36M_17, Skeleton

Inputs = dict[str, Tensor]


def random_tree(joints: int, seed: int = 0) -> Skeleton:
    pick = random.Random(seed)
    parents = (-1, *(pick.randrange(joint) for joint in range(1, joints)))
    names = tuple(f"joint{joint}" for joint in range(joints))
    parts = ((0, joints - 2), tuple(range(min(4, joints - 1))))
    return Skeleton(names, parents, kcs_parts=parts, torso=pick.randrange(1, joints))


SKELETONS = {
    "h36m16": H36M_16,
    "h36m17": H36M_17,
    "two": random_tree(2),
    "seven": random_tree(7),
    "sixty_four": random_tree(64),
}


def _shape(kind: str, skeleton: Skeleton) -> tuple[int, ...]:
    joints = skeleton.num_joints
    return {
        "pose": (joints, 3),
        "pose_flat": (joints, 2),
        "bone": (joints - 1, 3),
        "bone_flat": (joints - 1, 2),
        "bone_number": (joints - 1,),
        "target": (joints, 2),
        "vector": (3,),
        "flat_vector": (2,),
        "far": (joints, 3),
        "place": (3,),
        "camera": (4,),
        "lens": (5,),
    }[kind]


def _sample(kind: str, shape: tuple[int, ...]) -> Tensor:
    x = torch.randn(shape, dtype=torch.float64)
    if kind == "far":
        return 0.5 * x + torch.tensor([0.0, 0.0, 4.0], dtype=torch.float64)
    if kind == "place":
        return 0.3 * x + torch.tensor([0.0, 0.0, 4.0], dtype=torch.float64)
    if kind == "camera":
        return 0.1 * x + torch.tensor([2.3, 2.2, 0.0, 0.0], dtype=torch.float64)
    return {"vector": 1.5, "bone_number": 0.1, "lens": 0.1}.get(kind, 0.3) * x


@dataclass(frozen=True)
class Case:
    """An op with a set of arguments: `inputs` maps each argument to the kind of its sample."""

    name: str
    op: str
    inputs: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    has_skeleton: bool = True

    @property
    def torch_op(self) -> str:
        """The op under ``torch.ops.poseda`` that it runs."""
        return "augment_aligned" if "direction" in self.inputs else self.op

    def sample(
        self,
        lead: tuple[int, ...] = (5,),
        dtype: torch.dtype = torch.float64,
        device: str = "cpu",
        skeleton: Skeleton = H36M_16,
    ) -> Inputs:
        return {
            name: _sample(kind, (*lead, *_shape(kind, skeleton))).to(device, dtype)
            for name, kind in self.inputs.items()
        }

    def call(
        self, inputs: Inputs, skeleton: Skeleton = H36M_16, module: Any = poseda_ext
    ) -> tuple[Tensor, ...]:
        """The outputs that exist."""
        options = dict(self.options)
        if self.has_skeleton:
            options["skeleton"] = skeleton
        result = getattr(module, self.op)(**inputs, **options)
        results = result if isinstance(result, tuple) else (result,)
        return tuple(output for output in results if output is not None)

    def reference(self, inputs: Inputs, skeleton: Skeleton = H36M_16) -> tuple[Tensor, ...]:
        return self.call(inputs, skeleton, poseda_ext.reference)

    def function(self, names: list[str]) -> Callable[..., tuple[Tensor, ...]]:
        """The op as a function of positional tensors."""
        return lambda *tensors: self.call(dict(zip(names, tensors, strict=True)))


_BONES = {"bone_rotation": "bone", "bone_scale": "bone_number"}
_GPA = {"target2d": "target", "intrinsics": "camera"}
_PLACED = {"root": "place", "intrinsics": "camera"}

CASES = [
    Case("augment", "augment", {"pose": "pose", **_BONES, "rotation": "vector", **_GPA}),
    Case("augment_placed", "augment", {"pose": "pose", **_BONES, "rotation": "vector", **_PLACED}),
    Case("augment_bone_rotation", "augment", {"pose": "pose", "bone_rotation": "bone"}),
    Case("augment_bone_scale", "augment", {"pose": "pose", "bone_scale": "bone_number"}),
    Case("augment_rotation", "augment", {"pose": "pose", "rotation": "vector"}),
    Case("augment_gpa", "augment", {"pose": "pose", **_GPA}),
    Case("augment_turn_placed", "augment", {"pose": "pose", "rotation": "vector", **_PLACED}),
    Case("augment_nothing", "augment", {"pose": "pose"}),
    Case(
        "gpa",
        "gpa",
        {"pose": "pose", "target2d": "target", "intrinsics": "camera"},
        has_skeleton=False,
    ),
    Case("project", "project", {"points": "far", "intrinsics": "camera"}, has_skeleton=False),
    Case(
        "project_lens",
        "project",
        {"points": "far", "intrinsics": "camera", "distortion": "lens"},
        has_skeleton=False,
    ),
    Case("bones", "bones", {"pose": "pose"}),
    Case("bones_flat", "bones", {"pose": "pose_flat"}),
    Case("pose_from_bones", "pose_from_bones", {"bones": "bone", "root": "vector"}),
    Case("pose_from_bones_flat", "pose_from_bones", {"bones": "bone_flat", "root": "flat_vector"}),
    Case("pose_from_bones_origin", "pose_from_bones", {"bones": "bone"}),
    Case("kcs", "kcs", {"pose": "pose"}),
    Case("kcs_unit", "kcs", {"pose": "pose"}, {"unit": True}),
    Case("kcs_flat", "kcs", {"pose": "pose_flat"}, {"unit": True}),
    Case("part_kcs", "part_kcs", {"pose": "pose"}),
    Case("part_kcs_unit", "part_kcs", {"pose": "pose"}, {"unit": True}),
    Case("part_kcs_flat", "part_kcs", {"pose": "pose_flat"}),
    Case("part_kcs_moved", "part_kcs", {"pose": "pose", **_BONES}),
    Case(
        "part_kcs_turned_unit",
        "part_kcs",
        {"pose": "pose", "bone_rotation": "bone"},
        {"unit": True},
    ),
    Case("part_kcs_scaled", "part_kcs", {"pose": "pose", "bone_scale": "bone_number"}),
    Case(
        "augment_aligned",
        "augment",
        {"pose": "pose", **_BONES, "direction": "vector", "rotation": "vector", **_GPA},
    ),
    Case("augment_direction", "augment", {"pose": "pose", "direction": "vector"}),
    Case(
        "augment_aligned_placed",
        "augment",
        {"pose": "pose", "bone_scale": "bone_number", "direction": "vector", **_PLACED},
    ),
]
IDS = [case.name for case in CASES]
#: One case per op.
MAIN = [case for case in CASES if case.name in {"augment", "gpa", "project_lens", "bones",
        "pose_from_bones", "kcs_unit", "part_kcs_moved", "augment_aligned"}]  # fmt: skip
MAIN_IDS = [case.name for case in MAIN]

#: Largest error relative to the largest number of a tensor.
TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 2e-5,
    torch.bfloat16: 2e-2,
    torch.float16: 2e-3,
}


def relative_error(got: Tensor, expected: Tensor) -> float:
    if got.numel() == 0:
        return 0.0
    scale = expected.detach().double().abs().max().clamp(min=1e-30)
    return float((got.detach().double() - expected.detach().double()).abs().max() / scale)


def assert_same(got: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    """Same number, shapes, dtypes and, within the dtype's tolerance, values; contiguous."""
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert a.is_contiguous()
        assert relative_error(a, b) < TOLERANCE[b.dtype]


def require_grad(inputs: Inputs, names: list[str] | None = None) -> Inputs:
    """Copies; those named (all by default) require gradients."""
    return {
        name: tensor.detach().clone().requires_grad_(names is None or name in names)
        for name, tensor in inputs.items()
    }


def total(outputs: Iterable[Tensor]) -> Tensor:
    """The sum of all numbers of all outputs."""
    return torch.stack([output.sum() for output in outputs]).sum()


def gradients(outputs: tuple[Tensor, ...], inputs: Inputs) -> dict[str, Tensor]:
    """Gradients of a fixed random weighting of the outputs, by the inputs that require them."""
    weights = torch.Generator().manual_seed(1)
    weighted = [
        (output * torch.randn(output.shape, generator=weights).to(output)).sum()
        for output in outputs
    ]
    wanted = {name: tensor for name, tensor in inputs.items() if tensor.requires_grad}
    return dict(
        zip(wanted, torch.autograd.grad(total(weighted), list(wanted.values())), strict=True)
    )


def assert_gradients(got: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """By relative norm and direction: single elements near zero say little."""
    assert got.keys() == expected.keys()
    for name, b in expected.items():
        a = got[name]
        assert a.shape == b.shape and a.dtype == b.dtype, name
        if b.numel() == 0:
            continue
        a64, b64 = a.double().flatten(), b.double().flatten()
        assert (a64 - b64).norm() <= TOLERANCE[b.dtype] * (b64.norm() + 0.1), name
        if b64.norm() > 0.1:
            assert torch.cosine_similarity(a64, b64, dim=0) > 1 - TOLERANCE[b.dtype], name
