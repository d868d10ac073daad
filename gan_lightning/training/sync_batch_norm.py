"""Batch normalisation over the samples of all devices."""

from typing import Any

import torch
from pytorch_lightning.plugins.layer_sync import TorchSyncBatchNorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_lightning.utils.ranks import sum_over_ranks


class PlainSyncBatchNorm(_BatchNorm):
    """``torch.nn.SyncBatchNorm`` in plain operations: for CPUs, and for compiled objectives.

    torch's own has kernels for GPUs only, and waits for them in each pass.
    """

    #: The class of the layer before it was converted.
    plain: type[_BatchNorm]

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, ...)`` normalised over all but the channels, over all ranks."""
        if not self.training:
            return super().forward(x)
        dtype, x = x.dtype, x.to(torch.promote_types(x.dtype, torch.float32))
        over = [dim for dim in range(x.dim()) if dim != 1]
        count = sum_over_ranks(x.new_tensor(float(x.numel() // x.shape[1])))
        each = [1, -1] + [1] * (x.dim() - 2)
        mean = sum_over_ranks(x.sum(over)) / count
        centred = x - mean.view(each)
        # The mean of squares minus the square of the mean would cancel.
        variance = sum_over_ranks(centred.square().sum(over)) / count
        self._update_running(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        y = centred * (variance + self.eps).rsqrt().view(each)
        if self.affine:
            y = y * self.weight.view(each) + self.bias.view(each)
        return y.to(dtype)

    def _check_input_dim(self, x: Tensor) -> None:
        """Nothing: the plain layer has checked it."""

    def _update_running(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = self.momentum
        weight = 1 / float(self.num_batches_tracked) if momentum is None else momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
        self.running_var.lerp_(variance.to(self.running_var.dtype), weight)


class SyncBatchNorm(TorchSyncBatchNorm):
    """Lightning's plugin that synchronises every batch normalisation, on CPUs too."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Convert the layers of a module before it trains."""
        if not _needs_plain(model):
            return super().apply(model)
        for layer in _layers(model):
            layer.plain = type(layer)
            layer.__class__ = PlainSyncBatchNorm
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Convert them back."""
        if not _needs_plain(model):
            return super().revert(model)
        for layer in _layers(model):
            layer.__class__ = getattr(layer, "plain", type(layer))
        return model


def _layers(model: nn.Module) -> list[Any]:
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]


def _needs_plain(model: nn.Module) -> bool:
    # A Lightning module knows its device before it is moved there.
    device = getattr(model, "device", torch.device("cpu"))
    return device.type == "cpu" or bool(getattr(model, "compiled", False))
