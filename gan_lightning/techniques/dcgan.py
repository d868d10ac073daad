"""DCGAN: a convolutional architecture with the original loss."""

from typing import get_args

import torch
from torch import Tensor

from gan_lightning.gan import GAN, Terms
from gan_lightning.losses import ADVERSARIAL, Adversarial, logistic_critic_loss
from gan_lightning.networks import Norm
from gan_lightning.utils.checks import one_of


class DCGAN(GAN):
    """Deep convolutional GAN.

    Radford, Metz & Chintala 2016, "Unsupervised representation learning with deep convolutional
    generative adversarial networks", arXiv:1511.06434.

    Defaults follow section 4: Adam at 2e-4 with beta1 0.5, 100 uniform latents, and 1024 channels
    at the start of the 64 px generator. The paper does not give the critic's channels; 64 on its
    first map is the usual choice.

    Args:
        objective: ``non_saturating``; ``minimax``, which saturates when the critic is confident; or
            ``hinge``.
        real_label: the critic's target for real samples; below 1, labels are smoothed.
        fake_label: the critic's target for generated samples; above 0, these are smoothed too.
    """

    objective: Adversarial = "non_saturating"
    real_label: float = 1.0
    fake_label: float = 0.0
    latent_dim: int = 100
    n_critic: int = 1
    critic_lr: float = 2e-4
    generator_lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    critic_norm: Norm = "batch"

    def __post_init__(self) -> None:
        one_of(get_args(Adversarial), objective=self.objective)
        if not 0 <= self.fake_label < self.real_label <= 1:
            raise ValueError(
                "labels must be 0 <= fake_label < real_label <= 1, "
                f"got {self.fake_label} and {self.real_label}"
            )
        if self.objective == "hinge" and (self.real_label, self.fake_label) != (1, 0):
            raise ValueError(
                "the hinge loss has no labels to smooth: real_label must be 1 and fake_label 0"
            )
        super().__post_init__()

    def draw_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Uniform in [-1, 1], section 4."""
        z = torch.rand(n, self.latent_dim, device=self.device, generator=generator)
        return z * 2 - 1

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The chosen objective; by default binary cross-entropy, arXiv:1406.2661, eq. 1."""
        if self.objective == "hinge":
            return ADVERSARIAL[self.objective][0](real, fake)
        return logistic_critic_loss(real, fake, self.real_label, self.fake_label)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """The chosen objective; by default arXiv:1406.2661, section 3."""
        return ADVERSARIAL[self.objective][1](fake)

    def watch(self, real: Tensor, fake: Tensor) -> Terms:
        """The share of real and of generated samples that the critic classifies correctly."""
        return {
            "accuracy/real": (real > 0).float().mean(),
            "accuracy/fake": (fake < 0).float().mean(),
        }
