"""The anchor discriminator (PoseDA, section 3.3): a WGAN critic on part-wise KCS features."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from poseda_ext import Skeleton, part_kcs

WIDTH = 256
LEAK = 0.01
#: A feature that hardly varies in the source, such as a bone's length over one person, is not
#: blown up beyond this spread.
MIN_SPREAD = 5e-3
#: Source poses whose features are held at a time.
CHUNK = 65_536


class Critic(nn.Module):
    """Five networks, one per body part, of four layers with a skip, as one grouped network.

    Smaller parts are filled up to the size of the largest by repeating a bone, so that the features
    come out of one op in the layout of one batched matrix product. A filler's scale is 0.

    Another kind of path through the layers is a subclass with its own `WIDTHS` and `path`.

    Args:
        skeleton: joints and parts of the poses.
        unit: True looks at bone directions alone (PoseAug), False at their lengths too. Only
            lengths give the generator's bone-length network a gradient.
    """

    #: units of the hidden layers
    WIDTHS: ClassVar[tuple[int, ...]] = (WIDTH, WIDTH, WIDTH)

    used: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, skeleton: Skeleton, *, unit: bool) -> None:
        super().__init__()
        self.unit = unit
        most = max(len(part) for part in skeleton.kcs_parts)
        filled = [(*part, *part[-1:] * (most - len(part))) for part in skeleton.kcs_parts]
        self.skeleton = replace(skeleton, kcs_parts=tuple(filled))
        used = [
            float(column < len(part))
            for part in skeleton.kcs_parts
            for row in range(most)
            for column in range(row, most)
        ]
        parts, inputs = len(filled), most * (most + 1) // 2
        self.register_buffer("used", torch.tensor(used), persistent=False)
        self.register_buffer("scale", torch.tensor(used))
        self.register_buffer("shift", torch.zeros(parts * inputs))
        shapes = list(pairwise((inputs, *self.WIDTHS, 1)))
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(parts, i, o) * (2 / i) ** 0.5) for i, o in shapes
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(parts, 1, o)) for _, o in shapes)

    @property
    def num_features(self) -> int:
        return len(self.scale)

    @property
    def matrices(self) -> list[Tensor]:
        """The weights of the layers, each (P, inputs, outputs) for P parts."""
        return list(self.weights)

    @torch.no_grad()
    def standardize(self, poses: Tensor) -> None:
        """Takes the mean and spread of the features from source poses (N, J, 3)."""
        total, squares = (torch.zeros_like(self.scale, dtype=torch.float64) for _ in range(2))
        for some in poses.split(CHUNK):
            features = part_kcs(some, self.skeleton, unit=self.unit).double()
            total += features.sum(0)
            squares += features.square().sum(0)
        mean = total / len(poses)
        spread = (squares / len(poses) - mean.square()).clamp(min=0).sqrt()
        self.scale.copy_(self.used / spread.clamp(min=MIN_SPREAD))
        self.shift.copy_(-mean * self.scale)

    def features(
        self, pose: Tensor, bone_scale: Tensor | None = None, *, out: Tensor | None = None
    ) -> Tensor:
        """Standardised features, part by part, fillers 0.

        Args:
            pose: (B, J, 3) metres, any origin.
            bone_scale: (B, J-1) by which bones change first, length times 1 + scale.
            out: (B, `num_features`), where they go; without it a new tensor.
        """
        features = part_kcs(pose, self.skeleton, bone_scale=bone_scale, unit=self.unit)
        return torch.addcmul(self.shift, features, self.scale, out=out)

    def forward(self, features: Tensor) -> Tensor:
        """(B, `num_features`) to (B,) scores, high for real poses: the mean over the parts."""
        return self.part_scores(features).mean(0)

    def part_scores(self, features: Tensor) -> Tensor:
        """(B, `num_features`) to (P, B), a score by each part's network."""
        parts = self.weights[0].shape[0]
        hidden = features.unflatten(1, (parts, -1)).transpose(0, 1)  # (P, B, I)
        operands = hidden, *self.weights, *self.biases
        if features.is_cuda:  # one batched product per layer
            return self.path(*operands).squeeze(-1)
        # part by part: a part's hidden layers are still in the cache when they are needed
        pieces = zip(*(tensor.chunk(parts) for tensor in operands), strict=True)
        return torch.cat([self.path(*piece) for piece in pieces]).squeeze(-1)

    @staticmethod
    def path(hidden: Tensor, *layers: Tensor) -> Tensor:
        """(P, B, I) to (P, B, 1): P networks side by side, given all weights, then all biases."""
        weights, biases = layers[:4], layers[4:]

        def layer(index: int, hidden: Tensor) -> Tensor:
            hidden = torch.baddbmm(biases[index], hidden, weights[index])
            return nn.functional.leaky_relu_(hidden, LEAK)

        first = layer(0, hidden)
        hidden = first + layer(2, layer(1, first))
        return torch.baddbmm(biases[3], hidden, weights[3])
