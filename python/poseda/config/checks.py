"""What the numbers of all settings have in common."""

from __future__ import annotations

import math

#: no wider layer and no larger batch than this: beyond lies a slip of the keyboard
MAX_WIDTH = 16_384
MAX_BATCH = 1_048_576
#: nor windows with more steps from frame to frame
MAX_STRIDE = 1_000


def check_numbers(
    settings: object, *names: str, low: float = 0, high: float = math.inf, open_low: bool = False
) -> None:
    """Refuses values outside [low, high], or (low, high]; NaN and infinity always."""
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{name}: got {value!r:.60}, expected a number")
        above = value > low if open_low else value >= low
        if not (math.isfinite(value) and above and value <= high):
            least = f"more than {low:g}" if open_low else f"at least {low:g}"
            most = "" if math.isinf(high) else f" and at most {high:,}"
            raise ValueError(f"{name}: got {value}, expected a number, {least}{most}")


def check_strides(strides: tuple[int, ...]) -> None:
    """Refuses what windows cannot draw a stride of."""
    if not strides or not all(1 <= stride <= MAX_STRIDE for stride in strides):
        raise ValueError(f"strides: got {strides}, expected numbers from 1 to {MAX_STRIDE}")
