"""Finding the recordings of a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from poseda.data.mocap.acclaim import read_amc
from poseda.data.mocap.bvh import read_bvh
from poseda.data.mocap.clip import Clip, describe_file
from poseda.data.mocap.joints import read_joints
from poseda.data.mocap.markers import read_c3d

Format = Literal["auto", "bvh", "amc", "c3d", "npz"]
FORMATS: tuple[str, ...] = ("bvh", "amc", "c3d", "npz")


@dataclass(frozen=True)
class Recording:
    """One clip that is not read yet."""

    where: str
    subject: str
    read: Callable[[], Clip]


def find_recordings(source: Path, kind: Format) -> list[Recording]:
    """The recordings of a file or of a folder with its sub-folders, in the order of their names.

    Args:
        source: file or folder.
        kind: ending of the files, or auto where there is only one.

    Raises:
        FileNotFoundError: if there are none, or an AMC file has no ASF file.
        ValueError: if there are files of several formats.
    """
    if source.is_file():
        files = [source]
        folder = source.parent
    else:
        files = sorted(path for path in source.rglob("*") if path.is_file())
        folder = source
    by_kind = {each: [p for p in files if p.suffix.lower() == f".{each}"] for each in FORMATS}
    kinds = [each for each in FORMATS if by_kind[each] and kind in ("auto", each)]
    if not kinds:
        wanted = "bvh, asf and amc, c3d or npz" if kind == "auto" else kind
        raise FileNotFoundError(f"from: {source}: has no motion capture files ({wanted})")
    if len(kinds) > 1:
        raise ValueError(
            f"from: {source}: got files of the formats {', '.join(kinds)}; expected --format with "
            "one of them"
        )
    found: list[Recording] = []
    for path in by_kind[kinds[0]]:
        subject, action = describe_file(path, folder)
        if kinds[0] == "npz":
            found += [
                Recording(f"{path}: {clip.name}", clip.subject, partial(_same, clip))
                for clip in read_joints(path)
            ]
            continue
        if kinds[0] == "bvh":
            read = partial(read_bvh, path, subject, action)
        elif kinds[0] == "c3d":
            read = partial(read_c3d, path, subject, action)
        else:
            read = partial(read_amc, path, find_skeleton(path), subject, action)
        found.append(Recording(str(path), subject, read))
    return found


def _same(clip: Clip) -> Clip:
    return clip


def find_skeleton(amc: Path) -> Path:
    """The ASF file that belongs to an AMC file: in its folder, and either called as the AMC file
    begins (``02.asf``, ``02_01.amc``) or the only one.

    Raises:
        FileNotFoundError: if there is none; names both.
    """
    skeletons = sorted(path for path in amc.parent.iterdir() if path.suffix.lower() == ".asf")
    begins = [path for path in skeletons if amc.stem == path.stem
              or amc.stem.startswith(f"{path.stem}_")]  # fmt: skip
    if begins:
        return max(begins, key=lambda path: len(path.stem))
    if len(skeletons) == 1:
        return skeletons[0]
    expected = amc.stem.split("_")[0]
    raise FileNotFoundError(
        f"{amc}: has no skeleton beside it: got {len(skeletons)} .asf files, expected "
        f"{amc.parent / expected}.asf (mocap.cs.cmu.edu offers it beside the motions)"
    )
