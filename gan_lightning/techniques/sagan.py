"""SAGAN: self-attention in both networks, and two learning rates."""

from typing import get_args

from torch import Tensor, nn

from gan_lightning.gan import GAN
from gan_lightning.losses import ADVERSARIAL, Adversarial
from gan_lightning.networks import spectral_normalize
from gan_lightning.utils.checks import one_of


class SAGAN(GAN):
    """Self-attention GAN.

    Zhang et al. 2019, "Self-attention generative adversarial networks", arXiv:1805.08318.

    Defaults follow sections 4 and 5: hinge loss, Adam with betas 0 and 0.9 at 4e-4 for the critic
    and 1e-4 for the generator, 1 critic update. The 128 latents, and the 64 channels from 64 pixels
    on, follow the authors' code. With classes, the generator's batch normalisation is conditional
    and the critic has a projection.

    Args:
        objective: ``hinge`` (eq. 4), ``non_saturating`` or ``minimax``.
    """

    objective: Adversarial = "hinge"
    latent_dim: int = 128
    n_critic: int = 1
    critic_lr: float = 4e-4
    generator_lr: float = 1e-4
    betas: tuple[float, float] = (0.0, 0.9)
    network: str = "sagan"

    def __post_init__(self) -> None:
        one_of(get_args(Adversarial), objective=self.objective)
        super().__post_init__()

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """The family's networks, both spectrally normalised, section 4.1."""
        generator, critic = super().build_networks()
        # The generator's embeddings are scales and shifts, not matrices.
        return spectral_normalize(generator, embeddings=False), spectral_normalize(critic)

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The chosen objective, eq. 4."""
        return ADVERSARIAL[self.objective][0](real, fake)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """The chosen objective, eq. 4."""
        return ADVERSARIAL[self.objective][1](fake)
