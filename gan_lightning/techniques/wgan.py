"""WGAN: a critic that estimates the Wasserstein distance, kept Lipschitz by clipping."""

from dataclasses import field
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_lightning.gan import GAN, Terms
from gan_lightning.losses import wasserstein_critic_loss, wasserstein_generator_loss
from gan_lightning.networks import Norm


class WGAN(GAN):
    """Wasserstein GAN with weight clipping.

    Arjovsky, Chintala & Bottou 2017, "Wasserstein GAN", arXiv:1701.07875.

    Defaults follow Algorithm 1: RMSprop at 5e-5, 5 critic updates, clipping at 0.01. The networks
    and the 100 latents are DCGAN's, as in section 4.

    Args:
        clip: the largest absolute value of a critic's parameter.
        long_n_critic: the number of critic updates before each of the first 25 generator updates
            and each 500th, 100 in the authors' code; 0 for ``n_critic`` throughout, as in
            Algorithm 1.
    """

    clip: float = 0.01
    long_n_critic: int = 0
    latent_dim: int = 100
    n_critic: int = 5
    critic_lr: float = 5e-5
    generator_lr: float = 5e-5
    betas: tuple[float, float] = field(default=(0.0, 0.0), init=False)  # Adam's
    critic_norm: Norm = "batch"

    compares_scores: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.clip <= 0:
            raise ValueError(f"clip must be above 0, got {self.clip}")
        if self.long_n_critic and self.long_n_critic < self.n_critic:
            raise ValueError(
                "long_n_critic must be 0 or at least n_critic, got "
                f"{self.long_n_critic} and {self.n_critic}"
            )
        super().__post_init__()
        clip_parameters(self.critic, self.clip)

    def make_optimizer(self, network: nn.Module, lr: float) -> Optimizer:
        """RMSprop: momentum made the critic unstable, section 4.2."""
        return torch.optim.RMSprop(network.parameters(), lr=lr)

    def critic_updates(self, update: int) -> int:
        """More updates at the start, and now and then to keep the critic near its optimum."""
        long = update < 25 or update % 500 == 0
        return self.long_n_critic if long and self.long_n_critic else self.n_critic

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[fake] - E[real], eq. 2."""
        return wasserstein_critic_loss(real, fake)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """-E[fake], Algorithm 1 line 10."""
        return wasserstein_generator_loss(fake)

    def watch(self, real: Tensor, fake: Tensor) -> Terms:
        """The estimate E[real] - E[fake], which falls as samples improve: section 4.2, figure 3."""
        return {"wasserstein": real.mean() - fake.mean()}

    def after_critic_step(self, real: Tensor, fake: Tensor) -> None:
        """Clip the critic's parameters, Algorithm 1 line 7."""
        clip_parameters(self.critic, self.clip)


@torch.no_grad()
def clip_parameters(network: nn.Module, bound: float) -> None:
    """Clip the parameters of a network to [-bound, bound]."""
    parameters: list[Tensor] = list(network.parameters())
    torch._foreach_clamp_min_(parameters, -bound)
    torch._foreach_clamp_max_(parameters, bound)
