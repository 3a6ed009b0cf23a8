"""Memory between training steps."""

from __future__ import annotations

import ctypes
import sys

# of glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_freed_memory() -> None:
    """Lets this process keep what it frees, for good; glibc only, elsewhere nothing.

    A training step frees its tensors and soon needs the same sizes again. glibc hands large ones
    back to the system, which then has to map and clear their pages anew in every step: 2 to 5 % of
    a critic step at batches of 1,024 and more, next to nothing at 256 (glibc 2.36, one thread).
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        if not mallopt(_M_MMAP_THRESHOLD, 1 << 30):
            mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that glibc before 2.35 takes
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
