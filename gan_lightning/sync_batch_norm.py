"""Batch normalisation whose statistics are those of all devices' samples together."""

from typing import Any

import torch
import torch.distributed as dist
from pytorch_lightning.plugins.layer_sync import TorchSyncBatchNorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_lightning.distributed import several_ranks


class CPUSyncBatchNorm(_BatchNorm):
    """Does on a CPU what ``torch.nn.SyncBatchNorm`` does, which has kernels for GPUs alone."""

    #: What it was before.
    plain: type[_BatchNorm]

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, ...)`` normalised over all but the channels, over all ranks."""
        if not self.training:
            return super().forward(x)
        over = [dim for dim in range(x.dim()) if dim != 1]
        count = _sum_over_ranks(torch.tensor(float(x.numel() // x.shape[1]), dtype=x.dtype))
        each = [1, -1] + [1] * (x.dim() - 2)
        mean = _sum_over_ranks(x.sum(over)) / count
        centred = x - mean.view(each)
        # Of what is centred already: the mean of squares less the square of the mean cancels.
        variance = _sum_over_ranks(centred.square().sum(over)) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        y = centred * (variance + self.eps).rsqrt().view(each)
        if not self.affine:
            return y
        return y * self.weight.view(each) + self.bias.view(each)

    def _check_input_dim(self, x: Tensor) -> None:
        """Its plain layer's matter."""

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        weight = self.momentum or 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
        self.running_var.lerp_(variance.to(self.running_var.dtype), weight)


class SyncBatchNorm(TorchSyncBatchNorm):
    """Lightning's plugin, which has every batch normalisation synchronised; on a CPU too."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Convert the layers of a module that is to train."""
        if _device(model).type != "cpu":
            return super().apply(model)
        for layer in _layers(model):
            layer.plain = type(layer)
            layer.__class__ = CPUSyncBatchNorm
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Convert them back."""
        if _device(model).type != "cpu":
            return super().revert(model)
        for layer in _layers(model):
            layer.__class__ = getattr(layer, "plain", type(layer))
        return model


def _layers(model: nn.Module) -> list[Any]:
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]


def _device(model: nn.Module) -> torch.device:
    """Where a Lightning module is to go, before it is there."""
    return getattr(model, "device", torch.device("cpu"))


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401
        return _sum_over_ranks(gradients[0])


def _sum_over_ranks(x: Tensor) -> Tensor:
    """The sum of every rank's ``x``, of any shape, through which gradients go back to each."""
    return _Sum.apply(x) if several_ranks() else x
