"""Named tables from the joints of motion capture to Human3.6M's 17, and finding the right one.

Human3.6M's Hip lies between the hip joints, its Spine halfway up to its Thorax, which is the base
of the neck; its Head is inside the skull, about 0.2 m above the Thorax.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from poseda.data.joint_maps import JointMap
from poseda_ext.skeleton import H36M_16, H36M_17

Array = NDArray[Any]

Rule = str | Mapping[str, float]


def _table(name: str, rules: Mapping[str, Rule]) -> JointMap:
    weights = {
        ours: {theirs: 1.0} if isinstance(theirs, str) else dict(theirs)
        for ours, theirs in rules.items()
    }
    joints = tuple(dict.fromkeys(joint for rule in weights.values() for joint in rule))
    return JointMap(name, joints, weights)


def _both(left: Mapping[str, str], sides: tuple[str, str]) -> dict[str, Rule]:
    """The limbs of both sides, from Human3.6M's names without their letter and the left ones."""
    return {
        f"{letter}{ours}": sides[number] + theirs
        for ours, theirs in left.items()
        for number, letter in enumerate("LR")
    }


def _middle(first: str, second: str) -> dict[str, float]:
    return {first: 0.5, second: 0.5}


_ACCLAIM_LIMBS = _both(
    {"Hip": "hipjoint", "Knee": "femur", "Foot": "tibia",
     "Shoulder": "clavicle", "Elbow": "humerus", "Wrist": "wrist"}, ("l", "r"),
)  # fmt: skip
_LIMBS = _both(
    {"Hip": "UpLeg", "Knee": "Leg", "Foot": "Foot",
     "Shoulder": "Arm", "Elbow": "ForeArm", "Wrist": "Hand"}, ("Left", "Right"),
)  # fmt: skip

#: The Acclaim skeletons of the CMU database, as in the open benchmark: Hip is the root, which lies
#: 0.1 m above the hip joints. A bone stands for its end.
CMU_ASF = _table(
    "cmu-asf",
    {"Hip": "root", "Spine": "upperback", "Thorax": "lowerneck", "Neck/Nose": "upperneck",
     "Head": "head", **_ACCLAIM_LIMBS},
)  # fmt: skip
#: The same with Human3.6M's Hip, between the hip joints, and a Thorax a little lower.
CMU_ASF_HIPS = _table(
    "cmu-asf-hips",
    {"Hip": _middle("lhipjoint", "rhipjoint"), "Spine": "lowerback",
     "Thorax": _middle("thorax", "lowerneck"), "Neck/Nose": "upperneck",
     "Head": _middle("upperneck", "head"), **_ACCLAIM_LIMBS},
)  # fmt: skip
#: The conversion of the CMU database to BVH (cgspeed). It leaves the bones ``thorax`` and ``wrist``
#: out, so that trunks are 0.12 m and forearms 0.1 m shorter than in the ASF files.
CMU_BVH = _table(
    "cmu-bvh",
    {"Hip": "Hips", "Spine": _middle("Spine", "Spine1"), "Thorax": "Neck1", "Neck/Nose": "Head",
     "Head": "Head_End", **_LIMBS},
)  # fmt: skip
_MIXAMO: dict[str, Rule] = {
    "Hip": _middle("LeftUpLeg", "RightUpLeg"), "Spine": "Spine1", "Thorax": "Neck",
    "Neck/Nose": "Head", **_LIMBS,
}  # fmt: skip
#: Mixamo; the prefix ``mixamorig:`` is taken off. Head is halfway up the skull.
MIXAMO = _table("mixamo", {**_MIXAMO, "Head": _middle("Head", "HeadTop_End")})
#: Mixamo where the crown is an End Site.
MIXAMO_END = _table("mixamo-end", {**_MIXAMO, "Head": _middle("Head", "Head_End")})
#: Joints that already have Human3.6M's names, as in the BVH files of `poseda.outputs`.
HUMAN36M = _table("human36m", {joint: joint for joint in H36M_17.names})
#: The same without Neck/Nose.
HUMAN36M_16 = _table("human36m-16", {joint: joint for joint in H36M_16.names})
#: Vicon's Plug-in Gait markers, with the joint centres that `poseda.data.mocap.markers` adds.
PLUG_IN_GAIT = _table(
    "plug-in-gait",
    {"Hip": _middle("LHJC", "RHJC"),
     "Spine": {"LHJC": 0.25, "RHJC": 0.25, "C7": 0.25, "CLAV": 0.25},
     "Thorax": _middle("C7", "CLAV"),
     "Neck/Nose": {"C7": 0.25, "CLAV": 0.25, "LFHD": 0.25, "RFHD": 0.25},
     "Head": {"LFHD": 0.25, "RFHD": 0.25, "LBHD": 0.25, "RBHD": 0.25},
     **_both({"Hip": "HJC", "Knee": "KJC", "Foot": "AJC", "Shoulder": "SJC", "Elbow": "ELB"},
             ("L", "R")),
     "LWrist": _middle("LWRA", "LWRB"), "RWrist": _middle("RWRA", "RWRB")},
)  # fmt: skip

