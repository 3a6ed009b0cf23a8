"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from poseda.data import PoseSet, load_pose_set, save_pose_set
from poseda.data.synthetic import make_source, make_target


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")


@pytest.fixture(scope="session")
def mocap() -> Path:
    """The folder with the real motion capture files; skips where they are not at hand."""
    default = Path(__file__).resolve().parents[2] / "shared" / "mocap"
    folder = Path(os.environ.get("POSEDA_MOCAP", default))
    if not (folder / "source_cmu.npz").is_file():
        pytest.skip(f"no motion capture files in {folder} (set POSEDA_MOCAP to their folder)")
    return folder


@pytest.fixture(scope="session")
def domains(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Canonical files of a small synthetic source and target."""
    folder = tmp_path_factory.mktemp("domains")
    paths = folder / "source.npz", folder / "target.npz"
    save_pose_set(paths[0], make_source(seed=1, frames=1500))
    save_pose_set(paths[1], make_target(seed=1, frames=1000))
    return paths


@pytest.fixture(scope="session")
def pose_sets(domains: tuple[Path, Path]) -> tuple[PoseSet, PoseSet]:
    """The same, loaded."""
    return load_pose_set(domains[0]), load_pose_set(domains[1])


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves a run's figures out, which take longer than a short training; test_cli.py has them."""
    monkeypatch.setattr("poseda.report.draw_figures", lambda plan, rows: [])
