"""Times each step of Algorithm 1: ours, a plain-torch baseline, and the bare networks.

The bare networks are the least that a step can cost in this framework: forward and backward of the
same networks at the same batch on tensors that are ready, and the same optimiser steps; nothing is
sampled, moved, projected, clipped or checked.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.results import Row, metadata
from benchmarks.runner import Contender, Settings, Timing, alternate
from benchmarks.train_baseline import Baseline
from poseda.config import AdaptSettings
from poseda.data import PoseSet
from poseda.data.poseset import pose_set_from_arrays
from poseda.data.sampler import Sampler
from poseda.data.synthetic import make_source, make_target
from poseda.experiment import PRECISIONS
from poseda.methods import PoseDA, Task
from poseda.methods.adversary import rmsprop
from poseda.networks.generator import NOISE
from poseda.networks.lifters import make_lifter
from poseda.training.graphs import WARM_UP, Step
from poseda.training.loop import Schedule, Training, adam, matrix_products
from poseda.training.memory import keep_freed_memory
from poseda.training.run_folder import RunFolder

STEPS = ("critic", "generator", "lifter", "iteration")
#: Human3.6M's training poses of all four cameras.
EPOCH = 1_560_000


@dataclass(frozen=True)
class TrainSettings:
    """What to measure.

    Attributes:
        batch: source poses per step; the lifter sees twice as many.
        width: units of the lifter's hidden layers.
        poses: poses of the source, and of the target.
        device: "cpu" or "cuda".
        threads: on the CPU.
        workers: processes that load the baseline's batches.
        precision: as in `poseda.config.Settings`; "tf32" serves the baseline too, "bfloat16" does
            not.
        timing: how long and how often to measure a step.
    """

    batch: int = 1024
    width: int = 1024
    poses: int = 20_000
    device: str = "cpu"
    threads: int = 1
    workers: int = 0
    precision: str = "float32"
    timing: Settings = field(default_factory=lambda: Settings(seconds=10.0))


def data(settings: TrainSettings) -> tuple[PoseSet, PoseSet]:
    """Synthetic source and target, repeated to as many poses as are asked for."""
    some = min(settings.poses, 20_000)
    sets = []
    for make in (make_source, make_target):
        poses = pose_set_from_arrays(make(seed=0, frames=some), name=make.__name__).train
        sets.append(poses.rows(torch.arange(settings.poses) % len(poses)))
    return sets[0], sets[1]


class Networks:
    """The bare passes and optimiser steps, on copies of the networks of ours."""

    def __init__(self, method: PoseDA, training: Training) -> None:
        local = method.local
        assert local is not None
        self.generator = copy.deepcopy(local.generator)
        self.critic = copy.deepcopy(local.critic)
        self.lifter = copy.deepcopy(training.lifter)
        learned = [p for p in self.generator.parameters() if p.requires_grad]
        self.generator_optimizer = rmsprop(learned, local.settings.gan_lr)
        self.critic_optimizer = rmsprop(self.critic.parameters(), local.settings.gan_lr)
        self.lifter_optimizer = adam(self.lifter, training.schedule.lr)
        self.precision = training.precision
        batch, joints = local.settings.batch, method.skeleton.num_joints

        def ready(*shape: int) -> Tensor:
            return torch.randn(*shape, device=local.random.device)

        self.inputs = ready(batch, 3 * joints + NOISE)
        self.turned = ready(batch, 3 * joints + NOISE).requires_grad_()
        self.features = ready(2 * batch, self.critic.num_features)
        self.fakes = ready(batch, self.critic.num_features).requires_grad_()
        outputs = [
            n.last.out_features for n in (self.generator.bone_angle, self.generator.bone_length)
        ]
        self.gradients = [ready(batch, size) for size in outputs]
        self.pose2d, self.pose3d = ready(2 * batch, joints, 2), ready(2 * batch, joints, 3)

    def critic_step(self) -> dict[str, Tensor]:
        with torch.inference_mode():
            self.generator.bone_angle(self.inputs)
            self.generator.bone_length(self.turned)
        fake, real = self.critic(self.features).chunk(2)
        self.critic_optimizer.zero_grad()
        (fake.mean() - real.mean()).backward()
        self.critic_optimizer.step()
        return {}

    def generator_step(self) -> dict[str, Tensor]:
        self.critic.requires_grad_(False)
        self.turned.grad = self.fakes.grad = None
        made = self.generator.bone_angle(self.inputs), self.generator.bone_length(self.turned)
        self.critic(self.fakes).mean().backward()
        self.generator_optimizer.zero_grad()
        torch.autograd.backward(made, self.gradients)
        self.generator_optimizer.step()
        self.critic.requires_grad_(True)
        return {}

    def lifter_step(self) -> dict[str, Tensor]:
        with torch.autocast(
            self.pose2d.device.type, self.precision, enabled=self.precision != torch.float32
        ):
            predicted = self.lifter(self.pose2d)
        loss = nn.functional.mse_loss(predicted.float(), self.pose3d)
        self.lifter_optimizer.zero_grad()
        loss.backward()
        self.lifter_optimizer.step()
        return {}


class Bench:
    """Ours, the baseline and the bare networks, on the same poses."""

    def __init__(self, settings: TrainSettings, source: PoseSet, target: PoseSet) -> None:
        self.settings = settings
        self.adapt = AdaptSettings(batch=settings.batch, warmup=0)
        self.source, self.target = source, target
        torch.manual_seed(0)
        device = torch.device(settings.device)
        source, target = source.to(device), target.to(device)
        self.random = torch.Generator(device).manual_seed(0)
        samplers = Sampler(source, self.random), Sampler(target, self.random)
        self.method = PoseDA(Task(self.adapt, *samplers, self.random))
        lifter = make_lifter("videopose3d", source.skeleton, settings.width).to(device).train()
        self.training = Training(
            lifter,
            samplers[0],
            Schedule(10**9, settings.batch, self.adapt.lr, 0.0),
            RunFolder(Path(tempfile.gettempdir())),  # nothing is written
            self.random,
            self.method,
            PRECISIONS[settings.precision],
        )

    @cached_property
    def baseline(self) -> Baseline:
        """Made when it is first asked for, after our memory was measured."""
        return Baseline(
            self.adapt,
            self.source,
            self.target,
            width=self.settings.width,
            device=self.settings.device,
            workers=self.settings.workers,
        )

    def iterate(self) -> None:
        """As many iterations of ours as have one generator step."""
        for _ in range(self.adapt.poseda.generator_every):
            self.training.step()
            self.training.iteration += 1

    def _contenders(self) -> dict[str, dict[str, Callable[[], object]]]:
        local, networks = self.method.local, Networks(self.method, self.training)
        assert local is not None
        bare = {
            name: Step(function, self.random)
            for name, function in (
                ("critic", networks.critic_step),
                ("generator", networks.generator_step),
                ("lifter", networks.lifter_step),
            )
        }
        every = range(self.adapt.poseda.generator_every)

        def all_bare() -> None:
            for _ in every:
                bare["critic"]()
                bare["lifter"]()
            bare["generator"]()

        return {
            "critic": {
                "ours": local.critic_step,
                "baseline": self.baseline.critic_turn,
                "networks": bare["critic"],
            },
            "generator": {
                "ours": local.generator_step,
                "baseline": self.baseline.generator_turn,
                "networks": bare["generator"],
            },
            "lifter": {
                "ours": self.training.lifter_step,
                "baseline": self.baseline.lifter_turn,
                "networks": bare["lifter"],
            },
            "iteration": {
                "ours": self.iterate,
                "baseline": lambda: [self.baseline.iterate() for _ in every],
                "networks": all_bare,
            },
        }

    def measure(self) -> Iterator[Row]:
        """A row per step, each as soon as it is measured."""
        threads = torch.get_num_threads()
        torch.set_num_threads(self.settings.threads)
        keep_freed_memory()  # as training does
        try:
            with matrix_products(self.settings.precision == "tf32"):
                extra = {"iteration": self._on_gpu() if self.settings.device == "cuda" else {}}
                for step, contenders in self._contenders().items():
                    yield self._row(step, contenders) | extra.get(step, {})
        finally:
            torch.set_num_threads(threads)

    def _row(self, step: str, calls: dict[str, Callable[[], object]]) -> Row:
        settings = self.settings
        times = self.adapt.poseda.generator_every if step == "iteration" else 1
        contenders = {name: _contender(call, times) for name, call in calls.items()}
        timings: dict[str, Timing] = alternate(contenders, settings.timing, settings.device)
        ours = timings["ours"].ms
        row: Row = {
            "step": step,
            "device": settings.device,
            "batch": settings.batch,
            "width": settings.width,
            "threads": settings.threads,
            "precision": settings.precision,
            **{f"{name}_ms": timing.ms for name, timing in timings.items()},
            **{f"{name}_noise": timing.noise for name, timing in timings.items()},
            "poses_per_s": settings.batch / ours * 1e3,
            "poses": settings.poses,
            "workers": settings.workers,
            "disturbed": max(c.disturbed for c in contenders.values()),
        }
        if step == "iteration":
            row["epoch_s"] = ours * 1e-3 * EPOCH / settings.batch
        return row | metadata(settings.device)

    def _on_gpu(self) -> Row:
        """Peak memory of ours, from the first iteration on, and how often it waits for the device
        once its steps are captured."""
        torch.cuda.reset_peak_memory_stats()
        for _ in range(WARM_UP + 2):
            self.iterate()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                self.iterate()
            finally:
                torch.cuda.set_sync_debug_mode("default")
        torch.cuda.synchronize()
        return {
            "peak_bytes": torch.cuda.max_memory_allocated(),
            "reserved_bytes": torch.cuda.max_memory_reserved(),
            "host_syncs": count_waits(caught),
        }

    def profile(self, rounds: int = 2) -> dict[str, float]:
        """The share of each kind of work in the time of our iterations, by group."""
        on_gpu = self.settings.device == "cuda"
        activity = torch.profiler.ProfilerActivity
        self.iterate()
        before = torch.get_num_threads()
        torch.set_num_threads(self.settings.threads)
        try:
            with torch.profiler.profile(
                activities=[activity.CPU, *([activity.CUDA] if on_gpu else [])]
            ) as profiler:
                for _ in range(rounds):
                    self.iterate()
        finally:
            torch.set_num_threads(before)
        spent: Counter[str] = Counter(dict.fromkeys((*GROUPS, OTHER), 0.0))
        for event in profiler.events():
            if on_gpu and event.device_type != torch.autograd.DeviceType.CUDA:
                continue
            time = event.self_device_time_total if on_gpu else event.self_cpu_time_total
            spent[_group(event)] += time
        total = sum(spent.values())
        return {group: time / total for group, time in spent.items()}


def count_waits(caught: Iterable[warnings.WarningMessage]) -> int:
    """How often the host waited for the device, of what torch's sync debug mode warned of. The mode
    also warns once that it may overlook some."""
    return sum("called a synchronizing" in str(warning.message) for warning in caught)


def _contender(call: Callable[[], object], times: int) -> Contender:
    return Contender(lambda _: call(), times)


#: What belongs to a group of the profile: parts of names, of an op, of what called it, or of a
#: kernel. The first group that fits counts, the innermost name first.
GROUPS: dict[str, tuple[str, ...]] = {
    "matrix products": ("mm", "gemm", "xmma", "cutlass", "nvjet"),
    "batch norm": ("batch_norm",),
    "activations": ("leaky_relu", "LeakyRelu", "tanh", "Tanh"),
    "dropout and ReLU": ("Dropout", "dropout", "aten::random_", "relu_", "threshold"),
    "kinematics": ("poseda", "augment", "kcs"),
    "optimiser": ("Optimizer", "_fused_adam", "multi_tensor", "_foreach", "clamp_"),
    "sampling": ("randint", "normal_", "uniform_", "index_select", "aten::index", "distribution"),
}
OTHER = "other"


def _group(event: torch.autograd.profiler_util.FunctionEvent | None) -> str:
    while event is not None:
        for group, parts in GROUPS.items():
            if any(part in event.name for part in parts):
                return group
        event = event.cpu_parent
    return OTHER


def train_table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| step | device | batch | width | threads | ours ms | networks ms | baseline ms "
        "| ours / networks | baseline / ours | poses/s |",
        "| --- | --- " + 9 * "| ---: " + "|",
    ]
    for row in rows:
        ours, networks, baseline = (row[f"{name}_ms"] for name in ("ours", "networks", "baseline"))
        lines.append(
            f"| {row['step']} | {row['device']} | {row['batch']:,} | {row['width']:,} "
            f"| {row['threads']} | {ours:.2f} | {networks:.2f} | {baseline:.2f} "
            f"| {ours / networks:.3f} | {baseline / ours:.2f} | {row['poses_per_s']:,.0f} |"
        )
    return "\n".join(lines)


def profile_table(shares: dict[str, float]) -> str:
    """The shares as a Markdown table, largest first."""
    lines = ["| kind of work | share of our time |", "| --- | ---: |"]
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return "\n".join([*lines, *(f"| {group} | {share:.1%} |" for group, share in ordered)])
