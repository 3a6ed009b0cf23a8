"""Splits to develop on: other bodies and cameras, the same motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from benchmarks.splits import BODIES, RIGS, SPLITS, make_split, with_body
from poseda.data import load_pose_set
from poseda_ext import H36M_17, bones


def test_bodies_change_lengths_alone() -> None:
    joints = np.random.default_rng(0).normal(size=(5, 17, 3)).astype(np.float32)
    np.testing.assert_allclose(with_body(joints, "own"), joints, atol=1e-6)
    small = bones(torch.from_numpy(with_body(joints, "small")), H36M_17)
    own = bones(torch.from_numpy(joints).double(), H36M_17)
    ratio = small.norm(dim=-1) / own.norm(dim=-1)
    for side in "LR":
        for part, factor in (("Hip", 0.6), ("Wrist", 0.85)):
            found = ratio[:, H36M_17.bone(side + part)]
            torch.testing.assert_close(found, torch.full_like(found, factor))
    torch.testing.assert_close(small, own * ratio[..., None], atol=1e-6, rtol=0)


def test_splits_name_what_there_is_and_share_nobody_with_what_they_develop() -> None:
    for split in SPLITS.values():
        assert split.body in BODIES
        assert split.rig in (*RIGS, "human36m")
    source = set(SPLITS["dev_source"].subjects)
    for name in ("dev_small", "dev_long", "unseen", "unseen2"):
        assert not source & set(SPLITS[name].subjects)
    developed = SPLITS["dev_small"], SPLITS["dev_long"]
    for name in ("unseen", "unseen2"):
        assert not any(set(split.subjects) & set(SPLITS[name].subjects) for split in developed)


def test_a_split_of_real_motion(mocap: Path, tmp_path: Path) -> None:
    make_split(SPLITS["dev_long"], mocap / "cmu.npz", tmp_path / "long.npz")
    poses = load_pose_set(tmp_path / "long.npz")
    assert set(poses.camera_class) == {"high", "ground", "hip"}
    assert set(poses.subject) == {"CMU_16", "CMU_29"}
    assert 0.1 < poses.split.float().mean() < 0.5
