"""Human3.6M's files, made here in the layout of VideoPose3D and PoseAug, to a canonical file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from poseda.cli import main
from poseda.data import load_pose_set
from poseda.data.prepare.human36m import FROM_32, Human36m
from poseda.data.prepare.human36m_cameras import LENSES, SUBJECTS, to_camera
from poseda.data.synthetic import forward_kinematics, perform, sample_body
from poseda_ext.reference import project
from poseda_ext.skeleton import H36M_16, H36M_17

ACTIONS = ("Walking 1", "Walking", "SittingDown 2")
NECK = H36M_17.names.index("Neck/Nose")
WITHOUT_NECK = [H36M_17.names.index(name) for name in H36M_16.names]
Nested = dict[str, dict[str, Any]]


def seen(world: np.ndarray, subject: str, camera: int) -> np.ndarray:
    """(T, 17, 2) float32 pixels through the lens, as the ground truth files have them."""
    lens = LENSES[camera]
    points = torch.from_numpy(to_camera(subject, camera, world))
    intrinsics, distortion = torch.tensor(lens.intrinsics), torch.tensor(lens.distortion)
    return project(points, intrinsics.double(), distortion.double()).numpy().astype(np.float32)


@pytest.fixture(scope="session")
def recordings() -> tuple[Nested, Nested]:
    """Motions (T, 17, 3) of a few frames, and their four views."""
    rng = np.random.default_rng(0)
    motions: Nested = {}
    views: Nested = {}
    for subject in SUBJECTS:
        body = sample_body(rng)
        motions[subject], views[subject] = {}, {}
        for number, action in enumerate(ACTIONS):
            if (subject, action) == ("S11", "Walking 1"):
                continue  # as Directions in the files
            motion = perform("walk", rng, 5 + number)
            world = forward_kinematics(motion, body.stature, body.bone_lengths)
            world = world.astype(np.float32)
            motions[subject][action] = world
            views[subject][action] = [seen(world, subject, camera) for camera in range(4)]
    return motions, views


def write(
    folder: Path,
    recordings: tuple[Nested, Nested],
    *,
    joints: tuple[int, int] = (32, 17),
    detector: str = "gt",
    longer: int = 0,
) -> Path:
    """The two files; `longer` adds frames at the end of the 2D."""
    motions = {
        subject: {action: _in_file(world, joints[0]) for action, world in actions.items()}
        for subject, actions in recordings[0].items()
    }
    views = {
        subject: {
            action: [_in_file(np.concatenate((v, v[:longer])), joints[1]) for v in each]
            for action, each in actions.items()
        }
        for subject, actions in recordings[1].items()
    }
    skeleton = H36M_16 if joints[1] == 16 else H36M_17
    metadata = {
        "num_joints": joints[1],
        "keypoints_symmetry": [list(skeleton.left), list(skeleton.right)],
    }
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=np.array(motions))
    np.savez_compressed(
        folder / f"data_2d_h36m_{detector}.npz",
        positions_2d=np.array(views),
        metadata=np.array(metadata),
    )
    return folder


def _in_file(points: np.ndarray, joints: int) -> np.ndarray:
    if joints == 17:
        return points
    if joints == 16:
        return points[:, WITHOUT_NECK]
    wide = np.full((len(points), 32, points.shape[-1]), 99, np.float32)
    wide[:, FROM_32] = points
    return wide


def prepare(folder: Path, **options: Any) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of the canonical file, and what the report says."""
    target = folder / "out" / "h36m.npz"
    report = Human36m(folder=folder, to=target, **options).run()
    load_pose_set(target, need_pose3d=True)
    with np.load(target) as file:
        return dict(file), report.lines()


# ---------------------------------------------------------------------------------------- cameras


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("camera", range(4))
def test_cameras_stand_at_chest_height_and_look_at_the_middle(subject: str, camera: int) -> None:
    origin, right, down, forward = (
        to_camera(subject, camera, np.array(point))
        for point in ((0.0, 0, 0), (1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0))
    )
    rotation = np.stack((right - origin, down - origin, forward - origin), 1)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-6)
    place = -rotation.T @ origin
    assert 4 < np.hypot(*place[:2]) < 6
    assert 1.4 < place[2] < 1.7
    assert rotation[1, 2] < -0.95  # the image's down is the world's down
    middle = to_camera(subject, camera, np.array([0, 0, 1.0]))
    assert 4 < middle[2] < 6
    assert np.hypot(*middle[:2]) < 1.1  # from the optical axis


