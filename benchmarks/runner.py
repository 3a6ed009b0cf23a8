"""Times an op, its reference, the compiled reference and a copy, in turn, in one process."""

from __future__ import annotations

import contextlib
import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.floor import LARGE_COPY, cache_bytes, copy_floor, matrix_product
from benchmarks.registry import SKELETONS, Case, Inputs, has_kernel
from benchmarks.results import Row, metadata
from poseda_ext import Skeleton

#: Runs once on the input set of this number.
Call = Callable[[int], object]
PASSES = ("fwd", "fwd_bwd")
#: At most so many calls, each on its own input set, make a CUDA graph.
GRAPH_CALLS = 64
#: A sample is disturbed when threads waited for a core for more than this share of it.
DISTURBED = 0.03
DTYPES = {str(d).removeprefix("torch."): d for d in (torch.float32, torch.float64, torch.bfloat16)}


@dataclass(frozen=True)
class Settings:
    """How long and how often to measure.

    Attributes:
        seconds: time for the samples of one row, warm-up and compilation aside.
        blocks: the samples are split into this many blocks; a result is the lowest block median.
        sample_ms: a sample repeats short calls for at least this long.
        warm_up: calls before the first sample.
        compiled: whether to measure torch.compile.
        compile_seconds: once compiling took this long in all, later rows go without.
        graphs: whether to measure CUDA graph replays too.
    """

    seconds: float = 2.0
    blocks: int = 5
    sample_ms: float = 2.0
    warm_up: int = 3
    compiled: bool = True
    compile_seconds: float = float("inf")
    graphs: bool = True


QUICK = Settings(seconds=0.1, blocks=2, sample_ms=0.1, warm_up=1)


@dataclass(frozen=True)
class Timing:
    """Milliseconds per call, and by how much the block medians differ from it at most."""

    ms: float
    noise: float


@dataclass(frozen=True)
class Target:
    """What one row measures."""

    case: Case
    which: str
    device: str
    dtype: torch.dtype
    joints: int
    batch: int
    threads: int

    @property
    def skeleton(self) -> Skeleton:
        return SKELETONS[self.joints]

    @property
    def bytes(self) -> int:
        return self.case.bytes_moved(self.which, self.batch, self.skeleton, self.dtype)


@dataclass
class CompileClock:
    """Seconds spent on compiling so far."""

    spent: float = 0.0


@dataclass
class Contender:
    """A call to be timed.

    Attributes:
        call: what is timed.
        calls: how many calls of the op one call of it holds.
        inner: how many calls make a sample.
        samples: milliseconds per call, each with whether other work disturbed it.
    """

    call: Call
    calls: int = 1
    inner: int = 1
    samples: list[tuple[float, bool]] = field(default_factory=list)

    @property
    def disturbed(self) -> float:
        """The share of disturbed samples."""
        return sum(flag for _, flag in self.samples) / max(len(self.samples), 1)


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _waited_ms() -> float:
    """How long threads of this process were ready to run but had no core so far; Linux only."""
    total = 0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int(path.read_text().split()[1])
    return total / 1e6


def _elapsed(call: Call, inner: int, start: int, device: str) -> float:
    """Milliseconds per call over `inner` calls, from input set `start` on."""
    if device == "cuda":
        begin = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        begin.record()
        for i in range(start, start + inner):
            call(i)
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / inner
    begun = time.perf_counter()
    for i in range(start, start + inner):
        call(i)
    return 1e3 * (time.perf_counter() - begun) / inner


