"""How exact the vector functions are: sine and cosine, square root and reciprocal.

Seen through the ops, over the whole range of their arguments, on every instruction set. The bounds
are those that csrc/math states.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import poseda_ext

pytestmark = pytest.mark.skipif(
    poseda_ext.build_info()["backend"] != "compiled", reason="the compiled extension is not built"
)

DTYPES = (torch.float32, torch.float64)
CONSTANTS = poseda_ext.build_info()["constants"]
#: Absolute error of sin t / t and (1 - cos t) / t^2 for t < 1000, and of the derivatives of a
#: rotated unit vector, there over t where t > 1: csrc/math/rotation.h.
ROTATION_BOUND = {torch.float32: 2e-7, torch.float64: 4e-16}
#: Relative error of 1 / length and X / Z, in units of the type's machine epsilon.
QUOTIENT_BOUND = 2

_PROBE = """
import sys, torch, poseda_ext
from poseda_ext import Skeleton
bone = Skeleton(names=("a", "b"), parents=(-1, 0))
results = {}
def turns_of(w):
    return {"turned": {"bone_rotation": w}, "turned_body": {"rotation": w[:, 0]}}
def jacobian(x, form):  # of the rotated bone by the axis-angle vector
    w = x["any_axis_angle"].clone().requires_grad_()
    turned = poseda_ext.augment(x["any_pose"], skeleton=bone, **turns_of(w)[form]).pose3d[:, 1]
    return torch.stack([torch.autograd.grad(turned[:, i].sum(), w, retain_graph=True)[0][:, 0]
                        for i in range(3)], 1)
for name, x in torch.load(sys.argv[1]).items():
    turns = turns_of(x["axis_angle"])
    results[name] = {
        **{form: poseda_ext.augment(x["pose"], skeleton=bone, **turn).pose3d[:, 1]
           for form, turn in turns.items()},
        **{form + "_jacobian": jacobian(x, form) for form in turns},
        "unit": poseda_ext.kcs(x["bone"], bone, unit=True)[:, 0, 0],
        "projected": poseda_ext.project(x["points"], x["intrinsics"])[:, 0],
    }
torch.save((poseda_ext.build_info()["cpu_level"], results), sys.argv[2])
"""


def _binades(low: int, high: int, count: int = 97) -> np.ndarray:
    """Numbers from every binade, its ends included."""
    mantissas = np.concatenate(([1.0], np.random.default_rng(0).uniform(1, 2, count)))
    return np.ldexp(mantissas[None], np.arange(low, high)[:, None]).ravel()


def _from(least: float, high: int) -> np.ndarray:
    """Numbers from just above `least` to the binade below 2^high."""
    numbers = _binades(int(np.floor(np.log2(least))), high)
    return np.append(numbers[numbers > least], least * (1 + 1e-6))


def _angles(dtype: torch.dtype) -> np.ndarray:
    """Zero, subnormal and tiny ones, every binade to 1024, and close to multiples of pi / 2."""
    smallest = {torch.float32: -149, torch.float64: -1074}[dtype]
    eps = torch.finfo(dtype).eps
    quarters = np.arange(1, 637) * (np.pi / 2)
    near = [quarters * (1 + k * eps) for k in (-64, -8, -2, -1, 0, 1, 2, 8, 64)]
    near += [quarters + d for d in (-1e-2, -1e-3, -1e-5, 1e-5, 1e-3, 1e-2)]
    angles = np.concatenate(([0.0], _binades(smallest, 10), *near))
    return angles[angles < 1000]


def _inputs(dtype: torch.dtype) -> dict[str, torch.Tensor]:
    huge = {torch.float32: 63, torch.float64: 500}[dtype]
    angles = np.concatenate((_angles(dtype), _binades(10, huge, 5)))
    w = torch.zeros(len(angles), 1, 3, dtype=dtype)
    w[:, 0, :2] = torch.from_numpy(angles[:, None] * np.array([0.6, 0.8])).to(dtype)
    pose = torch.zeros(len(angles), 2, 3, dtype=dtype)
    pose[:, 1, 0] = 1
    # From the shortest bone with a direction to the longest with a finite square.
    random = np.random.default_rng(1)
    axes, bones = (random.normal(size=(len(angles), 1, 3)) for _ in range(2))
    axes, bones = (x / np.linalg.norm(x, axis=2, keepdims=True) for x in (axes, bones))
    any_pose = np.concatenate((0 * bones, bones), 1)
    highest = {torch.float32: 64, torch.float64: 512}[dtype]
    lengths = torch.from_numpy(_from(CONSTANTS["MIN_BONE_LENGTH"], highest)).to(dtype)
    bone = torch.zeros(len(lengths), 2, 3, dtype=dtype)
    bone[:, 1, 0] = lengths
    # From the least depth before a camera to the greatest whose quotient is a normal number.
    highest = {torch.float32: 125, torch.float64: 1021}[dtype]
    depths = torch.from_numpy(_from(CONSTANTS["MIN_DEPTH"], highest)).to(dtype)
    points = torch.ones(len(depths), 1, 3, dtype=dtype)
    points[:, 0, 0] = torch.linspace(0.5, 2, len(depths), dtype=dtype)
    points[:, 0, 2] = depths
    intrinsics = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=dtype).repeat(len(depths), 1)
    return {
        "any_axis_angle": torch.from_numpy(angles[:, None, None] * axes).to(dtype),
        "any_pose": torch.from_numpy(any_pose).to(dtype),
        "axis_angle": w,
        "pose": pose,
        "bone": bone,
        "points": points,
        "intrinsics": intrinsics,
    }


def _exact(tensor: torch.Tensor) -> np.ndarray:
    return tensor.numpy().astype(np.longdouble)


def _coefficients(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sin t / t and (1 - cos t) / t^2."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return (
            np.where(t > 0, np.sin(t) / t, 1),
            np.where(t > 0, 2 * (np.sin(t / 2) / t) ** 2, 0.5),
        )


def _slopes(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The derivatives by t^2 of sin t / t and (1 - cos t) / t^2."""
    x, order = np.minimum(t, 1) ** 2, range(1, 12)
    first, second = (
        sum(k * (-1) ** k * x ** (k - 1) / math.factorial(2 * k + n) for k in order) for n in (1, 2)
    )
    far = np.maximum(t, 1)
    sine_slope = (far * np.cos(far) - np.sin(far)) / (2 * far**3)
    cosine_slope = (far * np.sin(far) - 2 * (1 - np.cos(far))) / (2 * far**4)
    return np.where(t < 1, first, sine_slope), np.where(t < 1, second, cosine_slope)


