"""Names of methods, and how each is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from poseda.config import AdaptSettings
from poseda.data.poseset import PoseSet
from poseda.methods.adaptpose import AdaptPose
from poseda.methods.aligned import Aligned
from poseda.methods.baselines import RandomAugmentation
from poseda.methods.method import LabelledPairs, Method, Task
from poseda.methods.own import OwnMethod, try_method
from poseda.methods.poseaug import PoseAug
from poseda.methods.poseda import PoseDA
from poseda.networks.lifters import frames_of
from poseda.plugins import import_own

#: share of the joints that a frame of the target must show
MIN_SEEN = 0.5

#: the fields of `AdaptSettings` that decide the numbers of every method
COMMON = ("steps", "batch", "lr")
#: those of PoseDA's generator and critic
LPA = ("warmup", "gan_lr", "poseda")

#: makes a method for a task
Maker = Callable[[Task], Method]


@dataclass(frozen=True)
class Entry:
    """A method of this package."""

    title: str  #: in tables
    says: str  #: what it does, in a line
    make: Maker | None  #: None: the lifter is left as it is
    labels: bool = False  #: whether it looks at the target's 3D
    target: bool = True  #: whether it learns from the target
    windows: bool = True  #: whether it makes windows, for a lifter of several frames
    #: the fields of `AdaptSettings` beside `COMMON` that decide its numbers; None: all of them
    parts: tuple[str, ...] | None = None


_ENTRIES = {
    "source-only": Entry("source only", "does not adapt", None),
    "control": Entry(
        "control",
        "trains as long on the source alone: what adaptation has to beat",
        lambda task: LabelledPairs(task.source, task.settings.batch),
        target=False,
        parts=(),
    ),
    "gpa": Entry(
        "+ GPA",
        "PoseDA's global position alignment alone",
        lambda task: PoseDA(task, lpa=False),
        parts=(),
    ),
    "lpa": Entry(
        "+ LPA",
        "PoseDA's local pose augmentation alone",
        lambda task: PoseDA(task, gpa=False),
        parts=LPA,
    ),
    "poseda": Entry("PoseDA", "both (Chai et al., ICCV 2023)", PoseDA, parts=LPA),
    "poseaug": Entry(
        "PoseAug",
        "harder poses and views, made from the source alone (Gong et al., CVPR 2021)",
        PoseAug,
        target=False,
        windows=False,
        parts=("warmup", "gan_lr", "poseaug"),
    ),
    "adaptpose": Entry(
        "AdaptPose",
        "generates motions and cameras that look like the target (Gholami et al., CVPR 2022)",
        AdaptPose,
        parts=("warmup", "gan_lr", "adaptpose"),
    ),
    "random-rotation": Entry(
        "+ GPA, random rotation",
        "GPA of source poses turned about the vertical at random (PoseDA, Table 6)",
        lambda task: RandomAugmentation(task, rotation=True, lengths=False),
        parts=(),
    ),
    "random-lengths": Entry(
        "+ GPA, random lengths",
        "GPA of source poses with random bone lengths (PoseDA, Table 6)",
        lambda task: RandomAugmentation(task, rotation=False, lengths=True),
        parts=("poseda",),
    ),
    "random-both": Entry(
        "+ GPA, both random",
        "both of these (PoseDA, Table 6)",
        lambda task: RandomAugmentation(task, rotation=True, lengths=True),
        parts=("poseda",),
    ),
    "aligned": Entry(
        "aligned",
        "viewpoint, body and poses as the lifter sees them in the target: this project's own",
        Aligned,
        parts=("aligned", *LPA),
    ),
    "oracle": Entry(
        "oracle",
        "trains on the target's own 3D, which no real target has",
        lambda task: LabelledPairs(task.target, task.settings.batch),
        labels=True,
        parts=(),
    ),
}
METHODS = tuple(_ENTRIES)
#: what a comparison is over, unless told otherwise: PoseDA, its halves, ours and the yardsticks
COMPARED = ("source-only", "control", "gpa", "lpa", "poseda", "aligned", "oracle")


def title(name: str) -> str:
    """What a method is called in tables: one of a user's own by its name."""
    return _ENTRIES[name].title if name in _ENTRIES else name


