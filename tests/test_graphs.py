"""Steps that a CUDA graph can hold: no waiting for the device, the same ops in every iteration."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from poseda.config import AlignedSettings
from poseda.data import PoseSet
from poseda.data.sampler import Sampler
from poseda.data.tracks import Tracks
from poseda.methods import make_method
from poseda.methods.aligned import Aligned
from poseda.networks.lifters import LIFTERS, frames_of, make_lifter
from poseda.training import graphs
from poseda.training.loop import Schedule, Training
from poseda.training.run_folder import RunFolder
from tests.adapt_settings import adapt_settings

#: Ops whose result, or its shape, the host has to wait for.
WAITING = (
    "_local_scalar_dense", "item", "nonzero", "nonzero_static", "is_nonzero", "equal",
    "masked_select", "unique", "_unique2", "unique_dim", "allclose", "_assert_async",
)  # fmt: skip


class Recorder(TorchDispatchMode):
    """Names of the ops that run, and those among them that would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.ops: list[str] = []
        self.waiting: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        self.ops.append(name)
        indices = args[1] if name in ("index", "index_put", "index_put_") else ()
        boolean = any(isinstance(i, Tensor) and i.dtype == torch.bool for i in indices)
        if name in WAITING or boolean:
            self.waiting.append(name)
        return func(*args, **(kwargs or {}))


STABILIZERS: list[dict[str, Any]] = [
    {"stabilizer": name} for name in ("clip", "penalty", "spectral")
]
VARIANTS: list[dict[str, Any]] = [
    *STABILIZERS,
    {"gan": "lsgan", "rotation": "none", "staged": False},
    {"generator_condition": "target", "critic_domain": "target", "rotation": "tilt"},
    {"critic2d": "target", "rotation": "learned", "stabilizer": "spectral"},
    {"critic2d": "source", "rotation": "network", "stabilizer": "penalty"},
]


@pytest.fixture(scope="module")
def train_sets(pose_sets: tuple[PoseSet, PoseSet]) -> tuple[PoseSet, PoseSet]:
    return pose_sets[0].train, pose_sets[1].train


def make_training(
    folder: Path,
    train_sets: tuple[PoseSet, PoseSet],
    device: str = "cpu",
    name: str = "videopose3d",
    method: str = "poseda",
    **changes: Any,
) -> Training:
    torch.manual_seed(0)
    source, target = (poses.to(device) for poses in train_sets)
    random = torch.Generator("cpu" if device == "meta" else device).manual_seed(0)
    lifter = make_lifter(name, source.skeleton, 32).to(device).train()
    frames = frames_of(lifter)
    settings = adapt_settings(batch=32, warmup=2, **changes)
    mixed = make_method(method, settings, source, target, random, frames, lifter)
    schedule = Schedule(10_000, 32, 1e-3, 0.0)
    sampler = Sampler(source, random, frames)
    return Training(lifter, sampler, schedule, RunFolder(folder), random, mixed)


def iterate(training: Training, count: int) -> None:
    for _ in range(count):
        training.step()
        training.iteration += 1


def flat(module: nn.Module) -> Tensor:
    return torch.cat([value.double().flatten() for value in module.state_dict().values()])


@pytest.mark.parametrize("changes", VARIANTS)
def test_iterations_never_wait_and_run_the_same_ops(
    tmp_path: Path, train_sets: tuple[PoseSet, PoseSet], changes: dict[str, Any]
) -> None:
    training = make_training(tmp_path, train_sets, **changes)
    iterate(training, 10)  # every step has run
    rounds = []
    for _ in range(10):
        with Recorder() as recorder:
            iterate(training, 1)
        assert not recorder.waiting
        rounds.append(recorder.ops)
    assert rounds[:5] == rounds[5:]  # the generator learns in the fifth
    assert rounds[0] == rounds[3] and len(rounds[0]) < len(rounds[4])


@pytest.mark.parametrize("name", LIFTERS)
def test_no_lifter_waits(tmp_path: Path, train_sets: tuple[PoseSet, PoseSet], name: str) -> None:
    training = make_training(tmp_path, train_sets, name=name)
    iterate(training, 6)
    rounds = []
    for _ in range(2):
        with Recorder() as recorder:
            training.lifter_step()
        assert not recorder.waiting
        rounds.append(recorder.ops)
    assert rounds[0] == rounds[1]


@pytest.mark.parametrize("viewpoint", ["camera", "pose"])
def test_alignment_does_not_wait_between_its_rounds(
    tmp_path: Path, train_sets: tuple[PoseSet, PoseSet], viewpoint: Any
) -> None:
    own = AlignedSettings(viewpoint=viewpoint)
    training = make_training(tmp_path, train_sets, method="aligned", aligned=own)
    assert isinstance(training.method, Aligned)
    iterate(training, 10)  # every step has run
    ops = []
    for _ in range(4):
        with Recorder() as recorder:
            iterate(training, 1)
        assert not recorder.waiting
        ops.append(recorder.ops)
        training.method.reading.refresh(training.lifter)
    assert ops[0] == ops[-1]  # whatever is known, so that one graph serves all rounds


