"""The fused ops: argument checks, broadcasting, and the call of the registered torch op.

Each function computes what the function of the same name in `poseda_ext.reference` defines, in one
kernel launch forward and one backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from poseda_ext import reference
from poseda_ext._arguments import check_skeleton, count_joints, prepare, two_or_three
from poseda_ext._registry import Op, register
from poseda_ext.reference import Augmented
from poseda_ext.skeleton import H36M_16, Skeleton

Shape = Sequence[int]


def _tree(
    parents: Sequence[int], parts: tuple[tuple[int, ...], ...] = (), torso: int | None = None
) -> Skeleton:
    names = tuple(str(joint) for joint in range(len(parents)))
    return Skeleton(names=names, parents=tuple(parents), kcs_parts=parts, torso=torso)


def _augment_reference(
    pose: Tensor,
    bone_rotation: Tensor | None,
    bone_scale: Tensor | None,
    rotation: Tensor | None,
    target2d: Tensor | None,
    root: Tensor | None,
    intrinsics: Tensor | None,
    *aim: Any,
) -> tuple[Tensor | None, ...]:
    """`aim` is the parents, or the direction, the parents and the torso's joint."""
    direction, parents, torso = aim if len(aim) == 3 else (None, *aim, None)
    pose3d, solved, pose2d = reference.augment(
        pose,
        bone_rotation=bone_rotation,
        bone_scale=bone_scale,
        direction=direction,
        rotation=rotation,
        target2d=target2d,
        root=root,
        intrinsics=intrinsics,
        skeleton=_tree(parents, torso=torso),
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
    *aim: Any,
) -> tuple[Shape | None, ...]:
    *lead, joints, _ = pose.shape
    return (
        pose.shape,
        None if target2d is None else (*lead, 3),
        None if intrinsics is None else (*lead, joints, 2),
    )


_AUGMENT_INPUTS = (
    "Tensor pose",
    "Tensor? bone_rotation",
    "Tensor? bone_scale",
    "Tensor? rotation",
    "Tensor? target2d",
    "Tensor? root",
    "Tensor? intrinsics",
)

_call_augment = register(
    Op(
        name="augment",
        inputs=_AUGMENT_INPUTS,
        options=("int[] parents",),
        outputs=("pose3d", "root", "pose2d"),
        reference=_augment_reference,
        shapes=_augment_shapes,
    )
)

