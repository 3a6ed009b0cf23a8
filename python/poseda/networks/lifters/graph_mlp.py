"""GraphMLP: an MLP mixer over joints, with graph convolutions beside its layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from poseda.networks.dropout import Dropout
from poseda.networks.lifters.graph import (
    PartitionConvolution,
    bones_of,
    mirror_pairs,
    nodes_first,
    partition,
    rooted,
)
from poseda_ext import Skeleton

LAYERS = 3
DROPOUT = 0.1
MAX_DROPPED_PATHS = 0.2
EPS = 1e-6


class GraphMLPLayer(nn.Module):
    """Mixes joints, then channels. Each time an MLP that sees all of them and a graph convolution
    that sees neighbours are added to what comes in.

    Args:
        joints: J.
        width: C channels.
        kinds: of `partition`.
        temporal: True puts layer norms within the MLP over joints, as the paper does for video.
        dropped: probability of leaving a pose's layer out in training (stochastic depth).
    """

    def __init__(
        self, joints: int, width: int, kinds: Tensor, *, temporal: bool, dropped: float
    ) -> None:
        super().__init__()
        self.dropped = dropped
        self.joint_norm = nn.LayerNorm(joints, EPS)
        self.joint_mlp = _mlp(joints, width // 2, norms=temporal)
        self.joint_graph = PartitionConvolution(width, width, kinds)
        self.channel_norm = nn.LayerNorm(width, EPS)
        self.channel_mlp = _mlp(width, 2 * width)
        self.channel_graph = PartitionConvolution(width, width, kinds)

    def forward(self, features: Tensor) -> Tensor:
        """(J, B, C) to the same."""
        rows = self.joint_norm(features.movedim(0, -1))  # (B, C, J)
        near = self.joint_graph(nodes_first(rows.transpose(1, 2)))
        mixed = near + self.joint_mlp(rows).movedim(-1, 0)
        features = features + self._some(mixed)
        normed = self.channel_norm(features)
        return features + self._some(self.channel_mlp(normed) + self.channel_graph(normed))

    def _some(self, change: Tensor) -> Tensor:
        if not self.training or self.dropped == 0:
            return change
        poses = functional.dropout(change.new_ones(1, change.shape[1], 1), self.dropped)
        return change * poses


class GraphMLP(nn.Module):
    """GraphMLP (Li et al., Pattern Recognition 158, 2025). Over several frames each joint brings
    its whole path, and little more work.

    Args:
        skeleton: joints of the input and the output.
        width: channels of each joint. The MLP over joints has half as many hidden units, that over
            channels twice as many.
        frames: T.

    Raises:
        ValueError: if the width is below 2.
    """

    graph_safe = True

    def __init__(self, skeleton: Skeleton, *, width: int, frames: int) -> None:
        super().__init__()
        if width < 2:
            raise ValueError(f"width: got {width}, expected at least 2")
        kinds = partition(skeleton.num_joints, bones_of(skeleton), mirror_pairs(skeleton))
        self.frames = frames
        self.embed = nn.Linear(2 * frames, width)
        self.layers = nn.Sequential(
            *(
                GraphMLPLayer(
                    skeleton.num_joints,
                    width,
                    kinds,
                    temporal=frames > 1,
                    dropped=MAX_DROPPED_PATHS * number / (LAYERS - 1),
                )
                for number in range(LAYERS)
            )
        )
        self.norm = nn.LayerNorm(width, EPS)
        self.shrink = nn.Linear(width, 3)

    def forward(self, pose2d: Tensor) -> Tensor:
        """(B, J, 2), or (B, T, J, 2) for several frames, to (B, J, 3)."""
        if self.frames > 1:
            pose2d = pose2d.transpose(1, 2).flatten(2)  # (B, J, 2 T), a joint's whole path
        features = self.layers(nodes_first(self.embed(pose2d)))
        return rooted(self.shrink(self.norm(features)))


def graph_mlp(skeleton: Skeleton, width: int = 128) -> nn.Module:
    """GraphMLP for one frame. The published width is 512 (9.5 million parameters); 128 is a tenth
    of the work and about that of VideoPose3D."""
    return GraphMLP(skeleton, width=width, frames=1)


def graph_mlp_27(skeleton: Skeleton, width: int = 128) -> nn.Module:
    """GraphMLP for 27 frames, of a width as `graph_mlp`."""
    return GraphMLP(skeleton, width=width, frames=27)


def _mlp(size: int, hidden: int, *, norms: bool = False) -> nn.Sequential:
    def norm(features: int) -> list[nn.Module]:
        return [nn.LayerNorm(features)] if norms else []

    return nn.Sequential(
        *(nn.Linear(size, hidden), *norm(hidden), nn.GELU(), Dropout(DROPOUT)),
        *(nn.Linear(hidden, size), *norm(size), Dropout(DROPOUT)),
    )
