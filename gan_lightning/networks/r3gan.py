"""The networks of R3GAN: Huang et al. 2024, arXiv:2501.05441.

They have the layers of the authors' code, github.com/brownvc/R3GAN: residual blocks with a grouped
convolution in the middle, without any normalisation, and the same in both networks.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lightning.networks.equalized import keep_start
from gan_lightning.networks.family import Family, Features, Norm, make_norm
from gan_lightning.networks.sizes import channels_at, halvings
from gan_lightning.networks.stylegan import SMALLEST, Blur
from gan_lightning.networks.stylegan2 import TAPS, Doubling

#: Channels of a group in the middle of a block.
GROUP = 16
#: Blocks of each size.
BLOCKS = 2
#: The leaky ReLU's, which keeps the variance of what it is given.
GAIN = math.sqrt(2 / (1 + 0.2**2))


def start_with(layer: nn.Module, gain: float) -> nn.Module:
    """The layer with weights N(0, gain^2 / fan-in), He et al. 2015, arXiv:1502.01852."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    with torch.no_grad():
        weight.normal_(0, gain / math.sqrt(weight[0].numel()))
    return layer


def convolution(
    before: int, after: int, kernel: int, groups: int = 1, gain: float = 1
) -> nn.Module:
    """A convolution that keeps the size, without bias."""
    layer = nn.Conv2d(before, after, kernel, padding=kernel // 2, groups=groups, bias=False)
    layer.starts_at_zero = gain == 0  # type: ignore[assignment]
    return start_with(layer, gain)


class BiasedActivation(nn.Module):
    """A bias for each channel, and a leaky ReLU with slope 0.2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.bias.to(x.dtype)[:, None, None], 0.2)


class Block(nn.Module):
    """x + h(x): twice as many channels, a grouped convolution of 3 x 3, as many as before.

    The last layer starts at 0, so that the block starts as the identity. The others' start is
    divided by the fourth root of ``blocks``, the number of blocks of the network: fixed-update
    initialisation, arXiv:1901.09321. Section 3.
    """

    def __init__(self, channels: int, blocks: int, norm: Norm = "none") -> None:
        super().__init__()
        inner = 2 * channels
        gain = GAIN * blocks**-0.25
        groups = inner // GROUP if inner % GROUP == 0 else 1
        self.layers = nn.Sequential(
            convolution(channels, inner, 1, gain=gain),
            make_norm(norm, inner),
            BiasedActivation(inner),
            convolution(inner, inner, 3, groups, gain),
            make_norm(norm, inner),
            BiasedActivation(inner),
            convolution(inner, channels, 1, gain=0),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.layers(x)
        return x


def blocks_of(channels: int, blocks: int, norm: Norm = "none") -> nn.Sequential:
    """The blocks of one size, in a network of ``blocks``."""
    return nn.Sequential(*(Block(channels, blocks, norm) for _ in range(BLOCKS)))


def change(before: int, after: int) -> nn.Module:
    """A convolution of 1 x 1 where the number of channels changes."""
    return nn.Identity() if before == after else convolution(before, after, 1)


class R3GANGenerator(nn.Module):
    """A learned map that latents scale by channel, and blocks at each larger size.

    Labels are embedded linearly, and appended to the latents.
    """

    def __init__(
        self, shape: Sequence[int], latent_dim: int, num_classes: int = 0, width: int = 768
    ) -> None:
        super().__init__()
        channels, size, _ = shape
        self.sizes = halvings(size, SMALLEST)[::-1]
        widths = [channels_at(s, width) for s in self.sizes]
        blocks = BLOCKS * len(self.sizes)
        self.embed = nn.Embedding(num_classes, latent_dim) if num_classes else None
        if self.embed is not None:
            # As a linear layer of one-hot vectors, whose fan-in is the number of classes.
            nn.init.normal_(self.embed.weight, std=1 / math.sqrt(num_classes))
        self.basis = nn.Parameter(torch.randn(widths[0], self.sizes[0], self.sizes[0]))
        inputs = latent_dim * (2 if num_classes else 1)
        self.scale = start_with(nn.Linear(inputs, widths[0], bias=False), 1)
        self.stages = nn.ModuleList(blocks_of(w, blocks) for w in widths)
        self.changes = nn.ModuleList(change(before, after) for before, after in pairwise(widths))
        self.doubling = Doubling()
        self.to_rgb = convolution(widths[-1], channels, 1)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.embed is not None:
            z = torch.cat([z, self.embed(y)], dim=1)
        x = self.stages[0](self.basis * self.scale(z)[:, :, None, None])
        for size, change, stage in zip(self.sizes[1:], self.changes, self.stages[1:], strict=True):
            x = stage(self.doubling(change(x), size))
        image: Tensor = self.to_rgb(x)
        return image


class R3GANFeatures(Features):
    """Maps images ``(N, C, size, size)`` to features ``(N, width)``: the generator, reversed.

    In the place of its learned map is a convolution of each channel with a map of its size.
    """

    def __init__(self, shape: Sequence[int], width: int = 768, norm: Norm = "none") -> None:
        super().__init__()
        channels, size, _ = shape
        sizes = halvings(size, SMALLEST)
        widths = [channels_at(s, width) for s in sizes]
        blocks = BLOCKS * len(sizes)
        self.from_rgb = convolution(channels, widths[0], 1)
        self.stages = nn.ModuleList(blocks_of(w, blocks, norm) for w in widths)
        self.blurs = nn.ModuleList(Blur(TAPS, (1, 1 + s % 2), stride=2) for s in sizes[:-1])
        self.changes = nn.ModuleList(change(before, after) for before, after in pairwise(widths))
        last = widths[-1]
        basis = nn.Conv2d(last, last, sizes[-1], groups=last, bias=False)
        self.basis = start_with(basis, 1)
        self.out_features = last

    def forward(self, x: Tensor) -> Tensor:
        x = self.from_rgb(x)
        for stage, blur, change in zip(self.stages, self.blurs, self.changes, strict=False):
            x = change(blur(stage(x)))
        x = self.basis(self.stages[-1](x))
        return x.flatten(1)


class EmbeddedLabelHead(nn.Module):
    """Maps features ``(N, D)`` to scores ``(N,)``, ``w h``; with classes to <e(y), W h>.

    Without a bias, on which no relativistic loss depends. e is the row of a matrix that starts
    with variance 1 / (classes D).
    """

    def __init__(self, features: int, num_classes: int = 0) -> None:
        super().__init__()
        linear = nn.Linear(features, features if num_classes else 1, bias=False)
        self.linear = start_with(linear, 1)
        self.projection = nn.Embedding(num_classes, features) if num_classes else None
        if self.projection is not None:
            nn.init.normal_(self.projection.weight, std=1 / math.sqrt(num_classes * features))

    def forward(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        h = self.linear(h)
        if self.projection is None:
            return h.squeeze(1)
        return (h * self.projection(y)).sum(dim=1)


R3GAN = Family(
    R3GANGenerator, R3GANFeatures, init=keep_start, widths=(768, 768), head=EmbeddedLabelHead
)
