"""What is measured: for each op its inputs, the two ways to compute it, and what that must cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement as pairs_of
from typing import Any

import torch
from torch import Tensor

import poseda_ext
from poseda_ext import H36M_16, H36M_17, Skeleton, reference

SKELETONS = {16: H36M_16, 17: H36M_17}

Inputs = dict[str, Tensor]
Outputs = tuple[Tensor, ...]
#: A trailing shape; "J" is the number of joints, "B" of bones, "F" of part features.
Shape = tuple[int | str, ...]

# Arithmetic per pose: one for each addition, multiplication, division, comparison or square root;
# a sine with its cosine counts as 30.
_ROTATE = 30
_COEFFICIENTS = 45
_ALIGN = 120  # a matrix from two directions, and its product with the body's


@dataclass(frozen=True)
class Case:
    """One op as it is measured.

    Attributes:
        op: the name of the torch op, and but for `augment_aligned`, which is `augment` with a
            direction, that of the function in `poseda_ext` and in `poseda_ext.reference`.
        form: which of its forms is measured, in words.
        inputs: name and trailing shape of every input.
        outputs: name and trailing shape of every output.
        gradient_to: the inputs that get a gradient.
        backward_reads: the inputs that the backward pass depends on.
        call: (module, inputs, skeleton) to the outputs, where the module holds the op.
        flops: skeleton to arithmetic per pose, forward. An estimate.
        backward_flops: arithmetic of the backward pass as a multiple of the forward pass.
    """

    op: str
    form: str
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    gradient_to: tuple[str, ...]
    backward_reads: tuple[str, ...]
    call: Callable[[Any, Inputs, Skeleton], Outputs]
    flops: Callable[[Skeleton], int]
    backward_flops: int = 3

    def fused(self, inputs: Inputs, skeleton: Skeleton) -> Outputs:
        return self.call(poseda_ext, inputs, skeleton)

    def reference(self, inputs: Inputs, skeleton: Skeleton) -> Outputs:
        return self.call(reference, inputs, skeleton)

    def make_inputs(
        self, batch: int, skeleton: Skeleton, dtype: torch.dtype, device: str, seed: int = 0
    ) -> Inputs:
        """Random inputs of the kind that training sees, contiguous."""
        scene = _scene(batch, skeleton, device, seed)
        return {name: scene[name].to(dtype).contiguous() for name in self.inputs}

    def make_grads(self, outputs: Outputs, seed: int = 1) -> Outputs:
        """Random gradients of the outputs."""
        generator = torch.Generator(outputs[0].device).manual_seed(seed)
        return tuple(
            torch.randn(o.shape, generator=generator, device=o.device).to(o.dtype) for o in outputs
        )

    def forward_numbers(self, skeleton: Skeleton) -> int:
        """Numbers per pose that the forward pass must move: inputs read, outputs written."""
        return sum(_numel(s, skeleton) for s in (*self.inputs.values(), *self.outputs.values()))

    def backward_numbers(self, skeleton: Skeleton) -> int:
        """The same for the backward pass: gradients and inputs read, gradients written."""
        shapes = [
            *self.outputs.values(),
            *(self.inputs[name] for name in self.backward_reads),
            *(self.inputs[name] for name in self.gradient_to),
        ]
        return sum(_numel(shape, skeleton) for shape in shapes)

    def bytes_moved(self, which: str, batch: int, skeleton: Skeleton, dtype: torch.dtype) -> int:
        """Bytes that pass `which`, ``fwd`` or ``fwd_bwd``, must move."""
        numbers = self.forward_numbers(skeleton)
        if which == "fwd_bwd":
            numbers += self.backward_numbers(skeleton)
        return numbers * batch * dtype.itemsize

    def flops_done(self, which: str, batch: int, skeleton: Skeleton) -> int:
        """Arithmetic of pass `which`; an estimate."""
        times = 1 + self.backward_flops if which == "fwd_bwd" else 1
        return self.flops(skeleton) * batch * times


def part_features(skeleton: Skeleton) -> int:
    """The number of features of `part_kcs`."""
    return sum(len(part) * (len(part) + 1) // 2 for part in skeleton.kcs_parts)


def _numel(shape: Shape, skeleton: Skeleton) -> int:
    sizes = {"J": skeleton.num_joints, "B": skeleton.num_bones, "F": part_features(skeleton)}
    total = 1
    for size in shape:
        total *= sizes[size] if isinstance(size, str) else size
    return total


def _scene(batch: int, skeleton: Skeleton, device: str, seed: int) -> Inputs:
    """People of about natural size, 4 to 6 m before a camera, and small changes to them."""
    generator = torch.Generator(device).manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=generator, device=device)

    joints, num_bones = skeleton.num_joints, skeleton.num_bones
    bones = 0.15 * normal(num_bones, 3)
    pose = reference.pose_from_bones(bones, skeleton=skeleton)
    root = torch.stack((0.3 * normal(), 0.3 * normal(), 5 + 0.3 * normal()), dim=-1)
    intrinsics = torch.tensor([2.3, 2.3, 0.0, 0.0], device=device).repeat(batch, 1)
    points = pose + root[:, None]
    return {
        "pose": pose,
        "bones": bones,
        "root": root,
        "points": points,
        "bone_rotation": 0.2 * normal(num_bones, 3),
        "bone_scale": 0.1 * normal(num_bones),
        "rotation": normal(3),
        "target2d": reference.project(points, intrinsics) + 0.01 * normal(joints, 2),
        "intrinsics": intrinsics,
        "direction": normal(3),
    }


def _augment(ops: Any, x: Inputs, skeleton: Skeleton) -> Outputs:
    return tuple(
        ops.augment(
            x["pose"],
            bone_rotation=x["bone_rotation"],
            bone_scale=x["bone_scale"],
            rotation=x["rotation"],
            target2d=x["target2d"],
            intrinsics=x["intrinsics"],
            skeleton=skeleton,
        )
    )


def _augment_aligned(ops: Any, x: Inputs, skeleton: Skeleton) -> Outputs:
    return tuple(
        ops.augment(
            x["pose"],
            bone_scale=x["bone_scale"],
            direction=x["direction"],
            rotation=x["rotation"],
            target2d=x["target2d"],
            intrinsics=x["intrinsics"],
            skeleton=skeleton,
        )
    )


def _gpa(ops: Any, x: Inputs, skeleton: Skeleton) -> Outputs:
    return (ops.gpa(x["pose"], x["target2d"], x["intrinsics"]),)


def _project(ops: Any, x: Inputs, skeleton: Skeleton) -> Outputs:
    return (ops.project(x["points"], x["intrinsics"]),)


def _bones(ops: Any, x: Inputs, skeleton: Skeleton) -> Outputs:
    return (ops.bones(x["pose"], skeleton),)


def _pose_from_bones(ops: Any, x: Inputs, skeleton: Skeleton) -> Outputs:
    return (ops.pose_from_bones(x["bones"], x["root"], skeleton),)


def _kcs(ops: Any, x: Inputs, skeleton: Skeleton) -> Outputs:
    return (ops.kcs(x["pose"], skeleton),)


def _part_kcs(ops: Any, x: Inputs, skeleton: Skeleton) -> Outputs:
    return (ops.part_kcs(x["pose"], skeleton),)


def _gpa_flops(skeleton: Skeleton) -> int:
    return 10 * skeleton.num_joints + 12


def _project_flops(skeleton: Skeleton) -> int:
    return 7 * skeleton.num_joints


def _turned_and_placed_flops(skeleton: Skeleton) -> int:
    body = _COEFFICIENTS + _ROTATE * skeleton.num_joints
    placed = 3 * skeleton.num_joints
    return body + placed + _gpa_flops(skeleton) + _project_flops(skeleton)


def _augment_flops(skeleton: Skeleton) -> int:
    bones = skeleton.num_bones * (3 + _COEFFICIENTS + _ROTATE + 4 + 3)
    return bones + _turned_and_placed_flops(skeleton)


def _augment_aligned_flops(skeleton: Skeleton) -> int:
    return skeleton.num_bones * (3 + 4 + 3) + _ALIGN + _turned_and_placed_flops(skeleton)


def _kcs_flops(skeleton: Skeleton) -> int:
    bones = skeleton.num_bones
    return 3 * bones + 5 * bones * (bones + 1) // 2


def _part_kcs_flops(skeleton: Skeleton) -> int:
    # Parts share bones: a product that two of them have is counted once.
    products = {frozenset(pair) for part in skeleton.kcs_parts for pair in pairs_of(part, 2)}
    return 3 * skeleton.num_bones + 5 * len(products)


CASES: dict[str, Case] = {
    case.op: case
    for case in (
        Case(
            op="augment",
            form="bone rotation, bone scale, body rotation, root solved from a target",
            inputs={
                "pose": ("J", 3),
                "bone_rotation": ("B", 3),
                "bone_scale": ("B",),
                "rotation": (3,),
                "target2d": ("J", 2),
                "intrinsics": (4,),
            },
            outputs={"pose3d": ("J", 3), "root": (3,), "pose2d": ("J", 2)},
            gradient_to=("pose", "bone_rotation", "bone_scale", "rotation"),
            backward_reads=(
                "pose",
                "bone_rotation",
                "bone_scale",
                "rotation",
                "target2d",
                "intrinsics",
            ),
            call=_augment,
            flops=_augment_flops,
        ),
        Case(
            op="augment_aligned",
            form="`augment`: bone scale, direction, body rotation, root solved from a target",
            inputs={
                "pose": ("J", 3),
                "bone_scale": ("B",),
                "direction": (3,),
                "rotation": (3,),
                "target2d": ("J", 2),
                "intrinsics": (4,),
            },
            outputs={"pose3d": ("J", 3), "root": (3,), "pose2d": ("J", 2)},
            gradient_to=("pose", "bone_scale", "direction", "rotation"),
            backward_reads=(
                "pose",
                "bone_scale",
                "direction",
                "rotation",
                "target2d",
                "intrinsics",
            ),
            call=_augment_aligned,
            flops=_augment_aligned_flops,
        ),
        Case(
            op="gpa",
            form="3D pose to the root of a target",
            inputs={"pose": ("J", 3), "target2d": ("J", 2), "intrinsics": (4,)},
            outputs={"root": (3,)},
            gradient_to=("pose", "target2d", "intrinsics"),
            backward_reads=("pose", "target2d", "intrinsics"),
            call=_gpa,
            flops=_gpa_flops,
        ),
        Case(
            op="project",
            form="without distortion",
            inputs={"points": ("J", 3), "intrinsics": (4,)},
            outputs={"pose2d": ("J", 2)},
            gradient_to=("points", "intrinsics"),
            backward_reads=("points", "intrinsics"),
            call=_project,
            flops=_project_flops,
        ),
        Case(
            op="bones",
            form="3D",
            inputs={"pose": ("J", 3)},
            outputs={"bones": ("B", 3)},
            gradient_to=("pose",),
            backward_reads=(),
            call=_bones,
            flops=lambda skeleton: 3 * skeleton.num_bones,
            backward_flops=1,
        ),
        Case(
            op="pose_from_bones",
            form="3D, with a root",
            inputs={"bones": ("B", 3), "root": (3,)},
            outputs={"pose": ("J", 3)},
            gradient_to=("bones", "root"),
            backward_reads=(),
            call=_pose_from_bones,
            flops=lambda skeleton: 3 * skeleton.num_bones,
            backward_flops=1,
        ),
        Case(
            op="kcs",
            form="3D, dot products",
            inputs={"pose": ("J", 3)},
            outputs={"gram": ("B", "B")},
            gradient_to=("pose",),
            backward_reads=("pose",),
            call=_kcs,
            flops=_kcs_flops,
            backward_flops=2,
        ),
        Case(
            op="part_kcs",
            form="3D, dot products",
            inputs={"pose": ("J", 3)},
            outputs={"features": ("F",)},
            gradient_to=("pose",),
            backward_reads=("pose",),
            call=_part_kcs,
            flops=_part_kcs_flops,
            backward_flops=2,
        ),
    )
}


def has_kernel(op: str, device: str) -> bool:
    """Whether a compiled kernel serves the op, rather than the plain-torch reference."""
    key = {"cpu": "CPU", "cuda": "CUDA"}[device]
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(f"poseda::{op}", key))


def bytes_table(skeleton: Skeleton = H36M_16, dtype: torch.dtype = torch.float32) -> str:
    """Bytes and arithmetic per pose of every op, as a Markdown table."""
    lines = [
        "| op | form | forward, bytes | forward + backward, bytes | forward, operations "
        "| forward + backward, operations |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for case in CASES.values():
        forward = case.bytes_moved("fwd", 1, skeleton, dtype)
        both = case.bytes_moved("fwd_bwd", 1, skeleton, dtype)
        flops = [case.flops_done(which, 1, skeleton) for which in ("fwd", "fwd_bwd")]
        counts = " | ".join(f"{count:,}" for count in (forward, both, *flops))
        lines.append(f"| `{case.op}` | {case.form} | {counts} |")
    return "\n".join(lines)
