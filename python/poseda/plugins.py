"""Lifters and methods that a user names as ``package.module:Class``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any


def import_own(name: str, known: Iterable[str]) -> Callable[..., Any]:
    """What a name stands for.

    Args:
        name: ``package.module:Class``, importable from here.
        known: names that would have done as well, for the message.

    Raises:
        ValueError: if the name has another form.
        TypeError: if what it stands for cannot be called.
        ImportError, AttributeError: if there is no such thing; and whatever the module raises.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise ValueError(f"expected one of {', '.join(known)} or package.module:Class")
    found = getattr(importlib.import_module(module), attribute)
    if not callable(found):
        raise TypeError(f"got {type(found).__name__}, expected a class")
    return found
