"""Each thing that can be wrong with keypoints has one error, which names file and place."""

from __future__ import annotations

import copy
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poseda.keypoints import JOINT_SETS, read_keypoints

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.keypoint_files import SIZE, Array, detected, image, walk

FRAMES = 6
POINTS = detected(walk(FRAMES), "coco_17")


def video() -> list[Any]:
    """MMPose's form, two people a frame."""
    return [
        {
            "frame_id": number,
            "instances": [
                {"keypoints": (each + shift).tolist(), "keypoint_scores": [0.9] * 17}
                for shift in (0, 600)
            ],
        }
        for number, each in enumerate(POINTS)
    ]


def results(points: Array = POINTS, **more: Any) -> list[Any]:
    return [
        {
            "image_id": f"{number}.jpg",
            "category_id": 1,
            "keypoints": np.insert(each, 2, 0.9, axis=1).ravel().tolist(),
            "score": 1.0,
            **more,
        }
        for number, each in enumerate(points)
    ]


def openpose(points: Array) -> dict[str, Any]:
    return {
        "version": 1.3,
        "people": [{"pose_keypoints_2d": np.insert(points, 2, 0.9, axis=1).ravel().tolist()}],
    }


def landmarks(points: Array) -> list[Any]:
    return [
        {"pose_landmarks": [[{"x": x, "y": y, "visibility": 1.0} for x, y in each]]}
        for each in points.tolist()
    ]


def refused(path: Path, match: str, **settings: Any) -> str:
    with pytest.raises(ValueError, match=match) as caught:
        read_keypoints(path, **settings)
    message = str(caught.value)
    assert path.name.split("*")[0] in message
    assert len(message) < 600
    return message


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def change(place: tuple[Any, ...], value: Any) -> Callable[[Any], Any]:
    """Puts a value at a place in a nested structure."""

    def apply(content: Any) -> Any:
        inner = content
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        return content

    return apply


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda c: [], "empty file"),
        (lambda c: {}, "empty file"),
        (lambda c: None, "empty file"),
        (lambda c: 7, "got int, expected keypoints as"),
        (lambda c: '"text"', "got str, expected keypoints as"),
        (lambda c: [1, 2], "got a list of int"),
        (lambda c: {"a": 1}, "got an object with a, expected"),
        (lambda c: [{**frame, "instances": []} for frame in c], "no people in 6 frames"),
        (lambda c: {"instance_info": 3}, "instance_info: got no list"),
        (change((2, "instances"), {}), "frame 2: got no list"),
        (change((2, "instances", 0), 5), "instance 4: got int, expected an object"),
        (change((2,), []), "frame 2: got list, expected an object"),
        (lambda c: [c[0], {"frame_id": 1}], "frame 1: has no 'instances'"),
        (change((4, "instances", 0), {"keypoints": [[1, 2]] * 17}), "has no 'keypoint_scores'"),
        (change((3, "instances", 1, "keypoints"), [[1, 2]] * 16), "frame 3: keypoints: got 16 x 2"),
        (change((3, "instances", 1, "keypoints"), [[1, 2, 3]] * 17), "frame 3: .*17 x 3 .*17 x 2"),
        (change((3, "instances", 1, "keypoints"), []), "frame 3: keypoints"),
        (change((3, "instances", 1, "keypoints"), [[1, "2"]] * 17), "frame 3.*a list with str '2'"),
        (change((3, "instances", 1, "keypoints"), [[1, [2]]] * 17), "frame 3: keypoints"),
        (change((3, "instances", 1, "keypoints"), {"x": 1}), "frame 3: keypoints: got an object"),
        (change((3, "instances", 1, "keypoints"), "x" * 10**6), "frame 3: keypoints: got str"),
        (change((1, "instances", 0, "keypoints", 4), [1e300, 5]), "frame 1: joint 4: got 1e\\+300"),
        (change((1, "instances", 0, "keypoints", 4), [5, -1e7]), "frame 1: joint 4: got 5, -1e"),
        (change((1, "instances", 0, "keypoints", 4), [10**400, 5]), "frame 1: keypoints"),
        (change((1, "instances", 0, "keypoints", 4), [1, float("inf")]), "frame 1: joint 4: got 1"),
        (change((1, "instances", 0, "keypoint_scores", 4), 77), "frame 1: .* confidence 77"),
        (change((1, "instances", 0, "keypoint_scores"), [0.5] * 16), "frame 1: keypoint_scores: "),
        (change((1, "frame_id"), 5), "frame 2: frame_id: got 2 after 5"),
        (change((1, "frame_id"), 0), "frame_id: got 0 after 0"),
        (change((1, "frame_id"), "1"), "frame 1: frame_id: got str '1', expected an integer"),
        (change((1, "frame_id"), 1.5), "frame_id: got float"),
        (change((1, "frame_id"), 10**30), "frame 1: frame_id: got int"),
        (change((0, "instances", 0, "track_id"), 4), "track_id: got none in 11 of 12"),
    ],
)  # fmt: skip
def test_mmpose(tmp_path: Path, edit: Callable[[Any], Any], match: str) -> None:
    refused(write(tmp_path / "walk.json", edit(video())), match)


