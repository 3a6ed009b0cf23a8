"""Files of detectors, built as their programs write them, come back as Human3.6M's joints."""

from __future__ import annotations

import csv
import json
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poseda.data import load_pose_set, pose_set_from_arrays, save_pose_set
from poseda.keypoints import JOINT_SETS, Keypoints, read_keypoints
from poseda_ext.skeleton import H36M_17

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.keypoint_files import SIZE, Array, detected, image, scores, walk

LIMBS = [
    H36M_17.names.index(f"{side}{part}")
    for side in "LR"
    for part in ("Hip", "Knee", "Foot", "Shoulder", "Elbow", "Wrist")
]
FRAMES = 12


WORLD = walk(FRAMES)


@pytest.fixture(scope="module")
def pose() -> Array:
    """(12, 17, 2) pixels."""
    return image(WORLD)


def mmpose_instance(points: Array, value: float = 0.9) -> dict[str, Any]:
    low, high = points.min(0), points.max(0)
    return {
        "keypoints": points.tolist(),
        "keypoint_scores": [value] * len(points),
        "bbox": [[*low, *high]],
        "bbox_score": 0.99,
    }


def mmpose_video(points: Array) -> list[Any]:
    return [
        {"frame_id": number, "instances": [mmpose_instance(each)]}
        for number, each in enumerate(points)
    ]


def mmpose_demo(points: Array, name: str) -> dict[str, Any]:
    joints = JOINT_SETS[name].joints
    return {
        "meta_info": {
            "dataset_name": name,
            "num_keypoints": len(joints),
            "keypoint_id2name": {str(number): joint for number, joint in enumerate(joints)},
        },
        "instance_info": mmpose_video(points),
    }


def openpose_frame(*people: Array, confidence: float = 0.8) -> dict[str, Any]:
    return {
        "version": 1.3,
        "people": [
            {
                "person_id": [-1],
                "pose_keypoints_2d": np.insert(each, 2, confidence, axis=1).ravel().tolist(),
                "face_keypoints_2d": [7.0, 8.0, 0.5] * 70,
                "hand_left_keypoints_2d": [],
                "pose_keypoints_3d": [],
            }
            for each in people
        ],
    }


def coco_results(points: Array, **more: Any) -> list[Any]:
    return [
        {
            "image_id": number,
            "category_id": 1,
            "keypoints": np.insert(each, 2, 0.7, axis=1).ravel().tolist(),
            "score": 0.98,
            **more,
        }
        for number, each in enumerate(points)
    ]


def alphapose(points: Array, idx: Any = 1) -> list[Any]:
    return [
        {**record, "image_id": f"{number}.jpg", "box": [0.0, 0.0, 9.0, 9.0], "idx": idx}
        for number, record in enumerate(coco_results(points))
    ]


def mediapipe(points: Array) -> list[Any]:
    return [
        {
            "pose_landmarks": [
                [
                    {"x": x / SIZE[0], "y": y / SIZE[1], "z": -0.1, "visibility": 0.95}
                    for x, y in each.tolist()
                ]
            ]
        }
        for each in points
    ]


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def write_openpose(folder: Path, points: Array) -> Path:
    folder.mkdir()
    for number, each in enumerate(points):
        write(folder / f"dance_{number:012d}_keypoints.json", openpose_frame(each))
    return folder


def write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def check(keypoints: Keypoints, pose: Array, joints: list[int] = LIMBS) -> None:
    """The joints that each set has are where they were, and the arrays make a pose set."""
    assert len(keypoints) == len(pose)
    np.testing.assert_allclose(keypoints.points[:, joints], pose[:, joints], atol=1e-9)
    assert np.isfinite(keypoints.points).all()
    assert keypoints.frame.tolist() == list(range(len(pose)))
    assert set(keypoints.clip) == {0}
    size = SIZE if keypoints.image_size is None else None
    arrays = keypoints.arrays((1500, 1500, 960, 540), size)
    poses = pose_set_from_arrays(arrays, name="test", skeleton=H36M_17)
    assert poses.about["min_confidence"] == 0.3


