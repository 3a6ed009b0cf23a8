"""Lifted poses as arrays in one ``.npz`` file, without pickles.

N is the number of poses, J that of joints.

=============== =========== ======= ==========================================================
array           shape       type    content
=============== =========== ======= ==========================================================
``pose3d``      (N, J, 3)   float32 metres in the camera frame (x right, y down, z forward),
                                    relative to joint 0
``person``      (N,)        string  whose pose; ``""`` if nobody is named
``clip``        (N,)        int64   number of the continuous recording
``frame``       (N,)        int64   place in the clip
``fps``         ()          float64 frames per second; 0 if unknown
``joint_names`` (J,)        string
``parents``     (J,)        int64   -1 for the root, joint 0
``left``        (S,)        int64   joints of the person's left side
``right``       (S,)        int64   of the right side, paired in order
``root``        (N, 3)      float32 optional: metres, joint 0 in the camera frame
``pose2d``      (N, J, 2)   float32 optional: pixels, y down
``confidence``  (N, J)      float32 optional: of `pose2d`, 0 (not seen) to 1
``intrinsics``  (N, 4)      float32 optional: fx, fy, cx, cy in pixels
``image_size``  (N, 2)      float32 optional: width, height in pixels
``about``       ()          string  JSON object: format, version, coordinates, units
=============== =========== ======= ==========================================================
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike

from poseda.files import atomic_write
from poseda.outputs.poses import ABOUT, Array, Known, checked
from poseda_ext.skeleton import Skeleton


def write_npz(
    path: str | os.PathLike[str],
    pose3d: ArrayLike,
    skeleton: Skeleton,
    **known: Unpack[Known],
) -> None:
    """Write the file that the head of this module describes, as a whole or not at all.

    Args:
        path: ends in ``.npz``; its folder must exist.
        pose3d: (N, J, 3) metres in the camera frame, relative to joint 0.
        skeleton: J joints.
        known: `person`, `clip`, `frame` and so on, as in `poseda.outputs.poses.Known`.

    Raises:
        TypeError, ValueError: as `poseda.outputs.poses.checked`, or if the path does not end in
            ``.npz``.
        OSError: if the file cannot be written.
    """
    if Path(path).suffix != ".npz":
        raise ValueError(f"path: got {os.fspath(path)!r}, expected a name that ends in .npz")
    poses = checked(pose3d, skeleton, **known)
    arrays: dict[str, Array] = {
        "pose3d": poses.pose3d,
        "person": poses.person,
        "clip": poses.clip,
        "frame": poses.frame,
        "fps": np.asarray(poses.fps),
        "joint_names": np.asarray(skeleton.names),
        "parents": np.asarray(skeleton.parents, dtype=np.int64),
        "left": np.asarray(skeleton.left, dtype=np.int64),
        "right": np.asarray(skeleton.right, dtype=np.int64),
        "about": np.asarray(json.dumps(ABOUT)),
    }
    for name in ("root", "pose2d", "confidence", "intrinsics", "image_size"):
        if (array := getattr(poses, name)) is not None:
            arrays[name] = array
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
