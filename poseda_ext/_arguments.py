"""Checks of the public functions' arguments, with messages that say what was got and expected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from poseda_ext.skeleton import MAX_JOINTS, Skeleton

_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def check_skeleton(skeleton: Any) -> int:
    """The number of joints.

    Raises:
        TypeError: if it is not a `Skeleton`.
    """
    if not isinstance(skeleton, Skeleton):
        raise TypeError(f"skeleton: got {type(skeleton).__name__}, expected a Skeleton")
    return len(skeleton.parents)


def count_joints(name: str, value: Any, dimension: int) -> int:
    """The size J of a tensor (..., J, dimension), where no skeleton tells it.

    Raises:
        TypeError: if it is not a tensor.
        ValueError: if it has another shape, or more joints than an op takes.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: got {type(value).__name__}, expected a tensor")
    if value.dim() < 2 or value.shape[-1] != dimension or not 1 <= value.shape[-2] <= MAX_JOINTS:
        raise ValueError(
            f"{name}: got shape {tuple(value.shape)}, expected (..., J, {dimension}) with J from 1 "
            f"to {MAX_JOINTS}"
        )
    return value.shape[-2]


def two_or_three(value: Any) -> int:
    """The expected last dimension of a pose that may be 2D: 2 if it is 2, else 3."""
    return 2 if isinstance(value, Tensor) and value.dim() > 0 and value.shape[-1] == 2 else 3


def _check_tensor(name: str, value: Any, device: torch.device | None) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: got {type(value).__name__}, expected a tensor")
    if value.dtype not in _DTYPES:
        raise TypeError(f"{name}: got dtype {value.dtype}, expected a floating-point dtype")
    if value.layout is not torch.strided:
        raise TypeError(f"{name}: got layout {value.layout}, expected a dense tensor")
    if value.device != device:
        raise ValueError(
            f"{name}: got device {value.device}, expected {device} as the first tensor"
        )


def _refuse_transforms(op: str, names_and_values: Iterable[tuple[str, Tensor | None]]) -> None:
    """Called within a transform of torch.func or a level of forward-mode differentiation."""
    for name, value in names_and_values:
        if value is None:
            continue
        if torch._C._functorch.is_functorch_wrapped_tensor(value):
            found = "a tensor of a torch.func transform"
        elif forward_ad.unpack_dual(value).tangent is not None:
            found = "a dual tensor of forward-mode differentiation"
        else:
            continue
        raise NotImplementedError(
            f"{op}: got {name} as {found}, expected a plain tensor; use poseda_ext.reference.{op}, "
            "which supports this"
        )


def _broadcast(name: str, value: Tensor, shape: tuple[int, ...], tail: int) -> Tensor:
    """`value` with leading dimensions expanded; its last `tail` dimensions must fit as they are."""
    if value.shape == shape:
        return value
    if value.shape[-tail:] == shape[-tail:] and value.dim() <= len(shape):
        lead = value.shape[:-tail]
        wanted = shape[len(shape) - value.dim() : len(shape) - tail]
        if all(size in (1, want) for size, want in zip(lead, wanted, strict=True)):
            return value.expand(shape)
    raise ValueError(
        f"{name}: got shape {tuple(value.shape)}, expected {tuple(shape)} or "
        "one that broadcasts to it"
    )


def prepare(op: str, trailing: int, *arguments: tuple[str, Any, tuple[int, ...]]) -> list[Any]:
    """Checks tensors, promotes them to one dtype and broadcasts them to the first one's batch.

    Args:
        op: the public function, for messages.
        trailing: how many dimensions of the first tensor are not leading ones.
        *arguments: name, tensor or None, and the expected trailing shape. The first is not None.

    Returns:
        The tensors, None where None was given.

    Raises:
        TypeError: if one is not a floating-point tensor.
        ValueError: if devices differ or a shape does not fit.
        NotImplementedError: if a tensor is one of torch.func or of forward-mode differentiation,
            whose derivatives the ops would lose.
    """
    name, first, tail = arguments[0]
    _check_tensor(name, first, getattr(first, "device", None))
    if first.dim() < trailing or first.shape[-trailing:] != tail:
        raise ValueError(f"{name}: got shape {tuple(first.shape)}, expected (..., {str(tail)[1:]}")
    lead = first.shape[:-trailing]
    device, dtype = first.device, first.dtype
    results = [first]
    same = True
    for name, value, tail in arguments[1:]:
        if value is not None:
            _check_tensor(name, value, device)
            value = _broadcast(name, value, (*lead, *tail), len(tail))
            if value.dtype != dtype:
                dtype = torch.promote_types(dtype, value.dtype)
                same = False
        results.append(value)
    # Two looks of some 50 ns together; private, as torch has no public ones.
    if forward_ad._current_level >= 0 or torch._C._functorch.maybe_current_level() is not None:
        _refuse_transforms(op, ((name, value) for name, value, _ in arguments))
    return results if same else [t if t is None else t.to(dtype) for t in results]
