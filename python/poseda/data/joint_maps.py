"""From the joints of data sets and keypoint detectors to Human3.6M's 17, as named tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]


@dataclass(frozen=True)
class JointMap:
    """How each joint of `H36M_17` is had from another set of joints.

    Attributes:
        name: of the other set.
        joints: its S joint names, in the order of its files.
        rules: H36M_17 joint to the weights of the joints that it is a sum of; they add up to 1. A
            joint without a rule is not there.

    Raises:
        ValueError: if a rule names an unknown joint, or its weights do not add up to 1.
    """

    name: str
    joints: tuple[str, ...]
    rules: Mapping[str, Mapping[str, float]]

    def __post_init__(self) -> None:
        for joint, weights in self.rules.items():
            unknown = {*weights} - {*self.joints} or {joint} - {*H36M_17.names}
            if unknown:
                raise ValueError(f"rules: got {sorted(unknown)}, expected joints of {self.name}")
            if abs(sum(weights.values()) - 1) > 1e-9:
                raise ValueError(f"rules: got weights {weights} for {joint}, expected a sum of 1")

    @property
    def matrix(self) -> Array:
        """(17, S) weights."""
        matrix = np.zeros((H36M_17.num_joints, len(self.joints)))
        for joint, weights in self.rules.items():
            for other, weight in weights.items():
                matrix[H36M_17.names.index(joint), self.joints.index(other)] = weight
        return matrix

    def points(self, points: Array) -> Array:
        """(..., S, D) to (..., 17, D); NaN for a joint without a rule, or made of a NaN."""
        matrix = self.matrix
        mapped = np.full((*points.shape[:-2], len(matrix), points.shape[-1]), np.nan)
        for row, weights in enumerate(matrix):
            used = np.flatnonzero(weights)
            if len(used):
                mapped[..., row, :] = (weights[used, None] * points[..., used, :]).sum(-2)
        return mapped

    def confidence(self, confidence: Array) -> Array:
        """(..., S) to (..., 17): the lowest of what a joint is made of; 0 without a rule."""
        mapped = np.zeros((*confidence.shape[:-1], H36M_17.num_joints))
        for row, weights in enumerate(self.matrix):
            used = np.flatnonzero(weights)
            if len(used):
                mapped[..., row] = confidence[..., used].min(-1)
        return mapped

    def lines(self) -> list[str]:
        """The table, for the user."""
        return [f"{joint} <- {_formula(self.rules.get(joint, {}))}" for joint in H36M_17.names]


def _formula(weights: Mapping[str, float]) -> str:
    if not weights:
        return "missing"
    if list(weights.values()) == [1]:
        return next(iter(weights))
    return " ".join(f"{weight:+.3g} {joint}" for joint, weight in weights.items())


def direct(name: str, joints: tuple[str, ...], taken: Mapping[str, str]) -> JointMap:
    """A map in which each joint of `H36M_17` is one of the other set."""
    return JointMap(name, joints, {ours: {theirs: 1.0} for ours, theirs in taken.items()})
