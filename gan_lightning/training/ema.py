"""Exponential moving average of a network."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float | Tensor) -> None:
    """``average <- decay average + (1 - decay) network``, in place.

    A ``decay`` that varies is a scalar on the device, so that a captured graph sees its value.
    Parameters and the running statistics of batch normalisation are averaged; every other buffer
    (counters, the vectors of a power iteration) is copied.
    """
    averaged, current = _averaged(average), _averaged(network)
    if isinstance(decay, Tensor):
        # In this order, a decay of 0 is an exact copy.
        kept_parts = torch._foreach_sub(averaged, current)
        torch._foreach_mul_(kept_parts, decay)
        torch._foreach_copy_(averaged, torch._foreach_add(current, kept_parts))
    else:
        torch._foreach_lerp_(averaged, current, 1 - decay)
    kept = {id(tensor) for tensor in averaged}
    # Each kind in one operation, not each buffer.
    copied: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    for ours, theirs in zip(average.buffers(), network.buffers(), strict=True):
        if id(ours) not in kept:
            targets, sources = copied.setdefault(ours.dtype, ([], []))
            targets.append(ours)
            sources.append(theirs)
    for targets, sources in copied.values():
        torch._foreach_copy_(targets, sources)


def half_life_decay(images: int, update: int, half_life: float) -> float:
    """The decay in generator update ``update`` of an average with a half-life in real images.

    1/2 to the power of the images of an update, a mean over those made, over the half-life. It is
    0, which copies, before the first images and for no half-life.
    """
    if not (images and update and half_life):
        return 0.0
    return float(0.5 ** (images / update / half_life))


def _averaged(network: nn.Module) -> list[Tensor]:
    tensors: list[Tensor] = list(network.parameters())
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            tensors += [module.running_mean, module.running_var]  # type: ignore[list-item]
    return tensors
