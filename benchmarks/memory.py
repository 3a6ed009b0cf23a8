"""Peak device memory and launches of an op, and whether its runs agree bit for bit."""

from __future__ import annotations

import torch

from benchmarks.registry import CASES
from benchmarks.results import Row, metadata
from benchmarks.runner import PASSES, Call, Target, bind, make_sets


def _peak(call: Call) -> int | None:
    """Bytes allocated at the highest point of the call, on top of what was there before."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    try:
        result = call(0)
    except torch.OutOfMemoryError:
        return None
    torch.cuda.synchronize()
    del result
    return torch.cuda.max_memory_allocated() - before


def launches(call: Call) -> int | None:
    """Kernels, copies and fills that the call starts on the device; None where none is seen."""
    call(0)
    torch.cuda.synchronize()
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
            call(0)
            torch.cuda.synchronize()
    except RuntimeError:
        return None
    on_device = torch.autograd.DeviceType.CUDA
    return sum(event.device_type == on_device for event in profiler.events()) or None


def _flat(result: object) -> list[torch.Tensor]:
    return [t for t in result if isinstance(t, torch.Tensor)]  # type: ignore[attr-defined]


def identical(call: Call, times: int = 5) -> bool:
    """Whether repeated calls on the same inputs give the same bits."""
    first = [t.clone() for t in _flat(call(0))]
    return all(
        torch.equal(a.view(torch.uint8), b.contiguous().view(torch.uint8))
        for _ in range(times - 1)
        for a, b in zip(first, _flat(call(0)), strict=True)
    )


def measure_memory(op: str, batch: int, joints: int = 16) -> list[Row]:
    """A row per pass: peak bytes of both, and what ours launches and whether its bits agree."""
    rows = []
    for which in PASSES:
        target = Target(CASES[op], which, "cuda", torch.float32, joints, batch, 1)
        sets = make_sets(target, maximum=1)
        ours, eager = (bind(f, target, sets) for f in (target.case.fused, target.case.reference))
        row: Row = {
            "op": op,
            "pass": which,
            "device": "cuda",
            "dtype": "float32",
            "joints": joints,
            "batch": batch,
            "ours_peak_bytes": _peak(ours),
            "eager_peak_bytes": _peak(eager),
            "ours_launches": launches(ours),
            "bit_identical": identical(ours),
        }
        rows.append(row | metadata("cuda"))
    return rows
