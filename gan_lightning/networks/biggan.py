"""BigGAN's residual networks, of its paper and of the authors' script for CIFAR-10.

Brock et al. 2019, arXiv:1809.11096, appendix B. Below 64 pixels all maps have the same width, as in
the authors' code for CIFAR-10; from 64 pixels on widths are those of the code for larger images.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lightning.networks.attention import SelfAttention2d
from gan_lightning.networks.conditioning import ConditionalBatchNorm2d
from gan_lightning.networks.family import Family, Features, Norm
from gan_lightning.networks.resnet import DownBlock, FirstDownBlock, UpBlock, attention_index
from gan_lightning.networks.sizes import LARGE, halvings

#: The length of the class embedding that all blocks share: the authors' code for ImageNet.
SHARED = 128
#: The largest map with attention, appendix B.
ATTENTION = 64
#: Channels of the generator's blocks from 64 pixels on, in widths, by the number of blocks.
UP = {4: (16, 8, 4, 2), 5: (16, 8, 4, 2, 1), 6: (16, 8, 8, 4, 2, 1)}
#: Those of the critic's blocks, by the number of halvings; the last keeps the size.
DOWN = {4: (1, 2, 4, 8, 16), 5: (1, 2, 4, 8, 16, 16), 6: (1, 2, 4, 8, 8, 16, 16)}


class ConditionedBatchNorm2d(nn.Module):
    """Batch normalisation with gain ``1 + gain(c)`` and bias ``bias(c)`` of a condition ``c``.

    Args:
        channels: of the map.
        condition: called with the number of channels, makes ``gain`` and ``bias``.
    """

    def __init__(self, channels: int, condition: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = condition(channels)
        self.bias = condition(channels)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        gain, bias = self.gain(c)[:, :, None, None], self.bias(c)[:, :, None, None]
        return self.norm(x) * (1 + gain) + bias


class BigGANGenerator(nn.Module):
    """Maps latents ``(N, latent_dim)`` to images ``(N, C, size, size)`` in [-1, 1].

    Args:
        shape: the shape of an image.
        latent_dim: the length of a latent.
        num_classes: 0 for no classes.
        width: the channels of all maps below 64 pixels, from there on of the last map of 128 and
            256 pixels; the first has 16 times as many.
        hierarchical: part the latent into equal chunks, one longer where they cannot be equal: the
            first layer gets one, and the normalisations of each block one, together with a class
            embedding that all share. Otherwise the first layer gets the whole latent, and each
            normalisation has a class embedding of its own.
        attention: follows the largest hidden map of at most 64 pixels.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent_dim: int,
        num_classes: int = 0,
        width: int = 256,
        *,
        hierarchical: bool = True,
        attention: bool = True,
    ) -> None:
        super().__init__()
        channels, size, _ = shape
        base, *sizes = reversed(halvings(size, 4))
        parts = 1 + len(sizes) if hierarchical else 1
        if latent_dim < parts:
            raise ValueError(
                f"latent_dim must be at least {parts}, a part for each of {len(sizes)} blocks and "
                f"the first layer; got {latent_dim}"
            )
        self.chunks = [latent_dim // parts + (i < latent_dim % parts) for i in range(parts)]
        self.shared = nn.Embedding(num_classes, SHARED) if hierarchical and num_classes else None

        widths = [width * n for n in (UP[len(sizes)] if size >= LARGE else [1] * len(sizes))]
        self.project = nn.Linear(self.chunks[0], widths[0] * base * base)
        self.unflatten = nn.Unflatten(1, (widths[0], base, base))
        self.blocks = nn.ModuleList()
        for i, (before, after) in enumerate(zip([widths[0], *widths], widths, strict=False)):
            norm: Callable[[int], nn.Module] = ConditionalBatchNorm2d  # without classes, plain
            if hierarchical:
                inputs = self.chunks[i + 1] + (SHARED if num_classes else 0)
                norm = partial(ConditionedBatchNorm2d, condition=partial(_linear, inputs))
            elif num_classes:
                norm = partial(ConditionedBatchNorm2d, condition=partial(nn.Embedding, num_classes))
            self.blocks.append(UpBlock(before, after, sizes[i], norm=norm))
        self.attention_at = attention_index(sizes[:-1] or sizes, ATTENTION) if attention else None
        self.attention = (
            SelfAttention2d(widths[self.attention_at]) if self.attention_at is not None else None
        )
        self.norm = nn.BatchNorm2d(widths[-1])
        self.out = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        first, *rest = z.split(self.chunks, dim=1)
        conditions: Sequence[Tensor | None] = rest or [y] * len(self.blocks)
        if self.shared is not None:
            embedded = self.shared(y)
            conditions = [torch.cat([embedded, chunk], dim=1) for chunk in rest]
        x = self.unflatten(self.project(first))
        for i, (block, condition) in enumerate(zip(self.blocks, conditions, strict=True)):
            x = block(x, condition)
            if self.attention is not None and i == self.attention_at:
                x = self.attention(x)
        return torch.tanh(self.out(F.relu(self.norm(x))))


class BigGANFeatures(Features):
    """Maps images ``(N, C, size, size)`` to features, the sums of the last map after a ReLU.

    Below 64 pixels, all maps have ``width`` channels; blocks halve the size to less than 16 pixels,
    and two more keep it. From 64 pixels on, the first map has ``width`` channels and the last 16
    times as many; blocks halve the size to less than 8 pixels, and one more keeps it.

    Args:
        shape: the shape of an image.
        width: the number of channels of the first map.
        norm: the normalisation before every activation, except in the first block.
        attention: follows the largest hidden map of at most 64 pixels.
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int = 256,
        norm: Norm = "none",
        *,
        attention: bool = True,
    ) -> None:
        super().__init__()
        channels, size, _ = shape
        large = size >= LARGE
        sizes = halvings(size, 4 if large else 8, at_least=1)[1:]
        widths = [width * n for n in (DOWN[len(sizes)] if large else [1] * (len(sizes) + 2))]
        self.blocks = nn.ModuleList([FirstDownBlock(channels, widths[0])])
        for i in range(1, len(widths)):
            before, after, down = widths[i - 1], widths[i], i < len(sizes)
            self.blocks.append(DownBlock(before, after, down, norm, narrow=False))
        self.attention_at = attention_index(sizes, ATTENTION) if attention else None
        self.attention = (
            SelfAttention2d(widths[self.attention_at]) if self.attention_at is not None else None
        )
        self.out_features = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.blocks):
            x = block(x)
            if self.attention is not None and i == self.attention_at:
                x = self.attention(x)
        return F.relu(x).sum(dim=(2, 3))


def init_orthogonal(module: nn.Module) -> None:
    """Orthogonal weights, embeddings too, and biases 0.

    Saxe et al. 2014, arXiv:1312.6120.
    """
    if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
        nn.init.orthogonal_(module.weight)
        _zero_bias(module)


def init_small(module: nn.Module) -> None:
    """Weights ~ N(0, 0.02), embeddings too, and biases 0: the authors' script for CIFAR-10."""
    if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, 0.0, 0.02)
        _zero_bias(module)


def _zero_bias(module: nn.Module) -> None:
    if isinstance(bias := getattr(module, "bias", None), nn.Parameter):
        nn.init.zeros_(bias)


def _linear(inputs: int, channels: int) -> nn.Module:
    return nn.Linear(inputs, channels, bias=False)


BIGGAN = Family(
    BigGANGenerator,
    BigGANFeatures,
    init=init_orthogonal,
    widths=(384, 192),
    large_widths=(96, 96),
)
BIGGAN_FLAT = Family(
    partial(BigGANGenerator, hierarchical=False, attention=False),
    partial(BigGANFeatures, attention=False),
    init=init_small,
    widths=(256, 256),
    large_widths=(64, 64),
)