def test_cameras_stand_where_the_others_do_not() -> None:
    """One in each corner, the same corner for all subjects."""
    for camera, corner in enumerate(((1, 1), (1, -1), (-1, 1), (-1, -1))):
        for subject in SUBJECTS:
            rotation = (
                np.stack([to_camera(subject, camera, np.eye(3)[i]) for i in range(3)], 1)
                - to_camera(subject, camera, np.zeros(3))[:, None]
            )
            place = -rotation.T @ to_camera(subject, camera, np.zeros(3))
            assert tuple(np.sign(place[:2])) == corner


@pytest.mark.parametrize("lens", LENSES, ids=lambda lens: lens.name)
def test_undistorted_points_are_seen_where_they_were(lens: Any) -> None:
    """Over the image, and one image size around it, where detectors still put joints."""
    grid = np.stack(np.meshgrid(*2 * [np.linspace(-900, 1900, 57)]), -1)
    near = np.abs(grid - 500).max(-1) <= 520
    plain = lens.undistort(grid)
    points = torch.from_numpy((plain - lens.intrinsics[2:]) / np.asarray(lens.intrinsics[:2]))
    ones = torch.ones(*grid.shape[:2], 1, dtype=torch.float64)
    intrinsics, distortion = torch.tensor(lens.intrinsics), torch.tensor(lens.distortion)
    again = project(torch.cat((points, ones), -1), intrinsics.double(), distortion.double())
    np.testing.assert_allclose(again[near], grid[near], atol=1e-4)
    assert 1 < np.linalg.norm(plain - grid, axis=-1)[near].max() < 60  # the lens does something
    outward = np.linalg.norm(plain - 500, axis=-1)
    assert (np.diff(outward[28, 28:]) > 0).all()  # and folds nothing over
    with pytest.raises(ValueError, match="shows nothing"):
        lens.undistort(np.array([np.nan, 0]))


# ---------------------------------------------------------------------------------------- content


def test_ground_truth_comes_through_exactly(
    tmp_path: Path, recordings: tuple[Nested, Nested]
) -> None:
    arrays, lines = prepare(write(tmp_path, recordings))
    motions, views = recordings
    frames = 4 * sum(len(world) for actions in motions.values() for world in actions.values())
    assert len(arrays["pose2d"]) == frames
    assert "confidence" not in arrays
    clips = set()
    for subject, actions in motions.items():
        for action, world in actions.items():
            for camera in range(4):
                rows = (arrays["subject"] == subject) & (arrays["camera"] == camera)
                rows &= arrays["action"] == action.split(" ")[0]
                same = np.zeros(frames, bool)
                for clip in np.unique(arrays["clip"][rows]):
                    same = rows & (arrays["clip"] == clip)
                    if np.array_equal(arrays["pose2d"][same], views[subject][action][camera]):
                        break
                else:
                    pytest.fail(f"{subject}, {action}, camera {camera}: not found")
                clips.add(int(clip))
                expected = to_camera(subject, camera, world).astype(np.float32)
                np.testing.assert_array_equal(arrays["pose3d"][same], expected)
                assert arrays["frame"][same].tolist() == list(range(len(world)))
                assert set(arrays["split"][same]) == {int(subject in ("S9", "S11"))}
                lens = LENSES[camera]
                assert (arrays["intrinsics"][same] == np.asarray(lens.intrinsics, np.float32)).all()
                assert (arrays["image_size"][same] == lens.image_size).all()
    assert clips == set(range(4 * sum(map(len, motions.values()))))
    assert set(arrays["fps"]) == {50}
    assert set(arrays["camera_class"]) == {"chest"}
    assert any("S9, S11: 5 motions, 124 frames of 4 cameras (the whole data set: 59, 543,344)"
               in line for line in lines)  # fmt: skip
    assert any("15 motions" in line and "1,559,752" in line for line in lines)
    assert not any("dropped" in line for line in lines)
    assert "academic use only" in str(arrays["about"])
    assert "lens distortion kept" in str(arrays["about"])


