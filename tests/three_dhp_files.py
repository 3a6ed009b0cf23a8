"""Builds files in the layouts of MPI-INF-3DHP and of those who repackaged it, with synthetic humans
in front of the data set's true cameras."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

from poseda.data.prepare.mpi_inf_3dhp.tables import JOINTS_17, JOINTS_28, VALID_FRAMES
from poseda.data.synthetic import forward_kinematics, perform, sample_body
from poseda_ext.skeleton import H36M_16, H36M_17

Array = NDArray[Any]

#: world (y up, mm) to camera of the train cameras: three rows of four numbers each
EXTRINSICS: dict[int, tuple[float, ...]] = {
    0: (0.9650164, 0.00488022, 0.262144, -562.8666, -0.004488356, -0.9993728, 0.0351275, 1398.138,
        0.262151, -0.03507521, -0.9643893, 3852.623),
    1: (0.6050639, -0.02184232, 0.7958773, -1429.856, -0.22647, -0.9630526, 0.1457429, 738.1779,
        0.7632883, -0.2684261, -0.587655, 4897.966),
    2: (-0.3608179, -0.009492658, 0.932588, 57.25702, -0.0585942, -0.9977421, -0.03282591,
        1307.287, 0.9307939, -0.06648842, 0.359447, 2799.822),
    3: (-0.0721105, -0.04817664, 0.9962325, -284.8168, -0.4393254, -0.8951841, -0.07508985,
        807.9184, 0.895429, -0.443085, 0.04338695, 3177.16),
    4: (0.3737275, 0.09688602, 0.9224646, -1563.911, -0.009716132, -0.9940662, 0.1083427, 801.9608,
        0.9274878, -0.04945343, -0.3705685, 3517.316),
    7: (-0.9995936, 0.02847456, 0.001368653, 1378.866, -0.02843213, -0.9992908, 0.0246889,
        1270.781, 0.002070688, 0.02463995, 0.9996943, 2631.567),
    8: (0.000575281, 0.06160985, -0.9981001, 221.3543, 0.2082146, -0.9762325, -0.06013997, 659.87,
        -0.978083, -0.2077844, -0.01338968, 3644.688),
    9: (0.04176839, 0.00780962, -0.9990969, 388.6217, 0.5555364, -0.831324, 0.01672664, 137.5452,
        -0.8304425, -0.5557333, -0.03906159, 4216.635),
}  # fmt: skip
#: the others, as quaternion x, y, z, w and translation
_TURNED = {
    5: ((-0.568842, 0.0159665, 0.8220693, -0.0191314), (358.4134, 994.5658, 3439.832)),
    6: ((0.2030824, -0.2818073, 0.9370704, -0.0352313), (569.4388, 528.871, 3687.369)),
    10: ((-0.2266321, -0.2540748, 0.9401911, -0.0111636), (1167.962, 617.6362, 4472.351)),
    11: ((-0.4536946, -0.2035304, -0.0072578, 0.8675736), (134.8272, 251.5094, 4570.244)),
    12: ((-0.0778876, 0.8469901, -0.4230185, 0.3124046), (412.4695, 532.7588, 4887.095)),
    13: ((0.098712, 0.8023286, -0.5397436, -0.2349501), (867.1278, 827.4572, 3985.159)),
}


def _extrinsic(quaternion: tuple[float, ...], translation: tuple[float, ...]) -> tuple[float, ...]:
    x, y, z, w = quaternion
    rotation = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return tuple(
        value for row, shift in zip(rotation, translation, strict=True) for value in (*row, shift)
    )


EXTRINSICS |= {number: _extrinsic(*values) for number, values in _TURNED.items()}

#: fx, fy, cx, cy of the train cameras
INTRINSICS = {
    0: (1497.693, 1497.103, 1024.704, 1051.394), 1: (1495.217, 1495.52, 1030.519, 1052.626),
    2: (1495.587, 1497.828, 983.8873, 987.5902), 3: (1495.886, 1496.033, 1029.06, 1041.409),
    4: (1490.952, 1491.108, 987.6075, 1019.069), 5: (1500.414, 1499.971, 1012.331, 998.5009),
    6: (1498.471, 1498.8, 999.7319, 1010.251), 7: (1498.831, 1499.674, 987.2716, 976.8773),
    8: (1500.172, 1500.837, 1017.387, 1043.032), 9: (1501.554, 1501.9, 1010.423, 1037.096),
    10: (1498.423, 1498.585, 1041.614, 997.0433), 11: (1495.779, 1493.703, 1009.802, 999.9984),
    12: (1501.326, 1501.491, 1000.56, 1014.975), 13: (1496.961, 1497.378, 1005.702, 1004.214),
}  # fmt: skip
OUTDOOR = (1683.98346, 1672.59371, 939.85754, 560.14074)

#: H36M_17 joint to its name in MPI-INF-3DHP, written down a second time on purpose
NAMES = {
    "Hip": "pelvis", "RHip": "right_hip", "RKnee": "right_knee", "RFoot": "right_ankle",
    "LHip": "left_hip", "LKnee": "left_knee", "LFoot": "left_ankle", "Spine": "spine",
    "Thorax": "neck", "Neck/Nose": "head", "Head": "head_top", "LShoulder": "left_shoulder",
    "LElbow": "left_elbow", "LWrist": "left_wrist", "RShoulder": "right_shoulder",
    "RElbow": "right_elbow", "RWrist": "right_wrist",
}  # fmt: skip
UNIVERSAL = {"S1": 0.93, "S2": 1.04, "TS1": 0.95, "TS2": 1.03, "TS3": 0.97, "TS4": 0.98,
             "TS5": 1.05, "TS6": 0.94}  # fmt: skip
CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)


@cache
def walk(seed: int, frames: int) -> Array:
    """(F, 17, 3) a synthetic human in the world of MPI-INF-3DHP: y up, metres."""
    rng = np.random.default_rng(seed)
    body = sample_body(rng)
    motion = perform("walk", rng, frames, 25.0)
    motion = type(motion)(motion.angles, motion.turn, 0.2 * np.tanh(motion.place), motion.lift)
    world = forward_kinematics(motion, body.stature, body.bone_lengths)
    return np.stack((world[..., 0], world[..., 2], -world[..., 1]), axis=-1)


def to_camera(world: Array, extrinsic: Iterable[float]) -> Array:
    matrix = np.asarray([*extrinsic]).reshape(3, 4)
    return np.asarray(world @ matrix[:, :3].T + matrix[:, 3] / 1000)


def image(pose: Array, intrinsics: Iterable[float]) -> Array:
    values = np.asarray([*intrinsics])
    return np.asarray(pose[..., :2] / pose[..., 2:] * values[:2] + values[2:])


@dataclass(frozen=True)
class View:
    """What a camera sees: the truth behind every file, with the joints of `H36M_17`."""

    pose3d: Array  # metres, absolute in the camera frame
    pose2d: Array  # pixels
    scale: float  # of univ_annot3 about the pelvis

    @property
    def universal(self) -> Array:
        """univ_annot3 in metres: only the pelvis stays where it is."""
        root = self.pose3d[:, :1]
        return np.asarray(root + self.scale * (self.pose3d - root))


def train_view(subject: str, sequence: str, camera: int, frames: int) -> View:
    world = walk(10 * int(subject[1:]) + int(sequence[3:]), frames)
    pose = to_camera(world, EXTRINSICS[camera])
    return View(pose, image(pose, INTRINSICS[camera]), UNIVERSAL[subject])


def sequence_view(name: str, frames: int) -> View:
    outdoor = name in ("TS5", "TS6")
    pose = to_camera(walk(100 + int(name[2:]), frames), EXTRINSICS[8])
    return View(pose, image(pose, OUTDOOR if outdoor else INTRINSICS[8]), UNIVERSAL[name])


def in_order(points: Array, names: tuple[str, ...]) -> Array:
    """(F, 17, D) of `H36M_17` as the named joints; those it lacks lie where no human has any."""
    places = {NAMES[joint]: place for place, joint in enumerate(H36M_17.names)}
    rng = np.random.default_rng(len(names))
    return np.stack(
        [
            points[:, places[name]]
            if name in places
            else points[:, 0] + rng.uniform(0.5, 1.0, points.shape[-1])
            for name in names
        ],
        axis=1,
    )


def write_calibration(path: Path) -> None:
    """As Skeletool writes it."""
    lines = ["Skeletool Camera Calibration File V1.0"]
    for number in range(14):
        fx, fy, cx, cy = INTRINSICS[number]
        extrinsic = " ".join(str(value) for value in EXTRINSICS[number])
        lines += [
            f"name          {number}",
            "  sensor      10 10",
            "  size        2048 2048",
            "  animated    0",
            f"  intrinsic   {fx} 0 {cx} 0 0 {fy} {cy} 0 0 0 1 0 0 0 0 1 ",
            f"  extrinsic   {extrinsic} 0 0 0 1 ",
            "  radial      0",
        ]
    path.write_text("\n".join(lines) + "\n")


def train_variables(subject: str, sequence: str, frames: int) -> dict[str, list[Array]]:
    """The cell arrays of an ``annot.mat``."""
    cells: dict[str, list[Array]] = {"annot2": [], "annot3": [], "univ_annot3": []}
    for camera in range(14):
        view = train_view(subject, sequence, camera, frames)
        for name, points in (
            ("annot2", view.pose2d),
            ("annot3", 1000 * view.pose3d),
            ("univ_annot3", 1000 * view.universal),
        ):
            cells[name].append(in_order(points, JOINTS_28.joints).reshape(frames, -1))
    return cells


def sequence_variables(name: str, valid: Array) -> dict[str, Array]:
    """The arrays of an ``annot_data.mat``, with MATLAB's axes."""
    view = sequence_view(name, len(valid))

    def matlab(points: Array) -> Array:
        ordered = in_order(points, JOINTS_17.joints)
        return ordered.transpose(2, 1, 0)[:, :, None]  # (D, 17, 1, F)

    return {
        "annot2": matlab(view.pose2d),
        "annot3": matlab(1000 * view.pose3d),
        "univ_annot3": matlab(1000 * view.universal),
        "valid_frame": valid[None].astype(np.float64),
        "activity_annotation": np.ones((1, len(valid))),
    }


