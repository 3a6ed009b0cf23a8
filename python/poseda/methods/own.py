"""A method of the user's own, held to what the training loop asks of a method.

`try_method` runs one on a few poses before anything is trained. `OwnMethod` then stands before it
in the training: what it raises becomes one line that says where, and the form of its pairs is
checked. The values of the first pairs are too; not those of later ones, so that no step waits for
the device.
"""

from __future__ import annotations

import copy
import dataclasses
import io
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from poseda.data.poseset import PoseSet
from poseda.distributed import world_size
from poseda.methods.method import Pairs, Task

#: poses of source and target that a method is tried on, and rows of a batch in each process
TRIED, TRIED_BATCH = 512, 4
#: metres that joint 0 of a root-relative pose may lie from the origin
MAX_ROOT = 1e-3
#: median of |x| and |y| beyond which points are not screen-normalised
MAX_POINT = 5.0
#: what the training loop logs itself
TAKEN = ("step", "lifter_loss", "poses_per_s")
ASKED = ("iterate", "describe", "pairs", "state_dict", "load_state_dict")


class OwnMethod:
    """A `Method` that a user wrote.

    Args:
        name: ``package.module:Class``.
        make: what the name stands for; called with the task.
        task: what it is made for.

    Raises:
        ValueError: if it cannot be made, or lacks something; later, if it fails.
    """

    def __init__(self, name: str, make: Callable[[Task], Any], task: Task) -> None:
        self.name = name
        with self._said("cannot be made"):
            self.method = make(task)
        missing = [each for each in ASKED if not callable(getattr(self.method, each, None))]
        if missing:
            raise ValueError(
                f"method {name}: has no {missing[0]}, expected a method with {', '.join(ASKED)}"
            )
        self.warmup = self._count("warmup")
        self.passes = self._count("passes", 0)
        # what decides things on the host cannot be captured: a method has to say that it does not
        self.least_squares = bool(getattr(self.method, "least_squares", False))
        self.graph_safe = bool(getattr(self.method, "graph_safe", False))
        source = task.source
        rows = task.settings.batch // world_size() * (2 if self.passes else 1)
        self._window = () if source.frames == 1 else (source.frames,)
        self._shape = rows, source.poses.skeleton.num_joints
        self._like = source.poses.pose2d
        self._checked = False

    def iterate(self, iteration: int) -> dict[str, Tensor]:
        with self._said(f"iterate({iteration}) fails"):
            return self._scalars("iterate", self.method.iterate(iteration))

    def describe(self) -> dict[str, Tensor]:
        with self._said("describe() fails"):
            return self._scalars("describe", self.method.describe())

    def pairs(self) -> Pairs:
        with self._said("pairs() fails"):
            pairs: Pairs = self.method.pairs()
        self._check_form(pairs)
        if not self._checked:
            self._check_values(pairs)
            self._checked = True
        return pairs

    def state_dict(self) -> dict[str, Any]:
        with self._said("state_dict() fails"):
            state: dict[str, Any] = self.method.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with self._said("load_state_dict() fails"):
            self.method.load_state_dict(state)

    def _count(self, attribute: str, otherwise: object = None) -> int:
        with self._said(f"{attribute} fails"):
            value = getattr(self.method, attribute, otherwise)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(
                f"method {self.name}: {attribute}: got {value!r:.60}, expected a number, at least 0"
            )
        return value

    def _scalars(self, call: str, scalars: Any) -> dict[str, Tensor]:
        if not isinstance(scalars, dict):
            kind = type(scalars).__name__
            raise ValueError(
                f"method {self.name}: {call}: got {kind}, expected a dict of tensors, {{}} for none"
            )
        device = self._like.device
        for key, value in scalars.items():
            if not isinstance(key, str) or key in TAKEN:
                raise ValueError(
                    f"method {self.name}: {call}: got the name {key!r:.60}, expected a text other "
                    f"than {', '.join(TAKEN)}"
                )
            if not isinstance(value, Tensor) or value.device != device or value.numel() == 0:
                found = type(value).__name__
                if isinstance(value, Tensor):
                    found = f"a tensor of shape {tuple(value.shape)} on {value.device}"
                raise ValueError(
                    f"method {self.name}: {call}: {key}: got {found}, expected a tensor on {device}"
                )
        return scalars

    def _check_form(self, pairs: Any) -> None:
        """Types and shapes of a batch.

        Raises:
            ValueError: if the training loop could not use it.
        """
        said = f"method {self.name}: pairs"
        if not isinstance(pairs, Pairs):
            raise ValueError(f"{said}: got {type(pairs).__name__}, expected poseda.methods.Pairs")
        rows, joints = self._shape
        number = self._like.dtype
        self._tensor("pose2d", pairs.pose2d, (rows, *self._window, joints, 2), number)
        self._tensor("pose3d", pairs.pose3d, (rows, joints, 3), number)
        self._tensor("keep", pairs.keep, (rows,), torch.bool)
        if pairs.seen is not None:
            self._tensor("seen", pairs.seen, (rows, joints), torch.bool)

    def _check_values(self, pairs: Pairs) -> None:
        """Values of a batch.

        Raises:
            ValueError: if the lifter could not learn from it.
        """
        said, rows = f"method {self.name}: pairs", self._shape[0]
        pose2d, pose3d = pairs.pose2d.detach()[pairs.keep], pairs.pose3d.detach()[pairs.keep]
        for label, values in (("pose2d", pose2d), ("pose3d", pose3d)):
            bad = int((~values.isfinite()).flatten(1).any(1).sum()) if len(values) else 0
            if bad:
                raise ValueError(
                    f"{said}: {label}: got NaN or infinity in {bad} of {len(values)} pairs to "
                    "keep, expected finite ones"
                )
        if self.passes and len(pose2d) < rows:
            raise ValueError(f"{said}: keep: got {len(pose2d)} of {rows}, expected all with passes")
        if not len(pose2d):
            return
        away, size = float(pose3d[:, 0].abs().max()), float(pose2d.abs().median())
        if away > MAX_ROOT:
            raise ValueError(
                f"{said}: pose3d: got joint 0 up to {away:.3g} m from the origin, expected poses "
                "relative to it"
            )
        if size > MAX_POINT:
            raise ValueError(
                f"{said}: pose2d: got coordinates of {size:.3g} in the median, expected "
                "screen-normalised ones, -1 to 1 over the image's width"
            )

    def _tensor(self, label: str, value: Any, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        expected = f"{shape} {dtype} on {self._like.device}".replace("torch.", "")
        if not isinstance(value, Tensor):
            found = type(value).__name__
        else:
            found = f"{tuple(value.shape)} {value.dtype} on {value.device}".replace("torch.", "")
        if found != expected:
            raise ValueError(
                f"method {self.name}: pairs: {label}: got {found}, expected {expected}"
            )

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        """Whatever is raised within, in one line with its place."""
        try:
            yield
        except (Exception, SystemExit) as error:
            if world_size() > 1 and isinstance(error, RuntimeError):
                raise  # it may be another process that is gone
            said = str(error)
            if said.startswith(f"method {self.name}: "):
                raise
            raise ValueError(
                f"method {self.name}: {what}: {error!r:.300} ({_place(error, self.name)})"
            ) from error


def try_method(
    name: str,
    make: Callable[[Task], Any],
    task: Callable[[PoseSet, PoseSet, torch.Generator, nn.Module], Task],
    source: PoseSet,
    target: PoseSet,
    lifter: nn.Module,
) -> None:
    """Runs a user's own method on a few poses.

    Args:
        name: ``package.module:Class``.
        make: what the name stands for.
        task: makes its task of source, target, random numbers and lifter.
        source, target: training poses, on the device that will train.
        lifter: on that device; a copy of it is given to the method.

    Raises:
        ValueError: if the method fails, or what it gives cannot be used.
    """
    source, target = (poses.rows(slice(0, min(len(poses), TRIED))) for poses in (source, target))
    random = torch.Generator(source.pose2d.device).manual_seed(0)
    with torch.random.fork_rng():
        asked = copy.deepcopy(lifter).train()
        before = {key: value.clone() for key, value in asked.state_dict().items()}
        given = task(source, target, random, asked)
        batch = TRIED_BATCH * world_size()
        given = dataclasses.replace(
            given, settings=dataclasses.replace(given.settings, batch=batch)
        )
        method = OwnMethod(name, make, given)
        for iteration in range(2):
            method.iterate(iteration)
            method.pairs()
        method.describe()
        _try_state(method)
        after = asked.state_dict()
    if not asked.training or not all(torch.equal(before[key], after[key]) for key in before):
        raise ValueError(
            f"method {name}: changes the lifter, or leaves it in evaluation mode; expected it to "
            "be asked within poseda.methods.losses.asked"
        )


def _try_state(method: OwnMethod) -> None:
    """A checkpoint must hold the state, and give it back without running code."""
    state = method.state_dict()
    if not isinstance(state, dict):
        raise ValueError(
            f"method {method.name}: state_dict: got {type(state).__name__}, expected a dict, {{}} "
            "where nothing is learned"
        )
    buffer = io.BytesIO()
    try:
        torch.save(state, buffer)
        buffer.seek(0)
        state = torch.load(buffer, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"method {method.name}: state_dict: cannot be kept in a checkpoint, expected tensors, "
            f"numbers, texts, lists and dicts ({reason:.200})"
        ) from error
    method.load_state_dict(state)


def _place(error: BaseException, name: str) -> str:
    """The line of the user's own module where it came from, or the last one at all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = getattr(sys.modules.get(name.partition(":")[0]), "__file__", None)
    frame = next((each for each in reversed(frames) if each.filename == own), frames[-1])
    return f"{Path(frame.filename).name}:{frame.lineno}"