def test_wrong_numbers_of_joints(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    for count in (1, 5, 19, 21, 100):
        points = np.tile(POINTS, (1, 6, 1))[:, :count]
        refused(write(path, results(points)), f"got {count} joints, expected one of 17 \\(coco_17")
    refused(write(path, results()), "got 17 joints, expected 25 as body_25", format="body_25")
    joints = {str(number): f"joint {number}" for number in range(17)}
    meta = {"meta_info": {"keypoint_id2name": joints}, "instance_info": video()}
    refused(write(path, meta), "joint 0, joint 1, .* which are in the order of none")


def test_mixed_joint_sets(tmp_path: Path) -> None:
    mixed = [*results(), *results(detected(walk(2), "halpe_26"))]
    refused(write(tmp_path / "r.json", mixed), "record 6.*got 78 numbers, expected 51.*mixed")


def test_seventeen_joints_of_neither_set(tmp_path: Path) -> None:
    frames = video()
    for frame in frames:
        for person in frame["instances"]:
            person["keypoints"] = person["keypoints"][::-1]
    path = write(tmp_path / "k.json", frames)
    refused(path, "look like none of coco_17, h36m_17; say which")
    assert len(read_keypoints(path, format="coco_17")) == 12


def test_sixteen_joints_of_another_set(tmp_path: Path) -> None:
    """MPII has 16 too: its first is an ankle."""
    points = image(walk(FRAMES))
    mpii = points[:, [3, 2, 1, 4, 5, 6, 0, 8, 9, 10, 16, 15, 14, 11, 12, 13]]
    path = tmp_path / "k.npz"
    np.savez(path, keypoints=mpii)
    refused(path, "look like none of h36m_16")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "no readable JSON \\(line 1, column 1"),
        ("[[[", "no readable JSON"),
        (json.dumps(video())[:-700], "no readable JSON .*is the file complete"),
        ("[" * 200_000, "nested too deeply"),
        ("[" * 900 + "]" * 900, "expected keypoints as"),
        ('{"people": ' * 100_000, "nested too deeply"),
        ("[" + "9" * 5000 + "]", "no readable JSON .*4300"),
        ("\x00\x01", "no readable JSON"),
    ],
)
def test_no_json(tmp_path: Path, content: str, match: str) -> None:
    refused(write(tmp_path / "k.json", content), match)


