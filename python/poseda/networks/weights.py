"""A lifter's weights as safetensors, with what is needed to rebuild the lifter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from poseda.files import atomic_write
from poseda.networks.lifters import LIFTERS, make_lifter
from poseda_ext import H36M_16, H36M_17, Skeleton

SKELETONS = {16: H36M_16, 17: H36M_17}


@dataclass(frozen=True)
class NamedLifter:
    """A lifter and what rebuilds it (see `make_lifter`)."""

    module: nn.Module
    name: str
    width: int
    skeleton: Skeleton


def save_lifter(path: Path, lifter: NamedLifter) -> None:
    """Writes the weights, and name, width and joints as metadata."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(lifter_bytes(lifter))


def lifter_bytes(lifter: NamedLifter) -> bytes:
    """What `save_lifter` writes."""
    metadata = {
        "lifter": lifter.name,
        "width": str(lifter.width),
        "joints": str(lifter.skeleton.num_joints),
    }
    state = lifter.module.state_dict()
    # clones, since safetensors refuses weights that share memory
    tensors = {key: value.detach().cpu().clone() for key, value in state.items()}
    return save(tensors, metadata)


def load_lifter(path: Path, own: str | None = None) -> NamedLifter:
    """The lifter, on the CPU in evaluation mode.

    Args:
        path: the safetensors.
        own: the user's own lifter that the weights may be of. A file alone never decides which
            module is imported.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no lifter of this program, or holds other weights than it says.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, expected a lifter's safetensors")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors: dict[str, torch.Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: got no readable safetensors file ({error})") from error
    try:
        name, width = metadata["lifter"], int(metadata["width"])
        skeleton = SKELETONS[int(metadata["joints"])]
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path}: metadata {metadata}, expected lifter, width and joints (16 or 17)"
        ) from error
    if name not in LIFTERS and name != own:
        raise ValueError(f"{path}: made by {name}; say --lifter {name} if it may be imported")
    lifter = make_lifter(name, skeleton, width)
    try:
        lifter.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path}: the weights do not fit lifter {name}: {error}") from error
    return NamedLifter(lifter.eval(), name, width, skeleton)
