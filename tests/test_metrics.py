"""The error measures, against hand-worked cases and independent implementations."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation
from torch import Tensor

from poseda import metrics
from poseda.metrics import Metrics, auc, evaluate, mpjpe, n_mpjpe, pa_mpjpe, pck

Measure = Callable[[Tensor, Tensor], Tensor]
MEASURES: list[Measure] = [mpjpe, pa_mpjpe, n_mpjpe, pck, auc]


def random_poses(count: int, joints: int = 16, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.3 * torch.randn(count, joints, 3, generator=generator, dtype=torch.float64)


def random_rotations(count: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(Rotation.random(count, random_state=seed).as_matrix())


def line(*offsets: float) -> Tensor:
    """A pose on the x axis, the root at zero, float64."""
    pose = torch.zeros(len(offsets), 3, dtype=torch.float64)
    pose[:, 0] = torch.tensor(offsets, dtype=torch.float64)
    return pose


# Hand-worked cases


def test_mpjpe_by_hand_includes_the_root() -> None:
    truth = torch.zeros(4, 3)
    predicted = torch.tensor([[0, 0, 0], [0.003, 0.004, 0], [0, 0, 0.01], [0, 0.005, 0]])
    assert mpjpe(predicted, truth).item() == pytest.approx((0 + 5 + 10 + 5) / 4, rel=1e-6)


def test_mpjpe_ignores_where_the_root_is() -> None:
    poses = random_poses(5)
    shifted = poses + torch.tensor([1.0, -2.0, 4.0], dtype=torch.float64)
    torch.testing.assert_close(mpjpe(shifted, poses), torch.zeros(5, dtype=torch.float64))


def test_mpjpe_of_float32_far_from_the_camera_subtracts_in_float64() -> None:
    pose = torch.tensor([[0, 0, 5.0], [0.1, 0, 5.0]])
    other = torch.tensor([[0, 0, 5.0], [0.2, 0, 5.0]])
    assert mpjpe(pose, other).item() == pytest.approx(50, rel=1e-7)


def test_n_mpjpe_by_hand() -> None:
    # Least squares: scale = (1*2 + 2*3) / (1 + 4) = 1.6, so the joints land on 1.6 and 3.2.
    assert n_mpjpe(line(0, 1, 2), line(0, 2, 3)).item() == pytest.approx((400 + 200) / 3)


def test_pa_mpjpe_by_hand() -> None:
    # Centred: (-1, 0, 1) and (-4/3, -1/3, 5/3); scale 3/2, so 1/6, 1/3 and 1/6 m remain.
    assert pa_mpjpe(line(0, 1, 2), line(0, 1, 3)).item() == pytest.approx(2000 / 9)


@pytest.mark.parametrize(
    ("distance", "expected"), [(0.149, 100.0), (0.150, 50.0), (0.151, 50.0), (0.0, 100.0)]
)
def test_pck_is_strict_at_150_mm(distance: float, expected: float) -> None:
    assert pck(line(0, distance), line(0, 0)).item() == expected
    assert pck(line(0, distance).roll(1, -1), line(0, 0)).item() == expected


def test_auc_by_hand() -> None:
    # Root: 30 of 31 thresholds are above 0. Joint at 75 mm: 80, 85, ..., 150 are 15 thresholds.
    assert auc(line(0, 0.075), line(0, 0)).item() == pytest.approx(100 * (30 + 15) / 2 / 31)
    assert auc(line(0, 0), line(0, 0)).item() == pytest.approx(100 * 30 / 31)
    assert auc(line(0, 9), line(0, 0)).item() == pytest.approx(100 * 30 / 2 / 31)


# Independent implementations


def aligned_by_scipy(predicted: np.ndarray, truth: np.ndarray) -> float:
    """PA-MPJPE of one pose by scipy's Kabsch solver, which excludes reflections."""
    ours, theirs = predicted - predicted.mean(0), truth - truth.mean(0)
    turn, _ = Rotation.align_vectors(theirs, ours)
    turned = turn.apply(ours)
    scale = (turned * theirs).sum() / (ours**2).sum()
    return float(1000 * np.linalg.norm(scale * turned - theirs, axis=-1).mean())


@pytest.mark.parametrize("mirrored", [False, True])
def test_pa_mpjpe_against_scipy_alignment(mirrored: bool) -> None:
    truth = random_poses(200, seed=1)
    predicted = truth @ random_rotations(200).mT + 0.05 * random_poses(200, seed=2)
    if mirrored:
        predicted = predicted * torch.tensor([-1.0, 1.0, 1.0])
    expected = [
        aligned_by_scipy(p, t) for p, t in zip(predicted.numpy(), truth.numpy(), strict=True)
    ]
    np.testing.assert_allclose(pa_mpjpe(predicted, truth).numpy(), expected, rtol=1e-7)


