"""Settings of the alignment of viewpoint, body and pose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from poseda.config.checks import check_numbers
from poseda.placement import check_height


@dataclass(frozen=True)
class AlignedSettings:
    """Alignment of viewpoint, body and pose (docs/aligned.md)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    rounds: int = 6
    """Parts of the training, equally long. At the start of each the lifter is asked anew for the
    viewpoint, the bodies and the poses of the target's people."""
    viewpoint: Literal["camera", "pose"] = "camera"
    """What source poses are turned to: the direction that is up for the target pose's camera, as a
    whole, or each to the torso of its target pose, for cameras that move."""
    view_noise: float = 0.1
    """Deviation of the direction to which the body is turned, in each component, radians."""
    body_noise: float = 0.05
    """Deviation of the relative change of each bone's length once it is aligned."""
    height: float | None = None
    """Stature of the target's people, metres. One camera does not see it: without this it is that
    of the source's people."""
    per_subject: bool = True
    """Measure each of the people whom the target names for themselves."""
    fitted: float = 0.25
    """Share of the pairs, from the second round on, that are target poses themselves: what was
    seen, and the depths that fit it, the body and what the lifter says."""
    turned: float = 0.75
    """Share of the pairs, from the second round on, that are such poses turned about what is up for
    their camera (with viewpoint pose: about their torso), and seen by any of the target's cameras.
    What remains to 1 are source poses."""
    lpa: bool = False
    """Also turn bones of source poses and scale their lengths by PoseDA's local pose augmentation,
    of which it takes no rotation and no 2D critic; with fitted and turned below 1 together, so that
    source poses remain."""

    def __post_init__(self) -> None:
        check_numbers(self, "rounds", low=2)
        check_numbers(self, "view_noise")
        check_numbers(self, "body_noise", high=0.3)
        check_numbers(self, "fitted", "turned", high=1)
        if self.fitted + self.turned > 1:
            raise ValueError(
                f"fitted, turned: got {self.fitted} and {self.turned}, expected at most 1 together"
            )
        if self.lpa and self.fitted + self.turned == 1:
            raise ValueError(
                f"lpa: got it with fitted {self.fitted} and turned {self.turned}, expected less "
                "than 1 together: it augments the source poses that remain"
            )
        if self.height is not None:
            check_height(self.height)
