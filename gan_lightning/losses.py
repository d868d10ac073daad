"""Losses as functions of the critic's scores ``(N,)``; each is a scalar to minimise."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lightning.utils.ranks import mean_over_ranks

#: Whether scores are judged alone, or in comparison.
Relativistic = Literal["none", "pairs", "averages"]


def logistic_critic_loss(
    real: Tensor, fake: Tensor, real_label: float = 1.0, fake_label: float = 0.0
) -> Tensor:
    """H(alpha, s(real)) + H(beta, s(fake)), H the binary cross-entropy; scores are logits ``(N,)``.

    s is the sigmoid, alpha and beta the labels. With 1 and 0 it is
    -E[log s(real)] - E[log(1 - s(fake))].

    Goodfellow et al. 2014, arXiv:1406.2661, eq. 1; smoothed labels: Salimans et al. 2016,
    arXiv:1606.03498, section 3.4.
    """
    return _cross_entropy(real, real_label) + _cross_entropy(fake, fake_label)


def logistic_generator_loss(fake: Tensor) -> Tensor:
    """-E[log s(fake)], the non-saturating form; scores are logits ``(N,)``.

    Goodfellow et al. 2014, arXiv:1406.2661, section 3.
    """
    return F.softplus(-fake).mean()


def minimax_generator_loss(fake: Tensor) -> Tensor:
    """E[log(1 - s(fake))], s the sigmoid; scores are logits ``(N,)``.

    Goodfellow et al. 2014, arXiv:1406.2661, eq. 1 and Algorithm 1.
    """
    return -F.softplus(fake).mean()


def wasserstein_critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E[fake] - E[real], minus the Wasserstein-1 estimate of a Lipschitz critic; scores ``(N,)``.

    Arjovsky et al. 2017, arXiv:1701.07875, eq. 2 and Algorithm 1.
    """
    return fake.mean() - real.mean()


def wasserstein_generator_loss(fake: Tensor) -> Tensor:
    """-E[fake]; scores ``(N,)``.

    Arjovsky et al. 2017, arXiv:1701.07875, Algorithm 1.
    """
    return -fake.mean()


def least_squares_critic_loss(
    real: Tensor, fake: Tensor, fake_target: float = 0.0, real_target: float = 1.0
) -> Tensor:
    """1/2 E[(real - b)^2] + 1/2 E[(fake - a)^2], a the fake and b the real target; scores ``(N,)``.

    Mao et al. 2017, arXiv:1611.04076, eq. 2; its eq. 9 takes a = 0, b = 1.
    """
    return ((real - real_target).square().mean() + (fake - fake_target).square().mean()) / 2


def least_squares_generator_loss(fake: Tensor, target: float = 1.0) -> Tensor:
    """1/2 E[(fake - c)^2], c the target; scores ``(N,)``.

    Mao et al. 2017, arXiv:1611.04076, eq. 2; its eq. 9 takes c = 1.
    """
    return (fake - target).square().mean() / 2


def hinge_critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E[max(0, 1 - real)] + E[max(0, 1 + fake)]; scores ``(N,)``.

    Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957, eq. 16.
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator_loss(fake: Tensor) -> Tensor:
    """-E[fake]; scores ``(N,)``.

    Miyato et al. 2018, arXiv:1802.05957, eq. 17.
    """
    return -fake.mean()


def equilibrium_critic_loss(real: Tensor, fake: Tensor, k: Tensor | float) -> Tensor:
    """E[real] - k E[fake]; scores are reconstruction errors ``(N,)``, k in [0, 1].

    Berthelot et al. 2017, arXiv:1703.10717, section 3.4.
    """
    return real.mean() - k * fake.mean()


def equilibrium_generator_loss(fake: Tensor) -> Tensor:
    """E[fake]; scores are reconstruction errors ``(N,)``.

    Berthelot et al. 2017, arXiv:1703.10717, section 3.4.
    """
    return fake.mean()


def relativistic_critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-E[log s(real - fake)] of pairs, s the sigmoid; scores are logits ``(N,)``.

    Jolicoeur-Martineau 2019, arXiv:1807.00734, section 4.1; Huang et al. 2024, arXiv:2501.05441.
    """
    return F.softplus(fake - real).mean()


def relativistic_generator_loss(fake: Tensor, real: Tensor) -> Tensor:
    """-E[log s(fake - real)] of pairs, s the sigmoid; scores are logits ``(N,)``.

    Jolicoeur-Martineau 2019, arXiv:1807.00734, section 4.1; Huang et al. 2024, arXiv:2501.05441.
    """
    return F.softplus(real - fake).mean()


def relativistic_scores(
    first: Tensor, second: Tensor, comparison: Relativistic
) -> tuple[Tensor, Tensor]:
    """Both scores ``(N,)`` as a loss takes them that judges each sample beside the others.

    ``pairs`` compares the i-th samples with each other, ``averages`` each sample with the mean of
    the other side, over all ranks. Half of the loss of these scores is that of a relativistic GAN;
    the generator's has the roles exchanged.

    Jolicoeur-Martineau 2019, arXiv:1807.00734, sections 4.1 and 4.2.
    """
    if comparison == "pairs":
        return first - second, second - first
    return first - mean_over_ranks(second.mean()), second - mean_over_ranks(first.mean())


def mean_of_top_share(loss: Callable[[Tensor], Tensor], fake: Tensor, share: Tensor) -> Tensor:
    """The generator's ``loss`` of the share, in (0, 1], of its samples with the highest scores.

    ``loss`` is a mean over samples; scores are ``(N,)``, of which at least one counts. The others
    are masked: no shape depends on the share, a scalar.

    Sinha et al. 2020, arXiv:2002.06224.
    """
    losses = torch.vmap(lambda score: loss(score[None]))(fake)
    rank = fake.detach().argsort(descending=True).argsort()
    kept = (rank < (share * len(fake)).round().clamp(min=1)).to(losses)
    return (losses * kept).sum() / kept.sum()


#: What techniques take whose paper is about networks, normalisation or what the critic sees, and
#: not about a loss of its own.
Adversarial = Literal["non_saturating", "minimax", "hinge"]
#: The critic's loss and the generator's of each.
ADVERSARIAL: dict[str, tuple[Callable[..., Tensor], Callable[[Tensor], Tensor]]] = {
    "non_saturating": (logistic_critic_loss, logistic_generator_loss),
    "minimax": (logistic_critic_loss, minimax_generator_loss),
    "hinge": (hinge_critic_loss, hinge_generator_loss),
}


def _cross_entropy(logits: Tensor, label: float) -> Tensor:
    """-label E[log s(logits)] - (1 - label) E[log(1 - s(logits))]."""
    return label * F.softplus(-logits).mean() + (1 - label) * F.softplus(logits).mean()
