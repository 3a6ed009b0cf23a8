"""What the README shows works: its code runs, and what it names is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_python_snippet_runs(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "torch.Size([1024, 16, 3])" in done.stdout


def test_commands_exist() -> None:
    pytest.importorskip("tyro", reason="the command line needs tyro")
    from poseda.cli import COMMANDS

    named = set(re.findall(r"(?:^|`)poseda (\w+)", README, re.MULTILINE))
    assert named == set(COMMANDS)
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`?make (?:VENV= )?([\w-]+)", README)) <= set(targets)


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", README):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link
