"""What turns a data set's own files into a canonical file has in common."""

from __future__ import annotations

import importlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from poseda.data.writer import PoseWriter, write_poses
from poseda.files import folder_of


def need_package(name: str, *, extra: str, purpose: str) -> Any:
    """A package of an extra, imported when it is needed.

    Args:
        name: of the module, e.g. ``scipy.io``.
        extra: of poseda, with which it is installed.
        purpose: what it is for, as it stands in "... is needed to {purpose}".

    Raises:
        ImportError: if it is not installed; says how to.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise  # it is there, and lacks something itself
        raise ImportError(
            f"{package} is needed to {purpose}; install it with: pip install 'poseda[{extra}]'"
        ) from error


@dataclass
class Report:
    """What a preparation found, and what it dropped and why."""

    found: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def find(self, line: str) -> None:
        """Notes something found, as a line for the user."""
        self.found.append(line)

    def drop(self, reason: str, frames: int) -> None:
        """Counts frames that are left out, by reason."""
        if frames:
            self.dropped[reason] += frames

    def lines(self) -> list[str]:
        """For the user."""
        return [
            *self.found,
            *(f"dropped {count:,} frames: {reason}" for reason, count in self.dropped.items()),
        ]


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """One data set. A subclass is a command: its docstring and its fields' are the help text.

    `convert` adds frames to the writer, clip by clip, and fills `about` with at least ``dataset``,
    ``labels`` (which 3D labels, or none), ``pose2d`` (ground truth, which detector) and
    ``licence``.
    """

    #: the data set, where its files come from, and the licence that the user has to agree to
    dataset: ClassVar[str]
    origin: ClassVar[str]
    licence: ClassVar[str]

    folder: Annotated[Path, tyro.conf.arg(name="from")]
    """Folder with the files of the data set."""
    to: Path
    """Canonical .npz to write."""

    def convert(self, writer: PoseWriter, about: dict[str, Any], report: Report) -> None:
        raise NotImplementedError

    def run(self) -> Report:
        """Writes the canonical file.

        Raises:
            FileNotFoundError: if a file of the data set is missing; names it, where it comes from
                and under which licence.
            ValueError: if a file holds something else than it should, or `to` is no ``.npz``.
        """
        if self.to.suffix != ".npz":
            raise ValueError(f"to: got {self.to}, expected a name that ends in .npz")
        if not self.folder.exists():
            raise FileNotFoundError(f"from: {self.folder}: no such folder; {self._where_from()}")
        folder_of(self.to)
        about: dict[str, Any] = {"dataset": self.dataset, "licence": self.licence}
        report = Report()
        with write_poses(self.to, about) as writer:
            self.convert(writer, about, report)
        report.find(f"{writer.rows:,} frames: {self.to}")
        return report

    def need(self, *names: str) -> Path:
        """The first of some files that is there.

        Raises:
            FileNotFoundError: if none is.
        """
        for name in names:
            if (self.folder / name).exists():
                return self.folder / name
        raise FileNotFoundError(f"{self.folder}: has no {' or '.join(names)}; {self._where_from()}")

    def _where_from(self) -> str:
        return f"the files of {self.dataset} come from {self.origin} (licence: {self.licence})"