@pytest.mark.parametrize("name", ["coco_17", "wholebody_133", "halpe_26", "h36m_17", "halpe_136"])
def test_mmpose_demo(tmp_path: Path, pose: Array, name: str) -> None:
    path = write(tmp_path / "walk.json", mmpose_demo(detected(WORLD, name), name))
    keypoints = read_keypoints(path)
    check(keypoints, pose)
    assert set(keypoints.person) == {"walk/1"}
    assert set(keypoints.source) == {"walk"}
    np.testing.assert_array_equal(keypoints.confidence[:, LIMBS], 0.9)
    assert keypoints.image_size is None
    assert keypoints.fps == 0
    assert "mmpose" in keypoints.lines[0] and name in keypoints.lines[0]


@pytest.mark.parametrize("first", ["right", "left"])
def test_mmpose_names_of_human36m(tmp_path: Path, pose: Array, first: str) -> None:
    """Its version 0 called the right leg, which comes first, the left one."""
    legs = (first, "left" if first == "right" else "right")
    names = [
        "root",
        *(f"{side}_{part}" for side in legs for part in ("hip", "knee", "foot")),
        *("spine", "thorax", "neck_base", "head"),
        *(
            f"{side}_{part}"
            for side in ("left", "right")
            for part in ("shoulder", "elbow", "wrist")
        ),
    ]
    content = mmpose_demo(detected(WORLD, "h36m_17"), "h36m_17")
    content["meta_info"]["keypoint_id2name"] = {str(n): name for n, name in enumerate(names)}
    check(read_keypoints(write(tmp_path / "k.json", content)), pose, list(range(17)))


def test_mmpose_inferencer(tmp_path: Path, pose: Array) -> None:
    """No word of the joints: 17 are told apart by anatomy."""
    for name in ("coco_17", "h36m_17", "h36m_16"):
        path = write(tmp_path / f"{name}.json", mmpose_video(detected(WORLD, name)))
        keypoints = read_keypoints(path, image_size=SIZE, fps=25)
        check(keypoints, pose)
        assert name in keypoints.lines[0]
        assert keypoints.fps == 25


def test_mmpose_images(tmp_path: Path, pose: Array) -> None:
    """A list of instances a file; one image has nobody in it."""
    for number, each in enumerate(detected(WORLD, "coco_17")):
        write(tmp_path / f"img{number}.json", [mmpose_instance(each)])
    write(tmp_path / f"img{FRAMES}.json", [])
    keypoints = read_keypoints(tmp_path)
    check(keypoints, pose)
    assert set(keypoints.person) == {"img/1"}
    assert f"{FRAMES + 1} frames" in keypoints.lines[0]
    one = read_keypoints(tmp_path / "img3.json")
    assert len(one) == 1 and one.frame[0] == 3


def test_mmpose_result(tmp_path: Path, pose: Array) -> None:
    points = detected(WORLD, "coco_17")
    path = write(tmp_path / "r.json", {"predictions": [[mmpose_instance(each)] for each in points]})
    check(read_keypoints(path), pose)


@pytest.mark.parametrize("name", ["body_25", "coco_18"])
def test_openpose(tmp_path: Path, pose: Array, name: str) -> None:
    folder = write_openpose(tmp_path / "out", detected(WORLD, name))
    keypoints = read_keypoints(folder)
    check(keypoints, pose)
    assert set(keypoints.person) == {"dance/1"}
    check(read_keypoints(f"{folder}/*_keypoints.json"), pose)
    check(read_keypoints(sorted(folder.iterdir(), reverse=True)), pose)


def test_openpose_fractions(tmp_path: Path, pose: Array) -> None:
    folder = write_openpose(tmp_path / "out", detected(WORLD, "body_25") / SIZE)
    keypoints = read_keypoints(folder, image_size=SIZE)
    check(keypoints, pose)
    assert any("fractions of the image" in line for line in keypoints.lines)


def test_coco_results(tmp_path: Path, pose: Array) -> None:
    """In any order of the images."""
    results = coco_results(detected(WORLD, "coco_17"))
    check(read_keypoints(write(tmp_path / "coco.json", results[::-1])), pose)


