"""``poseda prepare mpi-inf-3dhp``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

from poseda.data.prepare.base import Preparation, Report
from poseda.data.prepare.mpi_inf_3dhp.canonical import Rows, Summary, canonical
from poseda.data.prepare.mpi_inf_3dhp.clips import Clip, Source
from poseda.data.prepare.mpi_inf_3dhp.community import AdaptPose, PoseAug, PStmo, Spin
from poseda.data.prepare.mpi_inf_3dhp.original import Original
from poseda.data.prepare.mpi_inf_3dhp.tables import LICENCE, ORIGIN, Frames, Labels
from poseda.data.writer import PoseWriter

SourceName = Literal["original", "p-stmo", "poseaug", "spin", "adaptpose"]

SOURCES: dict[SourceName, type[Source]] = {
    "original": Original,
    "p-stmo": PStmo,
    "poseaug": PoseAug,
    "spin": Spin,
    "adaptpose": AdaptPose,
}


@dataclass(frozen=True, kw_only=True)
class MpiInf3dhp(Preparation):
    """MPI-INF-3DHP, from its own files or from those of P-STMO, PoSynDA, PoseAug, SPIN, AdaptPose.

    Of the own files the folder holds S1/Seq1/annot.mat with camera.calibration (train) and
    TS1/annot_data.mat (test), and so on. Others' files: data_train_3dhp.npz, data_test_3dhp.npz
    (also _ori), test_3dhp.npz, mpi_inf_3dhp_valid.npz, data_3dhp_gt_train.npz,
    data_3dhp_gt_test.npz.
    """

    dataset: ClassVar[str] = "MPI-INF-3DHP"
    origin: ClassVar[str] = ORIGIN
    licence: ClassVar[str] = LICENCE

    source: SourceName | None = None
    """Whose files; what lies in the folder if not given."""
    labels: Labels | None = None
    """3D labels: univ_annot3 is scaled to the height of one person, as PoseAug, PoseDA and SPIN
    evaluate; annot3 is true to size, as D3DP and PoSynDA do. Errors on the two cannot be compared.
    If not given: univ_annot3, or what the files hold."""
    frames: Frames | None = None
    """Test frames: the 2,929 valid ones (PoseAug, PoseDA, SPIN), the 24,688 of AdaptPose, or all
    24,888. If not given: valid, or what the files hold."""
    split: Literal["train", "test", "all"] = "all"
    """The part to write."""

    def convert(self, writer: PoseWriter, about: dict[str, Any], report: Report) -> None:
        source = self._find()
        report.find(f"{source.title}: {_shortened(source.names)}")
        labels = _choose("labels", self.labels, source.labels, source)
        frames = _choose("frames", self.frames, source.frames, source)
        summary = Summary()
        for number, clip in enumerate(source.clips(labels)):
            rows = canonical(clip, labels, frames, report)
            summary.add(clip, rows)
            if len(rows.frame):
                writer.add(**_columns(clip, rows, number))
        about |= {
            "labels": (labels or "unknown") if summary.root else "none",
            "pose2d": "ground truth",
            "source": source.title,
            "files": list(source.names),
            **summary.about(frames),
        }
        for line in summary.lines():
            report.find(line)

    def _find(self) -> Source:
        train, test = self.split != "test", self.split != "train"
        kinds = SOURCES if self.source is None else {self.source: SOURCES[self.source]}
        found = {
            name: source
            for name, kind in kinds.items()
            if (source := kind.find(self.folder, train, test, self.labels)) is not None
        }
        if len(found) > 1:
            listed = "; ".join(f"{name}: {_shortened(each.names)}" for name, each in found.items())
            raise ValueError(
                f"{self.folder}: found files of several kinds; choose with --source ({listed})"
            )
        if not found:
            raise FileNotFoundError(
                f"{self.folder}: has no {_expected(kinds.values(), train, test)}; "
                f"{self._where_from()}"
            )
        return next(iter(found.values()))


def _expected(kinds: Iterable[type[Source]], train: bool, test: bool) -> str:
    """The files that one could have put into the folder, and by whose code they are made."""
    offers = []
    for kind in kinds:
        names = [kind.train_file if train else None, kind.test_file if test else None]
        if any(names):
            offers.append(f"{' or '.join(filter(None, names))} ({kind.origin})")
    return ", or ".join(offers) or "files of this part"


_Choice = TypeVar("_Choice", bound=str)


def _choose(
    option: str, asked: _Choice | None, held: tuple[_Choice, ...], source: Source
) -> _Choice | None:
    """What the user asks for, if the files have it; the first they have if nothing is asked."""
    if asked is not None and asked not in held:
        files = _shortened(source.names)
        expected = " or ".join(held) if held else "none"
        raise ValueError(f"{option}: got {asked}, but {files} fix it to {expected}")
    return asked or (held[0] if held else None)


def _shortened(names: tuple[str, ...]) -> str:
    shown = names if len(names) <= 4 else (*names[:2], f"... {len(names) - 3} more ...", names[-1])
    return ", ".join(shown)


def _columns(clip: Clip, rows: Rows, number: int) -> dict[str, Any]:
    """What the writer takes."""
    optional = {"pose3d": rows.pose3d, "confidence": rows.confidence}
    return {
        "pose2d": rows.pose2d,
        **{name: value for name, value in optional.items() if value is not None},
        "intrinsics": clip.camera.intrinsics,
        "image_size": clip.camera.image_size,
        "camera": clip.camera.number,
        "camera_class": clip.camera.camera_class,
        "subject": clip.subject,
        "action": clip.action,
        "clip": number,
        "frame": rows.frame,
        "split": clip.split,
        "fps": clip.fps,
    }
