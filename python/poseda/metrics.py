"""Error measures of lifted poses, as the field reports them.

Each function takes predictions and truth ``(..., J, 3)`` in metres and reduces over the joints
only, so that a caller may average per action, camera or person. Distances come back in
millimetres and shares in per cent, always as float64, in which everything is computed. `evaluate`
gives all of them as one row of a results table.

Convention: joint 0, the root, is subtracted from both poses, and the mean then runs over all J
joints with the root, whose error is always zero (PoseAug, AdaptPose, PoseDA). Without the root a
MPJPE would be J / (J - 1) times as large. `poseda.protocol` has others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PCK_THRESHOLD = 150.0  #: millimetres
AUC_THRESHOLDS = 31  #: from 0 to `PCK_THRESHOLD`, ends included
#: A pose whose joints lie closer to its centre (root mean square, metres) has no size to scale.
MIN_POSE_SIZE = 1e-6
#: Poses that `evaluate` holds in float64 at a time.
CHUNK = 65_536

_MILLIMETRES = 1000.0


@dataclass(frozen=True)
class Metrics:
    """Averages over poses, from `evaluate`.

    Attributes:
        mpjpe: root-relative error, mm.
        pa_mpjpe: error after similarity alignment, mm.
        n_mpjpe: error after scaling, mm.
        pck: joints nearer than 150 mm, per cent.
        auc: area under the PCK curve from 0 to 150 mm, per cent.
        poses: number of poses.
        per_camera: `mpjpe` by camera class, classes in alphabetical order; empty without classes.
    """

    mpjpe: float
    pa_mpjpe: float
    n_mpjpe: float
    pck: float
    auc: float
    poses: int
    per_camera: dict[str, float] = field(default_factory=dict)

    def as_row(self) -> dict[str, float | int]:
        """A flat row for a table or a JSON line: `per_camera` becomes ``mpjpe/<class>``."""
        row: dict[str, float | int] = {
            "mpjpe": self.mpjpe,
            "pa_mpjpe": self.pa_mpjpe,
            "n_mpjpe": self.n_mpjpe,
            "pck": self.pck,
            "auc": self.auc,
            "poses": self.poses,
        }
        row.update({f"mpjpe/{name}": value for name, value in self.per_camera.items()})
        return row


def mpjpe(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean per-joint position error after root alignment.

    Args:
        predicted: (..., J, 3) metres; joint 0 is the root.
        truth: (..., J, 3) metres.

    Returns:
        (...) millimetres, the mean over all J joints, root included.

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if the shapes or devices differ, the last dimension is not 3, or a coordinate
            is not finite.
    """
    _check(predicted, truth)
    return _distances(_rooted(predicted), _rooted(truth)).mean(-1)


def pa_mpjpe(predicted: Tensor, truth: Tensor) -> Tensor:
    """MPJPE after the best similarity: rotation without reflection, scale, translation (PA).

    Degenerate poses: a prediction whose joints all coincide is moved to the centre of the truth,
    and a truth whose joints all coincide is matched exactly, by scale zero.

    Args:
        predicted: (..., J, 3) metres.
        truth: (..., J, 3) metres.

    Returns:
        (...) millimetres.

    Raises:
        TypeError, ValueError: as `mpjpe`.
    """
    _check(predicted, truth)
    return _pa_mpjpe(predicted.double(), truth.double())


def n_mpjpe(predicted: Tensor, truth: Tensor) -> Tensor:
    """MPJPE after root alignment and the scale of least squared error (N-MPJPE).

    The scale is free in sign, as in VideoPose3D. A prediction whose joints all coincide stays at
    the root.

    Args:
        predicted: (..., J, 3) metres; joint 0 is the root.
        truth: (..., J, 3) metres.

    Returns:
        (...) millimetres.

    Raises:
        TypeError, ValueError: as `mpjpe`.
    """
    _check(predicted, truth)
    return _n_mpjpe(_rooted(predicted), _rooted(truth))


