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

from poseda.alignment import gpa_of_windows
from poseda.methods.lpa import LocalPoseAugmentation
from poseda.methods.method import Pairs, Task
from poseda.methods.placing import place_as_source, place_as_target, visible
from poseda_ext import augment


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
        self.warmup = task.settings.warmup if lpa else 0

    def iterate(self, iteration: int) -> dict[str, Tensor]:
        return {} if self.local is None else self.local.iterate(iteration)

    def describe(self) -> dict[str, Tensor]:
        return {} if self.local is None else self.local.describe()

    def pairs(self) -> Pairs:
        if self.source.frames > 1:
            return self._window_pairs()
        batch = self.settings.batch
        if self.local is None:
            rows = self.source.rows(batch)
            pose, bone_scale, rotation = self.source.pose3d(rows), None, None
        else:
            rows, (_, bone_scale, rotation, pose) = self.local.latest
        if self.gpa:
            there = self.target.rows(batch)
            made = place_as_target(self.target, there, pose, bone_scale, rotation)
        else:
            made = place_as_source(self.source, rows, pose, bone_scale, rotation)
        assert made.root is not None and made.pose2d is not None
        return Pairs(made.pose2d, made.pose3d, visible(made.pose3d, made.root, made.pose2d))

    def _window_pairs(self) -> Pairs:
        """`pairs` over (B, T) frames."""
        skeleton, batch = self.skeleton, self.settings.batch
        rows = self.source.rows(batch) if self.local is None else self.local.latest.rows
        pose = self.source.pose3d(rows)  # (B, T, J, 3)
        root, intrinsics = pose[:, :, 0], self.source.intrinsics(rows)
        if self.local is not None:
            made = self.local.latest.made
            turned = augment(
                pose,
                bone_rotation=made.bone_rotation[:, None],
                bone_scale=made.bone_scale[:, None],
                rotation=made.rotation[:, None],
                skeleton=skeleton,
            ).pose3d
        else:
            turned = augment(pose, skeleton=skeleton).pose3d
        if self.gpa:
            there = self.target.rows(batch)
            intrinsics = self.target.intrinsics(there)
            target2d, seen = self.target.pose2d(there), self.target.seen(there)
            root = gpa_of_windows(turned, target2d, intrinsics, seen)
        placed = augment(turned, root=root, intrinsics=intrinsics, skeleton=skeleton)
        assert placed.pose2d is not None
        keep = visible(turned, root, placed.pose2d).all(1)
        return Pairs(placed.pose2d, turned[:, turned.shape[1] // 2], keep)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.local is None else self.local.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.local is not None:
            self.local.load_state_dict(state)
