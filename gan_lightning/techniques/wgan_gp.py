"""WGAN-GP: the Wasserstein critic, kept Lipschitz by a gradient penalty."""

from collections.abc import Sequence

from torch import Tensor, nn

from gan_lightning.losses import wasserstein_critic_loss, wasserstein_generator_loss
from gan_lightning.module import GAN
from gan_lightning.networks import resnet_networks
from gan_lightning.penalties import gradient_penalty


class WGANGP(GAN):
    """Wasserstein GAN with gradient penalty.

    Gulrajani et al. 2017, "Improved training of Wasserstein GANs", arXiv:1704.00028.

    Defaults are of Algorithm 1: penalty weight 10, 5 critic updates, Adam at 1e-4 with betas 0 and
    0.9. Networks and the 128 latents are those of the CIFAR-10 ResNet of appendix F, which trained
    at 2e-4.

    Args:
        penalty_weight: lambda, of the gradient penalty.
    """

    def __init__(
        self,
        shape: Sequence[int],
        num_classes: int = 0,
        *,
        penalty_weight: float = 10.0,
        latent_dim: int = 128,
        n_critic: int = 5,
        critic_lr: float = 1e-4,
        generator_lr: float = 1e-4,
        betas: tuple[float, float] = (0.0, 0.9),
        generator_width: int = 128,
        critic_width: int = 128,
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
        self.penalty_weight = penalty_weight

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """Residual, without normalisation in the critic: the penalty is on each sample's own."""
        return resnet_networks(
            self.shape, self.latent_dim, self.num_classes, self.generator_width, self.critic_width
        )

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[fake] - E[real], the first part of eq. 3."""
        return wasserstein_critic_loss(real, fake)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """-E[fake], Algorithm 1 line 12."""
        return wasserstein_generator_loss(fake)

    def penalty(self, x: Tensor, y: Tensor | None, fake: Tensor) -> Tensor:
        """lambda E[(|grad critic(x_hat)| - 1)^2], the second part of eq. 3."""
        return self.penalty_weight * gradient_penalty(self.critic, x, fake, y)
