"""The training loop: schedules, checkpoints, interruption, divergence."""

from __future__ import annotations

import json
import os
import platform
import resource
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from poseda.data import PoseSet
from poseda.data.sampler import Sampler
from poseda.methods import make_method
from poseda.methods.method import Pairs
from poseda.networks.lifters import make_lifter
from poseda.training.loop import Diverged, Interrupted, Schedule, Training
from poseda.training.run_folder import RunFolder, compare_settings
from tests.adapt_settings import adapt_settings

STEPS = 24


def make_training(
    folder: Path,
    pose_sets: tuple[PoseSet, PoseSet],
    *,
    method: str | None = "poseda",
    stabilizer: str = "spectral",
    lr: float = 1e-3,
    checkpoint_every: int = 8,
    batch: int = 16,
) -> Training:
    torch.manual_seed(0)
    source, target = (poses.train for poses in pose_sets)
    random = torch.Generator().manual_seed(0)
    lifter = make_lifter("videopose3d", source.skeleton, 16)
    settings = adapt_settings(batch=batch, warmup=5, stabilizer=stabilizer)
    mixed = None
    if method is not None:
        mixed = make_method(method, settings, source, target, random)
    schedule = Schedule(STEPS, batch, lr, 0.0)
    return Training(
        lifter,
        Sampler(source, random),
        schedule,
        RunFolder(folder),
        random,
        mixed,
        checkpoint_every=checkpoint_every,
    )


def flat(module: nn.Module) -> Tensor:
    return torch.cat([v.double().flatten() for v in module.state_dict().values()])


def test_schedules_fall_as_they_say() -> None:
    linear, exponential = Schedule(100, 1, 5e-4, 0.0), Schedule(100, 1, 1e-3, 1e-5)
    assert [linear.rate(step) for step in (0, 50, 100)] == pytest.approx([5e-4, 2.5e-4, 0])
    assert [exponential.rate(s) for s in (0, 50, 100)] == pytest.approx([1e-3, 1e-4, 1e-5])


def test_training_on_the_source_learns(tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]) -> None:
    training = make_training(tmp_path, pose_sets, method=None)
    losses = [training.step()["lifter_loss"].item() for _ in range(60)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_lifter_rests_during_warm_up(tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]) -> None:
    training = make_training(tmp_path, pose_sets)
    before = flat(training.lifter)
    for training.iteration in range(5):
        assert "lifter_loss" not in training.step()
    assert torch.equal(flat(training.lifter), before)
    training.iteration = 5
    assert "lifter_loss" in training.step()
    assert not torch.equal(flat(training.lifter), before)
    assert training.total == 5 + STEPS


