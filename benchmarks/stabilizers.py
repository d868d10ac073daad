"""Which stabiliser helps? Each alone, on the same plain DCGAN.

What the package has no technique for is a few lines on top of ``DCGAN`` here: a penalty, clipping
or self-attention without the loss and the networks that their papers combine them with.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from benchmarks.variants import Variant
from gan_lightning import DCGAN, SNGAN, FeatureMatching, MinibatchDiscrimination, UnrolledGAN
from gan_lightning.gan import Regularizer, Terms
from gan_lightning.losses import Adversarial
from gan_lightning.networks.attention import SelfAttention2d
from gan_lightning.penalties import interpolate_gradient_norms, norm_penalty
from gan_lightning.techniques.wgan import clip_parameters

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
        clip_parameters(self.critic, self.clip)

    def after_critic_step(self, real: Tensor, fake: Tensor) -> None:
        """Clip the critic's parameters."""
        clip_parameters(self.critic, self.clip)


class UniformLatents:
    """The latents of DCGAN, for techniques that have others."""

    draw_latents = DCGAN.draw_latents


class PlainFeatureMatching(UniformLatents, FeatureMatching):
    """Feature matching with DCGAN's latents."""


class PlainMinibatchDiscrimination(UniformLatents, MinibatchDiscrimination):
    """Minibatch discrimination with DCGAN's latents."""


class PlainUnrolledGAN(UniformLatents, UnrolledGAN):
    """Unrolled GAN with DCGAN's latents."""


class PlainSNGAN(UniformLatents, SNGAN):
    """A spectrally normalised critic, with all else as in DCGAN."""

    objective: Adversarial = "non_saturating"
    n_critic: int = 1
    betas: tuple[float, float] = (0.5, 0.999)
    generator_batch: int = 1
    dequantize: bool = False


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
        _own("PlainFeatureMatching", title="Feature matching"),
        # The default of 100 kernels compares a batch of 128 points for most of the time.
        _own("PlainMinibatchDiscrimination", "model.kernels=20", title="Minibatch discrimination"),
        _own("PlainUnrolledGAN", title="Saturating loss, 5 unrolled steps"),
        Variant(
            "dcgan",
            (f"model.critic_lr={critic_rate}", f"model.generator_lr={generator_rate}"),
            "TTUR, rates 4 to 1",
        ),
        _own("PlainSNGAN", title="Spectral normalisation"),
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
#: With techniques that change several things, at the rates and networks of the others.
POINT_STABILIZERS = (
    *_everywhere("1e-3", "2.5e-4"),
    Variant("wgan", title="WGAN"),
    Variant(
        "wgan_gp", ("model.penalty_weight=0.1", "model.generator_batch=1"), "WGAN-GP, weight 0.1"
    ),
    Variant("began", title="BEGAN"),
)
