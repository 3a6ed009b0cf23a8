"""From the joints of the common detectors to Human3.6M's 17.

Joint orders, as their makers document them: COCO keypoints (17), COCO-WholeBody (133: the 17, 6 of
the feet, 68 of the face, 21 of each hand), OpenPose ``BODY_25`` and its older COCO model (18),
MediaPipe Pose (33), Halpe (26, of 136 with face and hands), Human3.6M (17, and 16 without
Neck/Nose).

The rules: Hip is midway between the hips, Thorax midway between the shoulders or the detector's
neck, Spine midway between those two. Human3.6M's Head is the end of a bone, inside the skull: going
by the bone lengths of its subjects, and those of the CMU motion capture database in the same
skeleton, about 0.13 to 0.14 of stature above the shoulders, where the ears have 0.13 (tragion) and
the crown 0.20. So Head lies just beyond the ears on the line from the middle of the shoulders to
the middle of the ears, and Neck/Nose on the same line before them; or on the line from neck to
crown, where a detector has those. A hidden ear is replaced by the other one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.joint_maps import JointMap, direct
from poseda_ext.skeleton import H36M_16, H36M_17

Array = NDArray[Any]
Rules = Mapping[str, Mapping[str, float]]

#: How far Head and Neck/Nose are on the way from the middle of the shoulders to that of the ears
TO_EARS = {"Head": 1.1, "Neck/Nose": 0.6}
#: Likewise on the way from the detector's neck to the crown
TO_CROWN = {"Head": 0.65, "Neck/Nose": 0.35}


@dataclass(frozen=True)
class JointSet:
    """The joints of a detector, and how Human3.6M's are had from them.

    Attributes:
        map: the rules, for joints that were all seen.
        fallbacks: rules for some joints, tried in turn where `map` needs a joint that was not seen.
    """

    map: JointMap
    fallbacks: tuple[JointMap, ...] = ()

    @property
    def name(self) -> str:
        return self.map.name

    @property
    def joints(self) -> tuple[str, ...]:
        return self.map.joints

    def apply(self, points: Array, confidence: Array, min_confidence: float) -> tuple[Array, Array]:
        """Human3.6M's joints.

        Args:
            points: (..., S, 2) pixels, NaN where there is none.
            confidence: (..., S).
            min_confidence: a joint of lower confidence counts as not seen.

        Returns:
            Points (..., 17, 2) and confidence (..., 17), the lowest of what a joint is made of.
        """
        mapped, certain = self.map.points(points), self.map.confidence(confidence)
        for other in self.fallbacks:
            also = other.confidence(confidence)
            better = (certain < min_confidence) & (also >= min_confidence)
            if better.any():
                mapped = np.where(better[..., None], other.points(points), mapped)
                certain = np.where(better, also, certain)
        return mapped, certain

    def lines(self) -> list[str]:
        """The table, for the user."""
        return self.map.lines()


def _mean(*joints: str) -> dict[str, float]:
    return {joint: 1 / len(joints) for joint in joints}


def _sum(*terms: tuple[float, Mapping[str, float]]) -> dict[str, float]:
    """Weighted sum of weights."""
    total: dict[str, float] = {}
    for factor, weights in terms:
        for joint, weight in weights.items():
            total[joint] = total.get(joint, 0.0) + factor * weight
    return {joint: weight for joint, weight in total.items() if weight}


_LIMBS = {
    f"{side}{ours}": (long, theirs)
    for side, long in (("R", "right"), ("L", "left"))
    for ours, theirs in {
        "Hip": "hip", "Knee": "knee", "Foot": "ankle", "Shoulder": "shoulder", "Elbow": "elbow",
        "Wrist": "wrist",
    }.items()
}  # fmt: skip


def _joint_set(
    name: str,
    joints: Iterable[str],
    *,
    short: bool = False,
    hip: str | None = None,
    neck: str | None = None,
    crown: str | None = None,
) -> JointSet:
    """A detector with limbs, shoulders, hips and ears.

    Args:
        name: of the set.
        joints: all names, in the order of its files.
        short: names are ``RHip``, not ``right_hip``.
        hip: its middle of the hips, if it has one.
        neck: its neck, likewise.
        crown: its top of the head, likewise.
    """

    def joint(side: str, part: str) -> str:
        return f"{side[0].upper()}{part.capitalize()}" if short else f"{side}_{part}"

    def both(part: str) -> dict[str, float]:
        return _mean(joint("left", part), joint("right", part))

    def head(
        start: Mapping[str, float], end: Mapping[str, float], share: dict[str, float]
    ) -> Rules:
        return {name: _sum((1 - way, start), (way, end)) for name, way in share.items()}

    joints = tuple(joints)
    shoulders = both("shoulder")
    middle = {hip: 1.0} if hip else both("hip")
    thorax = {neck: 1.0} if neck else shoulders
    rules: dict[str, Mapping[str, float]] = {
        ours: {joint(side, theirs): 1.0} for ours, (side, theirs) in _LIMBS.items()
    }
    rules |= {"Hip": middle, "Thorax": thorax, "Spine": _sum((0.5, middle), (0.5, thorax))}
    heads = [head(shoulders, both("ear"), TO_EARS)]
    heads += [head(shoulders, {joint(side, "ear"): 1.0}, TO_EARS) for side in ("left", "right")]
    if crown:
        heads.insert(0, head(thorax, {crown: 1.0}, TO_CROWN))
    fallbacks = tuple(JointMap(name, joints, each) for each in heads[1:])
    return JointSet(JointMap(name, joints, {**rules, **heads[0]}), fallbacks)


_COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
    "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
_OPENPOSE_UPPER = (
    "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist",
)  # fmt: skip
_OPENPOSE_LEGS = ("RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle")
_OPENPOSE_FACE = ("REye", "LEye", "REar", "LEar")
_FEET = tuple(
    f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel")
)
_FACE = tuple(f"face-{number}" for number in range(68))
_HANDS = tuple(
    f"{side}_{part}"
    for side in ("left", "right")
    for part in (
        "hand_root",
        *(
            f"{finger}{number}"
            for finger in ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
            for number in range(1, 5)
        ),
    )
)
_MEDIAPIPE = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye",
    "right_eye_outer", "left_ear", "right_ear", "mouth_left", "mouth_right",
    *(
        f"{side}_{part}"
        for part in ("shoulder", "elbow", "wrist", "pinky", "index", "thumb", "hip", "knee",
                     "ankle", "heel", "foot_index")
        for side in ("left", "right")
    ),
)  # fmt: skip
_HALPE = (
    *_COCO, "head", "neck", "hip",
    *(f"{side}_{part}" for part in ("big_toe", "small_toe", "heel") for side in ("left", "right")),
)  # fmt: skip


def _h36m_16() -> JointSet:
    rules: dict[str, Mapping[str, float]] = {name: {name: 1.0} for name in H36M_16.names}
    rules["Neck/Nose"] = _mean("Thorax", "Head")
    return JointSet(JointMap("h36m_16", H36M_16.names, rules))


#: name to joint set; of two sets with the same number of joints the first is the more common
JOINT_SETS: dict[str, JointSet] = {
    each.name: each
    for each in (
        _joint_set("coco_17", _COCO),
        JointSet(direct("h36m_17", H36M_17.names, {name: name for name in H36M_17.names})),
        _h36m_16(),
        _joint_set("body_25", (
            *_OPENPOSE_UPPER, "MidHip", *_OPENPOSE_LEGS, *_OPENPOSE_FACE, "LBigToe", "LSmallToe",
            "LHeel", "RBigToe", "RSmallToe", "RHeel",
        ), short=True, neck="Neck", hip="MidHip"),
        _joint_set(
            "coco_18", (*_OPENPOSE_UPPER, *_OPENPOSE_LEGS, *_OPENPOSE_FACE),
            short=True, neck="Neck",
        ),
        _joint_set("halpe_26", _HALPE, hip="hip", neck="neck", crown="head"),
        _joint_set("halpe_136", (*_HALPE, *_FACE, *_HANDS), hip="hip", neck="neck", crown="head"),
        _joint_set("mediapipe_33", _MEDIAPIPE),
        _joint_set("wholebody_133", (*_COCO, *_FEET, *_FACE, *_HANDS)),
    )
}  # fmt: skip
