"""Every op of this package in plain, differentiable torch: the definition of what the ops compute.

Same names, arguments and results as the fused ops in `poseda_ext.ops`, which check their arguments
and then run either a compiled kernel or these functions. Half-precision inputs are computed in
float32 and rounded at the end.

Degenerate geometry follows one rule everywhere (reference, CPU and CUDA kernels):

- A rotation vector of zero length is the identity, with its true, non-zero derivative.
- The unit vector of a bone not longer than `MIN_BONE_LENGTH` is zero, with zero gradient.
- A target box smaller than `MIN_BOX_SIZE` counts as `MIN_BOX_SIZE`, with zero gradient.
- A depth below `MIN_DEPTH` (behind or at the camera) counts as `MIN_DEPTH`, with zero gradient.
- A focal length below `MIN_FOCAL_LENGTH` counts as `MIN_FOCAL_LENGTH`, with zero gradient.
- Of joints that tie for an edge of the 2D box, the first gets the gradient.
- A torso or a direction not longer than `MIN_BONE_LENGTH` aligns nothing, with zero gradient.
- Directions whose unit vectors add up to no more than `MIN_HALFWAY` count as opposite: half a turn
  about the camera's z axis made perpendicular to the torso, or its x axis where the torso lies more
  along z than along x, with zero gradient.

NaN and infinite inputs are not repaired: every output that depends on one is NaN (or infinite),
never a plausible number; other poses of the batch are untouched. In particular no bound of the
rules above replaces them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from poseda_ext.skeleton import H36M_16, Skeleton

MIN_BONE_LENGTH = 1e-6  #: metres
MIN_BOX_SIZE = 1e-3  #: width plus height, in the unit of the 2D points
MIN_DEPTH = 0.1  #: metres
MIN_FOCAL_LENGTH = 1e-3  #: in the unit of the 2D points
MIN_HALFWAY = 1e-4  #: length of the sum of two unit vectors, about radians short of half a turn
#: Below this squared angle the rotation coefficients come from their Taylor series.
TAYLOR_SQUARED_ANGLE = 0.25


class Augmented(NamedTuple):
    """What `augment` returns. `root` and `pose2d` are None where no camera was given."""

    pose3d: Tensor  #: (..., J, 3) root-relative, metres
    root: Tensor | None  #: (..., 3) camera frame, metres
    pose2d: Tensor | None  #: (..., J, 2) in the unit of the intrinsics


def _compute(*tensors: Tensor | None) -> list[Tensor | None]:
    """Half-precision tensors as float32, the others as they are."""
    return [
        t.float() if t is not None and t.dtype in (torch.float16, torch.bfloat16) else t
        for t in tensors
    ]


def _taint(x: Tensor) -> Tensor:
    """Zero, or NaN where x is NaN or infinite. Added wherever a bound would hide such an x."""
    return 0 * x


def _at_least(x: Tensor, bound: float) -> Tensor:
    return x.clamp(min=bound) + _taint(x)


def _extent(points: Tensor) -> Tensor:
    """Width and height of the box around (..., J, 2) points."""
    size = points.max(dim=-2).values - points.min(dim=-2).values
    return size + _taint(points).sum(-2)


def _rotation_coefficients(squared_angle: Tensor) -> tuple[Tensor, Tensor]:
    """sin(t)/t and (1 - cos t)/t^2 of t^2, smooth at zero (Taylor series, double ``where``)."""
    x = squared_angle
    small = x < TAYLOR_SQUARED_ANGLE
    near = torch.where(small, x, torch.zeros_like(x))
    far = torch.where(small, torch.ones_like(x), x)

    def series(*denominators: float) -> Tensor:
        total = torch.zeros_like(near)
        for denominator in reversed(denominators):
            total = 1 / denominator - near * total
        return total

    angle = far.sqrt()
    half = torch.sin(0.5 * angle) / (0.5 * angle)
    first = torch.where(
        small,
        series(1, 6, 120, 5040, 362880, 39916800, 6227020800),
        torch.sin(angle) / angle,
    )
    second = torch.where(
        small,
        series(2, 24, 720, 40320, 3628800, 479001600, 87178291200),
        0.5 * half * half,
    )
    return first, second


def rotate(points: Tensor, axis_angle: Tensor) -> Tensor:
    """Rotates points by axis-angle vectors (Rodrigues).

    Args:
        points: (..., 3).
        axis_angle: (..., 3) radians, broadcastable to points.

    Returns:
        (..., 3).
    """
    first, second = _rotation_coefficients(axis_angle.square().sum(-1, keepdim=True))
    axis_angle = axis_angle.expand_as(points)
    once = torch.linalg.cross(axis_angle, points)
    twice = torch.linalg.cross(axis_angle, once)
    return points + first * once + second * twice


def _direction(vector: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors, and whether there is a direction; where there is none, any unit vector."""
    length2 = vector.square().sum(-1, keepdim=True)
    none = length2 <= MIN_BONE_LENGTH**2  # NaN is none of those
    some = torch.zeros_like(vector)
    some[..., 0] = 1
    safe = torch.where(none, torch.ones_like(length2), length2)
    return torch.where(none, some, vector / safe.sqrt() + _taint(length2)), ~none


