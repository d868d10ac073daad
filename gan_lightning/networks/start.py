"""Layers whose parameters start from data.

Salimans & Kingma 2016, arXiv:1602.07868, section 3.
"""

import torch
from torch import Tensor, nn


class StartsFromData(nn.Module):
    """A layer that sets its parameters by its first input, once in its life.

    Its buffer ``started``, 0 or 1, is saved, so that a trained layer does not start again.
    """

    started: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("started", torch.tensor(0))

    def start(self, x: Tensor) -> None:
        """Set the parameters by an input, equally on every rank."""
        raise NotImplementedError


def starts_from_data(network: nn.Module) -> bool:
    """Whether a network has layers that start from data."""
    return any(isinstance(layer, StartsFromData) for layer in network.modules())


@torch.no_grad()
def start_from_data(network: nn.Module, x: Tensor, y: Tensor | None) -> None:
    """Start the layers of a network that have not started, in one pass over samples ``x``.

    Each starts before it computes its output, so that the next ones see it as it will be.
    """

    def start(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(layer, StartsFromData)
        layer.start(*inputs)
        layer.started.fill_(1)

    layers = [each for each in network.modules() if isinstance(each, StartsFromData)]
    hooks = [each.register_forward_pre_hook(start) for each in layers if not each.started]
    try:
        if hooks:
            network(x, y)
    finally:
        for hook in hooks:
            hook.remove()