#: in the order in which they are tried
TABLES = {
    table.name: table
    for table in (
        HUMAN36M, HUMAN36M_16, CMU_ASF, CMU_BVH, MIXAMO, MIXAMO_END, PLUG_IN_GAIT, CMU_ASF_HIPS,
    )
}  # fmt: skip


def plain_name(joint: str) -> str:
    """A joint's name without a name space (``mixamorig:``, the subject of a C3D file), in lower
    case."""
    return re.sub(r"^(.*:|mixamorig\d*_?)", "", joint.strip(), flags=re.IGNORECASE).lower()


def map_joints(
    table: JointMap, joints: Sequence[str], positions: Array, where: str = "joints"
) -> Array:
    """Human3.6M's joints.

    Args:
        table: how they are had from the others; names are compared by `plain_name`.
        joints: S names.
        positions: (F, S, 3).
        where: what messages call the source.

    Returns:
        (F, 17, 3). Without a rule for Neck/Nose it is halfway between Thorax and Head.

    Raises:
        ValueError: if a joint of the table is not there, or a name not unique.
    """
    names = [plain_name(joint) for joint in joints]
    columns = []
    for joint in table.joints:
        if (count := names.count(plain_name(joint))) != 1:
            raise ValueError(
                f"{where}: got {count} joints {joint!r}, expected one, as the table {table.name} "
                f"says; it has {', '.join(joints)}"
            )
        columns.append(names.index(plain_name(joint)))
    mapped = table.points(positions[:, columns])
    if "Neck/Nose" not in table.rules:
        at = H36M_17.names.index
        mapped[:, at("Neck/Nose")] = (mapped[:, at("Thorax")] + mapped[:, at("Head")]) / 2
    return mapped


def find_table(joints: Sequence[str], where: str) -> JointMap:
    """The first table whose joints are all there.

    Raises:
        ValueError: if there is none; lists the joints.
    """
    names = {plain_name(joint) for joint in joints}
    for table in TABLES.values():
        if names >= {plain_name(joint) for joint in table.joints}:
            return table
    raise ValueError(
        f"{where}: got an unknown skeleton with the joints {', '.join(joints)}; expected one of "
        f"{', '.join(TABLES)}, or a table of your own with --joints FILE.json: an object that "
        'gives each of Human3.6M\'s joints as a name, or as names with weights, e.g. {"Hip": '
        '"pelvis", "Spine": {"spine1": 0.5, "spine2": 0.5}, ...}'
    )


def load_table(path: Path) -> JointMap:
    """A table of the user's own, as `find_table` describes it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such table.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: got no JSON ({error})") from error
    wanted = set(H36M_17.names)
    if not isinstance(content, dict) or not wanted - {"Neck/Nose"} <= set(content) <= wanted:
        raise ValueError(
            f"{path}: expected a JSON object with the keys {', '.join(H36M_17.names)} "
            "(Neck/Nose may be left out)"
        )
    for joint, rule in content.items():
        weights = rule.values() if isinstance(rule, dict) and rule else [rule]
        kinds = (int, float) if isinstance(rule, dict) and rule else (str,)
        if any(not isinstance(weight, kinds) or isinstance(weight, bool) for weight in weights):
            raise ValueError(f"{path}: {joint}: got {rule!r}, expected a name, or names to weights")
    try:
        return _table(path.stem, content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
