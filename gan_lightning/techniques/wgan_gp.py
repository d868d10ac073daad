"""WGAN-GP: a Wasserstein critic, kept Lipschitz by a gradient penalty."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from gan_lightning.gan import GAN, Terms
from gan_lightning.losses import wasserstein_critic_loss, wasserstein_generator_loss
from gan_lightning.penalties import Regularizer, interpolate_gradient_norms, norm_penalty


class WGANGP(GAN):
    """Wasserstein GAN with gradient penalty.

    Gulrajani et al. 2017, "Improved training of Wasserstein GANs", arXiv:1704.00028.

    Defaults follow Algorithm 1: penalty weight 10, 5 critic updates, Adam at 1e-4 with betas 0 and
    0.9. The networks and the 128 latents are those of appendix F, which trains at 2e-4 on CIFAR-10.
    The doubled batch in the generator's update and the noise on real images follow the authors'
    code for CIFAR-10.

    Args:
        penalty_weight: lambda, the weight of the gradient penalty.
        penalty_target: the gradient norm that is not penalised.
        one_sided: penalise only norms above the target, section 4.
        critic_norm: ``none`` or ``layer``; batch normalisation would mix the samples whose
            gradients are penalised one by one, section 4.
    """

    penalty_weight: float = 10.0
    penalty_target: float = 1.0
    one_sided: bool = False
    latent_dim: int = 128
    n_critic: int = 5
    critic_lr: float = 1e-4
    generator_lr: float = 1e-4
    betas: tuple[float, float] = (0.0, 0.9)
    network: str = "wgan_gp_resnet"
    generator_batch: int = 2
    dequantize: bool = True

    compares_scores: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.critic_norm == "batch":
            raise ValueError(
                "WGAN-GP penalises each sample's gradient: critic_norm must be none or layer"
            )
        super().__post_init__()

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[fake] - E[real], the first part of eq. 3."""
        return wasserstein_critic_loss(real, fake)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """-E[fake], Algorithm 1 line 12."""
        return wasserstein_generator_loss(fake)

    def critic_regularizers(self) -> Sequence[Regularizer]:
        """The gradient penalty."""
        return [Regularizer(self.penalty)]

    def penalty(self, x: Tensor, y: Tensor | None, fake: Tensor) -> tuple[Tensor, Terms]:
        """lambda E[(|grad critic(x_hat)| - 1)^2], the second part of eq. 3."""
        norms = interpolate_gradient_norms(self.score, x, fake, y)
        penalty = norm_penalty(norms, self.penalty_target, self.one_sided)
        return self.penalty_weight * penalty, {"gradient_norm": norms.detach().mean()}

    def watch(self, real: Tensor, fake: Tensor) -> Terms:
        """The estimate E[real] - E[fake], which falls as samples improve, section 5.6."""
        return {"wasserstein": real.mean() - fake.mean()}
