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


def detected(h36m: Array, name: str) -> Array:
    """(F, 17, 2) Human3.6M's joints as (F, S, 2) of a joint set.

    Limbs lie where Human3.6M has them. The rest of what the rules use is placed so that they give
    Human3.6M's Head; every other point lies at the Head.
    """
    joints = JOINT_SETS[name].joints
    at = {joint: h36m[:, number] for number, joint in enumerate(H36M_17.names)}
    out = np.repeat(at["Head"][:, None], len(joints), axis=1)

    def put(value: Array, *names: str) -> None:
        for joint in names:
            if joint in joints:
                out[:, joints.index(joint)] = value

    for joint in joints:
        put(at.get(joint, at["Head"]), joint)
    for short, long in (("R", "right"), ("L", "left")):
        for ours, theirs in LIMBS.items():
            other = f"{short}{theirs.capitalize()}"
            put(
                at[f"{short}{ours}"],
                f"{long}_{theirs}",
                *([other] if other != short + ours else []),
            )
    put(at["Thorax"], "Neck", "neck")
    put(at["Hip"], "MidHip", "hip")
    return out


def scores(points: Array, value: float = 0.9) -> Any:
    return np.full(points.shape[:2], value)
