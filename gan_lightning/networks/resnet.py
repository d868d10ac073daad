"""Residual networks: those of SNGAN and WGAN-GP, and with attention that of SAGAN.

Gulrajani et al. 2017, arXiv:1704.00028, appendix F; Miyato et al. 2018, arXiv:1802.05957,
appendix B.4; Zhang et al. 2019, arXiv:1805.08318. Below 64 pixels they are the networks for
CIFAR-10, of constant width; from 64 pixels on those for larger images, whose width increases as the
maps shrink.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lightning.networks.attention import SelfAttention2d
from gan_lightning.networks.conditioning import ConditionalBatchNorm2d
from gan_lightning.networks.family import Family, Features, Norm, make_norm
from gan_lightning.networks.initialization import init_glorot
from gan_lightning.networks.sizes import LARGE, halve, halvings


class ResNetGenerator(nn.Module):
    """Maps latents ``(N, latent_dim)`` to images ``(N, C, size, size)`` in [-1, 1].

    The last map has ``width`` channels. Below 64 pixels all maps do; from 64 pixels on each map
    before it has twice as many, up to 16 times ``width``. ``attention`` follows the largest hidden
    map of at most 32 pixels. With classes, the batch normalisation is conditional.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent_dim: int,
        num_classes: int = 0,
        width: int = 256,
        attention: bool = False,
    ) -> None:
        super().__init__()
        channels, size, _ = shape
        base, *sizes = reversed(halvings(size, 4))
        widths = _widths(width, len(sizes), size >= LARGE)[::-1]
        self.project = nn.Linear(latent_dim, widths[0] * base * base)
        self.unflatten = nn.Unflatten(1, (widths[0], base, base))
        self.blocks = nn.ModuleList(
            UpBlock(before, after, block_size, num_classes)
            for before, after, block_size in zip([widths[0], *widths], widths, sizes, strict=False)
        )
        self.attention_at = attention_index(sizes[:-1] or sizes) if attention else None
        self.attention = (
            SelfAttention2d(widths[self.attention_at]) if self.attention_at is not None else None
        )
        self.norm = nn.BatchNorm2d(widths[-1])
        self.out = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        x = self.unflatten(self.project(z))
        for i, block in enumerate(self.blocks):
            x = block(x, y)
            if self.attention is not None and i == self.attention_at:
                x = self.attention(x)
        return torch.tanh(self.out(F.relu(self.norm(x))))


