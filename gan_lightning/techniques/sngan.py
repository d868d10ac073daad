"""SNGAN: a critic kept Lipschitz by spectral normalisation."""

from collections.abc import Sequence

from torch import Tensor, nn

from gan_lightning.losses import hinge_critic_loss, hinge_generator_loss
from gan_lightning.module import GAN
from gan_lightning.networks import resnet_networks, spectral_normalize


class SNGAN(GAN):
    """Spectrally normalised GAN with the hinge loss.

    Miyato et al. 2018, "Spectral normalization for generative adversarial networks",
    arXiv:1802.05957.

    Defaults are those of the CIFAR-10 ResNet, section 4 and appendix B.4: hinge, Adam at 2e-4 with
    betas 0 and 0.9, 5 critic updates, 128 latents, 256 channels in the generator and 128 in the
    critic.
    """

    def __init__(
        self,
        shape: Sequence[int],
        num_classes: int = 0,
        *,
        latent_dim: int = 128,
        n_critic: int = 5,
        critic_lr: float = 2e-4,
        generator_lr: float = 2e-4,
        betas: tuple[float, float] = (0.0, 0.9),
        generator_width: int = 256,
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

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """Residual, every weight of the critic spectrally normalised."""
        generator, critic = resnet_networks(
            self.shape, self.latent_dim, self.num_classes, self.generator_width, self.critic_width
        )
        return generator, spectral_normalize(critic)

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Hinge, eq. 16."""
        return hinge_critic_loss(real, fake)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """-E[fake], eq. 17."""
        return hinge_generator_loss(fake)
