"""One lifter trained by several processes: replicas with common gradients and batch norm."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
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
        made, mean, variance = _Normalize.apply(values, self.eps)
        if self.track_running_stats:
            self._track(mean, variance, world_size() * values.numel() // values.shape[1])
        if self.affine:
            made = made * _over_rows(self.weight, made) + _over_rows(self.bias, made)
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
    """(B, C, ...) to zero mean and unit variance over all processes; also mean and variance (C,).
    One message each way."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        variance, mean = torch.var_mean(values, _rows(values), correction=0)
        means, variances = of_all(torch.stack((mean, variance))).unbind(1)  # (N, C) each
        # Exact, as a difference of mean squares would not be.
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        scale = torch.rsqrt(variance + eps)
        made = (values - _over_rows(mean, values)) * _over_rows(scale, values)
        ctx.save_for_backward(made, scale)
        ctx.mark_non_differentiable(mean, variance)
        return made, mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0]
        made, scale = ctx.saved_tensors
        rows = _rows(made)
        own = torch.stack((gradient.mean(rows), (gradient * made).mean(rows)))
        shift, slope = (_over_rows(mean, made) for mean in average(own))
        return _over_rows(scale, made) * (gradient - shift - made * slope), None


def _rows(values: Tensor) -> list[int]:
    """The dimensions other than the channels'."""
    return [dim for dim in range(values.dim()) if dim != 1]


def _over_rows(channels: Tensor, values: Tensor) -> Tensor:
    """(C,) in a shape that broadcasts against (B, C, ...)."""
    return channels.view(-1, *(1 for _ in values.shape[2:]))