def test_recorder_sees_what_waits() -> None:
    values = torch.arange(3.0)
    waits: list[Callable[[], object]] = [
        lambda: values.sum().item(),
        lambda: values[values > 1],
        lambda: bool(values.any()),
        lambda: torch.equal(values, values),
    ]
    for wait in waits:
        with Recorder() as recorder:
            wait()
        assert recorder.waiting


@pytest.mark.parametrize("changes", VARIANTS)
def test_everything_lies_on_the_device(
    tmp_path: Path,
    train_sets: tuple[PoseSet, PoseSet],
    changes: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the device that holds no values: ops refuse a mix with another one, and whatever the host
    waits for fails."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())  # it has none
    training = make_training(tmp_path, train_sets, "meta", **changes)
    training.optimizer = torch.optim.Adam(training.lifter.parameters())  # nor a fused kernel
    iterate(training, 6)
    assert {value.device.type for value in training.step().values()} == {"meta"}


@pytest.mark.parametrize("name", LIFTERS)
def test_lifters_and_windows_lie_on_the_device(
    tmp_path: Path,
    train_sets: tuple[PoseSet, PoseSet],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())
    tracks = {len(poses): poses.tracks for poses in train_sets}  # no device without values has any
    there = {size: Tracks(*(each.to("meta") for each in kept)) for size, kept in tracks.items()}
    monkeypatch.setattr(PoseSet, "tracks", property(lambda poses: there[len(poses)]))
    training = make_training(tmp_path, train_sets, "meta", name)
    training.optimizer = torch.optim.Adam(training.lifter.parameters())
    iterate(training, 6)
    assert training.lifter_step()["lifter_loss"].is_meta


def test_checkpoint_of_a_gpu_goes_on_elsewhere(
    tmp_path: Path, train_sets: tuple[PoseSet, PoseSet]
) -> None:
    training = make_training(tmp_path, train_sets)
    iterate(training, 6)
    state = copy.deepcopy(training.state_dict())
    iterate(training, 6)
    method = state["method"]
    saved = state["optimizer"], method["critic"]["optimizer"], method["generator_optimizer"]
    for optimizer in saved:  # as a GPU writes them
        optimizer["param_groups"][0]["capturable"] = True
    state["optimizer"]["param_groups"][0]["lr"] = torch.tensor(1e-4)
    resumed = make_training(tmp_path, train_sets)
    resumed.load_state_dict(state)
    iterate(resumed, 6)
    assert torch.equal(flat(resumed.lifter), flat(training.lifter))


@pytest.mark.gpu
@pytest.mark.parametrize("changes", STABILIZERS + VARIANTS[-2:])
def test_graphs_train_as_eager_steps_do(
    tmp_path: Path,
    train_sets: tuple[PoseSet, PoseSet],
    changes: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replayed = make_training(tmp_path, train_sets, "cuda", **changes)
    start = copy.deepcopy(replayed.lifter)
    iterate(replayed, 40)
    assert replayed.lifter_step.captured
    monkeypatch.setattr(graphs, "WARM_UP", 1_000_000)
    eager = make_training(tmp_path, train_sets, "cuda", **changes)
    iterate(eager, 40)
    assert not eager.lifter_step.captured
    moved = (flat(eager.lifter) - flat(start)).norm()
    assert (flat(replayed.lifter) - flat(eager.lifter)).norm() < 0.1 * moved


@pytest.mark.gpu
@pytest.mark.parametrize("name", LIFTERS)
def test_every_lifter_trains_in_a_graph(
    tmp_path: Path, train_sets: tuple[PoseSet, PoseSet], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed = make_training(tmp_path, train_sets, "cuda", name)
    start = flat(replayed.lifter)
    torch.cuda.manual_seed(0)
    iterate(replayed, 30)
    assert replayed.lifter_step.captured and flat(replayed.lifter).isfinite().all()
    monkeypatch.setattr(graphs, "WARM_UP", 1_000_000)
    eager = make_training(tmp_path, train_sets, "cuda", name)
    torch.cuda.manual_seed(0)
    iterate(eager, 30)
    moved = (flat(eager.lifter) - start).norm()
    assert (flat(replayed.lifter) - flat(eager.lifter)).norm() < 0.5 * moved


@pytest.mark.gpu
def test_training_does_not_wait_between_log_points(
    tmp_path: Path, train_sets: tuple[PoseSet, PoseSet]
) -> None:
    training = make_training(tmp_path, train_sets, "cuda")
    iterate(training, 30)  # every step is captured by now
    torch.cuda.set_sync_debug_mode("error")
    try:
        iterate(training, 50)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_graphs_resume_to_the_same_numbers(
    tmp_path: Path, train_sets: tuple[PoseSet, PoseSet]
) -> None:
    whole = make_training(tmp_path, train_sets, "cuda")
    iterate(whole, 30)
    state = copy.deepcopy(whole.state_dict())
    iterate(whole, 30)
    resumed = make_training(tmp_path, train_sets, "cuda")
    resumed.load_state_dict(state)
    start = flat(resumed.lifter)
    resumed.lifter.train()
    iterate(resumed, 30)
    moved = (flat(whole.lifter) - start).norm()
    assert (flat(resumed.lifter) - flat(whole.lifter)).norm() < 0.1 * moved