def test_pa_mpjpe_against_scipy_procrustes() -> None:
    # scipy's procrustes allows reflections and reports the squared error of the scaled truth.
    # A prediction that is close to the truth needs no reflection.
    truth = random_poses(50, seed=3)
    predicted = 2 * (truth + 0.05 * random_poses(50, seed=4)) @ random_rotations(50) + 1
    expected = []
    for ours, theirs in zip(predicted.numpy(), truth.numpy(), strict=True):
        first, second, _ = procrustes(theirs, ours)
        size = np.linalg.norm(theirs - theirs.mean(0))
        expected.append(1000 * size * np.linalg.norm(first - second, axis=-1).mean())
    np.testing.assert_allclose(pa_mpjpe(predicted, truth).numpy(), expected, rtol=1e-9)


def test_n_mpjpe_against_lstsq() -> None:
    predicted, truth = random_poses(50, seed=5), random_poses(50, seed=6)
    for ours, theirs, value in zip(predicted, truth, n_mpjpe(predicted, truth), strict=True):
        ours, theirs = ours - ours[0], theirs - theirs[0]
        scale = torch.linalg.lstsq(ours.reshape(-1, 1), theirs.reshape(-1, 1)).solution
        expected = 1000 * (ours * scale - theirs).norm(dim=-1).mean()
        assert value.item() == pytest.approx(expected.item(), rel=1e-9)


# Properties


def test_pa_mpjpe_ignores_similarities() -> None:
    predicted, truth = random_poses(100, seed=7), random_poses(100, seed=8)
    moved = 0.4 * predicted @ random_rotations(100, seed=9) + 3
    torch.testing.assert_close(pa_mpjpe(moved, truth), pa_mpjpe(predicted, truth))
    assert pa_mpjpe(moved, predicted).max() < 1e-9
    turned = truth @ random_rotations(100, seed=10) - 5
    torch.testing.assert_close(pa_mpjpe(predicted, turned), pa_mpjpe(predicted, truth))


def test_pa_mpjpe_does_not_reflect() -> None:
    truth = random_poses(100, seed=11)
    assert pa_mpjpe(truth * torch.tensor([-1.0, 1.0, 1.0]), truth).min() > 20


def test_a_flat_pose_matches_its_mirror_image() -> None:
    # A reflection of a flat pose is also a rotation by half a turn.
    truth = random_poses(20, seed=12)
    truth[..., 2] = 0
    assert pa_mpjpe(truth * torch.tensor([-1.0, 1.0, 1.0]), truth).max() < 1e-9


def test_n_mpjpe_ignores_scale_and_position() -> None:
    predicted, truth = random_poses(100, seed=13), random_poses(100, seed=14)
    torch.testing.assert_close(n_mpjpe(2.5 * predicted + 1, truth), n_mpjpe(predicted, truth))
    assert n_mpjpe(0.7 * truth - 2, truth).max() < 1e-9


@pytest.mark.parametrize("measure", [pa_mpjpe, n_mpjpe])
def test_float32_is_as_good_as_float64(measure: Measure) -> None:
    predicted, truth = random_poses(1000, seed=15) + 4, random_poses(1000, seed=16) + 4
    rounded = measure(predicted.float(), truth.float())
    torch.testing.assert_close(rounded, measure(predicted, truth), rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("shape", [(16, 3), (1, 17, 3), (0, 16, 3), (2, 3, 5, 3), (4, 1, 3)])
def test_shapes(measure: Measure, shape: tuple[int, ...]) -> None:
    predicted, truth = torch.randn(shape), torch.randn(shape)
    before = predicted.clone(), truth.clone()
    result = measure(predicted, truth)
    assert result.shape == shape[:-2]
    assert result.dtype == torch.float64
    assert result.isfinite().all()
    assert predicted.equal(before[0])
    assert truth.equal(before[1])


@pytest.mark.parametrize("measure", MEASURES)
def test_poses_do_not_influence_each_other(measure: Measure) -> None:
    predicted, truth = random_poses(6, seed=17), random_poses(6, seed=18)
    together = measure(predicted.reshape(2, 3, 16, 3), truth.reshape(2, 3, 16, 3))
    alone = torch.stack([measure(p, t) for p, t in zip(predicted, truth, strict=True)])
    torch.testing.assert_close(together.flatten(), alone)


# Degenerate poses


def test_a_prediction_without_size() -> None:
    truth = line(0, 1, 2)
    point = torch.full((3, 3), 7.0, dtype=torch.float64)
    assert pa_mpjpe(point, truth).item() == pytest.approx(2000 / 3)  # all at the truth's centre
    assert n_mpjpe(point, truth).item() == pytest.approx(1000)  # all at the truth's root
    tiny = truth * 1e-30
    assert pa_mpjpe(tiny, truth).item() == pytest.approx(2000 / 3)


def test_a_truth_without_size() -> None:
    point = torch.ones(16, 3, dtype=torch.float64)
    pose = random_poses(1)[0]
    assert pa_mpjpe(pose, point).item() == pytest.approx(0, abs=1e-9)
    assert n_mpjpe(pose, point).item() == pytest.approx(0, abs=1e-9)
    assert pa_mpjpe(point, point).item() == pytest.approx(0, abs=1e-9)


# evaluate


def test_evaluate_averages_the_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "CHUNK", 7)  # several chunks, the last one short
    predicted, truth = random_poses(24, seed=19), random_poses(24, seed=20)
    classes = ["knee", "chest"] * 12
    result = evaluate(predicted.reshape(4, 6, 16, 3), truth.reshape(4, 6, 16, 3), classes)
    for measure in MEASURES:
        expected = measure(predicted, truth).mean().item()
        assert getattr(result, measure.__name__) == pytest.approx(expected, rel=1e-12)
    assert result.poses == 24
    assert list(result.per_camera) == ["chest", "knee"]
    each = mpjpe(predicted, truth)
    assert result.per_camera["knee"] == pytest.approx(each[0::2].mean().item())
    assert result.per_camera["chest"] == pytest.approx(each[1::2].mean().item())


