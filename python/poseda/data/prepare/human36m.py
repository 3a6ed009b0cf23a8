"""Human3.6M as VideoPose3D and PoseAug keep it: ``data_3d_h36m.npz`` and ``data_2d_h36m_*.npz``.

``data_3d_h36m.npz`` holds ``positions_3d``: subject, action, then (T, 32, 3) float32 metres in the
world frame. A 2D file holds ``positions_2d``: subject, action, then a list of four (T, 17, 2) in
pixels, one for each camera, and ``metadata`` with the joints of either side. PoseAug's 2D has 16
joints, without Neck/Nose. Motions of 17 or 16 joints are read too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray

from poseda.data.prepare.base import Preparation, Report
from poseda.data.prepare.human36m_cameras import LENSES, to_camera
from poseda.data.restricted import load_pickled_npz
from poseda.data.writer import PoseWriter
from poseda_ext.skeleton import H36M_16, H36M_17

Array = NDArray[Any]

FPS = 50.0
MOTIONS = "data_3d_h36m.npz"
#: file and content, by the name of the option
KEYPOINTS = {
    "gt": ("data_2d_h36m_gt.npz", "ground truth"),
    "cpn": ("data_2d_h36m_cpn_ft_h36m_dbb.npz", "CPN, fine-tuned on Human3.6M"),
    "detectron": ("data_2d_h36m_detectron_ft_h36m.npz", "Detectron, fine-tuned on Human3.6M"),
    "hr": ("data_2d_h36m_hr.npz", "HRNet, from EvoSkeleton"),
}
#: train and test subjects
PROTOCOLS = {
    "s9s11": (("S1", "S5", "S6", "S7", "S8"), ("S9", "S11")),
    "s1": (("S1",), ("S5", "S6", "S7", "S8")),
    "s5s8": (("S5", "S6", "S7", "S8"), ("S5", "S6", "S7", "S8")),
}
#: motions and frames of all cameras that the data set has of some subjects; S11's first motion of
#: Directions is damaged and left out of the files
EXPECTED = (
    (("S1", "S5", "S6", "S7", "S8"), 150, 1_559_752),
    (("S9", "S11"), 59, 543_344),
)

#: where the joints of `H36M_17` stand among Human3.6M's 32
FROM_32 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
_NECK = H36M_17.names.index("Neck/Nose")
_AROUND_NECK = H36M_16.names.index("Thorax"), H36M_16.names.index("Head")


@dataclass(frozen=True, kw_only=True)
class Human36m(Preparation):
    """Human3.6M, from the .npz files of VideoPose3D or PoseAug.

    For academic use only: the motions come from vision.imar.ro/human3.6m, where one registers and
    agrees to the licence. data/prepare_data_h36m.py of VideoPose3D makes data_3d_h36m.npz and
    data_2d_h36m_gt.npz of them; its DATASETS.md says how, and where the detections are.
    """

    dataset = "Human3.6M"
    origin = (
        "vision.imar.ro/human3.6m by way of data/prepare_data_h36m.py and DATASETS.md of "
        "github.com/facebookresearch/VideoPose3D"
    )
    licence = "academic use only, as agreed to at vision.imar.ro/human3.6m"

    pose2d: Literal["gt", "cpn", "detectron", "hr"] = "gt"
    """Ground truth, or the detector that the 2D is from."""
    protocol: Literal["s9s11", "s1", "s5s8"] = "s9s11"
    """s9s11: train on S1, S5-S8, test on S9, S11. s1: train on S1, test on S5-S8. s5s8: the target
    of S1 as papers have it: the same S5-S8 as both parts, to adapt to their 2D and evaluate."""
    stride: int = 1
    """Keep one frame in so many."""
    undistort: bool = False
    """Take the lens distortion out of the 2D, which otherwise stays as it is in the files."""

    def convert(self, writer: PoseWriter, about: dict[str, Any], report: Report) -> None:
        if self.stride < 1:
            raise ValueError(f"stride: got {self.stride}, expected at least 1")
        train, test = PROTOCOLS[self.protocol]
        file_name, source = KEYPOINTS[self.pose2d]
        paths = self.need(MOTIONS), self.need(file_name)
        motions = _read(paths[0], "positions_3d", 1, [(joints, 3) for joints in (32, 17, 16)])
        keypoints = _read(paths[1], "positions_2d", len(LENSES), [(17, 2), (16, 2)])
        about.update(
            labels="motion capture",
            pose2d=f"{source}; lens distortion {'taken out' if self.undistort else 'kept'}",
            protocol=f"train {', '.join(train)}; test {', '.join(test)}; stride {self.stride}",
        )
        if 16 in (motions.joints, keypoints.joints):
            about["filled"] = _filled(motions, keypoints)
            report.find(about["filled"])

        lengths: dict[str, list[int]] = {}
        clips = frames = 0
        parts = [(0, subject) for subject in train] + [(1, subject) for subject in test]
        for split, subject, action in _pairs(motions, keypoints, parts, report):
            (motion,) = motions.of[subject][action]
            for camera, image in enumerate(keypoints.of[subject][action]):
                if len(image) < len(motion):
                    raise ValueError(
                        f"{keypoints.path}: {subject}, {action}: got {len(image)} frames of camera "
                        f"{camera}, expected the {len(motion)} of {motions.path.name}"
                    )
                report.drop("2D after the end of the motion", len(image) - len(motion))
                writer.add(
                    **self._columns(motion, image, subject, camera),
                    subject=subject,
                    action=action.split(" ")[0],
                    clip=clips,
                    split=split,
                )
                clips, frames = clips + 1, frames + len(motion)
                if split == 0 or subject not in train:
                    lengths.setdefault(subject, []).append(len(motion))
        for line in _counts(lengths):
            report.find(line)
        left_out = frames - writer.rows
        report.drop(f"between those that --stride {self.stride} keeps", left_out)

    def _columns(self, motion: Array, image: Array, subject: str, camera: int) -> dict[str, Any]:
        """What one camera saw of a motion; `image` may be longer."""
        lens = LENSES[camera]
        frame = np.arange(0, len(motion), self.stride)
        pose2d = _seventeen(image[frame])
        columns = {
            "pose3d": to_camera(subject, camera, _seventeen(motion[frame])),
            "pose2d": lens.undistort(pose2d) if self.undistort else pose2d,
            "intrinsics": lens.intrinsics,
            "image_size": lens.image_size,
            "camera": camera,
            "camera_class": "chest",
            "frame": frame,
            "fps": FPS,
        }
        if image.shape[1] == 16:
            columns["confidence"] = np.arange(H36M_17.num_joints) != _NECK
        return columns


@dataclass(frozen=True)
class _Positions:
    """What a file holds: subject, action, then an array (T, joints, 3 or 2) for each camera."""

    path: Path
    joints: int
    of: Mapping[str, Mapping[str, Sequence[Array]]]


def _read(path: Path, key: str, cameras: int, shapes: Sequence[tuple[int, int]]) -> _Positions:
    """A file whose arrays are of one of `shapes`, a frame each, all of the same."""
    members = load_pickled_npz(path)
    subjects = members.get(key)
    if not _nested(subjects):
        raise ValueError(
            f"{path}: {key}: got {_kind(subjects)} ({path.name} has {', '.join(members)}), "
            "expected a dictionary of subjects, each a dictionary of actions"
        )
    shape = None
    found: dict[str, dict[str, Sequence[Array]]] = {}
    for subject, actions in subjects.items():
        found[subject] = {}
        for action, views in actions.items():
            where = f"{path}: {subject}, {action}"
            arrays = [views] if cameras == 1 else views
            if not isinstance(arrays, list | tuple | np.ndarray) or len(arrays) != cameras:
                raise ValueError(f"{where}: got {_kind(views)}, expected {cameras} arrays")
            for array in arrays:
                shape = _frame_shape(array, [shape] if shape else shapes, where)
            found[subject][action] = list(arrays)
    if shape is None:
        raise ValueError(f"{path}: {key}: got no actions, expected some")
    _check_sides(members.get("metadata"), shape[0], path)
    return _Positions(path, shape[0], found)


def _nested(subjects: Any) -> TypeGuard[dict[str, dict[str, Any]]]:
    """Whether it is a dictionary of dictionaries, by names."""
    if not isinstance(subjects, dict):
        return False
    levels = [subjects, *subjects.values()]
    return all(isinstance(each, dict) and all(isinstance(k, str) for k in each) for each in levels)


def _frame_shape(array: Any, shapes: Sequence[tuple[int, int]], where: str) -> tuple[int, int]:
    """The shape of one frame, which must be one of `shapes`."""
    if (
        not isinstance(array, np.ndarray)
        or array.dtype.kind != "f"
        or array.ndim != 3
        or array.shape[1:] not in shapes
        or len(array) == 0
    ):
        expected = " or ".join(f"(frames, {joints}, {axes})" for joints, axes in shapes)
        raise ValueError(f"{where}: got {_kind(array)}, expected numbers of shape {expected}")
    return array.shape[1], array.shape[2]


def _kind(value: Any) -> str:
    """What a value is, for messages; never the value itself."""
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} of {value.dtype}"
    return f"{type(value).__name__}" + (f" of {len(value)}" if hasattr(value, "__len__") else "")


def _check_sides(metadata: Any, joints: int, path: Path) -> None:
    """Keypoints in another order, COCO's say, are 17 too; which are left and right tells."""
    sides = metadata.get("keypoints_symmetry") if isinstance(metadata, dict) else None
    if sides is None or joints == 32:
        return
    skeleton = H36M_16 if joints == 16 else H36M_17
    try:
        same = [tuple(sorted(map(int, side))) for side in sides] == [skeleton.left, skeleton.right]
    except (TypeError, ValueError):
        same = False
    if not same:
        raise ValueError(
            f"{path}: metadata: got other left and right joints than Human3.6M's skeleton has, "
            f"expected {list(skeleton.left)} and {list(skeleton.right)}"
        )


