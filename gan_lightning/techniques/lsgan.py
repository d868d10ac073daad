"""LSGAN: least squares in place of cross-entropy."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_lightning.losses import least_squares_critic_loss, least_squares_generator_loss
from gan_lightning.module import GAN
from gan_lightning.networks import dcgan_networks


class LSGAN(GAN):
    """Least squares GAN.

    Mao et al. 2017, "Least squares generative adversarial networks", arXiv:1611.04076.

    Defaults are of section 4 and the authors' code: targets a, b, c of 0, 1, 1 (eq. 9), Adam at
    1e-3 with beta1 0.5, 1024 uniform latents.
    """

    def __init__(
        self,
        shape: Sequence[int],
        num_classes: int = 0,
        *,
        latent_dim: int = 1024,
        n_critic: int = 1,
        critic_lr: float = 1e-3,
        generator_lr: float = 1e-3,
        betas: tuple[float, float] = (0.5, 0.999),
        generator_width: int = 64,
        critic_width: int = 64,
        ema_decay: float = 0.0,
        decay_steps: int = 0,
    ) -> None:
        super().__init__(
            shape,
            num_classes,
            latent_dim=latent_dim,
            n_critic=n_critic,
            critic_lr=critic_lr,
            generator_lr=generator_lr,
            betas=betas,
            generator_width=generator_width,
            critic_width=critic_width,
            ema_decay=ema_decay,
            decay_steps=decay_steps,
        )

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """DCGAN's, with batch normalisation in both."""
        return dcgan_networks(
            self.shape, self.latent_dim, self.num_classes, self.generator_width, self.critic_width
        )

    def draw_latents(self, n: int) -> Tensor:
        """Uniform in [-1, 1], as in the authors' code."""
        return torch.rand(n, self.latent_dim, device=self.device) * 2 - 1

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """1/2 E[(real - 1)^2] + 1/2 E[fake^2], eq. 9."""
        return least_squares_critic_loss(real, fake)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """1/2 E[(fake - 1)^2], eq. 9."""
        return least_squares_generator_loss(fake)
