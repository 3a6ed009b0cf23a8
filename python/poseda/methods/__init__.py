"""The methods, by name."""

from __future__ import annotations

from typing import get_args

import torch

from poseda.config import AdaptSettings, MethodName
from poseda.data.poseset import PoseSet
from poseda.data.sampler import Sampler
from poseda.methods.pairs import LabelledPairs, Method, Pairs, labelled_pairs
from poseda.methods.poseda import PoseDA

__all__ = ["METHODS", "Method", "Pairs", "PoseDA", "labelled_pairs", "make_method"]

#: share of the joints that a frame of the target must show
MIN_SEEN = 0.5
METHODS: tuple[MethodName, ...] = get_args(MethodName)


def make_method(
    name: MethodName,
    settings: AdaptSettings,
    source: PoseSet,
    target: PoseSet,
    random: torch.Generator,
    frames: int = 1,
) -> Method:
    """A method over the train parts of source and target.

    Args:
        name: one of `METHODS` but "source-only", which does not train.
        settings: the method's settings.
        source: labelled training poses.
        target: training poses of the new place. Only the oracle looks at its 3D. Where joints were
            not seen, only frames with the root and half of the joints seen are drawn.
        random: where all sampling and noise comes from.
        frames: T of the lifter; above 1 the method makes windows of as many frames.

    Raises:
        ValueError: if there is no such method, it needs labels that are not there, or no frame of
            the target shows enough.
    """
    target = seen_enough(target)
    from_source, from_target = Sampler(source, random, frames), Sampler(target, random, frames)
    if name == "control":
        return LabelledPairs(from_source, settings.batch)
    if name == "oracle":
        if target.pose3d is None:
            raise ValueError(f"{target.name}: has no pose3d, expected it for method oracle")
        return LabelledPairs(from_target, settings.batch)
    if name in ("gpa", "lpa", "poseda"):
        return PoseDA(
            settings, from_source, from_target, random, gpa=name != "lpa", lpa=name != "gpa"
        )
    raise ValueError(f"method: got {name!r}, expected one of {', '.join(METHODS[1:])}")


def seen_enough(target: PoseSet) -> PoseSet:
    """The frames that show the root, without which a pose cannot be placed, and enough of the
    body to tell its size in the image.

    Raises:
        ValueError: if there are none.
    """
    if target.seen is None:
        return target
    enough = target.seen[:, 0] & (target.seen.float().mean(1) >= MIN_SEEN)
    if not bool(enough.any()):
        raise ValueError(
            f"{target.name}: confidence: none of {len(target)} training frames shows the root "
            f"(both hips) and {MIN_SEEN:.0%} of the joints, expected some to learn from"
        )
    return target if bool(enough.all()) else target.rows(enough)
