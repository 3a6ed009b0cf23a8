"""SemGCN: graph convolutions that learn how much each neighbour says."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from poseda.networks.lifters.graph import NodeNorm, bones_of, gathered, nodes_first, rooted
from poseda_ext import Skeleton

BLOCKS = 4
GAIN = 1.414


class SemanticConvolution(nn.Module):
    """One weight matrix for the joint itself and one for its neighbours, which are weighted by a
    softmax over learned logits, one for each joint and neighbour (Zhao et al., Eq. 3).

    Args:
        inputs: channels in.
        outputs: channels out.
        skeleton: J joints.
    """

    absent: Tensor
    places: Tensor
    own: Tensor

    def __init__(self, inputs: int, outputs: int, skeleton: Skeleton) -> None:
        super().__init__()
        joints = skeleton.num_joints
        near = {(joint, joint) for joint in range(joints)}
        near |= {pair for a, b in bones_of(skeleton) for pair in ((a, b), (b, a))}
        places = torch.tensor([joints * a + b for a, b in sorted(near)])
        self.weight = nn.Parameter(torch.empty(2, inputs, outputs))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.logits = nn.Parameter(torch.ones(len(places)))
        # The released network draws both matrices as one tensor, with its smaller bound.
        nn.init.xavier_uniform_(self.weight, gain=GAIN)
        nn.init.uniform_(self.bias, -1 / math.sqrt(outputs), 1 / math.sqrt(outputs))
        self.register_buffer("absent", torch.full((joints**2,), -torch.inf), persistent=False)
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("own", torch.eye(joints), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """(J, B, inputs) to (J, B, outputs)."""
        joints = len(features)
        logits = self.absent.scatter(0, self.places, self.logits)
        share = logits.view(joints, joints).softmax(1)  # of a joint (row), from another (column)
        gather = torch.cat((share * self.own, share * (1 - self.own)), 1)  # (J, 2 J)
        made = gathered(features, self.weight, gather)
        return made + self.bias.to(made.dtype)


class SemGCN(nn.Module):
    """Semantic graph convolutions in residual blocks of two, each with batch norm and ReLU; without
    the non-local layers, as PoseAug's baseline.

    Args:
        skeleton: joints of the input and the output.
        width: channels of each hidden layer.
    """

    graph_safe = True

    def __init__(self, skeleton: Skeleton, *, width: int) -> None:
        super().__init__()

        def layer(inputs: int) -> nn.Sequential:
            return nn.Sequential(
                SemanticConvolution(inputs, width, skeleton), NodeNorm(width), nn.ReLU()
            )

        self.expand = layer(2)
        self.blocks = nn.ModuleList(
            nn.Sequential(layer(width), layer(width)) for _ in range(BLOCKS)
        )
        self.shrink = SemanticConvolution(width, 3, skeleton)

    def forward(self, pose2d: Tensor) -> Tensor:
        """(B, J, 2) to (B, J, 3)."""
        hidden = self.expand(nodes_first(pose2d))  # (J, B, width)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return rooted(self.shrink(hidden))


def sem_gcn(skeleton: Skeleton, width: int = 128) -> nn.Module:
    """SemGCN (Zhao et al., CVPR 2019): 267,343 parameters at 16 joints and the published width of
    128."""
    return SemGCN(skeleton, width=width)
