"""One lifter trained by several processes: replicas with common gradients and batch norm."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from poseda.distributed import average, world_size
from poseda.networks.lifters import ResidualLifter


def replicate(lifter: nn.Module) -> nn.Module:
    """What a training step calls in the lifter's place: itself, where one process trains; else
    DistributedDataParallel, which averages gradients while the backward pass runs.

    The batch norms inside `lifter` are exchanged for synchronised ones of the same parameters and
    state-dict keys. Weights and buffers become those of the first process.
    """
    if world_size() == 1:
        return lifter
    if next(lifter.parameters()).is_cuda:
        lifter = nn.SyncBatchNorm.convert_sync_batchnorm(lifter)
    else:
        _synchronize(lifter)
    replica = DistributedDataParallel(
        lifter,
        gradient_as_bucket_view=True,
        find_unused_parameters=not isinstance(lifter, ResidualLifter),  # a user's own may have some
    )
    # The synchronised batch norms agree by themselves. (The argument's name depends on torch.)
    replica.broadcast_buffers = False
    return replica


def _synchronize(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, SyncBatchNorm.of(child))
        else:
            _synchronize(child)


class SyncBatchNorm(_BatchNorm):
    """Batch norm over the batches of all processes, which are of equal size, on the CPU;
    ``nn.SyncBatchNorm`` runs on GPUs alone."""

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
        """(B, C, ...) to the same shape and dtype; statistics at least in float32."""
        if not self.training:
            return super().forward(input)
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        rest = [dim for dim in range(values.dim()) if dim != 1]
        # The mean first: a difference of mean squares would lose digits.
        mean = _MeanOverAll.apply(values.mean(rest, keepdim=True))
        centred = values - mean
        variance = _MeanOverAll.apply(centred.square().mean(rest, keepdim=True))
        if self.track_running_stats:
            self._track(mean, variance, world_size() * values.numel() // values.shape[1])
        made = centred * torch.rsqrt(variance + self.eps)
        if self.affine:
            made = made * self.weight.view(mean.shape) + self.bias.view(mean.shape)
        return made.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """As ``nn.BatchNorm1d``: the running variance is the unbiased one."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        factor = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.flatten(), factor)
        self.running_var.lerp_(variance.flatten() * (count / (count - 1)), factor)


class _MeanOverAll(torch.autograd.Function):
    """The mean over the processes. The loss is the sum over the processes, so the gradient is the
    mean of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return average(values.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return average(gradients[0].clone())
