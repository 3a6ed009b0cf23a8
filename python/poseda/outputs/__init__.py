"""Lifted poses as files that people look at or use elsewhere, a module for each format.

All writers take the same arguments: a path, ``pose3d`` (N, J, 3), the skeleton, and what else is
known by keyword (`poseda.outputs.poses.Known`).
"""

from poseda.outputs.bvh import write_bvh
from poseda.outputs.html import write_html
from poseda.outputs.json import write_json
from poseda.outputs.npz import write_npz

__all__ = ["write_bvh", "write_html", "write_json", "write_npz"]
