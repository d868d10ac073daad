"""StyleGAN2: demodulated styles, no growing, and lazy regularisers."""

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from gan_lightning.gan import Terms
from gan_lightning.networks.stylegan import StyledGenerator
from gan_lightning.penalties import Regularizer
from gan_lightning.techniques.stylegan import StyleGAN
from gan_lightning.utils.checks import at_least
from gan_lightning.utils.ranks import mean_over_ranks


class StyleGAN2(StyleGAN):
    """StyleGAN2.

    Karras, Laine, Aittala, Hellsten, Lehtinen & Aila 2020, "Analyzing and improving the image
    quality of StyleGAN", arXiv:1912.04958.

    Defaults are those of section 3 and appendix B, and of the authors' code: R1 every 16 updates
    and path length every 4, Adam at 2e-3 with betas 0 and 0.99, 512 latents, mixing with
    probability 0.9. The weight of R1 and the ramp-up of the moving average are those of the
    authors' later code, arXiv:2006.06676. ``network="stylegan2_plain"`` is its critic for CIFAR-10,
    without skips.

    Args:
        path_weight: of the path length regulariser; 0 for none. Networks without styles have none.
        path_interval: it is added in every so many updates, as many times as large.
    """

    path_weight: float = 2.0
    path_interval: int = 4
    gamma: float | None = None
    r1_interval: int = 16
    ema_rampup: float = 0.05
    critic_lr: float = 2e-3
    generator_lr: float = 2e-3
    network: str = "stylegan2"

    truncated_layers: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        at_least(0, path_weight=self.path_weight)
        at_least(1, path_interval=self.path_interval)
        super().__post_init__()
        #: a, the moving average of path lengths.
        self.path_mean: Tensor
        self.register_buffer("path_mean", torch.zeros(()))

    def generator_regularizers(self) -> Sequence[Regularizer]:
        """The path length regulariser, where there are styles."""
        if not self.path_weight or not isinstance(self.generator, StyledGenerator):
            return []
        return [Regularizer(self.path_length, every=self.path_interval)]

    def path_length(self, y: Tensor | None, z: Tensor) -> tuple[Tensor, Terms]:
        """E[(|J^T y|_2 - a)^2], weighted: section 3.2, eq. 4, and appendix B.

        On half of the latents. a follows the mean length; as in the authors' code the gradient
        passes through the present length's share in it too.
        """
        generator = self.generator
        assert isinstance(generator, StyledGenerator)
        half = max(1, len(z) // 2)
        styles = generator.styles(z[:half], None if y is None else y[:half])
        noises = generator.noises(half)
        lengths = path_lengths(lambda w: generator.synthesis(w, noises), styles)
        mean = torch.lerp(self.path_mean, mean_over_ranks(lengths.mean()), 0.01)
        with torch.no_grad():
            self.path_mean.copy_(mean)
        value = self.path_weight * (lengths - mean).square().mean()
        return value, {"path_length": lengths.detach().mean(), "path_mean": mean.detach()}


def path_lengths(synthesis: Callable[[Tensor], Tensor], styles: Tensor) -> Tensor:
    """sqrt(mean over layers of |grad_w <synthesis(w), y>|^2) ``(N,)`` at styles ``(N, layers, D)``.

    y is an image of normal noise, divided by the root of its number of pixels.

    Karras et al. 2020, arXiv:1912.04958, eq. 4 and appendix B.
    """

    def projected(w: Tensor) -> Tensor:
        x = synthesis(w)
        noise = torch.randn(x.shape, dtype=x.dtype, device=x.device)
        return (x * noise).sum() / math.sqrt(math.prod(x.shape[2:]))

    gradient = torch.func.grad(projected)(styles)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
