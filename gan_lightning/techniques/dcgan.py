"""DCGAN: convolutions that train, with the original non-saturating loss."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_lightning.losses import logistic_critic_loss, logistic_generator_loss
from gan_lightning.module import GAN
from gan_lightning.networks import dcgan_networks


class DCGAN(GAN):
    """Deep convolutional GAN.

    Radford, Metz & Chintala 2016, "Unsupervised representation learning with deep convolutional
    generative adversarial networks", arXiv:1511.06434.

    Defaults are of section 4: Adam at 2e-4 with beta1 0.5, 100 uniform latents, and 1024 channels
    at the start of the 64 px generator. The critic's 64 are of the authors' code.
    """

    def __init__(
        self,
        shape: Sequence[int],
        num_classes: int = 0,
        *,
        latent_dim: int = 100,
        n_critic: int = 1,
        critic_lr: float = 2e-4,
        generator_lr: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        generator_width: int = 128,
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
        """Uniform in [-1, 1], section 4."""
        return torch.rand(n, self.latent_dim, device=self.device) * 2 - 1

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Binary cross-entropy, arXiv:1406.2661, eq. 1."""
        return logistic_critic_loss(real, fake)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """The non-saturating loss, arXiv:1406.2661, section 3."""
        return logistic_generator_loss(fake)
