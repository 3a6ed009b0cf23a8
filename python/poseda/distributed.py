"""Several processes on one training, as torchrun starts them. Alone, every function here does
nothing or returns what it was given.

All processes draw the same random numbers for the whole batch from generators of the same state,
and each keeps its own rows (`own_rows`). Gradients, batch-norm statistics and logged scalars are
averaged, so that N processes compute what one computes on the same batch, up to the order of
summation. The first process alone writes files and prints.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

#: seconds after a request to end in which a process must have answered it. torchrun kills after 30.
GRACE = 20.0

_store: dist.Store | None = None


def launched() -> bool:
    """Whether a launcher such as torchrun has started this process as one of several."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def world_size() -> int:
    """Processes that train together; 1 outside `joined`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return world_size() == 1 or dist.get_rank() == 0


@contextmanager
def joined(again: str) -> Iterator[None]:
    """The block runs in all processes that the launcher started, as one group: NCCL between GPUs,
    Gloo between CPUs. Where another process is gone, this one says so and ends with status 1.

    Args:
        again: the command that goes on with the run.
    """
    global _store
    if not launched():
        yield
        return
    _store, rank, size = next(dist.rendezvous("env://"))
    on_gpus = torch.cuda.is_available() and dist.is_nccl_available()
    backend = "cpu:gloo,cuda:nccl" if on_gpus else "gloo"
    dist.init_process_group(backend, store=_store, rank=rank, world_size=size)
    _end_when_stuck(again)
    try:
        yield
    except RuntimeError as error:
        if not _is_lost_connection(error):
            raise
        _end(again, str(error).splitlines()[0].split(". ")[0])
    except SystemExit:  # stopped in good order, and said so
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def _is_lost_connection(error: RuntimeError) -> bool:
    if isinstance(error, dist.DistError):
        return True
    return type(error) is RuntimeError and any(
        sign in str(error) for sign in ("gloo/", "Gloo", "NCCL", "onnection reset", "roken pipe")
    )


def _end_when_stuck(again: str) -> None:
    """Ends this process if it has not answered a signal after a while.

    torchrun asks the others to end where one died. One that waits for the dead in the midst of a
    collective, as NCCL lets it, never comes back to Python's signal handlers; a thread does.
    """
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told)

    def watch() -> None:
        os.read(heard, 1)
        time.sleep(GRACE)
        _end(again, "asked to end while waiting for another")

    threading.Thread(target=watch, daemon=True).start()


def _end(again: str, reason: str) -> NoReturn:
    if speaks_first():
        print(
            "poseda: error: a process of this run has ended, and so do the others; the last "
            f"checkpoint is whole; go on with: {again} ({reason})",
            file=sys.stderr,
        )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)  # leaving in good order would wait for the process that is gone


def speaks_first() -> bool:
    """Whether this is the first process of the run to say why it ends: one message, the cause."""
    if _store is None:
        return True
    try:
        return _store.add(f"ended/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", 1) == 1
    except RuntimeError:  # the store is gone too
        return True


def from_first(make: Callable[[], T]) -> T:
    """What the first process makes, in every process; all wait for it."""
    if world_size() == 1:
        return make()
    made: list[Any] = [make() if is_first() else None]
    dist.broadcast_object_list(made, device=torch.device("cpu"))
    return made[0]


def any_asks(asked: bool) -> bool:
    """Whether any process asks, in every process. Waits for the others, for no device."""
    if world_size() == 1:
        return asked
    votes = torch.tensor(asked, dtype=torch.uint8)
    dist.all_reduce(votes, dist.ReduceOp.MAX)
    return bool(votes)


def own_rows(drawn: Tensor) -> Tensor:
    """This process's share (B/N, ...) of rows (B, ...) that every process has drawn alike.

    Raises:
        ValueError: if the rows cannot be shared equally.
    """
    size = world_size()
    if size == 1:
        return drawn
    if drawn.shape[0] % size:
        raise ValueError(
            f"batch: got {drawn.shape[0]} for {size} processes, expected a multiple of {size}"
        )
    return drawn.chunk(size)[dist.get_rank()]


def all_rows(own: Tensor) -> Tensor:
    """The rows (B, ...) of which every process has its share (B/N, ...): what `own_rows` takes
    apart. Not differentiable."""
    return own if world_size() == 1 else of_all(own).flatten(0, 1)


def average(values: Tensor) -> Tensor:
    """The mean over the processes, in place. Not differentiable."""
    size = world_size()
    if size > 1:
        dist.all_reduce(values)
        values /= size
    return values


def of_all(values: Tensor) -> Tensor:
    """(N, ...): what each of the N processes gives. Not differentiable."""
    every = values.new_zeros(world_size(), *values.shape)
    if world_size() == 1:
        return every.copy_(values)
    every[dist.get_rank()] = values
    dist.all_reduce(every)  # a sum with zeros: all backends have it, in one message
    return every


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replaces each gradient by its mean over the processes, in one message; for networks whose
    backward pass is too short to hide messages in."""
    if world_size() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = average(torch.cat([gradient.flatten() for gradient in gradients]))
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def part_random_states() -> None:
    """Gives each process its own default generator, which dropout draws from; the first keeps the
    common state. It must be the same in all processes before."""
    if not is_first():
        torch.manual_seed(int(torch.randint(2**62, ())) + dist.get_rank())
