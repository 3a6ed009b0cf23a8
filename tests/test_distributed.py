"""Two Gloo processes on one training: the same result as one process at the same batch, one
writer, and an end in good order when one of them is stopped or killed."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

pytest.importorskip("tyro", reason="the command line needs tyro")
pytest.importorskip("pydantic", reason="run folders need pydantic")
if not (dist.is_available() and dist.is_gloo_available()):
    pytest.skip("this torch is built without Gloo", allow_module_level=True)

from poseda import device, distributed, experiment, runner
from poseda.cli import main
from poseda.config import AlignedSettings
from poseda.data import PoseSet, load_pose_set
from poseda.data.sampler import Sampler
from poseda.methods import make_method
from poseda.metrics import mpjpe
from poseda.networks.dropout import ReLUDropout
from poseda.networks.lifters import frames_of, make_lifter
from poseda.networks.replicas import SyncBatchNorm
from poseda.training.loop import Interrupted, Schedule, Training
from poseda.training.run_folder import RunFolder
from tests.adapt_settings import adapt_settings

STEPS, BATCH = 12, 16
CELLS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "pretrain": (None, {}),
    "control": ("control", {}),
    "poseda": ("poseda", {}),
    "penalty": ("poseda", {"stabilizer": "penalty"}),
    "variant": (
        "poseda",
        {
            "critic2d": "target",
            "rotation": "learned",
            "stabilizer": "spectral",
            "generator_condition": "target",
            "critic_domain": "target",
        },
    ),
    "poseaug": ("poseaug", {"steps": STEPS}),
    "windows": ("poseda", {}),
    "adaptpose": ("adaptpose", {"gan_lr": 1e-5}),
    "aligned": ("aligned", {"steps": STEPS, "aligned": AlignedSettings(rounds=4)}),
}
#: of the other cells it is VideoPose3D
LIFTER_OF = {"windows": "videopose3d_27"}
#: In double precision nothing but the order of summation differs. In single precision Adam and
#: RMSProp turn the round-off of gradients near zero into whole steps: losses and errors agree.
TOLERANCE = 1e-12
SINGLE_TOLERANCE = 1e-3
SINGLE_CELLS = ("control", "poseda")
#: The poses that it learns from are fitted to what the lifter says, which magnifies the round-off.
TOLERANCE_OF = {"aligned": 1e-9}


def load(path: Path, dtype: torch.dtype) -> PoseSet:
    poses = load_pose_set(path).train
    assert poses.pose3d is not None
    return dataclasses.replace(
        poses,
        pose2d=poses.pose2d.to(dtype),
        intrinsics=poses.intrinsics.to(dtype),
        pose3d=poses.pose3d.to(dtype),
    )


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def make_training(
    folder: Path, domains: tuple[Path, Path], cell: str, dropout: float = 0.0
) -> Training:
    """In the default dtype. Without dropout, whose masks differ between processes."""
    method, changes = CELLS[cell]
    source, target = (load(path, torch.get_default_dtype()) for path in domains)
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    lifter = make_lifter(LIFTER_OF.get(cell, "videopose3d"), source.skeleton, 16)
    frames = frames_of(lifter)
    for module in lifter.modules():
        if isinstance(module, ReLUDropout):
            module.rate = dropout
    mixed = None
    if method is not None:
        settings = adapt_settings(batch=BATCH, warmup=5, **changes)
        mixed = make_method(method, settings, source, target, random, frames, lifter)
    schedule = Schedule(STEPS, BATCH, 1e-3, 0.0)
    return Training(
        lifter, Sampler(source, random, frames), schedule, RunFolder(folder), random, mixed,
        checkpoint_every=8,
    )  # fmt: skip


def train(folder: Path, domains: tuple[Path, Path], cell: str, dtype: torch.dtype) -> Training:
    with default_dtype(dtype):
        training = make_training(folder, domains, cell)
        training.run()
    return training


def source_error(training: Training, domains: tuple[Path, Path]) -> float:
    """MPJPE on the source."""
    poses = load(domains[0], torch.float32)
    assert poses.pose3d is not None
    with torch.no_grad():
        found = training.lifter.eval()(poses.pose2d)
    return float(mpjpe(found, poses.pose3d - poses.pose3d[:, :1]).mean())


# --- what each of the two processes does


def work(rank: int, ports: list[int], folder: Path, domains: tuple[Path, Path]) -> None:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(ports[0]),
    )  # fmt: skip
    torch.set_num_threads(1)
    sys.stdout, sys.stderr = ((folder / f"{name}{rank}").open("w") for name in ("stdout", "stderr"))
    main([
        "adapt", "--out", str(folder / "run"), "--device", "cpu", "--width", "8",
        "--source", str(domains[0]), "--target", str(domains[1]),
        "--pretrain.steps", "4", "--pretrain.batch", "16",
        "--adapt.steps", "4", "--adapt.batch", "16", "--adapt.warmup", "2",
    ])  # fmt: skip
    os.environ["MASTER_PORT"] = str(ports[1])
    with distributed.joined("AGAIN"):
        own = folder / f"rank{rank}"  # each looks elsewhere, so that it shows who writes
        results: dict[str, Any] = {
            cell: train(own / cell, domains, cell, torch.float64).state_dict() for cell in CELLS
        }
        for cell in SINGLE_CELLS:
            single = train(own / f"single-{cell}", domains, cell, torch.float32)
            results[f"error of single {cell}"] = source_error(single, domains)
        results["stopped"] = stop_one(folder / "stopped", domains, rank)
        results["dropout"] = with_dropout(folder / "dropout", domains)
        results["norm"] = normalize(rank)
        results["too few rows"] = refuse()
        torch.save(results, folder / f"results{rank}.pt")
        hang(rank)


def stop_one(folder: Path, domains: tuple[Path, Path], rank: int) -> int:
    """The iteration at which both stop when the second is asked to; then both go on."""
    training = make_training(folder, domains, "pretrain")
    step = training.step

    def interrupted_step() -> dict[str, Tensor]:
        if training.iteration == 3 and rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step()

    training.step = interrupted_step  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        training.run()
    distributed.from_first(lambda: None)
    resumed = make_training(folder, domains, "pretrain")
    resumed.run()
    assert resumed.iteration == resumed.total
    return training.iteration


def with_dropout(folder: Path, domains: tuple[Path, Path]) -> Tensor:
    """The weights, and a number that this process draws next."""
    training = make_training(folder, domains, "pretrain", dropout=0.25)
    training.run()
    return torch.cat((flat(training.lifter.state_dict()), torch.rand(1)))


SHAPES = ((12, 5), (6, 5, 3), (12, 5, 1))
#: With weight and bias, and without.
NORMS = [(shape, affine) for shape in SHAPES for affine in (True, False)]


def batch_and_weight(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Far from zero mean, where a difference of mean squares would lose digits."""
    random = torch.Generator().manual_seed(1)
    batch = 1e4 + torch.randn(shape, generator=random, dtype=torch.float64)
    return batch, torch.randn(shape, generator=random, dtype=torch.float64)


