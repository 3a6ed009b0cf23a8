"""A target of one's own: 2D keypoints of any detector, and the camera."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from poseda.config import FlatKeypoints, KeypointSettings
from poseda.data.poseset import MIN_CONFIDENCE
from poseda.data.prepare.base import Preparation, Report
from poseda.data.target import canonical_arrays, read_own
from poseda.data.writer import PoseWriter
from poseda.keypoints.files import find_files

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class PrepareKeypoints(Preparation):
    """2D keypoints of your own detector (MMPose, OpenPose, COCO results, AlphaPose, MediaPipe, CSV,
    npz), in a file or a folder.

    Where the confidence threshold is not 0.3, confidences are written stretched so that 0.3, which
    readers of the file take, stands for it.
    """

    dataset: ClassVar[str] = "keypoints of a detector"
    origin: ClassVar[str] = "your own videos"
    licence: ClassVar[str] = "your own"

    keypoints: FlatKeypoints = field(default_factory=KeypointSettings)

    def convert(self, writer: PoseWriter, about: dict[str, Any], report: Report) -> None:
        said = self.keypoints
        files = find_files(self.folder)
        if self.folder.is_dir():  # where an earlier run may have left what it wrote
            files = [file for file in files if not _same(file, self.to)] or files
        if any(_same(file, self.to) for file in files):
            raise ValueError(f"to: got {self.to}, which is the file of the keypoints")
        found = read_own(files, said, said.camera)
        arrays, lines = canonical_arrays(found, said, said.camera)
        for line in lines:
            report.find(line)
        about.update(json.loads(str(arrays.pop("about"))))
        arrays["confidence"] = _stretched(arrays["confidence"], said.min_confidence)
        writer.add(**arrays)


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.exists() and one.samefile(other)


def _stretched(confidence: Array, least: float) -> Array:
    """Confidences with `MIN_CONFIDENCE` in the place of `least`."""
    if least == MIN_CONFIDENCE:
        return confidence
    stretched = np.interp(confidence, (0.0, least, 1.0), (0.0, MIN_CONFIDENCE, 1.0))
    seen = confidence >= np.float32(least)
    hidden = np.minimum(stretched, 0.999 * MIN_CONFIDENCE)
    return np.where(seen, np.maximum(stretched, MIN_CONFIDENCE), hidden)
