"""StyleGAN: a generator whose layers are controlled by styles."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_lightning.gan import GAN, Terms
from gan_lightning.losses import logistic_critic_loss, logistic_generator_loss
from gan_lightning.networks.stylegan import StyledGenerator
from gan_lightning.penalties import Regularizer, squared_gradient_norms
from gan_lightning.sampling import in_eval_mode
from gan_lightning.training.ema import half_life_decay
from gan_lightning.utils.checks import at_least
from gan_lightning.utils.errors import ArgumentError
from gan_lightning.utils.ranks import number_of_ranks


class StyleGAN(GAN):
    """Style-based generator.

    Karras, Laine & Aila 2019, "A style-based generator architecture for generative adversarial
    networks", arXiv:1812.04948.

    Defaults are those of the authors' code, sections 2 and 3 and appendix C: the non-saturating
    logistic loss with R1 of weight 10, Adam at 1e-3 with betas 0 and 0.99, 512 latents, mixing with
    probability 0.9, and a moving average with a half-life of 10,000 real images. The networks do
    not grow. Networks of other families, and the perceptrons of vectors, have no styles.

    Args:
        gamma: the weight of R1, which is halved; None for 0.0002 size^2 / batch, the ``auto`` of
            the authors' later code, arXiv:2006.06676.
        r1_interval: R1 is added in every so many updates, as many times as large.
        mixing: the probability that the later layers have another latent's style, section 3.1.
        mapping_layers: between latents and styles.
        minibatch_group: samples whose deviation the critic sees.
        ema_half_life: of the moving average, in real images; 0 for none. ``ema_decay`` replaces it.
        ema_rampup: the half-life is at most this share of the real images so far; 0 for no limit.
    """

    gamma: float | None = 10.0
    r1_interval: int = 1
    mixing: float = 0.9
    mapping_layers: int = 8
    minibatch_group: int = 4
    ema_half_life: float = 10_000
    ema_rampup: float = 0.0
    latent_dim: int = 512
    n_critic: int = 1
    critic_lr: float = 1e-3
    generator_lr: float = 1e-3
    betas: tuple[float, float] = (0.0, 0.99)
    network: str = "stylegan"

    own_networks: ClassVar[bool] = True
    #: The layers whose styles are truncated, from the first; None for all.
    truncated_layers: ClassVar[int | None] = 8

    def __post_init__(self) -> None:
        if self.gamma is not None:
            at_least(0, gamma=self.gamma)
        at_least(0, ema_half_life=self.ema_half_life)
        at_least(0, ema_rampup=self.ema_rampup)
        for name in ("r1_interval", "mapping_layers", "minibatch_group"):
            at_least(1, **{name: getattr(self, name)})
        if not 0 <= self.mixing <= 1:
            raise ValueError(f"mixing must be in [0, 1], got {self.mixing}")
        super().__post_init__()

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """The family's networks, with the technique's options where they have styles."""
        make = self.family.generator
        has_styles = isinstance(make, type) and issubclass(make, StyledGenerator)
        if not has_styles:
            return super().build_networks()
        family = replace(
            self.family,
            generator=partial(make, mapping_layers=self.mapping_layers),
            features=partial(self.family.features, group=self.minibatch_group),
        )
        generator, critic = self.make_networks(family)
        assert isinstance(generator, StyledGenerator)
        generator.mixing = self.mixing
        return generator, critic

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Binary cross-entropy, arXiv:1406.2661, eq. 1."""
        return logistic_critic_loss(real, fake)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """-E[log s(fake)], arXiv:1406.2661, section 3."""
        return logistic_generator_loss(fake)

    def critic_regularizers(self) -> Sequence[Regularizer]:
        """R1, unless its weight is 0."""
        return [Regularizer(self.r1, every=self.r1_interval)] if self.gamma != 0 else []

    def r1(self, x: Tensor, y: Tensor | None, fake: Tensor) -> tuple[Tensor, Terms]:
        """gamma / 2 E[|grad_x critic(x, y)|^2] of real samples, arXiv:1801.04406, eq. 9."""
        r1 = squared_gradient_norms(self.score, x, y).mean()
        gamma = self.gamma
        if gamma is None:
            gamma = 0.0002 * self.shape[-1] ** 2 / (len(x) * number_of_ranks())
        return gamma / 2 * r1, {"r1": r1.detach()}

    @property
    def keeps_average(self) -> bool:
        """By default with a half-life."""
        return super().keeps_average or self.ema_half_life > 0

    def average_decay(self, update: int) -> float:
        """1/2 to the power of the images of an update over the half-life."""
        if self.ema_decay:
            return super().average_decay(update)
        half_life = self.ema_half_life
        if self.ema_rampup:
            half_life = min(half_life, self.ema_rampup * self.images)
        return half_life_decay(self.images, update, half_life)

    # Styles.

    @property
    def styled(self) -> StyledGenerator | None:
        """The generator that samples come from, where it has styles."""
        return self.sampled if isinstance(self.sampled, StyledGenerator) else None

    @torch.no_grad()
    def styles(self, z: Tensor, y: Tensor | None = None, psi: float = 1.0) -> Tensor:
        """The styles ``(N, layers, width)`` of latents ``(N, latent_dim)`` and labels ``(N,)``.

        They are moved towards the mean style: w' = mean + psi (w - mean), appendix B.

        Raises:
            ValueError: the generator has none.
        """
        with in_eval_mode(self._needs_styles()) as generator:
            styles: Tensor = generator.styles(z.to(self.dtype), y)
            truncated = torch.lerp(generator.w_avg.to(styles.dtype), styles, psi)
            if self.truncated_layers is None:
                return truncated
            return torch.cat(
                [truncated[:, : self.truncated_layers], styles[:, self.truncated_layers :]], dim=1
            )

    @torch.no_grad()
    def synthesize(self, styles: Tensor, noise: torch.Generator | None = None) -> Tensor:
        """The images ``(N, C, H, W)`` of styles ``(N, layers, width)``, in [-1, 1].

        With ``noise``, that of the layers is drawn from it; else it is the same for all images.

        Raises:
            ValueError: the generator has none.
        """
        with in_eval_mode(self._needs_styles()) as generator:
            x = generator.synthesis(styles, generator.noises(len(styles), noise)).clamp(-1, 1)
        return x.to(torch.promote_types(x.dtype, torch.float32))

    def generate_truncated(
        self,
        z: Tensor,
        y: Tensor | None,
        truncation: float,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """``generate`` with styles moved towards their mean, of which this share is left: psi.

        Without styles, latents are drawn again as other techniques do.

        Raises:
            ValueError: psi is not in [0, 1].
        """
        if self.styled is None:
            return super().generate_truncated(z, y, truncation, generator)
        if not 0 <= truncation <= 1:
            raise ArgumentError(f"truncation must be in [0, 1], got {truncation}")
        return self.synthesize(self.styles(z, y, truncation))

    def _needs_styles(self) -> StyledGenerator:
        if self.styled is None:
            raise ValueError(f"a {type(self.sampled).__name__} has no styles")
        return self.styled
