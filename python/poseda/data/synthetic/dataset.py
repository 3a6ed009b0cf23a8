"""Two synthetic domains: a source with labels and a target with other cameras, bodies, actions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseda.data.poseset import PoseSet, pose_set_from_arrays
from poseda.data.synthetic.actions import perform
from poseda.data.synthetic.body import BodyRange, Motion, forward_kinematics, sample_body
from poseda.data.synthetic.rigs import Camera, human36m_rig, mpi_inf_3dhp_rig
from poseda_ext.skeleton import H36M_16, Skeleton

SOURCE_ACTIONS = (
    "walk", "stand", "phone", "wave", "reach", "discuss", "photo", "sit", "drink", "bend",
)  # fmt: skip
TARGET_ACTIONS = (
    *2 * ("walk", "stand", "wave", "reach", "discuss", "sit", "bend"),
    "run", "squat", "lunge", "kick", "punch", "throw", "jump", "kneel", "stretch", "swing", "crawl",
    "lie",
)  # fmt: skip

#: Adults of average build.
SOURCE_PEOPLE = (BodyRange(),)
#: Small people with a broad frame, and tall ones with long limbs and a narrow frame.
TARGET_PEOPLE = (
    BodyRange(
        stature=(1.42, 1.60), legs=(0.91, 0.97), arms=(0.92, 0.99), trunk=(1.01, 1.07),
        shoulders=(1.02, 1.18), hips=(1.02, 1.20), head=(1.02, 1.15),
        shin_to_thigh=(0.95, 1.0), forearm_to_arm=(0.94, 1.0),
    ),
    BodyRange(
        stature=(1.82, 1.98), legs=(1.02, 1.08), arms=(1.01, 1.09), trunk=(0.93, 0.99),
        shoulders=(0.85, 1.0), hips=(0.82, 0.98), head=(0.86, 0.98),
        shin_to_thigh=(1.0, 1.05), forearm_to_arm=(1.0, 1.06),
    ),
)  # fmt: skip

#: what the sets say of themselves
ABOUT = np.asarray(
    json.dumps(
        {
            "dataset": "synthetic humans",
            "labels": "joints of the body model",
            "pose2d": "projection of the labels",
            "licence": "free: made by this program",
        }
    )
)

CLIP_FRAMES = 32
FPS = 10.0
MIN_DEPTH = 0.8  #: metres; a view with a joint nearer than this is left out
TEST_SHARE = 0.2  #: test poses per source train pose
TARGET_SHARE = 0.5  #: target train poses per source train pose


def make_source(seed: int = 0, frames: int = 40_000) -> dict[str, NDArray[Any]]:
    """The labelled source: average adults, everyday actions, Human3.6M's four cameras.

    Args:
        seed: the same seed gives the same arrays.
        frames: approximate number of train poses; a fifth as many test poses come with them.

    Returns:
        The arrays of a canonical file (`poseda.data.poseset`). Train and test have no person and
        no clip in common.
    """
    return _make_domain(
        np.random.default_rng([seed, 1]),
        prefix="source",
        rig=human36m_rig(),
        people=SOURCE_PEOPLE,
        actions=SOURCE_ACTIONS,
        train=frames,
        test=round(TEST_SHARE * frames),
        train_people=24,
        test_people=8,
    )


def make_target(seed: int = 0, frames: int = 20_000, test: int | None = None) -> dict[
    str, NDArray[Any]
]:  # fmt: skip
    """The target: small and tall people, sports and floor work, fourteen cameras at three heights.

    Args:
        seed: the same seed gives the same arrays.
        frames: approximate number of train poses.
        test: approximate number of test poses; 0.4 per train pose if None.

    Returns:
        The arrays of a canonical file, with `pose3d` for evaluation. Train and test have no
        person and no clip in common.
    """
    return _make_domain(
        np.random.default_rng([seed, 2]),
        prefix="target",
        rig=mpi_inf_3dhp_rig(),
        people=TARGET_PEOPLE,
        actions=TARGET_ACTIONS,
        train=frames,
        test=round(TEST_SHARE / TARGET_SHARE * frames) if test is None else test,
        train_people=24,
        test_people=12,
    )


def synthetic_pair(
    seed: int = 0, frames: int = 40_000, *, skeleton: Skeleton = H36M_16
) -> tuple[PoseSet, PoseSet]:
    """Source and target in memory, made from a seed.

    Args:
        seed: the same seed gives the same data.
        frames: approximate number of source train poses; the source has a fifth as many test
            poses, the target half as many train and a fifth as many test poses.
        skeleton: as in `poseda.data.load_pose_set`.

    Returns:
        The source and the target, both with 3D; an adaptation method must not read the target's.
    """
    source = pose_set_from_arrays(
        {**make_source(seed, frames), "about": ABOUT},
        name="synthetic source",
        skeleton=skeleton,
        need_pose3d=True,
    )
    target = pose_set_from_arrays(
        {**make_target(seed, round(TARGET_SHARE * frames)), "about": ABOUT},
        name="synthetic target",
        skeleton=skeleton,
        need_pose3d=True,
    )
    return source, target


def _make_domain(
    rng: np.random.Generator,
    *,
    prefix: str,
    rig: Sequence[Camera],
    people: Sequence[BodyRange],
    actions: Sequence[str],
    train: int,
    test: int,
    train_people: int,
    test_people: int,
) -> dict[str, NDArray[Any]]:
    if min(train, test) < 1:
        raise ValueError(f"frames: got {train} train and {test} test poses, expected 1 or more")
    parts = []
    first_clip = 0
    for split, poses, count in ((0, train, train_people), (1, test, test_people)):
        clips = max(1, round(poses / CLIP_FRAMES))
        part = _make_split(
            rng, f"{prefix}_{('train', 'test')[split]}", rig, people, actions,
            clips, count, first_clip,
        )  # fmt: skip
        part["split"] = np.full(len(part["clip"]), split, dtype=np.uint8)
        parts.append(part)
        first_clip += clips
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _make_split(
    rng: np.random.Generator,
    prefix: str,
    rig: Sequence[Camera],
    people: Sequence[BodyRange],
    actions: Sequence[str],
    clips: int,
    count: int,
    first_clip: int,
) -> dict[str, NDArray[Any]]:
    """Clips of `count` people that go through the actions in turn, seen by cameras in turn."""
    bodies = [sample_body(rng, people[number % len(people)]) for number in range(count)]
    # Every person does every action before an action comes again, in random order.
    plan = [(person, action) for action in actions for person in range(count)]
    chosen = [plan[number] for number in _in_turn(rng, len(plan), clips)]
    motions = [perform(action, rng, CLIP_FRAMES, FPS) for _, action in chosen]
    motion = Motion(
        np.concatenate([each.angles for each in motions]),
        np.concatenate([each.turn for each in motions]),
        np.concatenate([each.place for each in motions]),
        np.concatenate([each.lift for each in motions]),
    )
    person = np.repeat([person for person, _ in chosen], CLIP_FRAMES)
    world = forward_kinematics(
        motion,
        np.asarray([body.stature for body in bodies])[person],
        np.stack([body.bone_lengths for body in bodies])[person],
    )

    # One camera films a clip; the cameras take turns.
    films = _in_turn(rng, len(rig), clips)

    clip = np.repeat(np.arange(clips), CLIP_FRAMES)
    frame = np.tile(np.arange(CLIP_FRAMES), clips)
    action = np.asarray([action for _, action in chosen])[clip]
    rows = []
    for number, camera in enumerate(rig):
        sees = films[clip] == number
        pose = camera.to_camera(world[sees])
        point = camera.project(pose)
        inside = (point >= 0).all(axis=(1, 2)) & (point <= camera.image_size).all(axis=(1, 2))
        keep = inside & (pose[..., 2] > MIN_DEPTH).all(axis=1)
        kept = int(keep.sum())
        chosen_rows = np.flatnonzero(sees)[keep]
        rows.append(
            {
                "pose3d": pose[keep].astype(np.float32),
                "pose2d": point[keep].astype(np.float32),
                "intrinsics": np.tile(np.asarray(camera.intrinsics, np.float32), (kept, 1)),
                "image_size": np.tile(np.asarray(camera.image_size, np.int32), (kept, 1)),
                "camera": np.full(kept, number, dtype=np.int32),
                "camera_class": np.full(kept, camera.camera_class, dtype="U7"),
                "subject": np.asarray([f"{prefix}_{each}" for each in range(count)])[
                    person[chosen_rows]
                ],
                "action": action[chosen_rows],
                "clip": (first_clip + clip[chosen_rows]).astype(np.int32),
                "frame": frame[chosen_rows].astype(np.int32),
                "fps": np.full(kept, FPS, dtype=np.float32),
            }
        )
    return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}


def _in_turn(rng: np.random.Generator, choices: int, count: int) -> NDArray[np.int64]:
    """(count,) numbers below `choices`, in random order, each used before one comes again."""
    rounds = [rng.permutation(choices) for _ in range(-(-count // choices))]
    return np.concatenate(rounds)[:count]
