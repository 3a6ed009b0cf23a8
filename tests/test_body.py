"""Which way bodies face."""

from __future__ import annotations

import torch

from poseda.body import torso_rotations, viewpoints
from poseda.data import PoseSet
from poseda.networks.camera_generation import axis_angle_of_quaternion, quaternion_of_euler
from poseda_ext import H36M_16
from poseda_ext.reference import rotate


def facing() -> torch.Tensor:
    """(16, 3) hips and torso of one who stands upright and faces the camera; y is down."""
    pose = torch.zeros(16, 3)
    pose[H36M_16.names.index("LHip")] = torch.tensor([0.1, 0.02, 0.0])  # to the picture's right
    pose[H36M_16.names.index("RHip")] = torch.tensor([-0.1, 0.02, 0.0])
    pose[H36M_16.names.index("Thorax")] = torch.tensor([0.0, -0.5, 0.0])
    return pose


def test_facing_the_camera_upright_is_the_identity() -> None:
    torch.testing.assert_close(torso_rotations(facing(), H36M_16), torch.eye(3))
    torch.testing.assert_close(viewpoints(facing(), H36M_16), torch.zeros(3))


def test_viewpoints_are_the_euler_angles_by_which_a_body_is_turned() -> None:
    random = torch.Generator().manual_seed(0)
    angles = (torch.rand(200, 3, generator=random) - 0.5) * torch.tensor([6.0, 3.0, 6.0])
    turn = axis_angle_of_quaternion(quaternion_of_euler(angles))
    poses = rotate(facing().expand(200, 16, 3), turn[:, None]) + torch.tensor([1.0, 2.0, 5.0])
    torch.testing.assert_close(viewpoints(poses, H36M_16), angles, atol=1e-3, rtol=0)


def test_rotations_are_rotations_and_follow_a_turn(pose_sets: tuple[PoseSet, PoseSet]) -> None:
    poses = pose_sets[1].pose3d
    assert poses is not None
    rotation = torso_rotations(poses[:100], H36M_16)
    eye = torch.eye(3).expand_as(rotation)
    torch.testing.assert_close(rotation @ rotation.mT, eye, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(100))
    turn = torch.tensor([0.3, -1.0, 0.5])
    turned = torso_rotations(rotate(poses[:100], turn), H36M_16)
    expected = rotate(torch.eye(3), turn[None]).mT @ rotation
    torch.testing.assert_close(turned, expected, atol=1e-4, rtol=0)