def described() -> dict[str, str]:
    """Each method's name and what it does."""
    return {name: f"{entry.title}: {entry.says}" for name, entry in _ENTRIES.items()}


def check_method(name: str, frames: int = 1) -> None:
    """Finds out whether there is such a method, for a lifter of so many frames.

    Raises:
        ValueError: if there is none.
    """
    if name not in _ENTRIES:
        _own(name)
    elif frames > 1 and not _ENTRIES[name].windows:
        raise ValueError(
            f"method {name}: got a lifter of {frames} frames, expected one of a single frame: "
            "it augments single poses"
        )


def parts_of(name: str) -> tuple[str, ...] | None:
    """The fields of `AdaptSettings` that decide a method's numbers; None: any may."""
    parts = _ENTRIES[name].parts if name in _ENTRIES else None
    return None if parts is None else (*COMMON, *parts)


def is_own(name: str) -> bool:
    """Whether a method is a user's own."""
    return name not in _ENTRIES


def looks_at_labels(name: str) -> bool:
    """Whether a method is a yardstick that is given the target's 3D."""
    return name in _ENTRIES and _ENTRIES[name].labels


def learns_from_target(name: str) -> bool:
    """Whether a method is given anything of the target to learn from."""
    return name not in _ENTRIES or (_ENTRIES[name].make is not None and _ENTRIES[name].target)


def make_method(
    name: str,
    settings: AdaptSettings,
    source: PoseSet,
    target: PoseSet,
    random: torch.Generator,
    frames: int = 1,
    lifter: nn.Module | None = None,
    strides: Sequence[int] = (1,),
) -> Method:
    """A method over the train parts of source and target.

    Args:
        name: one of `METHODS` but "source-only", which does not train; or ``package.module:Class``,
            which is called with a `Task`.
        settings: the method's settings.
        source: labelled training poses.
        target: training poses of the new place. Only the oracle is given its 3D. Where joints were
            not seen, only frames with the root and half of the joints seen are drawn.
        random: where all sampling and noise comes from.
        frames: T of the lifter; above 1 the method makes windows of as many frames.
        lifter: the network that is adapted; some methods ask it.
        strides: of which each window of the source draws one.

    Raises:
        ValueError: if there is no such method, it needs labels that are not there, or no frame of
            the target shows enough.
    """
    entry = _ENTRIES.get(name)
    make = partial(OwnMethod, name, _own(name)) if entry is None else entry.make
    if make is None:
        raise ValueError(f"method: got {name!r}, expected one that trains")
    target = seen_enough(target)
    if not looks_at_labels(name):
        target = dataclasses.replace(target, pose3d=None)
    elif target.pose3d is None:
        raise ValueError(f"{target.name}: has no pose3d, expected it for method {name}")
    return make(Task.over(settings, source, target, random, frames, lifter, strides))


def try_own_method(
    name: str,
    settings: AdaptSettings,
    source: PoseSet,
    target: PoseSet,
    lifter: nn.Module,
    strides: Sequence[int] = (1,),
) -> None:
    """Runs a user's own method on a few poses, to find out what is wrong with it before anything
    is trained; nothing for one of `METHODS`.

    Args:
        name, settings, source, target, strides: as in `make_method`.
        lifter: of which a copy is given to the method, on the device of the poses.

    Raises:
        ValueError: if the method fails, or what it gives cannot be used.
    """
    if name in _ENTRIES:
        return
    target = dataclasses.replace(seen_enough(target), pose3d=None)

    def task(source: PoseSet, target: PoseSet, random: torch.Generator, lifter: nn.Module) -> Task:
        return Task.over(settings, source, target, random, frames_of(lifter), lifter, strides)

    try_method(name, _own(name), task, source, target, lifter)


def _own(name: str) -> Maker:
    """A user's own method: any callable that takes a `Task`."""
    if ":" not in name:
        names = ", ".join(METHODS)
        raise ValueError(
            f"method {name:.60}: no such method, expected one of {names} or package.module:Class"
        )
    try:
        return import_own(name, METHODS)
    except Exception as error:  # whatever a user's own module may raise
        raise ValueError(f"method {name}: cannot be made: {error!r}") from error


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
