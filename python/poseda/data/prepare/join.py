"""Several canonical files, of several cameras say, as one."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import tyro
from numpy.typing import NDArray

from poseda.data.checks import COLUMNS, REQUIRED, check_arrays, parse_about
from poseda.data.npz import NpzReader
from poseda.data.prepare.base import Preparation, Report
from poseda.data.writer import PoseWriter
from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]

#: numbers of a file's own, which would mean another camera or clip in the next file
_OWN = ("camera", "clip")
#: columns that a file may lack; others are left out where a file lacks them
_DISPENSABLE = ("split", "camera", "clip", "fps", "confidence", "subject")


@dataclass(frozen=True, kw_only=True)
class Join(Preparation):
    """Several canonical files as one, each file's cameras and clips counted anew."""

    dataset: ClassVar[str] = "canonical files"
    origin: ClassVar[str] = "poseda prepare"
    licence: ClassVar[str] = "the strictest of the files'"

    folder: Annotated[Path, tyro.conf.arg(name="from")]
    """Folder with the canonical .npz files."""

    def convert(self, writer: PoseWriter, about: dict[str, Any], report: Report) -> None:
        paths = sorted(p for p in self.folder.glob("*.npz") if p.resolve() != self.to.resolve())
        if len(paths) < 2:
            raise ValueError(f"from: {self.folder}: got {len(paths)} .npz files, expected several")
        columns = self._columns(paths, report)
        offsets = dict.fromkeys(_OWN, 0)
        for path in paths:
            with closing(_open(path)) as file:
                arrays = {name: file.whole(name) for name in file.columns}
            check_arrays(arrays, str(path))
            count = len(arrays["pose2d"])
            rows: dict[str, Any] = {
                name: arrays[name] if name in arrays else _absent(name, count) for name in columns
            }
            for name in _OWN:
                numbers, own = np.unique(rows[name], return_inverse=True)
                rows[name] = own + offsets[name]
                offsets[name] += len(numbers)
            cameras = np.unique(rows["camera"])
            report.find(f"{path}: {count:,} frames, cameras {', '.join(map(str, cameras))}")
            writer.add(**rows)
            own_about = parse_about(arrays["about"], str(path)) if "about" in arrays else {}
            about.setdefault("files", {})[path.stem] = own_about

    def _columns(self, paths: list[Path], report: Report) -> set[str]:
        """Those that all files have or can do without."""
        found = []
        for path in paths:
            with closing(_open(path)) as file:
                found.append(set(file.columns) & set(COLUMNS))
        some = set.union(*found)
        columns = set.intersection(*found) | (some & set(_DISPENSABLE)) | set(REQUIRED) | set(_OWN)
        for name in sorted(some - columns):
            lacking = [path.name for path, own in zip(paths, found, strict=True) if name not in own]
            report.find(f"{name} is left out, since {', '.join(lacking)} has none")
        return columns


def _open(path: Path) -> NpzReader:
    return NpzReader(path, {*COLUMNS, "about"}, "a canonical .npz pose file")


def _absent(name: str, count: int) -> Array:
    """What an absent column stands for."""
    if name == "confidence":
        return np.ones((count, H36M_17.num_joints), np.float32)
    return np.full(count, "") if name == "subject" else np.zeros(count, np.int64)
