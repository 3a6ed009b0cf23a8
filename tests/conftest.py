"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def mocap() -> Path:
    """The folder with the real motion capture files; skips where they are not at hand."""
    default = Path(__file__).resolve().parents[2] / "shared" / "mocap"
    folder = Path(os.environ.get("POSEDA_MOCAP", default))
    if not (folder / "source_cmu.npz").is_file():
        pytest.skip(f"no motion capture files in {folder} (set POSEDA_MOCAP to their folder)")
    return folder