def run_norm(norm: nn.Module, batch: Tensor, weight: Tensor) -> dict[str, Tensor]:
    batch = batch.clone().requires_grad_()
    made = norm(batch)
    (made * weight).sum().backward()
    assert batch.grad is not None
    gradients = {f"{name}.grad": p.grad for name, p in norm.named_parameters()}
    return {"made": made.detach(), "batch.grad": batch.grad, **gradients, **norm.state_dict()}


def normalize(rank: int) -> list[dict[str, Tensor]]:
    """Each process has half of the batch."""
    made = []
    for shape, affine in NORMS:
        halves = [t.chunk(2)[rank] for t in batch_and_weight(shape)]
        norm = nn.BatchNorm1d(5, affine=affine).double()
        made.append(run_norm(SyncBatchNorm.of(norm), *halves))
    return made


def refuse() -> str:
    try:
        distributed.own_rows(torch.zeros(7))
    except ValueError as error:
        return str(error)
    return "taken"


def hang(rank: int) -> None:
    """The first waits in a collective for the second, which never comes, and is asked to end."""
    if rank == 1:
        threading.Event().wait(120)
    distributed.GRACE = 0.2
    with runner._terminable():
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        distributed.average(torch.zeros(1))


# --- the tests


@pytest.fixture(scope="module")
def two(domains: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that two processes leave."""
    folder = tmp_path_factory.mktemp("two")
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as other:
        ports = [server.getsockname()[1] for server in (one, other)]
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=work, args=(rank, ports, folder, domains)) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    processes[0].join(120)
    for process in processes:
        process.kill()
        process.join()
    assert (folder / "results0.pt").exists(), (folder / "stderr0").read_text()
    (folder / "status").write_text(str(processes[0].exitcode))
    return folder


@pytest.fixture(scope="module")
def results(two: Path) -> list[dict[str, Any]]:
    """By process."""
    return [torch.load(two / f"results{rank}.pt", weights_only=True) for rank in (0, 1)]


def flat(state: object) -> Tensor:
    """All floating-point numbers of a state."""
    if isinstance(state, Tensor):
        return state.double().flatten() if state.is_floating_point() else torch.zeros(0)
    values: Any = state.values() if isinstance(state, dict) else state
    nested = isinstance(state, dict | list | tuple)
    return torch.cat([torch.zeros(0), *map(flat, values)]) if nested else torch.zeros(0)


@pytest.mark.parametrize("cell", CELLS)
def test_two_processes_end_in_the_numbers_of_one(
    cell: str, results: list[dict[str, Any]], domains: tuple[Path, Path], tmp_path: Path
) -> None:
    alone = train(tmp_path, domains, cell, torch.float64).state_dict()
    for part in ("lifter", "optimizer", "method"):
        expected, first, second = (flat(s[part]) for s in (alone, *(r[cell] for r in results)))
        tolerance = TOLERANCE_OF.get(cell, TOLERANCE)
        torch.testing.assert_close(first, expected, rtol=tolerance, atol=tolerance)
        assert torch.equal(first, second)
    assert torch.equal(results[0][cell]["random"], alone["random"])
    assert results[0][cell]["lifter"].keys() == alone["lifter"].keys()
    if cell == "aligned":
        assert alone["method"]["foreign"] == 1  # pairs were made


def test_logged_scalars_are_those_of_the_whole_batch(
    two: Path, domains: tuple[Path, Path], tmp_path: Path
) -> None:
    alone = train(tmp_path / "double", domains, "poseda", torch.float64).folder.records()
    for record, expected in zip(RunFolder(two / "rank0" / "poseda").records(), alone, strict=True):
        del record["poses_per_s"], expected["poses_per_s"]
        assert record == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("cell", SINGLE_CELLS)
def test_in_single_precision_losses_and_errors_agree(
    cell: str, two: Path, results: list[dict[str, Any]], domains: tuple[Path, Path], tmp_path: Path
) -> None:
    alone = train(tmp_path / "single", domains, cell, torch.float32)
    expected = alone.folder.records()[-1]["lifter_loss"]
    (*_, found) = RunFolder(two / "rank0" / f"single-{cell}").records()
    assert found["lifter_loss"] == pytest.approx(expected, rel=SINGLE_TOLERANCE)
    error = results[0][f"error of single {cell}"]
    assert error == pytest.approx(source_error(alone, domains), rel=SINGLE_TOLERANCE)


def test_the_first_process_alone_writes(two: Path) -> None:
    singles = {f"single-{cell}" for cell in SINGLE_CELLS}
    assert {path.name for path in (two / "rank0").iterdir()} == {*CELLS, *singles}
    assert not (two / "rank1").exists()


def test_a_command_leaves_one_whole_run_folder(two: Path) -> None:
    assert json.loads((two / "run" / "results.json").read_text())[0]["mpjpe"] > 0
    assert "report: " in (two / "stdout0").read_text()
    assert not (two / "stdout1").read_text()


def test_a_checkpoint_of_two_processes_is_gone_on_with_by_one(
    two: Path, results: list[dict[str, Any]], domains: tuple[Path, Path]
) -> None:
    folder = RunFolder(two / "rank0" / "poseda")
    state = folder.load_state()
    assert state is not None
    with default_dtype(torch.float64):
        training = make_training(folder.path, domains, "poseda")
        training.load_state_dict(state)
        assert training.iteration == training.total
        assert torch.equal(flat(training.lifter.state_dict()), flat(results[0]["poseda"]["lifter"]))
        assert torch.isfinite(training.step()["lifter_loss"])


def test_a_stop_of_one_stops_both_with_the_state_saved(results: list[dict[str, Any]]) -> None:
    assert [result["stopped"] for result in results] == [4, 4]


def test_dropout_differs_between_processes_and_the_weights_do_not(
    results: list[dict[str, Any]],
) -> None:
    first, second = (result["dropout"] for result in results)
    assert torch.isfinite(first).all()
    assert torch.equal(first[:-1], second[:-1])
    assert first[-1] != second[-1]


@pytest.mark.parametrize("number", range(len(NORMS)), ids=map(str, NORMS))
def test_synchronized_batch_norm_is_that_of_the_whole_batch(
    number: int, results: list[dict[str, Any]]
) -> None:
    shape, affine = NORMS[number]
    norm = nn.BatchNorm1d(5, affine=affine).double()
    expected = run_norm(norm, *batch_and_weight(shape))
    halves = [result["norm"][number] for result in results]
    assert halves[0].keys() == expected.keys()
    for name in ("made", "batch.grad"):
        found = torch.cat([half[name] for half in halves])
        torch.testing.assert_close(found, expected[name], rtol=1e-9, atol=1e-9)
    for name in (
        ("weight.grad", "bias.grad") if affine else ()
    ):  # of a sum: each process has its part
        found = halves[0][name] + halves[1][name]
        torch.testing.assert_close(found, expected[name], rtol=1e-9, atol=1e-9)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        for half in halves:
            torch.testing.assert_close(half[name], expected[name], rtol=1e-11, atol=0)


@pytest.mark.gpu
@pytest.mark.parametrize(("shape", "affine"), NORMS, ids=map(str, NORMS))
def test_synchronized_batch_norm_does_not_wait_for_the_device(
    shape: tuple[int, ...], affine: bool
) -> None:
    batch, weight = (t.cuda() for t in batch_and_weight(shape))
    norms = [nn.BatchNorm1d(5, affine=affine, device="cuda", dtype=torch.float64) for _ in range(2)]
    expected = run_norm(norms[0], batch, weight)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = run_norm(SyncBatchNorm.of(norms[1]), batch, weight)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-9)


def test_rows_that_cannot_be_shared_are_refused(results: list[dict[str, Any]]) -> None:
    assert {result["too few rows"] for result in results} == {
        "batch: got 7 for 2 processes, expected a multiple of 2"
    }


def test_a_process_stuck_in_a_collective_ends_when_asked(two: Path) -> None:
    assert (two / "status").read_text() == "1"
    assert "go on with: AGAIN" in (two / "stderr0").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pretrain.batch", "33"), "pretrain.batch: got 33 for 2 processes, expected a multiple"),
        (("--adapt.batch", "7"), "adapt.batch: got 7 for 2 processes, expected a multiple of 2"),
        (("--device", "cuda:1"), "device: got 'cuda:1' for 2 processes, expected auto, cpu or"),
        (("--jobs", "2"), "jobs: got 2 for 2 processes that train together, expected 1"),
    ],
)
def test_bad_arguments_for_two_processes(
    arguments: tuple[str, ...],
    message: str,
    domains: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for module in (device, experiment, runner):
        monkeypatch.setattr(module, "world_size", lambda: 2)
    data = ("--source", str(domains[0]), "--target", str(domains[1]))
    with pytest.raises(SystemExit) as stop:
        main(["adapt", *data, "--device", "cpu", "--out", str(tmp_path / "run"), *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


MORTAL = '''
import os, signal
from torch import nn
from poseda.networks.lifters import simple_baseline

class Mortal(nn.Module):
    """Dies in the second process at the forward pass whose number FATAL says."""

    def __init__(self, skeleton):
        super().__init__()
        self.lifter, self.unused, self.calls = simple_baseline(skeleton, 8), nn.Linear(1, 1), 0

    def forward(self, pose2d):
        self.calls += 1
        if os.environ.get("RANK") == "1" and os.environ.get("FATAL") == str(self.calls):
            os.kill(os.getpid(), signal.SIGKILL)
        return self.lifter(pose2d)
'''


def torchrun(folder: Path, *arguments: object, **environment: str) -> tuple[int, str]:
    """Status and errors of a command in two processes."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    found = subprocess.run(
        [sys.executable, *launcher, "-m", "poseda", *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return found.returncode, found.stderr


def test_a_killed_process_ends_the_run_and_resume_ends_it_well(
    domains: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mortal.py").write_text(MORTAL)
    out = tmp_path / "run"
    status, errors = torchrun(
        tmp_path,
        *("pretrain", "--source", domains[0], "--target", domains[1], "--out", out),
        *("--lifter", "mortal:Mortal", "--device", "cpu", "--pretrain.steps", 40),
        *("--pretrain.batch", 16, "--checkpoint-every", 10),
        FATAL="25",
    )
    assert status != 0
    again = f"go on with: torchrun --nproc-per-node 2 -m poseda pretrain --resume {out}"
    assert errors.count("poseda: error: a process of this run has ended") == 1
    assert again in errors
    training = RunFolder(out / "seed0" / "pretrain")
    state = training.load_state()
    assert state is not None and state["iteration"] == 20
    assert not training.weights_path.exists()

    monkeypatch.syspath_prepend(str(tmp_path))
    main(["pretrain", "--resume", str(out)])
    state = training.load_state()
    assert state is not None and state["iteration"] == 40
    assert json.loads((out / "results.json").read_text())[0]["mpjpe"] > 0


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_together(domains: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "run"
    status, errors = torchrun(
        tmp_path,
        *("adapt", "--source", domains[0], "--target", domains[1], "--out", out),
        *("--device", "cuda", "--width", 16, "--pretrain.steps", 60, "--pretrain.batch", 32),
        *("--adapt.steps", 40, "--adapt.batch", 32, "--adapt.warmup", 10),
    )
    assert status == 0, errors
    assert json.loads((out / "results.json").read_text())[-1]["mpjpe"] > 0
