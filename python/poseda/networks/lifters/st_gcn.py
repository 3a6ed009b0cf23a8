"""ST-GCN: graph convolutions by kind of neighbour, over joints and over parts of the body."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from poseda.networks.dropout import Dropout, ReLUDropout
from poseda.networks.lifters.graph import (
    NodeNorm,
    Pair,
    PartitionConvolution,
    bones_of,
    mirror_pairs,
    nodes_first,
    partition,
    rooted,
)
from poseda_ext import H36M_16, H36M_17, Skeleton

#: The released network has it for the epsilon of its first batch norm, where a momentum was meant;
#: it damps the input, whose variance is 0.02 to 0.05.
INPUT_EPS = 0.1
BLOCK_DROPOUT = 0.05
WHOLE_DROPOUT = 0.25
OUTPUT_DROPOUT = 0.1


class GraphBlock(nn.Module):
    """A convolution over kinds of neighbours and a layer of each node alone, with a skip.

    Args:
        inputs: channels in.
        outputs: channels out.
        kinds: of `partition`.
        skip: whether there is one.
    """

    def __init__(self, inputs: int, outputs: int, kinds: Tensor, *, skip: bool = True) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            PartitionConvolution(inputs, outputs, kinds),
            NodeNorm(outputs),
            ReLUDropout(BLOCK_DROPOUT),
            nn.Linear(outputs, outputs),
            NodeNorm(outputs),
            Dropout(BLOCK_DROPOUT),
        )
        self.skip: nn.Module | None = None
        if skip and inputs == outputs:
            self.skip = nn.Identity()
        elif skip:
            self.skip = nn.Sequential(nn.Linear(inputs, outputs), NodeNorm(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """(V, B, inputs) to (V, B, outputs)."""
        made = self.layers(features)
        if self.skip is not None:
            made = made + self.skip(features)
        return torch.relu(made)


class NonLocal(nn.Module):
    """Adds to each node what it takes from all nodes by their likeness (embedded Gaussian; Wang et
    al., CVPR 2018). It adds nothing at first, since the scale of its batch norm starts at 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.query, self.key, self.value = (nn.Linear(channels, inner) for _ in range(3))
        self.project = nn.Linear(inner, channels)
        self.norm = NodeNorm(channels)
        nn.init.zeros_(self.norm.norm.weight)

    def forward(self, features: Tensor) -> Tensor:
        """(V, B, C) to the same."""
        query, key, value = (
            layer(features).transpose(0, 1) for layer in (self.query, self.key, self.value)
        )
        share = (query @ key.transpose(1, 2)).softmax(-1)  # (B, V, V)
        taken = (share @ value).transpose(0, 1)
        return features + self.norm(self.project(taken))


