"""SNGAN: a critic kept Lipschitz by spectral normalisation."""

from typing import Literal, get_args

from torch import Tensor, nn

from gan_lightning.gan import GAN
from gan_lightning.losses import ADVERSARIAL, Adversarial
from gan_lightning.networks import spectral_normalize
from gan_lightning.utils.checks import one_of

#: Those of ``Adversarial``, and what version 0.1 called ``non_saturating``.
Objective = Literal["non_saturating", "minimax", "hinge", "softplus"]


class SNGAN(GAN):
    """Spectrally normalised GAN.

    Miyato et al. 2018, "Spectral normalization for generative adversarial networks",
    arXiv:1802.05957.

    Defaults are those of the CIFAR-10 ResNet, section 4 and appendix B.4: hinge loss, Adam at 2e-4
    with betas 0 and 0.9, 5 critic updates, 128 latents, 256 channels in the generator and 128 in
    the critic. The doubled batch in the generator's update and the noise on real images follow the
    authors' code. ``network="sndcgan"`` is the CNN of table 3, ``"sndcgan_wide"`` that of published
    code, whose critic has twice as many parameters.

    Args:
        objective: ``hinge`` (eq. 16 and 17); ``non_saturating``, the cross-entropy on logits (eq.
            15), which is also called ``softplus``; or ``minimax``.
    """

    objective: Objective = "hinge"
    latent_dim: int = 128
    n_critic: int = 5
    critic_lr: float = 2e-4
    generator_lr: float = 2e-4
    betas: tuple[float, float] = (0.0, 0.9)
    network: str = "resnet"
    generator_batch: int = 2
    dequantize: bool = True

    def __post_init__(self) -> None:
        if self.objective == "softplus":
            self.objective = "non_saturating"
        one_of(get_args(Adversarial), objective=self.objective)
        super().__post_init__()

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """The family's networks, with a spectrally normalised critic."""
        generator, critic = super().build_networks()
        return generator, spectral_normalize(critic)

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The chosen objective, eq. 15 or 16."""
        return ADVERSARIAL[self.objective][0](real, fake)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """The chosen objective, eq. 15 or 17."""
        return ADVERSARIAL[self.objective][1](fake)
