"""People told apart, joints that were not seen filled in, and the canonical file of it all."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from poseda.cli import main
from poseda.data import load_pose_set, pose_set_from_arrays
from poseda.keypoints import Keypoints, read_keypoints
from poseda.keypoints.fill import MIN_JOINTS, complete, fill_in_time, from_body, max_gap
from poseda.keypoints.track import track
from poseda_ext.skeleton import H36M_17

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.keypoint_files import INTRINSICS, SIZE, Array, detected, image, walk

AT = {name: number for number, name in enumerate(H36M_17.names)}
SEEN = 0.9


def save(path: Path, points: Array, confidence: Array | None = None, **more: Any) -> Path:
    """(T, 17, 2), a person alone, or (T, P, 17, 2)."""
    confidence = np.full(points.shape[:-1], SEEN) if confidence is None else confidence
    np.savez(path, keypoints=points, scores=confidence, joint_set="h36m_17", **more)
    return path


def video(path: Path, frames: list[list[Array]], first: int = 0) -> Path:
    """MMPose's form, without identities: people of each frame."""
    content = [
        {
            "frame_id": first + number,
            "instances": [
                {"keypoints": each.tolist(), "keypoint_scores": [SEEN] * len(each)}
                for each in people
            ],
        }
        for number, people in enumerate(frames)
    ]
    path.write_text(json.dumps(content))
    return path


# ------------------------------------------------------------------------------------ who is who


@pytest.fixture(scope="module")
def people() -> list[Array]:
    """Three walkers side by side, (30, 17, 2) each."""
    return [detected(walk(30, seed=seed, aside=seed - 1.0), "coco_17") for seed in range(3)]


def whole(keypoints: Keypoints, person: str) -> Array:
    picked: Array = keypoints.points[keypoints.person == person]
    return picked


def test_people_are_followed_in_any_order_of_a_frame(tmp_path: Path, people: list[Array]) -> None:
    rng = np.random.default_rng(0)
    frames = [[people[p][t] for p in rng.permutation(3)] for t in range(30)]
    keypoints = read_keypoints(video(tmp_path / "v.json", frames))
    assert sorted(set(keypoints.person)) == ["v/1", "v/2", "v/3"]
    assert (np.diff(keypoints.clip) >= 0).all()
    wrists = [people[p][:, 9] for p in range(3)]
    for person in ("v/1", "v/2", "v/3"):
        wrist = whole(keypoints, person)[:, AT["LWrist"]]
        assert sum(np.allclose(wrist, each) for each in wrists) == 1
    again = read_keypoints(tmp_path / "v.json")
    np.testing.assert_array_equal(again.person, keypoints.person)


def test_somebody_comes_back_after_a_short_gap_only(tmp_path: Path, people: list[Array]) -> None:
    def seen(gap: range) -> set[str]:
        frames = [[people[0][t]] * (t not in gap) + [people[2][t]] for t in range(30)]
        keypoints = read_keypoints(video(tmp_path / "v.json", frames), fps=10)
        return {str(name) for name in keypoints.person}

    assert seen(range(10, 14)) == {"v/1", "v/2"}
    assert seen(range(10, 15)) == {"v/1", "v/2", "v/3"}


def test_who_jumps_is_somebody_new() -> None:
    points = np.stack([image(walk(10))[0]] * 10)
    points[5:] += 500
    number = track(points, np.ones((10, 17), bool), np.arange(10), 5)
    assert number.tolist() == [0] * 5 + [1] * 5


def test_tracking_takes_the_nearest_first() -> None:
    body = image(walk(1))[0]
    size = float((body.max(0) - body.min(0)).mean())
    at = np.asarray([0.0, 0.3, 0.25, 0.05])  # in sizes; frame 0 has two, frame 1 has two
    points = body + (at * size)[:, None, None] * np.asarray([1.0, 0.0])
    number = track(points, np.ones((4, 17), bool), np.asarray([0, 0, 1, 1]), 5)
    assert number.tolist() == [0, 1, 1, 0]


