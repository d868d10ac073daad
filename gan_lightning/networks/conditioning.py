"""How a class label enters a network."""

import torch
from torch import Tensor, nn


def append_label(z: Tensor, y: Tensor | None, num_classes: int) -> Tensor:
    """Latents ``(N, D)`` with the one-hot label appended, ``(N, D + num_classes)``.

    Mirza & Osindero 2014, arXiv:1411.1784. Without classes, the latents are returned unchanged.
    """
    if y is None or not num_classes:
        return z
    # F.one_hot would wait for the device to check that the labels are in range.
    one_hot = y[:, None] == torch.arange(num_classes, device=y.device)
    return torch.cat([z, one_hot.to(z.dtype)], dim=1)


class ScoreHead(nn.Module):
    """Maps features ``(N, D)`` to scores ``(N,)``, ``w h + b`` plus ``<V[y], h>`` with classes.

    The second term is the projection of Miyato & Koyama 2018, arXiv:1802.05637.
    """

    def __init__(self, features: int, num_classes: int = 0) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1)
        self.projection = nn.Embedding(num_classes, features) if num_classes else None

    def forward(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        score: Tensor = self.linear(h).squeeze(1)
        if self.projection is not None:
            score = score + (self.projection(y) * h).sum(dim=1)
        return score


class ConditionalBatchNorm2d(nn.Module):
    """Batch normalisation whose scale and shift depend on the class; plain without classes.

    Dumoulin et al. 2017, arXiv:1610.07629; de Vries et al. 2017, arXiv:1707.00683.
    """

    def __init__(self, channels: int, num_classes: int = 0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not num_classes)
        self.scale = nn.Embedding(num_classes, channels) if num_classes else None
        self.shift = nn.Embedding(num_classes, channels) if num_classes else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise to the identity for every class."""
        if self.scale is not None and self.shift is not None:
            nn.init.ones_(self.scale.weight)
            nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        x = self.norm(x)
        if self.scale is None or self.shift is None:
            return x
        return x * self.scale(y)[:, :, None, None] + self.shift(y)[:, :, None, None]
