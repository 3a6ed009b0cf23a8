"""The fused ops: argument checks, broadcasting, and the call of the registered torch op.

Each function computes what the function of the same name in `poseda_ext.reference` defines, in one
kernel launch forward and one backward.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from poseda_ext import reference
from poseda_ext._arguments import check_skeleton, prepare
from poseda_ext._registry import Op, register
from poseda_ext.reference import Augmented
from poseda_ext.skeleton import H36M_16, Skeleton

Shape = Sequence[int]


def _tree(parents: Sequence[int]) -> Skeleton:
    return Skeleton(names=tuple(str(j) for j in range(len(parents))), parents=tuple(parents))


def _augment_reference(
    pose: Tensor,
    bone_rotation: Tensor | None,
    bone_scale: Tensor | None,
    rotation: Tensor | None,
    target2d: Tensor | None,
    root: Tensor | None,
    intrinsics: Tensor | None,
    parents: Sequence[int],
) -> tuple[Tensor | None, ...]:
    pose3d, solved, pose2d = reference.augment(
        pose,
        bone_rotation=bone_rotation,
        bone_scale=bone_scale,
        rotation=rotation,
        target2d=target2d,
        root=root,
        intrinsics=intrinsics,
        skeleton=_tree(parents),
    )
    return pose3d, solved if target2d is not None else None, pose2d


def _augment_shapes(
    pose: Tensor,
    bone_rotation: Tensor | None,
    bone_scale: Tensor | None,
    rotation: Tensor | None,
    target2d: Tensor | None,
    root: Tensor | None,
    intrinsics: Tensor | None,
    parents: Sequence[int],
) -> tuple[Shape | None, ...]:
    lead = pose.shape[:-2]
    return (
        pose.shape,
        None if target2d is None else (*lead, 3),
        None if intrinsics is None else (*lead, len(parents), 2),
    )


register(
    Op(
        name="augment",
        inputs=(
            "Tensor pose",
            "Tensor? bone_rotation",
            "Tensor? bone_scale",
            "Tensor? rotation",
            "Tensor? target2d",
            "Tensor? root",
            "Tensor? intrinsics",
        ),
        options=("int[] parents",),
        outputs=("pose3d", "root", "pose2d"),
        reference=_augment_reference,
        shapes=_augment_shapes,
    )
)


def augment(
    pose: Tensor,
    *,
    bone_rotation: Tensor | None = None,
    bone_scale: Tensor | None = None,
    rotation: Tensor | None = None,
    target2d: Tensor | None = None,
    root: Tensor | None = None,
    intrinsics: Tensor | None = None,
    skeleton: Skeleton = H36M_16,
) -> Augmented:
    """Turns bones, scales them, rotates the body, places it before a camera and projects it.

    The stages run in this order, and a stage whose argument is None is left out and costs nothing.
    Leading dimensions are those of `pose`; every other argument is broadcast to them. Arguments of
    different floating dtypes are promoted as torch does; float16 and bfloat16 are computed in
    float32. Gradients flow to every argument, and second derivatives are right. For degenerate
    geometry see `poseda_ext.reference`.

    Args:
        pose: (..., J, 3) metres, any origin: the result is relative to joint 0.
        bone_rotation: (..., J-1, 3) axis-angle, radians: turns each bone vector; the bones after it
            keep their direction.
        bone_scale: (..., J-1): each bone's length is multiplied by 1 + this.
        rotation: (..., 3) axis-angle, radians: turns the body about joint 0.
        target2d: (..., J, 2) in the unit of the intrinsics: the root is solved by global position
            alignment, so that the projection gets the box size and the 2D root of this pose
            (PoseDA, Eq. 7 and 9). Excludes `root`.
        root: (..., 3) camera frame, metres: the position of joint 0. Excludes `target2d`.
        intrinsics: (..., 4) fx, fy, cx, cy. Goes with `target2d` or `root`.
        skeleton: the joint tree of `pose`.

    Returns:
        `Augmented`: ``pose3d`` (..., J, 3) root-relative, metres; ``root`` (..., 3) camera frame,
        metres; ``pose2d`` (..., J, 2) in the unit of the intrinsics. ``root`` and ``pose2d`` are
        None without a camera.

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if a shape does not fit, devices differ, both `target2d` and `root` are given,
            or `intrinsics` is given without one of them or they without it.
    """
    if target2d is not None and root is not None:
        raise ValueError("target2d, root: got both, expected at most one of them")
    if (intrinsics is None) != (target2d is None and root is None):
        given, missing = ("target2d or root", "intrinsics")
        if intrinsics is not None:
            given, missing = missing, given
        raise ValueError(f"{missing}: got None, expected it together with {given}")
    joints = check_skeleton(skeleton)
    pose, bone_rotation, bone_scale, rotation, target2d, root, intrinsics = prepare(
        2,
        ("pose", pose, (joints, 3)),
        ("bone_rotation", bone_rotation, (joints - 1, 3)),
        ("bone_scale", bone_scale, (joints - 1,)),
        ("rotation", rotation, (3,)),
        ("target2d", target2d, (joints, 2)),
        ("root", root, (3,)),
        ("intrinsics", intrinsics, (4,)),
    )
    pose3d, solved, pose2d = torch.ops.poseda.augment.default(
        pose, bone_rotation, bone_scale, rotation, target2d, root, intrinsics, skeleton.parents
    )
    if intrinsics is None:
        return Augmented(pose3d, None, None)
    return Augmented(pose3d, solved if root is None else root, pose2d)
