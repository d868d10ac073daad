"""The networks of StyleGAN: Karras et al. 2019, arXiv:1812.04948.

They have the layers of the authors' code, github.com/NVlabs/stylegan, without growing: halvings
from the image's size to the smallest of at least 4 pixels, two convolutions at each.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lightning.networks.equalized import (
    EqualizedConv2d,
    EqualizedLinear,
    arrange_by_columns,
    keep_start,
    pixel_norm,
)
from gan_lightning.networks.family import Family, Features, Norm, make_norm
from gan_lightning.networks.minibatch import MinibatchDeviation
from gan_lightning.networks.sizes import channels_at, halvings
from gan_lightning.utils.ranks import mean_over_ranks

#: The smallest map that sizes are halved to.
SMALLEST = 4
#: How much of the mean style is kept in each pass, the authors' code.
STYLE_DECAY = 0.995


class StyledGenerator(nn.Module):
    """Maps latents to styles w, one for each layer, and these to images, which are not bounded.

    In training, each layer adds new noise, the mean of w is tracked, and with probability
    ``mixing`` the later layers take the style of another latent. In eval mode the noise is that of
    buffers, so that an image is a function of its latent.

    Args:
        mapping: maps latents and labels to styles ``(N, width)``.
        width: the length of a style.
        layers: how many styles an image has.
        noise_sizes: the size of the map of each layer that adds noise.
    """

    w_avg: Tensor

    def __init__(
        self, mapping: nn.Module, width: int, layers: int, noise_sizes: Sequence[int]
    ) -> None:
        super().__init__()
        self.mapping = mapping
        self.layers = layers
        self.noise_sizes = tuple(noise_sizes)
        self.mixing = 0.0
        self.register_buffer("w_avg", torch.zeros(width))
        for i, size in enumerate(noise_sizes):
            self.register_buffer(f"noise{i}", torch.randn(1, 1, size, size))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.synthesis(self.styles(z, y), self.noises(z.shape[0]))

    def styles(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The styles ``(N, layers, width)`` of latents; in training they are mixed."""
        w = self.mapping(z, y)
        styles = w[:, None].expand(-1, self.layers, -1)
        if not self.training:
            return styles
        with torch.no_grad():
            mean = mean_over_ranks(w.to(self.w_avg).mean(dim=0))
            self.w_avg.copy_(mean.lerp(self.w_avg, STYLE_DECAY))
        if self.mixing:
            cutoff = torch.randint(1, self.layers, (), device=z.device)
            whole = torch.rand((), device=z.device) >= self.mixing
            others = self.mapping(torch.randn(z.shape, dtype=z.dtype, device=z.device), y)
            styles = mix(styles, others[:, None], cutoff.masked_fill(whole, self.layers))
        return styles

    def noises(self, n: int, generator: torch.Generator | None = None) -> list[Tensor]:
        """The noise of ``n`` images, ``(n, 1, size, size)`` for each layer that adds some.

        It is drawn in training, and with a ``generator``; else ``(1, 1, size, size)``, the same for
        all.
        """
        if not self.training and generator is None:
            return [self.get_buffer(f"noise{i}") for i in range(len(self.noise_sizes))]
        like: dict[str, Any] = {"dtype": self.w_avg.dtype, "device": self.w_avg.device}
        return [
            torch.randn(n, 1, size, size, generator=generator, **like) for size in self.noise_sizes
        ]

    def synthesis(self, styles: Tensor, noises: Sequence[Tensor]) -> Tensor:
        """The images ``(N, C, H, W)`` of styles ``(N, layers, width)`` and noise."""
        raise NotImplementedError


def mix(styles: Tensor, others: Tensor, cutoff: Tensor | int) -> Tensor:
    """Styles ``(N, layers, width)`` with those of the layers from ``cutoff`` on replaced.

    A mask, not a slice: one graph serves every cutoff.
    """
    later = torch.arange(styles.shape[1], device=styles.device) >= cutoff
    return torch.where(later[:, None], others, styles)


