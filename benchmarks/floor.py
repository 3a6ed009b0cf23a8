"""The two floors: the time to move the bytes that an op must move, and to do its arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

#: On CUDA the copy reads and writes this much, far more than the cache holds.
LARGE_COPY = 1 << 30
#: Rows and columns of the matrices whose product shows how fast arithmetic can be.
MATRIX = {"cpu": 768, "cuda": 8192}


@dataclass(frozen=True)
class CopyFloor:
    """A copy to be timed beside the op.

    Attributes:
        call: does the copy; the argument, the number of the input set, is ignored.
        copied: bytes that the copy reads plus bytes that it writes.
        needed: bytes that the op must move.
        note: how the floor is to be read.
    """

    call: Callable[[int], None]
    copied: int
    needed: int
    note: str

    def floor_ms(self, copy_ms: float) -> float:
        """The floor, given how long the copy took."""
        return copy_ms * self.needed / self.copied

    def gb_per_s(self, copy_ms: float) -> float:
        return self.copied / copy_ms / 1e6


def copy_floor(needed: int, device: str) -> CopyFloor:
    """A copy with the traffic of the op on the CPU, of at least `LARGE_COPY` on CUDA.

    On the CPU the data may well lie in the cache, and then the copy's does too. On CUDA the inputs
    rotate among sets that do not fit in the cache, so the bandwidth of device memory counts.
    """
    copied = needed if device == "cpu" else max(needed, LARGE_COPY)
    count = max(copied // 8, 1)  # float32 numbers: half of the bytes are read, half are written
    source = torch.rand(count, device=device)
    target = torch.empty_like(source).fill_(1)

    def call(_: int) -> None:
        target.copy_(source)

    return CopyFloor(call, 8 * count, needed, _note(needed, device))


def matrix_product(device: str, dtype: torch.dtype) -> tuple[Callable[[int], None], int]:
    """A large matrix product, and the additions and multiplications that it does.

    In the type that the ops compute in, without tensor cores: they are of no use to the ops.
    """
    size = MATRIX[device]
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    a, b = (torch.rand(size, size, device=device, dtype=compute) for _ in range(2))
    out = torch.empty_like(a)

    def call(_: int) -> None:
        torch.mm(a, b, out=out)

    return call, 2 * size**3


def cache_bytes(device: str) -> int:
    """Size of the last cache before memory; 0 where it is not known."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties(0).L2_cache_size)
    for index in (3, 2):
        path = Path(f"/sys/devices/system/cpu/cpu0/cache/index{index}/size")
        try:
            return int(path.read_text().strip().removesuffix("K")) * 1024
        except (OSError, ValueError):
            continue
    return 0


def _note(needed: int, device: str) -> str:
    if device == "cuda":
        return "floor: bandwidth of a large copy"
    cache = cache_bytes(device)
    if 0 < needed < cache:
        return f"traffic fits in the {cache >> 20} MiB cache; floor: a copy of the same traffic"
    return "floor: a copy of the same traffic"
