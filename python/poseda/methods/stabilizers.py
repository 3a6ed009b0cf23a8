"""What keeps a Wasserstein critic near Lipschitz."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from poseda.distributed import own_rows, world_size

CLIP = 0.01
#: units of the layers to which that applies
CLIP_WIDTH = 256
PENALTY_WEIGHT = 1.0


class Network(Protocol):
    """A critic: `poseda.networks.critic.Critic` or `poseda.networks.critic2d.Critic2D`."""

    @property
    def matrices(self) -> Sequence[Tensor]:
        """The weights of its layers as (P, inputs, outputs), P networks side by side; changed in
        place they change the network."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def __call__(self, features: Tensor) -> Tensor:
        """(B, F) features to (B,) scores."""
        ...


class Stabilizer:
    """By a term of the critic's loss, or by a change after its step. This one does neither."""

    def __init__(self, critic: Network, random: torch.Generator) -> None:
        self.critic = critic
        self.parameters: list[Tensor] = list(critic.parameters())
        self.random = random
        self.vectors: list[Tensor] = []  #: what a checkpoint must hold

    def add_to(self, loss: Tensor, real: Tensor, fake: Tensor) -> Tensor:
        return loss

    def after_step(self) -> None:
        pass


class Clip(Stabilizer):
    """Weights within +-0.01 (Arjovsky et al., ICML 2017), the published choice for RMSProp, of the
    part-wise critic. The 2D critic is narrower, and what its layers can pass on so much less; its
    bound is wider by as much. (With 0.01 its gap stays at a thousandth of the other's.)"""

    def __init__(self, critic: Network, random: torch.Generator) -> None:
        super().__init__(critic, random)
        self.bound = CLIP * CLIP_WIDTH / critic.matrices[0].shape[-1]

    @torch.no_grad()
    def after_step(self) -> None:
        torch._foreach_clamp_min_(self.parameters, -self.bound)
        torch._foreach_clamp_max_(self.parameters, self.bound)


class Penalty(Stabilizer):
    """Gradient penalty (Gulrajani et al., NeurIPS 2017) of weight 1; weight 10 stalls bone
    angles."""

    def add_to(self, loss: Tensor, real: Tensor, fake: Tensor) -> Tensor:
        rows = world_size() * real.shape[0]
        mix = own_rows(torch.rand(rows, 1, generator=self.random, device=real.device))
        return loss + PENALTY_WEIGHT * lipschitz_penalty(self.critic, real, fake, mix)


def lipschitz_penalty(critic: Network, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """WGAN-GP's (|gradient| - 1)^2 at random points between real and fake features (B, F);
    `mix` (B, 1) says where between."""
    between = torch.lerp(real, fake, mix).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.norm(dim=1) - 1).square().mean()


class Spectral(Stabilizer):
    """Each layer's weights scaled to spectral norm at most 1 (one power iteration a step)."""

    def __init__(self, critic: Network, random: torch.Generator) -> None:
        super().__init__(critic, random)
        self.vectors = [torch.ones_like(weight[:, :1]) for weight in critic.matrices]  # (P, 1, O)
        for _ in range(10):
            self.after_step()

    @torch.no_grad()
    def after_step(self) -> None:
        for weight, vector in zip(self.critic.matrices, self.vectors, strict=True):
            left = nn.functional.normalize(vector @ weight.mT, dim=-1)  # (P, 1, I)
            product = left @ weight
            norm = product.norm(dim=-1, keepdim=True)
            vector.copy_(product / norm.clamp(min=1e-12))
            weight.div_(norm.clamp(min=1))


def make_stabilizer(gan: str, name: str, critic: Network, random: torch.Generator) -> Stabilizer:
    """A Wasserstein critic's stabiliser by its name; a least-squares critic has none."""
    if gan != "wgan":
        return Stabilizer(critic, random)
    named = {"clip": Clip, "penalty": Penalty, "spectral": Spectral}
    return named[name](critic, random)