def test_undistorted_ground_truth_is_the_projection(
    tmp_path: Path, recordings: tuple[Nested, Nested]
) -> None:
    kept, _ = prepare(write(tmp_path, recordings))
    arrays, _ = prepare(tmp_path, undistort=True)
    pose, intrinsics = arrays["pose3d"].astype(float), arrays["intrinsics"][:, None]
    pinhole = pose[..., :2] / pose[..., 2:] * intrinsics[..., :2] + intrinsics[..., 2:]
    np.testing.assert_allclose(arrays["pose2d"], pinhole, atol=1e-3)
    assert np.abs(kept["pose2d"] - pinhole).max() > 1
    np.testing.assert_array_equal(arrays["pose3d"], kept["pose3d"])
    assert "lens distortion taken out" in str(arrays["about"])


def test_16_joints_get_a_neck_that_counts_as_not_seen(
    tmp_path: Path, recordings: tuple[Nested, Nested]
) -> None:
    full, _ = prepare(write(tmp_path, recordings))
    arrays, lines = prepare(write(tmp_path, recordings, joints=(32, 16)))
    others = [joint for joint in range(17) if joint != NECK]
    np.testing.assert_array_equal(arrays["pose3d"], full["pose3d"])
    np.testing.assert_array_equal(arrays["pose2d"][:, others], full["pose2d"][:, others])
    assert (arrays["confidence"][:, others] == 1).all()
    assert (arrays["confidence"][:, NECK] == 0).all()
    halfway = full["pose2d"][:, [8, 10]].mean(axis=1)
    np.testing.assert_allclose(arrays["pose2d"][:, NECK], halfway, rtol=1e-6)
    assert any("Neck/Nose" in line and "confidence 0" in line for line in lines)
    assert "Neck/Nose" in str(arrays["about"])
    poses = load_pose_set(tmp_path / "out" / "h36m.npz", skeleton=H36M_17)
    assert poses.seen is not None
    assert not poses.seen[:, NECK].any()
    assert load_pose_set(tmp_path / "out" / "h36m.npz").seen is None


@pytest.mark.parametrize("joints", [(17, 17), (16, 16)])
def test_motions_of_fewer_joints_are_read(
    tmp_path: Path, recordings: tuple[Nested, Nested], joints: tuple[int, int]
) -> None:
    full, _ = prepare(write(tmp_path, recordings))
    arrays, lines = prepare(write(tmp_path, recordings, joints=joints))
    expected = full["pose3d"].copy()
    if joints[0] == 16:
        expected[:, NECK] = expected[:, [8, 10]].mean(axis=1)
    np.testing.assert_allclose(arrays["pose3d"], expected, atol=1e-6)
    assert any("in pose3d" in line for line in lines) == (joints[0] == 16)


@pytest.mark.parametrize(
    ("option", "detector"),
    [("cpn", "cpn_ft_h36m_dbb"), ("detectron", "detectron_ft_h36m"), ("hr", "hr")],
)
def test_longer_detections_are_cut_and_counted(
    tmp_path: Path, recordings: tuple[Nested, Nested], option: Any, detector: str
) -> None:
    truth, _ = prepare(write(tmp_path, recordings))
    motions, views = recordings
    more = {subject: dict(actions) for subject, actions in views.items()}
    more["S11"]["Walking 1"] = views["S9"]["Walking 1"]  # a motion that the 3D file leaves out
    more["S2"] = views["S1"]  # subjects without 3D
    write(tmp_path, (motions, more), detector=detector, longer=2)
    arrays, lines = prepare(tmp_path, pose2d=option)
    for name in ("pose2d", "pose3d", "clip", "frame"):
        np.testing.assert_array_equal(arrays[name], truth[name])
    count = sum(map(len, motions.values()))
    assert f"dropped {2 * 4 * count:,} frames: 2D after the end of the motion" in lines
    assert f"dropped {4 * 7:,} frames: 2D without a motion" in lines
    assert "fine-tuned" in str(arrays["about"]) or "HRNet" in str(arrays["about"])


