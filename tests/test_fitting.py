"""Depths of joints on their rays."""

from __future__ import annotations

import torch
from torch import Tensor

from poseda import fitting
from poseda.fitting import DAMPING, DEPTH_NOISE, LENGTH_NOISE, fitted_depths, on_rays
from poseda_ext import H36M_16, bones, project
from poseda_ext.reference import MIN_DEPTH

CAMERA = torch.tensor([1.5, 1.5, 0.02, -0.01])


def people(count: int = 300) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Poses (N, J, 3) in front of a camera, what it sees, its intrinsics, and their lengths."""
    random = torch.Generator().manual_seed(0)
    bone = torch.randn(count, H36M_16.num_bones, 3, generator=random)
    bone = 0.3 * bone / bone.norm(dim=-1, keepdim=True)
    pose = torch.zeros(count, H36M_16.num_joints, 3)
    for joint, parent in enumerate(H36M_16.parents[1:], 1):
        pose[:, joint] = pose[:, parent] + bone[:, joint - 1]
    pose = pose + torch.tensor([0.2, -0.1, 4.0])
    camera = CAMERA.expand(count, -1)
    return pose, project(pose, camera), camera, bones(pose, H36M_16).norm(dim=-1)


def relative(pose: Tensor) -> Tensor:
    return pose - pose[:, :1]


def error(pose: Tensor, truth: Tensor) -> float:
    return float((relative(pose) - relative(truth)).norm(dim=-1).mean())


def test_what_is_right_stays() -> None:
    pose, seen2d, camera, lengths = people()
    depth = fitted_depths(relative(pose), seen2d, camera, None, lengths, H36M_16)
    # where the root is found from the lengths, which global position alignment is not exact in
    assert (depth - pose[..., 2]).abs().mean() < 2e-3
    assert error(on_rays(seen2d, camera, depth), pose) < 1e-3


def test_lengths_and_rays_better_what_a_lifter_says() -> None:
    pose, seen2d, camera, lengths = people()
    random = torch.Generator().manual_seed(1)
    predicted = relative(pose) + 0.05 * torch.randn(pose.shape, generator=random)
    depth = fitted_depths(predicted, seen2d, camera, None, lengths, H36M_16)
    fitted = on_rays(seen2d, camera, depth)
    assert error(fitted, pose) < 0.6 * error(predicted, pose)
    torch.testing.assert_close(project(fitted, camera), seen2d)


def test_size_is_that_of_the_lengths() -> None:
    pose, seen2d, camera, lengths = people()
    twice = fitted_depths(2 * relative(pose), seen2d, camera, None, 2 * lengths, H36M_16)
    assert (twice / pose[..., 2] - 2).abs().mean() < 2e-3


def test_tree_solver_is_exact() -> None:
    random = torch.Generator().manual_seed(0)
    count, parents = 5, list(H36M_16.parents[1:])
    # of one bone's two residuals; the root's own equation keeps the matrix regular by damping
    joint, parent, side, other = (
        torch.randn(len(parents), count, dtype=torch.float64, generator=random) for _ in range(4)
    )
    blocks = joint.square() + 1, parent.square() + 1, joint * parent - 1, side, other
    found = fitting._solved_on_tree(*blocks, parents)
    matrix = torch.zeros(count, len(parents) + 1, len(parents) + 1, dtype=torch.float64)
    right = torch.zeros(count, len(parents) + 1, dtype=torch.float64)
    for bone, at in enumerate(parents):
        matrix[:, bone + 1, bone + 1] += blocks[0][bone]
        matrix[:, at, at] += blocks[1][bone]
        matrix[:, bone + 1, at] += blocks[2][bone]
        matrix[:, at, bone + 1] += blocks[2][bone]
        right[:, bone + 1] += side[bone]
        right[:, at] += other[bone]
    matrix += DAMPING * torch.diag_embed(matrix.diagonal(dim1=1, dim2=2))
    torch.testing.assert_close(found.T, torch.linalg.solve(matrix, right))


def test_it_is_a_minimum() -> None:
    pose, seen2d, camera, lengths = (each.double() for each in people(50))
    predicted = 0.97 * relative(pose)
    wanted = bones(predicted, H36M_16)[..., 2]

    def cost(depth: Tensor) -> Tensor:
        bone = bones(on_rays(seen2d, camera, depth), H36M_16)
        first = (bone.norm(dim=-1) / lengths - 1) / LENGTH_NOISE
        return (first.square() + ((bone[..., 2] - wanted) / DEPTH_NOISE).square()).sum(-1)

    depth = fitted_depths(predicted, seen2d, camera, None, lengths, H36M_16)
    random = torch.Generator().manual_seed(0)
    for _ in range(20):
        other = depth + 0.01 * torch.randn(depth.shape, dtype=depth.dtype, generator=random)
        assert bool((cost(other) > cost(depth)).all())


def test_hidden_joints_follow_the_prediction() -> None:
    pose, seen2d, camera, lengths = people()
    seen = torch.ones(pose.shape[:2], dtype=torch.bool)
    wrist = H36M_16.names.index("LWrist")
    seen[:, wrist] = False
    moved = seen2d.clone()
    moved[:, wrist] = 0.9
    depth = fitted_depths(relative(pose), moved, camera, seen, lengths, H36M_16)
    others = seen[0]
    assert (depth - pose[..., 2])[:, others].abs().mean() < 0.02
    step = depth[:, wrist] - depth[:, wrist - 1]
    torch.testing.assert_close(step, bones(pose, H36M_16)[:, wrist - 1, 2], atol=1e-3, rtol=0)


def test_finite_where_nothing_is_told() -> None:
    pose, seen2d, camera, lengths = people(4)
    for predicted, points, long in (
        (torch.zeros_like(pose), seen2d, lengths),
        (relative(pose), torch.zeros_like(seen2d), lengths),
        (relative(pose), seen2d, torch.zeros_like(lengths)),
        (1e3 * relative(pose), seen2d, lengths),
    ):
        depth = fitted_depths(predicted, points, camera, None, long, H36M_16)
        assert bool(depth.isfinite().all()) and float(depth.min()) >= MIN_DEPTH
    none = fitted_depths(pose[:0], seen2d[:0], camera[:0], None, lengths[:0], H36M_16)
    assert none.shape == (0, H36M_16.num_joints)


def test_parts_do_not_count() -> None:
    pose, seen2d, camera, lengths = people(10)
    predicted = 1.1 * relative(pose)
    whole = fitted_depths(predicted, seen2d, camera, None, lengths, H36M_16)
    for row in range(10):
        part = slice(row, row + 1)
        alone = fitted_depths(
            predicted[part], seen2d[part], camera[part], None, lengths[part], H36M_16
        )
        torch.testing.assert_close(alone, whole[part])
