"""Regularisers of the critic that every technique takes by name: ``regularize``."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from gan_lightning.augment import translation
from gan_lightning.penalties import (
    consistency_penalty,
    lecam_penalty,
    norm_penalty,
    perturbed_gradient_norms,
    squared_gradient_norms,
)
from gan_lightning.utils.checks import at_least
from gan_lightning.utils.errors import ArgumentError
from gan_lightning.utils.ranks import mean_over_ranks
from gan_lightning.utils.suggestions import no_such

if TYPE_CHECKING:
    from gan_lightning.gan import GAN, Scores


class CriticRegularizer(nn.Module, ABC):
    """A term of the critic's loss in every update.

    Args:
        weight: what its value is multiplied by; by default its paper's.
    """

    #: The paper's weight.
    published: ClassVar[float]
    #: Whether it is of each sample's gradient, which batch normalisation would mix.
    of_gradients: ClassVar[bool] = False
    #: Whether it is for images alone.
    of_images: ClassVar[bool] = False
    #: Whether it takes high scores for those of real samples.
    of_high_scores: ClassVar[bool] = False

    def __init__(self, weight: float | None = None) -> None:
        super().__init__()
        self.weight = self.published if weight is None else at_least(0, weight=weight)

    @abstractmethod
    def forward(
        self, gan: "GAN", x: Tensor, y: Tensor | None, generated: Tensor, scores: "Scores"
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Its value without the weight, a scalar, and what is logged of it.

        Args:
            gan: what it is a term of the loss of.
            x: real samples.
            y: their labels ``(N,)``, or None.
            generated: as many samples, with the same labels.
            scores: those ``(N,)`` of real and of generated samples, in the loss.
        """

    def extra_repr(self) -> str:
        """What is shown of it."""
        return f"weight={self.weight:g}"


class R1(CriticRegularizer):
    """1/2 E[|grad critic(x)|^2] of real samples, Mescheder et al. 2018, arXiv:1801.04406, eq. 9."""

    published = 10.0
    of_gradients = True

    #: The name of the value in logs.
    logged: ClassVar[str] = "r1"

    def forward(
        self, gan: "GAN", x: Tensor, y: Tensor | None, generated: Tensor, scores: "Scores"
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See the class."""
        value = squared_gradient_norms(gan.score, self.samples(x, generated), y).mean()
        return value / 2, {self.logged: value.detach()}

    def samples(self, x: Tensor, generated: Tensor) -> Tensor:
        """Those of which the gradient is."""
        return x


class R2(R1):
    """1/2 E[|grad critic(G(z))|^2] of generated samples, arXiv:1801.04406, eq. 10."""

    logged = "r2"

    def samples(self, x: Tensor, generated: Tensor) -> Tensor:
        """The generated ones."""
        return generated.to(x.dtype)


class DRAGAN(CriticRegularizer):
    """E[(|grad critic| - 1)^2] near real samples, Kodali et al. 2017, arXiv:1705.07215."""

    published = 10.0
    of_gradients = True

    def forward(
        self, gan: "GAN", x: Tensor, y: Tensor | None, generated: Tensor, scores: "Scores"
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See the class."""
        norms = perturbed_gradient_norms(gan.score, x, y)
        return norm_penalty(norms), {"gradient_norm/real": norms.detach().mean()}


class LeCam(CriticRegularizer):
    """Scores stay near the moving averages of the other side's.

    Tseng et al. 2021, arXiv:2104.03310. As in the authors' code, the averages have a decay
    of 0.99, and all begins after 1,000 updates of the critic: until then the averages are copies,
    and the term counts nothing.
    """

    published = 0.3
    of_high_scores = True

    #: The decay of the averages.
    decay: ClassVar[float] = 0.99
    #: The critic's updates before the term counts.
    start: ClassVar[int] = 1000

    def __init__(self, weight: float | None = None) -> None:
        super().__init__(weight)
        self.updates: Tensor
        self.anchors: Tensor
        self.register_buffer("updates", torch.zeros(()))
        # The averages of real and of generated samples' mean scores.
        self.register_buffer("anchors", torch.zeros(2))

    def forward(
        self, gan: "GAN", x: Tensor, y: Tensor | None, generated: Tensor, scores: "Scores"
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See the class."""
        real, fake = scores
        with torch.no_grad():
            started = (self.updates >= self.start).to(self.anchors)
            means = mean_over_ranks(torch.stack([real.mean(), fake.mean()])).to(self.anchors)
            anchors = torch.lerp(means, self.anchors, self.decay * started)
            self.anchors.copy_(anchors)
            self.updates.add_(1)
        value = started * lecam_penalty(real, fake, anchors[0], anchors[1])
        return value, {"lecam": value.detach()}


class Consistency(CriticRegularizer):
    """CR: the score of a real image and of the same one shifted, arXiv:1910.12027.

    Shifts are by up to an eighth of the size. The paper flips images too, which changes what some,
    such as digits, are.
    """

    published = 10.0
    of_images = True

    def forward(
        self, gan: "GAN", x: Tensor, y: Tensor | None, generated: Tensor, scores: "Scores"
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See the class."""
        value = consistency_penalty(scores[0], gan.score(translation(x), y))
        return value, {"consistency": value.detach()}


class BalancedConsistency(Consistency):
    """bCR: ``Consistency`` of real and of generated images, Zhao et al. 2020, arXiv:2002.04724."""

    def forward(
        self, gan: "GAN", x: Tensor, y: Tensor | None, generated: Tensor, scores: "Scores"
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See the class."""
        moved = gan.compare(translation(x), translation(generated), y)
        real, fake = (consistency_penalty(a, b) for a, b in zip(scores, moved, strict=True))
        logged = {"consistency": real.detach(), "consistency/fake": fake.detach()}
        return real + fake, logged


REGULARIZERS: dict[str, type[CriticRegularizer]] = {
    "r1": R1,  # the gradient on real samples vanishes (arXiv:1801.04406)
    "r2": R2,  # the gradient on generated samples vanishes (arXiv:1801.04406)
    "dragan": DRAGAN,  # the gradient near real samples has norm 1 (arXiv:1705.07215)
    "lecam": LeCam,  # scores stay near the other side's averages (arXiv:2104.03310)
    "cr": Consistency,  # a shifted real image has the same score (arXiv:1910.12027)
    "bcr": BalancedConsistency,  # so has a shifted generated image (arXiv:2002.04724)
}


def make_regularizers(names: str) -> nn.ModuleDict:
    """The regularisers of names joined by commas, each perhaps with a weight: ``r1=0.1,lecam``.

    Empty for ``none``.

    Raises:
        ArgumentError: there is no such regulariser, it is named twice, or its weight is no number
            from 0 on.
    """
    made = nn.ModuleDict()
    for part in () if names == "none" else names.split(","):
        name, given, weight = (piece.strip() for piece in part.partition("="))
        if name not in REGULARIZERS:
            raise ArgumentError(no_such("regularizer", name, REGULARIZERS))
        if name in made:
            raise ArgumentError(f"regularize names {name} twice")
        try:
            made[name] = REGULARIZERS[name](float(weight) if given else None)
        except ValueError:
            raise ArgumentError(
                f"the weight of {name} must be a number from 0 on, got {weight or 'none'}"
            ) from None
    return made
