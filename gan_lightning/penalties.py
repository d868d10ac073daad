"""Gradient penalties on the critic, and regularizers of either network."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_lightning.utils.precision import full_precision

Critic = Callable[[Tensor, Tensor | None], Tensor]


class Regularizer(NamedTuple):
    """A term of a network's loss, and how often it is computed.

    Args:
        term: returns its weighted value, a scalar, and the values to log. The critic's takes real
            samples ``x``, their labels ``y`` and generated samples with the same labels; the
            generator's takes labels ``y`` and latents ``z``.
        every: the term is added once in this many generator updates, multiplied by this number. It
            is logged if a row is due in such an update.
    """

    term: Callable[..., tuple[Tensor, dict[str, Tensor]]]
    every: int = 1


def regularization(
    regularizers: Sequence[Regularizer],
    due: Sequence[int] | None,
    *args: Any,
) -> tuple[Tensor | None, dict[str, Tensor]]:
    """The sum of the regularizers with indices ``due``, or of all, each times its ``every``.

    Returns the sum, or None if nothing is due, and the values to log. Every term is called with
    ``args``.
    """
    total: Tensor | None = None
    terms: dict[str, Tensor] = {}
    for i in range(len(regularizers)) if due is None else due:
        value, logged = regularizers[i].term(*args)
        if regularizers[i].every > 1:
            value = regularizers[i].every * value
        total = value if total is None else total + value
        terms |= logged
    return total, terms


def gradient_penalty(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    y: Tensor | None = None,
    target: float = 1.0,
    one_sided: bool = False,
) -> Tensor:
    """E[(|grad_x critic(x_hat, y)|_2 - target)^2] at x_hat = e real + (1 - e) fake, e ~ U(0, 1).

    ``one_sided`` counts only norms above the target. ``real`` and ``fake`` have the same shape
    ``(N, ...)``, ``y`` is ``(N,)`` or None. The result is an unweighted scalar that can be
    differentiated with respect to the critic's parameters.

    Gulrajani et al. 2017, arXiv:1704.00028, eq. 3 and Algorithm 1.
    """
    return norm_penalty(interpolate_gradient_norms(critic, real, fake, y), target, one_sided)


def norm_penalty(norms: Tensor, target: float = 1.0, one_sided: bool = False) -> Tensor:
    """E[(norm - target)^2] of norms ``(N,)``; ``one_sided`` counts only norms above the target.

    Gulrajani et al. 2017, arXiv:1704.00028, section 4, "two-sided penalty".
    """
    excess = norms - target
    return (excess.clamp(min=0) if one_sided else excess).square().mean()


def interpolate_gradient_norms(
    critic: Critic, real: Tensor, fake: Tensor, y: Tensor | None = None
) -> Tensor:
    """|grad_x critic(x_hat, y)|_2 ``(N,)`` at x_hat = e real + (1 - e) fake, e ~ U(0, 1).

    There is one e per sample. A critic with batch normalisation raises an error, because it would
    mix the gradients of samples, whose norms are penalised one by one.

    Gulrajani et al. 2017, arXiv:1704.00028, Algorithm 1.
    """
    epsilon = _one_each(real)
    # Under autocast, generated samples have another dtype than real ones.
    interpolates = torch.lerp(fake.detach().to(real.dtype), real.detach(), epsilon)
    return _gradient_norms(critic, interpolates, y)


def orthogonal_penalty(weights: Iterable[Tensor]) -> Tensor:
    """The sum over weights of |W W^T o (1 - I)|_F^2: rows at right angles, of any length.

    Weights ``(out, ...)`` are treated as matrices ``(out, rest)``.

    Brock et al. 2019, arXiv:1809.11096, section 3.1.
    """
    penalties = []
    for weight in weights:
        rows = weight.flatten(1)
        with full_precision(rows):
            product = rows @ rows.T
        penalties.append((product - product.diagonal().diag_embed()).square().sum())
    return torch.stack(penalties).sum()


def squared_gradient_norms(critic: Critic, x: Tensor, y: Tensor | None = None) -> Tensor:
    """|grad_x critic(x, y)|_2^2 ``(N,)`` of samples ``x`` ``(N, ...)``; ``y`` is ``(N,)`` or None.

    Of real samples, gamma / 2 times the mean is R1: Mescheder et al. 2018, arXiv:1801.04406, eq. 9.
    """
    gradient = torch.func.grad(lambda x: critic(x, y).sum())(x.detach())
    return gradient.flatten(1).square().sum(dim=1)


def perturbed_gradient_norms(critic: Critic, real: Tensor, y: Tensor | None = None) -> Tensor:
    """|grad_x critic(x_hat, y)|_2 ``(N,)`` at x_hat = real + 1/2 a std(real) u, a and u ~ U(0, 1).

    There is one a per sample, one u per value, and one standard deviation for all values.

    Kodali et al. 2017, arXiv:1705.07215; the noise is that of the authors' code.
    """
    share = _one_each(real)
    noise = torch.rand(real.shape, device=real.device, dtype=real.dtype)
    return _gradient_norms(critic, real.detach() + share * (0.5 * real.detach().std() * noise), y)


def _one_each(x: Tensor) -> Tensor:
    """A number ~ U(0, 1) for each sample, of the shape ``(N, 1, ...)``."""
    return torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device, dtype=x.dtype)


def _gradient_norms(critic: Critic, x: Tensor, y: Tensor | None) -> Tensor:
    """|grad_x critic(x, y)|_2 ``(N,)`` of samples that need no gradient."""
    # torch.func.grad compiles with fullgraph=True; torch.autograd.grad would run eagerly.
    gradient = torch.func.grad(lambda x: critic(x, y).float().sum())(x)
    return gradient.flatten(1).norm(dim=1)


def consistency_penalty(scores: Tensor, changed: Tensor) -> Tensor:
    """E[(critic(x) - critic(T x))^2] of the scores ``(N,)`` of samples and of changed ones.

    Zhang et al. 2020, arXiv:1910.12027.
    """
    return (scores - changed).square().mean()


def lecam_penalty(real: Tensor, fake: Tensor, real_anchor: Tensor, fake_anchor: Tensor) -> Tensor:
    """E[max(0, real - fake_anchor)^2] + E[max(0, real_anchor - fake)^2] of scores ``(N,)``.

    The anchors are moving averages of mean scores. It is 0 where all scores lie between them.

    Tseng et al. 2021, arXiv:2104.03310; the maxima are those of the authors' code.
    """
    above = (real - fake_anchor).clamp(min=0).square().mean()
    below = (real_anchor - fake).clamp(min=0).square().mean()
    return above + below
