"""BEGAN: an autoencoder as critic, kept in balance with the generator."""

from dataclasses import replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_lightning.gan import GAN, Batch, Terms
from gan_lightning.losses import equilibrium_critic_loss, equilibrium_generator_loss
from gan_lightning.networks import set_carry
from gan_lightning.training.iteration import set_rate
from gan_lightning.utils.ranks import mean_over_ranks


class BEGAN(GAN):
    """Boundary equilibrium GAN.

    Berthelot, Schumm & Metz 2017, "BEGAN: boundary equilibrium generative adversarial networks",
    arXiv:1703.10717.

    The critic's score is its reconstruction error. Defaults follow section 4.1: Adam at 1e-4, 64
    uniform latents, gamma 0.5, lambda_k 0.001, and rates that are halved when the convergence
    measure stalls, for which the paper gives no rule. The width of 64 filters is for small images;
    the paper uses 128 at 128 px. There is no conditional BEGAN: labels are refused.

    Deviation: k is updated with the generated samples of the critic's update; section 3.4 uses
    those of the generator's update.

    Args:
        gamma: the diversity ratio, E[error of generated] / E[error of real] at equilibrium.
        lambda_k: the gain of k.
        halving_interval: the number of generator updates over which the convergence measure is
            averaged; both rates are halved when its mean is not below the minimum of the earlier
            intervals. 0 for never; ``decay_steps`` replaces it.
        least_lr: the lower bound for halved rates.
        skip_connections: add the skip connections of section 3.5.1 to both decoders.
        residual_steps: the number of generator updates over which vanishing residuals carry the
            input of a convolution past it, 16,000 in section 3.5.1; 0 for none.
    """

    gamma: float = 0.5
    lambda_k: float = 1e-3
    halving_interval: int = 5000
    least_lr: float = 2e-5
    skip_connections: bool = False
    residual_steps: int = 0
    latent_dim: int = 64
    n_critic: int = 1
    critic_lr: float = 1e-4
    generator_lr: float = 1e-4
    network: str = "autoencoder"

    high_scores_are_real: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.num_classes:
            raise ValueError(
                f"BEGAN trains without labels: num_classes must be 0, got {self.num_classes}"
            )
        residuals = self.skip_connections or self.residual_steps
        if residuals and (self.network != "autoencoder" or not self.is_image):
            raise ValueError("skip_connections and residual_steps need network autoencoder")
        super().__post_init__()
        self.halving_interval = 0 if self.decay_steps else self.halving_interval
        self.k: Tensor
        self.convergence_sum: Tensor
        self.least_convergence_sum: Tensor
        self.register_buffer("k", torch.zeros(()))
        # The sum over the current interval, and the smallest sum of earlier intervals.
        self.register_buffer("convergence_sum", torch.zeros(()))
        self.register_buffer("least_convergence_sum", torch.full((), torch.inf))

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """A decoder, and an autoencoder with a decoder of the same kind."""
        family = self.family
        if self.skip_connections:
            family = replace(family, generator=partial(family.generator, skip_connections=True))
        generator = family.make_generator(self.shape, self.latent_dim, 0, self.widths[0])
        critic = family.make_autoencoder(
            self.shape, self.latent_dim, self.widths[1], self.critic_norm
        )
        return generator, critic

    def draw_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Uniform in [-1, 1], section 3.4."""
        z = torch.rand(n, self.latent_dim, device=self.device, generator=generator)
        return z * 2 - 1

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[real] - k E[fake], section 3.4."""
        return equilibrium_critic_loss(real, fake, self.k)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """E[fake], section 3.4."""
        return equilibrium_generator_loss(fake)

    def watch(self, real: Tensor, fake: Tensor) -> Terms:
        """k, and the convergence measure M = E[real] + |gamma E[real] - E[fake]|, section 3.4.1."""
        return {"k": self.k.clone(), "convergence": self._measure(real.mean(), fake.mean())}

    def _measure(self, real: Tensor, fake: Tensor) -> Tensor:
        return real + (self.gamma * real - fake).abs()

    @torch.no_grad()
    def after_critic_step(self, real: Tensor, fake: Tensor) -> None:
        """k <- k + lambda_k (gamma E[real] - E[fake]), kept in [0, 1], section 3.4."""
        real, fake = mean_over_ranks(torch.stack([real.mean(), fake.mean()]))
        self.k.add_(self.lambda_k * (self.gamma * real - fake)).clamp_(0, 1)
        self.convergence_sum.add_(self._measure(real, fake))

    def on_update(self, update: int) -> None:
        """Reduce the carry of vanishing residuals, section 3.5.1."""
        if self.residual_steps:
            carry = max(0.0, 1 - update / self.residual_steps)
            set_carry(self.generator, carry)
            set_carry(self.critic, carry)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """The step of every technique, then the halving of rates if it is due."""
        super().training_step(batch, batch_idx)
        if self.halving_interval and self.global_step % self.halving_interval == 0:
            self._halve_stalled_rates()

    @torch.no_grad()
    def _halve_stalled_rates(self) -> None:
        if self.convergence_sum >= self.least_convergence_sum:
            for optimizer in self.both_optimizers():
                for group in optimizer.param_groups:
                    lr = float(group["lr"])
                    set_rate(group, max(lr / 2, min(lr, self.least_lr)))
        # fmin, because an interval with nan must not become the minimum.
        torch.fmin(self.least_convergence_sum, self.convergence_sum, out=self.least_convergence_sum)
        self.convergence_sum.zero_()