def test_stride_and_protocol_choose_frames(
    tmp_path: Path, recordings: tuple[Nested, Nested]
) -> None:
    full, _ = prepare(write(tmp_path, recordings), protocol="s1")
    assert set(full["subject"]) == {"S1", "S5", "S6", "S7", "S8"}
    assert set(full["subject"][full["split"] == 0]) == {"S1"}
    arrays, lines = prepare(tmp_path, protocol="s1", stride=3)
    kept = full["frame"] % 3 == 0
    for name in ("pose2d", "pose3d", "clip", "frame", "split", "subject", "camera"):
        np.testing.assert_array_equal(arrays[name], full[name][kept])
    assert set(arrays["fps"]) == {50}  # frame / fps is still the time
    assert any(f"dropped {(~kept).sum():,} frames: between those" in line for line in lines)


def test_the_target_of_s1_is_adapted_to_and_evaluated_on_the_same_frames(
    tmp_path: Path, recordings: tuple[Nested, Nested]
) -> None:
    whole, _ = prepare(write(tmp_path, recordings), protocol="s1")
    arrays, lines = prepare(tmp_path, protocol="s5s8")
    test = whole["split"] == 1
    for part in (0, 1):
        rows = arrays["split"] == part
        for name in ("pose2d", "pose3d", "frame", "subject", "camera"):
            np.testing.assert_array_equal(arrays[name][rows], whole[name][test])
    clips = [set(arrays["clip"][arrays["split"] == part]) for part in (0, 1)]
    assert not clips[0] & clips[1]
    assert not any("between those" in line for line in lines)


def test_order_of_the_file_does_not_matter(
    tmp_path: Path, recordings: tuple[Nested, Nested]
) -> None:
    arrays, _ = prepare(write(tmp_path, recordings))
    turned = tuple(
        {s: dict(reversed(a.items())) for s, a in reversed(each.items())} for each in recordings
    )
    again, _ = prepare(write(tmp_path, turned))  # type: ignore[arg-type]
    assert list(again) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)


# ------------------------------------------------------------------------------------ command line


def test_command_writes_and_reports(
    tmp_path: Path, recordings: tuple[Nested, Nested], capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, recordings)
    out = tmp_path / "new" / "h36m.npz"
    main(["prepare", "human36m", "--from", str(tmp_path), "--to", str(out), "--stride", "2"])
    printed = capsys.readouterr().out
    assert "1,559,752" in printed
    assert str(out) in printed
    assert os.listdir(out.parent) == ["h36m.npz"]


def test_missing_files_are_named_with_their_origin_and_licence(
    tmp_path: Path, recordings: tuple[Nested, Nested], capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, recordings)
    command = ["prepare", "human36m", "--from", str(tmp_path), "--to", str(tmp_path / "x.npz")]
    with pytest.raises(SystemExit):
        main([*command, "--pose2d", "cpn"])
    message = capsys.readouterr().err
    for part in ("data_2d_h36m_cpn_ft_h36m_dbb.npz", "vision.imar.ro/human3.6m", "academic",
                 "DATASETS.md"):  # fmt: skip
        assert part in message
    assert not (tmp_path / "x.npz").exists()


# --------------------------------------------------------------------------------------- bad input


def change(recordings: tuple[Nested, Nested], which: int, subject: str, value: Any) -> Any:
    changed = [dict(each) for each in recordings]
    changed[which][subject] = value
    return changed


def broken(folder: Path, name: str, **members: Any) -> None:
    with np.load(folder / name, allow_pickle=True) as file:
        kept = dict(file)
    np.savez(folder / name, allow_pickle=True, **(kept | members))


