"""Each lifter as a whole, written out layer by layer as its paper draws it. The layers that are a
network's own, graph convolutions, stand by hand in test_graph_lifters.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from poseda.networks.lifters import GraphMLP, ResidualLifter, SemGCN, TemporalLifter, make_lifter
from poseda.networks.lifters.st_gcn import STGCN, GraphBlock, body_parts
from poseda_ext import H36M_17

BATCH = 5


def lifter_and_input(name: str, frames: int = 1) -> tuple[nn.Module, Tensor]:
    """One whose batch norms have seen something, and whose every part does something."""
    torch.manual_seed(0)
    lifter = make_lifter(name, H36M_17, 8).double()
    shape = (BATCH, 17, 2) if frames == 1 else (BATCH, frames, 17, 2)
    for module in lifter.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    for _ in range(3):
        lifter(torch.randn(shape, dtype=torch.double))
    return lifter.eval(), torch.randn(shape, dtype=torch.double)


def dense(layer: nn.Module, given: Tensor) -> Tensor:
    """A layer, its batch norm and ReLU; of dropout nothing is left in evaluation."""
    linear, norm, _ = layer.children()
    return norm(linear(given)).relu()


def pairs_of(blocks: Any) -> list[tuple[nn.Module, nn.Module]]:
    """The two layers of each block."""
    return [tuple(block) for block in blocks]


def root_first(pose: Tensor) -> Tensor:
    """(B, 3 (J - 1)) to (B, J, 3)."""
    return torch.cat((torch.zeros(BATCH, 1, 3), pose.view(BATCH, -1, 3)), 1)


def about_root(joints: Tensor) -> Tensor:
    """(J, B, 3) to (B, J, 3)."""
    return torch.stack([joint - joints[0] for joint in joints], 1)


@pytest.mark.parametrize(("name", "blocks"), [("simple_baseline", 2), ("videopose3d", 4)])
def test_residual_lifters(name: str, blocks: int) -> None:
    lifter, pose2d = lifter_and_input(name)
    assert isinstance(lifter, ResidualLifter) and len(lifter.blocks) == blocks
    hidden = dense(lifter.expand, pose2d.flatten(1))
    for first, second in pairs_of(lifter.blocks):
        hidden = hidden + dense(second, dense(first, hidden))
    torch.testing.assert_close(lifter(pose2d), root_first(lifter.shrink(hidden)))


def test_videopose3d_over_27_frames() -> None:
    lifter, pose2d = lifter_and_input("videopose3d_27", 27)
    assert isinstance(lifter, TemporalLifter) and len(lifter.blocks) == 2
    frames = list(pose2d.flatten(2).unbind(1))
    hidden = [dense(lifter.expand, torch.cat(frames[t : t + 3], 1)) for t in range(0, 27, 3)]
    for first, second in pairs_of(lifter.blocks):
        hidden = [
            hidden[t + 1] + dense(second, dense(first, torch.cat(hidden[t : t + 3], 1)))
            for t in range(0, len(hidden), 3)
        ]
    assert len(hidden) == 1
    torch.testing.assert_close(lifter(pose2d), root_first(lifter.shrink(hidden[0])))


def test_sem_gcn() -> None:
    lifter, pose2d = lifter_and_input("sem_gcn")
    assert isinstance(lifter, SemGCN) and len(lifter.blocks) == 4
    hidden = dense(lifter.expand, pose2d.transpose(0, 1))
    for first, second in pairs_of(lifter.blocks):
        hidden = hidden + dense(second, dense(first, hidden))
    torch.testing.assert_close(lifter(pose2d), about_root(lifter.shrink(hidden)))


def graph_block(block: nn.Module, given: Tensor) -> Tensor:
    assert isinstance(block, GraphBlock)
    graph, norm, _, alone, last_norm, _ = block.layers
    made = last_norm(alone(norm(graph(given)).relu()))
    return (made if block.skip is None else made + block.skip(given)).relu()


def test_st_gcn() -> None:
    lifter, pose2d = lifter_and_input("st_gcn")
    assert isinstance(lifter, STGCN)
    joints = lifter.input_norm(pose2d.flatten(1)).view(BATCH, 17, 2).transpose(0, 1)
    for number, block in enumerate(lifter.of_joints):
        joints = graph_block(block, joints)
        assert (block.skip is None) == (number == 0)
    members = body_parts(H36M_17)
    parts = torch.stack([joints[of_part].max(0).values for of_part in members])
    for block in lifter.of_parts:
        parts = graph_block(block, parts)
    whole = dense(lifter.of_whole, parts.max(0).values)
    coarse = [dense(lifter.join, torch.cat((whole, part), 1)[None])[0] for part in parts]
    levels = []
    for joint in range(17):
        (part_of,) = (number for number, of_part in enumerate(members) if joint in of_part)
        levels.append(torch.cat((joints[joint], coarse[part_of]), 1))
    _, out = lifter.shrink
    torch.testing.assert_close(lifter(pose2d), about_root(out(lifter.attend(torch.stack(levels)))))


@pytest.mark.parametrize(("name", "frames"), [("graph_mlp", 1), ("graph_mlp_27", 27)])
def test_graph_mlp(name: str, frames: int) -> None:
    lifter, pose2d = lifter_and_input(name, frames)
    assert isinstance(lifter, GraphMLP) and len(lifter.layers) == 3
    paths = pose2d.view(BATCH, frames, 17, 2)
    joints = [lifter.embed(paths[:, :, joint].flatten(1)) for joint in range(17)]
    hidden = torch.stack(joints)
    layers: Any = lifter.layers
    for layer in layers:
        given = layer.joint_norm(hidden.permute(1, 2, 0))  # (B, C, J)
        hidden = hidden + layer.joint_mlp(given).permute(2, 0, 1)
        hidden = hidden + layer.joint_graph(given.permute(2, 0, 1))
        given = layer.channel_norm(hidden)
        hidden = hidden + layer.channel_mlp(given) + layer.channel_graph(given)
    torch.testing.assert_close(lifter(pose2d), about_root(lifter.shrink(lifter.norm(hidden))))