@pytest.mark.parametrize("idx", [7, 7.0, [7], [[7.0]]])
def test_alphapose(tmp_path: Path, pose: Array, idx: Any) -> None:
    for name in ("coco_17", "halpe_26", "halpe_136"):
        path = write(tmp_path / "alphapose-results.json", alphapose(detected(WORLD, name), idx))
        keypoints = read_keypoints(path)
        check(keypoints, pose)
        assert set(keypoints.person) == {"alphapose-results/7"}


def test_alphapose_in_openpose_form(tmp_path: Path, pose: Array) -> None:
    points = detected(WORLD, "coco_18")
    frames = {f"{number}.jpg": openpose_frame(each) for number, each in enumerate(points)}
    check(read_keypoints(write(tmp_path / "a.json", frames)), pose)


def test_alphapose_names_of_images_are_videos(tmp_path: Path, pose: Array) -> None:
    records = alphapose(detected(WORLD, "coco_17"))
    for number, record in enumerate(records):
        record["image_id"] = f"{'ab'[number % 2]}/frame_{number // 2:05d}.png"
    keypoints = read_keypoints(write(tmp_path / "two.json", records))
    assert set(keypoints.source) == {"two/a/frame", "two/b/frame"}
    assert set(keypoints.clip) == {0, 1}


@pytest.mark.parametrize("form", ["python", "javascript", "protobuf", "person", "lists", "frames"])
def test_mediapipe(tmp_path: Path, pose: Array, form: str) -> None:
    frames: Any = mediapipe(detected(WORLD, "mediapipe_33"))
    people = [frame["pose_landmarks"] for frame in frames]
    if form == "javascript":
        frames = [{"landmarks": each, "worldLandmarks": each} for each in people]
    elif form == "protobuf":
        frames = [{"landmark": each[0]} for each in people]
    elif form == "person":
        frames = [each[0] for each in people]
    elif form == "lists":
        frames = [
            {"frame": number, "pose_landmarks": [[*mark.values()] for mark in each[0]]}
            for number, each in enumerate(people)
        ]
    elif form == "frames":
        frames = {"frames": [*frames, {"pose_landmarks": None}, {"pose_landmarks": []}]}
    keypoints = read_keypoints(write(tmp_path / "m.json", frames), image_size=SIZE)
    check(keypoints, pose)
    np.testing.assert_array_equal(keypoints.image_size, np.tile(SIZE, (FRAMES, 1)))


def test_csv_wide(tmp_path: Path, pose: Array) -> None:
    """Any order of the columns, and a set without its feet."""
    points, joints = detected(WORLD, "mediapipe_33"), JOINT_SETS["mediapipe_33"].joints
    order = [number for number in range(29, -1, -1)]
    header = ["Frame", "person", *(f"{joints[n]} {c}" for n in order for c in ("x", "y", "score"))]
    rows = [
        [number, "ann", *(v for n in order for v in (*map(repr, each[n].tolist()), 0.9))]
        for number, each in enumerate(points)
    ]
    keypoints = read_keypoints(write_csv(tmp_path / "k.csv", header, rows))
    check(keypoints, pose)
    assert set(keypoints.person) == {"k/ann"}


def test_csv_long(tmp_path: Path, pose: Array) -> None:
    joints = H36M_17.names
    rows = [
        [number, joints[joint], repr(float(x)), repr(float(y))]
        for number, each in enumerate(pose)
        for joint, (x, y) in enumerate(each)
    ]
    keypoints = read_keypoints(write_csv(tmp_path / "k.csv", ["frame", "joint", "x", "y"], rows))
    check(keypoints, pose, list(range(17)))


def test_npz(tmp_path: Path, pose: Array) -> None:
    path = tmp_path / "k.npz"
    np.savez(path, keypoints=pose, scores=scores(pose, 0.5), image_size=SIZE, fps=30.0)
    keypoints = read_keypoints(path)
    check(keypoints, pose, list(range(17)))
    assert keypoints.fps == 30
    assert set(keypoints.confidence.ravel()) == {0.5}
    names = np.asarray(JOINT_SETS["body_25"].joints)
    np.savez(path, points=np.insert(detected(WORLD, "body_25"), 2, 0.4, -1), joint_names=names)
    check(read_keypoints(path), pose)


