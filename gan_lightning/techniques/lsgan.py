"""LSGAN: least squares instead of cross-entropy."""

import torch
from torch import Tensor

from gan_lightning.gan import GAN
from gan_lightning.losses import least_squares_critic_loss, least_squares_generator_loss
from gan_lightning.networks import Norm


class LSGAN(GAN):
    """Least squares GAN.

    Mao et al. 2017, "Least squares generative adversarial networks", arXiv:1611.04076.

    Defaults follow section 4 and the authors' code: targets a, b, c of 0, 1, 1 (eq. 9), Adam at
    1e-3 with beta1 0.5, 1024 uniform latents.

    Args:
        fake_target: a, the critic's target for generated samples.
        real_target: b, the critic's target for real samples.
        generator_target: c, the generator's target for the critic's scores. With b - c = 1 and
            b - a = 2 it minimises the Pearson chi-squared divergence (eq. 8: -1, 1, 0).
    """

    fake_target: float = 0.0
    real_target: float = 1.0
    generator_target: float = 1.0
    latent_dim: int = 1024
    n_critic: int = 1
    critic_lr: float = 1e-3
    generator_lr: float = 1e-3
    betas: tuple[float, float] = (0.5, 0.999)
    critic_norm: Norm = "batch"

    def __post_init__(self) -> None:
        if self.relativistic != "none" and self.fake_target != -self.real_target:
            raise ValueError(
                "relativistic scores are differences, whose targets are opposite: take fake_target "
                f"{-self.real_target:g} with real_target {self.real_target:g}"
            )
        super().__post_init__()

    def draw_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Uniform in [-1, 1], as in the authors' code."""
        z = torch.rand(n, self.latent_dim, device=self.device, generator=generator)
        return z * 2 - 1

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """1/2 E[(real - b)^2] + 1/2 E[(fake - a)^2], eq. 2."""
        return least_squares_critic_loss(real, fake, self.fake_target, self.real_target)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """1/2 E[(fake - c)^2], eq. 2."""
        return least_squares_generator_loss(fake, self.generator_target)
