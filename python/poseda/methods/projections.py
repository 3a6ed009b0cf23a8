"""PoseDA's variant with a 2D critic (Tables 7 and C): made poses, projected, against 2D poses."""

from __future__ import annotations

import torch
from torch import Tensor

from poseda.data.sampler import Sampler, centre
from poseda.distributed import world_size
from poseda.methods.adversary import Adversary
from poseda.methods.method import Task
from poseda.methods.placing import place_as_source, place_as_target, seen_in_both
from poseda.methods.stabilizers import make_stabilizer
from poseda.networks.critic2d import Critic2D
from poseda.networks.generator import Transformation


class Projections:
    """The 2D critic, and the projections that it sees.

    The real poses of a batch are those that the made ones come from: the source poses that were
    transformed, or the target poses that they are aligned with. So fake and real poses of a row are
    as large and stand in the same place, and the same joints were seen.

    Args:
        task: settings, source and target.
        gpa: whether made poses are placed by global position alignment, as the lifter will get
            them; otherwise they stay where the source's are.
    """

    def __init__(self, task: Task, *, gpa: bool) -> None:
        settings, own = task.settings, task.settings.poseda
        self.source, self.target, self.gpa = task.source, task.target, gpa
        self.of_target = own.critic2d == "target"
        self.batch = settings.batch
        real = self._real.poses
        self.critic = Critic2D(real.skeleton).to(real.pose2d.device)
        self.critic.standardize(real.pose2d, real.seen)
        stabilizer = make_stabilizer(own.gan, own.stabilizer, self.critic, task.random)
        self.adversary = Adversary(self.critic, own.gan, stabilizer, settings.gan_lr)
        batch = settings.batch // world_size()
        self.features = real.pose2d.new_zeros(2 * batch, self.critic.num_features)  # fake, real

    @property
    def _real(self) -> Sampler:
        return self.target if self.of_target else self.source

    def learn(self, rows: Tensor, made: Transformation) -> Tensor:
        """One step of the critic.

        Args:
            rows: (B,) of the source, or windows (B, T).
            made: what the generator made of them, without gradients.

        Returns:
            The gap, as of `Adversary.learn`.
        """
        rows, there = centre(rows), self._draw()
        with torch.inference_mode():
            fake, seen = self._project(rows, there, made)
            real = self._real_poses(rows, there)
            both = torch.cat((fake, real))
            masks = None if seen is None else torch.cat((seen, seen))
            self.features.copy_(self.critic.features(both, masks))
        return self.adversary.learn(self.features)

    def loss(self, rows: Tensor, made: Transformation) -> Tensor:
        """The generator's; arguments as of `learn`, with gradients."""
        fake, seen = self._project(centre(rows), self._draw(), made)
        score = self.adversary.judge(self.critic.features(fake, seen))
        return self.adversary.losses.generator(score)

    def _draw(self) -> Tensor | None:
        """(B,) rows of the target, where any are needed."""
        if not (self.gpa or self.of_target):
            return None
        return centre(self.target.rows(self.batch))

    def _real_poses(self, rows: Tensor, there: Tensor | None) -> Tensor:
        """(B, J, 2) what `rows` of the source, or `there` of the target, look like."""
        if not self.of_target:
            return self.source.pose2d(rows)
        assert there is not None
        return self.target.pose2d(there)

    def _project(
        self, rows: Tensor, there: Tensor | None, made: Transformation
    ) -> tuple[Tensor, Tensor | None]:
        """(B, J, 2) projections, and the joints (B, J) that the critic may look at."""
        moved = {"bone_scale": made.bone_scale, "rotation": made.rotation}
        if self.gpa:
            assert there is not None
            placed = place_as_target(self.target, there, made.turned, **moved)
        else:
            placed = place_as_source(self.source, rows, made.turned, **moved)
        assert placed.pose2d is not None
        seen = None if there is None else self.target.seen(there)
        if not self.of_target:
            seen = seen_in_both(seen, self.source.seen(rows))
        return placed.pose2d, seen
