"""``poseda prepare ski``: Ski-Pose PTZ.

``labels.h5`` holds one row per image, a crop of 256 x 256 pixels around the skier: ``seq``,
``cam``, ``frame``, ``subj``; ``3D`` (51) metres in the camera frame, relative to the hip; ``2D``
(34) in units of the crop's side; ``cam_intrinsic`` (3, 3) of the crop in the same unit;
``cam_position`` (3) and ``R_cam_2_world`` (3, 3). ``ski_centers.csv`` gives the hip in the world
frame: ``seq frame x y z`` in each line. (As `TransFusion-Pose` and others read them.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from poseda.data.geometry import far_outside, reprojection_error, solve_root
from poseda.data.joint_maps import direct
from poseda.data.prepare.anatomy import check_anatomy
from poseda.data.prepare.base import Preparation, Report
from poseda.data.prepare.hdf5 import open_hdf5
from poseda.data.writer import PoseWriter

Array = NDArray[Any]

SIDE = 256  #: pixels of a crop
MAX_ERROR = 0.02  #: of the crop's side, median over a file

#: numbers per row of each array in labels.h5
FIELDS = {
    "seq": 1, "cam": 1, "frame": 1, "subj": 1, "3D": 51, "2D": 34, "cam_intrinsic": 9,
    "cam_position": 3, "R_cam_2_world": 9,
}  # fmt: skip

JOINTS = direct(
    "Ski-Pose PTZ, 17 joints",
    (
        "hip", "right_up_leg", "right_leg", "right_foot", "left_up_leg", "left_leg", "left_foot",
        "spine", "neck", "head", "head_top", "left_arm", "left_forearm", "left_hand",
        "right_arm", "right_forearm", "right_hand",
    ),
    {
        "Hip": "hip", "Spine": "spine", "Thorax": "neck", "Neck/Nose": "head", "Head": "head_top",
        "RHip": "right_up_leg", "RKnee": "right_leg", "RFoot": "right_foot",
        "LHip": "left_up_leg", "LKnee": "left_leg", "LFoot": "left_foot",
        "LShoulder": "left_arm", "LElbow": "left_forearm", "LWrist": "left_hand",
        "RShoulder": "right_arm", "RElbow": "right_forearm", "RWrist": "right_hand",
    },
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Ski(Preparation):
    """Ski-Pose PTZ: the folder with train/labels.h5 and test/labels.h5, or the one above it.

    Root positions come from ski_centers.csv if it lies there too, else from the 2D joints and the
    intrinsics.
    """

    dataset: ClassVar[str] = "Ski-Pose PTZ"
    origin: ClassVar[str] = "https://www.epfl.ch/labs/cvlab/data/ski-poseptz-dataset/"
    licence: ClassVar[str] = "not commercial; see license.txt of the data set"

    split: Literal["train", "test", "all"] = "all"
    """The part to write."""

    def convert(self, writer: PoseWriter, about: dict[str, Any], report: Report) -> None:
        parts = ("train", "test") if self.split == "all" else (self.split,)
        folder = "Ski-PosePTZ-CameraDataset-png"
        paths = [self.need(f"{part}/labels.h5", f"{folder}/{part}/labels.h5") for part in parts]
        centres = self._centres(report)
        errors, clips = [], 0
        for part, path in zip(parts, paths, strict=True):
            count, error = _add(writer, _read(path), part, path, centres, clips, report)
            errors.append(error)
            clips += count
        about |= {
            "labels": "3D of labels.h5",
            "pose2d": "ground truth",
            "files": [f"{part}/labels.h5" for part in parts],
            "root": "solved from the 2D joints" if centres is None else "ski_centers.csv",
            "reprojection_error_px": round(max(errors), 3),
        }

    def _centres(self, report: Report) -> dict[tuple[int, int], Array] | None:
        """World position of the hip by (sequence, frame), if there is the file."""
        for path in (self.folder / "ski_centers.csv", self.folder.parent / "ski_centers.csv"):
            if path.is_file():
                report.find(f"root positions: {path.name}")
                return _read_centres(path)
        report.find("root positions: solved from the 2D joints with the intrinsics of each image")
        return None


def _read(path: Path) -> dict[str, Array]:
    """Name to (N, k) float64."""
    with open_hdf5(path, "read labels.h5") as file:
        arrays = {name: file.array(name) for name in FIELDS}
    count = len(arrays["2D"]) if arrays["2D"].ndim else 0
    for name, width in FIELDS.items():
        array = arrays[name]
        if array.ndim == 0 or len(array) != count or array.size != count * width:
            raise ValueError(
                f"{path}: {name}: got shape {array.shape}, expected {count} rows of {width} numbers"
            )
        arrays[name] = array.reshape(count, width).astype(np.float64)
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{path}: {name}: got NaN or infinity, expected finite numbers")
    if count == 0:
        raise ValueError(f"{path}: got no rows, expected at least one image")
    return arrays


def _read_centres(path: Path) -> dict[tuple[int, int], Array]:
    centres = {}
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        words = line.replace(",", " ").split()
        try:
            sequence, frame, *position = map(float, words)
        except ValueError:
            position = []
        if words and (len(position) != 3 or not np.isfinite(position).all()):
            raise ValueError(
                f"{path}: line {number}: got {line.strip()!r:.60}, expected: seq frame x y z"
            )
        if words:
            centres[int(sequence), int(frame)] = np.asarray(position)
    return centres


def _add(
    writer: PoseWriter,
    labels: dict[str, Array],
    part: str,
    path: Path,
    centres: dict[tuple[int, int], Array] | None,
    first_clip: int,
    report: Report,
) -> tuple[int, float]:
    """Adds the rows of a file, sequence by sequence and camera by camera.

    Returns:
        The number of clips, and the median reprojection error in pixels.
    """
    count = len(labels["seq"])
    sequence, camera, frame, subject = (
        labels[name][:, 0].astype(np.int64) for name in ("seq", "cam", "frame", "subj")
    )
    pose2d = JOINTS.points(labels["2D"].reshape(count, 17, 2)) * SIDE
    pose3d = JOINTS.points(labels["3D"].reshape(count, 17, 3))
    intrinsics = _intrinsics(labels["cam_intrinsic"].reshape(count, 3, 3), path)
    pose3d = pose3d - pose3d[:, :1]
    check_anatomy(pose3d, str(path))
    root = solve_root(pose3d, pose2d, intrinsics)
    if centres is not None:
        known = _known_roots(labels, centres)
        found = np.all(np.isfinite(known), axis=-1)
        report.find(f"{part}: {int(found.sum()):,} of {count:,} root positions known")
        root = np.where(found[:, None], known, root)
    pose3d = pose3d + root[:, None]
    error = float(np.median(reprojection_error(pose3d, pose2d, intrinsics)))
    if not error <= MAX_ERROR * SIDE:
        raise ValueError(
            f"{path}: got 2D joints at a median distance of {error:.1f} pixels from the image of "
            f"the 3D poses, expected at most {MAX_ERROR * SIDE:.1f}; is 2D x, y in units of the "
            "crop, 3D along the camera's axes, and does ski_centers.csv belong to it?"
        )
    behind = np.asarray((pose3d[..., 2] <= 0).any(1))
    far = np.asarray(far_outside(pose2d, (SIDE, SIDE)) & ~behind)
    report.drop("a joint behind the camera", int(behind.sum()))
    report.drop("a joint more than an image size outside the image", int(far.sum()))
    keep = ~behind & ~far
    report.find(
        f"{part}: {int(keep.sum()):,} of {count:,} images; median reprojection error "
        f"{error:.3f} pixels"
    )
    views, view = np.unique(np.stack((sequence, camera), 1), axis=0, return_inverse=True)
    for number in range(len(views)):
        rows = np.flatnonzero(keep & (view.ravel() == number))
        rows = rows[np.argsort(frame[rows], kind="stable")]
        if len(rows):
            writer.add(
                pose2d=pose2d[rows],
                pose3d=pose3d[rows],
                intrinsics=intrinsics[rows],
                image_size=(SIDE, SIDE),
                camera=camera[rows],
                subject=subject[rows].astype(np.str_),
                action=f"seq_{views[number, 0]:03d}",
                clip=first_clip + number,
                frame=frame[rows],
                split=int(part == "test"),
                fps=0.0,
            )
    return len(views), error


def _intrinsics(matrix: Array, path: Path) -> Array:
    """(N, 4) fx, fy, cx, cy in pixels of (N, 3, 3) matrices in units of the crop's side."""
    others = matrix[:, [0, 1, 2, 2], [1, 0, 0, 1]]
    if np.abs(others).max() > 1e-3 or np.abs(matrix[:, 2, 2] - 1).max() > 1e-3:
        raise ValueError(
            f"{path}: cam_intrinsic: got a matrix that is not fx 0 cx, 0 fy cy, 0 0 1, such as "
            f"{matrix[0].ravel().tolist()}"
        )
    pixels: Array = matrix[:, [0, 1, 0, 1], [0, 1, 2, 2]] * SIDE
    return pixels


def _known_roots(labels: dict[str, Array], centres: dict[tuple[int, int], Array]) -> Array:
    """(N, 3) hips in the camera frame, NaN where the table has none."""
    nothing = np.full(3, np.nan)
    world = np.stack(
        [
            centres.get((int(sequence), int(frame)), nothing)
            for sequence, frame in zip(labels["seq"][:, 0], labels["frame"][:, 0], strict=True)
        ]
    )
    rotation = labels["R_cam_2_world"].reshape(-1, 3, 3)
    return np.einsum("nji,nj->ni", rotation, world - labels["cam_position"])
