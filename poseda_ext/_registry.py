"""Registers an op with torch: schema, fake kernels, autograd and the plain-torch default kernels.

Every op is two torch ops, ``poseda::<name>`` and ``poseda::<name>_backward``. Compiled kernels for
a device are registered by the extension; where there is none, the default kernel runs the
reference. An output or gradient that does not exist is a tensor of no elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import or_
from typing import Any

import torch
from torch import Tensor

from poseda_ext._build import warn_reference

_library = torch.library.Library("poseda", "DEF")

Tensors = tuple[Tensor | None, ...]


@dataclass(frozen=True)
class Op:
    """An op as a function of tensors and options.

    Attributes:
        name: the name under ``torch.ops.poseda``.
        inputs: declarations of the tensor arguments, such as ``"Tensor pose"``.
        options: declarations of the other arguments, such as ``"int[] parents"``.
        outputs: names of the outputs.
        reference: (*tensors, *options) to one tensor per output, None where there is none.
        shapes: (*tensors, *options) to one shape per output, None where there is none.
    """

    name: str
    inputs: tuple[str, ...]
    options: tuple[str, ...]
    outputs: tuple[str, ...]
    reference: Callable[..., Sequence[Tensor | None]]
    shapes: Callable[..., Sequence[Sequence[int] | None]]


def _flat(results: Sequence[Tensor]) -> Any:
    """A single result stands alone, as torch ops return it."""
    return tuple(results) if len(results) > 1 else results[0]


def _listed(results: Any) -> list[Any]:
    return list(results) if isinstance(results, (tuple, list)) else [results]


def _or_empty(tensor: Tensor | None, like: Tensor) -> Tensor:
    return like.new_empty(0) if tensor is None else tensor.contiguous()


def _first(tensors: Sequence[Tensor | None]) -> Tensor:
    return next(t for t in tensors if t is not None)


@contextmanager
def _recording():
    """Records autograd history inside a kernel, where torch has switched that off."""
    keys = torch._C._dispatch_tls_local_exclude_set() - torch._C.DispatchKeySet(
        torch._C.DispatchKey.AutogradFunctionality
    )
    include = torch._C._dispatch_tls_local_include_set()
    with torch._C._ForceDispatchKeyGuard(include, keys), torch.enable_grad():
        yield


def _vjp(
    op: Op, grads: Tensors, inputs: Tensors, options: tuple, wanted: Sequence[bool], again: bool
) -> list[Tensor | None]:
    """The reference's gradients by the wanted inputs; differentiable once more where `again`."""
    outputs = op.reference(*inputs, *options)
    pairs = [
        (output, grad)
        for output, grad in zip(outputs, grads, strict=True)
        if output is not None and grad is not None and output.requires_grad
    ]
    by = [t for t, want in zip(inputs, wanted, strict=True) if want]
    if not pairs or not by:
        found = iter([None] * len(by))
    else:
        found = iter(
            torch.autograd.grad(
                [output for output, _ in pairs],
                by,
                [grad for _, grad in pairs],
                create_graph=again,
                allow_unused=True,
                materialize_grads=True,
            )
        )
    return [next(found) if want else None for want in wanted]


def _wanted(inputs: Tensors, needs: int) -> list[bool]:
    return [t is not None and bool(needs >> i & 1) for i, t in enumerate(inputs)]


def _leaf(tensor: Tensor | None, wanted: bool) -> Tensor | None:
    """A tensor to differentiate by, joined to the graph of the one given if that has one."""
    if tensor is None or not wanted:
        return tensor
    return tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().requires_grad_()


