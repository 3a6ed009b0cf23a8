"""Arrows point down only (docs/design.md): no module imports one of a layer above its own."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "python" / "poseda"
#: from the top; a module belongs to the layer that names most of its path
LAYERS = (
    ("__init__", "__main__", "cli"),
    ("reproduce",),
    ("runner", "report"),
    ("experiment",),
    ("plan",),
    ("lifter", "export"),
    ("methods", "training"),
    ("networks", "outputs", "figures"),
    ("data.prepare", "data.target"),
    ("config", "tables"),
    ("keypoints", "protocol"),
    ("cameras",),
    ("data", "card"),
    ("placement", "metrics"),
    ("alignment", "body", "device", "fitting"),
    ("files", "distributed", "plugins"),
)


def layer(module: str) -> int:
    """Counted from the top."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        for number, names in enumerate(LAYERS):
            if name in names:
                return number
    raise AssertionError(f"{module} is in no layer: add it here and in docs/design.md")


def imported(path: Path) -> set[str]:
    """What a file imports of this package, within functions too, without the package's name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name.removeprefix("poseda.") for name in found if name.startswith("poseda.")}


def test_arrows_point_down_only() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        wrong += [
            f"{module} -> {other}" for other in imported(path) if layer(other) < layer(module)
        ]
    assert not wrong
