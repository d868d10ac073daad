"""Networks that grow: those of Karras et al. 2018, arXiv:1710.10196, table 2, at any size.

At 4 to 1024 pixels they are those of the authors' code: github.com/tkarras/
progressive_growing_of_gans, networks.py, with its settings. Both are of full size at every level,
as there: what a level does not have yet is skipped, and its images are enlarged or pooled.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lightning.networks.conditioning import append_label
from gan_lightning.networks.equalized import (
    HE,
    EqualizedConv2d,
    EqualizedLinear,
    EqualizedScoreHead,
    keep_start,
    pixel_norm,
)
from gan_lightning.networks.family import Family, Features, Growing, Norm, make_norm
from gan_lightning.networks.minibatch import MinibatchDeviation
from gan_lightning.networks.sizes import channels_at, halve, halvings

#: Channels of each map at least, for pixels to be vectors.
LEAST = 4


class ProgressiveNetwork(Growing):
    """What a generator and a critic that grow have in common: sizes, levels and the fade.

    Level 0 has the smallest of ``sizes``. Each further size has two levels: in the odd one its
    layers are faded in with weight ``alpha``, and in the even one they are all there.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.sizes = halvings(size, 4)[::-1]
        self.alpha: Tensor
        self.register_buffer("alpha", torch.ones(()))

    @property
    def last_level(self) -> int:
        """The level of the whole network."""
        return 2 * len(self.sizes) - 2

    @property
    def stage(self) -> int:
        """The index of the present size."""
        return len(self.sizes) - 1 if self.level < 0 else (self.level + 1) // 2

    @property
    def is_fading(self) -> bool:
        """Whether layers are faded in."""
        return self.level > 0 and self.level % 2 == 1

    def fade(self, old: Tensor, new: Tensor) -> Tensor:
        """``old`` at ``alpha`` 0, ``new`` at 1."""
        return torch.lerp(old, new, self.alpha.to(new.dtype))

    def shrink(self, x: Tensor) -> Tensor:
        """Images of full size at the present one."""
        for _ in self.sizes[self.stage + 1 :]:
            x = halve(x)
        return x

    def enlarge(self, x: Tensor) -> Tensor:
        """Images of the present size at full size."""
        for size in self.sizes[self.stage + 1 :]:
            x = double(x, size)
        return x

    def with_detail(self, x: Tensor) -> Tensor:
        """Images of full size with as much detail as the present level has."""
        x = self.shrink(x)
        if self.is_fading:
            x = self.fade(double(halve(x), x.shape[-1]), x)
        return self.enlarge(x)


class ProgressiveGenerator(ProgressiveNetwork):
    """Maps latents ``(N, latent_dim)`` to images ``(N, C, size, size)``, which are not bounded.

    Maps of up to 32 pixels have ``width`` channels, and larger ones fewer, so that channels times
    pixels is constant on a side. Each activation is followed by pixel normalisation.
    """

    def __init__(
        self, shape: Sequence[int], latent_dim: int, num_classes: int = 0, width: int = 512
    ) -> None:
        channels, size, _ = shape
        super().__init__(size)
        self.num_classes = num_classes
        widths = [channels_at(each, width, LEAST) for each in self.sizes]
        base = self.sizes[0]
        # Without a bias for each position. The gain is that of the authors' code.
        self.project = EqualizedConv2d(
            latent_dim + num_classes, widths[0] * base**2, 1, gain=HE / 4, bias=False
        )
        self.bias = nn.Parameter(torch.zeros(widths[0], 1, 1))
        self.first = nn.Sequential(
            nn.LeakyReLU(0.2), PixelNorm(), *_normalised(widths[0], widths[0])
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*_normalised(before, after), *_normalised(after, after))
            for before, after in pairwise(widths)
        )
        self.to_image = nn.ModuleList(EqualizedConv2d(w, channels, 1, gain=1) for w in widths)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        z = pixel_norm(append_label(z, y, self.num_classes))
        base, stage = self.sizes[0], self.stage
        maps = self.project(z[:, :, None, None]).flatten(1).unflatten(1, (-1, base, base))
        before = x = self.first(maps + self.bias)
        for i in range(stage):
            before = double(x, self.sizes[i + 1])
            x = self.blocks[i](before)
        image: Tensor = self.to_image[stage](x)
        if self.is_fading:
            # The 1 x 1 convolution commutes with nearest upsampling.
            image = self.fade(self.to_image[stage - 1](before), image)
        return self.enlarge(image)


class ProgressiveFeatures(ProgressiveNetwork, Features):
    """Maps images ``(N, C, size, size)`` to ``width`` features, the generator's layers mirrored.

    How much the last map varies in a group of samples is appended to it. ``norm``, which the paper
    does not have, is on all maps but the first.
    """

    def __init__(self, shape: Sequence[int], width: int = 512, norm: Norm = "none") -> None:
        channels, size, _ = shape
        super().__init__(size)
        widths = [channels_at(each, width, LEAST) for each in self.sizes]
        self.from_image = nn.ModuleList(
            nn.Sequential(EqualizedConv2d(channels, w, 1), nn.LeakyReLU(0.2)) for w in widths
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*_conv(before, before, norm), *_conv(before, after, norm))
            for after, before in pairwise(widths)
        )
        self.out_features = widths[0]
        self.last = nn.Sequential(
            MinibatchDeviation(),
            *_conv(widths[0] + 1, widths[0], norm),
            nn.Flatten(),
            EqualizedLinear(widths[0] * self.sizes[0] ** 2, self.out_features),
            nn.LeakyReLU(0.2),
        )

    def forward(self, x: Tensor) -> Tensor:
        x, stage = self.shrink(x), self.stage
        h = self.from_image[stage](x)
        for i in reversed(range(stage)):
            h = halve(self.blocks[i](h))
            if self.is_fading and i == stage - 1:
                h = self.fade(self.from_image[i](halve(x)), h)
        return self.last(h)


class PixelNorm(nn.Module):
    """Each position's vector divided by the root of its mean square, section 4.2."""

    def forward(self, x: Tensor) -> Tensor:
        return pixel_norm(x)


def double(x: Tensor, size: int) -> Tensor:
    """Each value twice along each side; for an odd ``size`` the last row and column once."""
    return F.interpolate(x, size=(size, size))


def _conv(before: int, after: int, norm: Norm) -> list[nn.Module]:
    return [EqualizedConv2d(before, after, 3), make_norm(norm, after), nn.LeakyReLU(0.2)]


def _normalised(before: int, after: int) -> list[nn.Module]:
    return [EqualizedConv2d(before, after, 3), nn.LeakyReLU(0.2), PixelNorm()]


PROGRESSIVE = Family(
    ProgressiveGenerator,
    ProgressiveFeatures,
    init=keep_start,
    widths=(512, 512),
    head=EqualizedScoreHead,
)
