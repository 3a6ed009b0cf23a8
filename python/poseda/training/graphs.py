"""A training step as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from poseda.distributed import world_size

#: Calls that run as they are before the capture: they create the optimiser's state, and whatever
#: libraries allocate at first use.
WARM_UP = 3


class Step:
    """A training step that is replayed as one CUDA graph once it has run a few times.

    Every call trains one step, whichever way it runs, and draws the same random numbers. On the
    CPU, and where several processes train together, it runs as it is.

    What is captured must not wait for the device nor decide anything on the host, and works on
    tensors that stay where they are: parameters, optimiser state, buffers. So a checkpoint is
    loaded before the first call, or in place.

    Args:
        function: the step. Returns device scalars, or tensors whose mean is worth a log.
        random: the generator that it draws from. Its device is that of the step.
        graph: False runs the step as it is on a GPU too.
    """

    def __init__(
        self,
        function: Callable[[], dict[str, Tensor]],
        random: torch.Generator,
        *,
        graph: bool = True,
    ) -> None:
        self._function = function
        self._random = random
        # Messages between processes would have to be captured too, which nobody has tried here.
        self._graphed = graph and random.device.type == "cuda" and world_size() == 1
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._scalars: dict[str, Tensor] = {}

    def __call__(self) -> dict[str, Tensor]:
        """Trains one step. The next call overwrites the tensors that it returns."""
        if not self._graphed:
            return self._function()
        with torch.cuda.device(self._random.device):
            if self._graph is None and self._calls < WARM_UP:
                self._calls += 1
                return self._on_side_stream()
            if self._graph is None:
                self._graph = self._capture()
            self._graph.replay()
        return self._scalars

    @property
    def captured(self) -> bool:
        """Whether calls are replays by now."""
        return self._graph is not None

    def _on_side_stream(self) -> dict[str, Tensor]:
        """As `torch.cuda.graph` asks of what precedes a capture."""
        side, current = torch.cuda.Stream(), torch.cuda.current_stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            scalars = self._function()
        current.wait_stream(side)
        return scalars

    def _capture(self) -> torch.cuda.CUDAGraph:
        """Records the step without running it. What it allocates belongs to the graph."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._random)
        with torch.cuda.graph(graph):
            self._scalars = self._function()
        return graph


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Restores what an optimiser of the same parameters saved on any device: whether a graph may
    hold it depends on the device here."""
    groups = [
        saved | {"capturable": own["capturable"]}
        for saved, own in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict(state | {"param_groups": groups})