def align(points: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Turns points about the origin by the smallest rotation that takes one direction to another.

    With a and b the unit vectors of the two, v = a x b and c = a.b, that is
    R = I + [v]x + [v]x^2 / (1 + c), here written without its cancellation as
    R = I - 2 h h^T + 2 b a^T with h = (a + b) / |a + b|, midway between them.

    Args:
        points: (..., J, 3).
        first: (..., 3) of any length.
        second: (..., 3) of any length.

    Returns:
        (..., J, 3).
    """
    (a, has_first), (b, has_second) = _direction(first), _direction(second)
    # Perpendicular to a - b, but for the rounding of a and b, which counts where the sum is small.
    total = a + b - 0.25 * ((a + b) * (a - b)).sum(-1, keepdim=True) * (a - b)
    length2 = total.square().sum(-1, keepdim=True)
    opposite = length2 <= MIN_HALFWAY**2
    still = a.detach()
    x, y, z = still.unbind(-1)
    zero = torch.zeros_like(x)
    along_z = (z.square() > x.square())[..., None]
    across = torch.where(along_z, torch.stack((zero, z, -y), -1), torch.stack((y, -x, zero), -1))
    safe = torch.where(opposite, torch.ones_like(length2), length2)
    midway = torch.where(opposite, across / across.norm(dim=-1, keepdim=True), total / safe.sqrt())[
        ..., None, :
    ]
    a, b = torch.where(opposite, still, a), torch.where(opposite, -still, b)
    # Zero leaves the points, and a NaN of the other direction shows.
    twice = 2 * (has_first & has_second).to(points.dtype)[..., None, :]
    along = (points * midway).sum(-1, keepdim=True)
    ahead = (points * a[..., None, :]).sum(-1, keepdim=True)
    return points + twice * (ahead * b[..., None, :] - along * midway)


def bones(pose: Tensor, skeleton: Skeleton = H36M_16) -> Tensor:
    """Bone vectors, (..., J, D) to (..., J-1, D): each joint minus its parent."""
    parents = torch.tensor(skeleton.parents[1:], device=pose.device)
    return pose[..., 1:, :] - pose.index_select(-2, parents)


def pose_from_bones(
    bones: Tensor, root: Tensor | None = None, skeleton: Skeleton = H36M_16
) -> Tensor:
    """Poses from bone vectors, (..., J-1, D) to (..., J, D), the root at `root` or the origin."""
    dtype = bones.dtype
    bones, root = _compute(bones, root)  # type: ignore[assignment]
    joints = [torch.zeros_like(bones[..., 0, :]) if root is None else root]
    for bone, parent in enumerate(skeleton.parents[1:]):
        joints.append(joints[parent] + bones[..., bone, :])
    return torch.stack(joints, dim=-2).to(dtype)


def distort(
    plane: Tensor, radial: Tensor, tangential: Tensor, tangential_gain: float = 1.0
) -> Tensor:
    """Moves points of the image plane as a lens does: u to
    u (1 + k1 r^2 + k2 r^4 + k3 r^6 + g p.u) + p r^2, with r = |u|.

    Args:
        plane: (..., 2) X/Z, Y/Z.
        radial: (..., 3) k1, k2, k3.
        tangential: (..., 2) p.
        tangential_gain: g, which is 1 in Human3.6M's model as VideoPose3D has it. OpenCV's has 2,
            and its p1, p2 are p in reverse order.

    Returns:
        (..., 2).
    """
    r2 = plane.square().sum(-1, keepdim=True)
    powers = torch.cat((r2, r2**2, r2**3), dim=-1)
    gain = 1 + (radial * powers).sum(-1, keepdim=True)
    gain = gain + tangential_gain * (tangential * plane).sum(-1, keepdim=True)
    return plane * gain + tangential * r2


def project(points: Tensor, intrinsics: Tensor, distortion: Tensor | None = None) -> Tensor:
    """Perspective projection (Eq. 4), with Human3.6M's lens model where `distortion` is given.

    Args:
        points: (..., J, 3) camera frame, metres.
        intrinsics: (..., 4) fx, fy, cx, cy.
        distortion: (..., 5) k1, k2, k3 radial and p1, p2 tangential, as VideoPose3D stores and
            applies them: the image-plane point u = clamp(X/Z, -1, 1) goes to
            u (1 + k1 r^2 + k2 r^4 + k3 r^6 + p.u) + p r^2, with r = |u|.

    Returns:
        (..., J, 2) in the unit of the intrinsics.
    """
    dtype = points.dtype
    points, intrinsics, distortion = _compute(points, intrinsics, distortion)  # type: ignore[assignment]
    plane = points[..., :2] / _at_least(points[..., 2:], MIN_DEPTH)
    if distortion is not None:
        plane = plane.clamp(-1, 1) + _taint(plane)
        plane = distort(plane, distortion[..., None, :3], distortion[..., None, 3:])
    return (plane * intrinsics[..., None, :2] + intrinsics[..., None, 2:]).to(dtype)


def gpa(pose: Tensor, target2d: Tensor, intrinsics: Tensor) -> Tensor:
    """Global position alignment (PoseDA, Eq. 7 and 9): the root that gives `pose` the 2D box size
    and the 2D root of `target2d`.

    Args:
        pose: (..., J, 3) metres; only positions relative to joint 0 matter.
        target2d: (..., J, 2) in the unit of the intrinsics.
        intrinsics: (..., 4) fx, fy, cx, cy of the target camera.

    Returns:
        (..., 3) root position, camera frame, metres.
    """
    dtype = pose.dtype
    pose, target2d, intrinsics = _compute(pose, target2d, intrinsics)  # type: ignore[assignment]
    plane = pose[..., :2] - pose[..., :1, :2]
    focal = _at_least(intrinsics[..., :2], MIN_FOCAL_LENGTH)
    size = _at_least(_extent(target2d).sum(-1, keepdim=True), MIN_BOX_SIZE)
    depth = _at_least((focal * _extent(plane)).sum(-1, keepdim=True) / size, MIN_DEPTH)
    across = depth * (target2d[..., 0, :] - intrinsics[..., 2:]) / focal
    return torch.cat((across, depth), dim=-1).to(dtype)


def _move(bone: Tensor, bone_rotation: Tensor | None, bone_scale: Tensor | None) -> Tensor:
    """Turns bones, then scales them."""
    if bone_rotation is not None:
        bone = rotate(bone, bone_rotation)
    return bone if bone_scale is None else bone * (1 + bone_scale[..., None])


def torso_of(skeleton: Skeleton) -> int:
    """The joint whose direction from joint 0 is that of the torso.

    Raises:
        ValueError: if the skeleton names none.
    """
    if skeleton.torso is None:
        raise ValueError("skeleton.torso: got None, expected the joint that direction is for")
    return skeleton.torso


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

    The stages run in this order, and a stage whose argument is None is left out. See
    `poseda_ext.augment` for shapes, units and errors.
    """
    dtype = pose.dtype
    pose, bone_rotation, bone_scale, rotation, target2d, root, intrinsics, direction = _compute(  # type: ignore[assignment]
        pose, bone_rotation, bone_scale, rotation, target2d, root, intrinsics, direction
    )
    pose3d = pose - pose[..., :1, :]
    if bone_rotation is not None or bone_scale is not None:
        bone = _move(bones(pose3d, skeleton), bone_rotation, bone_scale)
        pose3d = pose_from_bones(bone, pose3d[..., 0, :], skeleton)
    if direction is not None:
        pose3d = align(pose3d, pose3d[..., torso_of(skeleton), :], direction)
    if rotation is not None:
        pose3d = rotate(pose3d, rotation[..., None, :])
    if target2d is not None and intrinsics is not None:
        root = gpa(pose3d, target2d, intrinsics)
    if root is None or intrinsics is None:
        return Augmented(pose3d.to(dtype), None, None)
    pose2d = project(pose3d + root[..., None, :], intrinsics)
    return Augmented(pose3d.to(dtype), root.to(dtype, copy=True), pose2d.to(dtype))


def _unit(bone: Tensor) -> Tensor:
    length2 = bone.square().sum(-1, keepdim=True)
    keep = ~(length2 <= MIN_BONE_LENGTH**2)  # NaN is kept
    safe = torch.where(keep, length2, torch.ones_like(length2))
    return torch.where(keep, bone / safe.sqrt(), torch.zeros_like(bone))


def kcs(pose: Tensor, skeleton: Skeleton = H36M_16, *, unit: bool = False) -> Tensor:
    """Kinematic chain space (Wandt et al., ECCVW 2018): the Gram matrix of the bones.

    Args:
        pose: (..., J, 3) or (..., J, 2).
        skeleton: the joint tree.
        unit: True divides each bone by its length first, so that only angles remain.

    Returns:
        (..., J-1, J-1), dot products of bones; with ``unit`` the cosines between them.
    """
    dtype = pose.dtype
    (pose,) = _compute(pose)  # type: ignore[assignment]
    return _gram(bones(pose, skeleton), unit).to(dtype)


def _gram(bone: Tensor, unit: bool) -> Tensor:
    if unit:
        bone = _unit(bone)
    return bone @ bone.transpose(-1, -2)


def part_kcs(
    pose: Tensor,
    skeleton: Skeleton = H36M_16,
    *,
    bone_rotation: Tensor | None = None,
    bone_scale: Tensor | None = None,
    unit: bool = False,
) -> Tensor:
    """The KCS of each of ``skeleton.kcs_parts``, as one feature vector, of the pose whose bones
    `augment` would turn and scale.

    Args:
        pose: (..., J, 3) or (..., J, 2).
        skeleton: the joint tree and its parts.
        bone_rotation: as in `augment`; for 3D poses.
        bone_scale: likewise.
        unit: as in `kcs`.

    Returns:
        (..., F): for each part of n bones in turn, the n(n+1)/2 entries of the upper triangle of
        its Gram matrix, row by row, diagonal included. F is 78 for `H36M_16`.
    """
    dtype = pose.dtype
    pose, bone_rotation, bone_scale = _compute(pose, bone_rotation, bone_scale)  # type: ignore[assignment]
    gram = _gram(_move(bones(pose, skeleton), bone_rotation, bone_scale), unit).flatten(-2)
    index = [
        part[i] * skeleton.num_bones + part[j]
        for part in skeleton.kcs_parts
        for i in range(len(part))
        for j in range(i, len(part))
    ]
    return gram.index_select(-1, torch.tensor(index, device=gram.device, dtype=torch.long)).to(
        dtype
    )
