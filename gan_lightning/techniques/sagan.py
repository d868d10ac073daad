"""SAGAN: self-attention in both networks, and two learning rates."""

from torch import Tensor, nn

from gan_lightning.gan import GAN
from gan_lightning.losses import hinge_critic_loss, hinge_generator_loss
from gan_lightning.networks import spectral_normalize


class SAGAN(GAN):
    """Self-attention GAN.

    Zhang et al. 2019, "Self-attention generative adversarial networks", arXiv:1805.08318.

    Defaults follow sections 4 and 5: hinge loss, Adam with betas 0 and 0.9 at 4e-4 for the critic
    and 1e-4 for the generator, 1 critic update. The 128 latents, and the 64 channels from 64 pixels
    on, follow the authors' code. With classes, the generator's batch normalisation is conditional
    and the critic has a projection.
    """

    latent_dim: int = 128
    n_critic: int = 1
    critic_lr: float = 4e-4
    generator_lr: float = 1e-4
    betas: tuple[float, float] = (0.0, 0.9)
    network: str = "sagan"

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """The family's networks, both spectrally normalised, section 4.1."""
        generator, critic = super().build_networks()
        # The generator's embeddings are scales and shifts, not matrices.
        return spectral_normalize(generator, embeddings=False), spectral_normalize(critic)

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Hinge, eq. 4."""
        return hinge_critic_loss(real, fake)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """-E[fake], eq. 4."""
        return hinge_generator_loss(fake)
