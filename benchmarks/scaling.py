"""What processes that train together send, against what they compute, and how efficient that makes
N GPUs: arithmetic from the sizes of the networks and published figures, not a measurement."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmarks.goals import one_row
from benchmarks.readme import GPU, RESULTS
from benchmarks.results import read_rows
from poseda.config import PoseDASettings
from poseda.networks.critic import Critic
from poseda.networks.generator import Generator
from poseda.networks.lifters import make_lifter
from poseda_ext import H36M_16

FLOAT = 4  # bytes; gradients are float32 whatever the precision of the products
BUCKET = 25 << 20  # bytes of gradients that DistributedDataParallel sends at a time
FIRST_BUCKET = 1 << 20
BACKWARD = 2 / 3  # of a step's arithmetic lies in the backward pass
#: whose products are as many as their weights
SCALED_LIFTERS = ("videopose3d", "simple_baseline")
STEP_MS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
MEASURED = RESULTS / GPU


@dataclass(frozen=True)
class Interconnect:
    """N GPUs and what joins them.

    Attributes:
        name: what to call it.
        gpus: N.
        bytes_per_s: what a ring all-reduce moves per GPU and second.
        latency: seconds that an all-reduce of next to nothing takes.
    """

    name: str
    gpus: int
    bytes_per_s: float
    latency: float

    def all_reduce(self, size: float) -> float:
        """Seconds for `size` bytes: each GPU sends 2 (N - 1) / N of them (ring)."""
        return self.latency + 2 * (self.gpus - 1) / self.gpus * size / self.bytes_per_s


#: See docs/scaling.md for where the numbers come from.
INTERCONNECTS = (
    Interconnect("8 GPUs, one node", 8, 0.5 * 450e9, 12e-6),
    Interconnect("64 GPUs, 8 nodes", 64, 0.5 * 400e9, 48e-6),
)


@dataclass(frozen=True)
class Message:
    """One kind of message.

    Attributes:
        name: what it holds.
        size: bytes of one.
        count: how many there are per iteration.
        hidden: whether it travels while the backward pass goes on.
    """

    name: str
    size: int
    count: float
    hidden: bool = False


@functools.cache
def networks() -> dict[str, nn.Module]:
    """Every network at its published size."""
    settings = PoseDASettings()
    return {
        **{name: make_lifter(name, H36M_16, 1024) for name in SCALED_LIFTERS},
        "generator": Generator(H36M_16, settings),
        "critic": Critic(H36M_16, unit=settings.unit_bones),
    }


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def flops(network: nn.Module) -> int:
    """Of the matrix products of one row's forward pass; the backward pass takes twice as many."""
    return sum(2 * p.numel() for p in network.parameters() if p.dim() > 1)


def flops_per_pose(lifter: str) -> float:
    """Of an iteration, per source pose: the lifter learns from a source and a made pose; the critic
    from a real and a fake one, which the generator makes; every n-th time the generator learns
    through the critic."""
    sizes = {name: flops(network) for name, network in networks().items()}
    generator_step = 3 * sizes["generator"] + 2 * sizes["critic"]
    return (
        2 * 3 * sizes[lifter]
        + sizes["generator"]
        + 2 * 3 * sizes["critic"]
        + generator_step / PoseDASettings().generator_every
    )


def messages(lifter: str, gpus: int) -> list[Message]:
    """What an iteration of PoseDA sends."""
    made = networks()
    gradients = FLOAT * parameters(made[lifter])
    buckets = 1 + math.ceil(max(0, gradients - FIRST_BUCKET) / BUCKET)
    norms = [m.num_features for m in made[lifter].modules() if isinstance(m, _BatchNorm)]
    return [
        Message("lifter, gradients", gradients // buckets, buckets, hidden=True),
        # forward the mean and variance of each process, backward two sums
        Message("lifter, batch norm, forward", gpus * FLOAT * 2 * norms[0], len(norms)),
        Message("lifter, batch norm, backward", FLOAT * 2 * norms[0], len(norms)),
        Message("critic, gradients", FLOAT * parameters(made["critic"]), 1),
        Message(
            "generator, gradients",
            FLOAT * parameters(made["generator"]),
            1 / PoseDASettings().generator_every,
        ),
    ]


def efficiency(lifter: str, interconnect: Interconnect, step: float) -> tuple[float, float]:
    """Of N GPUs against N times one, each with the batch that takes one `step` seconds.

    Returns:
        Without any overlap; and with the lifter's gradients hidden behind the backward pass.
    """
    times = {
        m: m.count * interconnect.all_reduce(m.size) for m in messages(lifter, interconnect.gpus)
    }
    hidden = sum(time for message, time in times.items() if message.hidden)
    open_ = sum(times.values()) - hidden
    left = max(0.0, hidden - BACKWARD * step)
    return step / (step + open_ + hidden), step / (step + open_ + left)


def measured_ms() -> list[float]:
    """What one GPU took for an iteration with VideoPose3D of its published width, 1,024 poses in
    float32."""
    wanted = dict(step="iteration", device="cuda", precision="float32", batch=1024, width=1024)
    row = one_row(read_rows(MEASURED) if MEASURED.exists() else [], **wanted)
    return [round(row["ours_ms"], 2)] if row else []


def scaling_tables(lifter: str, steps_ms: Sequence[float] = ()) -> str:
    """Networks, arithmetic, messages and efficiency as Markdown, for times of an iteration: without
    any, for round ones and, with VideoPose3D, those that were measured."""
    if not steps_ms:
        steps_ms = sorted({*STEP_MS, *(measured_ms() if lifter == "videopose3d" else ())})
    lines = ["| network | parameters | bytes | MFLOP per pose, forward |", "|---|---:|---:|---:|"]
    lines += [
        f"| {name} | {parameters(network):,} | {FLOAT * parameters(network):,} "
        f"| {flops(network) / 1e6:.2f} |"
        for name, network in networks().items()
    ]
    lines += ["", f"An iteration takes {flops_per_pose(lifter) / 1e6:.0f} MFLOP per source pose."]
    lines += ["", "| message | bytes | per iteration | " + " | ".join(
        f"{i.name}, ms" for i in INTERCONNECTS
    ) + " |", "|---|---:|---:|" + "---:|" * len(INTERCONNECTS)]  # fmt: skip
    for kinds in zip(*(messages(lifter, i.gpus) for i in INTERCONNECTS), strict=True):
        times = [
            f"{1e3 * m.count * i.all_reduce(m.size):.3f}"
            for m, i in zip(kinds, INTERCONNECTS, strict=True)
        ]
        sizes = " / ".join(dict.fromkeys(f"{m.size:,}" for m in kinds))
        lines.append(f"| {kinds[0].name} | {sizes} | {kinds[0].count:g} | {' | '.join(times)} |")
    lines += ["", "| one GPU, ms per iteration | " + " | ".join(
        i.name for i in INTERCONNECTS
    ) + " |", "|---:|" + "---:|" * len(INTERCONNECTS)]  # fmt: skip
    for step in steps_ms:
        cells = []
        for interconnect in INTERCONNECTS:
            without, overlapped = efficiency(lifter, interconnect, step / 1e3)
            cells.append(f"{without:.0%} to {overlapped:.0%}")
        lines.append(f"| {step:g} | {' | '.join(cells)} |")
    return "\n".join(lines)