def _prepare(contender: Contender, settings: Settings, device: str) -> float:
    """Warms up and chooses `inner`. Returns the milliseconds that a sample will take."""
    for i in range(settings.warm_up):
        contender.call(i)
    _synchronize(device)
    once = min(_elapsed(contender.call, 1, i, device) for i in range(3))
    contender.inner = max(1, min(1000, round(settings.sample_ms / max(once, 1e-6))))
    return once * contender.inner


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _timing(contender: Contender, blocks: int) -> Timing:
    """From the undisturbed samples, unless there are none."""
    size = max(1, len(contender.samples) // blocks)
    chunks = [contender.samples[i : i + size] for i in range(0, size * blocks, size)]
    clean = [[ms for ms, disturbed in chunk if not disturbed] for chunk in chunks]
    if not any(clean):
        clean = [[ms for ms, _ in chunk] for chunk in chunks]
    medians = [statistics.median(chunk) for chunk in clean if chunk]
    best = min(medians)
    return Timing(best / contender.calls, max(medians) / best - 1)


def alternate(contenders: dict[str, Contender], settings: Settings, device: str) -> dict:
    """Times all contenders in turn, so that a drift of the machine hits all alike.

    Returns:
        A `Timing` per contender.
    """
    round_ms = sum(_prepare(c, settings, device) for c in contenders.values())
    per_block = round(1e3 * settings.seconds / max(round_ms, 1e-3) / settings.blocks)
    rounds = settings.blocks * max(3, min(per_block, 200))
    with _no_garbage_collection():
        for number in range(rounds):
            for contender in contenders.values():
                contender.call(number)  # untimed: the one before left the caches to its own data
                _synchronize(device)
                before = _waited_ms() if device == "cpu" else 0.0
                start = number * contender.inner
                ms = _elapsed(contender.call, contender.inner, start, device)
                waited = _waited_ms() - before if device == "cpu" else 0.0
                contender.samples.append((ms, waited > DISTURBED * ms * contender.inner))
    return {name: _timing(c, settings.blocks) for name, c in contenders.items()}


def bind(function: Callable, target: Target, sets: Sequence[Inputs]) -> Call:
    """The call of one pass on input set i, modulo the number of sets.

    The backward pass is given a gradient for every output, and asked for those of the inputs that
    the case names.
    """
    skeleton, case, count = target.skeleton, target.case, len(sets)
    if target.which == "fwd":

        def forward(i: int) -> object:
            with torch.no_grad():
                return function(sets[i % count], skeleton)

        return forward

    leaves = [
        {n: t.detach().requires_grad_(n in case.gradient_to) for n, t in x.items()} for x in sets
    ]
    wanted = [[x[name] for name in case.gradient_to] for x in leaves]
    with torch.no_grad():
        outputs = case.fused(sets[0], skeleton)
    grads = [case.make_grads(outputs, seed) for seed in range(1, count + 1)]

    def both(i: int) -> tuple[Tensor, ...]:
        i %= count
        results = function(leaves[i], skeleton)
        return torch.autograd.grad(results, wanted[i], grads[i])

    return both


def make_sets(target: Target, maximum: int = 256) -> list[Inputs]:
    """Input sets: one on the CPU; on CUDA so many that together they exceed the cache twice."""
    case, count = target.case, 1
    if target.device == "cuda":
        numbers = target.bytes
        count = min(maximum, 1 + 2 * cache_bytes("cuda") // max(numbers, 1))
    return [
        case.make_inputs(target.batch, target.skeleton, target.dtype, target.device, seed)
        for seed in range(count)
    ]


def _compile_options(target: Target) -> dict[str, dict | None]:
    """The forms of torch.compile to measure, by name; the best one counts.

    On the CPU the number of threads is part of the generated code, and with more than one
    TorchInductor may open a parallel region inside a loop over the batch, which is far slower
    than its code for one thread.
    """
    if target.device != "cpu":
        return {"compiled": None}
    forms: dict[str, dict | None] = {"compiled": {"cpp.threads": target.threads}}
    if target.threads > 1:
        forms["compiled_serial"] = {"cpp.threads": 1}
    return forms


def _compiled(
    target: Target, sets: Sequence[Inputs], settings: Settings, clock: CompileClock
) -> tuple[dict[str, Contender], str, float]:
    """The calls through torch.compile, or none and the reason; and the seconds that it took."""
    if not settings.compiled:
        return {}, "torch.compile was not asked for", 0.0
    if clock.spent >= settings.compile_seconds:
        return {}, f"the {settings.compile_seconds:g} s for compiling were spent", 0.0
    begun = time.perf_counter()
    found: dict[str, Contender] = {}
    reason = ""
    try:
        torch.compiler.reset()
        for name, options in _compile_options(target).items():
            function = torch.compile(target.case.reference, dynamic=False, options=options)
            call = bind(function, target, sets)
            call(0)
            found[name] = Contender(call)
        _synchronize(target.device)
    except Exception as error:
        found, reason = {}, f"torch.compile failed: {_one_line(error)}"
    seconds = time.perf_counter() - begun
    clock.spent += seconds
    return found, reason, seconds


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"


def _graph(call: Call, calls: int) -> Contender:
    """The same call `calls` times in a CUDA graph, on as many input sets."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for i in range(3):
            call(i)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(calls):
            call(i)
    return Contender(lambda _: graph.replay(), calls)


def _add_graphs(contenders: dict[str, Contender], count: int, notes: list[str]) -> None:
    """Adds a graph replay for each of ours, eager and compiled."""
    for name in [n for n in contenders if n != "copy"]:
        try:
            contenders[f"{name}_graph"] = _graph(contenders[name].call, min(count, GRAPH_CALLS))
        except Exception as error:
            torch.cuda.synchronize()
            notes.append(f"{name} in a CUDA graph failed: {_one_line(error)}")


def measure(target: Target, settings: Settings, clock: CompileClock | None = None) -> Row:
    """One row of results."""
    clock = clock or CompileClock()
    before = torch.get_num_threads()
    torch.set_num_threads(target.threads)
    try:
        return _measure(target, settings, clock)
    finally:
        torch.set_num_threads(before)
        if target.device == "cuda":
            torch.cuda.empty_cache()


def _try_eager(target: Target, sets: Sequence[Inputs], notes: list[str]) -> Call | None:
    call = bind(target.case.reference, target, sets)
    try:
        call(0)
    except torch.OutOfMemoryError:
        notes.append("the reference ran out of memory")
        return None
    return call


def _disturbances(contenders: dict[str, Contender]) -> list[str]:
    shares = {name: c.disturbed for name, c in contenders.items() if c.disturbed > 0.05}
    if not shares:
        return []
    words = ", ".join(f"{share:.0%} of {name}" for name, share in shares.items())
    return [f"samples disturbed by other work: {words}"]


def _measure(target: Target, settings: Settings, clock: CompileClock) -> Row:
    case, device = target.case, target.device
    floor = copy_floor(target.bytes, device)
    notes = [floor.note]
    if not has_kernel(case.op, device):
        notes.append("no compiled kernel: ours is the plain-torch reference")
    sets = make_sets(target)
    contenders = {"ours": Contender(bind(case.fused, target, sets))}
    eager = _try_eager(target, sets, notes)
    if eager is not None:
        contenders["eager"] = Contender(eager)
    compiled, reason, compile_seconds = _compiled(target, sets, settings, clock)
    contenders |= compiled
    if reason:
        notes.append(reason)
    contenders["copy"] = Contender(floor.call)
    if device == "cuda":
        notes.append(
            f"inputs rotate among {len(sets)} sets; graphs hold {min(len(sets), GRAPH_CALLS)} calls"
        )
        if settings.graphs:
            _add_graphs(contenders, len(sets), notes)
    timings = alternate(contenders, settings, device)
    if device == "cpu":
        notes += _disturbances(contenders)
    copy_ms = timings.pop("copy").ms
    serial = timings.get("compiled_serial")
    if serial and serial.ms < timings["compiled"].ms:
        notes.append(f"compiled: code for 1 thread; for {target.threads}, see compiled_threads_ms")
        timings["compiled_threads"], timings["compiled"] = timings["compiled"], serial
    row: Row = {
        "op": case.op,
        "pass": target.which,
        "device": device,
        "dtype": str(target.dtype).removeprefix("torch."),
        "joints": target.joints,
        "batch": target.batch,
        "threads": target.threads,
        **{f"{name}_ms": None for name in ("ours", "eager", "compiled")},
        **{f"{name}_ms": timing.ms for name, timing in timings.items()},
        "floor_ms": floor.floor_ms(copy_ms),
        **{f"{name}_noise": timing.noise for name, timing in timings.items()},
        "copy_gb_per_s": floor.gb_per_s(copy_ms),
        "bytes": target.bytes,
        "flops": case.flops_done(target.which, target.batch, target.skeleton),
        "form": case.form,
        "samples": len(contenders["ours"].samples),
        "inner": contenders["ours"].inner,
        "compile_s": compile_seconds if compiled else None,
        "reliable": all(c.disturbed < 1 for c in contenders.values()),
        "load_average": os.getloadavg()[0],
        "kernel": has_kernel(case.op, device),
        "notes": "; ".join(notes),
    }
    return row | metadata(device)


def machine_limits(
    device: str, dtype: torch.dtype, threads: int, seconds: float = 0.5
) -> dict[str, float]:
    """What the machine can do at best, as keys of a row.

    ``large_copy_gb_per_s``: bytes read plus bytes written by a copy far larger than the cache.
    ``gflop_per_s``: additions plus multiplications of a large matrix product.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        floor = copy_floor(LARGE_COPY if device == "cuda" else LARGE_COPY >> 1, device)
        product, operations = matrix_product(device, dtype)
        contenders = {"copy": Contender(floor.call), "product": Contender(product)}
        timings = alternate(contenders, Settings(seconds=seconds), device)
    finally:
        torch.set_num_threads(before)
    return {
        "large_copy_gb_per_s": floor.gb_per_s(timings["copy"].ms),
        "gflop_per_s": operations / timings["product"].ms / 1e6,
    }
