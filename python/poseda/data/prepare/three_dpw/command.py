"""``poseda prepare 3dpw``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from poseda.data.geometry import far_outside
from poseda.data.prepare.anatomy import check_anatomy
from poseda.data.prepare.base import Preparation, Report
from poseda.data.prepare.three_dpw.adaptpose import SIDE, read_adaptpose
from poseda.data.prepare.three_dpw.sequences import (
    FPS,
    MIN_DETECTED,
    SMPL_24,
    Person,
    Sequence,
    detected,
    mismatch,
    read_sequence,
)
from poseda.data.smpl import (
    REGRESSOR,
    WHERE,
    RegressedJoints,
    find_body_model,
    load_body_model,
    load_regressor,
)
from poseda.data.writer import PoseWriter
from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]
Part = Literal["train", "validation", "test"]

MIN_DEPTH = 0.2  #: metres; a person with a joint nearer than this is left out
NEAR = f"a joint is nearer than {MIN_DEPTH:g} m to the camera, or behind it"
FAR = "a joint is more than one image size outside the image"
UNALIGNED = "the camera is not aligned with the image (campose_valid)"
SPARSE = f"fewer than {MIN_DETECTED} joints were detected, or too few of the trunk"
MAX_MISMATCH = 0.05  #: of the longer image side, median from the detections to the joints' images
NAIVE = (
    "warning: the 3D labels are SMPL's own joints, which are not Human3.6M's: hips and shoulders "
    "lie elsewhere, and errors measured against them are much higher than those in papers, which "
    f"take {REGRESSOR}; give --body-model and --regressor for those"
)


@dataclass(frozen=True, kw_only=True)
class ThreeDPW(Preparation):
    """3DPW, from its own sequenceFiles or from AdaptPose's .npz files.

    For non-commercial research only: virtualhumans.mpi-inf.mpg.de/3DPW, where one agrees to the
    licence. Papers take the 3D joints from the SMPL body model (smpl.is.tue.mpg.de, likewise) by a
    regressor of Human3.6M's joints; without these two, SMPL's own joints stand in for them.
    """

    dataset: ClassVar[str] = "3DPW"
    origin: ClassVar[str] = "virtualhumans.mpi-inf.mpg.de/3DPW"
    licence: ClassVar[str] = (
        "non-commercial research only, as agreed to at virtualhumans.mpi-inf.mpg.de/3DPW"
    )

    pose2d: Literal["gt", "detected"] = "gt"
    """gt: projection of the 3D joints. detected: OpenPose's keypoints from the data set."""
    body_model: Path | None = None
    """Folder with SMPL's models of men and women, as .npz or plain .pkl."""
    regressor: Path | None = None
    """J_regressor_h36m.npy: Human3.6M's joints from SMPL's vertices."""
    parts: tuple[Part, ...] = ("train", "test")
    """Parts of the data set. validation counts to the train split."""
    stride: int = 1
    """Keep one frame in so many."""

    def convert(self, writer: PoseWriter, about: dict[str, Any], report: Report) -> None:
        if self.stride < 1:
            raise ValueError(f"stride: got {self.stride}, expected at least 1")
        if (self.body_model is None) != (self.regressor is None):
            raise ValueError(
                f"body_model, regressor: got one, expected both or none: SMPL is from {WHERE}, the "
                f"regressor is {REGRESSOR}"
            )
        names = {part: f"data_3dpw_gt_{part}.npz" for part in self.parts}
        folders = (self.folder / "sequenceFiles", self.folder)
        roots = [each for each in folders if any((each / part).is_dir() for part in self.parts)]
        about["protocol"] = f"parts {', '.join(self.parts)}; stride {self.stride}"
        if roots:
            self._from_sequences(roots[0], writer, about, report)
        elif any((self.folder / name).is_file() for name in names.values()):
            if self.pose2d != "gt" or self.body_model is not None:
                raise ValueError(
                    f"pose2d, body_model: {self.folder} has AdaptPose's files, which have neither "
                    "detections nor body models; expected sequenceFiles for those"
                )
            for number, part in enumerate(self.parts):
                self._from_adaptpose(self.need(names[part]), part, number, writer, report)
            about.update(
                labels="AdaptPose's 16 joints; the root is solved from 2D and 3D where it is not "
                "in the files; Neck/Nose is halfway between Thorax and Head",
                pose2d="ground truth",
                intrinsics="fitted to 2D and 3D, or the focal length of 3DPW's phone assumed",
            )
        else:
            self.need("sequenceFiles", *names.values())

    def _from_sequences(
        self, root: Path, writer: PoseWriter, about: dict[str, Any], report: Report
    ) -> None:
        joints = self._joints(about, report)
        about["pose2d"] = (
            "ground truth: projection of the 3D joints" if self.pose2d == "gt"
            else "OpenPose, from the data set; places of joints that were not seen are guesses"
        )  # fmt: skip
        clip = 0
        distances: list[Array] = []
        for part in self.parts:
            files = sorted((root / part).glob("*.pkl"))
            if not files:
                raise FileNotFoundError(f"{root / part}: has no .pkl files; {self._where_from()}")
            before = writer.rows
            people = 0
            some: list[Array] = []
            for path in files:
                sequence = read_sequence(path)
                for number, person in enumerate(sequence.people):
                    pose3d = sequence.to_camera(joints(person, path))
                    points = sequence.project(pose3d)
                    distances.append(mismatch(points, person.keypoints) / max(sequence.size))
                    columns, rows = self._columns(sequence, person, pose3d, points, report)
                    people += 1
                    clip += 1
                    if len(rows):
                        some.append(columns["pose3d"][:: int(FPS)])
                        writer.add(
                            **columns,
                            intrinsics=sequence.intrinsics,
                            image_size=sequence.size,
                            camera=0,
                            camera_class="hand-held",
                            subject=f"{sequence.name}/{number}",
                            action=sequence.name.rstrip("0123456789").rstrip("_"),
                            clip=clip - 1,
                            frame=rows,
                            fps=FPS,
                            split=int(part == "test"),
                        )
            if some:
                check_anatomy(np.concatenate(some), str(root / part))
            report.find(
                f"{part}: {len(files)} sequences, {people} people, {writer.rows - before:,} poses"
            )
        self._check_agreement(np.concatenate(distances), root, report)

    def _joints(self, about: dict[str, Any], report: Report) -> Callable[[Person, Path], Array]:
        """From a person to (T, 17, 3) in the world."""
        if self.body_model is None or self.regressor is None:
            report.find(NAIVE)
            about.update(labels="SMPL's 24 joints", warning=NAIVE, joints=SMPL_24.lines())
            return lambda person, path: SMPL_24.points(person.joints)
        folder, regressor = self.body_model, load_regressor(self.regressor)
        about["labels"] = "Human3.6M's joints, regressed from SMPL's vertices"
        paths = {gender: find_body_model(folder, gender) for gender in "mf"}
        models: dict[str, RegressedJoints] = {}

        def regressed(person: Person, path: Path) -> Array:
            gender = person.gender
            try:
                if gender not in models:
                    model = paths.get(gender) or find_body_model(folder, gender)
                    models[gender] = RegressedJoints(load_body_model(model), regressor)
                    report.find(f"body model: {model}")
                return models[gender](person.shape, person.turns, person.place)
            except ValueError as error:
                raise ValueError(f"{path}: with {paths.get(gender, folder)}: {error}") from error

        return regressed

    def _columns(
        self, sequence: Sequence, person: Person, pose3d: Array, points: Array, report: Report
    ) -> tuple[dict[str, Array], Array]:
        """Columns of the canonical file that are arrays, and the frames that they are of."""
        kept = np.zeros(len(pose3d), bool)
        kept[:: self.stride] = True
        self._leave_out(kept, UNALIGNED, ~person.valid, report)
        self._leave_out(kept, NEAR, (pose3d[..., 2] < MIN_DEPTH).any(axis=1), report)
        columns: dict[str, Array] = {}
        if self.pose2d == "detected":
            points, confidence, whole = detected(person.keypoints)
            columns["confidence"] = confidence
            self._leave_out(kept, SPARSE, ~whole, report)
        self._leave_out(kept, FAR, far_outside(points, sequence.size), report)
        columns |= {"pose3d": pose3d, "pose2d": points}
        return {name: column[kept] for name, column in columns.items()}, np.flatnonzero(kept)

    def _check_agreement(self, distances: Array, root: Path, report: Report) -> None:
        if not len(distances):
            report.find("no detections to compare the joints with")
            return
        typical = float(np.median(distances))
        report.find(
            f"the detections lie {typical:.1%} of the longer image side from the images of the "
            f"joints (median of {len(distances):,})"
        )
        if typical > MAX_MISMATCH:
            raise ValueError(
                f"{root}: got joints whose images are {typical:.0%} of the image side away from "
                f"the detections, expected at most {MAX_MISMATCH:.0%}; do cam_poses take the world "
                "to the camera, and are these the data set's own files?"
            )

    def _from_adaptpose(
        self, path: Path, part: str, number: int, writer: PoseWriter, report: Report
    ) -> None:
        poses = read_adaptpose(path, MIN_DEPTH)
        kept = np.zeros(len(poses.pose3d), bool)
        kept[:: self.stride] = True
        self._leave_out(kept, NEAR, (poses.pose3d[..., 2] < MIN_DEPTH).any(axis=1), report)
        self._leave_out(kept, FAR, far_outside(poses.pose2d, (SIDE, SIDE)), report)
        for line in (*poses.notes, f"{int(kept.sum()):,} of {len(kept):,} poses"):
            report.find(f"{part}: {line}")
        if kept.any():
            writer.add(
                pose2d=poses.pose2d[kept],
                pose3d=poses.pose3d[kept],
                confidence=np.arange(H36M_17.num_joints) != H36M_17.names.index("Neck/Nose"),
                intrinsics=poses.intrinsics,
                image_size=(SIDE, SIDE),
                camera=0,
                camera_class="hand-held",
                clip=number,
                frame=np.flatnonzero(kept),
                fps=0.0,
                split=int(part == "test"),
            )

    def _leave_out(self, kept: Array, reason: str, bad: Any, report: Report) -> None:
        """Takes rows out of `kept`, in place, and counts them."""
        report.drop(reason, int((kept & bad).sum()))
        kept &= ~bad
