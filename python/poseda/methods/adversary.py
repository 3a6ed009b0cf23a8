"""A critic, what it learns from real and generated poses, and what it tells the generator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from poseda.config.poseda import Gan
from poseda.distributed import average_gradients
from poseda.methods.losses import lsgan_critic, lsgan_generator
from poseda.methods.stabilizers import Stabilizer
from poseda.networks.critic import Critic
from poseda.networks.critic2d import Critic2D
from poseda.training.graphs import load_optimizer

C = TypeVar("C", Critic, Critic2D)


class Losses(NamedTuple):
    """Of one kind of adversarial training, from scores of fake and of real poses."""

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


LOSSES: dict[Gan, Losses] = {
    # PoseDA, Eq. 11 and 12
    "wgan": Losses(lambda fake, real: fake.mean() - real.mean(), lambda fake: -fake.mean()),
    "lsgan": Losses(lambda fake, real: lsgan_critic(real, fake), lsgan_generator),
}


class Adversary(Generic[C]):
    """One critic in training.

    Args:
        critic: the network, trained in place.
        gan: which losses.
        stabilizer: what is added to its training; of the same network.
        lr: RMSProp's learning rate.
    """

    def __init__(self, critic: C, gan: Gan, stabilizer: Stabilizer, lr: float) -> None:
        self.critic: C = critic
        self.losses = LOSSES[gan]
        # Each part goes to 1 by itself (PoseAug); a mean of scores is the same to Wasserstein.
        self._score: Callable[[Tensor], Tensor] = critic if gan == "wgan" else critic.part_scores
        self.stabilizer = stabilizer
        self.optimizer = rmsprop(critic.parameters(), lr)

    def learn(self, features: Tensor) -> Tensor:
        """One step of the critic.

        Args:
            features: (2B, F) of fake poses, then of real ones.

        Returns:
            The gap: how much higher real poses score on average, before the step.
        """
        fake, real = features.chunk(2)
        fake_score, real_score = self._score(features).chunk(2, -1)
        loss = self.losses.critic(fake_score, real_score)
        gap = real_score.detach().mean() - fake_score.detach().mean()
        self.optimizer.zero_grad()
        self.stabilizer.add_to(loss, real, fake).backward()
        average_gradients(self.critic.parameters())
        self.optimizer.step()
        self.stabilizer.after_step()
        return gap

    def judge(self, features: Tensor) -> Tensor:
        """Scores (..., B) of made poses (B, F). Gradients pass to the poses, none to the critic."""
        self.critic.requires_grad_(False)
        score: Tensor = self._score(features)
        self.critic.requires_grad_(True)
        return score

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.critic.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "stabilizer": self.stabilizer.vectors,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.critic.load_state_dict(state["network"])
        load_optimizer(self.optimizer, state["optimizer"])
        # in place: the checkpoint's tensors lie on the CPU, these on the device
        for vector, saved in zip(self.stabilizer.vectors, state["stabilizer"], strict=True):
            vector.copy_(saved)


def rmsprop(parameters: Iterable[Tensor], lr: float) -> torch.optim.RMSprop:
    """The optimiser of critic and generator."""
    learned = list(parameters)
    return torch.optim.RMSprop(learned, lr, foreach=True, capturable=learned[0].is_cuda)
