"""What a detector found in one video, as its file has it; and numbers out of untrusted files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Where = Callable[[int], str]

MAX_FPS = 10_000.0
_SEARCHED = 500  # entries in which a message looks for what is no number


@dataclass(frozen=True)
class Detections:
    """People found in the frames of one video, or of one folder of images.

    Attributes:
        name: of the video.
        where: the file, for messages.
        container: the form of the file.
        points: (M, S, 2) pixels, or fractions of the image; NaN where there is none.
        confidence: (M, S) as the file gives it.
        frame: (M,) integers.
        person: (M,) strings, or None where the file gives no identity.
        frames: number of frames, with those in which nobody was found.
        joints: name of the joint set where the file says it, else None.
        image_size: width, height in pixels, or None where the file does not say.
        fps: frames per second, 0 where the file does not say.
        fractions: whether the points are fractions of the image's width and height.
        ordered: whether the frames of a person must come in order.
        shared: whether a person of this name in another video is the same one.

    Raises:
        ValueError: if the image size, the frame rate or a frame's number is none.
    """

    name: str
    where: str
    container: str
    points: Array
    confidence: Array
    frame: Array
    person: Array | None
    frames: int
    joints: str | None = None
    image_size: tuple[float, float] | None = None
    fps: float = 0.0
    fractions: bool = False
    ordered: bool = True
    shared: bool = False

    def __post_init__(self) -> None:
        if self.image_size is not None and not all(16 <= side <= 1e5 for side in self.image_size):
            raise ValueError(
                f"{self.where}: image_size: got {self.image_size[0]:g} x {self.image_size[1]:g}, "
                "expected width and height in pixels"
            )
        if not 0 <= self.fps <= MAX_FPS:
            raise ValueError(f"{self.where}: fps: got {self.fps:g}, expected frames per second")
        for worst in (self.frame.min(initial=0), self.frame.max(initial=0)):
            if not 0 <= worst < 2**53:
                raise ValueError(f"{self.where}: frame: got {worst}, expected 0 to 2^53 - 1")


def stack(values: Sequence[Any], where: Where, tail: str) -> Array:
    """Numbers of equal shape as one float64 array, None as NaN.

    Args:
        values: M nested lists.
        where: what messages call value number i.
        tail: the expected shape of a value, for messages.

    Raises:
        ValueError: if a value holds no numbers, or they differ in shape; names the first such.
    """
    if not len(values):
        return np.zeros((0,))
    array = _numbers(values)
    if array is not None:
        return array
    shape: tuple[int, ...] | None = None
    for place, value in enumerate(values):
        one = _numbers(value)
        if one is None:
            raise ValueError(f"{where(place)}: got {_shown(value)}, expected numbers {tail}")
        if shape is not None and one.shape != shape:
            raise ValueError(
                f"{where(place)}: got {_shape(one.shape)} numbers, expected {_shape(shape)} as in "
                "those before; are two joint sets mixed?"
            )
        shape = one.shape
    raise ValueError(f"{where(0)}: got no numbers, expected {tail}")


def _numbers(values: Any) -> Array | None:
    """An array of float64, or None if these are not numbers of a regular shape."""
    try:
        array = np.asarray(values)
        if array.dtype.kind in "fiu":
            return array.astype(np.float64)
        if array.dtype.kind != "O":
            return None
        flat = array.ravel()
        if all(item is None or type(item) in (int, float) for item in flat):
            return array.astype(np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError):
        pass
    return None


def whole(values: Sequence[Any], where: Where, name: str) -> Array:
    """Integers as int64.

    Raises:
        ValueError: if a value is not an integer; names the first such.
    """
    array = np.asarray(values) if all(type(value) is int for value in values) else None
    if array is not None and (array.dtype.kind == "i" or not len(array)):
        return array.astype(np.int64)
    for place, value in enumerate(values):
        if type(value) is not int or abs(value) >= 2**62:
            raise ValueError(f"{where(place)}: {name}: got {_shown(value)}, expected an integer")
    raise ValueError(f"{where(0)}: {name}: got numbers of mixed kinds, expected integers")


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "single"


def _shown(value: Any) -> str:
    """A value in few letters, whatever its size and depth."""
    if not isinstance(value, (list, tuple, dict)):
        return f"{type(value).__name__} {str(value)[:40]!r}"
    kind = "an object" if isinstance(value, dict) else "a list"
    if not value:
        return f"an empty {kind.split()[-1]}"
    if isinstance(value, dict):
        return f"an object with {', '.join(map(str, value))[:40]}"
    inner, seen = list(value[:_SEARCHED]), 0
    while inner and seen < _SEARCHED:
        each, seen = inner.pop(0), seen + 1
        if isinstance(each, (list, tuple)):
            inner += each[:_SEARCHED]
        elif type(each) not in (int, float) and each is not None:
            return f"{kind} with {_shown(each)}"
    return f"{kind} of {len(value)} that is no regular array of numbers"
