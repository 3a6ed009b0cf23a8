"""Settings of PoseAug."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from poseda.config.checks import check_numbers


@dataclass(frozen=True)
class PoseAugSettings:
    """PoseAug's augmentor, its losses and its turns. A weight of 0 leaves a loss out."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    epochs: int = 48
    """Epochs of the lifter, of equal length: half of each is over augmented pairs, half over the
    source's. (Published: 50, of which 2 are warm-up.)"""
    critic_every: int = 2
    """Augmentor steps for each step of the two critics."""
    swap_bone_lengths: bool = True
    """Give each source pose the bone lengths of a random source subject before it is augmented."""
    weight_2d: float = 1.0
    """Weight of the 2D critic's score."""
    weight_3d: float = 6.0
    """Weight of the 3D critic's score."""
    weight_range: float = 3.0
    """Weight of the losses that keep bone angles and lengths within their range."""
    weight_hard_angle: float = 0.1
    """Weight of the feedback on how hard poses are after bone angles have changed."""
    weight_hard_view: float = 0.01
    """Weight of the feedback on how hard poses are at the end, with a new view."""

    def __post_init__(self) -> None:
        check_numbers(self, "epochs", "critic_every", low=1)
        check_numbers(
            self,
            "weight_2d",
            "weight_3d",
            "weight_range",
            "weight_hard_angle",
            "weight_hard_view",
        )