def _seventeen(points: Array) -> Array:
    """(T, 32 or 17 or 16, D) to the joints of `H36M_17`."""
    if points.shape[1] == 32:
        return points[:, FROM_32]
    if points.shape[1] == 16:
        return np.insert(points, _NECK, points[:, _AROUND_NECK].mean(axis=1), axis=1)
    return points


def _filled(motions: _Positions, keypoints: _Positions) -> str:
    which = [
        label
        for label, file in (("pose3d", motions), ("pose2d (with confidence 0)", keypoints))
        if file.joints == 16
    ]
    return f"Neck/Nose, which the files lack, is halfway from Thorax to Head in {', '.join(which)}"


def _pairs(
    motions: _Positions,
    keypoints: _Positions,
    parts: Sequence[tuple[int, str]],
    report: Report,
) -> Iterator[tuple[int, str, str]]:
    """Parts, subjects and actions; in alphabetical order, for that of a file is its maker's."""
    for split, subject in parts:
        for file in (motions, keypoints):
            if subject not in file.of:
                raise ValueError(
                    f"{file.path}: got subjects {', '.join(file.of)}, expected {subject} too"
                )
        for action, views in keypoints.of[subject].items():
            if action not in motions.of[subject]:
                report.drop("2D without a motion", sum(map(len, views)))
        for action in sorted(motions.of[subject]):
            if action not in keypoints.of[subject]:
                raise ValueError(f"{keypoints.path}: {subject}: has no {action}, expected it")
            yield split, subject, action


def _counts(lengths: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Found beside expected, where the expected number is known."""
    for subjects, motions, frames in EXPECTED:
        if set(subjects) <= set(lengths):
            found = [length for subject in subjects for length in lengths[subject]]
            yield (
                f"{', '.join(subjects)}: {len(found) // len(LENSES):,} motions, {sum(found):,} "
                f"frames of {len(LENSES)} cameras (the whole data set: {motions:,}, {frames:,})"
            )
