"""The training benchmark: its baseline computes the same losses, its rows hold what they say."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.__main__ import main
from benchmarks.runner import QUICK, Settings
from benchmarks.train_baseline import Baseline, Noise, PartCritic
from benchmarks.train_step import Bench, TrainSettings, count_waits, data, profile_table
from poseda.networks.generator import NOISE

SETTINGS = TrainSettings(batch=64, width=32, poses=500, timing=QUICK)


@pytest.fixture(scope="module")
def bench() -> Bench:
    source, target = data(SETTINGS)
    target.pose2d[::3] += 0.8  # where many joints are out of sight
    return Bench(SETTINGS, source, target)


def share_weights(bench: Bench) -> Baseline:
    """Gives the baseline the weights of ours; nothing drops out in either."""
    ours, base = bench.method, bench.baseline
    assert ours.local is not None
    base.generator.load_state_dict(ours.local.generator.state_dict(), strict=False)
    critic = ours.local.critic
    used = critic.used.view(len(critic.biases[0]), -1) > 0
    for part, network in enumerate(base.critic.networks):
        assert isinstance(network, PartCritic)
        for layer, linear in enumerate(network.layers):
            weight = critic.weights[layer][part]
            assert isinstance(linear, torch.nn.Linear)
            linear.weight.data.copy_((weight[used[part]] if layer == 0 else weight).T)
            linear.bias.data.copy_(critic.biases[layer][part, 0])
    base.lifter.load_state_dict(bench.training.lifter.state_dict())
    for lifter in (base.lifter, bench.training.lifter):
        for module in lifter.modules():
            for rate in ("p", "rate"):
                if hasattr(module, rate):
                    setattr(module, rate, 0.0)
    return base


def flat(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def same_draws(bench: Bench) -> tuple[torch.Tensor, Noise]:
    """The source rows and the noise that our next generation will draw."""
    state = bench.random.get_state()
    batch, random = bench.settings.batch, bench.random
    rows = bench.method.source.rows(batch)
    angle, length = (torch.randn(batch, NOISE, generator=random) for _ in range(2))
    rotation = torch.empty(batch, 3).uniform_(-1, 1, generator=random)
    random.set_state(state)
    return rows, Noise(angle, length, rotation)


def test_baseline_computes_the_same_losses(bench: Bench) -> None:
    base, local = share_weights(bench), bench.method.local
    assert local is not None
    pose3d = bench.source.pose3d
    assert pose3d is not None
    for layer in (local.generator.bone_angle.last, base.generator.bone_angle.last):
        torch.manual_seed(5)
        torch.nn.init.normal_(layer.weight, std=0.3)
    start = flat(local.generator), flat(bench.training.lifter)
    for _ in range(3):  # each step learns, so later ones also compare the steps before
        for ours, theirs in (
            (local.critic_step, base.critic_step),
            (local.generator_step, base.generator_step),
        ):
            rows, noise = same_draws(bench)
            expected = theirs(pose3d[rows], noise)
            for name, value in ours().items():
                assert value.item() == pytest.approx(expected[name], rel=2e-3, abs=1e-6)
        state = bench.random.get_state()
        own, there = (s.rows(SETTINGS.batch) for s in (bench.method.source, bench.method.target))
        bench.random.set_state(state)
        expected = base.lifter_step(
            bench.source.pose2d[own],
            pose3d[own],
            bench.target.pose2d[there],
            bench.target.intrinsics[there],
        )
        found = bench.training.lifter_step()
        assert found["kept"].float().mean().item() == pytest.approx(expected["kept"])
        assert 0.2 < expected["kept"] < 1
        assert found["lifter_loss"].item() == pytest.approx(expected["lifter_loss"], rel=1e-3)
    networks = (local.generator, base.generator), (bench.training.lifter, base.lifter)
    for (mine, other), first in zip(networks, start, strict=True):
        assert (flat(mine) - flat(other)).norm() < 0.02 * (flat(mine) - first).norm()


def test_train_writes_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    once = Settings(seconds=0, blocks=1, sample_ms=0, warm_up=0)
    monkeypatch.setattr("benchmarks.__main__.QUICK", once)
    path = tmp_path / "rows.json"
    arguments = ["train", "--json", str(path), "--batch", "16", "--width", "16"]
    assert main([*arguments, "--poses", "200", "--quick", "--profile"]) == 0
    rows = json.loads(path.read_text())
    assert [row["step"] for row in rows] == ["critic", "generator", "lifter", "iteration"]
    for row in rows:
        assert (row["device"], row["batch"], row["width"]) == ("cpu", 16, 16)
        assert min(row["ours_ms"], row["baseline_ms"], row["networks_ms"]) > 0
        assert row["poses_per_s"] == pytest.approx(16e3 / row["ours_ms"])
    assert rows[3]["epoch_s"] == pytest.approx(rows[3]["ours_ms"] * 1e-3 * 1_560_000 / 16)
    assert "| iteration |" in capsys.readouterr().out
    assert sum(rows[3]["profile"].values()) == pytest.approx(1)


def test_profile_groups_all_time(bench: Bench) -> None:
    shares = bench.profile(rounds=1)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["matrix products"] > 0 and shares["kinematics"] > 0 and shares["optimiser"] > 0
    assert "| matrix products |" in profile_table(shares)


def test_counts_what_waits_and_not_the_mode_itself() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # As torch words them (c10/cuda/CUDAFunctions.cpp, torch/csrc/cuda/Module.cpp).
        warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn(
            "Synchronization debug mode is a prototype feature and does not yet detect all "
            "synchronizing operations",
            stacklevel=1,
        )
    assert count_waits(caught) == 1