def test_evaluate_one_pose_and_numpy_classes() -> None:
    pose = random_poses(1)[0]
    result = evaluate(pose.requires_grad_(), pose, np.array(["ceiling"]))
    assert result.poses == 1
    assert result.per_camera == {"ceiling": 0.0}
    assert evaluate(pose, pose).per_camera == {}


def test_as_row_is_flat_and_plain() -> None:
    result = Metrics(61.3, 40.5, 58.0, 92.1, 62.5, poses=3, per_camera={"chest": 60.0})
    row = json.loads(json.dumps(result.as_row()))
    assert row == {
        "mpjpe": 61.3,
        "pa_mpjpe": 40.5,
        "n_mpjpe": 58.0,
        "pck": 92.1,
        "auc": 62.5,
        "poses": 3,
        "mpjpe/chest": 60.0,
    }


# Bad input


@pytest.mark.parametrize("measure", [*MEASURES, evaluate])
def test_bad_input(measure: Measure) -> None:
    poses = torch.zeros(5, 16, 3)
    with pytest.raises(ValueError, match=r"predicted: got shape \(5, 16, 2\), expected"):
        measure(poses[..., :2], poses)
    with pytest.raises(ValueError, match=r"truth: got shape \(3,\), expected \(..., J, 3\)"):
        measure(poses, torch.zeros(3))
    with pytest.raises(ValueError, match=r"got shape \(5, 16, 3\), expected .* \(5, 17, 3\)"):
        measure(poses, torch.zeros(5, 17, 3))
    with pytest.raises(ValueError, match=r"got shape \(1, 16, 3\), expected .* \(5, 16, 3\)"):
        measure(poses[:1], poses)
    with pytest.raises(ValueError, match=r"expected \(..., J, 3\)"):
        measure(poses[:, :0], poses[:, :0])
    with pytest.raises(TypeError, match=r"truth: got ndarray, expected a torch.Tensor"):
        measure(poses, poses.numpy())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"predicted: got dtype torch.int64"):
        measure(poses.long(), poses)
    with pytest.raises(ValueError, match=r"got device meta, expected that of truth, cpu"):
        measure(poses.to("meta"), poses)


@pytest.mark.parametrize("measure", [*MEASURES, evaluate])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_not_finite_says_how_many_poses(measure: Measure, value: float) -> None:
    poses, broken = torch.zeros(5, 16, 3), torch.zeros(5, 16, 3)
    broken[1, 3, 0] = broken[1, 4, 1] = broken[4, 0, 2] = value
    with pytest.raises(ValueError, match="predicted: got NaN or infinity in 2 of 5 poses"):
        measure(broken, poses)
    with pytest.raises(ValueError, match="truth: got NaN or infinity in 2 of 5 poses"):
        measure(poses, broken)


def test_evaluate_wants_poses_and_one_class_each() -> None:
    with pytest.raises(ValueError, match="got no poses, expected at least one"):
        evaluate(torch.zeros(0, 16, 3), torch.zeros(0, 16, 3))
    with pytest.raises(ValueError, match=r"camera_class: got 2 classes, expected .* \(3\)"):
        evaluate(torch.zeros(3, 16, 3), torch.zeros(3, 16, 3), ["a", "b"])
