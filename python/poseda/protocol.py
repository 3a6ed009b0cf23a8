"""Evaluation protocols: what is done between a trained lifter and a number in a table.

The papers of this field differ in the joints that they average over, in test-time averaging, in the
scale of predictions and in which checkpoint they report. Here each of these is a field of a
`Protocol`, and `Protocol.describe` is the line that stands beside every figure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from poseda.data.poseset import PoseSet
from poseda.metrics import Metrics, evaluate
from poseda_ext.skeleton import H36M_16, H36M_17, Skeleton

#: poses to root-relative predictions (N, J, 3), metres, in the order of their rows
Lift = Callable[[PoseSet], Tensor]
Averaging = Literal["none", "flip", "flip-and-reverse"]
Scale = Literal["none", "hip-thorax"]
Checkpoint = Literal["last", "best-on-test"]
ProtocolName = Literal[
    "poseda",
    "poseaug-3dhp",
    "poseaug-3dhp-best",
    "adaptpose",
    "adaptpose-best",
    "adaptpose-h36m",
    "official-3dhp",
    "no-root",
    "videopose3d",
]

#: Human3.6M without Neck/Nose, root included
SIXTEEN = H36M_16.names
#: the same without the root, whose error is always zero: MPJPE is 16/15 times as large
FIFTEEN = H36M_16.names[1:]
#: all joints of Human3.6M
SEVENTEEN = H36M_17.names
#: MPI-INF-3DHP's own evaluation leaves pelvis, spine and head out; its head top is our Head and its
#: neck our Thorax
OFFICIAL_3DHP = tuple(name for name in H36M_16.names if name not in ("Hip", "Spine"))

#: metres from hip to thorax that AdaptPose scales predictions to, and poses that share a scale
HIP_TO_THORAX = 0.52
SCALE_BATCH = 1024
#: metres; a shorter prediction has no size that could be scaled
MIN_LENGTH = 1e-3

_AVERAGING = {
    "none": "no test-time averaging",
    "flip": "mean of the predictions for the pose and its mirror image",
    "flip-and-reverse": "mean of four predictions: as it is, mirrored, reversed in time, and both",
}
_SCALE = {
    "none": "no scaling",
    "hip-thorax": "predictions scaled to a mean hip-thorax length of "
    f"{HIP_TO_THORAX} m, by batches of {SCALE_BATCH:,}",
}
_CHECKPOINT = {
    "last": "last step, never the best",
    "best-on-test": "ORACLE: the checkpoint with the lowest MPJPE on the test set itself, as old "
    "tables have it",
}


@dataclass(frozen=True)
class Protocol:
    """How a lifter is evaluated.

    Attributes:
        name: what results call it.
        about: what it is for, in a few words.
        joints: names of the joints that MPJPE, PA-MPJPE and N-MPJPE are averaged over; None takes
            all that the lifter has. The root is subtracted first in any case.
        pck_joints: likewise of PCK and AUC; None takes `joints`.
        averaging: of predictions at test time. Mirroring assumes that the principal point lies in
            the middle of the image, as PoseAug and AdaptPose do; reversing time changes nothing
            for a lifter of one frame.
        scale: what is done to the size of predictions. "hip-thorax" is AdaptPose's prior: each
            batch of 1,024, in the order of the file, is multiplied by 0.52 m over the mean
            predicted distance from hip to thorax, before averaging.
        checkpoint: which weights of a training count. "best-on-test" looks at the labels of the
            test set: an oracle, only there for comparison with tables made so.
    """

    name: str
    about: str = ""
    joints: tuple[str, ...] | None = None
    pck_joints: tuple[str, ...] | None = None
    averaging: Averaging = "none"
    scale: Scale = "none"
    checkpoint: Checkpoint = "last"

    def __post_init__(self) -> None:
        for label, kind in (("averaging", Averaging), ("scale", Scale), ("checkpoint", Checkpoint)):
            value, choices = getattr(self, label), get_args(kind)
            if value not in choices:
                raise ValueError(f"{label}: got {value!r}, expected one of {', '.join(choices)}")
        for label in ("joints", "pck_joints"):
            names = getattr(self, label)
            if names is not None and (not names or len(set(names)) < len(names)):
                raise ValueError(f"{label}: got {names}, expected at least one, and each once")

    def describe(self, skeleton: Skeleton) -> str:
        """In one line, for a lifter of these joints."""
        return f"{self.measured(skeleton)}; {_CHECKPOINT[self.checkpoint]}"

    def measured(self, skeleton: Skeleton) -> str:
        """The same of weights that were chosen otherwise."""
        joints = self.joints or skeleton.names
        parts = [f"root-relative, mean over {_counted(joints)}"]
        if self.pck_joints is not None:
            parts.append(f"PCK and AUC over {_counted(self.pck_joints)}")
        parts += [_AVERAGING[self.averaging], _SCALE[self.scale]]
        return f"protocol {self.name}: {'; '.join(parts)}"

    def predict(self, lift: Lift, poses: PoseSet) -> Tensor:
        """(N, J, 3) root-relative metres, averaged and scaled as the protocol says.

        Args:
            lift: from poses to predictions; of a lifter of several frames it looks at `clip` and
                `frame` for what comes before and after.
            poses: N frames.
        """
        total = None
        count = 0
        for view, undo in self._views(poses):
            predicted = undo(lift(view))
            if self.scale == "hip-thorax":
                predicted = _scaled(predicted, poses.skeleton)
            total = predicted if total is None else total + predicted
            count += 1
        assert total is not None
        return total / count

    def evaluate(self, lift: Lift, poses: PoseSet) -> Metrics:
        """The metrics of a lifter over labelled poses.

        Raises:
            ValueError: if the poses have no 3D, or lack a joint of the protocol.
        """
        if poses.pose3d is None:
            raise ValueError(f"{poses.name}: has no pose3d, expected 3D labels to evaluate against")
        rows = self._rows(self.joints, poses.skeleton)
        pck_rows = rows if self.pck_joints is None else self._rows(self.pck_joints, poses.skeleton)
        return evaluate(
            self.predict(lift, poses),
            poses.pose3d,
            poses.camera_class,
            joints=rows,
            pck_joints=pck_rows,
        )

    def check(self, skeleton: Skeleton) -> None:
        """Raises a ValueError if a lifter of these joints lacks some of the protocol."""
        for names in (self.joints, self.pck_joints):
            self._rows(names, skeleton)

    def _rows(self, names: tuple[str, ...] | None, skeleton: Skeleton) -> list[int] | None:
        if names is None:
            return None
        missing = [name for name in names if name not in skeleton.names]
        if missing:
            raise ValueError(
                f"protocol {self.name}: averages over {', '.join(missing)}, which a lifter of "
                f"{skeleton.num_joints} joints does not have"
            )
        return [skeleton.names.index(name) for name in names]

    def _views(self, poses: PoseSet) -> Iterator[tuple[PoseSet, Callable[[Tensor], Tensor]]]:
        """What is lifted, and what takes a prediction for it back to one for the pose."""
        skeleton = poses.skeleton

        def flipped(points: Tensor) -> Tensor:
            return mirrored(points, skeleton)

        times = [poses]
        if self.averaging == "flip-and-reverse":
            times.append(reversed_in_time(poses))
        for each in times:
            yield each, _same
            if self.averaging != "none":
                yield dataclasses.replace(each, pose2d=flipped(each.pose2d)), flipped


def mirrored(points: Tensor, skeleton: Skeleton) -> Tensor:
    """The mirror image: x negated, left and right exchanged.

    Args:
        points: (..., J, D), x first; screen-normalised 2D or root-relative 3D.
        skeleton: J joints.

    Returns:
        (..., J, D).
    """
    order = torch.tensor(skeleton.mirrored, device=points.device)
    swapped = points.index_select(-2, order)
    return torch.cat((-swapped[..., :1], swapped[..., 1:]), -1)


def reversed_in_time(poses: PoseSet) -> PoseSet:
    """The same frames in the same rows, each clip running backwards."""
    return dataclasses.replace(poses, frame=~poses.frame)  # -frame - 1, of any 64 bits


def _same(points: Tensor) -> Tensor:
    return points


def _scaled(predicted: Tensor, skeleton: Skeleton) -> Tensor:
    """AdaptPose's size prior."""
    hip, thorax = skeleton.names.index("Hip"), skeleton.names.index("Thorax")
    parts = []
    for part in predicted.split(SCALE_BATCH):
        length = (part[:, thorax] - part[:, hip]).norm(dim=-1).mean()
        factor = torch.where(length > MIN_LENGTH, HIP_TO_THORAX / length, torch.ones_like(length))
        parts.append(part * factor)
    return torch.cat(parts) if parts else predicted