# A torch op of its own, as its kernel is: augment without a direction costs what it does alone.
_call_augment_aligned = register(
    Op(
        name="augment_aligned",
        inputs=(*_AUGMENT_INPUTS, "Tensor direction"),
        options=("int[] parents", "int torso"),
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
    direction: Tensor | None = None,
    rotation: Tensor | None = None,
    target2d: Tensor | None = None,
    root: Tensor | None = None,
    intrinsics: Tensor | None = None,
    skeleton: Skeleton = H36M_16,
) -> Augmented:
    """Turns bones, scales them, aligns and rotates the body, places it before a camera and projects
    it.

    The stages run in this order, and a stage whose argument is None is left out and costs nothing.
    Leading dimensions are those of `pose`; every other argument is broadcast to them. Arguments of
    different floating dtypes are promoted as torch does; float16 and bfloat16 are computed in
    float32. Gradients flow to every argument, and second derivatives are right. For degenerate
    geometry see `poseda_ext.reference`.

    Alignment of root, viewpoint and proportions (this project's own, beyond PoseDA) is
    `bone_scale`, `direction` and `target2d` together, each in closed form. With a the unit vector
    of the torso, from joint 0 to ``skeleton.torso`` in the pose whose bones were turned and scaled,
    b that of `direction`, v = a x b and c = a.b, the body is turned by

        R = I + [v]x + [v]x^2 / (1 + c),

    the smallest rotation with R a = b, before `rotation` turns it further. R is smooth up to
    opposite directions, of which no turn is smallest: then it is half a turn about the camera's z
    axis made perpendicular to the torso (its x axis where the torso lies more along z than along
    x). A torso or a direction of no length turns nothing. In both cases R has zero gradient.

    NaN and infinite inputs are not repaired: every output that depends on one is NaN (or infinite),
    never a plausible number; other poses of the batch are untouched.

    Args:
        pose: (..., J, 3) metres, any origin: the result is relative to joint 0.
        bone_rotation: (..., J-1, 3) axis-angle, radians: turns each bone vector; the bones after it
            keep their direction.
        bone_scale: (..., J-1): each bone's length is multiplied by 1 + this.
        direction: (..., 3) of any length: turns the body about joint 0, until its torso points
            there.
        rotation: (..., 3) axis-angle, radians: turns the body about joint 0, after that.
        target2d: (..., J, 2) in the unit of the intrinsics: the root is solved by global position
            alignment, so that the projection gets the box size and the 2D root of this pose
            (PoseDA, Eq. 7 and 9). Excludes `root`.
        root: (..., 3) camera frame, metres: the position of joint 0. Excludes `target2d`.
        intrinsics: (..., 4) fx, fy, cx, cy. Goes with `target2d` or `root`.
        skeleton: the joint tree of `pose`, with its torso if there is a direction.

    Returns:
        `Augmented`: ``pose3d`` (..., J, 3) root-relative, metres; ``root`` (..., 3) camera frame,
        metres; ``pose2d`` (..., J, 2) in the unit of the intrinsics. ``root`` and ``pose2d`` are
        None without a camera.

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if a shape does not fit, devices differ, both `target2d` and `root` are given,
            `intrinsics` is given without one of them or they without it, or `direction` is given
            for a skeleton that names no torso.
    """
    if target2d is not None and root is not None:
        raise ValueError("target2d, root: got both, expected at most one of them")
    if (intrinsics is None) != (target2d is None and root is None):
        given, missing = ("target2d or root", "intrinsics")
        if intrinsics is not None:
            given, missing = missing, given
        raise ValueError(f"{missing}: got None, expected it together with {given}")
    joints = check_skeleton(skeleton)
    torso = 0 if direction is None else reference.torso_of(skeleton)
    pose, bone_rotation, bone_scale, rotation, target2d, root, intrinsics, direction = prepare(
        "augment",
        2,
        ("pose", pose, (joints, 3)),
        ("bone_rotation", bone_rotation, (joints - 1, 3)),
        ("bone_scale", bone_scale, (joints - 1,)),
        ("rotation", rotation, (3,)),
        ("target2d", target2d, (joints, 2)),
        ("root", root, (3,)),
        ("intrinsics", intrinsics, (4,)),
        ("direction", direction, (3,)),
    )
    if direction is None:
        pose3d, solved, pose2d = _call_augment(
            pose, bone_rotation, bone_scale, rotation, target2d, root, intrinsics, skeleton.parents
        )
    else:
        pose3d, solved, pose2d = _call_augment_aligned(
            *(pose, bone_rotation, bone_scale, rotation, target2d, root, intrinsics),
            *(direction, skeleton.parents, torso),
        )
    if intrinsics is None:
        return Augmented(pose3d, None, None)
    # A copy: a result never shares memory with an argument.
    placed = solved if root is None else root.clone(memory_format=torch.contiguous_format)
    return Augmented(pose3d, placed, pose2d)


def _gpa_reference(pose: Tensor, target2d: Tensor, intrinsics: Tensor) -> tuple[Tensor]:
    return (reference.gpa(pose, target2d, intrinsics),)


_call_gpa = register(
    Op(
        name="gpa",
        inputs=("Tensor pose", "Tensor target2d", "Tensor intrinsics"),
        options=(),
        outputs=("root",),
        reference=_gpa_reference,
        shapes=lambda pose, target2d, intrinsics: ((*pose.shape[:-2], 3),),
    )
)


def gpa(pose: Tensor, target2d: Tensor, intrinsics: Tensor) -> Tensor:
    """Global position alignment (PoseDA, Eq. 7 and 9): places a pose before the target's camera.

    The root is where `pose` gets the 2D box size (width plus height) and the 2D root of `target2d`.

    NaN and infinite inputs are not repaired: every output that depends on one is NaN (or infinite),
    never a plausible number; other poses of the batch are untouched.

    Args:
        pose: (..., J, 3) metres; only positions relative to joint 0 matter. At most 64 joints.
        target2d: (..., J, 2) in the unit of the intrinsics.
        intrinsics: (..., 4) fx, fy, cx, cy of the target's camera.

    Returns:
        (..., 3) position of joint 0, camera frame, metres.

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if a shape does not fit or devices differ.
    """
    joints = count_joints("pose", pose, 3)
    pose, target2d, intrinsics = prepare(
        "gpa",
        2,
        ("pose", pose, (joints, 3)),
        ("target2d", target2d, (joints, 2)),
        ("intrinsics", intrinsics, (4,)),
    )
    return _call_gpa(pose, target2d, intrinsics)


def _project_reference(
    points: Tensor, intrinsics: Tensor, distortion: Tensor | None
) -> tuple[Tensor]:
    return (reference.project(points, intrinsics, distortion),)


_call_project = register(
    Op(
        name="project",
        inputs=("Tensor points", "Tensor intrinsics", "Tensor? distortion"),
        options=(),
        outputs=("pose2d",),
        reference=_project_reference,
        shapes=lambda points, intrinsics, distortion: ((*points.shape[:-1], 2),),
    )
)


def project(points: Tensor, intrinsics: Tensor, distortion: Tensor | None = None) -> Tensor:
    """Perspective projection (Eq. 4), with Human3.6M's lens model where `distortion` is given.

    NaN and infinite inputs are not repaired: every output that depends on one is NaN (or infinite),
    never a plausible number; other poses of the batch are untouched.

    Args:
        points: (..., J, 3) camera frame, metres. At most 64 points per camera.
        intrinsics: (..., 4) fx, fy, cx, cy.
        distortion: (..., 5) k1, k2, k3 radial and p1, p2 tangential, as VideoPose3D stores and
            applies them: the image-plane point u = clamp(X/Z, -1, 1) goes to
            u (1 + k1 r^2 + k2 r^4 + k3 r^6 + p.u) + p r^2, with r = |u|.

    Returns:
        (..., J, 2) in the unit of the intrinsics.

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if a shape does not fit or devices differ.
    """
    count = count_joints("points", points, 3)
    points, intrinsics, distortion = prepare(
        "project",
        2,
        ("points", points, (count, 3)),
        ("intrinsics", intrinsics, (4,)),
        ("distortion", distortion, (5,)),
    )
    return _call_project(points, intrinsics, distortion)


def _bones_reference(pose: Tensor, parents: Sequence[int]) -> tuple[Tensor]:
    return (reference.bones(pose, _tree(parents)),)


def _bones_shapes(pose: Tensor, parents: Sequence[int]) -> tuple[Shape]:
    return ((*pose.shape[:-2], len(parents) - 1, pose.shape[-1]),)


_call_bones = register(
    Op(
        name="bones",
        inputs=("Tensor pose",),
        options=("int[] parents",),
        outputs=("bones",),
        reference=_bones_reference,
        shapes=_bones_shapes,
    )
)


def bones(pose: Tensor, skeleton: Skeleton = H36M_16) -> Tensor:
    """Bone vectors: each joint minus its parent.

    NaN and infinite inputs are not repaired: every output that depends on one is NaN (or infinite),
    never a plausible number; other poses of the batch are untouched.

    Args:
        pose: (..., J, 3) or (..., J, 2), any unit and frame.
        skeleton: the joint tree of `pose`.

    Returns:
        (..., J-1, 3) or (..., J-1, 2): bone b ends in joint b + 1.

    Raises:
        TypeError: if `pose` is not a floating-point tensor.
        ValueError: if its shape does not fit the skeleton.
    """
    joints = check_skeleton(skeleton)
    (pose,) = prepare("bones", 2, ("pose", pose, (joints, two_or_three(pose))))
    return _call_bones(pose, skeleton.parents)


def _pose_from_bones_reference(
    bones: Tensor, root: Tensor | None, parents: Sequence[int]
) -> tuple[Tensor]:
    return (reference.pose_from_bones(bones, root, _tree(parents)),)


def _pose_from_bones_shapes(
    bones: Tensor, root: Tensor | None, parents: Sequence[int]
) -> tuple[Shape]:
    return ((*bones.shape[:-2], len(parents), bones.shape[-1]),)


_call_pose_from_bones = register(
    Op(
        name="pose_from_bones",
        inputs=("Tensor bones", "Tensor? root"),
        options=("int[] parents",),
        outputs=("pose",),
        reference=_pose_from_bones_reference,
        shapes=_pose_from_bones_shapes,
    )
)


def pose_from_bones(
    bones: Tensor, root: Tensor | None = None, skeleton: Skeleton = H36M_16
) -> Tensor:
    """Poses from bone vectors: the inverse of `bones`.

    NaN and infinite inputs are not repaired: every output that depends on one is NaN (or infinite),
    never a plausible number; other poses of the batch are untouched.

    Args:
        bones: (..., J-1, 3) or (..., J-1, 2), any unit and frame.
        root: (..., 3) or (..., 2), the position of joint 0. None is the origin.
        skeleton: the joint tree.

    Returns:
        (..., J, 3) or (..., J, 2).

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if a shape does not fit the skeleton or devices differ.
    """
    joints = check_skeleton(skeleton)
    dimension = two_or_three(bones)
    bones, root = prepare(
        "pose_from_bones",
        2,
        ("bones", bones, (joints - 1, dimension)),
        ("root", root, (dimension,)),
    )
    return _call_pose_from_bones(bones, root, skeleton.parents)


def _kcs_reference(pose: Tensor, parents: Sequence[int], unit: bool) -> tuple[Tensor]:
    return (reference.kcs(pose, _tree(parents), unit=unit),)


def _kcs_shapes(pose: Tensor, parents: Sequence[int], unit: bool) -> tuple[Shape]:
    return ((*pose.shape[:-2], len(parents) - 1, len(parents) - 1),)


_call_kcs = register(
    Op(
        name="kcs",
        inputs=("Tensor pose",),
        options=("int[] parents", "bool unit"),
        outputs=("gram",),
        reference=_kcs_reference,
        shapes=_kcs_shapes,
    )
)


def kcs(pose: Tensor, skeleton: Skeleton = H36M_16, *, unit: bool = False) -> Tensor:
    """Kinematic chain space (Wandt et al., ECCVW 2018): the Gram matrix of the bones.

    NaN and infinite inputs are not repaired: every output that depends on one is NaN (or infinite),
    never a plausible number; other poses of the batch are untouched.

    Args:
        pose: (..., J, 3) or (..., J, 2), any unit and frame.
        skeleton: the joint tree of `pose`.
        unit: True divides each bone by its length first, so that only angles remain.

    Returns:
        (..., J-1, J-1), dot products of bones; with ``unit`` the cosines between them.

    Raises:
        TypeError: if `pose` is not a floating-point tensor.
        ValueError: if its shape does not fit the skeleton.
    """
    joints = check_skeleton(skeleton)
    (pose,) = prepare("kcs", 2, ("pose", pose, (joints, two_or_three(pose))))
    return _call_kcs(pose, skeleton.parents, unit)


def _part_kcs_reference(
    pose: Tensor,
    bone_rotation: Tensor | None,
    bone_scale: Tensor | None,
    parents: Sequence[int],
    part_bones: Sequence[int],
    sizes: Sequence[int],
    unit: bool,
) -> tuple[Tensor]:
    bone = iter(part_bones)
    parts = tuple(tuple(next(bone) for _ in range(size)) for size in sizes)
    features = reference.part_kcs(
        pose,
        _tree(parents, parts),
        bone_rotation=bone_rotation,
        bone_scale=bone_scale,
        unit=unit,
    )
    return (features,)


def _part_kcs_shapes(
    pose: Tensor,
    bone_rotation: Tensor | None,
    bone_scale: Tensor | None,
    parents: Sequence[int],
    part_bones: Sequence[int],
    sizes: Sequence[int],
    unit: bool,
) -> tuple[Shape]:
    return ((*pose.shape[:-2], _part_features(sizes)),)


def _part_features(sizes: Sequence[int]) -> int:
    """How many features parts of these sizes have."""
    return sum(size * (size + 1) // 2 for size in sizes)


_call_part_kcs = register(
    Op(
        name="part_kcs",
        inputs=("Tensor pose", "Tensor? bone_rotation", "Tensor? bone_scale"),
        options=("int[] parents", "int[] part_bones", "int[] sizes", "bool unit"),
        outputs=("features",),
        reference=_part_kcs_reference,
        shapes=_part_kcs_shapes,
    )
)

#: The most features that `part_kcs` computes in one launch.
MAX_PART_FEATURES = 4096


def part_kcs(
    pose: Tensor,
    skeleton: Skeleton = H36M_16,
    *,
    bone_rotation: Tensor | None = None,
    bone_scale: Tensor | None = None,
    unit: bool = False,
) -> Tensor:
    """The KCS of each of ``skeleton.kcs_parts``, as one feature vector for a part-wise critic.

    With `bone_rotation` or `bone_scale` these are the features of the pose that `augment` would
    make, without that pose being written and read again: KCS needs bones alone.

    NaN and infinite inputs are not repaired: every output that depends on one is NaN (or infinite),
    never a plausible number; other poses of the batch are untouched.

    Args:
        pose: (..., J, 3) or (..., J, 2), any unit and frame.
        skeleton: the joint tree of `pose` and its parts.
        bone_rotation: (..., J-1, 3) axis-angle, radians: turns each bone first. For 3D poses.
        bone_scale: (..., J-1): multiplies each bone's length by 1 + this, then. For 3D poses.
        unit: as in `kcs`.

    Returns:
        (..., F): for each part of n bones in turn, the n(n+1)/2 entries of the upper triangle of
        its Gram matrix, row by row, diagonal included. F is 78 for `H36M_16`.

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if a shape does not fit the skeleton, devices differ, or F is above 4,096.
    """
    joints = check_skeleton(skeleton)
    moved = bone_rotation is not None or bone_scale is not None
    pose, bone_rotation, bone_scale = prepare(
        "part_kcs",
        2,
        ("pose", pose, (joints, 3 if moved else two_or_three(pose))),
        ("bone_rotation", bone_rotation, (joints - 1, 3)),
        ("bone_scale", bone_scale, (joints - 1,)),
    )
    sizes = [len(part) for part in skeleton.kcs_parts]
    if _part_features(sizes) > MAX_PART_FEATURES:
        raise ValueError(
            f"skeleton.kcs_parts: got {_part_features(sizes)} features, expected at most "
            f"{MAX_PART_FEATURES}"
        )
    part_bones = [bone for part in skeleton.kcs_parts for bone in part]
    return _call_part_kcs(
        pose, bone_rotation, bone_scale, skeleton.parents, part_bones, sizes, unit
    )
