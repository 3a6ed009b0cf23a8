"""Splits to develop methods on, so that the open benchmark's test part chooses nothing.

Each target is made of real motion whose people are given other proportions, before other cameras::

    python -m benchmarks.splits FOLDER/cmu.npz OUT

`cmu.npz` holds ``joints`` (F, 17, 3) in a world with z up, metres, and ``clip_start``,
``clip_len``, ``names``, ``subjects``, ``actions``, ``fps`` of each clip. ``unseen`` and
``unseen2`` were for one look each, when a method was done; both have been looked at.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.prepare.mocap import Mocap
from poseda_ext.skeleton import H36M_17

Array = NDArray[Any]

FPS = 10
TEST_PART = 0.3
IMAGE = (1280, 720)
#: percentile of the lowest joint's height in a clip that stays where it was
GROUND_PERCENTILE = 5


@dataclass(frozen=True)
class Split:
    """Some people, their proportions, and who looks at them."""

    subjects: tuple[str, ...]
    body: str = "own"
    rig: str = "human36m"
    test_part: float = TEST_PART


#: factors on the bones that end in these joints, left and right alike
BODIES: dict[str, dict[str, float]] = {
    "own": {},
    "small": {
        **{"Hip": 0.6, "Knee": 0.9, "Foot": 0.9, "Spine": 0.95, "Thorax": 0.95, "Head": 1.2},
        **{"Shoulder": 0.65, "Elbow": 0.85, "Wrist": 0.85},
    },
    "long": {
        **{"Hip": 1.2, "Knee": 1.12, "Foot": 1.12, "Spine": 0.92, "Thorax": 0.92, "Head": 0.9},
        **{"Shoulder": 1.15, "Elbow": 1.12, "Wrist": 1.1},
    },
    "stocky": {
        **{"Hip": 1.35, "Knee": 0.88, "Foot": 0.85, "Spine": 1.1, "Thorax": 1.05, "Head": 1.1},
        **{"Shoulder": 1.25, "Elbow": 0.9, "Wrist": 0.95},
    },
    "lanky": {
        **{"Hip": 0.9, "Knee": 1.15, "Foot": 1.1, "Spine": 1.05, "Head": 0.9},
        **{"Shoulder": 0.85, "Elbow": 1.1, "Wrist": 1.15},
    },
}
#: class, place, height looked at (at the middle), focal length over half the image's width
RIGS: dict[str, tuple[tuple[str, tuple[float, float, float], float, float], ...]] = {
    "room": (
        ("chest", (3.6, 0.4, 1.5), 0.9, 1.3),
        ("chest", (-2.6, 2.8, 1.3), 0.9, 1.3),
        ("knee", (0.5, -3.8, 0.4), 1.0, 1.2),
        ("knee", (2.4, 2.8, 0.3), 1.0, 1.2),
        ("ceiling", (-2.5, -2.0, 3.1), 0.9, 1.4),
        ("ceiling", (2.6, -2.2, 3.3), 0.8, 1.4),
    ),
    "hall": (
        ("high", (5.0, 1.0, 2.6), 0.9, 1.9),
        ("high", (-4.5, 2.8, 2.4), 0.9, 1.9),
        ("ground", (0.5, -4.8, 0.15), 1.1, 1.6),
        ("hip", (-4.4, -2.5, 1.1), 1.0, 1.7),
    ),
    "court": (
        ("balcony", (3.4, 3.4, 4.2), 0.8, 1.8),
        ("balcony", (-3.0, 3.8, 3.8), 0.9, 1.7),
        ("ground", (-4.2, -1.2, 0.2), 1.0, 1.3),
        ("eye", (1.0, -4.6, 1.7), 0.9, 1.5),
    ),
    "hangar": (
        ("gallery", (6.5, -1.0, 4.8), 0.7, 2.2),
        ("desk", (-3.0, -3.0, 0.75), 1.0, 1.3),
        ("door", (0.5, 4.2, 2.0), 0.95, 1.5),
        ("floor", (-4.5, 1.5, 0.3), 0.9, 1.5),
    ),
}
OTHERS = ("CMU_05", "CMU_127", "CMU_131", "CMU_135", "CMU_49")
SPLITS = {
    "dev_source": Split(("CMU_02", "CMU_03", "CMU_09", "CMU_14", "CMU_17"), test_part=0.2),
    "dev_small": Split(("CMU_16", "CMU_29"), "small", "room"),
    "dev_long": Split(("CMU_16", "CMU_29"), "long", "hall"),
    "unseen": Split(OTHERS, "stocky", "court"),
    "unseen2": Split(OTHERS, "lanky", "hangar"),
}


def with_body(joints: Array, body: str) -> Array:
    """(F, 17, 3) poses with other lengths and the same directions of their bones."""
    factors = {name: BODIES[body].get(name.lstrip("LR"), 1.0) for name in H36M_17.names}
    poses = joints.astype(np.float64)
    for joint in range(1, len(H36M_17.names)):
        parent = H36M_17.parents[joint]
        bone = joints[:, joint].astype(np.float64) - joints[:, parent]
        poses[:, joint] = poses[:, parent] + factors[H36M_17.names[joint]] * bone
    return poses


def _ground(poses: Array) -> float:
    """Where the lowest joint usually is."""
    return float(np.percentile(poses[..., 2].min(1), GROUND_PERCENTILE))


def rig_file(rig: str) -> dict[str, Any]:
    """A rig as `poseda.data.mocap.rig` reads it."""
    width, height = IMAGE
    return {
        "cameras": [
            {
                "class": kind,
                "position": place,
                "look_at": [0.0, 0.0, aim],
                "intrinsics": [focal * width / 2, focal * width / 2, width / 2, height / 2],
                "image_size": IMAGE,
            }
            for kind, place, aim, focal in RIGS[rig]
        ]
    }


def make_split(split: Split, recordings: Path, to: Path) -> None:
    """Writes one canonical file."""
    with np.load(recordings) as file, tempfile.TemporaryDirectory() as scratch:
        held = {name: file[name] for name in file.files}
        joints = held["joints"]
        poses = with_body(joints, split.body)
        for start, count in zip(held["clip_start"], held["clip_len"], strict=True):
            clip = slice(start, start + count)
            lowest = (
                np.percentile(each[clip, :, 2].min(1), GROUND_PERCENTILE)
                for each in (joints, poses)
            )
            poses[clip, :, 2] += next(lowest) - next(lowest)
        folder = Path(scratch)
        np.savez(folder / "cmu.npz", **{**held, "joints": poses.astype(np.float32)})
        rig = split.rig
        if rig in RIGS:
            rig = str(folder / f"{rig}.json")
            Path(rig).write_text(json.dumps(rig_file(split.rig)))
        Mocap(
            folder=folder,
            to=to,
            rig=rig,
            format="npz",
            fps=FPS,
            subjects=split.subjects,
            test_part=split.test_part,
        ).run()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.splits", description=__doc__)
    parser.add_argument("recordings", type=Path, help="cmu.npz")
    parser.add_argument("out", type=Path, help="folder for the files")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, split in SPLITS.items():
        make_split(split, arguments.recordings, arguments.out / f"{name}.npz")
        print(arguments.out / f"{name}.npz")


if __name__ == "__main__":
    main()
