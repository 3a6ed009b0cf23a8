"""From keypoints in pixels to poses: one result whatever the way in, and people in their place."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("tyro", reason="settings need tyro")

import poseda
from poseda.cameras import distort_points, parse_camera
from poseda.data import PoseSet, load_pose_set, pose_set_from_arrays, save_pose_set
from poseda.data.synthetic import make_target, sample_body
from poseda.data.target import Target
from poseda.keypoints import read_keypoints
from poseda.lifter import ENDINGS, Lifted, Lifter
from poseda.networks.lifters import lift, make_lifter
from poseda.networks.weights import NamedLifter, save_lifter
from poseda.placement import place, scaled_to, stature, with_own_bones
from poseda_ext import (
    H36M_16,
    H36M_17,
    Skeleton,
    bones,
    normalize_points,
    pose_from_bones,
    project,
)

SIZE = "2048x2048"
INTRINSICS = (1490.0, 1490.6, 1012.0, 1024.0)


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """A clip of one camera."""
    made = make_target(seed=4, frames=300)
    rows = (made["camera"] == 0) & (made["clip"] == made["clip"][made["camera"] == 0][0])
    return {key: value[rows] for key, value in made.items()}


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(0)
    module = make_lifter("videopose3d", H36M_16, 16).eval()
    return Lifter(NamedLifter(module, "videopose3d", 16, H36M_16), "cpu")


class Known(nn.Module):
    """Knows the poses of the rows that it is asked for."""

    def __init__(self, pose3d: Tensor) -> None:
        super().__init__()
        self.pose3d = nn.Parameter(pose3d - pose3d[:, :1])

    def forward(self, pose2d: Tensor) -> Tensor:
        return self.pose3d[: len(pose2d)].clone()


def knowing(poses: PoseSet) -> Lifter:
    assert poses.pose3d is not None
    return Lifter(NamedLifter(Known(poses.pose3d), "known", 0, poses.skeleton), "cpu")


def same(one: Lifted, other: Lifted, atol: float = 2e-4) -> None:
    np.testing.assert_allclose(one.pose3d, other.pose3d, atol=atol)
    np.testing.assert_allclose(one.intrinsics, other.intrinsics, rtol=1e-5)


# --- ways in


def test_three_lines(lifter: Lifter, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    save_lifter(tmp_path / "lifter.safetensors", lifter.named)
    loaded = poseda.Lifter.load(tmp_path / "lifter.safetensors", device="cpu")
    lifted = loaded(arrays["pose2d"], INTRINSICS, image_size=SIZE)
    lifted.save(tmp_path / "new" / "out.npz")
    with np.load(tmp_path / "new" / "out.npz") as out:
        np.testing.assert_array_equal(out["pose3d"], lifted.pose3d)
    size = torch.tensor([2048.0, 2048.0])
    joints = [H36M_17.names.index(name) for name in H36M_16.names]
    expected = lift(
        lifter.named.module,
        normalize_points(torch.from_numpy(arrays["pose2d"][:, joints]), size),
    )
    np.testing.assert_allclose(lifted.pose3d, expected.numpy(), atol=1e-6)
    assert lifted.root is None and lifted.seen.all() and not lifted.pose3d[:, 0].any()
    np.testing.assert_allclose(lifted.pose2d, arrays["pose2d"][:, joints], atol=1e-2)


def test_import_stays_light() -> None:
    code = "import poseda, sys; assert 'torch' not in sys.modules; poseda.Nothing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "module 'poseda' has no attribute 'Nothing'" in done.stderr


def test_every_form_of_keypoints_and_camera_gives_the_same(
    lifter: Lifter, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    points = arrays["pose2d"]
    expected = lifter(points, INTRINSICS, image_size=SIZE)
    own_order = points[:, [H36M_17.names.index(name) for name in H36M_16.names]]
    text = ",".join(map(str, INTRINSICS))
    with_confidence = np.concatenate((points, np.full((*points.shape[:2], 1), 0.9)), -1)
    same(lifter(torch.from_numpy(points), list(INTRINSICS), image_size=(2048, 2048)), expected)
    same(lifter(own_order, text, image_size=SIZE), expected)
    same(lifter(with_confidence, parse_camera(text, SIZE)), expected)  # the camera has the size
    file = tmp_path / "clip.npz"
    np.savez(file, keypoints=points, image_size=np.asarray((2048, 2048)), joint_set="h36m_17")
    same(lifter(file, text), expected)
    same(lifter([str(file)], text), expected)
    canonical = tmp_path / "canonical.npz"
    save_pose_set(canonical, arrays)
    same(lifter(canonical), expected)
    same(lifter(load_pose_set(canonical)), expected)
    assert "assumed" not in " ".join(lifter(canonical).lines)
    assert "assumed: 60 degrees" in " ".join(lifter(file).lines)


def test_lens_distortion_is_undone(lifter: Lifter, arrays: dict[str, np.ndarray]) -> None:
    camera = parse_camera(",".join(map(str, INTRINSICS)), SIZE, distortion="-0.2,0.05,0.001,0")
    seen = distort_points(arrays["pose2d"], camera)
    assert np.abs(seen - arrays["pose2d"]).max() > 3  # pixels
    expected = lifter(arrays["pose2d"], INTRINSICS, image_size=SIZE)
    same(lifter(seen, camera), expected)
    undone = lifter(seen, INTRINSICS, image_size=SIZE, distortion=(-0.2, 0.05, 0.001, 0))
    same(undone, expected)
    assert "lens distortion is undone" in undone.lines[-1]


def test_joints_that_were_not_seen(lifter: Lifter, arrays: dict[str, np.ndarray]) -> None:
    points = arrays["pose2d"].astype(np.float64)
    wrist = H36M_16.names.index("LWrist")
    points[3, H36M_17.names.index("LWrist")] = np.nan
    lifted = lifter(points, INTRINSICS, image_size=SIZE, global_position=True)
    assert not lifted.seen[3, wrist] and lifted.seen.sum() == lifted.seen.size - 1
    assert np.isfinite(lifted.pose2d).all() and lifted.root is not None
    assert np.isfinite(lifted.root).all()
    points[5, :9] = np.nan
    with pytest.raises(ValueError, match=r"1 of \d+ rows \(first: row 5\) without a seen hip"):
        lifter(points, INTRINSICS, image_size=SIZE)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"keypoints": np.zeros((4, 12, 2))}, ValueError, r"\(4, 12, 2\), expected \(N, 16, 2\)"),
        ({"keypoints": np.zeros((0, 16, 2))}, ValueError, "got no rows"),
        ({"keypoints": np.full((2, 16, 2), "x")}, TypeError, "keypoints: got an array of <U1"),
        ({"image_size": None}, ValueError, "image_size: got none"),
        ({"camera": "wide"}, ValueError, "camera: got 'wide'"),
        ({"camera": (1500.0, 1500.0)}, ValueError, "four numbers fx,fy,cx,cy"),
        ({"min_confidence": 0.0}, ValueError, "min_confidence: got 0.0"),
        ({"height": 175.0}, ValueError, "height: got 175.0, expected 0.4 to 2.6 metres"),
        ({"keypoints": "nowhere.json"}, FileNotFoundError, "nowhere.json: no such file"),
    ],
)
def test_bad_arguments(
    lifter: Lifter,
    arrays: dict[str, np.ndarray],
    change: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    good = {"keypoints": arrays["pose2d"], "camera": INTRINSICS, "image_size": SIZE}
    with pytest.raises(error, match=message):
        lifter(**{**good, **change})  # type: ignore[arg-type]


def test_keypoints_with_a_camera_of_their_own_take_no_other(
    lifter: Lifter, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "canonical.npz"
    save_pose_set(path, arrays)
    with pytest.raises(ValueError, match=r"image_size, camera: got some for .*canonical\.npz"):
        lifter(path, "fov=60", image_size=SIZE)
    with pytest.raises(ValueError, match="got some beside a PoseSet"):
        lifter(load_pose_set(path), "fov=60")
    with pytest.raises(ValueError, match="got 17 joints, expected 16"):
        lifter(load_pose_set(path, skeleton=H36M_17))


def test_what_keypoints_say_is_not_said_again(
    lifter: Lifter, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "clip.npz"
    np.savez(path, keypoints=arrays["pose2d"], image_size=np.asarray((2048, 2048)), fps=10.0)
    keypoints = read_keypoints(path, format="h36m_17")
    assert lifter(keypoints, "fov=60").fps == 10
    with pytest.raises(ValueError, match="got 1920x1080, expected 2048x2048 as the keypoints of"):
        lifter(keypoints, parse_camera("fov=60", "1920x1080"))
    with pytest.raises(ValueError, match="got 1920x1080, expected 2048x2048 as the keypoints of"):
        lifter(keypoints, "fov=60", image_size="1920x1080")
    with pytest.raises(ValueError, match="fps: got some, expected them only for files"):
        lifter(keypoints, "fov=60", fps=25)
    with pytest.raises(ValueError, match="distortion: got some beside a Camera"):
        lifter(keypoints, parse_camera("fov=60", SIZE), distortion="0,0,0,0")


# --- people


def test_a_person_is_named_as_short_as_tells_them_apart(lifter: Lifter) -> None:
    made = make_target(seed=4, frames=300)
    count = 4
    rows = {key: value[:count] for key, value in made.items()}
    rows["subject"] = np.asarray(["ann", "bob", "bob", "bob"])
    rows["clip"] = np.asarray([0, 1, 2, 2])
    rows["camera"] = np.asarray([0, 0, 0, 1])
    rows["frame"] = np.zeros(count, dtype=int)
    lifted = lifter(pose_set_from_arrays(rows, name="people"))
    assert lifted.person.tolist() == ["ann", "bob/1", "bob/2/0", "bob/2/1"]


def test_own_bones_are_the_median_of_each_person() -> None:
    random = torch.Generator().manual_seed(1)
    direction = torch.randn(40, 15, 3, generator=random)
    direction /= direction.norm(dim=-1, keepdim=True)
    person = torch.arange(40) % 2
    true = torch.rand(2, 15, generator=random) * 0.3 + 0.1
    noise = 1 + 0.1 * torch.randn(40, 15, generator=random)
    pose = pose_from_bones(direction * (true[person] * noise)[..., None])
    made = bones(with_own_bones(pose, person, H36M_16))
    for each in range(2):
        mine = bones(pose)[person == each].norm(dim=-1)
        expected = mine.median(0).values.expand_as(mine)
        torch.testing.assert_close(made[person == each].norm(dim=-1), expected)
    torch.testing.assert_close(made / made.norm(dim=-1, keepdim=True), direction)


def test_a_bone_without_length_stays_without() -> None:
    pose = torch.zeros(3, 16, 3)
    pose[1:, 1] = torch.tensor((0.1, 0.0, 0.0))
    made = with_own_bones(pose, torch.zeros(3, dtype=torch.long), H36M_16)
    assert torch.isfinite(made).all() and not made[0].any()


def test_stature_of_synthetic_people() -> None:
    """Within 5 % of the truth for every body of the source, by a rule of one factor."""
    random = np.random.default_rng(0)
    for _ in range(50):
        body = sample_body(random)
        upright = torch.zeros(1, 17, 3)
        for joint, length in enumerate(body.bone_lengths, start=1):
            way = torch.tensor((0.0, -1.0, 0.0))
            upright[0, joint] = upright[0, H36M_17.parents[joint]] + float(length) * way
        found = float(stature(upright, torch.zeros(1, dtype=torch.long), H36M_17)[0])
        assert found == pytest.approx(body.stature, rel=0.05)


def test_height_scales_each_person(arrays: dict[str, np.ndarray]) -> None:
    poses = pose_set_from_arrays(arrays, name="clip")
    plain = knowing(poses)(poses, global_position=True)
    tall = knowing(poses)(poses, global_position=True, height=1.9)
    person = torch.zeros(len(poses), dtype=torch.long)
    made = stature(torch.from_numpy(tall.pose3d), person, H36M_16)
    torch.testing.assert_close(made, torch.full_like(made, 1.9))
    assert plain.root is not None and tall.root is not None
    factor = tall.pose3d[0, 3] / plain.pose3d[0, 3]
    np.testing.assert_allclose(factor, factor[0], rtol=1e-4)
    np.testing.assert_allclose(tall.root, plain.root * factor[0], rtol=1e-4)  # one line of sight
    with pytest.raises(ValueError, match="height: got nan"):
        scaled_to(torch.zeros(1, 16, 3), float("nan"), person[:1], H36M_16)


# --- global position


def flat(skeleton: Skeleton) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Poses in a plane that faces the camera, for which the alignment is exact."""
    random = torch.Generator().manual_seed(3)
    pose = torch.randn(64, skeleton.num_joints, 3, generator=random) * 0.4
    pose = pose - pose[:, :1]
    pose[..., 2] = 0
    root = torch.rand(64, 3, generator=random) + torch.tensor((-0.5, -0.5, 3.0))
    intrinsics = torch.tensor((1.46, 1.47, -0.01, 0.02)).expand(64, 4)
    return pose, root, intrinsics, project(pose + root[:, None], intrinsics)


