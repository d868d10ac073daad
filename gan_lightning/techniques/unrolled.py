"""Unrolled GAN: the generator looks several critic steps ahead, and differentiates through them."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value
from torch.nn.utils.parametrize import is_parametrized

from gan_lightning.gan import GAN, Terms
from gan_lightning.losses import logistic_critic_loss, minimax_generator_loss
from gan_lightning.training.iteration import Kind, Objective, Update
from gan_lightning.utils.checks import at_least
from gan_lightning.utils.errors import ArgumentError
from gan_lightning.utils.ranks import mean_over_ranks


class AdamState(NamedTuple):
    """What a step of Adam starts from; the moments are those of all weights, as one vector.

    Args:
        lr: the learning rate, a scalar.
        step: the number of steps made, a scalar.
        mean: the average of gradients ``(P,)``.
        square: the average of squared gradients ``(P,)``.
        betas: the decay of both averages.
        eps: what is added to the root of the second.
    """

    lr: Tensor
    step: Tensor
    mean: Tensor
    square: Tensor
    betas: tuple[float, float]
    eps: float = 1e-8


class UnrolledGAN(GAN):
    """Unrolled GAN.

    Metz, Poole, Pfau & Sohl-Dickstein 2017, "Unrolled generative adversarial networks",
    arXiv:1611.02163.

    The defaults are those of the authors' demo: 5 unrolled steps of Adam with beta1 0.5, at 1e-4
    for the critic and 1e-3 for the generator, 1 critic update and 256 normal latents. The critic's
    step count and moments are read from its optimiser at each generator update, and left alone.

    Args:
        unrolled_steps: K, the critic's steps that the generator looks ahead; 0 is a plain GAN with
            the minimax loss.
        critic_norm: ``none`` or ``layer``; a step that is only imagined must not move running
            statistics.
    """

    unrolled_steps: int = 5
    latent_dim: int = 256
    n_critic: int = 1
    critic_lr: float = 1e-4
    generator_lr: float = 1e-3
    betas: tuple[float, float] = (0.5, 0.999)

    def __post_init__(self) -> None:
        at_least(0, unrolled_steps=self.unrolled_steps)
        if self.critic_norm == "batch":
            raise ValueError(
                "UnrolledGAN tries steps of its critic, which must not move running statistics: "
                "critic_norm must be none or layer"
            )
        super().__post_init__()
        self._check_critic()

    def _check_critic(self) -> None:
        """Raise ValueError if the critic has what its imagined steps would leave out, or move."""
        modules = list(self.critic.modules())
        if any(is_parametrized(each) or each._forward_pre_hooks for each in modules):
            raise ValueError(
                "UnrolledGAN tries steps of its critic, which must not move the vectors of "
                "spectral normalisation: build_networks without it"
            )
        if self._mixes_samples:
            raise ValueError(
                "UnrolledGAN scores real and generated samples in one pass: its critic cannot have "
                "layers that mix samples"
            )
        if self.critic_regularizers() or self.regularizers:
            raise ValueError(
                "UnrolledGAN tries steps of its critic without regularizers: it cannot have any"
            )

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-f, the binary cross-entropy, section 2.1; the step is from the present weights."""
        return logistic_critic_loss(real, fake)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """The part of f that depends on the generator where no step is unrolled, section 2.1."""
        return minimax_generator_loss(fake)

    def generator_objective(
        self,
        x: Tensor,
        y: Tensor | None,
        z: Tensor,
        due: Sequence[int] | None = None,
        adam: AdamState | None = None,
    ) -> tuple[Tensor, Terms]:
        """f at the critic's weights after K steps from ``adam``, which depend on the generator.

        All steps are on the same ``x`` and ``z``. Without ``adam`` the first step is Adam's first.
        Section 2.2.
        """
        if not self.unrolled_steps:
            return super().generator_objective(x, y, z, due)
        generated = self.generator(z, y)
        shown = self._augmented(torch.cat([x, generated.to(x.dtype)]))
        labels = None if y is None else torch.cat([y[: len(x)], y])

        def critic_loss(weights: Tensor) -> Tensor:
            scores = functional_call(self.critic, self._parameters_of(weights), (shown, labels))
            scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
            return self.critic_loss(scores[: len(x)], scores[len(x) :])

        # A copy, because the critic is frozen, and must stay as it is.
        weights = torch.cat([p.detach().flatten() for p in self.critic.parameters()])
        if adam is None:
            zero = weights.new_zeros(())
            zeros = torch.zeros_like(weights)
            adam = AdamState(zero + self.critic_lr, zero, zeros, zeros, self.betas)
        values = []
        for _ in range(self.unrolled_steps):
            # Each rank's loss depends on the gradients of all, as DDP averages them.
            gradient, value = grad_and_value(critic_loss)(weights)
            values.append(value.detach())
            weights, adam = adam_step(weights, mean_over_ranks(gradient), adam)
        after = critic_loss(weights)
        terms = {"unrolled_gain": values[0] - after.detach()}
        return self.with_generator_penalty(-after, terms, y, z, due)

    def iterate(
        self,
        x: Tensor,
        y: Tensor | None,
        kind: Kind,
        objectives: tuple[Objective, Objective],
        update: Update,
    ) -> Terms:
        """All that an iteration computes; the generator's objective gets the optimiser's state."""
        critic_objective, generator_objective = objectives

        def unrolled(*args: Any) -> tuple[Any, ...]:
            # Read now, after the critic's steps.
            return generator_objective(*args, self.critic_adam())

        second = unrolled if self.unrolled_steps else generator_objective
        return super().iterate(x, y, kind, (critic_objective, second), update)

    def critic_adam(self) -> AdamState:
        """The state of the critic's optimiser, as tensors, so that a compiled objective reads it.

        Raises:
            ArgumentError: it is not the Adam whose steps are unrolled.
        """
        optimizer = self.trainer.optimizers[0]
        group = optimizer.param_groups[0]
        if (
            type(optimizer) is not torch.optim.Adam
            or len(optimizer.param_groups) > 1
            or any(group[name] for name in ("amsgrad", "maximize", "weight_decay"))
        ):
            raise ArgumentError(
                "UnrolledGAN unrolls Adam, with one group of parameters and without weight decay: "
                "make_optimizer must return that"
            )
        parameters = list(self.critic.parameters())
        states = [optimizer.state.get(p, {}) for p in parameters]
        zero = parameters[0].new_zeros(())
        zero = zero.to(torch.promote_types(zero.dtype, torch.float32))
        # Without waiting for the device: numbers are added on it.
        lr, step = (
            each.to(zero) if isinstance(each, Tensor) else zero + each
            for each in (group["lr"], next((s["step"] for s in states if s), 0.0))
        )
        # A parameter without gradients has no state; it gets none here either.
        mean, square = (
            torch.cat(
                [
                    state.get(name, torch.zeros_like(p)).flatten()
                    for p, state in zip(parameters, states, strict=True)
                ]
            )
            for name in ("exp_avg", "exp_avg_sq")
        )
        return AdamState(lr, step, mean, square, group["betas"], group["eps"])

    def _parameters_of(self, weights: Tensor) -> dict[str, Tensor]:
        named = dict(self.critic.named_parameters())
        parts = weights.split([p.numel() for p in named.values()])
        return {n: part.view(p.shape) for (n, p), part in zip(named.items(), parts, strict=True)}


def adam_step(weights: Tensor, gradient: Tensor, state: AdamState) -> tuple[Tensor, AdamState]:
    """The weights ``(P,)`` after a step of Adam, and its next state, to differentiate through.

    Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1.
    """
    step = state.step + 1
    beta1, beta2 = state.betas
    mean = beta1 * state.mean + (1 - beta1) * gradient
    square = beta2 * state.square + (1 - beta2) * gradient.square()
    # The root has no derivative at 0, where weights stay that no sample of any batch has reached.
    reached = square > 0
    root = torch.where(reached, torch.where(reached, square, 1).sqrt(), 0)
    denominator = root / _bias(beta2, step).sqrt() + state.eps
    weights = weights - state.lr * (mean / _bias(beta1, step) / denominator)
    return weights, AdamState(state.lr, step, mean, square, state.betas, state.eps)


def _bias(beta: float, step: Tensor) -> Tensor:
    """1 - beta^step, exact to the last digits also where that is near 1."""
    return -torch.expm1(step * math.log(beta)) if beta else torch.ones_like(step)