def save_matlab(path: Path, variables: dict[str, Any], version: str) -> None:
    """Numeric arrays, and lists as (n, 1) cell arrays, as MATLAB 5 to 7 or 7.3 writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if version == "v5":
        cells = {}
        for name, value in variables.items():
            if isinstance(value, list):
                cells[name] = np.empty((len(value), 1), dtype=object)
                for row, cell in enumerate(value):
                    cells[name][row, 0] = cell
        scipy.io.savemat(path, {**variables, **cells}, do_compression=True)
        return
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            if isinstance(value, list):
                references = []
                for row, cell in enumerate(value):
                    held = file.create_dataset(f"#refs#/{name}_{row}", data=cell.T)
                    held.attrs["MATLAB_class"] = np.bytes_("double")
                    references.append(held.ref)
                dataset = file.create_dataset(name, (1, len(value)), h5py.ref_dtype)
                dataset[0] = references
                dataset.attrs["MATLAB_class"] = np.bytes_("cell")
            else:
                dataset = file.create_dataset(name, data=value.T)
                dataset.attrs["MATLAB_class"] = np.bytes_("double")
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\x00\x02IM"
    with path.open("r+b") as raw:
        raw.write(header)


def write_train(folder: Path, subject: str, sequence: str, frames: int, version: str) -> Path:
    path = folder / subject / sequence / "annot.mat"
    save_matlab(path, train_variables(subject, sequence, frames), version)
    write_calibration(path.with_name("camera.calibration"))
    return path


def write_test(folder: Path, name: str, valid: Array, version: str) -> Path:
    path = folder / name / "annot_data.mat"
    save_matlab(path, sequence_variables(name, valid), version)
    return path


def pstmo_train(labels: str, recordings: dict[tuple[str, str], int]) -> dict[str, Any]:
    """The dictionary in P-STMO's ``data_train_3dhp.npz``."""
    data: dict[str, Any] = {}
    for (subject, sequence), frames in recordings.items():
        cameras = {}
        for camera in CAMERAS:
            view = train_view(subject, sequence, camera, frames)
            pose = view.pose3d if labels == "annot3" else view.universal
            cameras[str(camera)] = {
                "data_2d": in_order(view.pose2d, JOINTS_17.joints),
                "data_3d": in_order(1000 * pose, JOINTS_17.joints),
            }
        data[f"{subject} {sequence}"] = [cameras, 25]
    return data


