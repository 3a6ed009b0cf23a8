"""The training loop: supervised pre-training, and Algorithm 1 around any method."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from poseda.data.sampler import Sampler
from poseda.distributed import any_asks, average, part_random_states, world_size
from poseda.methods.method import Labelled, Method, Pairs, chosen, labelled_pairs
from poseda.networks.replicas import replicate
from poseda.training.graphs import Step, load_optimizer
from poseda.training.memory import keep_freed_memory
from poseda.training.run_folder import RunFolder
from poseda.training.watch import Watch, advice_on_nan

MAX_GRADIENT = 1.0
LOG_EVERY = 50

#: called at each log point with the iterations done, those in all, and the scalars
Progress = Callable[[int, int, dict[str, float]], None]
#: called at each checkpoint of the schedule, and at the end, with the iterations done
AtCheckpoint = Callable[[int], None]


class Interrupted(Exception):
    """Training was asked to stop and has saved its state."""


class Diverged(RuntimeError):
    """A training has gone wrong for good: by a number that is not finite, by what
    `poseda.training.watch` sees, or because its lifter is no good in use."""


@dataclass(frozen=True)
class Schedule:
    """How long, with what batch and at which learning rates a lifter trains.

    Attributes:
        steps: optimiser steps.
        batch: source poses per step.
        lr: learning rate at the start.
        final_lr: at the end. Above 0 the fall is exponential, to 0 it is linear.
    """

    steps: int
    batch: int
    lr: float
    final_lr: float

    def rate(self, step: int) -> float:
        done = step / self.steps
        if self.final_lr > 0:
            return self.lr * (self.final_lr / self.lr) ** done
        return self.lr * (1 - done)


@dataclass
class Training:
    """One training of one lifter, resumable from its folder to the same numbers.

    Attributes:
        lifter: the network, trained in place.
        source: labelled poses.
        schedule: length, batch and learning rates.
        folder: where checkpoints and the metrics go.
        random: the generator that `source` and `method` draw from.
        method: what the source is mixed with; None trains on the source alone.
        precision: arithmetic of the lifter's matrix products.
        checkpoint_every: iterations between checkpoints.
        tf32: whether float32 matrix products on a GPU, those of generator and critic included, run
            in TensorFloat-32.
        at_checkpoint: looks at the lifter at checkpoints; it may not touch random states.
    """

    lifter: nn.Module
    source: Sampler
    schedule: Schedule
    folder: RunFolder
    random: torch.Generator
    method: Method | None = None
    precision: torch.dtype = torch.float32
    checkpoint_every: int = 500
    tf32: bool = False
    at_checkpoint: AtCheckpoint | None = None

    def __post_init__(self) -> None:
        self.iteration = 0
        self.warmup = self.method.warmup if self.method is not None else 0
        self.total = self.warmup + self.schedule.steps
        self.parameters = list(self.lifter.parameters())
        on_gpu = self.parameters[0].is_cuda
        self.replica = replicate(self.lifter)
        # Processes agree on whether to stop: at each step, or where a GPU is read anyway.
        self.agree_every = LOG_EVERY if on_gpu and world_size() > 1 else 1
        self.optimizer = adam(self.lifter, self.schedule.lr)
        # A graph reads the rate from where it lies; a tensor on the CPU would only cost time.
        self.rate = torch.zeros((), device=self.parameters[0].device) if on_gpu else None
        # A user's own lifter may do what a graph cannot hold, so it has to say that it does not.
        graph = bool(getattr(self.lifter, "graph_safe", False))
        graph &= bool(getattr(self.method, "graph_safe", True))
        self.lifter_step = Step(self._lifter_step, self.random, graph=graph)
        self.passes = int(getattr(self.method, "passes", 0))
        turns = self._step_of_pairs, self._step_of_source
        self.turns = tuple(Step(turn, self.random, graph=graph) for turn in turns)

    def run(self, progress: Progress | None = None) -> None:
        """Trains from the last checkpoint, or from the start, to the end.

        Raises:
            Interrupted: after Ctrl-C, once the state is saved.
            Diverged: if training has gone wrong for good; the last checkpoint from before stays,
                and a training that is resumed from it ends at the same iteration.
        """
        state = self.folder.load_state()
        if state is not None:
            try:
                self.load_state_dict(state)
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                raise self.folder.broken_state(error) from error
        if self.iteration >= self.total:
            return
        part_random_states()
        self.folder.truncate_metrics(self.iteration)
        watch = self._watch()
        self.lifter.train()
        keep_freed_memory()
        started, started_at = time.perf_counter(), self.iteration
        with matrix_products(self.tf32), _interruptible() as stop:
            while self.iteration < self.total:
                scalars = self.step()
                self.iteration += 1
                finished = self.iteration == self.total
                # asked once: a stop during what follows waits its turn
                stopping = self.iteration % self.agree_every == 0 and any_asks(stop.is_set())
                due = self.iteration % self.checkpoint_every == 0 or finished
                save = due or stopping
                if save or self.iteration % LOG_EVERY == 0:
                    done = self.iteration - started_at
                    rate = done / (time.perf_counter() - started)
                    values = self._log(scalars, rate, progress)
                    wrong = watch.look(self.iteration, values)
                    if wrong is not None:
                        raise self._diverged(wrong)
                if due and self.at_checkpoint is not None and self.iteration > self.warmup:
                    self.at_checkpoint(self.iteration)
                if save:
                    self.folder.save_state(self.state_dict())
                if stopping and not finished:
                    raise Interrupted

    def step(self) -> dict[str, Tensor]:
        """One iteration of Algorithm 1; returns tensors whose means are worth a log."""
        scalars = self.method.iterate(self.iteration) if self.method is not None else {}
        if self.iteration < self.warmup:
            return scalars
        done = self.iteration - self.warmup
        self._set_rate(self.schedule.rate(done))
        if not self.passes:
            return scalars | self.lifter_step()
        number = done * self.passes // self.schedule.steps
        return scalars | self.turns[number % 2]()

    def _set_rate(self, rate: float) -> None:
        if self.rate is not None:
            self.rate.fill_(rate)
        for group in self.optimizer.param_groups:
            group["lr"] = rate if self.rate is None else self.rate

    def _lifter_step(self) -> dict[str, Tensor]:
        """Lines 16 to 21 of Algorithm 1."""
        pairs = labelled_pairs(self.source, self.schedule.batch)
        if self.method is None:
            return {"lifter_loss": self.learn(pairs)}
        made = self.method.pairs()
        return {"lifter_loss": self.learn(mix(pairs, made)), "kept": made.keep}

    def _step_of_pairs(self) -> dict[str, Tensor]:
        """A step on the pairs of a method that takes turns with the source."""
        assert self.method is not None
        made = self.method.pairs()
        return {"lifter_loss": self.learn(Labelled(made.pose2d, made.pose3d, made.seen))}

    def _step_of_source(self) -> dict[str, Tensor]:
        """The source's turn, of as many poses."""
        return {"lifter_loss": self.learn(labelled_pairs(self.source, 2 * self.schedule.batch))}

    def learn(self, pairs: Labelled) -> Tensor:
        """Eq. 13; returns the loss."""
        device = pairs.pose2d.device.type
        with torch.autocast(device, self.precision, enabled=self.precision != torch.float32):
            predicted = self.replica(pairs.pose2d)
        loss = squared_error(predicted.to(pairs.pose3d.dtype), pairs)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, MAX_GRADIENT)
        self.optimizer.step()
        return loss.detach()

    def _watch(self) -> Watch:
        """It has seen what was logged before the checkpoint."""
        adapts = self.method is not None
        least_squares = bool(getattr(self.method, "least_squares", False))
        watch = Watch(adapts=adapts, least_squares=least_squares)
        for record in self.folder.records():
            if record["step"] <= self.iteration:
                watch.look(int(record["step"]), record)
        return watch

    def _diverged(self, wrong: str) -> Diverged:
        return Diverged(
            f"{self.folder.path}: training diverged at iteration {self.iteration}: {wrong}"
        )

    def _log(
        self, scalars: dict[str, Tensor], rate: float, progress: Progress | None
    ) -> dict[str, float]:
        if self.method is not None:
            scalars = scalars | self.method.describe()
        means = [value.float().mean() for value in scalars.values()]
        numbers: list[float] = average(torch.stack(means)).tolist() if means else []
        values = dict(zip(scalars, numbers, strict=True))
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            said = ", ".join(f"{name} is {values[name]}" for name in bad)
            raise self._diverged(f"{said}; {advice_on_nan(bad, adapts=self.method is not None)}")
        batch = self.schedule.batch * (1 if self.method is None else 2)
        values["poses_per_s"] = rate * batch
        self.folder.log(self.iteration, values)
        if progress is not None:
            progress(self.iteration, self.total, values)
        return values

    def state_dict(self) -> dict[str, Any]:
        return {
            "iteration": self.iteration,
            "lifter": self.lifter.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "method": self.method.state_dict() if self.method is not None else {},
            "random": self.random.get_state(),
            "torch_random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.iteration = state["iteration"]
        self.lifter.load_state_dict(state["lifter"])
        load_optimizer(self.optimizer, state["optimizer"])
        if self.method is not None:
            self.method.load_state_dict(state["method"])
        self.random.set_state(state["random"])
        torch.set_rng_state(state["torch_random"])
        # there may be fewer GPUs than before
        for device, cuda_random in enumerate(state["cuda_random"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(cuda_random, device)


def adam(lifter: nn.Module, lr: float) -> torch.optim.Adam:
    """The lifter's optimiser."""
    parameters = list(lifter.parameters())
    return torch.optim.Adam(parameters, lr, fused=True, capturable=parameters[0].is_cuda)


def squared_error(predicted: Tensor, pairs: Labelled) -> Tensor:
    """Mean squared error over the joints that were seen."""
    if pairs.seen is None:
        return nn.functional.mse_loss(predicted, pairs.pose3d)
    weight = pairs.seen[..., None].to(predicted.dtype)
    squared = weight * (predicted - pairs.pose3d).square()
    return squared.sum() / (3 * weight.sum()).clamp(min=1)


def mix(own: Labelled, made: Pairs) -> Labelled:
    """Source and augmented pairs, 1:1. An augmented pair to leave out gives its place to the
    source pair of the same row, so that it touches neither the loss nor the batch norm."""
    second = chosen(made.keep, made, own)
    seen = None
    if second.seen is not None:
        first = torch.ones_like(second.seen) if own.seen is None else own.seen
        seen = torch.cat((first, second.seen))
    return Labelled(
        torch.cat((own.pose2d, second.pose2d)), torch.cat((own.pose3d, second.pose3d)), seen
    )


@contextmanager
def matrix_products(tf32: bool) -> Iterator[None]:
    """Within, float32 matrix products on a GPU run in TensorFloat-32, or as they are."""
    setting = torch.backends.cuda.matmul
    before = setting.fp32_precision
    if tf32:
        setting.fp32_precision = "tf32"
    try:
        yield
    finally:
        setting.fp32_precision = before


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C, or a request to terminate, into an event; a second one kills.

    Of several processes each is asked twice, by the terminal and by torchrun, which kills by
    itself what does not end in time. So a second one does nothing, nor does one after the end.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def request(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL if world_size() == 1 else signal.SIG_IGN)

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    after: dict[signal.Signals, Any] = {**before}
    try:
        yield stop
    except BaseException:
        if world_size() > 1:
            after = dict.fromkeys(before, signal.SIG_IGN)  # what it ends of is still to be said
        raise
    finally:
        for number, handler in after.items():
            signal.signal(number, handler)
