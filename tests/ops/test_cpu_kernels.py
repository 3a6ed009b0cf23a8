"""The SIMD kernels: tails, instruction sets and threads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from op_cases import CASES, MAIN, MAIN_IDS, Case, assert_same, gradients, require_grad, total

import poseda_ext

pytestmark = pytest.mark.skipif(
    poseda_ext.build_info()["backend"] != "compiled", reason="the compiled extension is not built"
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", MAIN, ids=MAIN_IDS)
def test_batch_sizes_around_the_vector_width(case: Case, dtype: torch.dtype) -> None:
    whole = require_grad(case.sample((40,), dtype))
    outputs = case.call(whole)
    # The same weight for every pose, so that a pose's gradient does not depend on the batch.
    expected = torch.autograd.grad(total(outputs), list(whole.values()))
    for batch in range(1, 41):
        part = require_grad({name: tensor[:batch] for name, tensor in whole.items()})
        got = case.call(part)
        assert all(torch.equal(a, b[:batch]) for a, b in zip(got, outputs, strict=True))
        grads = torch.autograd.grad(total(got), list(part.values()))
        assert all(torch.equal(a, b[:batch]) for a, b in zip(grads, expected, strict=True))


@pytest.mark.parametrize("case", MAIN, ids=MAIN_IDS)
def test_threads_change_nothing(case: Case) -> None:
    sample = case.sample((5000,), torch.float32)
    results = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        inputs = require_grad(sample)
        outputs = case.call(inputs)
        results.append([*outputs, *gradients(outputs, inputs).values()])
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux does")
def test_small_batches_start_no_thread() -> None:
    count = """
import os, torch, poseda_ext
torch.set_num_threads(2)
for batch in (0, 256, 65536):
    if batch:
        poseda_ext.part_kcs(torch.zeros(batch, 16, 3))
    print(len(os.listdir("/proc/self/task")))
"""
    ran = subprocess.run([sys.executable, "-c", count], capture_output=True, text=True, check=True)
    before, small, large = map(int, ran.stdout.split())
    assert small == before and large == before + 1


def test_the_pairs_that_are_compiled_in_are_those_of_the_default_skeleton() -> None:
    header = Path(__file__).parents[2] / "csrc" / "ops" / "known_pairs.h"
    sizes, joints = (
        [int(number) for number in re.findall(r"\d+", table)]
        for table in re.findall(r"\[\] = \{([^}]*)\}", header.read_text())
    )
    parts = poseda_ext.H36M_16.kcs_parts
    assert sizes == [len(part) for part in parts]
    assert joints == [bone + 1 for part in parts for bone in part]


_RUN_ALL = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from op_cases import CASES, gradients, require_grad
import poseda_ext
samples = torch.load(sys.argv[2])
results = {}
for case in CASES:
    inputs = require_grad(samples[case.name])
    outputs = case.call(inputs)
    grads = gradients(outputs, inputs)
    results[case.name] = ([o.detach() for o in outputs], grads)
info = poseda_ext.build_info()
torch.save((info["cpu_level"], results), sys.argv[3])
"""


@pytest.mark.parametrize("level", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_agrees(level: str, tmp_path: Path) -> None:
    info = poseda_ext.build_info()
    if level not in info["cpu_levels"]:
        pytest.skip(f"{level} kernels are not built for this processor")
    samples = {}
    for i, case in enumerate(CASES):
        dtype = (torch.float32, torch.float64, torch.bfloat16, torch.float16)[i % 4]
        samples[case.name] = case.sample((23,), dtype)
    torch.save(samples, tmp_path / "samples.pt")
    here = str(Path(__file__).parent)
    subprocess.run(
        [sys.executable, "-c", _RUN_ALL, here, tmp_path / "samples.pt", tmp_path / "results.pt"],
        check=True,
        env={**os.environ, "POSEDA_CPU_CAPABILITY": level},
    )
    used, results = torch.load(tmp_path / "results.pt")
    if used != level:
        pytest.skip(f"this processor has no {level}")
    for case in CASES:
        inputs = require_grad(samples[case.name])
        outputs = case.reference(inputs)
        assert_same(tuple(results[case.name][0]), outputs)
        expected = gradients(outputs, inputs)
        got = results[case.name][1]
        assert_same(tuple(got.values()), tuple(expected.values()))


def test_extreme_half_values_round_as_torch_does() -> None:
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    skeleton = poseda_ext.Skeleton(names=("a", "b"), parents=(-1, 0))
    for dtype in (torch.float16, torch.bfloat16):
        # Sums of two numbers, rounded once: every number with a subnormal, a normal, a large one.
        for other in (0.0, 1e-7, 1.0, 60000.0):
            number = bits.view(dtype)
            finite = number[number.isfinite()]
            finite = finite[: finite.numel() // 2 * 2].view(-1, 1, 2)
            root = torch.full((finite.shape[0], 2), other, dtype=dtype)
            got = poseda_ext.pose_from_bones(finite, root, skeleton)[:, 1]
            expected = (root.float() + finite[:, 0].float()).to(dtype)
            assert torch.equal(got, expected)
    nan = torch.tensor([[[float("nan"), float("inf")]]])
    for dtype in (torch.float16, torch.bfloat16):
        got = poseda_ext.pose_from_bones(nan.to(dtype), None, skeleton)[0, 1]
        assert got[0].isnan() and got[1].isinf()