class Mapping(nn.Module):
    """Maps latents and labels to styles ``(N, width)``.

    The learned vector of the label is appended to the latent, and both are normalised.
    """

    def __init__(self, latent_dim: int, num_classes: int, width: int, layers: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(num_classes, latent_dim) if num_classes else None
        first = 2 * latent_dim if num_classes else latent_dim
        self.layers = nn.ModuleList(
            EqualizedLinear(width if i else first, width, multiplier=0.01) for i in range(layers)
        )
        arrange_by_columns(self.layers[0])

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.embed is not None:
            z = torch.cat([z, self.embed(y)], dim=1)
        z = pixel_norm(z)
        for layer in self.layers:
            z = F.leaky_relu(layer(z), 0.2)
        return z


def filter_kernel(taps: Sequence[float], gain: float = 1.0) -> Tensor:
    """The products ``(K, K)`` of ``taps`` in both directions, of sum ``gain``."""
    row = torch.tensor(taps, dtype=torch.float32)
    kernel = torch.outer(row, row)
    return gain * kernel / kernel.sum()


class Blur(nn.Module):
    """Filters each channel of maps with ``taps`` in both directions, of sum 1 times ``gain``.

    Args:
        taps: symmetric.
        padding: zeros before and after each row and column.
        stride: 2 keeps every second value.
        gain: of the sum.
    """

    kernel: Tensor

    def __init__(
        self, taps: Sequence[float], padding: tuple[int, int], stride: int = 1, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.padding, self.stride = padding, stride
        self.register_buffer("kernel", filter_kernel(taps, gain), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.kernel.to(x.dtype).expand(channels, 1, -1, -1)
        return F.conv2d(F.pad(x, 2 * self.padding), kernel, stride=self.stride, groups=channels)


class StyledLayer(nn.Module):
    """Noise, a bias, the activation, and AdaIN: section 2 and figure 1b.

    AdaIN normalises each map to mean 0 and variance 1, then scales and shifts it by a linear
    function of the style, at first around 1 and 0.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.noise_strength = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.affine = EqualizedLinear(width, 2 * channels, gain=1)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        x = x + noise * self.noise_strength[:, None, None] + self.bias[:, None, None]
        x = F.instance_norm(F.leaky_relu(x, 0.2), eps=1e-8)
        scale, shift = self.affine(style)[:, :, None, None].chunk(2, dim=1)
        return x * (scale + 1) + shift


class StyleGANGenerator(StyledGenerator):
    """A constant, and two styled layers at each size; the last map becomes the image."""

    def __init__(
        self,
        shape: Sequence[int],
        latent_dim: int,
        num_classes: int = 0,
        width: int = 512,
        mapping_layers: int = 8,
    ) -> None:
        channels, size, _ = shape
        sizes = halvings(size, SMALLEST)[::-1]
        twice = [s for s in sizes for _ in range(2)]
        mapping = Mapping(latent_dim, num_classes, width, mapping_layers)
        super().__init__(mapping, width, len(twice), twice)
        widths = [channels_at(s, width) for s in twice]
        self.constant = nn.Parameter(torch.ones(widths[0], sizes[0], sizes[0]))
        self.convs = nn.ModuleList(
            EqualizedConv2d(before, after, 3, bias=False) for before, after in pairwise(widths)
        )
        self.blur = Blur([1, 2, 1], (1, 1))
        self.styled = nn.ModuleList(StyledLayer(each, width) for each in widths)
        self.to_rgb = EqualizedConv2d(widths[-1], channels, 1, gain=1)

    def synthesis(self, styles: Tensor, noises: Sequence[Tensor]) -> Tensor:
        # An export would take len(styles) as a constant.
        x = self.constant.expand(styles.shape[0], -1, -1, -1)
        for i, layer in enumerate(self.styled):
            size = self.noise_sizes[i]
            if i:
                doubled = x.shape[-1] != size
                if doubled:
                    x = F.interpolate(x, scale_factor=2.0)[..., :size, :size]
                x = self.convs[i - 1](x)
                x = self.blur(x) if doubled else x
            x = layer(x, styles[:, i], noises[i])
        return self.to_rgb(x)


class StyleGANFeatures(Features):
    """Maps images ``(N, C, size, size)`` to features ``(N, width)``.

    That of Karras et al. 2018, arXiv:1710.10196, with a blur before each halving. ``norm`` is after
    all convolutions of 3 x 3 but the first.
    """

    def __init__(
        self, shape: Sequence[int], width: int = 512, norm: Norm = "none", group: int = 4
    ) -> None:
        super().__init__()
        channels, size, _ = shape
        sizes = halvings(size, SMALLEST)
        widths = [channels_at(s, width) for s in sizes]
        layers: list[nn.Module] = [EqualizedConv2d(channels, widths[0], 1), nn.LeakyReLU(0.2)]
        for i in range(len(sizes) - 1):
            before, after = widths[i : i + 2]
            layers += [EqualizedConv2d(before, before, 3)]
            layers += [make_norm(norm if i else "none", before), nn.LeakyReLU(0.2)]
            layers += [Blur([1, 2, 1], (1, 1)), EqualizedConv2d(before, after, 3)]
            layers += [nn.AvgPool2d(2, ceil_mode=True)]
            layers += [make_norm(norm, after), nn.LeakyReLU(0.2)]
        layers += [MinibatchDeviation(group), EqualizedConv2d(widths[-1] + 1, widths[-1], 3)]
        layers += [make_norm(norm, widths[-1]), nn.LeakyReLU(0.2), nn.Flatten()]
        layers += [EqualizedLinear(widths[-1] * sizes[-1] ** 2, widths[-1]), nn.LeakyReLU(0.2)]
        self.net = nn.Sequential(*layers)
        self.out_features = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class LabelHead(nn.Module):
    """Maps features ``(N, D)`` to scores ``(N,)``, with classes to that of the label.

    ``w h + b``, with ``w`` and ``b`` of each class: the authors' code.
    """

    def __init__(self, features: int, num_classes: int = 0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.projection = EqualizedLinear(features, max(num_classes, 1), gain=1)

    def forward(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        scores: Tensor = self.projection(h)
        if not self.num_classes or y is None:
            return scores[:, 0]
        return scores.gather(1, y[:, None]).squeeze(1)


STYLEGAN = Family(
    StyleGANGenerator, StyleGANFeatures, init=keep_start, widths=(512, 512), head=LabelHead
)
