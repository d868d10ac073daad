"""Penalties on the critic as a function of its input."""

from collections.abc import Callable

import torch
from torch import Tensor

Critic = Callable[[Tensor, Tensor | None], Tensor]


def gradient_penalty(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    y: Tensor | None = None,
    target: float = 1.0,
    one_sided: bool = False,
) -> Tensor:
    """E[(|grad_x critic(x_hat, y)|_2 - target)^2] at x_hat = e real + (1 - e) fake, e ~ U(0, 1).

    ``one_sided`` counts only norms above the target. ``real`` and ``fake`` are ``(N, ...)`` of one
    shape, ``y`` is ``(N,)`` or None; the result is an unweighted scalar that can be differentiated
    with respect to the critic's parameters.

    Gulrajani et al. 2017, arXiv:1704.00028, eq. 3 and Algorithm 1.
    """
    return norm_penalty(interpolate_gradient_norms(critic, real, fake, y), target, one_sided)


def norm_penalty(norms: Tensor, target: float = 1.0, one_sided: bool = False) -> Tensor:
    """E[(norm - target)^2] of norms ``(N,)``; ``one_sided``, of those above the target only.

    Gulrajani et al. 2017, arXiv:1704.00028, section 4, "two-sided penalty".
    """
    excess = norms - target
    return (excess.clamp(min=0) if one_sided else excess).square().mean()


def interpolate_gradient_norms(
    critic: Critic, real: Tensor, fake: Tensor, y: Tensor | None = None
) -> Tensor:
    """|grad_x critic(x_hat, y)|_2 ``(N,)`` at x_hat = e real + (1 - e) fake, e ~ U(0, 1).

    One e per sample. A critic with batch normalisation raises: its gradient would mix samples, and
    the norm is of each sample's own.

    Gulrajani et al. 2017, arXiv:1704.00028, Algorithm 1.
    """
    epsilon = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device, dtype=real.dtype)
    # Under autocast, generated samples are of another type than real ones.
    interpolates = torch.lerp(fake.detach().to(real.dtype), real.detach(), epsilon)
    # torch.func.grad compiles with fullgraph=True; torch.autograd.grad would run eagerly.
    gradient = torch.func.grad(lambda x: critic(x, y).float().sum())(interpolates)
    return gradient.flatten(1).norm(dim=1)
