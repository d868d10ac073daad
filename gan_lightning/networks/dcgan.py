"""Strided convolutions with batch normalisation: the networks of DCGAN.

Radford et al. 2016, arXiv:1511.06434. At 64 pixels and widths 128 and 64 these are the paper's
(1024 channels on the 4 x 4 map) and its usual critic; other sizes have a stage per halving.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from gan_lightning.networks.conditioning import ScoreHead, append_label
from gan_lightning.networks.initialization import init_normal
from gan_lightning.networks.mlp import mlp_networks
from gan_lightning.networks.sizes import halvings


class DCGANGenerator(nn.Module):
    """Latents ``(N, latent_dim)`` to images ``(N, C, size, size)`` in [-1, 1].

    The last hidden map has ``width`` channels, each one before it twice as many, up to 8 times.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent_dim: int,
        num_classes: int = 0,
        width: int = 128,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        channels, size, _ = shape
        base, *self.sizes = reversed(halvings(size, 4, at_least=2))
        widths = _widths(width, len(self.sizes))[::-1]
        self.project = nn.Sequential(
            nn.Linear(latent_dim + num_classes, widths[0] * base * base, bias=False),
            nn.Unflatten(1, (widths[0], base, base)),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            )
            for before, after in pairwise(widths)
        )
        self.stages.append(nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1))
        self.apply(init_normal)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        x = self.project(append_label(z, y, self.num_classes))
        for stage, size in zip(self.stages, self.sizes, strict=True):
            # A stage doubles; an odd size loses the last row and column.
            x = stage(x)[:, :, :size, :size]
        return torch.tanh(x)


class DCGANCritic(nn.Module):
    """Images ``(N, C, size, size)`` to scores ``(N,)``; ``batch_norm`` on all maps but the first.

    The first map has ``width`` channels, each one after it twice as many, up to 8 times.
    """

    def __init__(
        self,
        shape: Sequence[int],
        num_classes: int = 0,
        width: int = 64,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        channels, size, _ = shape
        sizes = halvings(size, 4, at_least=2)
        widths = _widths(width, len(sizes) - 1)
        layers: list[nn.Module] = [_down(channels, widths[0], sizes[0]), nn.LeakyReLU(0.2)]
        for before, after, this_size in zip(widths, widths[1:], sizes[1:], strict=False):
            layers += [
                _down(before, after, this_size, bias=not batch_norm),
                nn.BatchNorm2d(after) if batch_norm else nn.Identity(),
                nn.LeakyReLU(0.2),
            ]
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.head = ScoreHead(widths[-1] * sizes[-1] ** 2, num_classes)
        self.apply(init_normal)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.head(self.features(x), y)


def dcgan_networks(
    shape: Sequence[int],
    latent_dim: int,
    num_classes: int,
    generator_width: int,
    critic_width: int,
    batch_norm: bool = True,
) -> tuple[nn.Module, nn.Module]:
    """Generator and critic for ``shape``, perceptrons where it is a vector's.

    ``batch_norm`` is the critic's.
    """
    if len(shape) == 1:
        return mlp_networks(shape, latent_dim, num_classes, generator_width, critic_width)
    return (
        DCGANGenerator(shape, latent_dim, num_classes, generator_width),
        DCGANCritic(shape, num_classes, critic_width, batch_norm),
    )


def _widths(width: int, stages: int) -> list[int]:
    return [width * min(2**i, 8) for i in range(stages)]


def _down(before: int, after: int, size: int, bias: bool = True) -> nn.Conv2d:
    """Halve a map, rounding up: an odd one needs a row more than its padding gives."""
    kernel, padding = (4, 1) if size % 2 == 0 else (5, 2)
    return nn.Conv2d(before, after, kernel, stride=2, padding=padding, bias=bias)
