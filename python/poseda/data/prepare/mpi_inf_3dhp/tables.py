"""What is known of MPI-INF-3DHP: joint orders, cameras, lengths of the recordings.

Joint orders, frame counts and the cameras of the test set are those of the data set's own tools
(``util/``, ``test_util/``); the train cameras are those of its ``camera.calibration``, of which all
recordings have the same. TS1 to TS4 are filmed by train camera 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from poseda.data.joint_maps import JointMap, direct
from poseda_ext.skeleton import H36M_16

ORIGIN = "https://vcai.mpi-inf.mpg.de/3dhp-dataset/"
LICENCE = "for research only, not commercial; see README.txt of the data set"

Labels = Literal["annot3", "univ_annot3"]
Frames = Literal["valid", "adaptpose", "all"]

_TAKEN = {
    "Hip": "pelvis", "Spine": "spine", "Thorax": "neck", "Neck/Nose": "head", "Head": "head_top",
    "RHip": "right_hip", "RKnee": "right_knee", "RFoot": "right_ankle",
    "LHip": "left_hip", "LKnee": "left_knee", "LFoot": "left_ankle",
    "LShoulder": "left_shoulder", "LElbow": "left_elbow", "LWrist": "left_wrist",
    "RShoulder": "right_shoulder", "RElbow": "right_elbow", "RWrist": "right_wrist",
}  # fmt: skip

#: the train annotations
JOINTS_28 = direct(
    "MPI-INF-3DHP, 28 joints",
    (
        "spine3", "spine4", "spine2", "spine", "pelvis", "neck", "head", "head_top",
        "left_clavicle", "left_shoulder", "left_elbow", "left_wrist", "left_hand",
        "right_clavicle", "right_shoulder", "right_elbow", "right_wrist", "right_hand",
        "left_hip", "left_knee", "left_ankle", "left_foot", "left_toe",
        "right_hip", "right_knee", "right_ankle", "right_foot", "right_toe",
    ),
    _TAKEN,
)  # fmt: skip

#: the test annotations, and P-STMO's files
JOINTS_17 = direct(
    "MPI-INF-3DHP, 17 joints",
    (
        "head_top", "neck", "right_shoulder", "right_elbow", "right_wrist",
        "left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle",
        "left_hip", "left_knee", "left_ankle", "pelvis", "spine", "head",
    ),
    _TAKEN,
)  # fmt: skip

#: SPIN's files; of its 24 joints MPI-INF-3DHP fills 17
SPIN_24 = direct(
    "SPIN, 24 joints",
    (
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
        "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
        "neck", "lsp_head_top", "pelvis", "mpii_thorax", "spine", "head", "head_top",
        "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    ),
    _TAKEN,
)  # fmt: skip


def _without_neck(name: str, joints: tuple[str, ...]) -> JointMap:
    """Of files without Neck/Nose, which is put half-way from Thorax to Head, as PoseAug does."""
    rules = {joint: {joint: 1.0} for joint in H36M_16.names}
    return JointMap(name, joints, {**rules, "Neck/Nose": {"Thorax": 0.5, "Head": 0.5}})


#: PoseAug's ``test_3dhp.npz`` and AdaptPose's test file
POSEAUG_16 = _without_neck("PoseAug, 16 joints", H36M_16.names)

#: AdaptPose's train file has the left leg and the right arm first
ADAPTPOSE_16 = _without_neck(
    "AdaptPose, 16 joints",
    (
        "Hip", "LHip", "LKnee", "LFoot", "RHip", "RKnee", "RFoot", "Spine", "Thorax", "Head",
        "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist",
    ),
)  # fmt: skip

#: (subject, sequence) of the train set to frames of the videos and frames per second
TRAIN_FRAMES: dict[tuple[str, str], tuple[int, float]] = {
    ("S1", "Seq1"): (6416, 25), ("S1", "Seq2"): (12430, 50),
    ("S2", "Seq1"): (6502, 25), ("S2", "Seq2"): (6081, 25),
    ("S3", "Seq1"): (12488, 50), ("S3", "Seq2"): (12283, 50),
    ("S4", "Seq1"): (6171, 25), ("S4", "Seq2"): (6675, 25),
    ("S5", "Seq1"): (12820, 50), ("S5", "Seq2"): (12312, 50),
    ("S6", "Seq1"): (6188, 25), ("S6", "Seq2"): (6145, 25),
    ("S7", "Seq1"): (6239, 25), ("S7", "Seq2"): (6320, 25),
    ("S8", "Seq1"): (6468, 25), ("S8", "Seq2"): (6054, 25),
}  # fmt: skip

#: the test sequences with their valid frames, 2,929 in all
VALID_FRAMES = {"TS1": 603, "TS2": 540, "TS3": 505, "TS4": 553, "TS5": 276, "TS6": 452}
#: AdaptPose leaves out the first frames of two sequences: 24,688 of 24,888 remain
ADAPTPOSE_SKIPS = {"TS3": 100, "TS4": 100}

#: those of the 14 train cameras whose videos everyone uses
TRAIN_CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)
NUM_CAMERAS = 14

#: heights and tilts of a view, see `camera_class`
KNEE_HEIGHT = 1.0  #: metres
CEILING_HEIGHT = 1.75  #: metres
CHEST_TILT = 20.0  #: degrees
CEILING_TILT = -10.0  #: degrees; negative looks down


@dataclass(frozen=True)
class Camera:
    """A camera.

    Attributes:
        number: 0 to 13 of the train set, 14 for the one outdoors.
        camera_class: ``chest``, ``knee``, ``ceiling`` or ``other``.
        intrinsics: fx, fy, cx, cy in pixels.
        image_size: width, height in pixels.
    """

    number: int
    camera_class: str
    intrinsics: tuple[float, float, float, float]
    image_size: tuple[int, int]


def camera_class(height: float, tilt: float) -> str:
    """The kind of view.

    Args:
        height: of the camera above the ground, metres.
        tilt: of its optical axis in degrees, positive looks up.
    """
    if height > CEILING_HEIGHT and tilt < CEILING_TILT:
        return "ceiling"
    if KNEE_HEIGHT <= height <= CEILING_HEIGHT and abs(tilt) < CHEST_TILT:
        return "chest"
    if height < KNEE_HEIGHT and tilt > CEILING_TILT:
        return "knee"
    return "other"


def _train_camera(number: int, kind: str, fx: float, fy: float, cx: float, cy: float) -> Camera:
    return Camera(number, kind, (fx, fy, cx, cy), (2048, 2048))


#: for files that come without ``camera.calibration``
CAMERAS = {
    camera.number: camera
    for camera in (
        _train_camera(0, "chest", 1497.693, 1497.103, 1024.704, 1051.394),
        _train_camera(1, "ceiling", 1495.217, 1495.52, 1030.519, 1052.626),
        _train_camera(2, "chest", 1495.587, 1497.828, 983.8873, 987.5902),
        _train_camera(3, "ceiling", 1495.886, 1496.033, 1029.06, 1041.409),
        _train_camera(4, "chest", 1490.952, 1491.108, 987.6075, 1019.069),
        _train_camera(5, "knee", 1500.414, 1499.971, 1012.331, 998.5009),
        _train_camera(6, "ceiling", 1498.471, 1498.8, 999.7319, 1010.251),
        _train_camera(7, "chest", 1498.831, 1499.674, 987.2716, 976.8773),
        _train_camera(8, "chest", 1500.172, 1500.837, 1017.387, 1043.032),
        _train_camera(9, "ceiling", 1501.554, 1501.9, 1010.423, 1037.096),
        _train_camera(10, "ceiling", 1498.423, 1498.585, 1041.614, 997.0433),
        _train_camera(11, "ceiling", 1495.779, 1493.703, 1009.802, 999.9984),
        _train_camera(12, "ceiling", 1501.326, 1501.491, 1000.56, 1014.975),
        _train_camera(13, "ceiling", 1496.961, 1497.378, 1005.702, 1004.214),
    )
}

#: 1.04 m high, tilted down by 6 degrees. Its lens is distorted; 2D joints are left as they are.
OUTDOOR = Camera(14, "chest", (1683.98346, 1672.59371, 939.85754, 560.14074), (1920, 1080))

#: the camera of each test sequence
TEST_CAMERAS = {name: OUTDOOR if name in ("TS5", "TS6") else CAMERAS[8] for name in VALID_FRAMES}
