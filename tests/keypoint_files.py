"""Synthetic humans as detectors see them, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.synthetic.actions import perform
from poseda.data.synthetic.body import forward_kinematics, sample_body
from poseda.data.synthetic.rigs import Camera, look_at
from poseda.keypoints.maps import JOINT_SETS
from poseda_ext.skeleton import H36M_17

Array = NDArray[np.float64]

SIZE = (1920, 1080)
INTRINSICS = (1500.0, 1500.0, 960.0, 540.0)
LIMBS = {
    "Hip": "hip", "Knee": "knee", "Foot": "ankle", "Shoulder": "shoulder", "Elbow": "elbow",
    "Wrist": "wrist",
}  # fmt: skip

#: Points of the head in fractions of stature: forward and to the left of the middle of the ears,
#: and above the ground. Tragion and eyes after common surveys of adults, the crown is 1.
HEAD = {
    "left_ear": (0.0, 0.042, 0.926),
    "right_ear": (0.0, -0.042, 0.926),
    "left_eye": (0.05, 0.018, 0.936),
    "right_eye": (0.05, -0.018, 0.936),
    "nose": (0.07, 0.0, 0.91),
    "crown": (0.0, 0.0, 1.0),
}
#: Where the synthetic humans have Neck/Nose when they stand: in front of the hips, above the ground
NECK = (0.018, 0.87)


def camera() -> Camera:
    return look_at("chest", INTRINSICS, SIZE, (5.0, 1.0, 1.4), (0.0, 0.0, 1.0))


def walk(frames: int = 40, *, seed: int = 0, aside: float = 0.0, action: str = "walk") -> Array:
    """(frames, 17, 3) metres in the world frame: somebody walks, `aside` metres from the middle."""
    rng = np.random.default_rng(seed)
    body = sample_body(rng)
    motion = perform(action, rng, frames, fps=25.0)
    joints = forward_kinematics(motion, body.stature, body.bone_lengths)
    joints[..., :2] += np.asarray([-0.2, 1.0]) * aside
    return joints


def image(world: Array) -> Array:
    """(..., 17, 2) pixels."""
    lens = camera()
    return lens.project(lens.to_camera(world))


def body_points(world: Array) -> dict[str, Array]:
    """(F, 3) places in the world of what detectors look for, by COCO's names and a few more."""
    at = {joint: world[:, number] for number, joint in enumerate(H36M_17.names)}
    legs = np.linalg.norm(at["RHip"] - at["RKnee"], axis=-1) + np.linalg.norm(
        at["RKnee"] - at["RFoot"], axis=-1
    )
    stature = (legs / 0.491)[:, None]
    up = _unit(at["Head"] - at["Neck/Nose"])
    across = at["LShoulder"] - at["RShoulder"]
    left = _unit(across - (across * up).sum(-1, keepdims=True) * up)
    forward = np.cross(left, up)
    # Standing, the bone from Neck/Nose to Head leans backward by this angle.
    lean = np.arctan(0.15)
    upright = np.cos(lean) * up + np.sin(lean) * forward
    ahead = np.cos(lean) * forward - np.sin(lean) * up
    points = {
        f"{long}_{theirs}": at[f"{short}{ours}"]
        for short, long in (("R", "right"), ("L", "left"))
        for ours, theirs in LIMBS.items()
    }
    for name, (front, side, height) in HEAD.items():
        offset = (front + 0.012 - NECK[0]) * ahead + side * left + (height - NECK[1]) * upright
        points[name] = at["Neck/Nose"] + stature * offset
    points["neck"] = (at["LShoulder"] + at["RShoulder"]) / 2 + 0.01 * stature * upright
    points["hip"] = (at["LHip"] + at["RHip"]) / 2
    return points


def detected(world: Array, name: str) -> Array:
    """(F, 17, 3) of the world as (F, S, 2) pixels of a joint set; what no rule uses is a foot."""
    joints = JOINT_SETS[name].joints
    points = body_points(world)
    if name.startswith("h36m"):
        points = {joint: world[:, number] for number, joint in enumerate(H36M_17.names)}
    elif name.startswith("halpe"):
        points["head"] = points["crown"]
    elif name in ("body_25", "coco_18"):
        sides = {"left_": "L", "right_": "R"}
        points |= {
            f"{short}{part.removeprefix(side).capitalize()}": value
            for part, value in points.items()
            for side, short in sides.items()
            if part.startswith(side)
        }
        points |= {"Nose": points["nose"], "Neck": points["neck"], "MidHip": points["hip"]}
    other = world[:, H36M_17.names.index("LFoot")]
    return image(np.stack([points.get(joint, other) for joint in joints], axis=1))


def scores(points: Array, value: float = 0.9) -> Any:
    return np.full(points.shape[:2], value)


def _unit(vectors: Array) -> Array:
    unit: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
