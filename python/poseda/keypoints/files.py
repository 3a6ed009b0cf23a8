"""Which files there are, and which form they have."""

from __future__ import annotations

import contextlib
import gc
import glob
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from poseda.keypoints.detections import Detections
from poseda.keypoints.formats import arrays, coco, mediapipe, mmpose, openpose, tables
from poseda.keypoints.formats.common import Naming, numbered

Source = str | os.PathLike[str]
CONTAINERS = (
    "mmpose", "openpose", "coco", "alphapose", "mediapipe", "csv", "npz", "videopose3d",
    "canonical",
)  # fmt: skip
SUFFIXES = (".json", ".csv", ".npz")

#: A file that is one frame: whether its content is, and what reads a video of them
_FRAMES: tuple[tuple[Callable[[Any], bool], Callable[..., Detections]], ...] = (
    (openpose.is_frame, openpose.read),
    (mmpose.is_image, mmpose.read_images),
    (mediapipe.is_frame, mediapipe.read),
)


def find_files(source: Source | Sequence[Source]) -> list[Path]:
    """The files of a path, a folder, a glob pattern or a list of them, in natural order.

    Raises:
        FileNotFoundError: if there are none; says where.
    """
    if not isinstance(source, (str, os.PathLike)):
        found = [file for each in source for file in find_files(each)]
        if not found:
            raise FileNotFoundError("keypoints: got an empty list, expected files")
        return found
    path = Path(source)
    if path.is_dir():
        files = _natural(
            each for each in path.iterdir() if each.suffix.lower() in SUFFIXES and not each.is_dir()
        )
        expected = f"files that end in {', '.join(SUFFIXES)}"
    elif path.exists() or not glob.has_magic(str(source)):
        files, expected = [path] * path.exists(), "keypoints"
    else:
        files, expected = (
            _natural(each for each in map(Path, glob.glob(str(source))) if not each.is_dir()),
            "files of this pattern",
        )
    if not files:
        raise FileNotFoundError(f"{path}: no such files; expected {expected}")
    return files


def _natural(files: Iterable[Path]) -> list[Path]:
    """Sorted by name, numbers as numbers."""
    return sorted(
        files,
        key=lambda file: [
            (int(part), "") if part.isdigit() else (-1, part)
            for part in re.split(r"(\d+)", str(file))
        ],
    )


def read_files(files: Sequence[Path]) -> list[Detections]:
    """The videos in some files; files of one frame each are a video together.

    Raises:
        ValueError: if a file is none of the forms that are known; names it.
    """
    with _without_collection():
        return _read_files(files)


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Pauses the cyclic garbage collector, which doubles the time to build millions of lists."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read_files(files: Sequence[Path]) -> list[Detections]:
    found: list[Detections] = []
    single: dict[tuple[int, str], list[tuple[Path, Any]]] = {}
    for path in files:
        suffix = path.suffix.lower()
        naming = Naming(path.stem, str(path))
        if suffix == ".csv":
            found.append(tables.read(path, naming))
        elif suffix == ".npz":
            found += arrays.read(path, naming)
        elif suffix == ".json":
            content = _load(path)
            kind = next((n for n, (is_one, _) in enumerate(_FRAMES) if is_one(content)), None)
            if content == [] and len(files) > 1:  # an image without people
                kind = 1
            if kind is None:
                found += _read_json(content, naming)
            else:
                if openpose.is_frame(content):
                    content = openpose.body_alone(content)
                video = numbered(path.stem)[0]
                single.setdefault((kind, str(path.with_name(video))), []).append((path, content))
        else:
            raise ValueError(
                f"{path}: got a file that ends in {suffix or 'nothing'}, expected one of "
                f"{', '.join(SUFFIXES)}"
            )
    for (kind, prefix), frames in single.items():
        found.append(_from_frames(prefix, frames, _FRAMES[kind][1]))
    return found


def _from_frames(
    prefix: str, frames: list[tuple[Path, Any]], read: Callable[..., Detections]
) -> Detections:
    numbers = [numbered(path.stem)[1] for path, _ in frames]
    named = [number for number in numbers if number is not None]
    twice = len(set(named)) < len(named)
    if twice:
        raise ValueError(f"{prefix}*: got two files for a frame, expected one for each")
    if len(named) < len(numbers):
        named = list(range(len(frames)))
    order = sorted(range(len(frames)), key=lambda place: named[place])
    where = str(frames[0][0]) if len(frames) == 1 else f"{prefix}*{frames[0][0].suffix}"
    name = Path(prefix).name.rstrip("_-. ") or frames[0][0].parent.name
    return read(
        [frames[place][1] for place in order],
        [named[place] for place in order],
        Naming(name, where),
    )


def _load(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: if it is none, or nested too deeply, or holds numbers that are no numbers.
    """
    try:
        with path.open("rb") as file:
            return json.load(file)
    except RecursionError:
        raise ValueError(f"{path}: got JSON that is nested too deeply for keypoints") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: got no text ({error.reason}), expected JSON") from error
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}: got no readable JSON (line {error.lineno}, column {error.colno}: "
            f"{error.msg}); is the file complete?"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: got no readable JSON ({error})") from error


def _read_json(content: Any, naming: Naming) -> list[Detections]:
    if coco.is_results(content):
        return coco.read(content, naming)
    if mmpose.is_video(content) or mmpose.is_result(content):
        return [mmpose.read(content, naming)]
    if openpose.is_frames(content):
        return _openpose_frames(content, naming)
    if mediapipe.is_frames(content):
        return [mediapipe.read_video(content, naming)]
    if not content:
        raise ValueError(f"{naming.where}: got an empty file, expected keypoints of people")
    raise ValueError(
        f"{naming.where}: got {_outline(content)}, expected keypoints as MMPose, OpenPose, COCO "
        "results, AlphaPose or MediaPipe have them"
    )


def _openpose_frames(content: dict[str, Any], naming: Naming) -> list[Detections]:
    """AlphaPose's ``--format open``: one file with a frame for each image."""
    numbers = [numbered(Path(name).stem)[1] for name in content]
    frames = [place if number is None else number for place, number in enumerate(numbers)]
    if len(set(frames)) < len(frames):
        frames = list(range(len(frames)))
    return [openpose.read(list(content.values()), frames, naming)]


def _outline(content: Any) -> str:
    """What a JSON file holds, in few words."""
    if isinstance(content, dict):
        return f"an object with {', '.join(sorted(map(str, content))[:5])[:100]}"
    if isinstance(content, list):
        inner = content[0] if content else None
        return f"a list of {_outline(inner) if isinstance(inner, dict) else type(inner).__name__}"
    return type(content).__name__
