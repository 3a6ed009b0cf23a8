"""A run folder: what a training writes, and what it resumes from.

========================== ==================================================================
``settings.json``          what decides the numbers of this training
``metrics.jsonl``          a JSON object per log point
``tensorboard/``           the same as TensorBoard events
``state.pt``               the last checkpoint (tensors and plain values only)
``lifter.safetensors``     the trained weights, once training has ended
``best.safetensors``       an oracle's, where the protocol asks for it: those of the lowest MPJPE
                           on the test set so far; ``best.json`` says of which step
========================== ==================================================================

Where several processes train together all of them read the folder and the first alone writes.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import torch

from poseda.distributed import is_first
from poseda.files import atomic_write

MOST_NAMES = 3  #: of settings, in a message


class RunFolder:
    """Creates the folder.

    Raises:
        OSError: if the folder cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._events: Any = None
        if not is_first():
            return
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise OSError(f"cannot write {path}: the folder is not writable")

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def state_path(self) -> Path:
        return self.path / "state.pt"

    @property
    def weights_path(self) -> Path:
        return self.path / "lifter.safetensors"

    @property
    def best_path(self) -> Path:
        return self.path / "best.safetensors"

    def log(self, iteration: int, values: dict[str, float]) -> None:
        """Appends one record to the metrics and the TensorBoard events.

        Raises:
            OSError: if the disk is full, and so on.
        """
        if not is_first():
            return
        try:
            with self.metrics_path.open("a") as file:
                file.write(json.dumps({"step": iteration, **values}) + "\n")
        except OSError as error:
            raise OSError(f"cannot write {self.metrics_path}: {error.strerror}") from error
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(self.path / "tensorboard"), purge_step=iteration)
        for name, value in values.items():
            self._events.add_scalar(name, value, iteration)

    def records(self) -> list[dict[str, float]]:
        """All records so far. A last line cut short by a kill is left out."""
        if not self.metrics_path.exists():
            return []
        records = []
        for line in self.metrics_path.read_text(errors="replace").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(record, dict) and "step" in record:
                records.append(record)
        return records

    def claim(self, settings: dict[str, Any]) -> None:
        """Writes down what decides the numbers of this training, or compares with what stands.

        Raises:
            ValueError: if the folder holds a training with other settings.
        """
        if not is_first():
            return
        if compare_settings(self.path, settings):
            return
        with atomic_write(self.path / "settings.json") as temporary:
            temporary.write_text(_as_text(settings))

    def truncate_metrics(self, iteration: int) -> None:
        """Drops what was logged after a checkpoint, before training goes on from it."""
        if not is_first():
            return
        records = [record for record in self.records() if record["step"] <= iteration]
        with atomic_write(self.metrics_path) as path:
            path.write_text("".join(json.dumps(record) + "\n" for record in records))

    def save_state(self, state: dict[str, Any]) -> None:
        """Replaces the checkpoint, as a whole or not at all."""
        if not is_first():
            return
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with atomic_write(self.state_path) as path:
            path.write_bytes(buffer.getbuffer())

    def load_state(self) -> dict[str, Any] | None:
        """The checkpoint, or None where there is none. Runs no code from the file.

        Raises:
            ValueError: if the file is not a checkpoint.
        """
        if not self.state_path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(
                self.state_path, map_location="cpu", weights_only=True
            )
            if not isinstance(state, dict):
                raise TypeError(f"got a {type(state).__name__}")
        except OSError:
            raise
        except Exception as error:  # a damaged file can fail in any part of the reader
            raise self.broken_state(error) from error
        return state

    def broken_state(self, error: Exception) -> ValueError:
        """What to say of a checkpoint that cannot be used."""
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return ValueError(
            f"{self.state_path}: is not a checkpoint of this training ({reason}); remove it to "
            "start this training anew"
        )

    def close(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None


def compare_settings(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether a folder holds a training with these settings; False if it holds none.

    Raises:
        ValueError: if it holds one with others.
    """
    path = folder / "settings.json"
    if not path.exists():
        return False
    text = path.read_text(errors="replace")
    if text != _as_text(settings):
        raise ValueError(
            f"{path}: this training was started with other settings{_differing(text, settings)}; "
            "give those again (of a run folder, restore its config.json), or choose another --out"
        )
    return True


def _differing(text: str, settings: dict[str, Any]) -> str:
    """Which settings a file has otherwise, as far as it can be read."""
    try:
        before, now = _flat(json.loads(text)), _flat(json.loads(_as_text(settings)))
    except (ValueError, AttributeError, RecursionError):
        return ""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    said = [
        f"{ascii(name)[1:-1]:.60} {before.get(name, 'not there'):.60}, "
        f"now {now.get(name, 'not there'):.60}"
        for name in names[:MOST_NAMES]
    ]
    more = [f"and {len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
    return f" ({'; '.join([*said, *more])})" if said else ""


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Values as JSON by dotted name."""
    found: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = json.dumps(value)
    return found


def _as_text(settings: dict[str, Any]) -> str:
    return json.dumps(settings, indent=2) + "\n"
