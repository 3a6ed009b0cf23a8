"""Settings of AdaptPose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from poseda.config.checks import check_numbers, check_strides


@dataclass(frozen=True)
class AdaptPoseSettings:
    """AdaptPose (Gholami et al., CVPR 2022); docs/adaptpose.md has what each stands for."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    bone_generator: Literal["none", "bg1", "bg2", "bg3"] = "bg3"
    """How bones move: one displacement for all frames (Eq. 5), one that grows from frame to frame
    (Eq. 6), a rotation that grows (Eq. 7), or not at all."""
    camera: Literal["none", "deterministic", "probabilistic"] = "probabilistic"
    """Whether the camera's rotation is what a network says, is drawn from a distribution that it
    says, or stays the source's."""
    camera_rotation: Literal["axis-angle", "quaternion", "euler"] = "axis-angle"
    """What the network says of a rotation (Eq. 11 to 13)."""
    domain: Literal["target", "source"] = "target"
    """Whose 2D poses the domain discriminator takes for real; source is Table 5's A1 to A4."""
    perturbation_deg: float = 10.0
    """Source bones turn by less than this, in degrees, before the 3D discriminator sees them."""
    domain_weight: float = 1.0
    """Weight of the generator's term by the domain discriminator (alpha of Eq. 2)."""
    pose_weight: float = 6.0
    """Weight of the generator's term by the 3D discriminator (beta of Eq. 2)."""
    reprojection_weight: float = 1e-4
    """Weight of the reprojection loss (Eq. 18)."""
    hard_ratio_weight: float = 0.01
    """Weight of the hard-ratio loss (Eq. 21)."""
    hard_ratio: Literal["outside", "inside"] = "outside"
    """Whether the hard-ratio loss counts outside of c +- d, as the authors' code has it, or inside,
    as Eq. 21 is printed."""
    hard_ratio_centre: float = 17.0
    """The ratio of lifter errors, generated to source, that the hard-ratio loss asks for (c)."""
    hard_ratio_width: float = 15.0
    """How far from it (d)."""
    select: bool = True
    """Train the lifter only on poses neither too simple nor too hard (Eq. 14)."""
    selection_centre: float = 17.0
    """The ratio of lifter errors in the middle of those selected (a)."""
    selection_width: float = 16.0
    """How far from it a selected one may be (b)."""
    strides: tuple[int, ...] = (1, 2)
    """Of which each window that the generator is given draws one, against differences in speed: as
    in the authors' code. The paper has 2 to 5, of a source of 50 frames per second."""
    critic_every: int = 2
    """Generator steps for each step of the discriminators."""

    def __post_init__(self) -> None:
        check_numbers(self, "perturbation_deg", high=180)
        check_numbers(self, "domain_weight", "pose_weight", "reprojection_weight")
        check_numbers(self, "hard_ratio_weight", "hard_ratio_centre", "hard_ratio_width")
        check_numbers(self, "selection_centre", "selection_width")
        check_numbers(self, "critic_every", low=1)
        if self.bone_generator == "none" and self.camera == "none":
            raise ValueError(
                "bone_generator, camera: got none for both, expected at least one that generates"
            )
        check_strides(self.strides)
