"""The networks of StyleGAN2: Karras et al. 2020, arXiv:1912.04958.

They have the layers of the authors' code, github.com/NVlabs/stylegan2-ada-pytorch: a generator with
modulated convolutions, whose image is a sum over sizes, and a residual critic.
"""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

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
from gan_lightning.networks.stylegan import SMALLEST, Blur, StyledGenerator, filter_kernel
from gan_lightning.utils.precision import full_precision

#: The filter of each doubling and halving.
TAPS = (1, 3, 3, 1)
HALF_ROOT = math.sqrt(0.5)


def activate(x: Tensor) -> Tensor:
    """A leaky ReLU with slope 0.2 times sqrt(2), which keeps the variance."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


class LabelEmbedding(nn.Embedding):
    """A linear layer with bias of the label as a one-hot vector; its rate is equalised."""

    def __init__(self, num_classes: int, features: int) -> None:
        super().__init__(num_classes, features)
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(y) / math.sqrt(self.num_embeddings) + self.bias


class Mapping(nn.Module):
    """Maps latents and labels to styles ``(N, width)``, each normalised before.

    Without latents, of ``latent_dim`` 0, it maps labels alone.
    """

    def __init__(self, latent_dim: int, num_classes: int, width: int, layers: int) -> None:
        super().__init__()
        self.embed = LabelEmbedding(num_classes, width) if num_classes else None
        first = latent_dim + (width if num_classes else 0)
        self.layers = nn.ModuleList(
            EqualizedLinear(width if i else first, width, gain=1, multiplier=0.01)
            for i in range(layers)
        )
        arrange_by_columns(self.layers[0])

    def forward(self, z: Tensor | None, y: Tensor | None = None) -> Tensor:
        parts = [] if z is None else [pixel_norm(z)]
        if self.embed is not None:
            parts.append(pixel_norm(self.embed(y)))
        w = torch.cat(parts, dim=1)
        for layer in self.layers:
            w = activate(layer(w))
        return w


class ModulatedConv2d(nn.Module):
    """A convolution whose input channels are scaled by a linear function of the style.

    With ``demodulate`` the weights, after that scaling, have norm 1 for each output channel, which
    is computed from their squares, so that samples share one convolution: what the authors' code
    does in training. Section 2.2, eq. 1 and 3.

    Args:
        before: input channels.
        after: output channels.
        kernel: its size, odd.
        width: the length of a style.
        doubled: the size of the output, if the convolution doubles that of the input.
        demodulate: whether outputs are scaled.
    """

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int,
        width: int,
        doubled: int | None = None,
        demodulate: bool = True,
    ) -> None:
        super().__init__()
        self.doubled, self.demodulate = doubled, demodulate
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.affine = EqualizedLinear(width, before, gain=1, bias=1.0)
        self.blur = Blur(TAPS, (1, 1), gain=4.0) if doubled else None

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale = self.affine(style)
        if not self.demodulate:
            scale = scale / math.sqrt(self.weight[0].numel())
        x = x * scale[:, :, None, None]
        if self.blur is None:
            x = F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2)
        else:
            x = self.blur(F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2))
            x = x[..., : self.doubled, : self.doubled]
        return x * self.demodulation(scale).to(x.dtype)[:, :, None, None] if self.demodulate else x

    def demodulation(self, scale: Tensor) -> Tensor:
        """1 / |scale w| of each output channel ``(N, after)``, in float32 at least."""
        weight = self.weight.to(torch.promote_types(self.weight.dtype, torch.float32))
        # Sums of many squares have few digits left in bfloat16.
        with full_precision(scale):
            squares = scale.to(weight.dtype).square() @ weight.square().sum(dim=(2, 3)).T
            return torch.rsqrt(squares + 1e-8)


class StyledConv(nn.Module):
    """A modulated convolution, noise of one learned strength, a bias and the activation."""

    def __init__(self, before: int, after: int, width: int, doubled: int | None = None) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(before, after, 3, width, doubled)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        x = self.conv(x, style)
        x = x + (noise * self.noise_strength).to(x.dtype)
        return activate(x + self.bias.to(x.dtype)[:, None, None])


class ToRGB(nn.Module):
    """A modulated convolution of 1 x 1, not demodulated, and a bias."""

    def __init__(self, before: int, channels: int, width: int) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(before, channels, 1, width, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return self.conv(x, style) + self.bias[:, None, None]


class Doubling(nn.Module):
    """Images ``(N, C, H, W)`` of twice the size, or one pixel less, by the filter."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", filter_kernel(TAPS, gain=4.0), persistent=False)

    def forward(self, x: Tensor, size: int) -> Tensor:
        channels = x.shape[1]
        kernel = self.kernel.to(x.dtype).expand(channels, 1, -1, -1)
        x = F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=channels)
        return x[..., :size, :size]


