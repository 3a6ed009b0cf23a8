"""Lifted poses as one HTML page: an interactive 3D view that works offline, from a file.

The page holds its data, asks no server for anything, and needs a browser of 2023 or later. Colours
are those of `poseda.figures`.

It is drawn on a canvas by a script of our own (``viewer.js``) because plotly, which could be put
into a page too, cannot do this job. Measured with plotly 7.1 on two cores without a GPU: with its
own frames and slider, 1,000 frames of three people make 8.4 MB and open in 10 s, and 20,000 frames
make 76 MB that did not open in two minutes. For the drawing alone, below a decoder, player and
slider of our own, it adds 4.8 MB to every page, needs WebGL, opens in 5 s and draws a frame in
50 ms. With this script 20,000 frames of three people make about 3 MB, open in about a second and
show a frame some 40 ms after the slider moved.

The data are whole millimetres (so positions on the page are off by half a millimetre at most),
as differences from frame to frame, deflated.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import zlib
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from poseda.data.poseset import MIN_CONFIDENCE
from poseda.files import atomic_write
from poseda.outputs.poses import ASSUMED_FPS, Array, Known, Poses, checked
from poseda_ext.skeleton import Skeleton

_HERE = Path(__file__).parent
_PER_ROW = 6  # people side by side whose place is not known
_MAX_LINES = 60  # of the floor's grid, each way
_SAMPLED = 4000  # poses that decide what the view holds
_MARGIN = 0.3  # metres of floor around the people
_PERSON_RADIUS = 1.1  # metres around a hip that hold a person
_CLIP_NAME = 60  # letters
_MAX_FRAMES = 2**30  # apart, so that differences of them are whole numbers of 32 bits
_INPUT_STEPS = 1000  # in half the 2D box


def write_html(
    path: str | os.PathLike[str],
    pose3d: ArrayLike,
    skeleton: Skeleton,
    *,
    title: str = "",
    **known: Unpack[Known],
) -> None:
    """Write a page to look at lifted poses with, as a whole or not at all.

    With `root`, people are shown where they are, with their path on the floor; without, their
    hips stay in place, side by side. The floor is level in the camera frame, below the lowest
    joints. Of several clips the page shows the one that is chosen. With `pose2d` it shows the
    input too, and with `confidence` it marks the joints that were not seen. Where `fps` is not
    known it plays 25 frames a second.

    Args:
        path: ends in ``.html``; its folder must exist.
        pose3d: (N, J, 3) metres in the camera frame, relative to joint 0.
        skeleton: J joints.
        title: of the page; the file's name if empty. Any text is harmless here and in names.
        known: `person`, `clip`, `frame` and so on, as in `poseda.outputs.poses.Known`.

    Raises:
        TypeError, ValueError: as `poseda.outputs.poses.checked`, or if the path does not end in
            ``.html``.
        OSError: if the file cannot be written.
    """
    if Path(path).suffix not in (".html", ".htm"):
        raise ValueError(f"path: got {os.fspath(path)!r}, expected a name that ends in .html")
    poses = checked(pose3d, skeleton, **known)
    page = _page(title or Path(path).stem, _content(poses))
    with atomic_write(path) as temporary:
        temporary.write_bytes(page)


def _page(title: str, content: dict[str, Any]) -> bytes:
    """The page in ASCII. Its policy lets the browser run and load nothing but what is in it."""
    style, script = ((_HERE / name).read_text("ascii") for name in ("viewer.css", "viewer.js"))
    data = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":  # within JSON these stand in strings alone
        data = data.replace(letter, f"\\u{ord(letter):04x}")
    policy = (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"script-src {_hash(script)}; style-src {_hash(style)}"
    )
    parts = {
        "policy": policy,
        "title": html.escape(title),
        "style": style,
        "data": data,
        "script": script,
    }
    template = (_HERE / "viewer.html").read_text("ascii")
    whole = re.sub(r"@(\w+)@", lambda match: parts[match[1]], template)
    return whole.encode("ascii", "xmlcharrefreplace")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _content(poses: Poses) -> dict[str, Any]:
    """What the script draws; see ``viewer.js``."""
    skeleton = poses.skeleton
    return {
        "parents": skeleton.parents,
        "left": skeleton.left,
        "right": skeleton.right,
        "head": skeleton.names.index("Head") if "Head" in skeleton.names else -1,
        "fps": poses.fps,
        "playFps": poses.fps or ASSUMED_FPS,
        "absolute": poses.root is not None,
        "clips": [_clip(number, clip) for number, clip in poses.by_clip()],
    }


def _clip(number: int, poses: Poses) -> dict[str, Any]:
    frames = np.unique(poses.frame)
    if frames[-1] - frames[0] > _MAX_FRAMES:
        raise ValueError(
            f"frame: got {frames[0]} to {frames[-1]}, expected at most {_MAX_FRAMES} apart for a "
            "page"
        )
    box = _input_box(poses)
    offsets = _offsets(poses)
    people = []
    for name, mine in poses.by_person():
        person = {
            "name": name,
            "offset": offsets[name].tolist(),
            "at": _packed(np.searchsorted(frames, mine.frame)),
            "points": _packed(np.round(1000 * mine.points)),
        }
        if mine.confidence is not None:
            person["seen"] = _packed(mine.confidence >= MIN_CONFIDENCE)
        if mine.pose2d is not None and box is not None:
            person["pose2d"] = _packed(np.round(mine.pose2d / box["unit"]))
        people.append(person)
    names = ", ".join(filter(None, poses.people))
    return {
        "name": f"{number}: {names}"[:_CLIP_NAME] if names else str(number),
        "about": _about(poses, len(frames)),
        "first": int(frames[0]),
        "frames": _packed(frames - frames[0]),
        "people": people,
        "view": _view(poses, offsets),
        "input": box,
    }


def _about(poses: Poses, frames: int) -> str:
    people = len(poses.people)
    parts = [
        f"{people} people" if people > 1 else "",
        f"{frames:,} frame{'s' * (frames > 1)}",
        f"{poses.fps:g} frames per second" if poses.fps else "",
    ]
    if poses.root is None:
        parts.append("relative to the hip" + ", people side by side" * (people > 1))
    return ", ".join(part for part in parts if part)


def _packed(values: Array) -> dict[str, Any]:
    """Integers (N, ...) as text: differences along N with the sign in the lowest bit, a column
    after another, their bytes by weight, deflated, in base64. Decoded by ``unpack`` there."""
    table = values.reshape(len(values), -1).astype(np.int32)
    steps = np.diff(table, axis=0, prepend=np.int32(0))
    folded = (steps << 1) ^ (steps >> 31)
    planes = np.ascontiguousarray(folded.T, dtype="<i4").view(np.uint8).reshape(-1, 4).T
    data = base64.b64encode(zlib.compress(planes.tobytes()))
    return {"shape": table.shape, "data": data.decode()}


def _offsets(poses: Poses) -> dict[str, Array]:
    """(3,) metres that each person is moved by so that they do not stand in each other.

    Whose place is known stays there. The others get places side by side; who has gone leaves
    their place to the next.
    """
    if poses.root is not None:
        return dict.fromkeys(poses.people, np.zeros(3))
    width = 2 * float(np.quantile(np.abs(_sample(poses.points)[..., [0, 2]]), 0.995)) + _MARGIN
    last: list[int] = []  # frame in which each place becomes free
    places: dict[str, int] = {}
    for name, mine in sorted(poses.by_person(), key=lambda each: int(each[1].frame[0])):
        first, end = int(mine.frame[0]), int(mine.frame[-1])
        free = [place for place, until in enumerate(last) if until < first]
        places[name] = free[0] if free else len(last)
        last[places[name] : places[name] + 1] = [end]
    columns = min(len(last), _PER_ROW)
    across = {name: place % columns - (columns - 1) / 2 for name, place in places.items()}
    return {
        name: width * np.array([across[name], 0, place // columns])
        for name, place in places.items()
    }


def _sample(array: Array) -> Array:
    """Rows at random: at equal steps they could all be of one of several people in turn."""
    if len(array) <= _SAMPLED:
        return array
    return array[np.random.default_rng(0).choice(len(array), _SAMPLED, replace=False)]


def _view(poses: Poses, offsets: dict[str, Array]) -> dict[str, Any]:
    """What the first view holds, and the floor: metres, camera frame."""
    moved = np.stack([offsets[name] for name in poses.people])
    numbers = {name: number for number, name in enumerate(poses.people)}
    rows = _sample(np.arange(len(poses)))
    shift = moved[[numbers[name] for name in poses.person[rows].tolist()]]
    points = poses.points[rows] + shift[:, None]
    low, high = np.quantile(points.reshape(-1, 3), (0.005, 0.995), axis=0)
    floor = float(np.quantile(points[..., 1].max(1), 0.99)) + 0.03
    high[1] = max(high[1], floor)
    longest = float((high - low)[[0, 2]].max()) + 2 * _MARGIN
    step = next(
        step
        for power in range(12)
        for step in (0.5 * 10**power, 10.0**power, 2.5 * 10**power)
        if longest / step < _MAX_LINES
    )
    return {
        "centre": ((low + high) / 2).tolist(),
        "radius": max(0.5 * float(np.linalg.norm(high - low)), 0.3),
        "near": _PERSON_RADIUS,
        "floor": floor,
        "low": (np.floor((low[[0, 2]] - _MARGIN) / step) * step).tolist(),
        "high": (np.ceil((high[[0, 2]] + _MARGIN) / step) * step).tolist(),
        "step": step,
    }


def _input_box(poses: Poses) -> dict[str, Any] | None:
    """The square that holds the 2D poses: centre and half its side; `unit` is a step's pixels."""
    if poses.pose2d is None:
        return None
    points = _sample(poses.pose2d).reshape(-1, 2).astype(np.float64)
    low, high = np.quantile(points, (0.005, 0.995), axis=0)
    half = max(float((high - low).max()) / 2, 1e-6)
    return {"centre": ((low + high) / 2).tolist(), "half": half, "unit": half / _INPUT_STEPS}
