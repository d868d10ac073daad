"""Feature matching: the generator matches mean features of the critic."""

import copy
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from gan_lightning.gan import GAN, Terms
from gan_lightning.losses import logistic_critic_loss, logistic_generator_loss
from gan_lightning.penalties import Regularizer
from gan_lightning.training.ema import update_average
from gan_lightning.utils.checks import at_least, one_of
from gan_lightning.utils.precision import full_precision
from gan_lightning.utils.ranks import mean_over_ranks

FeatureNorm = Literal["l1", "l2"]


class FeatureMatching(GAN):
    """Feature matching.

    Salimans, Goodfellow, Zaremba, Cheung, Radford & Chen 2016, "Improved techniques for training
    GANs", arXiv:1606.03498, section 3.1.

    The critic has the original loss; the generator minimises the distance between the mean of the
    critic's last hidden features over real samples and that over its own. Defaults follow the
    authors' code for CIFAR-10: Adam at 3e-4 with beta1 0.5, 100 latents uniform in [0, 1], and its
    networks. With classes, the features of each class are matched.

    Args:
        feature_norm: of the difference of the means: ``l1``, its mean absolute value as in the
            authors' code, or ``l2``, its squared Euclidean norm as in section 3.1.
        history_weight: of historical averaging, section 3.3, for both networks; 0 for none. The
            paper gives no value.
    """

    feature_norm: FeatureNorm = "l1"
    history_weight: float = 0.0
    latent_dim: int = 100
    n_critic: int = 1
    critic_lr: float = 3e-4
    generator_lr: float = 3e-4
    betas: tuple[float, float] = (0.5, 0.999)
    network: str = "improved_gan"

    def __post_init__(self) -> None:
        one_of(get_args(FeatureNorm), feature_norm=self.feature_norm)
        at_least(0, history_weight=self.history_weight)
        super().__post_init__()
        if not isinstance(getattr(self.critic, "features", None), nn.Module):
            raise ValueError(
                "feature matching needs a critic with features, such as "
                f"networks.family.ScoreCritic, and {type(self.critic).__name__} has none"
            )
        #: The critic and the generator with the mean of their past parameters.
        self.history: nn.ModuleList | None = None
        if self.history_weight:
            both = nn.ModuleList([self.critic, self.generator])
            self.history = copy.deepcopy(both).requires_grad_(False)

    def draw_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Uniform in [0, 1], as in the authors' code."""
        return torch.rand(n, self.latent_dim, device=self.device, generator=generator)

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Binary cross-entropy, arXiv:1406.2661, eq. 1."""
        return logistic_critic_loss(real, fake)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """Of scores alone, -E[log s(fake)]; training minimises the distance of features instead."""
        return logistic_generator_loss(fake)

    def generator_objective(
        self, x: Tensor, y: Tensor | None, z: Tensor, due: Sequence[int] | None = None
    ) -> tuple[Tensor, Terms]:
        """The distance of the mean features of the samples of ``z`` to those of real ``x``."""
        with torch.no_grad():
            real = self._mean_features(x, None if y is None else y[: len(x)])
        fake = self._mean_features(self.generator(z, y), y)
        loss = self.feature_distance(real, fake)
        terms = {"feature_distance": loss.detach(), "feature_norm": real.norm()}
        return self.with_generator_penalty(loss, terms, y, z, due)

    def feature_distance(self, real: Tensor, fake: Tensor) -> Tensor:
        """The distance of two mean features ``(A,)``, or ``(classes, A)``, summed over classes."""
        difference = real - fake
        if self.feature_norm == "l2":
            return difference.square().sum()
        return difference.abs().sum() / difference.shape[-1]

    def on_update(self, update: int) -> None:
        """Bring the present parameters into the mean of past ones."""
        if self.history is not None:
            for mean, network in zip(self.history, (self.critic, self.generator), strict=True):
                update_average(mean, network, update / (update + 1))

    def critic_regularizers(self) -> Sequence[Regularizer]:
        """Historical averaging, if it has a weight."""
        return [Regularizer(self._critic_history)] if self.history_weight else []

    def generator_regularizers(self) -> Sequence[Regularizer]:
        """Historical averaging, if it has a weight."""
        return [Regularizer(self._generator_history)] if self.history_weight else []

    def _critic_history(self, *_: object) -> tuple[Tensor, Terms]:
        return self._distance_to_history(0, self.critic)

    def _generator_history(self, *_: object) -> tuple[Tensor, Terms]:
        return self._distance_to_history(1, self.generator)

    def _distance_to_history(self, which: int, network: nn.Module) -> tuple[Tensor, Terms]:
        """|theta - 1/t (theta_1 + ... + theta_t)|^2, weighted, section 3.3."""
        assert self.history is not None
        past = self.history[which].parameters()
        pairs = zip(network.parameters(), past, strict=True)
        squares = [(theta - mean).square().sum() for theta, mean in pairs]
        return self.history_weight * torch.stack(squares).sum(), {}

    def _mean_features(self, x: Tensor, y: Tensor | None) -> Tensor:
        """E[f(x)] over all ranks, or with classes E[1(y = c) f(x)] of each class c."""
        features = self.features(x).flatten(1)
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        if y is None or not self.num_classes:
            return mean_over_ranks(features.mean(dim=0))
        member = y[:, None] == torch.arange(self.num_classes, device=y.device)
        with full_precision(features):
            return mean_over_ranks(member.to(features.dtype).T @ features / len(features))
