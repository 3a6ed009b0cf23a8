"""Memory between training steps."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace

import pytest

from poseda.training.memory import keep_freed_memory


@pytest.mark.parametrize("most", [32 << 20, 1 << 31], ids=["glibc 2.34", "glibc 2.35"])
def test_large_tensors_stay_with_the_process(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """An older glibc refuses a threshold above 32 MiB, and then keeps the one it has."""
    taken: dict[int, int] = {}

    def mallopt(option: int, value: int) -> int:
        if option == -3 and value > most:
            return 0
        taken[option] = value
        return 1

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    keep_freed_memory()
    assert taken[-3] >= 32 << 20  # M_MMAP_THRESHOLD