@pytest.mark.parametrize(
    ("name", "members", "message"),
    [
        ("data_3d_h36m.npz", {"positions_3d": np.zeros((5, 32, 3))}, r"\(5, 32, 3\) of float64"),
        ("data_3d_h36m.npz", {"positions_3d": np.array({})}, "got no actions"),
        ("data_3d_h36m.npz", {"positions_3d": np.array({"S1": [1]})}, "dictionary of subjects"),
        ("data_3d_h36m.npz", {"positions_3d": np.array({1: {}})}, "dictionary of subjects"),
        (
            "data_3d_h36m.npz",
            {"positions_3d": np.array({"S1": {"Walking": np.zeros((5, 14, 3))}})},
            r"S1, Walking: got an array \(5, 14, 3\) of float64, expected .*\(frames, 32, 3\)",
        ),
        (
            "data_3d_h36m.npz",
            {"positions_3d": np.array({"S1": {"Walking": np.zeros((5, 17, 3))}})},
            "got subjects S1, expected S5 too",
        ),
        (
            "data_2d_h36m_gt.npz",
            {"positions_2d": np.array({"S1": {"Walking": [np.zeros((5, 17, 2))] * 3}})},
            "S1, Walking: got list of 3, expected 4 arrays",
        ),
        (
            "data_2d_h36m_gt.npz",
            {"positions_2d": np.array({"S1": {"W": [np.ones((5, j, 2)) for j in (17, 16, 9, 9)]}})},
            r"S1, W: got an array \(5, 16, 2\) of float64, expected .* \(frames, 17, 2\)",
        ),
        (
            "data_2d_h36m_gt.npz",
            {"metadata": np.array({"keypoints_symmetry": [[1, 3, 5], [2, 4, 6]]})},
            "other left and right joints than Human3.6M's",
        ),
        (
            "data_2d_h36m_gt.npz",
            {"metadata": np.array({"keypoints_symmetry": 3})},
            "other left and right joints",
        ),
    ],
)  # fmt: skip
def test_files_of_another_content_are_refused(
    tmp_path: Path,
    recordings: tuple[Nested, Nested],
    name: str,
    members: dict[str, Any],
    message: str,
) -> None:
    write(tmp_path, recordings)
    broken(tmp_path, name, **members)
    with pytest.raises(ValueError, match=message) as caught:
        prepare(tmp_path)
    assert name in str(caught.value)
    assert not os.listdir(tmp_path / "out")


def test_2d_that_ends_too_soon_is_refused(
    tmp_path: Path, recordings: tuple[Nested, Nested]
) -> None:
    motions, views = recordings
    short = dict(views["S6"]) | {"Walking": [view[:-1] for view in views["S6"]["Walking"]]}
    write(tmp_path, (motions, views | {"S6": short}))
    with pytest.raises(ValueError, match="S6, Walking: got 5 frames of camera 0, expected the 6"):
        prepare(tmp_path)


def test_missing_action_is_refused(tmp_path: Path, recordings: tuple[Nested, Nested]) -> None:
    motions, views = recordings
    less = {action: each for action, each in views["S6"].items() if action != "Walking"}
    write(tmp_path, (motions, views | {"S6": less}))
    with pytest.raises(ValueError, match="S6: has no Walking"):
        prepare(tmp_path)


def test_cameras_in_another_order_are_refused(
    tmp_path: Path, recordings: tuple[Nested, Nested]
) -> None:
    motions, views = recordings
    turned = {s: {a: each[::-1] for a, each in of.items()} for s, of in views.items()}
    write(tmp_path, (motions, turned))
    with pytest.raises(ValueError, match="projection of pose3d of camera"):
        prepare(tmp_path)


def test_millimetres_are_refused(tmp_path: Path, recordings: tuple[Nested, Nested]) -> None:
    motions, views = recordings
    large = {s: {a: 1000 * world for a, world in of.items()} for s, of in motions.items()}
    write(tmp_path, (large, views))
    with pytest.raises(ValueError, match="pose3d"):
        prepare(tmp_path)


def test_stride_below_one_is_refused(tmp_path: Path, recordings: tuple[Nested, Nested]) -> None:
    write(tmp_path, recordings)
    with pytest.raises(ValueError, match="stride: got 0"):
        prepare(tmp_path, stride=0)


def test_hostile_files_are_refused(tmp_path: Path, recordings: tuple[Nested, Nested]) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'touched'}",)

    write(tmp_path, recordings)
    broken(tmp_path, "data_2d_h36m_gt.npz", positions_2d=np.array({"S1": {"Walking": Evil()}}))
    with pytest.raises(ValueError, match=r"positions_2d: the pickle wants 'posix\.system'"):
        prepare(tmp_path)
    assert not (tmp_path / "touched").exists()


def test_truncated_file_is_refused(tmp_path: Path, recordings: tuple[Nested, Nested]) -> None:
    path = write(tmp_path, recordings) / "data_3d_h36m.npz"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match=r"got no readable \.npz file"):
        prepare(tmp_path)
