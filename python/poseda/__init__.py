"""PoseDA: adaptation of 2D-to-3D human pose lifters to a new place, from 2D keypoints alone."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poseda.lifter import Lifted, Lifter

__all__ = ["Lifted", "Lifter"]


def __getattr__(name: str) -> Any:
    """Loads what is asked for, so that ``import poseda`` alone stays light."""
    if name in __all__:
        return getattr(importlib.import_module("poseda.lifter"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
