"""The networks for CIFAR-10 of the authors' code of Salimans et al. 2016, arXiv:1606.03498.

At 32 pixels they have its layers: github.com/openai/improved-gan, mnist_svhn_cifar10. Other sizes
have one stage per halving.
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lightning.networks.conditioning import ScoreHead
from gan_lightning.networks.dcgan import DCGANGenerator
from gan_lightning.networks.family import Family, Features, Norm, make_norm
from gan_lightning.networks.sizes import halvings
from gan_lightning.networks.start import StartsFromData
from gan_lightning.utils.ranks import mean_over_ranks


class ImprovedGANGenerator(DCGANGenerator):
    """DCGAN's generator with 5 x 5 kernels; its images start with a standard deviation of 0.1."""

    def __init__(
        self, shape: Sequence[int], latent_dim: int, num_classes: int = 0, width: int = 128
    ) -> None:
        super().__init__(shape, latent_dim, num_classes, width, kernel=5)


class ImprovedGANFeatures(Features):
    """Maps images ``(N, C, size, size)`` to the mean of the last map.

    A stage is three 3 x 3 convolutions, of which the last halves the size, and dropout: the first
    stage has ``width`` channels, and all that follows twice as many. Stages halve the size to less
    than 16 pixels. A 3 x 3 convolution without padding and two of 1 x 1 follow. All are
    weight-normalised; ``norm`` is on all maps but the first. The image itself is noisy: a fifth of
    its values is 0, or with ``gaussian`` all have noise of standard deviation 0.2.
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int = 96,
        norm: Norm = "none",
        gaussian: bool = False,
    ) -> None:
        super().__init__()
        channels, size, _ = shape
        stages = len(halvings(size, 8, at_least=1)) - 1
        layers: list[nn.Module] = [GaussianNoise(0.2) if gaussian else Dropout(0.2)]
        before = channels
        for stage in range(stages):
            after = width if stage == 0 else 2 * width
            for i, stride in enumerate((1, 1, 2)):
                first = stage == i == 0
                layers += _conv(before, after, 3, stride, 1, "none" if first else norm)
                before = after
            layers.append(Dropout(0.5))
        self.out_features = 2 * width
        layers += _conv(before, self.out_features, 3, 1, 0, norm)
        for _ in range(2):
            layers += _conv(self.out_features, self.out_features, 1, 1, 0, norm)
        self.net = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).mean(dim=(2, 3))


class WeightNormConv2d(nn.Conv2d, StartsFromData):
    """A convolution whose weights have norm ``scale`` for each output channel.

    As in the authors' code the scale, 1 at first, is not trained: when the layer starts from data,
    each channel of its output gets mean 0 and standard deviation 1.

    Salimans & Kingma 2016, arXiv:1602.07868, eq. 2.
    """

    def __init__(self, before: int, after: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__(before, after, kernel, stride, padding)
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(after))

    def forward(self, input: Tensor) -> Tensor:
        norms = (self.weight.flatten(1).square().sum(dim=1) + 1e-6).sqrt()
        weight = self.weight * (self.scale / norms)[:, None, None, None]
        return F.conv2d(input, weight, self.bias, self.stride, self.padding)

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Set the scale and the bias."""
        assert self.bias is not None
        out = self.forward(x) - self.bias[:, None, None]
        mean = mean_over_ranks(out.mean(dim=(0, 2, 3)))
        variance = mean_over_ranks((out - mean[:, None, None]).square().mean(dim=(0, 2, 3)))
        # A channel may be constant where all samples are equal.
        inverse = (variance + 1e-6).rsqrt()
        self.scale.mul_(inverse)
        self.bias.copy_(-mean * inverse)


class Dropout(nn.Module):
    """Dropout whose choices depend on the shape alone, whatever the memory format."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = torch.rand(x.shape, device=x.device) >= self.p
        return x * kept / (1 - self.p)


class GaussianNoise(nn.Module):
    """Adds noise ~ N(0, sigma) in training."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x + self.sigma * torch.randn(x.shape, dtype=x.dtype, device=x.device)


def init_improved_gan(module: nn.Module) -> None:
    """Weights ~ N(0, 0.05), biases 0, as in the authors' code.

    The generator's last weights are a tenth of that, so that the standard deviation of its first
    images is about 0.1, to which the authors scale them.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.05)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, ImprovedGANGenerator):
        last = module.stages[-1]
        assert isinstance(last, nn.ConvTranspose2d)
        nn.init.normal_(last.weight, 0.0, 0.005)
    elif isinstance(module, ScoreHead) and module.projection is not None:
        nn.init.normal_(module.projection.weight, 0.0, 0.05)


def _conv(
    before: int, after: int, kernel: int, stride: int, padding: int, norm: Norm
) -> list[nn.Module]:
    conv = WeightNormConv2d(before, after, kernel, stride, padding)
    return [conv, make_norm(norm, after), nn.LeakyReLU(0.2)]


IMPROVED_GAN = Family(
    ImprovedGANGenerator, ImprovedGANFeatures, init=init_improved_gan, widths=(128, 96)
)
IMPROVED_GAN_NOISE = Family(
    ImprovedGANGenerator,
    partial(ImprovedGANFeatures, gaussian=True),
    init=init_improved_gan,
    widths=(128, 96),
)