@pytest.mark.parametrize("hidden", ["none", "joints", "root", "nearly all"])
def test_flat_poses_are_placed_exactly(hidden: str) -> None:
    pose, root, intrinsics, pose2d = flat(H36M_16)
    seen = torch.ones(64, 16, dtype=torch.bool)
    if hidden == "joints":
        seen = torch.rand(64, 16, generator=torch.Generator().manual_seed(5)) > 0.4
    elif hidden == "root":
        seen[:, :2] = False
    elif hidden == "nearly all":
        seen[:] = False
        seen[:, 4] = True
    if hidden != "nearly all":  # there the filled places have to do
        pose2d = torch.where(seen[..., None], pose2d, torch.tensor((0.9, -0.9)))
    few = seen.sum(1) < 4
    made = place(pose, pose2d, intrinsics, None if hidden == "none" else seen)
    keep = ~few if hidden == "joints" else torch.ones_like(few)
    assert keep.sum() > 50
    torch.testing.assert_close(made[keep], root[keep], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("skeleton", [H36M_16, H36M_17], ids=["16", "17"])
def test_synthetic_people_are_placed_to_five_per_cent(skeleton: Skeleton) -> None:
    """The alignment's own error, with true poses: 1.2 % too near on average, 4.3 % deviation."""
    poses = pose_set_from_arrays(make_target(seed=0, frames=2000), name="target", skeleton=skeleton)
    assert poses.pose3d is not None
    lifted = knowing(poses).lift(Target(poses, ()), global_position=True)
    assert lifted.root is not None
    ratio = lifted.root[:, 2] / poses.pose3d[:, 0, 2].numpy()
    assert abs(ratio.mean() - 1) < 0.02 and ratio.std() < 0.05
    assert np.percentile(abs(ratio - 1), 95) < 0.10
    # the direction is that of the root in the image, and exact
    seen = lifted.root[:, :2] / lifted.root[:, 2:]
    true = (poses.pose3d[:, 0, :2] / poses.pose3d[:, 0, 2:]).numpy()
    np.testing.assert_allclose(seen, true, atol=1e-4)


def test_hidden_joints_cost_little(arrays: dict[str, np.ndarray]) -> None:
    """With a wrist far off where it was not seen, the place is nearly that without the error."""
    poses = pose_set_from_arrays(arrays, name="clip")
    wrist = H36M_16.names.index("RWrist")
    seen = torch.ones(len(poses), 16, dtype=torch.bool)
    seen[:, wrist] = False
    wrong = poses.pose2d.clone()
    wrong[:, wrist] += 0.5

    def found(pose2d: Tensor, mask: Tensor | None) -> np.ndarray:
        hidden = dataclasses.replace(poses, pose2d=pose2d, seen=mask)
        root = knowing(poses)(hidden, global_position=True).root
        assert root is not None
        return root

    np.testing.assert_array_equal(found(wrong, seen), found(poses.pose2d, seen))
    off = [np.abs(found(wrong, mask) - found(poses.pose2d, None)).max() for mask in (seen, None)]
    assert off[0] < 0.5 * off[1]


# --- ways out


@pytest.mark.parametrize("ending", ENDINGS)
def test_save_by_ending(
    lifter: Lifter, arrays: dict[str, np.ndarray], tmp_path: Path, ending: str
) -> None:
    lifted = lifter(arrays["pose2d"], INTRINSICS, image_size=SIZE, global_position=True, fps=10)
    path = tmp_path / f"out{ending}"
    assert lifted.save(path) == [path]
    assert path.stat().st_size > 2000 and len(list(tmp_path.iterdir())) == 1


def test_saved_clips_stay_apart(
    lifter: Lifter, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    lifted = lifter(arrays["pose2d"], INTRINSICS, image_size=SIZE)
    clip = np.arange(len(lifted)) % 2 + 3
    dataclasses.replace(lifted, clip=clip, frame=lifted.frame // 2).save(tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as out:
        np.testing.assert_array_equal(out["clip"], clip)


def test_other_endings_are_refused(lifter: Lifter, arrays: dict[str, np.ndarray]) -> None:
    lifted = lifter(arrays["pose2d"], INTRINSICS, image_size=SIZE)
    save = lifted.save
    with pytest.raises(ValueError, match=r"out: got out\.mp4, expected a name that ends in \.npz"):
        save("out.mp4")
