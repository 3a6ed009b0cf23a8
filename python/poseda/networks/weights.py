"""A lifter's weights as safetensors, with what is needed to rebuild the lifter, and its card.

The metadata holds ``lifter`` (its name), ``width``, ``joints`` (16 or 17), ``frames`` where it is
not 1, ``normalization`` of its input where that is not ``screen`` and, except in files of earlier
versions, ``card`` (see `poseda.card`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from poseda.card import FILE_NAME, ModelCard, markdown, parse_card
from poseda.config import MAX_WIDTH, Normalization
from poseda.files import atomic_write
from poseda.networks.lifters import (
    LIFTERS,
    NORMALIZATIONS,
    frames_of,
    make_lifter,
    normalization_of,
)
from poseda_ext import H36M_16, H36M_17, Skeleton

SKELETONS = {16: H36M_16, 17: H36M_17}


@dataclass(frozen=True)
class NamedLifter:
    """A lifter, what rebuilds it (see `make_lifter`), and what it was trained on, if known."""

    module: nn.Module
    name: str
    width: int
    skeleton: Skeleton
    card: ModelCard | None = None


def save_lifter(path: Path, lifter: NamedLifter) -> None:
    """Writes the weights with their metadata, and the card for a reader beside them."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(lifter_bytes(lifter))
    if lifter.card is not None:
        with atomic_write(path.with_name(FILE_NAME)) as temporary:
            joints, frames = lifter.skeleton.num_joints, frames_of(lifter.module)
            how = normalization_of(lifter.module)
            text = markdown(lifter.card, lifter.name, lifter.width, joints, frames, how)
            temporary.write_text(text, encoding="utf-8")


def read_card(path: Path) -> ModelCard | None:
    """The card of a lifter's weights, None where they have none; the lifter itself is not loaded.

    Raises:
        FileNotFoundError, ValueError: as `load_lifter`.
    """
    with _opened(path) as file:
        return _described(file.metadata(), path)[3]


def card_text(path: Path) -> str:
    """The card of a lifter's weights, for a reader; the lifter itself is not loaded.

    Raises:
        FileNotFoundError, ValueError: as `load_lifter`; or if the weights have no card.
    """
    with _opened(path) as file:
        name, width, skeleton, card = _described(file.metadata(), path)
        frames = _frames(file.metadata(), path)
        how = _normalization(file.metadata(), path)
    if card is None:
        raise ValueError(f"{path}: has no card: it was saved by an earlier version")
    return markdown(card, name, width, skeleton.num_joints, frames, how)


def lifter_bytes(lifter: NamedLifter) -> bytes:
    """What `save_lifter` writes."""
    metadata = {
        "lifter": lifter.name,
        "width": str(lifter.width),
        "joints": str(lifter.skeleton.num_joints),
    }
    if frames_of(lifter.module) > 1:
        metadata["frames"] = str(frames_of(lifter.module))
    if normalization_of(lifter.module) != "screen":
        metadata["normalization"] = normalization_of(lifter.module)
    if lifter.card is not None:
        metadata["card"] = lifter.card.to_json()
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
    with _opened(path) as file:
        name, width, skeleton, card = _described(file.metadata(), path)
        how = _normalization(file.metadata(), path)
        tensors: dict[str, torch.Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if name not in LIFTERS and name != own:
        raise ValueError(f"{path}: made by {name}; say --lifter {name} if it may be imported")
    if own not in (None, name):
        raise ValueError(f"{path}: weights of {name}, expected {own} (see lifter)")
    if name in LIFTERS:  # before there is memory for a width that the file may but claim
        with torch.device("meta"):
            _check_fit(tensors, make_lifter(name, skeleton, width, how), name, path)
    lifter = make_lifter(name, skeleton, width, how)
    _check_fit(tensors, lifter, name, path)
    try:
        lifter.load_state_dict(tensors)
    except Exception as error:  # a user's own lifter may do anything here
        raise ValueError(f"{path}: the weights do not fit lifter {name}: {error}") from error
    return NamedLifter(lifter.eval(), name, width, skeleton, card)


def _check_fit(
    tensors: Mapping[str, torch.Tensor], lifter: nn.Module, name: str, path: Path
) -> None:
    """Refuses weights that are not those of a lifter."""
    expected = {key: tuple(value.shape) for key, value in lifter.state_dict().items()}
    for key in sorted({*tensors} | {*expected}):
        got = tuple(tensors[key].shape) if key in tensors else None
        if got != expected.get(key):
            shape = expected.get(key)
            found = "none" if got is None else "it" if shape is None else f"shape {got}"
            raise ValueError(
                f"{path}: the weights do not fit lifter {name}: {key}: got {found}, expected "
                f"{'none' if shape is None else shape}"
            )
    for key, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"{path}: {key}: got NaN or infinity, expected finite weights")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, expected a lifter's safetensors")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: got no readable safetensors file ({error})") from error


def _described(
    metadata: Mapping[str, str] | None, path: Path
) -> tuple[str, int, Skeleton, ModelCard | None]:
    """Name, width, skeleton and card."""
    metadata = metadata or {}
    try:
        name, width = metadata["lifter"], int(metadata["width"])
        skeleton = SKELETONS[int(metadata["joints"])]
    except (KeyError, ValueError) as error:
        found = {key: value for key, value in metadata.items() if key != "card"}
        raise ValueError(
            f"{path}: metadata {found}, expected lifter, width and joints (16 or 17)"
        ) from error
    if not 1 <= width <= MAX_WIDTH:
        raise ValueError(f"{path}: width: got {width}, expected 1 to {MAX_WIDTH:,}")
    card = parse_card(metadata["card"], str(path)) if "card" in metadata else None
    return name, width, skeleton, card


def _normalization(metadata: Mapping[str, str] | None, path: Path) -> Normalization:
    said = (metadata or {}).get("normalization", "screen")
    for known in NORMALIZATIONS:
        if said == known:
            return known
    raise ValueError(
        f"{path}: normalization: got {said!r:.60}, expected one of {', '.join(NORMALIZATIONS)}"
    )


def _frames(metadata: Mapping[str, str] | None, path: Path) -> int:
    """What the file says; the lifter itself decides when it is loaded."""
    said = (metadata or {}).get("frames", "1")
    if not (said.isascii() and said.isdecimal() and len(said) <= 6 and int(said) % 2):
        raise ValueError(f"{path}: frames: got {said!r:.60}, expected an odd number")
    return int(said)
