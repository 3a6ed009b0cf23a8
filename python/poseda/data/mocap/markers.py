"""C3D, the format of marker positions, and joint centres from Vicon's Plug-in Gait markers.

C3D files are read by the package c3d (py-c3d): pure Python, so that a damaged or hostile file can
raise but not crash, with numpy as its only dependency.

Markers lie on the skin. Hips are found by the regression of Bell, Brand and Pedersen, "Prediction
of hip joint centre location from external landmarks" (1989); knees and ankles lie inside of their
markers, on the side away from the thigh's and the shank's marker, at a right angle to the bone
above (the chord construction of Davis et al., "A gait analysis data collection and reduction
technique", 1991); shoulders lie below theirs. All widths are fractions of the pelvis' width, since
the files do not say how wide a person's joints are: typical of adults, and off by 1 or 2 cm. Elbows
stay at their markers, about 4 cm outside of the joint.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.mocap.clip import Clip
from poseda.data.mocap.skeletons import plain_name

Array = NDArray[Any]

#: where the hip lies from the front waist marker of its side, in widths between the two (Bell 1989)
BEHIND, BELOW, INWARD = 0.22, 0.30, 0.14
#: from the marker to the joint's centre, in the same width (0.25 m in an adult)
KNEE, ANKLE, SHOULDER = 0.22, 0.17, 0.20
_UNITS = {"mm": 0.001, "cm": 0.01, "m": 1.0, "in": 0.0254}

#: our name to those in use, Plug-in Gait's first, then those of the CMU database
_ALIASES = {
    "LASI": ("LASI", "LFWT"), "RASI": ("RASI", "RFWT"), "LPSI": ("LPSI", "LBWT", "SACR"),
    "RPSI": ("RPSI", "RBWT", "SACR"), "LTIB": ("LTIB", "LSHN"), "RTIB": ("RTIB", "RSHN"),
    **{name: (name,) for name in ("C7", "CLAV", *(
        side + name for side in "LR" for name in ("THI", "KNE", "ANK", "SHO")))},
}  # fmt: skip


def read_c3d(path: Path, subject: str = "", action: str = "") -> Clip:
    """The markers of a C3D file, with joint centres where they are those of Plug-in Gait.

    Raises:
        FileNotFoundError: if there is no such file.
        ModuleNotFoundError: if the package c3d is not installed.
        ValueError: if it is no whole C3D file, or has no points.
    """
    try:
        import c3d
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "c3d is needed to read C3D files; install it with: pip install 'poseda[mocap]'"
        ) from error
    frames: list[Array] = []
    # Damaged bytes raise nearly anything.
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader = c3d.Reader(file)
            labels = [str(label).strip() for label in reader.point_labels]
            expected = int(reader.frame_count)
            rate = float(reader.point_rate)
            parameter = reader.get("POINT:UNITS")
            unit = "" if parameter is None else parameter.string_value.strip().lower()
            for _, points, _ in reader.read_frames(copy=True):
                frames.append(np.asarray(points[:, :4], dtype=np.float64))
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path}: got no whole C3D file ({error or type(error).__name__})"
        ) from error
    if len(frames) < max(1, expected):
        raise ValueError(
            f"{path}: got {len(frames):,} frames, expected {expected:,}; is the file truncated?"
        )
    if not labels or rate <= 0 or not np.isfinite(rate):
        raise ValueError(f"{path}: got {len(labels)} markers at {rate:g} frames per second")
    points = np.stack(frames)
    if points.shape[1] < len(labels):
        raise ValueError(
            f"{path}: got {points.shape[1]} points, expected {len(labels)} as labelled"
        )
    positions = points[:, : len(labels), :3].copy()
    missing = (points[:, : len(labels), 3] < 0) | ~positions.any(axis=-1)
    positions[missing] = np.nan
    if not np.isfinite(positions[~missing]).all():
        raise ValueError(f"{path}: got markers at NaN or infinity")
    clip = Clip(path.stem, subject, action, tuple(labels), positions, rate, _UNITS.get(unit))
    return add_joint_centres(clip)


def add_joint_centres(clip: Clip) -> Clip:
    """The clip with LHJC, LKJC, LAJC, LSJC and the right ones as further points; as it is where a
    marker that they need has no column. Without markers on thigh or shank, knees and ankles are
    taken to bend about the axis of the pelvis."""
    names = [plain_name(joint) for joint in clip.joints]
    point: dict[str, Array] = {}
    for ours, theirs in _ALIASES.items():
        for name in theirs:
            if names.count(name.lower()) == 1:
                point[ours] = clip.positions[:, names.index(name.lower())]
                break
    optional = {side + name for side in "LR" for name in ("THI", "TIB")}
    if not set(_ALIASES) - optional <= set(point):
        return clip

    left = point["LASI"] - point["RASI"]
    width = np.linalg.norm(left, axis=-1, keepdims=True)
    left = left / width
    front = (point["LASI"] + point["RASI"] - point["LPSI"] - point["RPSI"]) / 2
    forward = _unit(front - (front * left).sum(-1, keepdims=True) * left)
    up = np.cross(forward, left)
    neck = (point["C7"] + point["CLAV"]) / 2
    added: dict[str, Array] = {}
    for side, sign in (("L", 1), ("R", -1)):
        outward = sign * left
        hip = point[f"{side}ASI"] - width * (BEHIND * forward + BELOW * up + INWARD * outward)
        knee = _inside(hip, point[f"{side}KNE"], point.get(f"{side}THI"), outward, KNEE * width)
        ankle = _inside(knee, point[f"{side}ANK"], point.get(f"{side}TIB"), outward, ANKLE * width)
        trunk = _unit(neck - (point["LASI"] + point["RASI"] + point["LPSI"] + point["RPSI"]) / 4)
        shoulder = point[f"{side}SHO"] - SHOULDER * width * trunk
        added |= {
            f"{side}HJC": hip,
            f"{side}KJC": knee,
            f"{side}AJC": ankle,
            f"{side}SJC": shoulder,
        }
    return Clip(
        clip.name,
        clip.subject,
        clip.action,
        (*clip.joints, *added),
        np.concatenate([clip.positions, np.stack(list(added.values()), axis=1)], axis=1),
        clip.fps,
        clip.unit,
    )


def _unit(vectors: Array) -> Array:
    unit: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


def _inside(above: Array, marker: Array, side: Array | None, outward: Array, depth: Array) -> Array:
    """The joint `depth` inside of its marker, at a right angle to the bone from `above`; it lies
    away from the marker `side` of the bone, or from the direction `outward`."""
    bone = marker - above
    length = np.linalg.norm(bone, axis=-1, keepdims=True)
    along = bone / length
    lateral = outward if side is None else side - above
    lateral = _unit(lateral - (lateral * along).sum(-1, keepdims=True) * along)
    cosine = np.clip(depth / length, 0, 1)
    return marker - depth * (cosine * along + np.sqrt(1 - cosine**2) * lateral)