def test_batch_is_half_source_and_half_method(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    training = make_training(tmp_path, pose_sets, method="gpa")
    seen: list[Tensor] = []
    training.lifter.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    training.step()
    assert seen[0].shape == (32, 16, 2)
    pose2d = pose_sets[0].train.pose2d.flatten(1)
    distance = (seen[0].flatten(1)[:, None] - pose2d).abs().amax(-1).amin(1)
    assert (distance[:16] == 0).all() and (distance[16:] > 0).all()


def test_pairs_left_out_do_not_touch_the_lifter(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    class Far:
        warmup = 0

        def iterate(self, iteration: int) -> dict[str, Tensor]:
            return {}

        def describe(self) -> dict[str, Tensor]:
            return {}

        def pairs(self) -> Pairs:
            far = torch.full((16, 16, 3), torch.inf)
            return Pairs(far[..., :2], far, torch.zeros(16, dtype=torch.bool))

    training = make_training(tmp_path, pose_sets, method=None)
    training.method = Far()  # type: ignore[assignment]
    assert torch.isfinite(training.step()["lifter_loss"])
    assert torch.isfinite(flat(training.lifter)).all()


@pytest.mark.parametrize("stabilizer", ["spectral", "penalty"])
def test_resumed_training_ends_in_the_same_numbers(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet], stabilizer: str
) -> None:
    whole = make_training(tmp_path / "whole", pose_sets, stabilizer=stabilizer)
    whole.run()

    def kill(iteration: int, total: int, scalars: dict[str, float]) -> None:
        if iteration >= 16:
            raise ConnectionError  # dies right after a log line, with the checkpoint of step 8

    killed = make_training(tmp_path / "killed", pose_sets, stabilizer=stabilizer)
    with pytest.raises(ConnectionError):
        killed.run(kill)
    torch.rand(7)  # some other use of the global generator
    resumed = make_training(tmp_path / "killed", pose_sets, stabilizer=stabilizer)
    resumed.run()
    assert torch.equal(flat(resumed.lifter), flat(whole.lifter))
    for record, expected in zip(resumed.folder.records(), whole.folder.records(), strict=True):
        for scalars in (record, expected):
            del scalars["poses_per_s"]
        assert record == expected


only_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to")


@only_glibc
def test_training_keeps_the_memory_that_it_frees(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    make_training(tmp_path, pose_sets, method=None).run()
    faults = []
    for _ in range(12):
        torch.ones(5_000_000)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    assert faults[-1] - faults[5] < 2_000  # of 4,883 pages each time


@only_glibc
def test_a_step_asks_the_system_for_next_to_no_memory(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    make_training(tmp_path / "tells glibc", pose_sets, method=None).run()
    training = make_training(tmp_path / "steps", pose_sets, batch=2048)
    training.iteration = training.warmup
    faults = []
    for _ in range(20):
        assert "lifter_loss" in training.step()
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    # Some 50,000 where memory goes back to the system; the heap may still have grown a little.
    assert faults[-1] - faults[9] < 10_000


def test_bfloat16_learns_as_float32_does(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    losses = []
    for precision in (torch.float32, torch.bfloat16):
        training = make_training(tmp_path, pose_sets, method="gpa")
        training.precision = precision
        steps = [training.step()["lifter_loss"].item() for _ in range(80)]
        losses.append(sum(steps[-20:]) / 20)
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_tf32_holds_while_a_training_runs(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    setting = torch.backends.cuda.matmul
    before = setting.fp32_precision
    for tf32 in (False, True):
        training = make_training(tmp_path / str(tf32), pose_sets, method=None)
        training.tf32 = tf32
        seen: list[str] = []
        hook = training.lifter.register_forward_pre_hook(
            lambda module, inputs, seen=seen: seen.append(setting.fp32_precision)
        )
        training.run()
        hook.remove()
        assert set(seen) == {"tf32" if tf32 else before}
        assert setting.fp32_precision == before


def test_finished_training_is_not_run_again(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    make_training(tmp_path, pose_sets, method=None).run()
    calls: list[int] = []
    make_training(tmp_path, pose_sets, method=None).run(lambda *progress: calls.append(1))
    assert not calls


def test_interrupt_saves_and_a_later_run_goes_on(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    training = make_training(tmp_path, pose_sets, checkpoint_every=10_000)
    handler = signal.getsignal(signal.SIGINT)
    step = training.step

    def interrupted_step() -> dict[str, Tensor]:
        if training.iteration == 11:
            os.kill(os.getpid(), signal.SIGINT)
        return step()

    training.step = interrupted_step  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        training.run()
    assert signal.getsignal(signal.SIGINT) is handler
    state = training.folder.load_state()
    assert state is not None and state["iteration"] == 12
    resumed = make_training(tmp_path, pose_sets)
    resumed.run()
    assert resumed.iteration == resumed.total


def test_interrupt_while_logging_saves_too(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    training = make_training(tmp_path, pose_sets, checkpoint_every=10)

    def interrupt(iteration: int, total: int, scalars: dict[str, float]) -> None:
        if iteration == 10:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        training.run(interrupt)
    state = training.folder.load_state()
    assert state is not None and state["iteration"] == training.iteration == 11


def test_divergence_is_said_and_not_saved(
    tmp_path: Path, pose_sets: tuple[PoseSet, PoseSet]
) -> None:
    training = make_training(tmp_path, pose_sets, method=None, checkpoint_every=1)
    step = training.step

    def broken_step() -> dict[str, Tensor]:
        scalars = step()
        return scalars if training.iteration < 3 else {"lifter_loss": torch.tensor(torch.nan)}

    training.step = broken_step  # type: ignore[method-assign]
    with pytest.raises(Diverged, match=r"diverged at iteration 4: .*lower learning rate"):
        training.run()
    state = training.folder.load_state()
    assert state is not None and state["iteration"] == 3


def test_broken_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.state_path.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ValueError, match=r"state.pt: is not a checkpoint .*remove it"):
        folder.load_state()


def test_checkpoint_that_would_run_code_does_not(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'owned'}",)

    folder = RunFolder(tmp_path)
    torch.save({"iteration": Malicious()}, folder.state_path)
    with pytest.raises(ValueError, match="is not a checkpoint"):
        folder.load_state()
    assert not (tmp_path / "owned").exists()


def test_metrics_cut_short_by_a_kill_are_read_and_mended(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.metrics_path.write_text('{"step": 50, "a": 1.0}\n{"step": 100, "a": 2.0}\n{"step": 1')
    assert [record["step"] for record in folder.records()] == [50, 100]
    folder.truncate_metrics(60)
    assert folder.metrics_path.read_text() == '{"step": 50, "a": 1.0}\n'


def test_settings_of_another_training_are_named_without_harm(tmp_path: Path) -> None:
    def refusal(text: str, settings: dict[str, object]) -> str:
        (tmp_path / "settings.json").write_text(text)
        with pytest.raises(ValueError, match="started with other settings") as refused:
            compare_settings(tmp_path, settings)
        return str(refused.value)

    now = {"a": 0, "b": {"c": None}, "d": "x"}
    said = refusal('{"a": false, "b": {}, "d": "x"}', now)
    assert "settings (a false, now 0; b.c not there, now null); give those again" in said
    wild = json.dumps({"\ud800\n\x1b[2J" + "k" * 5000: "\n" * 5000, "e": 1, "f": 2})
    said = refusal(wild, now)
    assert said.isprintable() and len(said) < 1000 and "and 3 more" in said
    said.encode()
    assert "other settings; give" in refusal("{", now)
    assert "other settings; give" in refusal("[1]", now)