def test_npz_of_several_people(tmp_path: Path, pose: Array) -> None:
    other = image(walk(FRAMES, seed=1, aside=1.0))
    both = np.stack((pose, other), axis=1)
    both[3:, 1] = np.nan
    np.savez(tmp_path / "k.npz", keypoints=both)
    keypoints = read_keypoints(tmp_path / "k.npz")
    assert keypoints.person.tolist() == ["k/0"] * FRAMES + ["k/1"] * 3
    np.testing.assert_array_equal(keypoints.points[:FRAMES], pose)
    np.testing.assert_array_equal(keypoints.points[FRAMES:], other[:3])


def test_videopose3d(tmp_path: Path, pose: Array) -> None:
    points = detected(WORLD, "coco_17").astype(np.float32).astype(np.float64)
    left = [1, 3, 5, 7, 9, 11, 13, 15]
    metadata = {
        "layout_name": "coco",
        "num_joints": 17,
        "keypoints_symmetry": [left, [joint + 1 for joint in left]],
        "video_metadata": {"me.mp4": {"w": SIZE[0], "h": SIZE[1]}},
    }
    path = tmp_path / "data_2d_custom_my.npz"
    np.savez_compressed(
        path,
        positions_2d=np.asarray({"me.mp4": {"custom": [points]}}, dtype=object),
        metadata=np.asarray(metadata, dtype=object),
    )
    keypoints = read_keypoints(path)
    assert keypoints.image_size is not None
    np.testing.assert_allclose(keypoints.points[:, LIMBS], pose[:, LIMBS], atol=1e-4)
    assert set(keypoints.person) == {"me.mp4"}
    assert set(keypoints.source) == {"data_2d_custom_my/me.mp4"}


def test_videopose3d_of_human36m(tmp_path: Path, pose: Array) -> None:
    """Cameras are videos of their own, people are the same in all."""
    metadata = {
        "num_joints": 17,
        "keypoints_symmetry": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]],
    }
    path = tmp_path / "data_2d_h36m_gt.npz"
    videos = {
        "S1": {"Walking": [pose, pose + 1], "Eating": [pose, pose[:-2]]},
        "S5": {"Eating": [pose]},
    }
    np.savez(
        path,
        positions_2d=np.asarray(videos, dtype=object),
        metadata=np.asarray(metadata, dtype=object),
    )
    keypoints = read_keypoints(path)
    assert len(keypoints) == 5 * FRAMES - 2
    assert sorted(set(keypoints.clip)) == [0, 1, 2, 3, 4]
    assert set(keypoints.person) == {"S1", "S5"}
    np.testing.assert_array_equal(keypoints.points[FRAMES : 2 * FRAMES], pose + 1)


def test_canonical_file_comes_back(tmp_path: Path, pose: Array) -> None:
    np.savez(
        tmp_path / "k.npz", keypoints=pose, scores=scores(pose, 0.5), image_size=SIZE, fps=30.0
    )
    first = read_keypoints(tmp_path / "k.npz")
    save_pose_set(tmp_path / "canonical.npz", first.arrays((1500, 1500, 960, 540)))
    again = read_keypoints(tmp_path / "canonical.npz")
    np.testing.assert_array_equal(again.points, pose.astype(np.float32))
    for key in ("confidence", "person", "clip", "frame", "image_size", "rate"):
        np.testing.assert_array_equal(getattr(again, key), getattr(first, key))
    assert len(load_pose_set(tmp_path / "canonical.npz")) == FRAMES


def test_a_pickle_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
            return (Path.touch, (tmp_path / "was-here",))  # type: ignore[return-value]

    path = tmp_path / "evil.npz"
    with zipfile.ZipFile(path, "w") as archive:
        header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"
        member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        archive.writestr("positions_2d.npy", member + pickle.dumps(Evil()))
    with pytest.raises(ValueError, match=r"evil\.npz.*nothing else is ever loaded"):
        read_keypoints(path)
    assert not (tmp_path / "was-here").exists()
