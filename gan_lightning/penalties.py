"""Penalties on the critic as a function of its input."""

from collections.abc import Callable

import torch
from torch import Tensor

Critic = Callable[[Tensor, Tensor | None], Tensor]


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, y: Tensor | None = None) -> Tensor:
    """E[(|grad_x critic(x_hat, y)|_2 - 1)^2] at x_hat = e real + (1 - e) fake, e ~ U(0, 1).

    One e per sample. ``real`` and ``fake`` are ``(N, ...)`` of one shape, ``y`` is ``(N,)`` or
    None; the result is an unweighted scalar that can be differentiated with respect to the
    critic's parameters. A critic with batch normalisation raises: its gradient would mix samples,
    and the penalty is on each sample's own.

    Gulrajani et al. 2017, arXiv:1704.00028, eq. 3 and Algorithm 1.
    """
    epsilon = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device, dtype=real.dtype)
    # Under autocast, generated samples are of another type than real ones.
    interpolates = torch.lerp(fake.detach().to(real.dtype), real.detach(), epsilon)
    # torch.func.grad compiles with fullgraph=True; torch.autograd.grad would run eagerly.
    gradient = torch.func.grad(lambda x: critic(x, y).float().sum())(interpolates)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()
