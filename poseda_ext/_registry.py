"""Registers an op with torch: schema, fake kernels, autograd and the plain-torch default kernels.

Every op is two torch ops, ``poseda::<name>`` and ``poseda::<name>_backward``. Compiled kernels for
a device are registered by the extension; where there is none, the default kernel runs the
reference. An output or gradient that does not exist is a tensor of no elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from operator import or_
from typing import Any, NamedTuple

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


class BackwardArguments(NamedTuple):
    """The arguments of a backward op."""

    grads: Tensors  #: by each output
    inputs: Tensors
    options: tuple[Any, ...]
    wanted: list[bool]  #: which inputs' gradients are asked for


def _split(op: Op, args: Sequence[Any]) -> BackwardArguments:
    outputs = len(op.outputs)
    after = outputs + len(op.inputs)
    inputs, needs = tuple(args[outputs:after]), args[-1]
    wanted = [t is not None and bool(needs >> i & 1) for i, t in enumerate(inputs)]
    return BackwardArguments(tuple(args[:outputs]), inputs, tuple(args[after:-1]), wanted)


def _flat(results: Sequence[Tensor]) -> Any:
    """A single result stands alone, as torch ops return it."""
    return tuple(results) if len(results) > 1 else results[0]


def _or_empty(tensor: Tensor | None, like: Tensor) -> Tensor:
    return like.new_empty(0) if tensor is None else tensor.contiguous()


@contextmanager
def _recording() -> Iterator[None]:
    """Records autograd history inside a kernel, where torch has switched that off."""
    exclude = torch._C._dispatch_tls_local_exclude_set() - torch._C.DispatchKeySet(
        torch._C.DispatchKey.AutogradFunctionality
    )
    include = torch._C._dispatch_tls_local_include_set()
    with torch._C._ForceDispatchKeyGuard(include, exclude), torch.enable_grad():
        yield


def _gradients(
    outputs: Sequence[Tensor | None],
    grads: Sequence[Tensor | None],
    inputs: Sequence[Tensor | None],
    wanted: Sequence[bool],
    *,
    create_graph: bool,
) -> list[Tensor | None]:
    """`torch.autograd.grad` for lists with gaps. Wanted inputs that play no part get zeros."""
    pairs = [
        (output, grad)
        for output, grad in zip(outputs, grads, strict=True)
        if output is not None and grad is not None and output.requires_grad
    ]
    by = [t for t, want in zip(inputs, wanted, strict=True) if want and t is not None]
    if not pairs or not by:
        found: Sequence[Tensor] = [torch.zeros_like(t) for t in by]
    else:
        found = torch.autograd.grad(
            [output for output, _ in pairs],
            by,
            [grad for _, grad in pairs],
            create_graph=create_graph,
            allow_unused=True,
            materialize_grads=True,
        )
    each = iter(found)
    return [next(each) if want else None for want in wanted]


def _leaf(tensor: Tensor | None, wanted: bool) -> Tensor | None:
    """A tensor to differentiate by, joined to the graph of the one given if that has one."""
    if tensor is None or not wanted:
        return tensor
    return tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().requires_grad_()


def _fake(op: Op, *args: Any) -> Any:
    like = args[0]
    return _flat([like.new_empty(0 if s is None else s) for s in op.shapes(*args)])


def _fake_backward(op: Op, *args: Any) -> Any:
    _, inputs, _, wanted = _split(op, args)
    like: Any = inputs[0]
    shapes = [
        t.shape if t is not None and want else 0 for t, want in zip(inputs, wanted, strict=True)
    ]
    return _flat([like.new_empty(shape) for shape in shapes])


def _default(op: Op, *args: Any) -> Any:
    like = args[0]
    warn_reference(like.device.type)
    return _flat([_or_empty(t, like) for t in op.reference(*args)])


def _default_backward(op: Op, *args: Any) -> Any:
    grads, inputs, options, wanted = _split(op, args)
    like: Any = inputs[0]
    warn_reference(like.device.type)
    with _recording():
        leaves = [_leaf(t, want) for t, want in zip(inputs, wanted, strict=True)]
        outputs = op.reference(*leaves, *options)
        found = _gradients(outputs, grads, leaves, wanted, create_graph=False)
    return _flat([_or_empty(grad, like) for grad in found])


def _save(op: Op, ctx: Any, inputs: tuple[Any, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[: len(op.inputs)])
    ctx.options = inputs[len(op.inputs) :]


def _backward(
    op: Op, backward: Callable[..., Any], ctx: Any, *grads: Tensor | None
) -> tuple[Tensor | None, ...]:
    inputs = len(op.inputs)
    no_options = (None,) * len(op.options)
    if all(grad is None for grad in grads):
        return (None,) * inputs + no_options
    needs = 0
    for i, want in enumerate(ctx.needs_input_grad[:inputs]):
        needs |= want << i
    found = backward(*grads, *ctx.saved_tensors, *ctx.options, needs)
    if inputs == 1:
        return found, *no_options
    return (*(g if needs >> i & 1 else None for i, g in enumerate(found)), *no_options)


def _save_backward(op: Op, ctx: Any, inputs: tuple[Any, ...]) -> None:
    ctx.set_materialize_grads(False)
    grads, tensors, ctx.options, ctx.wanted = _split(op, inputs)
    ctx.save_for_backward(*grads, *tensors)


def _backward_of_backward(op: Op, ctx: Any, *grad_grads: Tensor | None) -> tuple[Any, ...]:
    """Second derivatives, through the reference; differentiable themselves."""
    again = torch.is_grad_enabled()
    outputs = len(op.outputs)
    needed = ctx.needs_input_grad[: outputs + len(op.inputs)]
    leaf = [*needed[:outputs], *map(or_, needed[outputs:], ctx.wanted)]
    with torch.enable_grad():
        leaves = [_leaf(t, want) for t, want in zip(ctx.saved_tensors, leaf, strict=True)]
        grads, inputs = leaves[:outputs], leaves[outputs:]
        values = op.reference(*inputs, *ctx.options)
        first = _gradients(values, grads, inputs, ctx.wanted, create_graph=True)
        second = _gradients(first, grad_grads, leaves, needed, create_graph=again)
    return (*second, *(None for _ in ctx.options), None)


def register(op: Op) -> Callable[..., Any]:
    """Defines ``poseda::<name>`` and its backward, with everything but the compiled kernels.

    Returns:
        (*tensors, *options) to the outputs: the op as Python calls it.
    """
    grads = [f"Tensor? grad_{name}" for name in op.outputs]
    _define(op.name, [*op.inputs, *op.options], len(op.outputs))
    _define(
        f"{op.name}_backward",
        [*grads, *op.inputs, *op.options, "int needs"],
        len(op.inputs),
    )
    backward = _implement(
        f"{op.name}_backward",
        default=partial(_default_backward, op),
        fake=partial(_fake_backward, op),
        save=partial(_save_backward, op),
        derivative=partial(_backward_of_backward, op),
    )
    return _implement(
        op.name,
        default=partial(_default, op),
        fake=partial(_fake, op),
        save=partial(_save, op),
        derivative=partial(_backward, op, backward),
    )


def _implement(
    name: str,
    *,
    default: Callable[..., Any],
    fake: Callable[..., Any],
    save: Callable[..., None],
    derivative: Callable[..., Any],
) -> Callable[..., Any]:
    """Registers what torch needs of an op that is defined; returns the quick way to call it."""
    _library.impl(name, default, "CompositeExplicitAutograd")
    qualified = f"poseda::{name}"
    torch.library.register_fake(qualified, fake, lib=_library)

    # torch passes `inputs` and `output` by keyword, and looks at the signature.
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        save(ctx, inputs)

    torch.library.register_autograd(
        qualified, derivative, setup_context=setup_context, lib=_library
    )
    return _direct(getattr(torch.ops.poseda, name).default, save, derivative)


def _direct(
    op: Any, save: Callable[..., None], derivative: Callable[..., Any]
) -> Callable[..., Any]:
    """A call of the op that records its derivative here, and not in torch's dispatcher.

    The same as the registered autograd at half its price, which for small batches is most of the
    whole: that goes through the dispatcher twice, each time by way of Python.
    """

    def below_autograd(*args: Any) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return op(*args)

    def forward(ctx: Any, *args: Any) -> Any:
        save(ctx, args)
        return below_autograd(*args)

    node: Any = type(
        f"{op.name()}_node",
        (torch.autograd.Function,),
        {"forward": staticmethod(forward), "backward": staticmethod(derivative)},
    )

    def call(*args: Any) -> Any:
        if (
            torch.compiler.is_compiling()
            or torch._C._are_functorch_transforms_active()
            or torch._C._is_tracing()
        ):
            return op(*args)
        if torch.is_grad_enabled() and torch._C._any_requires_grad(*args):
            return node.apply(*args)
        return below_autograd(*args)

    return call


def _define(name: str, arguments: list[str], results: int) -> None:
    returns = ", ".join(["Tensor"] * results)
    tags = (torch.Tag.pt2_compliant_tag,)
    _library.define(f"{name}({', '.join(arguments)}) -> ({returns})", tags=tags)
