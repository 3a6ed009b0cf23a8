"""The methods, by name. Each is one file; `Method` is what the training loop asks of it."""

from poseda.methods.adaptpose import AdaptPose
from poseda.methods.method import Labelled, LabelledPairs, Method, Pairs, Task, labelled_pairs
from poseda.methods.poseaug import PoseAug
from poseda.methods.poseda import PoseDA
from poseda.methods.registry import (
    COMPARED,
    METHODS,
    Maker,
    check_method,
    described,
    is_own,
    learns_from_target,
    looks_at_labels,
    make_method,
    parts_of,
    seen_enough,
    title,
    try_own_method,
)

__all__ = [
    "COMPARED",
    "METHODS",
    "AdaptPose",
    "Labelled",
    "LabelledPairs",
    "Maker",
    "Method",
    "Pairs",
    "PoseAug",
    "PoseDA",
    "Task",
    "check_method",
    "described",
    "is_own",
    "labelled_pairs",
    "learns_from_target",
    "looks_at_labels",
    "make_method",
    "parts_of",
    "seen_enough",
    "title",
    "try_own_method",
]
