"""Several canonical files, of several cameras say, as one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import tyro
from numpy.typing import NDArray

from poseda.data.poseset import INTEGERS, NUMBERS, REQUIRED, STRINGS, check_arrays, read_arrays
from poseda.data.prepare.base import Preparation, Report
from poseda.data.writer import PoseWriter

Array = NDArray[Any]

#: numbers of a file's own, which would mean another camera or clip in the next file
_OWN = ("camera", "clip")
#: what an absent column stands for; the others are left out where a file lacks them
_ABSENT = {"split": 0, "camera": 0, "clip": 0, "fps": 0.0, "confidence": 1.0, "subject": ""}


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
            arrays = read_arrays(path)
            check_arrays(arrays, str(path))
            count = len(arrays["pose2d"])
            rows: dict[str, Any] = {
                name: arrays[name] if name in arrays else np.full(count, _ABSENT[name])
                for name in columns - {"confidence"}
            }
            if "confidence" in columns:
                rows["confidence"] = arrays.get("confidence", np.ones((1, 1)))
            for name in _OWN:
                numbers, own = np.unique(rows[name], return_inverse=True)
                rows[name] = own + offsets[name]
                offsets[name] += len(numbers)
            cameras = np.unique(rows["camera"])
            report.find(f"{path}: {count:,} frames, cameras {', '.join(map(str, cameras))}")
            writer.add(**rows)
            own_about = json.loads(str(arrays["about"])) if "about" in arrays else {}
            about.setdefault("files", {})[path.stem] = own_about

    def _columns(self, paths: list[Path], report: Report) -> set[str]:
        """Those that all files have or can do without."""
        found = [set(read_arrays(path)) & {*NUMBERS, *INTEGERS, *STRINGS} for path in paths]
        some = set.union(*found)
        columns = set.intersection(*found) | (some & set(_ABSENT)) | set(REQUIRED) | set(_OWN)
        for name in sorted(some - columns):
            lacking = [path.name for path, own in zip(paths, found, strict=True) if name not in own]
            report.find(f"{name} is left out, since {', '.join(lacking)} has none")
        return columns