def test_no_text(tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    path.write_bytes(b"\xff\xfe\xfa" * 9)
    refused(path, "no text|no readable JSON")


def test_nesting_within_keypoints(tmp_path: Path) -> None:
    """Deep enough to trouble what walks it, not the parser."""
    deep: Any = 1.0
    for _ in range(400):
        deep = [deep]
    refused(write(tmp_path / "a.json", change((1, "instances", 0, "keypoints"), deep)(video())),
            "frame 1: keypoints")  # fmt: skip
    refused(write(tmp_path / "b.json", [{"pose_landmarks": deep}] * 3), "frame 0")
    refused(write(tmp_path / "c.json", deep), "expected keypoints as")


def test_coco_results(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    good = results()
    refused(write(path, [*good, {"image_id": "9.jpg"}]), "record 6: has no 'keypoints'")
    refused(write(path, [*good, 4]), "record 6: got int")
    refused(write(path, [*good, {**good[0], "image_id": 3}]), "record 6: image_id: got int")
    refused(
        write(path, [{**each, "image_id": None} for each in good]), "record 0: image_id: got None"
    )
    bad = copy.deepcopy(good)
    bad[2]["keypoints"] = bad[2]["keypoints"][:-1]
    refused(write(path, bad), r"record 2 \(image 2.jpg\): keypoints: got 50 numbers, expected 51")
    refused(write(path, results()[:0] or [{**each, "keypoints": [1.0] * 50} for each in good]),
            "got 50 numbers for a person")  # fmt: skip
    refused(
        write(path, [*results(idx=5), {**good[2], "idx": 5}, {**good[2], "idx": 6}]),
        "frame 2: got person 5 more than once",
    )


def test_one_identity_for_all_is_none(tmp_path: Path) -> None:
    """AlphaPose without tracking."""
    both = [*results(idx=0.0), *results(POINTS + 500.0, idx=0.0)]
    keypoints = read_keypoints(write(tmp_path / "r.json", both))
    assert sorted(set(keypoints.person)) == ["r/1", "r/2"]


def test_openpose(tmp_path: Path) -> None:
    points = detected(walk(FRAMES), "body_25")
    folder = tmp_path / "out"
    folder.mkdir()
    for number, each in enumerate(points):
        write(folder / f"v_{number:012d}_keypoints.json", openpose(each))
    bad = folder / "v_000000000003_keypoints.json"
    for content, match in (
        ({"people": 3}, "v_\\*.json: frame 3: people: got int"),
        ({"people": [3]}, "frame 3: person 0: got int"),
        ({"people": [{}]}, "person 3: has no 'pose_keypoints_2d'"),
        ({"people": [{"pose_keypoints_2d": [1, 2, 3]}]}, "frame 3: pose_keypoints_2d: got 3"),
        ({"people": [{"pose_keypoints_2d": ["1"] * 75}]}, "frame 3: .*str '1'"),
    ):
        write(bad, content)
        with pytest.raises(ValueError, match=match):
            read_keypoints(folder)
    write(bad, openpose(points[3]))
    write(folder / "v_3_keypoints.json", openpose(points[3]))
    with pytest.raises(ValueError, match="two files for a frame"):
        read_keypoints(folder)


def test_nobody_at_all(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"v_{number}_keypoints.json", {"version": 1.3, "people": []})
    with pytest.raises(ValueError, match="no people in 3 frames"):
        read_keypoints(tmp_path)


def test_normalised_coordinates(tmp_path: Path) -> None:
    points = detected(walk(FRAMES), "mediapipe_33")
    path = write(tmp_path / "m.json", landmarks(points / SIZE))
    refused(path, "fractions of the image; expected image_size")
    refused(write(path, landmarks(points)), "are they pixels", image_size=SIZE)
    path = write(tmp_path / "r.json", results(POINTS / SIZE))
    refused(path, "fractions of the image; expected image_size")
    screen = POINTS / SIZE[0] * 2 - (1, SIZE[1] / SIZE[0])
    refused(write(path, results(screen)), "look normalised to \\[-1, 1\\]", image_size=SIZE)


def test_mediapipe(tmp_path: Path) -> None:
    points = detected(walk(FRAMES), "mediapipe_33") / SIZE
    path = tmp_path / "m.json"
    for edit, match in (
        (change((2, "pose_landmarks"), 4), "frame 2: landmarks: got int"),
        (change((2,), {"pose_world_landmarks": []}), "frame 2: has none of pose_landmarks"),
        (change((2, "pose_landmarks", 0, 5), {"x": 1}), "frame 2: landmarks: got something else"),
        (change((2, "pose_landmarks", 0, 5, "y"), "1"), "frame 2: landmarks: got a list with str"),
        (
            change((2, "pose_landmarks", 0), [{"x": 0, "y": 0}] * 32),
            "frame 2: landmarks: got 32 x 3",
        ),
        (lambda c: [{"frame": 9 - n, **each} for n, each in enumerate(c)], "frame: got 8 after 9"),
    ):
        refused(write(path, edit(landmarks(points))), match, image_size=SIZE)
    world = [{"pose_world_landmarks": each["pose_landmarks"]} for each in landmarks(points)]
    refused(
        write(path, world), "got a list of an object with pose_world_landmarks", image_size=SIZE
    )


def test_image_sizes(tmp_path: Path) -> None:
    path = write(tmp_path / "r.json", results())
    refused(path, "joints outside the image of 640 x 480", image_size=(640, 480))
    for size in ((0, 5), (1920,), "1920", (1920, float("nan")), (-1920, 1080), 5):
        with pytest.raises(ValueError, match="image_size: got"):
            read_keypoints(path, image_size=size)  # type: ignore[arg-type]
    points = image(walk(FRAMES))
    np.savez(tmp_path / "k.npz", keypoints=points, image_size=SIZE)
    refused(tmp_path / "k.npz", "image_size: got 1920 x 1088, expected 1920 x 1080",
            image_size=(1920, 1088))  # fmt: skip


def test_no_joint_is_sure(tmp_path: Path) -> None:
    refused(write(tmp_path / "r.json", results()), "no joint with a confidence of 0.95",
            min_confidence=0.95)  # fmt: skip
    half = copy.deepcopy(results())
    for record in half:
        record["keypoints"][33:] = [0.0] * 18  # no legs, no hips
    refused(write(tmp_path / "r.json", half), "nobody whose trunk was seen: all 6 people")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"format": "mpii"}, "format: got 'mpii', expected auto"),
        ({"format": "csv:csv"}, "format: got 'csv:csv'"),
        ({"format": "openpose"}, "got alphapose, expected openpose as format says"),
        ({"fps": 0}, "fps: got 0"),
        ({"fps": float("nan")}, "fps: got nan"),
        ({"min_confidence": 0}, "min_confidence: got 0"),
        ({"min_confidence": 2}, "min_confidence: got 2"),
        ({"max_people": 0}, "max_people: got 0"),
    ],
)
def test_settings(tmp_path: Path, settings: dict[str, Any], match: str) -> None:
    path = write(tmp_path / "r.json", results())
    with pytest.raises(ValueError, match=match):
        read_keypoints(path, **settings)


