"""What the graph lifters share: how a skeleton's joints neighbour each other, and a convolution
over kinds of neighbours. Joints come first, (J, B, C), so that taking from neighbours is one matrix
product for the whole batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from poseda_ext import Skeleton

#: kinds of neighbours: oneself, who is further from the centre, who is nearer, the mirror image
KINDS = 4

Pair = tuple[int, int]


def bones_of(skeleton: Skeleton) -> list[Pair]:
    """Both ends of each bone."""
    return [(joint, parent) for joint, parent in enumerate(skeleton.parents) if parent >= 0]


def mirror_pairs(skeleton: Skeleton) -> list[Pair]:
    """The left and the right one of each pair of joints."""
    return list(zip(skeleton.left, skeleton.right, strict=True))


def hops(count: int, edges: Iterable[Pair]) -> list[list[float]]:
    """(count, count) the least number of edges between two nodes; infinity where none join them."""
    far = [[0.0 if a == b else math.inf for b in range(count)] for a in range(count)]
    for a, b in edges:
        far[a][b] = far[b][a] = 1.0
    for by in range(count):
        for a in range(count):
            for b in range(count):
                far[a][b] = min(far[a][b], far[a][by] + far[by][b])
    return far


def partition(count: int, edges: Sequence[Pair], mirrored: Sequence[Pair]) -> Tensor:
    """Neighbours by kind, as the convolutions of ST-GCN weigh them (Cai et al., ICCV 2019).

    The centre is the node whose furthest node is nearest; in Human3.6M's skeleton this is the
    spine. What reaches a node is the mean over itself, its neighbours and its mirror image.

    Args:
        count: V nodes.
        edges: pairs of neighbours.
        mirrored: pairs of mirror images.

    Returns:
        (4, V, V): of a kind, from a node (row), to a node (column). Each column sums to 1 over the
        kinds and rows.
    """
    far = hops(count, edges)
    centre = min(range(count), key=lambda node: max(far[node]))
    kind = np.zeros((KINDS, count, count))
    kind[0] = np.eye(count)
    for a, b in {*edges, *mirrored}:
        for here, there in ((a, b), (b, a)):
            if (a, b) in mirrored or (b, a) in mirrored:
                kind[3, here, there] = 1
            elif far[centre][here] != far[centre][there]:
                kind[1 if far[centre][here] > far[centre][there] else 2, here, there] = 1
    return torch.from_numpy(kind / kind.sum((0, 1))).to(torch.get_default_dtype())


class PartitionConvolution(nn.Module):
    """A graph convolution with weights of its own for each kind of neighbours: the sum over kinds
    of weighted neighbours times weights.

    Args:
        inputs: channels in.
        outputs: channels out.
        kinds: (K, V, V) from `partition`.
    """

    gather: Tensor

    def __init__(self, inputs: int, outputs: int, kinds: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(len(kinds), inputs, outputs))
        self.bias = nn.Parameter(torch.empty(len(kinds), 1, outputs))
        bound = 1 / math.sqrt(inputs)  # as of torch's own convolution with a kernel of size 1
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)
        gather = kinds.permute(2, 0, 1).flatten(1)  # (V, K V)
        self.register_buffer("gather", gather, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """(V, B, inputs) to (V, B, outputs)."""
        bias = self.gather.unflatten(1, (len(self.bias), -1)).sum(-1) @ self.bias[:, 0]
        return gathered(features, self.weight, self.gather) + bias[:, None]


def gathered(features: Tensor, weight: Tensor, gather: Tensor) -> Tensor:
    """Each node's channels times K weight matrices, and of these weighted sums over nodes.

    Args:
        features: (V, B, C).
        weight: (K, C, outputs).
        gather: (V, K V) the share of each product of each node (column) in a node (row).

    Returns:
        (V, B, outputs).
    """
    batch, outputs = features.shape[1], weight.shape[2]
    rows = features.flatten(0, 1)
    made = torch.cat([rows @ matrix for matrix in weight.unbind()])  # (K V B, outputs)
    sums = gather @ made.view(gather.shape[1], batch * outputs)
    return sums.view(len(gather), batch, outputs)


class NodeNorm(nn.Module):
    """Batch norm of the channels over all nodes of all poses, (V, B, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(features.flatten(0, 1)).view(features.shape)


def nodes_first(features: Tensor) -> Tensor:
    """(B, V, C) to (V, B, C), moved in memory too: a view would lie otherwise at batch 1 than at
    others, which an exported program would have to tell apart."""
    return features.transpose(0, 1).clone(memory_format=torch.contiguous_format)


def rooted(features: Tensor) -> Tensor:
    """(J, B, 3) to poses (B, J, 3) relative to joint 0, which the graph lifters predict like the
    others."""
    return (features - features[:1]).transpose(0, 1)
