"""One lifter trained by several processes: replicas with common gradients and batch norm."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from poseda.distributed import average, of_all, world_size
from poseda.networks.lifters import PUBLISHED, Normalized


def replicate(lifter: nn.Module) -> nn.Module:
    """What a training step calls in the lifter's place: itself, where one process trains; else
    DistributedDataParallel, which averages gradients while the backward pass runs.

    The batch norms inside `lifter` are exchanged for synchronised ones of the same parameters and
    state-dict keys. Weights and buffers become those of the first process.
    """
    if world_size() == 1:
        return lifter
    synchronize(lifter)
    bare = lifter.lifter if isinstance(lifter, Normalized) else lifter
    replica = DistributedDataParallel(
        lifter,
        gradient_as_bucket_view=True,
        find_unused_parameters=not isinstance(bare, PUBLISHED),  # a user's own may have some
    )
    # The synchronised batch norms agree by themselves. (The argument's name depends on torch.)
    replica.broadcast_buffers = False
    return replica


def synchronize(module: nn.Module) -> None:
    """Exchanges the batch norms inside for synchronised ones, where several processes train."""
    if world_size() == 1:
        return
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, SyncBatchNorm.of(child))
        else:
            synchronize(child)


class SyncBatchNorm(_BatchNorm):
    """Batch norm over the batches of all processes, which are of equal size.

    On any device; ``nn.SyncBatchNorm`` runs on GPUs alone, and waits for the device in each layer.
    """

    @classmethod
    def of(cls, norm: _BatchNorm) -> SyncBatchNorm:
        """With the parameters and buffers of another batch norm, shared."""
        made = cls(
            norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
        )
        made._parameters = norm._parameters
        made._buffers = norm._buffers
        return made.train(norm.training)

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, ...) to the same shape and dtype; arithmetic at least in float32."""
        if not self.training:
            return super().forward(input)
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        made, mean, variance = _Normalize.apply(values, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self._track(mean, variance, world_size() * values.numel() // values.shape[1])
        return made.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """As ``nn.BatchNorm1d``: the running variance is the unbiased one."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        factor = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, factor)
        self.running_var.lerp_(variance * (count / (count - 1)), factor)


class _Normalize(torch.autograd.Function):
    """(B, C, ...) to zero mean and unit variance over all processes, times weight plus bias; also
    mean and variance (C,). One message each way. The work within a process is left to the kernels
    of ``nn.BatchNorm1d``: on a CPU ``var_mean`` of one frame takes thirty times as long.
    """

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean, variance = torch.batch_norm_update_stats(values, None, None, 0.0)
        means, variances = of_all(torch.stack((mean, variance))).unbind(1)  # (N, C) each
        # Of the parts' variances: a difference of mean squares would lose digits.
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        made = nn.functional.batch_norm(values, mean, variance, weight, bias, eps=eps)
        ctx.save_for_backward(values, weight, mean, variance)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return made, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, weight, mean, variance = ctx.saved_tensors
        scale = torch.rsqrt(variance + ctx.eps)
        factors = torch.ones_like(scale) if weight is None else weight
        # As if mean and variance were constants. A CPU looks at them, a GPU at mean and scale too.
        grad, by_factors, by_bias = torch.ops.aten.native_batch_norm_backward(
            *(gradients[0], values, factors, mean, variance, mean, scale, False, ctx.eps),
            [True, True, True],
        )
        factor = scale * factors
        rows = values.numel() // values.shape[1]
        shift, slope = average(torch.stack((by_bias, by_factors))) / rows
        grad -= _over_rows(factor * shift, values)
        grad -= (values - _over_rows(mean, values)) * _over_rows(factor * scale * slope, values)
        return grad, *((None, None) if weight is None else (by_factors, by_bias)), None


def _over_rows(channels: Tensor, values: Tensor) -> Tensor:
    """(C,) in a shape that broadcasts against (B, C, ...)."""
    return channels.view(-1, *(1 for _ in values.shape[2:]))
