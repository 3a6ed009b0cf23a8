"""Motion capture, seen by a rig of cameras, as a canonical file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from poseda.data.joint_maps import JointMap
from poseda.data.mocap.clip import Clip
from poseda.data.mocap.recordings import Format, Recording, find_recordings
from poseda.data.mocap.render import centre, resample, view
from poseda.data.mocap.rig import Rig, load_rig
from poseda.data.mocap.skeletons import TABLES, find_table, load_table, map_joints
from poseda.data.mocap.world import UNITS, Up, find_unit, find_up, to_z_up
from poseda.data.prepare.anatomy import check_anatomy
from poseda.data.prepare.base import Preparation, Report
from poseda.data.writer import PoseWriter
from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]

SAMPLE = 8  #: recordings, evenly over all, from which unit and up axis are told
_SAMPLE_FRAMES = 500  # of each
_NAMED = 20  # people, of those who are there, in a message


@dataclass(frozen=True)
class _Reading:
    """How the points of the files become poses in metres."""

    table: JointMap
    unit: float
    up: str


@dataclass(frozen=True, kw_only=True)
class Mocap(Preparation):
    """Motion capture (BVH, ASF/AMC, C3D, joints as npz), seen by a rig of cameras.

    Each camera of the rig sees each recording, which is brought to the middle of the rig; views in
    which a joint is out of the image are left out.
    """

    dataset: ClassVar[str] = "motion capture"
    origin: ClassVar[str] = "for instance mocap.cs.cmu.edu"
    licence: ClassVar[str] = (
        "that of the recordings; the CMU database is free for all uses, may not be resold, and is "
        "acknowledged as: mocap.cs.cmu.edu, created with funding from NSF EIA-0196217"
    )

    rig: str = "human36m"
    """human36m, mpi-inf-3dhp, or a JSON file of cameras."""
    format: Format = "auto"
    """Format of the files to read, where the folder holds several."""
    joints: str = "auto"
    """Table from the file's joints to Human3.6M's: a name, or a JSON file of your own."""
    unit: str = "auto"
    """Unit of length: m, cm, mm, inch, cmu, or metres per unit. auto takes the file's own, or
    the one in which people are of human size."""
    up: Up = "auto"
    """Axis that points up. auto takes the one along which heads are above feet."""
    fps: float = 10.0
    """Frames per second to keep; 0 keeps all."""
    source_fps: float = 120.0
    """Frames per second of files that do not say: AMC, and npz without fps."""
    subjects: tuple[str, ...] = ()
    """Only these people."""
    test_subjects: tuple[str, ...] = ()
    """People of the test split. Without any, the split is by recording."""
    test_part: float = 0.2
    """Part of the recordings in the test split, chosen by a hash of their names."""

    def convert(self, writer: PoseWriter, about: dict[str, Any], report: Report) -> None:
        rig = load_rig(self.rig)
        self._check_options()
        recordings = find_recordings(self.folder, self.format)
        report.find(f"{len(recordings):,} recordings in {self.folder}")
        there = sorted({each.subject for each in recordings})
        if self.subjects:
            recordings = [each for each in recordings if each.subject in self.subjects]
        missing = {*self.subjects, *self.test_subjects} - {each.subject for each in recordings}
        if missing:
            raise ValueError(
                f"subjects: got {', '.join(sorted(missing))}, of whom there is nothing; expected "
                f"some of {', '.join(there[:_NAMED])}{', ...' * (len(there) > _NAMED)}"
            )
        reading = self._look(recordings, report)
        about.update(
            labels="joints of motion capture, absolute in the camera frame",
            pose2d="ground truth: projection of the joints",
            joints=reading.table.lines(),
            joint_table=reading.table.name,
            rig=rig.name,
            unit_metres=reading.unit,
            up=reading.up,
        )
        lifted = 0
        for number, recording in enumerate(recordings):
            lifted += self._add(recording, number, reading, rig, writer, report)
        if lifted:
            report.find(f"{lifted} recordings were lifted or lowered so that their ground is at 0")

    def _check_options(self) -> None:
        if not 0 <= self.test_part <= 1:
            raise ValueError(f"test_part: got {self.test_part:g}, expected 0 to 1")
        if not self.fps >= 0 or not self.source_fps > 0:
            raise ValueError(
                f"fps: got {self.fps:g} of {self.source_fps:g}, expected numbers above 0"
            )

    def _look(self, recordings: list[Recording], report: Report) -> _Reading:
        """Table, unit and up axis, from some of the recordings."""
        chosen = np.unique(np.linspace(0, len(recordings) - 1, SAMPLE).round().astype(int))
        clips = [recordings[number].read() for number in chosen]
        where = recordings[chosen[0]].where
        if len(chosen) > 1:
            where += f" and {len(chosen) - 1} more"
        table = self._table(clips[0], recordings[chosen[0]].where)
        report.find(f"joints: {table.name}")
        poses = np.concatenate(
            [
                map_joints(table, clip.joints, _some(clip.positions), recordings[number].where)
                for clip, number in zip(clips, chosen, strict=True)
            ]
        )
        there = np.isfinite(poses).all(axis=-1)  # (F, 17)
        poses = poses[there.all(axis=1)]
        if not len(poses):
            rare = [H36M_17.names[joint] for joint in np.flatnonzero(there.mean(axis=0) < 0.5)]
            raise ValueError(
                f"{where}: got no frame in which all joints are there; often missing: "
                f"{', '.join(rare) or 'now one, now another'}"
            )
        if clips[0].fps is None:
            report.find(f"frame rate: {self.source_fps:g} a second assumed (--source-fps)")
        unit = self._unit(clips[0], poses, where, report)
        if self.up == "auto":
            up, share = find_up(poses, where)
            report.find(f"up: {up} (heads are above feet along it in {share:.0%} of the frames)")
        else:
            up = self.up
        _check(poses * unit, where)
        return _Reading(table, unit, up)

    def _table(self, clip: Clip, where: str) -> JointMap:
        if self.joints == "auto":
            return find_table(clip.joints, where)
        if self.joints in TABLES:
            return TABLES[self.joints]
        path = Path(self.joints)
        if not path.is_file():
            raise FileNotFoundError(
                f"joints: {path}: no such file; expected one of {', '.join(TABLES)} or a JSON file"
            )
        return load_table(path)

    def _unit(self, clip: Clip, poses: Array, where: str, report: Report) -> float:
        if self.unit in UNITS:
            return UNITS[self.unit]
        if self.unit != "auto":
            try:
                unit = float(self.unit)
            except ValueError:
                unit = 0.0
            if not 0 < unit < np.inf:
                raise ValueError(f"unit: got {self.unit!r}, expected {', '.join(UNITS)} or metres")
            return unit
        if clip.unit is not None:
            report.find(f"unit: {clip.unit:.6g} m, as the files say")
            return clip.unit
        name, unit = find_unit(poses, where)
        report.find(f"unit: {name} assumed, since the people are of human size in it")
        return unit

    def _add(
        self,
        recording: Recording,
        number: int,
        reading: _Reading,
        rig: Rig,
        writer: PoseWriter,
        report: Report,
    ) -> int:
        """Adds a recording; 1 if it was lifted."""
        clip = recording.read()
        poses = map_joints(reading.table, clip.joints, clip.positions, recording.where)
        poses = to_z_up(poses.astype(np.float64) * reading.unit, reading.up)
        clip_fps = clip.fps or self.source_fps
        fps = self.fps or clip_fps
        if fps > clip_fps * (1 + 1e-6):
            raise ValueError(
                f"fps: got {fps:g}, expected at most the {clip_fps:g} of {recording.where}"
            )
        poses = resample(poses, clip_fps, fps)
        whole = np.isfinite(poses).all(axis=(1, 2))
        if not whole.any():
            report.drop("a joint is not there", len(poses) * len(rig.cameras))
            return 0
        try:
            check_anatomy(poses[whole], recording.where)
        except ValueError as error:
            report.find(f"left out {error}")
            report.drop("a recording of no person", len(poses) * len(rig.cameras))
            return 0
        poses, lift = centre(poses, rig.centre)
        split = self._split(clip)
        for index, camera in enumerate(rig.cameras):
            frames, pose3d, pose2d, dropped = view(poses, camera)
            for reason, count in dropped.items():
                report.drop(reason, count)
            if len(frames):
                writer.add(
                    pose3d=pose3d,
                    pose2d=pose2d,
                    intrinsics=camera.intrinsics,
                    image_size=camera.image_size,
                    camera=index,
                    camera_class=camera.camera_class,
                    subject=clip.subject,
                    action=clip.action,
                    clip=number,
                    frame=frames,
                    fps=fps,
                    split=split,
                )
        return int(lift != 0)

    def _split(self, clip: Clip) -> int:
        if self.test_subjects:
            return int(clip.subject in self.test_subjects)
        name = f"{clip.subject}/{clip.name}".encode()
        drawn = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") / 2**64
        return int(drawn < self.test_part)


def _check(poses: Array, where: str) -> None:
    """Refuses what are no people in metres, in a right-handed frame."""
    try:
        check_anatomy(poses, where)
    except ValueError as error:
        raise ValueError(f"{error}; --unit, --up and --joints tell them") from error


def _some(positions: Array) -> Array:
    """Frames evenly over a recording."""
    return positions[:: -(-len(positions) // _SAMPLE_FRAMES)]
