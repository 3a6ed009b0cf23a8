"""Joints of the SMPL body model, by linear blend skinning.

SMPL (Loper et al., "SMPL: A Skinned Multi-Person Linear Model", 2015) moves the vertices of a body
of a given shape with 24 joints. A joint regressor is a weighted sum of vertices. Both are linear in
the vertices, so the regressor is multiplied into the model once, and the joints of a frame need
none of its 6,890 vertices: exactly the same numbers for a hundredth of the work.

The models are not ours to give: smpl.is.tue.mpg.de, for non-commercial research.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.geometry import rotation_matrices
from poseda.data.mocap.kinematics import place_joints, world_turns
from poseda.data.restricted import load_pickle
from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]

WHERE = "smpl.is.tue.mpg.de (licence: non-commercial research, as agreed to there)"
REGRESSOR = (
    "J_regressor_h36m.npy of SPIN's data (github.com/nkolot/SPIN), a regressor of Human3.6M's 17 "
    "joints from SMPL's vertices"
)
CONVERT = (
    "SMPL's own .pkl files hold chumpy objects, which are code and never loaded; write them as "
    '.npz once, where chumpy and scipy are installed: python -c "import pickle, sys, numpy as np; '
    "m = pickle.load(open(sys.argv[1], 'rb'), encoding='latin1'); np.savez(sys.argv[2], **{k: "
    "np.asarray(m[k].todense() if hasattr(m[k], 'todense') else m[k]) for k in ('v_template', "
    "'shapedirs', 'posedirs', 'J_regressor', 'weights', 'kintree_table')})\" MODEL.pkl MODEL.npz"
)
GENDERS = {"m": "male", "f": "female", "n": "neutral"}

_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
_CHUNK = 2048  # frames at a time


@dataclass(frozen=True, eq=False)
class BodyModel:
    """A body model of V vertices and K joints.

    Attributes:
        template: (V, 3) metres, y up, facing z, the left at x.
        shapes: (V, 3, B) what each number of a body's shape adds.
        poses: (V, 3, 9 (K - 1)) what the turns of the joints but the root add.
        regressor: (K, V) from the vertices of a shape to its joints.
        weights: (V, K) how much a vertex follows each joint.
        parents: K numbers, -1 for the root.
    """

    template: Array
    shapes: Array
    poses: Array
    regressor: Array
    weights: Array
    parents: tuple[int, ...]


def find_body_model(folder: Path, gender: str) -> Path:
    """The file of a gender, m, f or n, in a folder of body models.

    Raises:
        FileNotFoundError: if there is none; says where it is from.
    """
    name = GENDERS[gender]
    pattern = re.compile(rf"(.*[_.-])?({name}|{name[0]})([_.-].*)?", re.IGNORECASE)
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in (".npz", ".pkl"))
    found = [path for path in files if pattern.fullmatch(path.stem)]
    if not found:
        raise FileNotFoundError(
            f"body_model: {folder}: has no SMPL model for {name} people, expected "
            f"SMPL_{name.upper()}.npz or .pkl from {WHERE}"
        )
    return min(found, key=lambda path: (path.suffix.lower() != ".npz", path.name))


def load_body_model(path: Path) -> BodyModel:
    """A body model from an ``.npz`` or a plain pickle.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds something else, or objects; says how to convert SMPL's own files.
    """
    arrays = _load(path)
    missing = [key for key in _KEYS if key not in arrays]
    if missing:
        raise ValueError(f"{path}: has no {', '.join(missing)}; expected an SMPL model ({WHERE})")
    for key in _KEYS:
        if not isinstance(arrays[key], np.ndarray) or arrays[key].dtype.kind not in "fiu":
            raise ValueError(f"{path}: {key}: got no array of numbers. {CONVERT}")
        if not np.isfinite(arrays[key]).all():
            raise ValueError(f"{path}: {key}: got NaN or infinity")
    vertices, joints = len(arrays["v_template"]), arrays["J_regressor"].shape[0]
    shapes = {
        "v_template": (vertices, 3), "shapedirs": (vertices, 3, *arrays["shapedirs"].shape[2:3]),
        "posedirs": (vertices, 3, 9 * (joints - 1)), "J_regressor": (joints, vertices),
        "weights": (vertices, joints), "kintree_table": (2, joints),
    }  # fmt: skip
    for key, shape in shapes.items():
        if arrays[key].shape != shape or arrays[key].size == 0:
            raise ValueError(f"{path}: {key}: got shape {arrays[key].shape}, expected {shape}")
    parents = arrays["kintree_table"][0].astype(np.int64)
    parents[0] = -1
    if (parents[1:] < 0).any() or (parents[1:] >= np.arange(1, joints)).any():
        raise ValueError(f"{path}: kintree_table: got {parents.tolist()}, expected parents first")
    return BodyModel(
        template=arrays["v_template"].astype(np.float64),
        shapes=arrays["shapedirs"].astype(np.float64),
        poses=arrays["posedirs"].astype(np.float64),
        regressor=arrays["J_regressor"].astype(np.float64),
        weights=arrays["weights"].astype(np.float64),
        parents=tuple(int(parent) for parent in parents),
    )


def _load(path: Path) -> dict[str, Any]:
    if path.suffix.lower() == ".pkl":
        try:
            content = load_pickle(path)
        except ValueError as error:
            raise ValueError(f"{error}. {CONVERT}") from error
        if not isinstance(content, dict):
            raise ValueError(f"{path}: got no dictionary, expected an SMPL model ({WHERE})")
        return content
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as members:
            return {key: members[key] for key in _KEYS if key in members}
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged bytes raise nearly anything
        raise ValueError(f"{path}: got no .npz of plain arrays ({error}). {CONVERT}") from error


def load_regressor(path: Path) -> Array:
    """(17, V) weights, from vertices to joints.

    Raises:
        FileNotFoundError: if there is no such file; says where it is from.
        ValueError: if it holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"regressor: {path}: no such file; expected {REGRESSOR}")
    try:
        weights = np.load(path, allow_pickle=False)
    except Exception as error:  # damaged bytes raise nearly anything
        raise ValueError(f"{path}: got no plain array ({error}); expected {REGRESSOR}") from error
    joints = H36M_17.num_joints
    if not (isinstance(weights, np.ndarray) and weights.dtype.kind == "f" and weights.ndim == 2
            and len(weights) == joints and np.isfinite(weights).all()
            and np.allclose(weights.sum(axis=1), 1, atol=0.02)):  # fmt: skip
        raise ValueError(
            f"{path}: expected weights ({joints}, V) that add up to 1 for each joint; {REGRESSOR}"
        )
    return weights.astype(np.float64)