def pck(predicted: Tensor, truth: Tensor) -> Tensor:
    """Share of correct joints: root-relative error strictly below 150 mm.

    Args:
        predicted: (..., J, 3) metres; joint 0 is the root.
        truth: (..., J, 3) metres.

    Returns:
        (...) per cent of all J joints, root included.

    Raises:
        TypeError, ValueError: as `mpjpe`.
    """
    _check(predicted, truth)
    return _pck(_distances(_rooted(predicted), _rooted(truth)))


def auc(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean PCK over the thresholds 0, 5, ..., 150 mm (MPI-INF-3DHP's).

    No joint is strictly below 0 mm, so a perfect pose has 30/31, 96.8 %.

    Args:
        predicted: (..., J, 3) metres; joint 0 is the root.
        truth: (..., J, 3) metres.

    Returns:
        (...) per cent.

    Raises:
        TypeError, ValueError: as `mpjpe`.
    """
    _check(predicted, truth)
    return _auc(_distances(_rooted(predicted), _rooted(truth)))


@torch.no_grad()
def evaluate(
    predicted: Tensor,
    truth: Tensor,
    camera_class: Sequence[str] | NDArray[Any] | None = None,
    *,
    joints: Sequence[int] | None = None,
    pck_joints: Sequence[int] | None = None,
) -> Metrics:
    """All metrics, averaged over the poses.

    Args:
        predicted: (..., J, 3) metres; joint 0 is the root.
        truth: (..., J, 3) metres.
        camera_class: the kind of view of each pose, in the order of the flattened leading
            dimensions; None leaves `Metrics.per_camera` empty.
        joints: the joints that MPJPE, PA-MPJPE and N-MPJPE are taken over; None takes all. Joint 0
            is subtracted before, whether it is among them or not.
        pck_joints: likewise of PCK and AUC; None takes all.

    Returns:
        The averages, each pose with the same weight.

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: as `mpjpe`, or if there are no poses, not one camera class per pose, or no such
            joint.
    """
    _check(predicted, truth)
    count = predicted.shape[-2]
    chosen = _chosen("joints", joints, count)
    for_pck = _chosen("pck_joints", pck_joints, count)
    predicted, truth = predicted.reshape(-1, count, 3), truth.reshape(-1, count, 3)
    poses = len(predicted)
    if poses == 0:
        raise ValueError("predicted: got no poses, expected at least one")
    if camera_class is not None and len(camera_class) != poses:
        raise ValueError(
            f"camera_class: got {len(camera_class)} classes, expected one per pose ({poses})"
        )

    parts: list[Tensor] = []
    for start in range(0, poses, CHUNK):
        ours = _rooted(predicted[start : start + CHUNK])
        theirs = _rooted(truth[start : start + CHUNK])
        distances = _distances(ours, theirs)
        ours, theirs = ours[:, chosen], theirs[:, chosen]
        columns = (
            distances[:, chosen].mean(-1),
            _pa_mpjpe(ours, theirs),
            _n_mpjpe(ours, theirs),
            _pck(distances[:, for_pck]),
            _auc(distances[:, for_pck]),
        )
        parts.append(torch.stack(columns, dim=-1))
    table = torch.cat(parts).cpu()  # (poses, 5)

    per_camera: dict[str, float] = {}
    if camera_class is not None:
        names, index = np.unique(np.asarray(camera_class, dtype=np.str_), return_inverse=True)
        sums = np.bincount(index, weights=table[:, 0].numpy())
        means = sums / np.bincount(index)
        per_camera = {str(name): float(mean) for name, mean in zip(names, means, strict=True)}
    columns_of_table = ("mpjpe", "pa_mpjpe", "n_mpjpe", "pck", "auc")
    averages = dict(zip(columns_of_table, table.mean(0).tolist(), strict=True))
    return Metrics(**averages, poses=poses, per_camera=per_camera)


def _chosen(label: str, joints: Sequence[int] | None, count: int) -> slice | list[int]:
    if joints is None:
        return slice(None)
    rows = list(joints)
    if not rows or len(set(rows)) < len(rows) or not all(0 <= row < count for row in rows):
        raise ValueError(f"{label}: got {rows}, expected different joints from 0 to {count - 1}")
    return rows


def _check(predicted: Tensor, truth: Tensor) -> None:
    """Raises for whatever would give a wrong or meaningless number."""
    for label, poses in (("predicted", predicted), ("truth", truth)):
        if not isinstance(poses, Tensor):
            raise TypeError(f"{label}: got {type(poses).__name__}, expected a torch.Tensor")
        if not poses.is_floating_point():
            raise TypeError(f"{label}: got dtype {poses.dtype}, expected floating point")
        if poses.ndim < 2 or poses.shape[-1] != 3 or poses.shape[-2] == 0:
            raise ValueError(f"{label}: got shape {tuple(poses.shape)}, expected (..., J, 3)")
    if predicted.shape != truth.shape:
        raise ValueError(
            f"predicted: got shape {tuple(predicted.shape)}, "
            f"expected the shape of truth, {tuple(truth.shape)}"
        )
    if predicted.device != truth.device:
        raise ValueError(
            f"predicted: got device {predicted.device}, expected that of truth, {truth.device}"
        )
    for label, poses in (("predicted", predicted), ("truth", truth)):
        bad = int((~poses.isfinite()).flatten(-2).any(-1).sum())
        if bad:
            total = poses.shape[:-2].numel()
            raise ValueError(f"{label}: got NaN or infinity in {bad} of {total} poses")


def _rooted(poses: Tensor) -> Tensor:
    """Root-relative and float64; subtracted in float64, so that nothing is rounded."""
    poses = poses.double()
    return poses - poses[..., :1, :]


def _distances(predicted: Tensor, truth: Tensor) -> Tensor:
    """(..., J) millimetres."""
    distances: Tensor = torch.linalg.vector_norm(predicted - truth, dim=-1) * _MILLIMETRES
    return distances


def _scale(numerator: Tensor, squared_size: Tensor, joints: int) -> Tensor:
    """numerator / squared_size, zero where the pose has no size."""
    has_size = squared_size > joints * MIN_POSE_SIZE**2
    safe = torch.where(has_size, squared_size, torch.ones_like(squared_size))
    return torch.where(has_size, numerator / safe, torch.zeros_like(numerator))


def _pa_mpjpe(predicted: Tensor, truth: Tensor) -> Tensor:
    predicted = predicted - predicted.mean(-2, keepdim=True)
    truth = truth - truth.mean(-2, keepdim=True)
    # Kabsch: with X^T Y = U S V^T the rotation is U D V^T, where D turns the direction of the
    # smallest singular value if U V^T would be a reflection.
    u, singular, vh = torch.linalg.svd(predicted.transpose(-1, -2) @ truth)
    sign = torch.ones_like(singular)
    sign[..., 2] = torch.linalg.det(u @ vh).sign()
    rotation = (u * sign[..., None, :]) @ vh  # (..., 3, 3), applied to rows
    squared_size = predicted.square().sum((-1, -2))
    scale = _scale((singular * sign).sum(-1), squared_size, predicted.shape[-2])
    return _distances(scale[..., None, None] * (predicted @ rotation), truth).mean(-1)


def _n_mpjpe(predicted: Tensor, truth: Tensor) -> Tensor:
    squared_size = predicted.square().sum((-1, -2))
    scale = _scale((predicted * truth).sum((-1, -2)), squared_size, predicted.shape[-2])
    return _distances(scale[..., None, None] * predicted, truth).mean(-1)


def _pck(distances: Tensor, threshold: float = PCK_THRESHOLD) -> Tensor:
    return (distances < threshold).double().mean(-1) * 100


def _auc(distances: Tensor) -> Tensor:
    thresholds = torch.linspace(0, PCK_THRESHOLD, AUC_THRESHOLDS, dtype=torch.float64)
    curve = [_pck(distances, threshold) for threshold in thresholds.tolist()]
    return torch.stack(curve, dim=-1).mean(-1)
