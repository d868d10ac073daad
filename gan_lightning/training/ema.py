"""Exponential moving average of a network."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """``average <- decay average + (1 - decay) network``, in place.

    Parameters and the running statistics of batch normalisation are averaged; every other buffer
    (counters, the vectors of a power iteration) is copied.
    """
    averaged, current = _averaged(average), _averaged(network)
    torch._foreach_lerp_(averaged, current, 1 - decay)
    kept = {id(tensor) for tensor in averaged}
    for ours, theirs in zip(average.buffers(), network.buffers(), strict=True):
        if id(ours) not in kept:
            ours.copy_(theirs)


def _averaged(network: nn.Module) -> list[Tensor]:
    tensors: list[Tensor] = list(network.parameters())
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            tensors += [module.running_mean, module.running_var]  # type: ignore[list-item]
    return tensors