def test_files(tmp_path: Path) -> None:
    for missing in (tmp_path / "no.json", str(tmp_path / "*.json"), tmp_path, [], [tmp_path]):
        with pytest.raises(FileNotFoundError, match="expected"):
            read_keypoints(missing)
    refused(write(tmp_path / "k.txt", ""), "ends in .txt, expected one of .json")


GOOD_CSV = "frame,person,nose_x,nose_y,nose_c\n"


def ann(*frames: int) -> str:
    """Ann, seen whole in some frames."""
    lines = ["frame,person," + ",".join(f"{n}_x,{n}_y" for n in JOINT_SETS["coco_17"].joints)]
    lines += [f"{each},ann," + ",".join(map(str, POINTS[0].ravel())) for each in frames]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "line 1: got columns"),
        ("a,b,c\n1,2,3\n", "line 1: got columns a, b, c, expected frame"),
        ("frame,nose_x,nose_x\n", "line 1: got columns \\['nosex'\\] twice"),
        (GOOD_CSV, "no lines below the first"),
        (GOOD_CSV + "1,ann,3\n", "line 2: got 3 cells, expected 5"),
        (GOOD_CSV + "1,ann,3,4,1\n2,ann,x,4,1\n", "line 3: got 'x', expected a number"),
        (GOOD_CSV + "1,ann,3,4,1\n2.5,ann,3,4,1\n", "line 3: frame: got 2.5, expected an integer"),
        (GOOD_CSV + "1,ann,3,4,1\n,ann,3,4,1\n", "line 3: frame: got nan"),
        (GOOD_CSV + "1,ann," + "9" * 10**5 + ",4,1\n", "frame 1: joint 0"),
        (GOOD_CSV + "1,ann," + "9" * 10**6 + ",4,1\n", "line 2: got no readable CSV"),
        ("frame,tail_x,tail_y\n1,2,3\n", "got joints tail, expected those of one of"),
        ("frame,nose_c\n1,2\n", "got joints none, expected"),
        ("frame,joint,x,y\n1,tail,3,4\n", "got joints tail"),
        ("frame,joint,x,y\n1,nose,3,4\n1,nose,3,4\n", "frame 1: got joint nose 2 times"),
        (ann(2, 1), "frame 1: .* later frame of person ann"),
        (ann(1, 1), "frame 1: got person ann more than once"),
        (GOOD_CSV + "1,ann,300,400,1\n", "no joint with a confidence"),
        ("frame,joint,x,y\n1,left_hip,300,400\n", "nobody whose trunk was seen"),
    ],
)
def test_csv(tmp_path: Path, text: str, match: str) -> None:
    path = write(tmp_path / "k.csv", text)
    refused(path, match)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"a": np.zeros(3)}, "got arrays a, expected keypoints"),
        ({"keypoints": np.zeros((4, 17))}, "keypoints: got shape \\(4, 17\\)"),
        ({"keypoints": np.zeros((4, 17, 5))}, "keypoints: got shape"),
        ({"keypoints": np.zeros((0, 17, 2))}, "no people in 0 frames"),
        ({"keypoints": np.zeros((4, 17, 2))}, "no joint with a confidence"),
        ({"keypoints": np.full((4, 17, 2), "1")}, "keypoints: got dtype <U1"),
        ({"keypoints": POINTS, "scores": np.ones((6, 16))}, "scores: got shape \\(6, 16\\)"),
        ({"keypoints": POINTS, "frame": np.arange(5)}, "frame: got shape \\(5,\\)"),
        ({"keypoints": POINTS, "frame": np.arange(6.0)}, "frame: got dtype float64"),
        ({"keypoints": POINTS, "frame": np.arange(6)[::-1], "person": np.full(6, "a")}, "later"),
        ({"keypoints": POINTS, "person": np.zeros(6)}, "person: got dtype"),
        ({"keypoints": POINTS, "image_size": np.zeros(3)}, "image_size: got shape"),
        ({"keypoints": POINTS, "image_size": np.zeros(2)}, "image_size: got 0 x 0"),
        ({"keypoints": POINTS, "fps": np.asarray(np.inf)}, "fps: got inf"),
        ({"keypoints": POINTS, "fps": np.zeros(0)}, "fps: got shape"),
        ({"keypoints": POINTS, "joint_names": np.full(17, "x")}, "got 17 joints x, x"),
        ({"keypoints": POINTS, "joint_set": np.asarray("x")}, "got joint set 'x', expected one of"),
        ({"pose2d": np.zeros((4, 16, 2))}, "pose2d: got shape"),
        ({"pose2d": np.ones((4, 17, 2)), "clip": np.zeros(3, int)}, "clip: got shape"),
        ({"pose2d": np.ones((4, 17, 2)), "image_size": np.zeros(2)}, "image_size: got shape"),
        ({"positions_2d": np.asarray(3, dtype=object)}, "positions_2d: got int"),
        ({"positions_2d": np.asarray({"S1": 3}, dtype=object)}, "S1: got no dictionary"),
        ({"positions_2d": np.asarray({"S1": {"W": 3}}, dtype=object)}, "S1: W: got int"),
        ({"positions_2d": np.asarray({"S1": {"W": ["x"]}}, dtype=object)}, "S1: W: got shape"),
        ({"positions_2d": np.asarray({"S1": {"W": [POINTS[0]]}}, dtype=object)}, "got shape"),
        ({"positions_2d": np.asarray({}, dtype=object)}, "no videos"),
    ],
)
def test_npz(tmp_path: Path, arrays: dict[str, Any], match: str) -> None:
    path = tmp_path / "k.npz"
    np.savez(path, **arrays)
    refused(path, match)


