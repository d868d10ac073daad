"""R3GAN: a relativistic loss with both zero-centred gradient penalties, and no tricks."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_lightning.augment import ADA
from gan_lightning.gan import GAN, Terms
from gan_lightning.losses import relativistic_critic_loss, relativistic_generator_loss
from gan_lightning.penalties import Regularizer, squared_gradient_norms
from gan_lightning.training.ema import half_life_decay
from gan_lightning.training.iteration import Kind, set_betas, set_rate
from gan_lightning.utils.checks import at_least


class R3GAN(GAN):
    """R3GAN, "re-GAN".

    Huang, Gokaslan, Kuleshov & Tompkin 2024, "The GAN is dead; long live the GAN! A modern
    baseline GAN", arXiv:2501.05441.

    Each generated sample is compared with a real one of the same label. Defaults are those of the
    authors' code for CIFAR-10: Adam at 2e-4 with betas 0 and 0.9, 64 latents, and 768 channels in
    both networks. Both rates, the second beta, the weight of the penalties, the probability of
    augmentation and the half-life of the moving average move along half a cosine to their last
    values, while the critic is shown ``schedule_images`` real samples, and stay there.

    Args:
        gamma: the weight of both penalties, at first; each is halved.
        last_gamma: the same in the end.
        last_rate: both learning rates in the end, as a share of those at first; ``decay_steps``
            replaces it.
        last_beta2: Adam's second beta in the end.
        last_p: the probability of ``augment`` ``ada`` in the end; it starts at 0, and follows no
            scores.
        ema_half_life: of the moving average in the end, in real images; 0 for none. It starts at 0.
            ``ema_decay`` replaces it.
        schedule_images: real samples after which all values are the last; 0 for these from the
            start.
        critic_norm: ``none`` or ``layer``; batch normalisation would mix the samples whose
            gradients are penalised one by one.
    """

    gamma: float = 0.05
    last_gamma: float = 0.005
    last_rate: float = 0.25
    last_beta2: float = 0.99
    last_p: float = 0.55
    ema_half_life: float = 5_000_000
    schedule_images: int = 20_000_000
    latent_dim: int = 64
    n_critic: int = 1
    critic_lr: float = 2e-4
    generator_lr: float = 2e-4
    betas: tuple[float, float] = (0.0, 0.9)
    network: str = "r3gan"

    own_networks: ClassVar[bool] = True
    pairs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("gamma", "last_gamma", "last_rate", "ema_half_life", "schedule_images"):
            at_least(0, **{name: getattr(self, name)})
        if not 0 <= self.last_beta2 < 1:
            raise ValueError(f"last_beta2 must be in [0, 1), got {self.last_beta2}")
        if not 0 <= self.last_p <= 1:
            raise ValueError(f"last_p must be in [0, 1], got {self.last_p}")
        if self.critic_norm == "batch":
            raise ValueError(
                "R3GAN penalises each sample's gradient: critic_norm must be none or layer"
            )
        super().__post_init__()
        #: The weight of the penalties in the present update.
        self.present_gamma: Tensor
        self.register_buffer("present_gamma", torch.tensor(self.gamma), persistent=False)

    def make_optimizer(self, network: nn.Module, lr: float) -> Optimizer:
        """Adam; on a GPU not fused, since the second beta of captured steps must be a tensor."""
        on_gpu = self.device.type == "cuda"
        options: dict[str, Any] = {"foreach": True} if on_gpu else {"fused": True}
        return torch.optim.Adam(network.parameters(), lr=lr, betas=self.betas, **options)

    def scheduled(self, first: float, last: float) -> float:
        """The present value of what moves from ``first`` to ``last``."""
        share = 1.0
        if self.schedule_images:
            share = min(1.0, self.images / self.schedule_images)
        return last + (first - last) * (1 + math.cos(math.pi * share)) / 2

    def begin_update(self, update: int, optimizers: Iterable[Optimizer]) -> Kind:
        """Set what the schedules say."""
        rate = self.scheduled(1, self.last_rate)
        betas = self.betas[0], self.scheduled(self.betas[1], self.last_beta2)
        optimizers = list(optimizers)
        for optimizer, lr in zip(optimizers, (self.critic_lr, self.generator_lr), strict=False):
            for group in optimizer.param_groups:
                if not self.decay_steps:
                    set_rate(group, rate * lr)
                set_betas(group, betas)
        self.present_gamma.fill_(self.scheduled(self.gamma, self.last_gamma))
        if isinstance(self.augmentation, ADA):
            self.augmentation.p.fill_(self.scheduled(0, self.last_p))
        return super().begin_update(update, optimizers)

    def build_augment(self) -> nn.Module | None:
        """ADA's with half the colours and with cutout, as in the authors' code."""
        if self.augment == "ada" and self.is_image:
            return ADA(adapts=False, colour=0.5, cutout=1.0)
        return super().build_augment()

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[softplus(-(D(x) - D(G)))], section 2.1."""
        return relativistic_critic_loss(real, fake)

    def generator_loss(self, fake: Tensor, real: Tensor) -> Tensor:  # type: ignore[override]
        """E[softplus(-(D(G) - D(x)))], section 2.1."""
        return relativistic_generator_loss(fake, real)

    def critic_regularizers(self) -> Sequence[Regularizer]:
        """R1 and R2, unless their weight is always 0."""
        return [Regularizer(self.penalties)] if self.gamma or self.last_gamma else []

    def penalties(self, x: Tensor, y: Tensor | None, fake: Tensor) -> tuple[Tensor, Terms]:
        """gamma / 2 (E[|grad D(x)|^2] + E[|grad D(G)|^2]), section 2.2.

        In one pass over both, except where the critic mixes samples.
        """
        r1, r2 = self._squared_norms(x, y, fake.to(x.dtype))
        terms = {"r1": r1.detach(), "r2": r2.detach(), "gamma": self.present_gamma}
        return self.present_gamma / 2 * (r1 + r2), terms

    def _squared_norms(self, x: Tensor, y: Tensor | None, fake: Tensor) -> tuple[Tensor, Tensor]:
        if self._mixes_samples:
            r1, r2 = (squared_gradient_norms(self.score, each, y) for each in (x, fake))
        else:
            labels = None if y is None else torch.cat([y, y])
            r1, r2 = squared_gradient_norms(self.score, torch.cat([x, fake]), labels).chunk(2)
        return r1.mean(), r2.mean()

    def watch(self, real: Tensor, fake: Tensor) -> Terms:
        """The share of pairs that the critic judges correctly; the mean of scores drifts."""
        return {"accuracy": (real > fake).float().mean()}

    @property
    def keeps_average(self) -> bool:
        """By default with a half-life."""
        return super().keeps_average or self.ema_half_life > 0

    def average_decay(self, update: int) -> float:
        """1/2 to the power of the images of an update over the present half-life."""
        if self.ema_decay:
            return super().average_decay(update)
        return half_life_decay(self.images, update, self.scheduled(0, self.ema_half_life))
