"""PoseDA (Chai et al., ICCV 2023): global position alignment and local pose augmentation.

`PoseDA.iterate` is lines 3 to 15 of Algorithm 1 (`poseda.methods.lpa`) and `PoseDA.pairs` the
augmented half of line 19; the training loop does the rest. Either half of the method can be
switched off. Its variants, those of the paper's Tables 7 and C among them, are settings
(`poseda.config.PoseDASettings`).

Over windows of T frames, which the paper does not have, generator and critic look at the middle
frame, its transformation is applied to all T, and the window is aligned with one of the target
(`poseda.alignment.gpa_of_windows`).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from poseda.methods.lpa import LocalPoseAugmentation
from poseda.methods.method import Pairs, Task
from poseda.methods.placing import placed_pairs


class PoseDA:
    """One adaptation by PoseDA, or by one half of it.

    Args:
        task: settings, source and target.
        gpa: whether the root comes from global position alignment (Eq. 7 and 9) and the camera
            from the target; otherwise both stay the source's.
        lpa: whether poses go through the generator.
    """

    def __init__(self, task: Task, *, gpa: bool = True, lpa: bool = True) -> None:
        self.settings = task.settings
        self.source = task.source
        self.target = task.target
        self.gpa = gpa
        self.skeleton = task.source.poses.skeleton
        self.local = LocalPoseAugmentation(task, gpa=gpa) if lpa else None
        self.least_squares = task.settings.poseda.gan == "lsgan"
        self.warmup = task.settings.warmup if lpa else 0

    def iterate(self, iteration: int) -> dict[str, Tensor]:
        return {} if self.local is None else self.local.iterate(iteration)

    def describe(self) -> dict[str, Tensor]:
        return {} if self.local is None else self.local.describe()

    def pairs(self) -> Pairs:
        target = self.target if self.gpa else None
        if self.local is None:
            rows = self.source.rows(self.settings.batch)
            return placed_pairs(self.source, target, rows, self.source.pose3d(rows))
        rows, made = self.local.latest
        scaled = {"bone_scale": made.bone_scale, "rotation": made.rotation}
        if rows.dim() == 1:
            return placed_pairs(self.source, target, rows, made.turned, **scaled)
        pose = self.source.pose3d(rows)  # of which the generator saw the middle frame
        turned = {"bone_rotation": made.bone_rotation, **scaled}
        return placed_pairs(self.source, target, rows, pose, **turned)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.local is None else self.local.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.local is not None:
            self.local.load_state_dict(state)
