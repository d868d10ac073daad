"""Progressive growing: both networks start with small images, and grow in training."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from gan_lightning.gan import GAN, Terms
from gan_lightning.losses import wasserstein_critic_loss, wasserstein_generator_loss
from gan_lightning.networks.progressive import ProgressiveNetwork
from gan_lightning.penalties import Regularizer, interpolate_gradient_norms, norm_penalty
from gan_lightning.utils.checks import at_least


class ProgressiveGAN(GAN):
    """Progressive growing of GANs.

    Karras, Aila, Laine & Lehtinen 2018, "Progressive growing of GANs for improved quality,
    stability, and variation", arXiv:1710.10196.

    Both networks start with images of 4 pixels (7 of 28), and double their size as training
    proceeds: the layers of a new size are faded in while the critic is shown ``phase_images`` real
    samples, and trained for as many before those of the next size. The loss is WGAN-GP's with a
    penalty on the drift of scores. Defaults follow the authors' code, which has 600 thousand images
    a phase. Vectors, which have no size to grow, get perceptrons that are trained whole.

    The gradient penalty is on each sample's gradient of the sum of scores, as in the authors' code,
    also where the critic compares the samples of a group.

    Args:
        phase_images: real samples for fading the layers of a size in, and for training them; with
            0 the networks are trained whole.
        penalty_weight: lambda, the weight of the gradient penalty.
        penalty_target: the gradient norm that is not penalised; the weight is divided by its
            square.
        drift_weight: of the mean square of the scores of real samples, appendix A.1.
        critic_norm: ``none`` or ``layer``; batch normalisation would mix the samples whose
            gradients are penalised one by one.
    """

    phase_images: int = 600_000
    penalty_weight: float = 10.0
    penalty_target: float = 1.0
    drift_weight: float = 1e-3
    latent_dim: int = 512
    n_critic: int = 1
    critic_lr: float = 1e-3
    generator_lr: float = 1e-3
    betas: tuple[float, float] = (0.0, 0.99)
    network: str = "progressive"
    ema_decay: float = 0.999

    own_networks: ClassVar[bool] = True
    compares_scores: ClassVar[bool] = True

    def __post_init__(self) -> None:
        at_least(0, phase_images=self.phase_images)
        at_least(0, drift_weight=self.drift_weight)
        if not self.penalty_target > 0:
            raise ValueError(f"penalty_target must be positive, got {self.penalty_target}")
        if self.critic_norm == "batch":
            raise ValueError(
                "progressive growing penalises each sample's gradient: critic_norm must be none or "
                "layer"
            )
        super().__post_init__()
        for name, network in (("generator", self.generator), ("critic", self.critic)):
            if self.is_image and not any(_growing(network)):
                raise ValueError(
                    f"progressive growing needs networks that grow, such as network progressive, "
                    f"and the {name} does not"
                )

    def schedule(self, images: int) -> tuple[int, float]:
        """The level and the fade's alpha after so many real samples."""
        last = next((network.last_level for network in _growing(self.generator)), -1)
        if last < 0 or images >= last * self.phase_images:
            return last, 1.0
        size, shown = divmod(images, 2 * self.phase_images)
        if shown <= self.phase_images:
            return 2 * size, 1.0
        return 2 * size + 1, shown / self.phase_images - 1

    def level_at(self, images: int) -> int:
        """Two levels a size, after its smallest: layers are faded in, then trained."""
        return self.schedule(images)[0]

    def on_update(self, update: int) -> None:
        """Fade, section 3: alpha grows with the real samples that the critic was shown."""
        _, alpha = self.schedule(self.images)
        for network in _growing(self):
            network.alpha.fill_(alpha)

    def prepare(self, x: Tensor) -> Tensor:
        """Real images with the detail of the present level, faded as generated ones are.

        They have the full size at every level, as in the authors' code.
        """
        for network in _growing(self.generator):
            return super().prepare(network.with_detail(x))
        return super().prepare(x)

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[fake] - E[real] + drift_weight E[real^2], appendix A.1."""
        return wasserstein_critic_loss(real, fake) + self.drift_weight * real.square().mean()

    def generator_loss(self, fake: Tensor) -> Tensor:
        """-E[fake], arXiv:1704.00028, Algorithm 1 line 12."""
        return wasserstein_generator_loss(fake)

    def critic_regularizers(self) -> Sequence[Regularizer]:
        """The gradient penalty."""
        return [Regularizer(self.penalty)]

    def penalty(self, x: Tensor, y: Tensor | None, fake: Tensor) -> tuple[Tensor, Terms]:
        """lambda / t^2 E[(|grad critic(x_hat)| - t)^2], t the target, as in the authors' code."""
        norms = interpolate_gradient_norms(self.score, x, fake, y)
        weight = self.penalty_weight / self.penalty_target**2
        return weight * norm_penalty(norms, self.penalty_target), {
            "gradient_norm": norms.detach().mean()
        }

    def watch(self, real: Tensor, fake: Tensor) -> Terms:
        """The estimate E[real] - E[fake]; between levels it cannot be compared."""
        return {"wasserstein": real.mean() - fake.mean()}

    def log_terms(self, terms: Mapping[str, Tensor | float]) -> None:
        """Log the real samples shown, and the size and the fade of the update, too."""
        for network in _growing(self.generator):
            size = float(network.sizes[network.stage])
            terms = {**terms, "resolution": size, "alpha": network.alpha}
        super().log_terms({**terms, "images": float(self.images)})


def _growing(network: nn.Module) -> Iterator[ProgressiveNetwork]:
    return (module for module in network.modules() if isinstance(module, ProgressiveNetwork))