def test_tracking_agrees_with_a_plain_loop() -> None:
    """Many people of any distance: the same as without blocks of pairs."""
    rng = np.random.default_rng(0)
    count = 400
    frame = np.sort(rng.integers(0, 90, count))
    body = rng.uniform(0, 100, (1, 17, 2))
    points = body + rng.uniform(0, 90, (count, 1, 2)) + rng.normal(0, 10, (count, 17, 2))
    seen = rng.random((count, 17)) < 0.8
    number = track(points, seen, frame, 3)
    expected = np.full(count, -1)
    people = 0
    for now in np.unique(frame):
        rows = np.flatnonzero(frame == now)
        pairs = []
        for person in range(people):
            last = int(np.flatnonzero(expected == person)[-1])
            if now - frame[last] <= 3:
                for row in rows:
                    pairs.append((apart(points, seen, last, int(row)), person, row))
        for gap, person, row in sorted(pairs):
            if gap <= 0.4 and expected[row] < 0 and person not in expected[rows]:
                expected[row] = person
        for row in rows:
            if expected[row] < 0:
                expected[row] = people
                people += 1
    np.testing.assert_array_equal(number, expected)
    assert 40 < people < 350


def apart(points: Array, seen: NDArray[np.bool_], first: int, second: int) -> float:
    both = seen[first] & seen[second]

    def size(row: int) -> float:
        used = points[row][seen[row]]
        return float((used.max(0) - used.min(0)).mean())

    gap = np.linalg.norm(points[first] - points[second], axis=-1)[both].mean()
    return float(gap / max(size(first), size(second)))


def test_the_most_seen_people_are_kept(tmp_path: Path, people: list[Array]) -> None:
    frames = [[people[0][t]] * (t < 8) + [people[2][t]] for t in range(30)]
    keypoints = read_keypoints(video(tmp_path / "v.json", frames), max_people=1)
    assert set(keypoints.person) == {"v/2"} and len(keypoints) == 30
    assert any("1 people dropped: others" in line for line in keypoints.lines)


def test_clips_of_several_files_are_apart(tmp_path: Path, people: list[Array]) -> None:
    for name in "ab":
        video(tmp_path / f"{name}.json", [[each] for each in people[0]])
    keypoints = read_keypoints(tmp_path)
    assert sorted(set(zip(keypoints.person, keypoints.clip, strict=True))) == [
        ("a/1", 0),
        ("b/1", 1),
    ]
    assert set(keypoints.source) == {"a", "b"}


# ------------------------------------------------------------------------------ what was not seen


def test_short_gaps_are_filled_in_time(tmp_path: Path) -> None:
    points = np.repeat(image(walk(1)), 40, axis=0) + np.arange(40)[:, None, None]  # straight lines
    confidence = np.full((40, 17), SEEN)
    wrist = AT["LWrist"]
    confidence[10:14, wrist] = 0.2
    confidence[25:30, wrist] = 0.2
    hidden = points.copy()
    hidden[confidence < 0.3] = 7.0
    keypoints = read_keypoints(save(tmp_path / "k.npz", hidden, confidence, fps=10.0))
    np.testing.assert_allclose(keypoints.points[:25], points[:25], atol=1e-9)
    assert np.abs(keypoints.points[25:30, wrist] - points[25:30, wrist]).min() > 1  # 6 frames apart
    np.testing.assert_array_equal(keypoints.confidence, confidence)
    assert keypoints.about["filled"] == {"in time": 4, "from the body": 5}
    poses = pose_set_from_arrays(keypoints.arrays(INTRINSICS, SIZE), name="x", skeleton=H36M_17)
    assert poses.seen is not None
    np.testing.assert_array_equal(poses.seen.numpy(), confidence >= 0.3)


def test_gap_is_half_a_second_or_ten_frames() -> None:
    assert [max_gap(fps) for fps in (0, 1, 10, 25, 30, 60)] == [10, 1, 5, 12, 15, 30]


