"""WGAN: a critic that estimates the Wasserstein distance, kept Lipschitz by clipping."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_lightning.losses import wasserstein_critic_loss, wasserstein_generator_loss
from gan_lightning.module import GAN
from gan_lightning.networks import dcgan_networks


class WGAN(GAN):
    """Wasserstein GAN with weight clipping.

    Arjovsky, Chintala & Bottou 2017, "Wasserstein GAN", arXiv:1701.07875.

    Defaults are of Algorithm 1: RMSprop at 5e-5, 5 critic updates, clipping at 0.01. Networks and
    the 100 latents are DCGAN's, as in section 4.

    Args:
        clip: the largest absolute value that a critic's parameter may take.
    """

    def __init__(
        self,
        shape: Sequence[int],
        num_classes: int = 0,
        *,
        clip: float = 0.01,
        latent_dim: int = 100,
        n_critic: int = 5,
        critic_lr: float = 5e-5,
        generator_lr: float = 5e-5,
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
            generator_width=generator_width,
            critic_width=critic_width,
            ema_decay=ema_decay,
            decay_steps=decay_steps,
        )
        self.clip = clip
        self._clip_critic()

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """DCGAN's, with batch normalisation in both."""
        return dcgan_networks(
            self.shape, self.latent_dim, self.num_classes, self.generator_width, self.critic_width
        )

    def make_optimizer(self, parameters: Iterator[nn.Parameter], lr: float) -> Optimizer:
        """RMSprop: momentum made the critic unstable, section 4.2."""
        return torch.optim.RMSprop(parameters, lr=lr)

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[fake] - E[real], eq. 2."""
        return wasserstein_critic_loss(real, fake)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """-E[fake], Algorithm 1 line 10."""
        return wasserstein_generator_loss(fake)

    def after_critic_step(self, real: Tensor, fake: Tensor) -> None:
        """Clip, Algorithm 1 line 7."""
        self._clip_critic()

    @torch.no_grad()
    def _clip_critic(self) -> None:
        for parameter in self.critic.parameters():
            parameter.clamp_(-self.clip, self.clip)
