"""What the process that starts trainings does beside them."""

from __future__ import annotations

import queue

import pytest

from poseda.runner import _listen


@pytest.mark.parametrize("error", [BrokenPipeError(), SystemExit(1)])
def test_progress_is_read_though_nobody_can_see_it(error: BaseException) -> None:
    told: queue.Queue[tuple[str, int, int, dict[str, float]] | None] = queue.Queue()
    for iteration in range(3):
        told.put(("seed 0", iteration, 3, {}))
    told.put(None)

    def watch(*_: object) -> None:
        raise error

    _listen(told, watch)
    assert told.empty()
