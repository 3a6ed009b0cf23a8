"""Runs every form of every op forward and backward on CUDA, in small odd batches, and compares
with the reference on the CPU. Meant to run under compute-sanitizer: see gpu_check.py.

Inputs are made on the CPU, so that almost every kernel that runs is one of ours.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "ops"))
from op_cases import (  # type: ignore[import-not-found]
    CASES,
    TOLERANCE,
    Case,
    relative_error,
)

from poseda_ext import H36M_16, H36M_17, Skeleton

BATCHES = (1, 33, 257)
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
#: 17 joints make odd row lengths.
SKELETONS = (H36M_16, H36M_17)

Results = list[torch.Tensor]


def _run(case: Case, inputs: dict[str, torch.Tensor], skeleton: Skeleton, on: str) -> Results:
    """Outputs and gradients of every input, on the CPU."""
    leaves = {n: t.detach().to(on).requires_grad_() for n, t in inputs.items()}
    call = case.call if on == "cuda" else case.reference
    outputs = [o for o in call(leaves, skeleton) if o.requires_grad]
    generator = torch.Generator().manual_seed(1)
    grads = [torch.randn(o.shape, generator=generator).to(o.dtype).to(on) for o in outputs]
    found = torch.autograd.grad(outputs, list(leaves.values()), grads, allow_unused=True)
    results = [*outputs, *(g for g in found if g is not None)]
    return [t.detach().cpu() for t in results]


def _error(got: Results, expected: Results) -> float:
    if [t.shape for t in got] != [t.shape for t in expected]:
        return float("inf")
    if not all(bool(torch.isfinite(t).all()) for t in got):
        return float("inf")
    return max(relative_error(a, b) for a, b in zip(got, expected, strict=True))


def _check(case: Case, batch: int, dtype: torch.dtype, skeleton: Skeleton) -> str | None:
    """What is wrong, or None."""
    inputs = case.sample((batch,), dtype, "cpu", skeleton)
    error = _error(
        _run(case, inputs, skeleton, "cuda"),
        _run(case, inputs, skeleton, "cpu"),
    )
    # Gradients add up some hundred terms: allow more than for one value.
    if error < 4 * TOLERANCE[dtype]:
        return None
    return f"{case.name} batch {batch} {dtype} {skeleton.num_joints} joints: error {error:.2e}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one batch, one skeleton")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("sanitize_ops: no CUDA device on this machine", file=sys.stderr)
        return 2
    torch.manual_seed(0)
    batches = BATCHES[1:2] if args.quick else BATCHES
    skeletons = SKELETONS[:1] if args.quick else SKELETONS
    checks = [
        _check(case, batch, dtype, skeleton)
        for case in CASES
        for batch in batches
        for dtype in DTYPES
        for skeleton in skeletons
    ]
    wrong = [message for message in checks if message]
    print("\n".join(wrong))
    print(f"{len(checks)} checks, {len(wrong)} wrong")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
