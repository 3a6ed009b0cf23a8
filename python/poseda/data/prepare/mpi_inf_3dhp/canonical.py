"""From a clip to rows of the canonical file, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from poseda.data.geometry import far_outside, reprojection_error
from poseda.data.prepare.anatomy import check_anatomy, check_pose2d
from poseda.data.prepare.base import Report
from poseda.data.prepare.mpi_inf_3dhp.clips import Clip, body_scale
from poseda.data.prepare.mpi_inf_3dhp.tables import TRAIN_FRAMES, VALID_FRAMES, Frames, Labels
from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]
RootSource = Literal[
    "as in the files", "moved by the scale of univ_annot3", "solved from the 2D joints"
]

#: of the longer image side: median distance of 2D joints from the image of the 3D ones in a clip
MAX_ERROR = 0.02
#: likewise, above which the user is told; the lens outdoors is distorted
NOTABLE_ERROR = 0.005


@dataclass(frozen=True, kw_only=True)
class Rows:
    """N frames of a clip.

    Attributes:
        pose2d: (N, 17, 2) pixels.
        pose3d: (N, 17, 3) metres, absolute in the camera frame, or None.
        confidence: (N, 17), or None where all joints are the data set's own.
        frame: (N,) numbers.
        root: where the root positions are from, None without 3D.
        error: median reprojection error in pixels, NaN without 3D.
    """

    pose2d: Array
    pose3d: Array | None
    confidence: Array | None
    frame: Array
    root: RootSource | None
    error: float


def canonical(clip: Clip, labels: Labels | None, frames: Frames | None, report: Report) -> Rows:
    """The chosen frames of a clip with the joints of `H36M_17`.

    Raises:
        ValueError: if the joints are not where the clip says they are, or 2D and 3D do not agree.
    """
    chosen = clip.chosen(frames or "all")
    report.drop(f"not among the {frames} test frames", int((~chosen).sum()))
    pose2d = clip.joints.points(clip.pose2d[chosen])
    pose3d = None if clip.pose3d is None else clip.joints.points(clip.pose3d[chosen])
    frame = clip.frame[chosen]
    late = np.zeros(len(frame), dtype=bool) if clip.end is None else frame >= clip.end
    report.drop("after the end of the video", int(late.sum()))
    finite = np.isfinite(pose2d).all((1, 2))
    if pose3d is not None:
        finite &= np.isfinite(pose3d).all((1, 2))
    report.drop("a joint is hidden or not a finite number", int((~finite & ~late).sum()))
    finite &= ~late
    pose2d, frame = pose2d[finite], frame[finite]
    pose3d = None if pose3d is None else pose3d[finite]
    keep = ~far_outside(pose2d, clip.camera.image_size)
    report.drop("a joint more than an image size outside the image", int((~keep).sum()))
    root, error = None, np.nan
    if pose3d is None:
        # Cameras that look down are turned about their axis too.
        check_pose2d(pose2d, clip.where, upright=clip.camera.camera_class != "ceiling")
    elif len(frame):
        check_anatomy(pose3d, clip.where)
        pose3d, root = _placed(clip, labels, pose2d, pose3d)
        error = _checked_error(clip, pose2d, pose3d)
        behind = keep & (pose3d[..., 2] <= 0).any(1)
        report.drop("a joint behind the camera", int(behind.sum()))
        keep &= ~behind
        pose3d = pose3d[keep]
    return Rows(
        pose2d=pose2d[keep],
        pose3d=pose3d,
        confidence=_confidence(clip, int(keep.sum())),
        frame=frame[keep],
        root=root,
        error=error,
    )


def _placed(
    clip: Clip, labels: Labels | None, pose2d: Array, pose3d: Array
) -> tuple[Array, RootSource]:
    """The poses at positions that fit their 2D joints, and where these are from."""
    root = pose3d[:, :1]
    given = bool(root.any())
    if given and labels == "annot3":
        return pose3d, "as in the files"
    relative = pose3d - root
    solved = clip.solved_root(pose3d, pose2d)
    if given:  # one scale per person is steadier than a root per frame
        return relative + body_scale(root[:, 0], solved) * root, "moved by the scale of univ_annot3"
    return relative + solved[:, None], "solved from the 2D joints"


def _checked_error(clip: Clip, pose2d: Array, pose3d: Array) -> float:
    errors = reprojection_error(pose3d, pose2d, np.asarray(clip.camera.intrinsics))
    error = float(np.median(errors))
    limit = MAX_ERROR * max(clip.camera.image_size)
    if not error <= limit:
        raise ValueError(
            f"{clip.where}: got 2D joints at a median distance of {error:.0f} pixels from the "
            f"image of the 3D poses, expected at most {limit:.0f}; are 2D x, y in pixels and 3D "
            "in the camera frame, of the same frames?"
        )
    return error


def _confidence(clip: Clip, count: int) -> Array | None:
    """0 for joints that the data set does not have and that are made of others."""
    if len(clip.own) == H36M_17.num_joints:
        return None
    confidence = np.zeros((count, H36M_17.num_joints), dtype=np.float32)
    confidence[:, clip.own] = 1
    return confidence


@dataclass
class _Group:
    """The clips of one recording."""

    split: int
    side: int  #: pixels of the longer image side
    cameras: list[int] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    kept: int = 0
    total: int = 0


@dataclass
class Summary:
    """What was written, recording by recording."""

    groups: dict[str, _Group] = field(default_factory=dict)
    root: RootSource | None = None
    made_up: bool = False

    def add(self, clip: Clip, rows: Rows) -> None:
        name = clip.subject if clip.split else f"{clip.subject} {clip.action}"
        group = self.groups.setdefault(name, _Group(clip.split, max(clip.camera.image_size)))
        group.cameras.append(clip.camera.number)
        group.errors.append(rows.error)
        group.kept += len(rows.frame)
        group.total += len(clip.frame)
        self.root = self.root or rows.root
        self.made_up |= rows.confidence is not None

    def lines(self) -> list[str]:
        """For the user."""
        lines = [_line(name, group) for name, group in self.groups.items()]
        missing = [
            name
            for part in ([" ".join(pair) for pair in TRAIN_FRAMES], list(VALID_FRAMES))
            if any(name in self.groups for name in part)
            for name in part
            if name not in self.groups
        ]
        if missing:
            lines.append(f"not there: {', '.join(missing)}")
        if self.root:
            lines.append(f"root positions: {self.root}")
        if self.made_up:
            lines.append("Neck/Nose: half-way from Thorax to Head, confidence 0")
        return lines

    def about(self, frames: Frames | None) -> dict[str, Any]:
        """What the file says of itself."""
        about: dict[str, Any] = {}
        if self.root:
            about["root"] = self.root
            errors = [error for group in self.groups.values() for error in group.errors]
            about["reprojection_error_px"] = round(float(np.nanmax(errors)), 3)
        if self.made_up:
            about["joints"] = "Neck/Nose is half-way from Thorax to Head"
        tests = self._tests()
        if tests:
            count = sum(group.kept for group in tests.values())
            about["frames"] = frames
            about["protocol"] = f"{count:,} {frames} test frames of {' '.join(tests)}"
        return about

    def _tests(self) -> dict[str, _Group]:
        return {name: group for name, group in self.groups.items() if group.split}


def _line(name: str, group: _Group) -> str:
    cameras = f", cameras {' '.join(map(str, group.cameras))}" if group.split == 0 else ""
    line = f"{name}: {group.kept:,} of {group.total:,} frames{cameras}"
    if np.isfinite(group.errors).any():
        error = float(np.nanmax(group.errors))
        line += f"; median reprojection error {error:.3f} pixels"
        if error > NOTABLE_ERROR * group.side:
            line += " (much: are the intrinsics those of this recording?)"
    return line
