"""Loads the compiled kernels, and tells what is in use."""

from __future__ import annotations

import importlib
import os
import warnings
from types import ModuleType
from typing import Any


def _load() -> tuple[ModuleType | None, str]:
    """The extension module, or None and the reason why the reference runs in its place."""
    if os.environ.get("POSEDA_REFERENCE", "0") not in ("", "0"):
        return None, "POSEDA_REFERENCE is set"
    try:
        return importlib.import_module("poseda_ext._C"), ""
    except ImportError as error:
        return None, f"the compiled extension could not be imported ({error})"


extension, reason = _load()
_warned = False


def warn_reference(device: str) -> None:
    """Says, the first time only, that an op runs as plain torch."""
    global _warned
    if _warned:
        return
    _warned = True
    why = reason or f"no kernel was built for device type {device!r}"
    warnings.warn(f"poseda_ext runs its plain-torch reference, slowly: {why}", stacklevel=2)


def build_info() -> dict[str, Any]:
    """What the compiled kernels were built with, and what is in use.

    Returns:
        A dictionary. ``backend`` is "compiled" or "reference", ``reason`` says why the reference is
        in use. With the extension also: ``version``, ``torch_target`` (the oldest torch that the
        binary runs on), ``torch_built_with``, ``compiler``, ``cuda``, ``cuda_version``,
        ``cuda_architectures``, ``cpu_levels`` (instruction sets compiled), ``cpu_level`` (the one
        in use) and ``constants``.
    """
    info: dict[str, Any] = {"backend": "compiled" if extension else "reference", "reason": reason}
    return info | (extension.build_info() if extension else {})
