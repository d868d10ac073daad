"""Residual networks: those of SNGAN and WGAN-GP on CIFAR-10, and with attention SAGAN's.

Gulrajani et al. 2017, arXiv:1704.00028, appendix F; Miyato et al. 2018, arXiv:1802.05957,
appendix B.4; Zhang et al. 2019, arXiv:1805.08318.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lightning.networks.attention import SelfAttention2d
from gan_lightning.networks.conditioning import ConditionalBatchNorm2d, ScoreHead
from gan_lightning.networks.initialization import init_glorot
from gan_lightning.networks.mlp import mlp_networks
from gan_lightning.networks.sizes import halvings


class ResNetGenerator(nn.Module):
    """Latents ``(N, latent_dim)`` to images ``(N, C, size, size)`` in [-1, 1].

    Every map has ``width`` channels; with ``taper`` it is the last that has, and each before it
    twice as many, up to 16 times. ``attention`` follows the largest hidden map of at most 32
    pixels. With classes the batch normalisation is conditional.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent_dim: int,
        num_classes: int = 0,
        width: int = 256,
        taper: bool = False,
        attention: bool = False,
    ) -> None:
        super().__init__()
        channels, size, _ = shape
        base, *sizes = reversed(halvings(size, 4))
        widths = _widths(width, len(sizes), taper)[::-1]
        self.project = nn.Linear(latent_dim, widths[0] * base * base)
        self.unflatten = nn.Unflatten(1, (widths[0], base, base))
        self.blocks = nn.ModuleList(
            UpBlock(before, after, block_size, num_classes)
            for before, after, block_size in zip([widths[0], *widths], widths, sizes, strict=False)
        )
        self.attention_at = _attention_index(sizes[:-1] or sizes) if attention else None
        self.attention = (
            SelfAttention2d(widths[self.attention_at]) if self.attention_at is not None else None
        )
        self.norm = nn.BatchNorm2d(widths[-1])
        self.out = nn.Conv2d(widths[-1], channels, 3, padding=1)
        self.apply(init_residual)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        x = self.unflatten(self.project(z))
        for i, block in enumerate(self.blocks):
            x = block(x, y)
            if self.attention is not None and i == self.attention_at:
                x = self.attention(x)
        return torch.tanh(self.out(F.relu(self.norm(x))))


class ResNetCritic(nn.Module):
    """Images ``(N, C, size, size)`` to scores ``(N,)``: no normalisation, sum pooling.

    Blocks halve the map down to less than 16 pixels, two more keep it. Every map has
    ``width`` channels; with ``taper`` the first has, and each after it twice as many, up to 16
    times. ``attention`` follows the largest hidden map of at most 32 pixels.
    """

    def __init__(
        self,
        shape: Sequence[int],
        num_classes: int = 0,
        width: int = 128,
        taper: bool = False,
        attention: bool = False,
    ) -> None:
        super().__init__()
        channels, size, _ = shape
        sizes = halvings(size, 8, at_least=1)[1:]
        widths = _widths(width, len(sizes), taper)
        self.blocks = nn.ModuleList([FirstDownBlock(channels, widths[0])])
        self.blocks += [
            DownBlock(before, after, downsample=True) for before, after in pairwise(widths)
        ]
        self.blocks += [DownBlock(widths[-1], widths[-1], downsample=False) for _ in range(2)]
        self.attention_at = _attention_index(sizes) if attention else None
        self.attention = (
            SelfAttention2d(widths[self.attention_at]) if self.attention_at is not None else None
        )
        self.head = ScoreHead(widths[-1], num_classes)
        self.apply(init_residual)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        for i, block in enumerate(self.blocks):
            x = block(x)
            if self.attention is not None and i == self.attention_at:
                x = self.attention(x)
        return self.head(F.relu(x).sum(dim=(2, 3)), y)


class UpBlock(nn.Module):
    """BN, ReLU, nearest upsampling to ``size``, conv, BN, ReLU, conv; shortcut of one conv."""

    def __init__(self, before: int, after: int, size: int, num_classes: int = 0) -> None:
        super().__init__()
        self.size = size
        self.norm1 = ConditionalBatchNorm2d(before, num_classes)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.norm2 = ConditionalBatchNorm2d(after, num_classes)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        h = F.interpolate(F.relu(self.norm1(x, y)), size=(self.size, self.size))
        h = self.conv2(F.relu(self.norm2(self.conv1(h), y)))
        # The 1 x 1 conv commutes with nearest upsampling and is cheaper before it.
        return h + F.interpolate(self.shortcut(x), size=(self.size, self.size))


class DownBlock(nn.Module):
    """ReLU, conv, ReLU, conv and, with ``downsample``, average pooling that rounds up."""

    def __init__(self, before: int, after: int, downsample: bool) -> None:
        super().__init__()
        self.downsample = downsample
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        learned = downsample or before != after
        self.shortcut = nn.Conv2d(before, after, 1) if learned else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.relu(self.conv1(F.relu(x))))
        if not self.downsample:
            return h + self.shortcut(x)
        # The 1 x 1 conv commutes with average pooling and is cheaper after it.
        return _halve(h) + self.shortcut(_halve(x))


class FirstDownBlock(nn.Module):
    """The critic's first block: no activation before the first conv, and always pooled."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        return _halve(self.conv2(F.relu(self.conv1(x)))) + self.shortcut(_halve(x))


def resnet_networks(
    shape: Sequence[int],
    latent_dim: int,
    num_classes: int,
    generator_width: int,
    critic_width: int,
    taper: bool = False,
    attention: bool = False,
) -> tuple[nn.Module, nn.Module]:
    """Generator and critic for ``shape``, perceptrons where it is a vector's."""
    if len(shape) == 1:
        return mlp_networks(shape, latent_dim, num_classes, generator_width, critic_width)
    return (
        ResNetGenerator(shape, latent_dim, num_classes, generator_width, taper, attention),
        ResNetCritic(shape, num_classes, critic_width, taper, attention),
    )


def init_residual(module: nn.Module) -> None:
    """Glorot's, with gain sqrt(2) for the residual branches, as in SNGAN's published code."""
    if isinstance(module, UpBlock | DownBlock | FirstDownBlock):
        for conv in (module.conv1, module.conv2):
            nn.init.xavier_uniform_(conv.weight, math.sqrt(2))
    else:
        init_glorot(module)


def _widths(width: int, maps: int, taper: bool) -> list[int]:
    return [width * min(2**i, 16) if taper else width for i in range(maps)]


def _attention_index(sizes: list[int]) -> int:
    """The block whose map is the largest of at most 32 pixels."""
    return sizes.index(max((size for size in sizes if size <= 32), default=min(sizes)))


def _halve(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, ceil_mode=True)
