"""Carries out a plan: its trainings side by side in processes, with progress bars. Where processes
train together (see `poseda.distributed`) it is one training after another, all processes in each.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from poseda.device import pick_device
from poseda.distributed import is_first, world_size
from poseda.experiment import run_training
from poseda.plan import Job, Plan
from poseda.training.loop import Diverged, Interrupted

#: told a training's name, the iterations done and in all, and the scalars
Watcher = Callable[[str, int, int, dict[str, float]], None]

SHOWN = ("lifter_loss", "critic_gap", "poses_per_s")
LINE_SECONDS = 10.0


def run_plan(
    plan: Plan, *, jobs: int = 0, console: Console | None = None, keep_going: bool = False
) -> dict[Path, str]:
    """Runs every training of the plan that has not ended yet.

    Args:
        plan: what to train.
        jobs: trainings at a time; 0 takes one per CPU core, or one where a GPU trains or several
            processes train together.
        console: where progress is shown.
        keep_going: whether one that diverges leaves the others to go on, but for those that start
            from it.

    Returns:
        What was said of those that diverged, by folder.

    Raises:
        Diverged: if one does, unless `keep_going`.
        Interrupted: after Ctrl-C, once every training has saved its state.
    """
    if jobs < 0:
        raise ValueError(f"jobs: got {jobs}, expected at least 0")
    if jobs > 1 and world_size() > 1:
        raise ValueError(
            f"jobs: got {jobs} for {world_size()} processes that train together, expected 1"
        )
    device = pick_device(plan.settings.device)
    if world_size() > 1 and device.type == "cuda":
        torch.cuda.set_device(device)
    waiting = plan.jobs()
    trainings = sum(len(then) + 1 for _, then in waiting)
    cores = os.cpu_count() or 1
    jobs = jobs or (cores if device.type == "cpu" and world_size() == 1 else 1)
    jobs = max(1, min(jobs, trainings))
    console = console or Console(stderr=True)
    failed: dict[Path, str] = {}

    def ended(job: Job, wait: Callable[[], Any]) -> bool:
        """Whether it ended well."""
        try:
            wait()
        except Diverged as error:
            if not keep_going:
                raise
            failed[job.folder] = str(error)
            return False
        return True

    with _terminable(), Display(console, silent=not is_first()) as display:
        if jobs == 1:
            for start, then in waiting:
                if ended(start, partial(_run, start, display.update)):
                    for job in then:
                        ended(job, partial(_run, job, display.update))
        else:
            _run_in_processes(waiting, jobs, max(1, cores // jobs), display, ended)
    return failed


def _run(job: Job, watch: Watcher) -> None:
    run_training(job, lambda *progress: watch(job.name, *progress))


def _run_in_processes(
    waiting: Sequence[tuple[Job, Sequence[Job]]],
    jobs: int,
    threads: int,
    display: Display,
    ended: Callable[[Job, Callable[[], Any]], bool],
) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    listener = threading.Thread(target=_listen, args=(queue, display.update), daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(jobs, context, _start_worker, (queue, threads))
    try:
        running: dict[Future[None], tuple[Job, Sequence[Job]]] = {
            pool.submit(_run_in_worker, start): (start, then) for start, then in waiting
        }
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                job, then = running.pop(future)
                if ended(job, future.result):
                    for following in then:
                        running[pool.submit(_run_in_worker, following)] = following, ()
    except BaseException as error:
        for worker in multiprocessing.active_children():
            worker.terminate()  # one that trains saves its state first
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted from None
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        queue.put(None)
        listener.join()


_queue: Any = None


def _start_worker(queue: Any, threads: int) -> None:
    global _queue
    _queue = queue
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    threading.Thread(target=_follow_parent, args=(os.getppid(),), daemon=True).start()


def _follow_parent(parent: int) -> None:
    """Stops this worker, its state saved, when the parent is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _terminable() -> Iterator[None]:
    """A request to terminate counts as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        if world_size() == 1:  # otherwise torchrun still has an eye on this process
            signal.signal(signal.SIGTERM, before)


def _run_in_worker(job: Job) -> None:
    parent = os.getppid()
    try:
        _run(job, lambda *progress: _queue.put(progress))
    except Interrupted:
        if os.getppid() != parent:
            os._exit(130)  # nobody is left to hear of it
        raise


def _listen(queue: Any, watch: Watcher) -> None:
    for progress in iter(queue.get, None):
        # Where the terminal is gone nobody sees it (rich would end the thread), but it must be
        # read: a worker does not end before what it has told has left its queue.
        with suppress(OSError, SystemExit):
            watch(*progress)


class Display:
    """Bars on a terminal; elsewhere a line per training every ten seconds; nothing if silent."""

    def __init__(self, console: Console, *, silent: bool = False) -> None:
        self.console = console
        self.silent = silent
        self.bars: dict[str, TaskID] = {}
        self.shown_at: dict[str, float] = {}
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[scalars]}"),
            console=console,
            disable=silent or not console.is_terminal,
        )

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def update(self, name: str, done: int, total: int, scalars: dict[str, float]) -> None:
        if self.silent:
            return
        text = _format(scalars, SHOWN)
        if not self.console.is_terminal:
            now = time.monotonic()
            if done == total or now - self.shown_at.get(name, 0) >= LINE_SECONDS:
                self.shown_at[name] = now
                print(f"{name}: {done}/{total} {text}", file=sys.stderr, flush=True)
            return
        if name not in self.bars:
            self.bars[name] = self.progress.add_task(name, total=total, scalars="")
        self.progress.update(self.bars[name], completed=done, scalars=text)


def _format(scalars: dict[str, float], names: Iterable[str]) -> str:
    labels = {"lifter_loss": "loss", "critic_gap": "critic gap", "poses_per_s": "poses/s"}
    return " ".join(
        f"{labels[name]} {scalars[name]:,.0f}"
        if name == "poses_per_s"
        else f"{labels[name]} {scalars[name]:.4f}"
        for name in names
        if name in scalars
    )
