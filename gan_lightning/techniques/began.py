"""BEGAN: an auto-encoder as critic, held in balance with the generator."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_lightning.distributed import mean_over_ranks
from gan_lightning.losses import equilibrium_critic_loss, equilibrium_generator_loss
from gan_lightning.module import GAN
from gan_lightning.networks import autoencoder_networks


class BEGAN(GAN):
    """Boundary equilibrium GAN.

    Berthelot, Schumm & Metz 2017, "BEGAN: boundary equilibrium generative adversarial networks",
    arXiv:1703.10717.

    The critic's number is its reconstruction error. Defaults are of section 4.1: Adam at 1e-4, 64
    uniform latents, gamma 0.5, lambda_k 0.001. The width of 64 filters is for small images; the
    paper took 128 at 128 px. There is no conditional BEGAN: labels are refused.

    Deviation: k moves with the generated samples of the critic's update, where section 3.4 takes
    those of the generator's.

    Args:
        gamma: the diversity ratio, E[error of generated] / E[error of real] at equilibrium.
        lambda_k: the gain of k.
    """

    def __init__(
        self,
        shape: Sequence[int],
        num_classes: int = 0,
        *,
        gamma: float = 0.5,
        lambda_k: float = 1e-3,
        latent_dim: int = 64,
        n_critic: int = 1,
        critic_lr: float = 1e-4,
        generator_lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        generator_width: int = 64,
        critic_width: int = 64,
        ema_decay: float = 0.0,
        decay_steps: int = 0,
    ) -> None:
        if num_classes:
            raise ValueError(
                f"BEGAN trains without labels: num_classes must be 0, got {num_classes}"
            )
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
        self.gamma = gamma
        self.lambda_k = lambda_k
        self.k: Tensor
        self.register_buffer("k", torch.zeros(()))

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """A decoder, and an auto-encoder of the same decoder."""
        return autoencoder_networks(
            self.shape, self.latent_dim, self.generator_width, self.critic_width
        )

    def draw_latents(self, n: int) -> Tensor:
        """Uniform in [-1, 1], section 3.4."""
        return torch.rand(n, self.latent_dim, device=self.device) * 2 - 1

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[real] - k E[fake], section 3.4."""
        return equilibrium_critic_loss(real, fake, self.k)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """E[fake], section 3.4."""
        return equilibrium_generator_loss(fake)

    @torch.no_grad()
    def after_critic_step(self, real: Tensor, fake: Tensor) -> None:
        """k <- k + lambda_k (gamma E[real] - E[fake]), kept in [0, 1], section 3.4."""
        balance = mean_over_ranks(self.gamma * real - fake)
        self.k.add_(self.lambda_k * balance).clamp_(0, 1)
