"""How a lifter is trained before and in an adaptation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from poseda.config.adaptpose import AdaptPoseSettings
from poseda.config.aligned import AlignedSettings
from poseda.config.checks import MAX_BATCH, check_numbers
from poseda.config.poseaug import PoseAugSettings
from poseda.config.poseda import PoseDASettings


@dataclass(frozen=True)
class PretrainSettings:
    """Supervised training on the source (Eq. 2)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    steps: int = 6000
    """Optimiser steps."""
    batch: int = 256
    """Source poses per step."""
    lr: float = 1e-3
    """Adam's learning rate at the start."""
    final_lr: float = 1.6e-4
    """Learning rate at the end; it falls exponentially."""

    def __post_init__(self) -> None:
        check_numbers(self, "steps", low=1)
        check_numbers(self, "batch", low=2, high=MAX_BATCH)
        check_numbers(self, "lr", "final_lr", open_low=True)


@dataclass(frozen=True)
class AdaptSettings:
    """Fine-tuning on a 1:1 mix of source and augmented pairs (Algorithm 1)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    steps: int = 6000
    """Lifter steps. Control and oracle take as many."""
    batch: int = 256
    """Source poses per step; as many augmented ones are added."""
    lr: float = 5e-4
    """The lifter's learning rate (Adam) at the start; it falls linearly to 0."""
    warmup: int = 500
    """Iterations of critic and generator, where a method has them, before the lifter's first step
    (w)."""
    gan_lr: float = 1e-4
    """Learning rate of critic and generator (RMSProp in PoseDA, Adam in PoseAug)."""
    poseda: PoseDASettings = field(default_factory=PoseDASettings)
    poseaug: PoseAugSettings = field(default_factory=PoseAugSettings)
    adaptpose: AdaptPoseSettings = field(default_factory=AdaptPoseSettings)
    aligned: AlignedSettings = field(default_factory=AlignedSettings)
    options: tuple[str, ...] = ()
    """name=value settings of a method of your own (--method package.module:Class)."""

    def __post_init__(self) -> None:
        check_numbers(self, "steps", low=1)
        check_numbers(self, "batch", low=2, high=MAX_BATCH)
        check_numbers(self, "lr", "gan_lr", open_low=True)
        check_numbers(self, "warmup")
        for option in self.options:
            if not option.partition("=")[1]:
                raise ValueError(f"options: got {option!r:.60}, expected name=value")