def test_time_does_not_cross_people_and_counts_frames() -> None:
    points = np.zeros((6, 1, 2))
    points[:, 0, 0] = [0, 5, 8, 10, 5, 20]
    seen = np.asarray([[1], [0], [0], [1], [0], [1]], dtype=bool)
    clip = np.asarray([0, 0, 0, 0, 0, 1])
    filled = fill_in_time(points, seen, clip, np.asarray([0, 1, 4, 5, 6, 7]), np.full(6, 5))
    assert filled[:, 0].tolist() == [False, True, True, False, False, False]
    assert points[:, 0, 0].tolist() == [0, 2, 8, 10, 5, 20]


@pytest.mark.parametrize(
    ("hidden", "near"),
    [
        (["LWrist"], 0.45), (["LWrist", "LElbow"], 0.6), (["RFoot"], 0.4),
        (["RFoot", "RKnee"], 0.6),
        (["LHip"], 0.15), (["LHip", "Hip", "Spine"], 0.25), (["Thorax", "RShoulder"], 0.3),
        (["Head"], 0.15), (["Head", "Neck/Nose"], 0.2), (["Spine"], 0.1),
        (["LKnee", "RKnee", "LFoot", "RFoot"], 0.6), (["LWrist", "RWrist"], 0.5),
    ],
)  # fmt: skip
def test_a_hidden_joint_is_placed_near_where_it_is(hidden: list[str], near: float) -> None:
    """Metres, on average over a walk. Rough places are enough: these joints stay masked."""
    points = image(walk(40))
    known = np.ones((40, 17), dtype=bool)
    known[:, [AT[name] for name in hidden]] = False
    broken = np.where(known[..., None], points, np.nan)
    assert complete(known).all()
    filled = from_body(broken, known)
    np.testing.assert_array_equal(filled[known], points[known])
    error = np.linalg.norm(filled - points, axis=-1)[:, [AT[name] for name in hidden]]
    assert (error * 5 / INTRINSICS[0]).mean() < near


def test_every_set_of_hidden_joints_that_is_kept_can_be_filled() -> None:
    rng = np.random.default_rng(0)
    points = np.repeat(image(walk(40)), 50, axis=0)
    known = rng.random((2000, 17)) < 0.75
    known = known[complete(known)]
    filled = from_body(np.where(known[..., None], points[: len(known)], np.nan), known)
    assert np.isfinite(filled).all()
    assert 500 < len(known) < 2000
    assert np.abs(filled).max() < 5000


def test_mirrored_bodies_are_filled_alike() -> None:
    rng = np.random.default_rng(1)
    points = image(walk(40))
    known = rng.random((40, 17)) < 0.8
    known |= ~complete(known)[:, None]
    flip = np.asarray([-1.0, 1.0])
    order = list(H36M_17.mirrored)
    mirrored = from_body((points * flip)[:, order], known[:, order])
    np.testing.assert_allclose(mirrored[:, order] * flip, from_body(points, known), atol=1e-9)


def test_incomplete_people_are_dropped_and_counted(tmp_path: Path) -> None:
    points = image(walk(10))
    confidence = np.full((10, 17), SEEN)
    confidence[2, [AT["LHip"], AT["RHip"]]] = 0
    confidence[5, [AT["LShoulder"], AT["RShoulder"]]] = 0
    many = [name for name in AT if name not in ("RHip", "RShoulder")][: 17 - MIN_JOINTS + 1]
    confidence[8, [AT[name] for name in many]] = 0
    confidence[9] = 0
    # so far apart that nothing is filled in time
    path = save(tmp_path / "k.npz", points, confidence, frame=np.arange(10) * 100)
    keypoints = read_keypoints(path)
    assert (keypoints.frame / 100).tolist() == [0, 1, 3, 4, 6, 7]
    assert keypoints.about["dropped"] == 3
    assert any("3 people in frames were dropped: no hip" in line for line in keypoints.lines)
    assert any(
        "1 people in frames were dropped: no joint was seen" in line for line in keypoints.lines
    )