def register(op: Op) -> None:
    """Defines ``poseda::<name>`` and its backward, with everything but the compiled kernels."""
    count, num_outputs = len(op.inputs), len(op.outputs)
    grads = [f"Tensor? grad_{name}" for name in op.outputs]
    arguments = [*op.inputs, *op.options]

    def returns(number: int) -> str:
        return "(" + ", ".join(["Tensor"] * number) + ")"

    tags = (torch.Tag.pt2_compliant_tag,)
    _library.define(f"{op.name}({', '.join(arguments)}) -> {returns(num_outputs)}", tags=tags)
    _library.define(
        f"{op.name}_backward({', '.join([*grads, *arguments])}, int needs) -> {returns(count)}",
        tags=tags,
    )
    backward_op = getattr(torch.ops.poseda, f"{op.name}_backward").default

    def split(args: Sequence[Any]) -> tuple[Tensors, Tensors, tuple, int]:
        """The arguments of the backward op as gradients, inputs, options and needs."""
        after = num_outputs + count
        return (
            tuple(args[:num_outputs]),
            tuple(args[num_outputs:after]),
            tuple(args[after:-1]),
            args[-1],
        )

    def fake(*args: Any) -> Any:
        like = _first(args[:count])
        return _flat([like.new_empty(0 if s is None else s) for s in op.shapes(*args)])

    def fake_backward(*args: Any) -> Any:
        _, inputs, _, needs = split(args)
        like = _first(inputs)
        wanted = _wanted(inputs, needs)
        return _flat(
            [
                like.new_empty(t.shape if want and t is not None else 0)
                for t, want in zip(inputs, wanted, strict=True)
            ]
        )

    def default(*args: Any) -> Any:
        like = _first(args[:count])
        warn_reference(like.device.type)
        return _flat([_or_empty(t, like) for t in op.reference(*args)])

    def default_backward(*args: Any) -> Any:
        grad_outputs, inputs, options, needs = split(args)
        like = _first(inputs)
        warn_reference(like.device.type)
        wanted = _wanted(inputs, needs)
        with _recording():
            leaves = tuple(
                t if t is None else t.detach().requires_grad_(want)
                for t, want in zip(inputs, wanted, strict=True)
            )
            found = _vjp(op, grad_outputs, leaves, options, wanted, again=False)
        return _flat(
            [
                torch.zeros_like(t, memory_format=torch.contiguous_format)
                if want and t is not None and grad is None
                else _or_empty(grad, like)
                for t, grad, want in zip(inputs, found, wanted, strict=True)
            ]
        )

    def save(ctx: Any, inputs: tuple, output: Any) -> None:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[:count])
        ctx.options = inputs[count:]

    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple:
        nothing = (None,) * (count + len(ctx.options))
        if all(grad is None for grad in grad_outputs):
            return nothing
        inputs = ctx.saved_tensors
        needs = sum(1 << i for i, need in enumerate(ctx.needs_input_grad[:count]) if need)
        found = _listed(backward_op(*grad_outputs, *inputs, *ctx.options, needs))
        return (
            *(grad if needs >> i & 1 else None for i, grad in enumerate(found)),
            *nothing[count:],
        )

    def save_backward(ctx: Any, inputs: tuple, output: Any) -> None:
        ctx.set_materialize_grads(False)
        grad_outputs, tensors, ctx.options, ctx.needs = split(inputs)
        ctx.save_for_backward(*grad_outputs, *tensors)

    def backward_of_backward(ctx: Any, *grad_grads: Tensor | None) -> tuple:
        again = torch.is_grad_enabled()
        saved = ctx.saved_tensors
        needed = ctx.needs_input_grad[: num_outputs + count]
        first = _wanted(saved[num_outputs:], ctx.needs)
        wanted = [*needed[:num_outputs], *map(or_, needed[num_outputs:], first)]
        with torch.enable_grad():
            leaves = [_leaf(t, want) for t, want in zip(saved, wanted, strict=True)]
            grad_outputs, inputs = tuple(leaves[:num_outputs]), tuple(leaves[num_outputs:])
            found = _vjp(op, grad_outputs, inputs, ctx.options, first, again=True)
            pairs = [
                (grad, grad_grad)
                for grad, grad_grad in zip(found, grad_grads, strict=True)
                if grad is not None and grad_grad is not None and grad.requires_grad
            ]
            by = [t for t, need in zip(leaves, needed, strict=True) if need]
            if not pairs or not by:
                second = iter([None] * len(by))
            else:
                second = iter(
                    torch.autograd.grad(
                        [grad for grad, _ in pairs],
                        by,
                        [grad_grad for _, grad_grad in pairs],
                        create_graph=again,
                        allow_unused=True,
                    )
                )
        results = [next(second) if need else None for need in needed]
        return (*results, *(None for _ in ctx.options), None)

    forward_name, backward_name = f"poseda::{op.name}", f"poseda::{op.name}_backward"
    torch.library.register_fake(forward_name, fake, lib=_library)
    torch.library.register_fake(backward_name, fake_backward, lib=_library)
    _library.impl(op.name, default, "CompositeExplicitAutograd")
    _library.impl(f"{op.name}_backward", default_backward, "CompositeExplicitAutograd")
    torch.library.register_autograd(forward_name, backward, setup_context=save, lib=_library)
    torch.library.register_autograd(
        backward_name, backward_of_backward, setup_context=save_backward, lib=_library
    )