class StyleGAN2Generator(StyledGenerator):
    """A constant, and two styled convolutions at each larger size.

    The image is the sum of those that the map of each size becomes: the skip generator of section
    4.1 and figure 7.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent_dim: int,
        num_classes: int = 0,
        width: int = 512,
        mapping_layers: int = 8,
    ) -> None:
        channels, size, _ = shape
        first, *others = halvings(size, SMALLEST)[::-1]
        mapping = Mapping(latent_dim, num_classes, width, mapping_layers)
        noise_sizes = [first] + [s for s in others for _ in range(2)]
        super().__init__(mapping, width, len(noise_sizes) + 1, noise_sizes)
        before = channels_at(first, width)
        self.constant = nn.Parameter(torch.randn(before, first, first))
        self.convs = nn.ModuleList([StyledConv(before, before, width)])
        self.to_rgb = nn.ModuleList([ToRGB(before, channels, width)])
        self.doubling = Doubling()
        for s in others:
            after = channels_at(s, width)
            self.convs.append(StyledConv(before, after, width, doubled=s))
            self.convs.append(StyledConv(after, after, width))
            self.to_rgb.append(ToRGB(after, channels, width))
            before = after

    def synthesis(self, styles: Tensor, noises: Sequence[Tensor]) -> Tensor:
        # An export would take len(styles) as a constant.
        x = self.constant.expand(styles.shape[0], -1, -1, -1)
        x = self.convs[0](x, styles[:, 0], noises[0])
        # The style that makes an image is also that of the next size's first convolution.
        image: Tensor = self.to_rgb[0](x, styles[:, 1])
        for i in range(1, len(self.convs), 2):
            x = self.convs[i](x, styles[:, i], noises[i])
            x = self.convs[i + 1](x, styles[:, i + 1], noises[i + 1])
            image = self.doubling(image, x.shape[-1])
            image = image + self.to_rgb[(i + 1) // 2](x, styles[:, i + 2])
        return image


class DownConv2d(EqualizedConv2d):
    """A convolution, after the filter, that halves the size; an odd one is rounded up."""

    def __init__(self, before: int, after: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__(before, after, kernel, gain=1, bias=bias)
        pad = kernel // 2 + 1
        # A kernel of 1 x 1 needs but every second value.
        self.blurs = nn.ModuleList(
            Blur(TAPS, (pad, pad + odd), stride=2 if kernel == 1 else 1) for odd in (0, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.blurs[x.shape[-1] % 2](x)
        stride = 1 if self.kernel_size[0] == 1 else 2
        return F.conv2d(x, self.weight * self.scale, self.bias, stride)


class DownBlock(nn.Module):
    """Two convolutions, of which the second halves the size; with ``skip`` a residual block."""

    def __init__(self, before: int, after: int, norms: tuple[Norm, Norm], skip: bool) -> None:
        super().__init__()
        self.conv1 = EqualizedConv2d(before, before, 3, gain=1)
        self.norm1 = make_norm(norms[0], before)
        self.conv2 = DownConv2d(before, after, 3)
        self.norm2 = make_norm(norms[1], after)
        self.skip = DownConv2d(before, after, 1, bias=False) if skip else None

    def forward(self, x: Tensor) -> Tensor:
        h = activate(self.norm1(self.conv1(x)))
        h = activate(self.norm2(self.conv2(h)))
        return h if self.skip is None else (h + self.skip(x)) * HALF_ROOT


class StyleGAN2Features(Features):
    """Maps images ``(N, C, size, size)`` to features ``(N, width)``.

    ``skips`` make it residual: section 4.1 and figure 7. ``norm`` is after all convolutions of
    3 x 3 but the first.
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int = 512,
        norm: Norm = "none",
        group: int = 4,
        skips: bool = True,
    ) -> None:
        super().__init__()
        channels, size, _ = shape
        sizes = halvings(size, SMALLEST)
        widths = [channels_at(s, width) for s in sizes]
        self.from_rgb = EqualizedConv2d(channels, widths[0], 1, gain=1)
        self.blocks = nn.ModuleList(
            DownBlock(before, after, (norm if i else "none", norm), skips)
            for i, (before, after) in enumerate(pairwise(widths))
        )
        last = widths[-1]
        self.deviation = MinibatchDeviation(group)
        self.conv = EqualizedConv2d(last + 1, last, 3, gain=1)
        self.norm = make_norm(norm, last)
        self.linear = EqualizedLinear(last * sizes[-1] ** 2, last, gain=1)
        self.out_features = last

    def forward(self, x: Tensor) -> Tensor:
        x = activate(self.from_rgb(x))
        for block in self.blocks:
            x = block(x)
        x = activate(self.norm(self.conv(self.deviation(x))))
        return activate(self.linear(x.flatten(1)))


class MappedLabelHead(nn.Module):
    """Maps features ``(N, D)`` to scores ``(N,)``, ``w h + b``; with classes to <m(y), W h + b>.

    m maps labels as the generator does, with 8 layers; the product is divided by sqrt(D): the
    authors' code.
    """

    def __init__(self, features: int, num_classes: int = 0) -> None:
        super().__init__()
        self.linear = EqualizedLinear(features, features if num_classes else 1, gain=1)
        self.projection = Mapping(0, num_classes, features, layers=8) if num_classes else None
        self.scale = 1 / math.sqrt(features)

    def forward(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        h = self.linear(h)
        if self.projection is None:
            return h.squeeze(1)
        return (h * self.projection(None, y)).sum(dim=1) * self.scale


STYLEGAN2 = Family(
    StyleGAN2Generator, StyleGAN2Features, init=keep_start, widths=(512, 512), head=MappedLabelHead
)
#: With a critic without skips, ``orig`` in the authors' code, whose preset for CIFAR-10 has it.
STYLEGAN2_PLAIN = Family(
    StyleGAN2Generator,
    partial(StyleGAN2Features, skips=False),
    init=keep_start,
    widths=(512, 512),
    head=MappedLabelHead,
)
