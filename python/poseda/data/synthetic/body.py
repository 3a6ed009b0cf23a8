"""An articulated human of 17 joints (`H36M_17`): bone lengths, joint angles, kinematics.

The body frame has x forward, y to the person's left, z up; the world frame has z up. With all
angles zero the person stands upright with hanging arms and looks along x.

Bone lengths are fractions of stature after Drillis and Contini, "Body Segment Parameters" (1966),
as tabulated in Winter, "Biomechanics and Motor Control of Human Movement" (fig. 4.1): hip .530,
knee .285, ankle .039 and shoulder .818 of stature above the ground, half shoulder breadth .129,
upper arm .186, forearm .146. Where H36M_17 has joints that the table lacks (Spine, Thorax,
Neck/Nose, the hip joint centres) the fractions are those of a typical Human3.6M subject.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda_ext.skeleton import H36M_17

Array = NDArray[np.float64]

#: Joint angles in radians with their limits. Flexion bends a limb the natural way (thigh and arm
#: forward, heel to seat, hand to shoulder), abduction carries it away from the body, rotation turns
#: the thigh outward and the upper arm inward. The trunk and the neck flex forward, bend and twist
#: to the left. ``l_`` and ``r_`` are the sides.
ANGLES: dict[str, tuple[float, float]] = {
    "spine_flex": (-0.6, 1.6),
    "spine_bend": (-0.7, 0.7),
    "spine_twist": (-0.9, 0.9),
    "neck_flex": (-0.8, 0.9),
    "neck_bend": (-0.6, 0.6),
    "neck_twist": (-1.2, 1.2),
    **{
        f"{side}_{joint}": limits
        for side in ("l", "r")
        for joint, limits in (
            ("hip_flex", (-0.5, 2.2)),
            ("hip_abduct", (-0.4, 1.0)),
            ("hip_rotate", (-0.6, 0.9)),
            ("knee_flex", (0.0, 2.6)),
            ("shoulder_flex", (-0.9, 3.0)),
            ("shoulder_abduct", (-0.4, 2.9)),
            ("shoulder_rotate", (-1.6, 1.6)),
            ("elbow_flex", (0.0, 2.5)),
        )
    },
}

_INDEX = {name: position for position, name in enumerate(ANGLES)}
_LIMITS = np.asarray(list(ANGLES.values()))  # (A, 2)

# Part of the spine's angles taken by the lower of its two joints, and of the neck's likewise.
_LOWER_SPINE = 0.35
_LOWER_NECK = 0.5
# The shoulder girdle lifts by up to this angle as the arm goes overhead.
_GIRDLE_LIFT = 0.4

#: Height of a joint above the ground, as a fraction of stature, when its body part lies on it.
_CLEARANCE = np.asarray(
    [0.055, 0.05, 0.03, 0.039, 0.05, 0.03, 0.039, 0.06, 0.06,
     0.06, 0.05, 0.05, 0.025, 0.025, 0.05, 0.025, 0.025]
)  # fmt: skip


@dataclass(frozen=True)
class Body:
    """One person.

    Attributes:
        stature: metres.
        bone_lengths: (16,) metres, bone b ends in joint b + 1.
    """

    stature: float
    bone_lengths: Array


@dataclass(frozen=True)
class BodyRange:
    """From which people are drawn: stature in metres, the rest relative to average proportions.

    Each entry is (lowest, highest) of a uniform distribution.
    """

    stature: tuple[float, float] = (1.62, 1.86)
    legs: tuple[float, float] = (0.97, 1.03)
    arms: tuple[float, float] = (0.97, 1.03)
    trunk: tuple[float, float] = (0.97, 1.03)
    shoulders: tuple[float, float] = (0.95, 1.05)
    hips: tuple[float, float] = (0.94, 1.06)
    head: tuple[float, float] = (0.95, 1.05)
    shin_to_thigh: tuple[float, float] = (0.98, 1.02)
    forearm_to_arm: tuple[float, float] = (0.98, 1.02)


@dataclass(frozen=True)
class Motion:
    """What a body does over F frames.

    Attributes:
        angles: (F, A) radians, columns in the order of `ANGLES`, within its limits.
        turn: (F, 3) yaw, pitch, roll of the pelvis in radians: heading about z (0 looks along x,
            positive to the left), lean forward, lean to the right.
        place: (F, 2) metres, where on the ground the pelvis is.
        lift: (F,) metres, height of the lowest body part above the ground.
    """

    angles: Array
    turn: Array
    place: Array
    lift: Array

    def __len__(self) -> int:
        return len(self.angles)


def sample_body(rng: np.random.Generator, people: BodyRange | None = None) -> Body:
    """Draw one person, with left and right of equal length."""
    people = BodyRange() if people is None else people
    stature = float(rng.uniform(*people.stature))
    legs, arms = rng.uniform(*people.legs), rng.uniform(*people.arms)
    trunk, head = rng.uniform(*people.trunk), rng.uniform(*people.head)
    shin, forearm = rng.uniform(*people.shin_to_thigh), rng.uniform(*people.forearm_to_arm)
    fraction = {
        "Hip": 0.074 * rng.uniform(*people.hips),
        "Knee": 0.245 * legs * (2 - shin),
        "Foot": 0.246 * legs * shin,
        "Spine": 0.135 * trunk,
        "Thorax": 0.146 * trunk,
        "Neck/Nose": 0.062 * head,
        "Head": 0.064 * head,
        "Shoulder": 0.092 * rng.uniform(*people.shoulders),
        "Elbow": 0.166 * arms * (2 - forearm),
        "Wrist": 0.146 * arms * forearm,
    }
    names = [name if name in fraction else name[1:] for name in H36M_17.names[1:]]
    return Body(stature, stature * np.asarray([fraction[name] for name in names]))


def clip_angles(angles: Array) -> Array:
    """Angles (F, A) brought within the limits of `ANGLES`."""
    return np.clip(angles, _LIMITS[:, 0], _LIMITS[:, 1])


def forward_kinematics(motion: Motion, stature: Any, bone_lengths: Array) -> Array:
    """Joint positions of a motion.

    Args:
        motion: F frames, of one or of several people.
        stature: () or (F,) metres.
        bone_lengths: (16,) or (F, 16) metres.

    Returns:
        (F, 17, 3) metres in the world frame (z up), the lowest body part `lift` above z = 0.
    """
    angle = {name: motion.angles[:, column] for name, column in _INDEX.items()}
    lengths = np.broadcast_to(bone_lengths, (len(motion), H36M_17.num_bones))

    yaw, pitch, roll = motion.turn.T
    pelvis = about_axis(2, yaw) @ about_axis(1, pitch) @ about_axis(0, roll)
    lower_spine = pelvis @ _trunk_turn(angle, "spine", _LOWER_SPINE)
    upper_spine = lower_spine @ _trunk_turn(angle, "spine", 1 - _LOWER_SPINE)
    neck = upper_spine @ _trunk_turn(angle, "neck", _LOWER_NECK)
    head = neck @ _trunk_turn(angle, "neck", 1 - _LOWER_NECK)

    # The frame that moves each bone and the bone's direction in that frame at zero angles.
    down, up = (0.0, 0.0, -1.0), (0.0, 0.0, 1.0)
    frame_of = {
        "Spine": (lower_spine, up),
        "Thorax": (upper_spine, up),
        "Neck/Nose": (neck, (0.3, 0.0, 0.95)),
        "Head": (head, (-0.15, 0.0, 1.0)),
    }
    for side, sign in (("L", 1.0), ("R", -1.0)):
        of = {name[2:]: value for name, value in angle.items() if name[0] == side.lower()}
        hip = (
            pelvis
            @ about_axis(1, -of["hip_flex"])
            @ about_axis(0, sign * of["hip_abduct"])
            @ about_axis(2, sign * of["hip_rotate"])
        )
        knee = hip @ about_axis(1, of["knee_flex"])
        raised = np.arccos(
            np.clip(np.cos(of["shoulder_flex"]) * np.cos(of["shoulder_abduct"]), -1, 1)
        )
        girdle = upper_spine @ about_axis(
            0, sign * _GIRDLE_LIFT * np.clip((raised - 0.8) / 2, 0, 1)
        )
        shoulder = (
            upper_spine
            @ about_axis(1, -of["shoulder_flex"])
            @ about_axis(0, sign * of["shoulder_abduct"])
            @ about_axis(2, -sign * of["shoulder_rotate"])
        )
        elbow = shoulder @ about_axis(1, -of["elbow_flex"])
        frame_of |= {
            f"{side}Hip": (pelvis, (0.0, sign, 0.0)),
            f"{side}Knee": (hip, down),
            f"{side}Foot": (knee, down),
            f"{side}Shoulder": (girdle, (0.0, sign, -0.25)),
            f"{side}Elbow": (shoulder, down),
            f"{side}Wrist": (elbow, down),
        }

    joints = np.zeros((len(motion), H36M_17.num_joints, 3))
    for joint in range(1, H36M_17.num_joints):
        frame, direction = frame_of[H36M_17.names[joint]]
        unit = np.asarray(direction) / np.linalg.norm(direction)
        bone = frame @ unit * lengths[:, joint - 1, None]
        joints[:, joint] = joints[:, H36M_17.parents[joint]] + bone

    clearance = np.multiply.outer(np.broadcast_to(stature, len(motion)), _CLEARANCE)
    joints[..., :2] += motion.place[:, None, :]
    joints[..., 2] += (motion.lift - (joints[..., 2] - clearance).min(axis=1))[:, None]
    return joints


def _trunk_turn(angle: dict[str, Array], part: str, share: float) -> Array:
    """(F, 3, 3) rotation of one joint of the spine or the neck."""
    return (
        about_axis(2, share * angle[f"{part}_twist"])
        @ about_axis(0, -share * angle[f"{part}_bend"])
        @ about_axis(1, share * angle[f"{part}_flex"])
    )


def about_axis(axis: int, angle: Array) -> Array:
    """(F, 3, 3) rotations about a coordinate axis."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    rotation = np.zeros((*angle.shape, 3, 3))
    rotation[..., axis, axis] = 1
    rotation[..., first, first] = rotation[..., second, second] = np.cos(angle)
    sine = np.sin(angle)
    rotation[..., second, first], rotation[..., first, second] = sine, -sine
    return rotation
