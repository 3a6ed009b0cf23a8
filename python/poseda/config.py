"""Typed settings. Each field's docstring is its help text on the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

MethodName = Literal["source-only", "control", "gpa", "lpa", "poseda", "oracle"]


def _positive(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if not value > 0:
            raise ValueError(f"{name}: got {value}, expected more than 0")


@dataclass(frozen=True)
class PretrainSettings:
    """Supervised training on the source (Eq. 2)."""

    steps: int = 6000
    """Optimiser steps."""
    batch: int = 256
    """Source poses per step."""
    lr: float = 1e-3
    """Adam's learning rate at the start."""
    final_lr: float = 1.6e-4
    """Learning rate at the end; it falls exponentially."""

    def __post_init__(self) -> None:
        _positive(self, "steps", "batch", "lr", "final_lr")


@dataclass(frozen=True)
class AdaptSettings:
    """Fine-tuning on a 1:1 mix of source and augmented pairs (Algorithm 1)."""

    steps: int = 6000
    """Lifter steps. Control and oracle take as many."""
    batch: int = 256
    """Source poses per step; as many augmented ones are added."""
    lr: float = 5e-4
    """The lifter's learning rate (Adam) at the start; it falls linearly to 0."""
    warmup: int = 500
    """Iterations of critic and generator before the lifter's first step (w)."""
    generator_every: int = 5
    """Critic steps for each generator step (n)."""
    gan_lr: float = 1e-4
    """Learning rate of critic and generator (RMSProp)."""
    stabilizer: Literal["clip", "penalty", "spectral"] = "clip"
    """What keeps the critic Lipschitz: weights clipped to 0.01, a gradient penalty of weight 1,
    or weights of spectral norm at most 1."""
    unit_bones: bool = False
    """Show the critic bone directions only, without lengths."""
    max_bone_angle: float = 0.5
    """Bound of each axis-angle component by which a bone turns, radians."""
    max_bone_scale: float = 0.2
    """Bound of the relative change of a bone's length."""
    max_rotation: float = 0.5
    """Bound of each axis-angle component by which the body turns, radians."""
    rotation_network: bool = False
    """Take the rotation from the paper's third network, which no KCS critic can teach, instead of
    drawing it uniformly."""

    def __post_init__(self) -> None:
        _positive(self, "steps", "batch", "lr", "gan_lr", "generator_every")
        for name in ("warmup", "max_bone_angle", "max_rotation"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 or more")
        if not 0 <= self.max_bone_scale < 1:
            raise ValueError(
                f"max_bone_scale: got {self.max_bone_scale}, expected at least 0 and below 1"
            )


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run's numbers, and where they go."""

    source: Path | None = None
    """Canonical .npz with 3D labels. Without it, synthetic humans."""
    target: Path | None = None
    """Canonical .npz of the new place: 2D keypoints and intrinsics suffice; 3D is used only to
    evaluate. Without it, synthetic humans."""
    out: Path = Path("runs/adapt")
    """Run folder."""
    joints: Literal[16, 17] = 16
    """16 drops Neck/Nose, as the papers do."""
    camera_classes: tuple[str, ...] = ()
    """Names for groups of the target's cameras in the results, e.g. chest:0,1,2 ceiling:5,6."""
    lifter: str = "videopose3d"
    """simple_baseline, videopose3d, or your own as package.module:Class."""
    width: int = 1024
    """Units of each hidden layer of the two named lifters (published: 1024)."""
    weights: Path | None = None
    """Start from these safetensors instead of pre-training; they bring lifter and width."""
    pretrain: PretrainSettings = field(default_factory=PretrainSettings)
    adapt: AdaptSettings = field(default_factory=AdaptSettings)
    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda or cuda:N."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the lifter's matrix products in training."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        _positive(self, "width", "checkpoint_every")
