"""Settings of PoseDA and its variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from poseda.config.checks import check_numbers

Rotation = Literal["fixed", "tilt", "network", "learned", "none"]
Domain = Literal["source", "target"]
Gan = Literal["wgan", "lsgan"]


@dataclass(frozen=True)
class PoseDASettings:
    """Local pose augmentation (PoseDA, section 3.3)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    generator_every: int = 5
    """Critic steps for each generator step (n)."""
    gan: Gan = "wgan"
    """Loss of critic and generator: Wasserstein (Eq. 11 and 12), or least squares."""
    stabilizer: Literal["clip", "penalty", "spectral"] = "clip"
    """What keeps a Wasserstein critic Lipschitz: weights clipped to 0.01, a gradient penalty of
    weight 1, or weights of spectral norm at most 1. Least squares need nothing and get nothing."""
    unit_bones: bool = False
    """Show the critic bone directions only, without lengths."""
    max_bone_angle: float = 0.5
    """Bound of each axis-angle component by which a bone turns, radians."""
    max_bone_scale: float = 0.2
    """Bound of the relative change of a bone's length."""
    rotation: Rotation = "fixed"
    """By what the body turns: fixed draws each axis-angle component uniformly; tilt only that about
    the camera's x axis; network takes the paper's third network, which no KCS critic can teach, as
    it was initialised; learned teaches that network through the 2D critic; none does not turn."""
    max_rotation: float = 0.5
    """Bound of each axis-angle component by which the body turns, radians."""
    staged: bool = True
    """Each network of the generator sees the pose that the one before it made; otherwise all see
    the same pose."""
    generator_condition: Domain = "source"
    """The poses that the generator looks at (Table 7): the source poses that it transforms, or
    target poses as the lifter predicts them before it is adapted."""
    critic_domain: Domain = "source"
    """The poses that the critic takes for real (Table 7): those of the source, or target poses as
    the lifter predicts them before it is adapted."""
    critic2d: Literal["none", "source", "target"] = "none"
    """A second critic, of the projected poses, and whose 2D poses it takes for real (Tables 7
    and C)."""
    critic2d_weight: float = 1.0
    """Weight of the 2D critic in the generator's loss; that of the other is 1."""

    def __post_init__(self) -> None:
        check_numbers(self, "generator_every", low=1)
        check_numbers(self, "max_bone_angle", "max_rotation")
        check_numbers(self, "max_bone_scale", high=0.99)
        check_numbers(self, "critic2d_weight", open_low=True)
        if self.rotation == "learned" and self.critic2d == "none":
            raise ValueError(
                "rotation: got learned without a 2D critic, expected critic2d source or target: "
                "products of bones do not change as a body turns"
            )
        if self.gan == "lsgan" and self.stabilizer != "clip":
            raise ValueError(
                f"stabilizer: got {self.stabilizer} with gan lsgan, expected it with wgan only"
            )