class ResNetFeatures(Features):
    """Maps images ``(N, C, size, size)`` to features.

    The first map has ``width`` channels. Below 64 pixels all maps do: blocks halve the size to less
    than 16 pixels, and two more blocks keep it. From 64 pixels on each map after the first has
    twice as many channels, up to 16 times ``width``; blocks halve the size to less than 8 pixels,
    and one more block keeps it, unless there is a stem.

    Args:
        shape: the shape of an image.
        width: the number of channels of the first map.
        norm: the normalisation before every activation, except in the first block.
        stem: start with a convolution instead of a special first block, and end without a block
            that keeps the size.
        pool: how the last map is turned into features.
        narrow: change the number of channels in a block's second convolution, not in its first.
        attention: add self-attention after the largest hidden map of at most 32 pixels.
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int = 128,
        norm: Norm = "none",
        *,
        stem: bool = False,
        pool: Literal["sum", "mean", "flatten"] = "sum",
        narrow: bool = True,
        attention: bool = False,
    ) -> None:
        super().__init__()
        if stem and attention:
            raise ValueError("attention cannot be combined with a stem")
        channels, size, _ = shape
        large = size >= LARGE
        sizes = halvings(size, 4 if large else 8, at_least=1)[1:]
        widths = _widths(width, len(sizes), large)
        block = partial(DownBlock, norm=norm, narrow=narrow)
        if stem:
            self.first: nn.Module = nn.Conv2d(channels, width, 3, padding=1)
            pairs = list(pairwise([width, *widths[1:], widths[-1]]))
        else:
            self.first = FirstDownBlock(channels, width)
            pairs = list(pairwise(widths))
        self.blocks = nn.ModuleList(block(before, after) for before, after in pairs)
        more = 0 if stem else 1 if large else 2
        self.blocks += [block(widths[-1], widths[-1], downsample=False) for _ in range(more)]
        self.pool = pool
        self.attention_at = attention_index(sizes) if attention else None
        self.attention = (
            SelfAttention2d(widths[self.attention_at]) if self.attention_at is not None else None
        )
        self.out_features = widths[-1] * (sizes[-1] ** 2 if pool == "flatten" else 1)

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate([self.first, *self.blocks]):
            x = block(x)
            if self.attention is not None and i == self.attention_at:
                x = self.attention(x)
        match self.pool:
            case "flatten":
                return x.flatten(1)
            case "mean":
                return F.relu(x).mean(dim=(2, 3))
            case "sum":
                return F.relu(x).sum(dim=(2, 3))


class UpBlock(nn.Module):
    """BN, ReLU, nearest upsampling to ``size``, conv, BN, ReLU, conv; the shortcut is one conv.

    ``norm`` makes another normalisation than BN by class, of so many channels and called alike.
    """

    def __init__(
        self,
        before: int,
        after: int,
        size: int,
        num_classes: int = 0,
        norm: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        norm = norm or partial(ConditionalBatchNorm2d, num_classes=num_classes)
        self.size = size
        self.norm1 = norm(before)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.norm2 = norm(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        h = F.interpolate(F.relu(self.norm1(x, y)), size=(self.size, self.size))
        h = self.conv2(F.relu(self.norm2(self.conv1(h), y)))
        # The 1 x 1 conv commutes with nearest upsampling and is cheaper before it.
        return h + F.interpolate(self.shortcut(x), size=(self.size, self.size))


class DownBlock(nn.Module):
    """Norm, ReLU, conv, norm, ReLU, conv and, with ``downsample``, pooling that rounds up."""

    def __init__(
        self,
        before: int,
        after: int,
        downsample: bool = True,
        norm: Norm = "none",
        narrow: bool = True,
    ) -> None:
        super().__init__()
        self.downsample = downsample
        hidden = before if narrow else after
        self.norm1 = make_norm(norm, before)
        self.conv1 = nn.Conv2d(before, hidden, 3, padding=1)
        self.norm2 = make_norm(norm, hidden)
        self.conv2 = nn.Conv2d(hidden, after, 3, padding=1)
        learned = downsample or before != after
        self.shortcut = nn.Conv2d(before, after, 1) if learned else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.relu(self.norm1(x)))
        h = self.conv2(F.relu(self.norm2(h)))
        if not self.downsample:
            return h + self.shortcut(x)
        # The 1 x 1 conv commutes with average pooling and is cheaper after it.
        return halve(h) + self.shortcut(halve(x))


class FirstDownBlock(nn.Module):
    """The critic's first block: no activation before the first conv, and always pooled."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        return halve(self.conv2(F.relu(self.conv1(x)))) + self.shortcut(halve(x))


def init_residual(module: nn.Module) -> None:
    """Glorot's, with gain sqrt(2) in residual branches, as in the code of SNGAN and WGAN-GP."""
    if isinstance(module, UpBlock | DownBlock | FirstDownBlock):
        for conv in (module.conv1, module.conv2):
            nn.init.xavier_uniform_(conv.weight, math.sqrt(2))
    else:
        init_glorot(module)


def _widths(width: int, maps: int, taper: bool) -> list[int]:
    return [width * min(2**i, 16) if taper else width for i in range(maps)]


def attention_index(sizes: list[int], largest: int = 32) -> int:
    """The index of the block with the largest map of at most so many pixels a side."""
    return sizes.index(max((size for size in sizes if size <= largest), default=min(sizes)))


def _wgan_gp_features(shape: Sequence[int], width: int = 128, norm: Norm = "none") -> Features:
    """The critics of appendix F: mean pooling at CIFAR-10's size, a stem without pooling above."""
    if shape[1] >= LARGE:
        return ResNetFeatures(shape, width, norm, stem=True, pool="flatten")
    return ResNetFeatures(shape, width, norm, pool="mean")


RESNET = Family(
    ResNetGenerator,
    ResNetFeatures,
    init=init_residual,
    widths=(256, 128),
    large_widths=(64, 64),
)
WGAN_GP_RESNET = Family(
    ResNetGenerator,
    _wgan_gp_features,
    init=init_residual,
    widths=(128, 128),
    large_widths=(64, 64),
)
SAGAN = Family(
    partial(ResNetGenerator, attention=True),
    partial(ResNetFeatures, attention=True, narrow=False),
    init=init_glorot,
    widths=(256, 128),
    large_widths=(64, 64),
)