@pytest.fixture(scope="module", params=["baseline", "avx2", "avx512"])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    level = request.param
    if level not in poseda_ext.build_info()["cpu_levels"]:
        pytest.skip(f"{level} kernels are not built for this processor")
    folder: Path = tmp_path_factory.mktemp("accuracy")
    inputs = {str(dtype): _inputs(dtype) for dtype in DTYPES}
    torch.save(inputs, folder / "inputs.pt")
    subprocess.run(
        [sys.executable, "-c", _PROBE, folder / "inputs.pt", folder / "outputs.pt"],
        check=True,
        env={**os.environ, "POSEDA_CPU_CAPABILITY": level},
    )
    used, outputs = torch.load(folder / "outputs.pt")
    if used != level:
        pytest.skip(f"this processor has no {level}")
    return {dtype: (inputs[str(dtype)], outputs[str(dtype)]) for dtype in DTYPES}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("form", ["turned", "turned_body"])
def test_sine_and_cosine(results: Any, form: str, dtype: torch.dtype) -> None:
    inputs, outputs = results[dtype]
    # With w = (p, q, 0) and a bone along x, R v = (1 - b q^2, b p q, -a q).
    p, q = _exact(inputs["axis_angle"][:, 0, 0]), _exact(inputs["axis_angle"][:, 0, 1])
    turned, t = _exact(outputs[form]), np.hypot(p, q)
    bound = ROTATION_BOUND[dtype]
    first, second = _coefficients(t)
    with np.errstate(divide="ignore", invalid="ignore"):
        first_error = np.abs(turned[:, 2] / -q - first)
        second_error = np.abs(turned[:, 1] / (p * q) - second)
    seen = t < 1000
    # Where the products with a or b are subnormal they lose digits.
    normal = float(torch.finfo(dtype).tiny) / float(torch.finfo(dtype).eps)
    assert first_error[seen & (q > normal)].max() <= bound
    assert second_error[seen & (p * q > normal)].max() <= bound
    # Everywhere, however small or large the angle, it is a rotation.
    assert np.isfinite(turned).all()
    norms = np.sqrt((turned**2).sum(axis=1))
    assert np.abs(norms - 1).max() <= 5 * bound


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("form", ["turned", "turned_body"])
def test_derivatives_of_a_rotation(results: Any, form: str, dtype: torch.dtype) -> None:
    inputs, outputs = results[dtype]
    w, v = _exact(inputs["any_axis_angle"][:, 0]), _exact(inputs["any_pose"][:, 1])
    t = np.sqrt((w**2).sum(1))
    seen = t < 1000
    w, v, t = w[seen], v[seen], t[seen]
    # R v = v + a u + b w x u with u = w x v.
    (a, b), (slope_a, slope_b) = _coefficients(t), _slopes(t)
    u = np.cross(w, v)
    along = slope_a[:, None] * u + slope_b[:, None] * np.cross(w, u)
    expected = [
        2 * w[:, k, None] * along
        + a[:, None] * np.cross(unit, v)
        + b[:, None] * (np.cross(unit, u) + np.cross(w, np.cross(unit, v)))
        for k, unit in enumerate(np.eye(3))
    ]
    found = _exact(outputs[f"{form}_jacobian"][torch.from_numpy(seen)])
    error = np.abs(found - np.stack(expected, axis=2)).max(axis=(1, 2))
    assert (error / np.maximum(t, 1)).max() <= ROTATION_BOUND[dtype]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_inverse_length(results: Any, dtype: torch.dtype) -> None:
    _, outputs = results[dtype]
    # The product of a unit bone with itself: the square of length times 1 / length.
    error = np.abs(np.sqrt(_exact(outputs["unit"])) - 1)
    assert error.max() <= QUOTIENT_BOUND * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_quotient(results: Any, dtype: torch.dtype) -> None:
    inputs, outputs = results[dtype]
    points = _exact(inputs["points"][:, 0])
    error = np.abs(_exact(outputs["projected"][:, 0]) / (points[:, 0] / points[:, 2]) - 1)
    assert error.max() <= QUOTIENT_BOUND * torch.finfo(dtype).eps
