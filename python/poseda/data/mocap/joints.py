"""World-frame joints in one ``.npz`` without pickles, as several recordings one after another.

``joints`` (F, S, 3); optional ``clip_start`` and ``clip_len`` (C,), ``names``, ``subjects``,
``actions`` (C,) strings, ``fps`` () or (C,), and ``joint_names`` (S,) strings, Human3.6M's 17 if
absent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.mocap.clip import Clip
from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]

_KEYS = ("joints", "clip_start", "clip_len", "names", "subjects", "actions", "fps", "joint_names")


def read_joints(path: Path) -> list[Clip]:
    """The recordings of a file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds something else.
    """
    arrays = _load(path)
    joints = arrays["joints"]
    names = tuple(str(name) for name in arrays.get("joint_names", H36M_17.names))
    if joints.dtype.kind != "f" or joints.ndim != 3 or joints.shape[1:] != (len(names), 3):
        raise ValueError(
            f"{path}: joints: got {joints.dtype} of shape {joints.shape}, expected floats of shape "
            f"(F, {len(names)}, 3)"
        )
    start = _column(arrays, "clip_start", "iu", np.zeros(1, np.int64), path).astype(np.int64)
    clips = len(start)
    default = np.asarray([len(joints)]) if clips == 1 else None
    length = _column(arrays, "clip_len", "iu", default, path, clips).astype(np.int64)
    if (start < 0).any() or (length < 1).any() or (start > len(joints) - length).any():
        raise ValueError(
            f"{path}: clip_start, clip_len: got clips outside of {len(joints):,} frames"
        )
    rates = arrays.get("fps", np.ones(()))
    if rates.dtype.kind not in "fiu" or rates.shape not in ((), (clips,)) or not (rates > 0).all():
        raise ValueError(f"{path}: fps: got {rates!r:.60}, expected frames per second")
    rates = np.broadcast_to(rates, clips)
    empty = np.full(clips, "")
    numbered = np.asarray([f"{path.stem}_{clip}" for clip in range(clips)])
    label = {
        key: _column(arrays, key, "U", fallback, path, clips)
        for key, fallback in (("names", numbered), ("subjects", empty), ("actions", empty))
    }
    return [
        Clip(
            name=str(label["names"][clip]),
            subject=str(label["subjects"][clip]),
            action=str(label["actions"][clip]),
            joints=names,
            positions=joints[start[clip] : start[clip] + length[clip]],
            fps=float(rates[clip]) if "fps" in arrays else None,
        )
        for clip in range(clips)
    ]


def _load(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as members:
            arrays = {key: np.asarray(members[key]) for key in _KEYS if key in members}
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged bytes raise nearly anything
        raise ValueError(f"{path}: got no readable .npz without pickles ({error})") from error
    if "joints" not in arrays:
        raise ValueError(f"{path}: has no array joints, expected world-frame joints (F, S, 3)")
    return arrays


def _column(
    arrays: dict[str, Array],
    key: str,
    kinds: str,
    default: Array | None,
    path: Path,
    rows: int = -1,
) -> Array:
    column = arrays.get(key, default)
    if column is None or column.dtype.kind not in kinds or column.ndim != 1:
        raise ValueError(f"{path}: {key}: got {column!r:.60}, expected one per clip")
    if rows >= 0 and len(column) != rows:
        raise ValueError(f"{path}: {key}: got {len(column)}, expected {rows} as in clip_start")
    return column
