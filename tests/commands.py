"""Commands as a user runs them, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poseda.cli import main
from poseda.data import load_pose_set
from poseda.data.prepare import Preparation


def run(command: str, *arguments: object) -> None:
    main([command, *(str(argument) for argument in arguments)])


def refused(capsys: pytest.CaptureFixture[str], command: str, *arguments: object) -> str:
    """The last line that a refused command prints, after at most progress."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        run(command, *arguments)
    assert stop.value.code == 2
    errors = capsys.readouterr().err.strip()
    assert errors.count("poseda: error: ") == 1 and "Traceback" not in errors
    last = errors.splitlines()[-1]
    assert last.startswith("poseda: error: ")
    return last


def prepared(
    kind: type[Preparation], folder: Path, **options: Any
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """The canonical arrays, what the file says of itself, and what the user is told."""
    path = folder.parent / f"{folder.name}.npz"
    lines = kind(folder=folder, to=path, **options).run().lines()
    with np.load(path) as file:
        arrays = dict(file)
    load_pose_set(path)
    return arrays, json.loads(str(arrays["about"])), lines
