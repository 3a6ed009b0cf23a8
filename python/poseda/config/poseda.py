"""Settings of PoseDA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from poseda.config.checks import check_numbers


@dataclass(frozen=True)
class PoseDASettings:
    """Local pose augmentation (PoseDA, section 3.3)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    generator_every: int = 5
    """Critic steps for each generator step (n)."""
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
        check_numbers(self, "generator_every", low=1)
        check_numbers(self, "max_bone_angle", "max_rotation")
        check_numbers(self, "max_bone_scale", high=0.99)
