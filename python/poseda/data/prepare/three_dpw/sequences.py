"""The data set's own files, ``sequenceFiles/{train,validation,test}/*.pkl``.

One for each sequence of T frames at 30 a second. For each of one or two people: ``poses`` (T, 72),
``trans`` (T, 3), ``betas`` (10,) and ``genders`` of SMPL; ``jointPositions`` (T, 72), its 24 joints
in the world; ``campose_valid`` (T,); ``poses2d`` (T, 3, 18), x, y and confidence of OpenPose's 18
keypoints. For all: ``cam_poses`` (T, 4, 4), world to camera, and ``cam_intrinsics`` (3, 3). Images
are 1080 x 1920 pixels or the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.geometry import project
from poseda.data.joint_maps import JointMap
from poseda.data.poseset import MIN_CONFIDENCE
from poseda.data.restricted import load_pickle
from poseda.data.smpl import GENDERS
from poseda.keypoints.fill import complete, fill_in_time, from_body, max_gap
from poseda.keypoints.maps import JOINT_SETS
from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]

FPS = 30.0
MIN_DETECTED = 6  #: joints; of a person with fewer the data set gives none
SIZES = ((1080, 1920), (1920, 1080))

_SMPL = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle",
    "right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar",
    "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist",
    "right_wrist", "left_hand", "right_hand",
)  # fmt: skip
_LIMBS = {
    f"{letter}{ours}": f"{side}_{theirs}"
    for letter, side in (("R", "right"), ("L", "left"))
    for ours, theirs in {
        "Hip": "hip", "Knee": "knee", "Foot": "ankle", "Shoulder": "shoulder", "Elbow": "elbow",
        "Wrist": "wrist",
    }.items()
}  # fmt: skip
#: SMPL's own joints, which lie elsewhere than Human3.6M's: hips are 0.12 m apart, not 0.27 m
SMPL_24 = JointMap(
    "smpl-24",
    _SMPL,
    {
        "Hip": {"left_hip": 0.5, "right_hip": 0.5},
        "Spine": {"spine2": 1.0},
        "Thorax": {"neck": 1.0},
        "Neck/Nose": {"head": 1.0},
        "Head": {"head": 2.0, "neck": -1.0},
        **{ours: {theirs: 1.0} for ours, theirs in _LIMBS.items()},
    },
)


@dataclass(frozen=True, eq=False)
class Person:
    """What a sequence says of one person in T frames."""

    valid: Array  # (T,)
    joints: Array  # (T, 24, 3) metres in the world
    keypoints: Array  # (T, 3, 18)
    gender: str  # m, f or n
    shape: Array  # (10,)
    turns: Array  # (T, 72) radians
    place: Array  # (T, 3) metres


@dataclass(frozen=True, eq=False)
class Sequence:
    name: str
    people: list[Person] = field(repr=False)
    cameras: Array  # (T, 4, 4) world to camera
    intrinsics: tuple[float, float, float, float]
    size: tuple[int, int]

    def to_camera(self, points: Array) -> Array:
        """(T, J, 3) of the world to the camera frame."""
        turned: Array = points @ self.cameras[:, :3, :3].swapaxes(1, 2)
        return turned + self.cameras[:, None, :3, 3]

    def project(self, points: Array) -> Array:
        """(T, J, 3) of the camera frame to pixels; NaN at the camera and behind it."""
        image = project(points, np.asarray(self.intrinsics))
        return np.where(points[..., 2:] > 0, image, np.nan)


def read_sequence(path: Path) -> Sequence:
    """One of 3DPW's .pkl files.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds something else; names what.
    """
    content = load_pickle(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: got no dictionary, expected a sequence of 3DPW")
    cameras = read_array(content, "cam_poses", (-1, 4, 4), path)
    frames = len(cameras)
    rotation = cameras[:, :3, :3]
    square = np.abs(rotation @ rotation.swapaxes(1, 2) - np.eye(3)).max(initial=0.0)
    bottom = np.abs(cameras[:, 3] - (0, 0, 0, 1)).max(initial=0.0)
    if frames == 0 or max(square, bottom) > 1e-3 or (np.linalg.det(rotation) < 0).any():
        raise ValueError(f"{path}: cam_poses: expected rigid motions, world to camera")
    matrix = read_array(content, "cam_intrinsics", (3, 3), path)
    fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
    size = min(SIZES, key=lambda size: abs(size[0] / 2 - cx) + abs(size[1] / 2 - cy))
    if not (np.allclose(matrix, [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]) and min(fx, fy) > 0
            and abs(size[0] / 2 - cx) < 0.1 * size[0]
            and abs(size[1] / 2 - cy) < 0.1 * size[1]):  # fmt: skip
        raise ValueError(
            f"{path}: cam_intrinsics: got {matrix.tolist()}, expected those of an image of 1080 x "
            "1920 or 1920 x 1080 pixels"
        )
    genders = content.get("genders")
    if not isinstance(genders, list) or not genders:
        raise ValueError(f"{path}: genders: got {genders!r:.60}, expected a list of m and f")
    people = [_read_person(content, number, frames, path) for number in range(len(genders))]
    name = content.get("sequence", path.stem)
    return Sequence(str(name), people, cameras, (float(fx), float(fy), float(cx), float(cy)), size)


def _read_person(content: dict[str, Any], number: int, frames: int, path: Path) -> Person:
    def of(key: str, *shape: int) -> Array:
        people = content.get(key)
        if not isinstance(people, list | tuple | np.ndarray) or len(people) <= number:
            raise ValueError(f"{path}: {key}: expected one array for each person")
        return read_array({key: people[number]}, key, shape, path)

    gender = content["genders"][number]
    gender = str(gender).strip().lower()[:1]
    if gender not in GENDERS:
        raise ValueError(f"{path}: genders: got {gender!r}, expected m, f or n")
    valid = of("campose_valid", frames)
    if not np.isin(valid, (0, 1)).all():
        raise ValueError(f"{path}: campose_valid: got other numbers than 0 and 1")
    return Person(
        valid=valid != 0,
        joints=of("jointPositions", frames, 72).reshape(frames, 24, 3),
        keypoints=of("poses2d", frames, 3, 18),
        gender=gender,
        shape=of("betas", -1)[:10],
        turns=of("poses", frames, 72),
        place=of("trans", frames, 3),
    )


def read_array(content: dict[str, Any], key: str, shape: tuple[int, ...], path: Path) -> Array:
    """A member as finite float64 numbers of a shape, -1 for any length."""
    array = content.get(key)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise ValueError(f"{path}: {key}: got {type(array).__name__}, expected an array of numbers")
    fits = array.ndim == len(shape) and all(
        want in (-1, got) for got, want in zip(array.shape, shape, strict=True)
    )
    if not fits or not np.isfinite(array).all():
        raise ValueError(
            f"{path}: {key}: got shape {array.shape}{' with NaN' if fits else ''}, expected finite "
            f"numbers of shape {tuple('T' if want < 0 else want for want in shape)}"
        )
    return array.astype(np.float64)


def detected(keypoints: Array) -> tuple[Array, Array, Array]:
    """Human3.6M's joints from OpenPose's.

    Args:
        keypoints: (T, 3, 18) x, y, confidence of one person in frames that follow one another.

    Returns:
        (T, 17, 2) pixels, finite everywhere; (T, 17) confidence, 0 where a place is a guess; (T,)
        whether enough joints were seen for that.
    """
    frames = np.arange(len(keypoints))
    points, confidence = keypoints[:, :2].swapaxes(1, 2), np.clip(keypoints[:, 2], 0, 1)
    points = np.where(confidence[..., None] > 0, points, np.nan)
    mapped, certain = JOINT_SETS["coco_18"].apply(points, confidence, MIN_CONFIDENCE)
    seen = (certain >= MIN_CONFIDENCE) & np.isfinite(mapped).all(-1)
    known = seen | fill_in_time(
        mapped, seen, np.zeros_like(frames), frames, np.full(len(frames), max_gap(FPS))
    )
    whole = complete(known) & (seen.sum(axis=1) >= MIN_DETECTED)
    placed = np.zeros_like(mapped)
    placed[whole] = from_body(mapped[whole], known[whole])
    return placed, np.where(seen, certain, 0.0), whole


def mismatch(points: Array, keypoints: Array) -> Array:
    """Pixels from each limb joint that was detected to the image (T, 17, 2) of the 3D joint."""
    joint_set = JOINT_SETS["coco_18"]
    taken = [(H36M_17.names.index(ours), joint_set.joints.index(next(iter(weights))))
             for ours, weights in joint_set.map.rules.items() if ours in _LIMBS]  # fmt: skip
    ours, theirs = (list(column) for column in zip(*taken, strict=True))
    gap = points[:, ours] - keypoints[:, :2, theirs].swapaxes(1, 2)
    distance = np.linalg.norm(gap, axis=-1)
    used = (keypoints[:, 2, theirs] >= MIN_CONFIDENCE) & np.isfinite(distance)
    return distance[used]
