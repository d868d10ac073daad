"""Minibatch discrimination: the critic sees how close samples of a batch are to each other."""

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor, nn

from gan_lightning.gan import GAN
from gan_lightning.losses import ADVERSARIAL, Adversarial
from gan_lightning.networks.family import Features, Norm
from gan_lightning.networks.minibatch import MinibatchFeatures
from gan_lightning.utils.checks import at_least, one_of


class MinibatchDiscrimination(GAN):
    """Minibatch discrimination.

    Salimans, Goodfellow, Zaremba, Cheung, Radford & Chen 2016, "Improved techniques for training
    GANs", arXiv:1606.03498, section 3.2.

    The critic's last hidden features are joined by their closeness to those of the other samples of
    a batch, real or generated, so that a generator whose samples are all alike is found out.
    Defaults follow the authors' code for CIFAR-10: 100 kernels of 5 dimensions, Adam at 3e-4 with
    beta1 0.5, 100 latents uniform in [0, 1], and its networks.

    Args:
        kernels: the number B of measures of closeness.
        kernel_dim: the number C of values whose distance each of them measures.
        objective: ``non_saturating``; ``minimax``, that of the authors' code; or ``hinge``.
    """

    kernels: int = 100
    kernel_dim: int = 5
    objective: Adversarial = "non_saturating"
    latent_dim: int = 100
    n_critic: int = 1
    critic_lr: float = 3e-4
    generator_lr: float = 3e-4
    betas: tuple[float, float] = (0.5, 0.999)
    network: str = "improved_gan_noise"

    def __post_init__(self) -> None:
        at_least(1, kernels=self.kernels)
        at_least(1, kernel_dim=self.kernel_dim)
        one_of(get_args(Adversarial), objective=self.objective)
        super().__post_init__()

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """The family's networks, with the layer before the critic's last one."""
        return self.make_networks(replace(self.family, features=self._build_features))

    def _build_features(self, shape: Sequence[int], width: int, norm: Norm) -> Features:
        features = self.family.features(shape, width, norm)
        return MinibatchFeatures(features, self.kernels, self.kernel_dim)

    def draw_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Uniform in [0, 1], as in the authors' code."""
        return torch.rand(n, self.latent_dim, device=self.device, generator=generator)

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The chosen objective; by default binary cross-entropy, arXiv:1406.2661, eq. 1."""
        return ADVERSARIAL[self.objective][0](real, fake)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """The chosen objective; by default -E[log s(fake)], arXiv:1406.2661, section 3."""
        return ADVERSARIAL[self.objective][1](fake)