def test_nan_and_zero_are_not_seen(tmp_path: Path) -> None:
    points = image(walk(20))
    points[3, AT["LWrist"]] = np.nan
    points[7, AT["RFoot"]] = 0
    confidence = np.full((20, 17), SEEN)
    confidence[11, AT["Head"]] = np.nan
    keypoints = read_keypoints(save(tmp_path / "k.npz", points, confidence))
    assert np.isfinite(keypoints.points).all()
    zero = np.argwhere(keypoints.confidence == 0).tolist()
    assert zero == [[3, AT["LWrist"]], [7, AT["RFoot"]], [11, AT["Head"]]]


def test_what_is_far_outside_the_image_is_not_seen(tmp_path: Path) -> None:
    points = image(walk(20))
    points[4, AT["LWrist"]] = (-3000.0, 200.0)
    points[5, AT["LWrist"]] = (-30.0, 200.0)
    keypoints = read_keypoints(save(tmp_path / "k.npz", points, image_size=SIZE))
    assert keypoints.confidence[4, AT["LWrist"]] == 0
    assert keypoints.confidence[5, AT["LWrist"]] == SEEN
    assert any("1 joints lie far outside" in line for line in keypoints.lines)
    pose_set_from_arrays(keypoints.arrays(INTRINSICS), name="x")


def test_low_confidences_are_warned_of(tmp_path: Path) -> None:
    points = image(walk(20))
    confidence = np.random.default_rng(0).uniform(0.1, 0.5, (20, 17))
    path = save(tmp_path / "k.npz", points, confidence)
    assert any("try min_confidence" in line for line in read_keypoints(path).lines)
    keypoints = read_keypoints(path, min_confidence=0.05)
    assert not any("try min_confidence" in line for line in keypoints.lines)
    np.testing.assert_array_equal(keypoints.points, points)


# ----------------------------------------------------------------------------- canonical files


def test_prepare_writes_a_canonical_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], people: list[Array]
) -> None:
    video(tmp_path / "dance.json", [[each] for each in people[1]])
    to = tmp_path / "dance.npz"
    arguments = ["prepare", "keypoints", "--from", str(tmp_path / "dance.json"), "--to", str(to)]
    main([*arguments, "--camera", "f=1500", "--image-size", "1920x1080", "--fps", "30"])
    poses = load_pose_set(to)
    assert len(poses) == 30
    assert set(poses.subject) == {"dance/1"}
    assert set(poses.fps.tolist()) == {30.0}
    assert poses.about["min_confidence"] == 0.3
    assert "labels" in poses.about and "licence" in poses.about
    printed = capsys.readouterr().out
    assert "Head <- -0.05 left_shoulder" in printed and "focal length 1500" in printed
    with pytest.raises(SystemExit):
        main(arguments)
    assert "image_size: got none" in capsys.readouterr().err


def test_prepare_keeps_the_threshold(tmp_path: Path) -> None:
    points = image(walk(20))
    confidence = np.random.default_rng(0).uniform(0.0, 0.5, (20, 17))
    save(tmp_path / "k.npz", points, confidence, image_size=SIZE)
    main(["prepare", "keypoints", "--from", str(tmp_path / "k.npz"), "--to",
          str(tmp_path / "c.npz"), "--min-confidence", "0.1"])  # fmt: skip
    poses = load_pose_set(tmp_path / "c.npz", skeleton=H36M_17)
    assert poses.seen is not None
    np.testing.assert_array_equal(poses.seen.numpy(), confidence >= 0.1)


def test_prepare_undoes_the_lens(tmp_path: Path) -> None:
    from poseda.cameras import distort_points, parse_camera

    lens = parse_camera("1500,1500,960,540", SIZE, distortion="-0.2,0.1,0.001,0.001")
    points = image(walk(20))
    save(tmp_path / "k.npz", distort_points(points, lens), image_size=SIZE)
    main(["prepare", "keypoints", "--from", str(tmp_path / "k.npz"), "--to",
          str(tmp_path / "c.npz"), "--camera", "1500,1500,960,540",
          "--distortion=-0.2,0.1,0.001,0.001"])  # fmt: skip
    with np.load(tmp_path / "c.npz") as file:
        np.testing.assert_allclose(file["pose2d"], points, atol=1e-3)