def _counted(names: tuple[str, ...]) -> str:
    root = "root included" if H36M_17.names[0] in names else "without the root"
    return f"{len(names)} joints, {root}"


_POSEAUG = Protocol(
    "poseaug-3dhp", "PoseAug on MPI-INF-3DHP, and PoseDA's tables on it", SIXTEEN, averaging="flip"
)
_ADAPTPOSE = Protocol(
    "adaptpose",
    "AdaptPose on every other data set than Human3.6M",
    SIXTEEN,
    averaging="flip-and-reverse",
    scale="hip-thorax",
)

_ALL = (
    Protocol("poseda", "of this project; PoseAug on Human3.6M"),
    _POSEAUG,
    dataclasses.replace(
        _POSEAUG,
        name="poseaug-3dhp-best",
        about="the same as published, stopped by the test set",
        checkpoint="best-on-test",
    ),
    _ADAPTPOSE,
    dataclasses.replace(
        _ADAPTPOSE,
        name="adaptpose-best",
        about="the same as published, stopped by the test set",
        checkpoint="best-on-test",
    ),
    dataclasses.replace(
        _ADAPTPOSE, name="adaptpose-h36m", about="AdaptPose on Human3.6M", scale="none"
    ),
    Protocol("official-3dhp", "MPI-INF-3DHP's own PCK and AUC", SIXTEEN, pck_joints=OFFICIAL_3DHP),
    Protocol("no-root", "the root's zero left out of the mean", FIFTEEN),
    Protocol("videopose3d", "VideoPose3D on Human3.6M", SEVENTEEN, averaging="flip"),
)

#: the protocols by name
PROTOCOLS: dict[str, Protocol] = {each.name: each for each in _ALL}
