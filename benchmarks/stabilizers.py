"""Which stabiliser helps? Each alone, on the same plain DCGAN.

What the package has no technique for is a few lines on top of ``DCGAN`` here: a penalty, clipping
or self-attention without the loss and the networks that their papers combine them with.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.variants import Variant
from gan_lightning import DCGAN
from gan_lightning.gan import Regularizer, Terms
from gan_lightning.networks.attention import SelfAttention2d
from gan_lightning.penalties import interpolate_gradient_norms, norm_penalty

#: The row that the others are compared with.
PLAIN = "plain"


class PenalizedDCGAN(DCGAN):
    """DCGAN with WGAN-GP's penalty, arXiv:1704.00028, eq. 3.

    Args:
        penalty_weight: lambda.
        one_sided: penalise only norms above 1.
    """

    penalty_weight: float = 10.0
    one_sided: bool = False

    def critic_regularizers(self) -> Sequence[Regularizer]:
        """The gradient penalty."""
        return [Regularizer(self.penalty)]

    def penalty(self, x: Tensor, y: Tensor | None, fake: Tensor) -> tuple[Tensor, Terms]:
        """lambda E[(|grad critic(x_hat)| - 1)^2]."""
        norms = interpolate_gradient_norms(self.score, x, fake, y)
        penalty = norm_penalty(norms, one_sided=self.one_sided)
        return self.penalty_weight * penalty, {"gradient_norm": norms.detach().mean()}


class ClippedDCGAN(DCGAN):
    """DCGAN with WGAN's clipping, arXiv:1701.07875, Algorithm 1.

    Args:
        clip: the largest absolute value of a critic's parameter.
    """

    clip: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self._clip_critic()

    def after_critic_step(self, real: Tensor, fake: Tensor) -> None:
        """Clip the critic's parameters."""
        self._clip_critic()

    @torch.no_grad()
    def _clip_critic(self) -> None:
        for parameter in self.critic.parameters():
            parameter.clamp_(-self.clip, self.clip)


class AttentiveDCGAN(DCGAN):
    """DCGAN with SAGAN's self-attention on the largest hidden maps, arXiv:1805.08318."""

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """DCGAN's networks, with one layer more in each."""
        generator, critic = super().build_networks()
        last_hidden: Any = generator.get_submodule("stages")[-2]  # type: ignore[index]
        last_hidden.append(SelfAttention2d(last_hidden[0].out_channels))
        layers: Any = critic.get_submodule("features.net")
        layers.insert(2, SelfAttention2d(layers[0].out_channels))
        return generator, critic


def _own(name: str, *options: str, title: str) -> Variant:
    return Variant(f"{__name__}.{name}", options, title)


def _everywhere(critic_rate: str, generator_rate: str) -> tuple[Variant, ...]:
    """The rows that images and points have in common, with the two rates of TTUR."""
    return (
        Variant("dcgan", title="Plain DCGAN", key=PLAIN),
        Variant("dcgan", ("model.real_label=0.9",), "Labels 0.9 and 0"),
        Variant("dcgan", ("model.real_label=0.9", "model.fake_label=0.1"), "Labels 0.9 and 0.1"),
        Variant("dcgan", ("model.objective=minimax",), "Saturating loss"),
        Variant("dcgan", ("model.objective=hinge",), "Hinge loss"),
        Variant("lsgan", title="Least-squares loss"),
        Variant("feature_matching", title="Feature matching"),
        # The default of 100 kernels compares a batch of 128 points for most of the time.
        Variant(
            "minibatch_discrimination", ("model.kernels=20",), title="Minibatch discrimination"
        ),
        Variant("unrolled", title="Unrolled, 5 steps"),
        Variant(
            "dcgan",
            (f"model.critic_lr={critic_rate}", f"model.generator_lr={generator_rate}"),
            "TTUR, rates 4 to 1",
        ),
        Variant(
            "sngan",
            (
                *("model.objective=non_saturating", "model.betas=[0.5,0.999]"),
                *("model.n_critic=1", "model.generator_batch=1", "model.dequantize=false"),
            ),
            "Spectral normalisation",
        ),
        _own("PenalizedDCGAN", title="Gradient penalty, two-sided"),
        _own("PenalizedDCGAN", "model.one_sided=true", title="Gradient penalty, one-sided"),
        _own("ClippedDCGAN", title="Clipping at 0.01"),
        _own("ClippedDCGAN", "model.clip=0.1", title="Clipping at 0.1"),
        Variant("dcgan", ("model.ema_decay=0.999",), "Moving average, 0.999"),
        Variant("dcgan", ("model.n_critic=5",), "5 critic updates"),
    )


IMAGE_STABILIZERS = (
    *_everywhere("4e-4", "1e-4"),
    Variant("dcgan", ("model.critic_norm=batch",), "Batch normalisation in the critic"),
    _own("AttentiveDCGAN", title="Self-attention"),
)
#: With the techniques that are not one thing changed, at the rates and networks of the others.
POINT_STABILIZERS = (
    *_everywhere("1e-3", "2.5e-4"),
    Variant("wgan", title="WGAN"),
    Variant("wgan_gp", ("model.penalty_weight=0.1",), "WGAN-GP, weight 0.1"),
    Variant("began", title="BEGAN"),
)
