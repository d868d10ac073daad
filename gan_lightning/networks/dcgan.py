"""Strided convolutions: the networks of DCGAN, and the CNN of SNGAN.

Radford et al. 2016, arXiv:1511.06434. At 64 pixels and width 128 the generator has the paper's
channels, 1024 on the 4 x 4 map; other sizes have one stage per halving. Miyato et al. 2018,
arXiv:1802.05957, table 3, at 32 pixels.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from gan_lightning.networks.conditioning import append_label
from gan_lightning.networks.family import Family, Features, Norm, make_norm
from gan_lightning.networks.initialization import init_normal
from gan_lightning.networks.sizes import halvings


class DCGANGenerator(nn.Module):
    """Maps latents ``(N, latent_dim)`` to images ``(N, C, size, size)`` in [-1, 1].

    The last hidden map has ``width`` channels, and each map before it twice as many, up to 8 times
    ``width``. With ``last_conv`` it has the full size, and a 3 x 3 convolution turns it into the
    image; otherwise the last transposed convolution does. Their kernels are ``kernel`` wide.

    ``plain`` removes the batch normalisation and keeps ``width`` channels in every map, as in
    WGAN's experiments on robustness: Arjovsky et al. 2017, arXiv:1701.07875, section 4.3.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent_dim: int,
        num_classes: int = 0,
        width: int = 128,
        last_conv: bool = False,
        kernel: int = 4,
        plain: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        channels, size, _ = shape
        base, *self.sizes = reversed(halvings(size, 4, at_least=2))
        widths = _widths(width, len(self.sizes) + last_conv)[::-1]
        norm: Norm = "batch"
        if plain:
            widths, norm = [width] * len(widths), "none"
        self.project = nn.Sequential(
            nn.Linear(latent_dim + num_classes, widths[0] * base * base, bias=plain),
            nn.Unflatten(1, (widths[0], base, base)),
            make_norm(norm, widths[0]),
            nn.ReLU(),
        )
        self.stages = nn.ModuleList(
            nn.Sequential(
                _up(before, after, kernel, bias=plain),
                make_norm(norm, after),
                nn.ReLU(),
            )
            for before, after in pairwise(widths)
        )
        self.out: nn.Module = nn.Identity()
        if last_conv:
            self.out = nn.Conv2d(widths[-1], channels, 3, padding=1)
        else:
            self.stages.append(_up(widths[-1], channels, kernel))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        x = self.project(append_label(z, y, self.num_classes))
        for stage, size in zip(self.stages, self.sizes, strict=True):
            # A stage doubles the size; for an odd size, the last row and column are dropped.
            x = stage(x)[:, :, :size, :size]
        return torch.tanh(self.out(x))


class DCGANFeatures(Features):
    """Maps images ``(N, C, size, size)`` to the flattened last map; ``norm`` on all but the first.

    The first map has ``width`` channels, and each map after it twice as many, up to 8 times
    ``width``.
    """

    def __init__(self, shape: Sequence[int], width: int = 64, norm: Norm = "batch") -> None:
        super().__init__()
        channels, size, _ = shape
        sizes = halvings(size, 4, at_least=2)
        widths = _widths(width, len(sizes) - 1)
        layers: list[nn.Module] = [_down(channels, widths[0], sizes[0]), nn.LeakyReLU(0.2)]
        for before, after, this_size in zip(widths, widths[1:], sizes[1:], strict=False):
            layers += [
                _down(before, after, this_size, bias=norm == "none"),
                make_norm(norm, after),
                nn.LeakyReLU(0.2),
            ]
        self.net = nn.Sequential(*layers, nn.Flatten())
        self.out_features = widths[-1] * sizes[-1] ** 2

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class SNDCGANGenerator(DCGANGenerator):
    """DCGAN's generator with a last hidden map of the full image size."""

    def __init__(
        self, shape: Sequence[int], latent_dim: int, num_classes: int = 0, width: int = 64
    ) -> None:
        super().__init__(shape, latent_dim, num_classes, width, last_conv=True)


class SNDCGANFeatures(Features):
    """Maps images ``(N, C, size, size)`` to the flattened last map.

    At every size, a 3 x 3 convolution is followed by a 4 x 4 convolution that halves the size, down
    to 4 to 7 pixels, where a last 3 x 3 convolution follows. The first map has ``width`` channels;
    they double with each halving, up to 8 times ``width``: in the 3 x 3 convolution after it, as in
    table 3, or with ``wide`` in the 4 x 4 convolution itself, as in the published code
    (chainer-gan-lib, compare_gan). ``norm`` is on all maps but the first.
    """

    def __init__(
        self, shape: Sequence[int], width: int = 64, norm: Norm = "none", wide: bool = False
    ) -> None:
        super().__init__()
        channels, size, _ = shape
        sizes = halvings(size, 4)
        widths = _widths(width, len(sizes))
        bias = norm == "none"
        layers: list[nn.Module] = [
            nn.Conv2d(channels, widths[0], 3, padding=1),
            nn.LeakyReLU(0.1),
        ]
        for before, after, this_size in zip(widths, widths[1:], sizes, strict=False):
            halved = after if wide else before
            layers += [
                _down(before, halved, this_size, bias),
                make_norm(norm, halved),
                nn.LeakyReLU(0.1),
                nn.Conv2d(halved, after, 3, padding=1, bias=bias),
                make_norm(norm, after),
                nn.LeakyReLU(0.1),
            ]
        self.net = nn.Sequential(*layers, nn.Flatten())
        self.out_features = widths[-1] * sizes[-1] ** 2

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def _widths(width: int, stages: int) -> list[int]:
    return [width * min(2**i, 8) for i in range(stages)]


def _up(before: int, after: int, kernel: int, bias: bool = True) -> nn.ConvTranspose2d:
    """Double the size."""
    odd = kernel % 2
    padding = (kernel - 1) // 2
    return nn.ConvTranspose2d(before, after, kernel, 2, padding, output_padding=odd, bias=bias)


def _down(before: int, after: int, size: int, bias: bool = True) -> nn.Conv2d:
    """Halve the size, rounding up: an odd size needs a larger kernel and more padding."""
    kernel, padding = (4, 1) if size % 2 == 0 else (5, 2)
    return nn.Conv2d(before, after, kernel, stride=2, padding=padding, bias=bias)


DCGAN = Family(DCGANGenerator, DCGANFeatures, init=init_normal, widths=(128, 64))
SNDCGAN = Family(SNDCGANGenerator, SNDCGANFeatures, init=init_normal, widths=(64, 64))
SNDCGAN_WIDE = Family(
    SNDCGANGenerator, partial(SNDCGANFeatures, wide=True), init=init_normal, widths=(64, 64)
)
# 64 is the width of improved_wgan_training's constant-width generator.
DCGAN_PLAIN = Family(
    partial(DCGANGenerator, plain=True), DCGANFeatures, init=init_normal, widths=(64, 64)
)