def pstmo_test(labels: str, valid: dict[str, Array]) -> dict[str, Any]:
    """The dictionary in P-STMO's ``data_test_3dhp.npz``."""
    data = {}
    for name, flags in valid.items():
        view = sequence_view(name, len(flags))
        pose = view.pose3d if labels == "annot3" else view.universal
        data[name] = {
            "data_2d": in_order(view.pose2d, JOINTS_17.joints),
            "data_3d": in_order(1000 * pose, JOINTS_17.joints),
            "valid": flags.astype(np.float64),
        }
    return data


def without_neck(points: Array) -> Array:
    """(F, 16, D) of `H36M_16`."""
    return points[:, [H36M_17.names.index(name) for name in H36M_16.names]]


def poseaug_arrays() -> dict[str, Array]:
    """The arrays of PoseAug's ``test_3dhp.npz``."""
    points, poses = [], []
    for name, count in VALID_FRAMES.items():
        view = sequence_view(name, count)
        width, height = (1920, 1080) if name in ("TS5", "TS6") else (2048, 2048)
        points.append(view.pose2d / width * 2 - [1, height / width])
        poses.append(view.universal - view.universal[:, :1])
    return {
        "pose3d": without_neck(np.concatenate(poses)),
        "pose2d": without_neck(np.concatenate(points)),
    }


