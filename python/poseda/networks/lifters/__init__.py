"""Lifters: any ``nn.Module`` from (B, J, 2) screen-normalised points to (B, J, 3) root-relative
metres can be one, and one from windows (B, T, J, 2) to the pose (B, J, 3) of the middle frame.
Published ones stand here, a file for each family; `make_lifter` also finds a user's own.

A lifter may have three attributes, of the class or the instance:

- ``frames``, T, an odd number; 1 where absent.
- ``graph_safe``: True lets training replay a step of it as one CUDA graph: forward neither waits
  for the device nor decides anything on the host. False where absent.
- ``lift_sequence``, of a lifter of windows: maps (B, L + T - 1, J, 2) to the poses (B, L, J, 3) of
  all L windows therein, for less than L times the work.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from poseda.config import Normalization
from poseda.networks.lifters.graph_mlp import GraphMLP, graph_mlp, graph_mlp_27
from poseda.networks.lifters.inference import LIFT_BATCH, frames_of, lift, lift_poses
from poseda.networks.lifters.normalized import (
    NORMALIZATIONS,
    Normalized,
    normalization_of,
    normalize,
)
from poseda.networks.lifters.residual import ResidualLifter, simple_baseline, videopose3d
from poseda.networks.lifters.sem_gcn import SemGCN, sem_gcn
from poseda.networks.lifters.st_gcn import STGCN, st_gcn
from poseda.networks.lifters.temporal import TemporalLifter, videopose3d_27
from poseda.plugins import import_own
from poseda_ext import Skeleton

__all__ = [
    "LIFTERS",
    "LIFT_BATCH",
    "NORMALIZATIONS",
    "OWN_WIDTH",
    "PUBLISHED",
    "STGCN",
    "GraphMLP",
    "Named",
    "Normalized",
    "ResidualLifter",
    "SemGCN",
    "TemporalLifter",
    "default_width",
    "frames_of",
    "graph_mlp",
    "graph_mlp_27",
    "lift",
    "lift_poses",
    "make_lifter",
    "normalization_of",
    "normalize",
    "sem_gcn",
    "simple_baseline",
    "st_gcn",
    "videopose3d",
    "videopose3d_27",
]


class Named(NamedTuple):
    """A published lifter."""

    make: Callable[[Skeleton, int], nn.Module]  #: from the skeleton and the width
    width: int  #: where none is said


LIFTERS: dict[str, Named] = {
    "simple_baseline": Named(simple_baseline, 1024),
    "videopose3d": Named(videopose3d, 1024),
    "videopose3d_27": Named(videopose3d_27, 1024),
    "sem_gcn": Named(sem_gcn, 128),
    "st_gcn": Named(st_gcn, 128),
    "graph_mlp": Named(graph_mlp, 128),
    "graph_mlp_27": Named(graph_mlp_27, 128),
}
#: the classes of these, all of whose parameters take part in every step
PUBLISHED = (ResidualLifter, TemporalLifter, SemGCN, STGCN, GraphMLP)
#: of a user's own lifter, which decides itself
OWN_WIDTH = 1024


def default_width(name: str) -> int:
    """The width of a lifter where none is said: the published one, or what a CPU can train."""
    return LIFTERS[name].width if name in LIFTERS else OWN_WIDTH


def make_lifter(
    name: str,
    skeleton: Skeleton,
    width: int | None = None,
    normalization: Normalization = "screen",
) -> nn.Module:
    """A lifter by name. A user's own is checked to map (B, J, 2) to (B, J, 3), or (B, T, J, 2)
    if it has ``frames``.

    Args:
        name: one of `LIFTERS`, or a user's own as ``package.module:Class``, which is called with
            the skeleton as its only argument.
        skeleton: joints of input and output.
        width: of the hidden layers of a lifter of `LIFTERS`; None takes `default_width`.
        normalization: of its input (`normalize`).

    Raises:
        ValueError: if there is no such lifter, or what it returns has the wrong shape.
        TypeError: if what was named does not make an ``nn.Module``.
    """
    lifter = _make(name, skeleton, width)
    return lifter if normalization == "screen" else Normalized(lifter, normalization)


def _make(name: str, skeleton: Skeleton, width: int | None) -> nn.Module:
    if name in LIFTERS:
        return LIFTERS[name].make(skeleton, default_width(name) if width is None else width)
    try:
        lifter = import_own(name, LIFTERS)(skeleton)
    except Exception as error:  # whatever a user's own module and class may raise
        raise ValueError(f"lifter {name}: cannot be made: {error!r}") from error
    if not isinstance(lifter, nn.Module):
        raise TypeError(f"lifter {name}: got {type(lifter).__name__}, expected a torch.nn.Module")
    _check(lifter, name, skeleton)
    return lifter


def _check(lifter: nn.Module, name: str, skeleton: Skeleton) -> None:
    """Tries a copy in training and in evaluation, without touching any random state."""
    joints, frames = skeleton.num_joints, frames_of(lifter)
    given = (2, joints, 2) if frames == 1 else (2, frames, joints, 2)
    if not any(parameter.requires_grad for parameter in lifter.parameters()):
        raise ValueError(f"lifter {name}: got no trainable parameter, expected at least one")
    with torch.random.fork_rng(devices=[]):
        try:
            trial = copy.deepcopy(lifter)
            trial.train()(torch.rand(given)).sum().backward()
            with torch.no_grad():
                result = trial.eval()(torch.zeros(3, *given[1:]))  # another batch
        except Exception as error:
            raise ValueError(
                f"lifter {name}: fails on input of shape {given}: {error!r}"
            ) from error
    shape = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
    if shape != (3, joints, 3):
        raise ValueError(
            f"lifter {name}: got {shape} from input {(3, *given[1:])}, expected (3, {joints}, 3)"
        )
    if not bool(result.isfinite().all()):
        raise ValueError(f"lifter {name}: got NaN or infinity from zeros, expected finite poses")