class RegressedJoints:
    """Human3.6M's 17 joints of a body model.

    Args:
        model: the body model.
        regressor: (17, V) from its vertices to the joints. The sides may stand in either order
            (SPIN's has the left leg first): they are told from the template, whose left is at x.

    Raises:
        ValueError: if the regressor is not for this model, or does not make a person of it.
    """

    def __init__(self, model: BodyModel, regressor: Array) -> None:
        if regressor.shape[1] != len(model.template):
            raise ValueError(
                f"regressor: got {regressor.shape[1]:,} vertices, expected the "
                f"{len(model.template):,} of the body model"
            )
        regressor = regressor[_sides(regressor @ model.template)]
        joints, bones = len(regressor), len(model.parents)
        # For each joint and each bone: the share of the vertices that follow the bone, summed.
        share = (regressor[:, None, :] * model.weights.T).reshape(joints * bones, -1)
        self._model = model
        self._mass = share.sum(-1).reshape(joints, bones)
        self._rest = (share @ model.template).reshape(joints, bones, 3)
        self._shapes = np.tensordot(share, model.shapes, 1).reshape(joints, bones, 3, -1)
        self._poses = np.tensordot(share, model.poses, 1).reshape(joints, bones, 3, -1)
        self._bone_rest = model.regressor @ model.template
        self._bone_shapes = np.tensordot(model.regressor, model.shapes, 1)

    def __call__(self, shape: Array, turns: Array, place: Array) -> Array:
        """Joints of one person.

        Args:
            shape: (B',) the first numbers of the shape.
            turns: (T, 3 K) axis-angle vectors of the joints, radians.
            place: (T, 3) metres.

        Returns:
            (T, 17, 3) metres, in the frame of `turns` and `place`.

        Raises:
            ValueError: if an argument does not fit the model.
        """
        bones = len(self._model.parents)
        if turns.ndim != 2 or turns.shape[1] != 3 * bones or place.shape != (len(turns), 3):
            raise ValueError(
                f"turns, place: got shapes {turns.shape} and {place.shape}, expected "
                f"(T, {3 * bones}) and (T, 3)"
            )
        count = min(len(shape), self._shapes.shape[-1])
        rest = self._rest + self._shapes[..., :count] @ shape[:count]
        bone_rest = self._bone_rest + self._bone_shapes[..., :count] @ shape[:count]
        parts = [
            self._move(rest, bone_rest, turns[start : start + _CHUNK])
            for start in range(0, len(turns), _CHUNK)
        ]
        moved: Array = np.concatenate(parts) + place[:, None] * self._mass.sum(-1)[:, None]
        return moved

    def _move(self, rest: Array, bone_rest: Array, turns: Array) -> Array:
        parents = self._model.parents
        own = rotation_matrices(turns.reshape(len(turns), -1, 3))  # (T, K, 3, 3)
        world = world_turns(parents, list(own.swapaxes(0, 1)))
        offsets = [bone_rest[0], *(bone_rest[b] - bone_rest[p] for b, p in enumerate(parents) if b)]
        places = place_joints(parents, offsets, world, moving=False)  # (T, K, 3)
        bend = (own[:, 1:] - np.eye(3)).reshape(len(turns), -1)
        added = np.tensordot(bend, self._poses, (1, 3))  # (T, 17, K, 3)
        local = rest + added - self._mass[..., None] * bone_rest
        turned = np.einsum("ktab,tjkb->tja", np.stack(world), local)
        joints: Array = turned + np.einsum("jk,tka->tja", self._mass, places)
        return joints


def _sides(joints: Array) -> list[int]:
    """The order that brings a regressor's joints (17, 3) of the template into Human3.6M's."""
    order = list(range(17))
    at = H36M_17.names.index
    heights = [joints[at(name), 1] for name in ("RFoot", "RKnee", "Hip", "Spine", "Thorax", "Head")]
    for right, left in (("RHip", "LHip"), ("RShoulder", "LShoulder")):
        first, second = slice(at(right), at(right) + 3), slice(at(left), at(left) + 3)
        across = joints[first, 0].mean() - joints[second, 0].mean()
        if across > 0:
            order[first], order[second] = order[second], order[first]
        if abs(across) < 0.05:
            heights = []
    if not heights or (np.diff(heights) <= 0).any():
        raise ValueError(
            "regressor: its joints of the body model's rest pose are not those of a person who "
            f"stands upright along y, with the left at x; expected {REGRESSOR}"
        )
    return order
