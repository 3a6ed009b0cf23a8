"""AdaptPose's files, ``data_3dpw_gt_{train,test}.npz``.

``positions_2d`` (N, 16, 2), normalised by the longer image side, and ``positions_3d`` (N, 16, 3)
metres along the axes of the camera, without sequences, image sizes and cameras.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.geometry import reprojection_error, solve_root
from poseda.data.joint_maps import JointMap
from poseda.data.poseset import MAX_NORMALISED
from poseda.data.prepare.anatomy import check_anatomy, sides_disagree
from poseda.data.prepare.three_dpw.sequences import read_array
from poseda.data.restricted import load_pickled_npz
from poseda_ext.skeleton import H36M_16, H36M_17

Array = NDArray[Any]

#: AdaptPose's files, in which Neck/Nose is not
ADAPTPOSE_16 = JointMap(
    "AdaptPose, 16 joints",
    H36M_16.names,
    {**{name: {name: 1.0} for name in H36M_16.names}, "Neck/Nose": {"Thorax": 0.5, "Head": 0.5}},
)
#: pixels of the square to which portrait and landscape images alike are padded, and the focal
#: length of 3DPW's phone (1961.9 and 1969.2 pixels along the two sides)
SIDE, FOCAL = 1920, 1965.5
MAX_ERROR = 0.02  #: of the image side, median from the 2D to the images of the joints
_OWN = [H36M_17.names.index(name) for name in H36M_16.names]
_OTHER_LEG_FIRST = [0, 4, 5, 6, 1, 2, 3, *range(7, 17)]


@dataclass(frozen=True, eq=False)
class Poses:
    """N poses.

    Attributes:
        pose2d: (N, 17, 2) pixels of a padded image of `SIDE` x `SIDE`.
        pose3d: (N, 17, 3) metres, absolute in the camera frame.
        intrinsics: (4,) pixels.
        notes: lines for the user.
    """

    pose2d: Array
    pose3d: Array
    intrinsics: Array
    notes: list[str]


def read_adaptpose(path: Path, min_distance: float) -> Poses:
    """One of AdaptPose's files.

    Args:
        path: the file.
        min_distance: metres; poses with roots nearer to the origin on the whole are root-relative,
            and their root is solved from 2D and 3D.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds something else, or 2D and 3D do not belong together.
    """
    members = load_pickled_npz(path)
    points = read_array(members, "positions_2d", (-1, 16, 2), path)
    pose3d = ADAPTPOSE_16.points(read_array(members, "positions_3d", (len(points), 16, 3), path))
    if not len(points):
        raise ValueError(f"{path}: positions_2d: got no rows, expected at least one")
    if np.abs(points).max() > MAX_NORMALISED:
        raise ValueError(f"{path}: positions_2d: got pixels, expected screen-normalised points")
    pose2d = ADAPTPOSE_16.points((points + 1) * SIDE / 2)
    notes = []
    if sides_disagree(pose3d):
        pose2d, pose3d = pose2d[:, _OTHER_LEG_FIRST], pose3d[:, _OTHER_LEG_FIRST]
        notes.append("left and right leg were exchanged in the file: put right")
    check_anatomy(pose3d, str(path))
    intrinsics = np.asarray((FOCAL, FOCAL, SIDE / 2, SIDE / 2))
    if float(np.median(np.linalg.norm(pose3d[:, 0], axis=-1))) < min_distance:
        pose3d = pose3d - pose3d[:, :1]
        root = solve_root(pose3d[:, _OWN], pose2d[:, _OWN], intrinsics)
        pose3d = pose3d + root[:, None]
        notes.append("the root is solved from 2D and 3D, with the focal length of 3DPW's phone")
    else:
        intrinsics = _fit_intrinsics(pose3d[:, _OWN], pose2d[:, _OWN])
        notes.append(f"intrinsics fitted to 2D and 3D: {intrinsics.round(1).tolist()} pixels")
    error = float(np.median(reprojection_error(pose3d, pose2d, intrinsics))) / SIDE
    if not error <= MAX_ERROR:
        raise ValueError(
            f"{path}: got 2D points that are {error:.1%} of the image side (median) from the "
            f"images of the 3D joints, expected at most {MAX_ERROR:.0%}; they must be normalised "
            "by the longer image side, and the 3D in the camera frame"
        )
    notes.append(f"the 2D lies {error:.2%} of the image side from the images of the joints")
    return Poses(pose2d, pose3d, intrinsics, notes)


def _fit_intrinsics(pose3d: Array, pose2d: Array) -> Array:
    """(4,) fx, fy, cx, cy with which the images of the joints are nearest to the 2D."""
    image = pose3d[..., :2] / np.where(pose3d[..., 2:] > 0, pose3d[..., 2:], np.inf)
    fits = [np.polyfit(image[..., axis].ravel(), pose2d[..., axis].ravel(), 1) for axis in (0, 1)]
    (fx, cx), (fy, cy) = fits
    return np.asarray((fx, fy, cx, cy))
