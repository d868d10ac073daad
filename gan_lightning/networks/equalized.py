"""Layers with equalised learning rates: normal weights, scaled by a constant at each pass.

Adam's steps do not depend on a parameter's scale. With weights of one scale, all layers learn at
the same relative speed. Karras et al. 2018, arXiv:1710.10196, section 4.1.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: The gain of a layer before a ReLU, He et al. 2015, arXiv:1502.01852.
HE = math.sqrt(2)


class EqualizedConv2d(nn.Conv2d):
    """A convolution that keeps the size, with weights ~ N(0, 1) times ``gain / sqrt(inputs)``.

    ``bias`` is 0 at the start.
    """

    def __init__(
        self, before: int, after: int, kernel_size: int, gain: float = HE, *, bias: bool = True
    ) -> None:
        super().__init__(before, after, kernel_size, padding=kernel_size // 2, bias=bias)
        self.scale = gain / math.sqrt(before * kernel_size**2)

    def reset_parameters(self) -> None:
        """Weights ~ N(0, 1), biases 0."""
        _start(self, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class EqualizedLinear(nn.Linear):
    """A linear layer with weights ~ N(0, 1) times ``gain / sqrt(inputs)``.

    Weight and bias are stored divided by ``multiplier``, by which they so learn more slowly, Karras
    et al. 2019, arXiv:1812.04948, section C. ``bias`` is the value at the start.
    """

    def __init__(
        self,
        before: int,
        after: int,
        gain: float = HE,
        *,
        bias: float = 0.0,
        multiplier: float = 1.0,
    ) -> None:
        self.multiplier, self.start = multiplier, bias
        super().__init__(before, after)
        self.scale = multiplier * gain / math.sqrt(before)

    def reset_parameters(self) -> None:
        """Weights ~ N(0, 1), biases as given, both divided by the multiplier."""
        _start(self, self.multiplier, self.start)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.multiplier)


class EqualizedScoreHead(nn.Module):
    """``ScoreHead`` of equalised layers: ``w h + b`` plus ``<V[y], h>`` with classes."""

    def __init__(self, features: int, num_classes: int = 0) -> None:
        super().__init__()
        self.linear = EqualizedLinear(features, 1, gain=1)
        self.projection = nn.Embedding(num_classes, features) if num_classes else None
        self.scale = 1 / math.sqrt(features)

    def forward(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        score: Tensor = self.linear(h).squeeze(1)
        if self.projection is not None:
            score = score + (self.scale * self.projection(y) * h).sum(dim=1)
        return score


def arrange_by_columns(layer: nn.Module) -> None:
    """Give a linear layer that latents enter the same weights in another order, column by column.

    Row by row, the first layer of a network that is built right after a seed is set would have the
    very numbers of latents that are drawn right after the same seed: such a latent would meet its
    own copy, and its sample would be like no other.
    """
    with torch.no_grad():
        weight: Tensor = layer.weight  # type: ignore[assignment]
        weight.copy_(weight.flatten().view(weight.shape[::-1]).T.clone())


def keep_start(module: nn.Module) -> None:
    """The initialisation of families whose layers start as they should when they are built."""


def pixel_norm(x: Tensor) -> Tensor:
    """Vectors ``(N, C, ...)`` divided by the root of their mean square over channels.

    Karras et al. 2018, arXiv:1710.10196, section 4.2.
    """
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


@torch.no_grad()
def _start(layer: nn.Conv2d | nn.Linear, multiplier: float, bias: float = 0.0) -> None:
    layer.weight.normal_().div_(multiplier)
    if layer.bias is not None:
        layer.bias.fill_(bias / multiplier)