class STGCN(nn.Module):
    """ST-GCN (Cai et al., ICCV 2019) for one frame, as PoseAug's baseline: convolutions over the
    joints, then over the parts of the body (arms, legs, trunk), then over the whole; all three
    levels together are attended to and read out.

    Its 17 joints are those of `H36M_17`. Of `H36M_16` the missing one is put between thorax and
    head, and left out of the result. For other skeletons the kinds of neighbours and the parts
    follow from the tree and from left and right.

    Args:
        skeleton: joints of the input and the output.
        width: channels of the first layers; later ones have twice and four times as many.
    """

    graph_safe = True
    kept: Tensor
    part_of: Tensor
    by_part: Tensor

    def __init__(self, skeleton: Skeleton, *, width: int) -> None:
        super().__init__()
        inner = H36M_17 if skeleton == H36M_16 else skeleton
        self.between = inner.names.index("Neck/Nose") if inner is not skeleton else None
        kept = [inner.names.index(name) for name in skeleton.names]
        parts = body_parts(inner)
        by_part = [joint for part in parts for joint in part]
        numbers = {joint: number for number, part in enumerate(parts) for joint in part}
        part_of = [numbers[joint] for joint in range(inner.num_joints)]
        self.sizes = [len(part) for part in parts]
        joints = partition(inner.num_joints, bones_of(inner), mirror_pairs(inner))
        links, mirrored = part_pairs(inner, part_of)
        limbs = partition(len(parts), links, mirrored)

        fine, coarse = 2 * width, 4 * width
        self.input_norm = nn.BatchNorm1d(2 * inner.num_joints, eps=INPUT_EPS)
        self.of_joints = nn.Sequential(
            GraphBlock(2, width, joints, skip=False),
            GraphBlock(width, width, joints),
            GraphBlock(width, fine, joints),
        )
        self.of_parts = nn.Sequential(
            GraphBlock(fine, coarse, limbs), GraphBlock(coarse, coarse, limbs)
        )
        self.of_whole = nn.Sequential(
            nn.Linear(coarse, coarse), nn.BatchNorm1d(coarse), ReLUDropout(WHOLE_DROPOUT)
        )
        self.join = nn.Sequential(
            nn.Linear(2 * coarse, fine), NodeNorm(fine), ReLUDropout(OUTPUT_DROPOUT)
        )
        self.attend = NonLocal(2 * fine)
        self.shrink = nn.Sequential(Dropout(OUTPUT_DROPOUT), nn.Linear(2 * fine, 3))
        self.register_buffer("kept", torch.tensor(kept), persistent=False)
        self.register_buffer("part_of", torch.tensor(part_of), persistent=False)
        self.register_buffer("by_part", torch.tensor(by_part), persistent=False)

    def forward(self, pose2d: Tensor) -> Tensor:
        """(B, J, 2) to (B, J, 3)."""
        if self.between is not None:
            below, above = pose2d[:, : self.between], pose2d[:, self.between :]
            middle = (below[:, -1:] + above[:, :1]) / 2
            pose2d = torch.cat((below, middle, above), 1)
        points = self.input_norm(pose2d.flatten(1)).view(pose2d.shape)
        joints = self.of_joints(nodes_first(points))  # (V, B, 2 width)
        limbs = joints.index_select(0, self.by_part).split(self.sizes)
        parts = self.of_parts(torch.stack([limb.amax(0) for limb in limbs]))
        whole = self.of_whole(parts.amax(0))
        coarse = self.join(torch.cat((whole.expand(parts.shape), parts), -1))
        levels = torch.cat((joints, coarse.index_select(0, self.part_of)), -1)
        return rooted(self.shrink(self.attend(levels)).index_select(0, self.kept))


def st_gcn(skeleton: Skeleton, width: int = 128) -> nn.Module:
    """ST-GCN (Cai et al., ICCV 2019) for one frame: 3,627,847 parameters at 16 and at 17 joints
    and the published width of 128."""
    return STGCN(skeleton, width=width)


def body_parts(skeleton: Skeleton) -> list[list[int]]:
    """The joints of each limb, which are those of one side that bones join, and last the others."""
    limbs: list[list[int]] = []
    for side in (skeleton.left, skeleton.right):
        limb_of: dict[int, list[int]] = {}
        for joint in sorted(side):
            parent = skeleton.parents[joint]
            if parent not in limb_of:
                limbs.append([])
                limb_of[joint] = limbs[-1]
            else:
                limb_of[joint] = limb_of[parent]
            limb_of[joint].append(joint)
    sides = {*skeleton.left, *skeleton.right}
    trunk = [joint for joint in range(skeleton.num_joints) if joint not in sides]
    return [*limbs, trunk] if trunk else limbs


def part_pairs(skeleton: Skeleton, part_of: list[int]) -> tuple[list[Pair], list[Pair]]:
    """The parts that a bone joins, and those that are mirror images."""

    def pairs(of: list[Pair]) -> list[Pair]:
        found = {(part_of[a], part_of[b]) for a, b in of}
        return sorted((a, b) for a, b in found if a != b)

    return pairs(bones_of(skeleton)), pairs(mirror_pairs(skeleton))