def test_damaged_npz(tmp_path: Path) -> None:
    path = tmp_path / "k.npz"
    np.savez(path, keypoints=POINTS)
    content = path.read_bytes()
    for length in (0, 3, 100, len(content) // 2, len(content) - 30):
        path.write_bytes(content[:length])
        refused(path, "k.npz")
    write(path, video())
    refused(path, "no readable .npz")


def test_every_changed_byte_is_read_or_refused(tmp_path: Path) -> None:
    """No other error leaves, whatever was changed, and none takes long."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "k.npz", keypoints=POINTS, scores=np.full((6, 17), 0.9))
    text = json.dumps(video()[:2]).encode()
    lines = "\n".join(["frame,joint,x,y", *(f"{n},{'nose' if n % 2 else 'left_ear'},{n}3,2{n}"
                                           for n in range(20))]).encode()  # fmt: skip
    for name, content in (("k.npz", (tmp_path / "k.npz").read_bytes()), ("k.json", text),
                          ("k.csv", lines)):  # fmt: skip
        path = tmp_path / name
        for _ in range(150):
            changed = bytearray(content)
            for place in rng.integers(0, len(content), rng.integers(1, 4)):
                changed[place] = rng.choice([rng.integers(256), *b'",:[]{}0-e'])
            path.write_bytes(bytes(changed))
            start = time.process_time()
            try:
                keypoints = read_keypoints(path)
            except ValueError as error:
                assert re.search(r"k\.(npz|json|csv)", str(error)), error
            else:
                assert np.isfinite(keypoints.points).all()
            assert time.process_time() - start < 5


def test_arrays_ask_for_what_is_missing(tmp_path: Path) -> None:
    keypoints = read_keypoints(write(tmp_path / "r.json", results()))
    with pytest.raises(ValueError, match="image_size: got none"):
        keypoints.arrays((1, 1, 1, 1))
    with pytest.raises(ValueError, match="intrinsics: got shape"):
        keypoints.arrays((1, 1, 1), SIZE)
    sized = read_keypoints(tmp_path / "r.json", image_size=SIZE)
    with pytest.raises(ValueError, match="image_size: got 640x480, expected 1920x1080"):
        sized.arrays((1, 1, 1, 1), (640, 480))