def spin_arrays(frames: int) -> dict[str, Array]:
    """The arrays of SPIN's ``mpi_inf_3dhp_valid.npz``; every third frame is valid."""
    order = [
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
        "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
        "neck", None, "pelvis", None, "spine", "head", "head_top", None, None, None, None, None,
    ]  # fmt: skip
    images, parts, poses = [], [], []
    joint = {NAMES[name]: place for place, name in enumerate(H36M_17.names)}
    for name in VALID_FRAMES:
        view = sequence_view(name, frames)
        for frame in range(0, frames, 3):
            images.append(f"mpi_inf_3dhp_test_set/{name}/imageSequence/img_{frame + 1:06d}.jpg")
            part, pose = np.zeros((24, 3)), np.zeros((24, 4))
            for place, known in enumerate(order):
                if known:
                    part[place] = [*view.pose2d[frame, joint[known]], 1]
                    relative = view.universal[frame] - view.universal[frame, 0]
                    pose[place] = [*relative[joint[known]], 1]
            parts.append(part)
            poses.append(pose)
    return {
        "imgname": np.asarray(images),
        "center": np.zeros((len(images), 2)),
        "scale": np.ones(len(images)),
        "part": np.asarray(parts),
        "S": np.asarray(poses),
    }


def adaptpose_order(points: Array) -> Array:
    """(F, 16, D) in the order of AdaptPose's train file."""
    names = (
        "Hip", "LHip", "LKnee", "LFoot", "RHip", "RKnee", "RFoot", "Spine", "Thorax", "Head",
        "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist",
    )  # fmt: skip
    return points[:, [H36M_17.names.index(name) for name in names]]


def adaptpose_train(kind: str, recordings: dict[tuple[str, str], int]) -> dict[str, Any]:
    """The dictionary under ``positions_2d`` or ``positions_3d`` of AdaptPose's train files."""
    data: dict[str, Any] = {}
    for (subject, sequence), frames in recordings.items():
        views = [train_view(subject, sequence, camera, frames) for camera in range(14)]
        data.setdefault(subject, {})[sequence] = {
            camera: adaptpose_order(view.pose2d if kind == "2d" else 1000 * view.pose3d)
            for camera, view in enumerate(views)
        }
    return data


def adaptpose_test(labels: str, frames: dict[str, int]) -> dict[str, Any]:
    """What AdaptPose's test file holds."""
    views = {name: sequence_view(name, count) for name, count in frames.items()}
    return {
        "positions_2d": {name: without_neck(view.pose2d) for name, view in views.items()},
        "positions_3d": {
            name: without_neck(1000 * (view.pose3d if labels == "annot3" else view.universal))
            for name, view in views.items()
        },
    }


class Hostile:
    """Unpickled by a careless reader, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.path)!r}, 'w').write('ran')",)


def save_npz(path: Path, **members: Any) -> Path:
    """As `numpy.savez_compressed`, which pickles dictionaries."""
    np.savez_compressed(path, **members)
    return path
