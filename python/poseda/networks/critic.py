"""The anchor discriminator (PoseDA, section 3.3): a WGAN critic on part-wise KCS features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from poseda_ext import Skeleton, part_kcs

WIDTH = 256
LEAK = 0.01
#: A feature that hardly varies in the source, such as a bone's length over one person, is not
#: blown up beyond this spread.
MIN_SPREAD = 5e-3


class Critic(nn.Module):
    """Five networks, one per body part, of four layers with a skip, as one grouped network.

    Args:
        skeleton: joints and parts of the poses.
        unit: True looks at bone directions alone (PoseAug), False at their lengths too. Only
            lengths give the generator's bone-length network a gradient.
    """

    rows: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, skeleton: Skeleton, *, unit: bool) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.unit = unit
        sizes = [len(part) * (len(part) + 1) // 2 for part in skeleton.kcs_parts]
        parts, inputs, total = len(sizes), max(sizes), sum(sizes)
        # Feature `total` is a zero that fills the rows of the smaller parts.
        rows = torch.full((parts, inputs), total)
        start = 0
        for part, size in enumerate(sizes):
            rows[part, :size] = torch.arange(start, start + size)
            start += size
        self.register_buffer("rows", rows.flatten(), persistent=False)
        self.register_buffer("mean", torch.zeros(total))
        self.register_buffer("scale", torch.ones(total))
        shapes = [(inputs, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, 1)]
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(parts, i, o) * (2 / i) ** 0.5) for i, o in shapes
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(parts, 1, o)) for _, o in shapes)

    def standardize(self, poses: Tensor) -> None:
        """Takes the mean and spread of the features from source poses (N, J, 3)."""
        features = part_kcs(poses, self.skeleton, unit=self.unit)
        self.mean.copy_(features.mean(0))
        self.scale.copy_(1 / features.std(0, correction=0).clamp(min=MIN_SPREAD))

    def features(self, pose: Tensor) -> Tensor:
        """(B, J, 3) poses in metres to (B, F) standardised features."""
        return (part_kcs(pose, self.skeleton, unit=self.unit) - self.mean) * self.scale

    def forward(self, features: Tensor) -> Tensor:
        """(B, F) features to (B,) scores, high for real poses: the mean over the parts."""
        padded = nn.functional.pad(features, (0, 1)).index_select(1, self.rows)
        hidden = padded.unflatten(1, (self.weights[0].shape[0], -1)).transpose(0, 1)  # (P, B, I)
        first = self._layer(0, hidden)
        hidden = self._layer(1, first)
        hidden = first + self._layer(2, hidden)
        score = torch.baddbmm(self.biases[3], hidden, self.weights[3])
        return score.mean(0).squeeze(-1)

    def _layer(self, index: int, hidden: Tensor) -> Tensor:
        hidden = torch.baddbmm(self.biases[index], hidden, self.weights[index])
        return nn.functional.leaky_relu(hidden, LEAK)


def lipschitz_penalty(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """WGAN-GP's (|gradient| - 1)^2 at random points between real and fake features (B, F);
    `mix` (B, 1) says where between."""
    between = torch.lerp(real, fake, mix).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.norm(dim=1) - 1).square().mean()
