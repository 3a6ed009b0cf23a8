"""Lifted poses as one JSON file, for any program.

The file is strict JSON (RFC 8259) in ASCII: no NaN, and other letters as ``\\u`` escapes. One
object:

=============== =========================================================================
``format``      ``"poseda-lifted"``
``version``     ``1``
``coordinates`` ``"camera: x right, y down, z forward"``
``units``       ``{"pose3d": "metre", "root": "metre", "pose2d": "pixel", ...}``
``fps``         frames per second, or ``null`` if unknown
``joints``      J names; joint 0 is the root
``parents``     J numbers of joints, -1 for the root
``left``        joints of the person's left side; ``right`` likewise, paired in order
``people``      names, each once
``poses``       an object for each pose, in the order given
=============== =========================================================================

and each of ``poses``, a line of its own, so that a program can also read a long file line by line:

=============== =========================================================================
``person``      string; ``""`` if nobody is named
``clip``        number of the continuous recording
``frame``       place in the clip
``pose3d``      J times x, y, z relative to joint 0, rounded to 0.01 mm
``root``        x, y, z of joint 0, rounded likewise; left out if unknown
``pose2d``      J times x, y, rounded to 0.01 pixel; left out if unknown
``confidence``  J numbers, 0 (not seen) to 1; left out if unknown
``intrinsics``  fx, fy, cx, cy in pixels; left out if unknown
``image_size``  width, height in pixels; left out if unknown
=============== =========================================================================
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from poseda.files import atomic_write
from poseda.outputs.poses import ABOUT, Array, Known, Poses, checked
from poseda_ext.skeleton import Skeleton

_CHUNK = 1024  # poses turned into lists at a time
_DIGITS = {"pose3d": 5, "root": 5, "pose2d": 2, "confidence": 4, "intrinsics": 3, "image_size": 0}


def write_json(
    path: str | os.PathLike[str],
    pose3d: ArrayLike,
    skeleton: Skeleton,
    **known: Unpack[Known],
) -> None:
    """Write the file that the head of this module describes, as a whole or not at all.

    Args:
        path: the file to write or replace; its folder must exist.
        pose3d: (N, J, 3) metres in the camera frame, relative to joint 0.
        skeleton: J joints.
        known: `person`, `clip`, `frame` and so on, as in `poseda.outputs.poses.Known`.

    Raises:
        TypeError, ValueError: as `poseda.outputs.poses.checked`.
        OSError: if the file cannot be written.
    """
    poses = checked(pose3d, skeleton, **known)
    with atomic_write(path) as temporary, temporary.open("w", encoding="ascii") as file:
        head = json.dumps(_head(poses), allow_nan=False, indent=1)
        file.write(head.removesuffix("\n}") + ',\n "poses": [')
        for row, record in enumerate(_records(poses)):
            file.write(",\n" if row else "\n")
            file.write(json.dumps(record, allow_nan=False, separators=(",", ":")))
        file.write("\n]}\n")


def _head(poses: Poses) -> dict[str, Any]:
    skeleton = poses.skeleton
    return {
        **ABOUT,
        "fps": poses.fps or None,
        "joints": skeleton.names,
        "parents": skeleton.parents,
        "left": skeleton.left,
        "right": skeleton.right,
        "people": poses.people,
    }


def _records(poses: Poses) -> Iterator[dict[str, Any]]:
    arrays = {name: getattr(poses, name) for name in _DIGITS}
    for first in range(0, len(poses), _CHUNK):
        rows = slice(first, first + _CHUNK)
        lists: dict[str, list[Any]] = {
            "person": poses.person[rows].tolist(),
            "clip": poses.clip[rows].tolist(),
            "frame": poses.frame[rows].tolist(),
        }
        for name, array in arrays.items():
            if array is not None:
                lists[name] = _rounded(array[rows], _DIGITS[name]).tolist()
        for record in zip(*lists.values(), strict=True):
            yield dict(zip(lists, record, strict=True))


def _rounded(array: Array, digits: int) -> Array:
    """In float64, so that the shortest decimal is the rounded one; without negative zeros."""
    rounded: Array = np.round(array.astype(np.float64), digits) + 0.0
    return rounded
