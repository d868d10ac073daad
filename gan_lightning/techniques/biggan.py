"""BigGAN: spectral normalisation in both networks, labels in every layer, and truncation."""

from typing import ClassVar

from torch import Tensor, nn

from gan_lightning.gan import GAN
from gan_lightning.losses import hinge_critic_loss, hinge_generator_loss
from gan_lightning.networks import spectral_normalize
from gan_lightning.penalties import Regularizer, orthogonal_penalty
from gan_lightning.utils.checks import at_least


class BigGAN(GAN):
    """BigGAN.

    Brock, Donahue & Simonyan 2019, "Large scale GAN training for high fidelity natural image
    synthesis", arXiv:1809.11096.

    Defaults are those of the authors' PyTorch code for CIFAR-10, ``launch_cifar_ema.sh``: hinge
    loss, Adam at 2e-4 with betas 0 and 0.999, 4 critic updates, 128 latents, 256 channels in both
    networks, and a moving average of 0.9999 from generator update 1000. ``network="biggan"`` is the
    paper's: parts of the latent enter every block, together with a class embedding that they share,
    and both networks have attention. ``sample(truncation=...)`` trades variety for fidelity, and
    ``standing_statistics`` fits the batch normalisation to it.

    Args:
        orthogonal_weight: the weight beta of the orthogonal regularisation of the generator,
            section 3.1: 1e-4 there, with larger batches; 0 for none, as in the authors' code.
    """

    orthogonal_weight: float = 0.0
    latent_dim: int = 128
    n_critic: int = 4
    critic_lr: float = 2e-4
    generator_lr: float = 2e-4
    betas: tuple[float, float] = (0.0, 0.999)
    network: str = "biggan_flat"
    ema_decay: float = 0.9999
    ema_start: int = 1000

    own_networks: ClassVar[bool] = True

    def __post_init__(self) -> None:
        at_least(0, orthogonal_weight=self.orthogonal_weight)
        super().__post_init__()

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """The family's networks, both spectrally normalised, appendix B."""
        generator, critic = super().build_networks()
        # The generator's embeddings are gains and biases, or what these are computed from.
        return spectral_normalize(generator, embeddings=False), spectral_normalize(critic)

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[max(0, 1 - real)] + E[max(0, 1 + fake)], section 3."""
        return hinge_critic_loss(real, fake)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """-E[fake], section 3."""
        return hinge_generator_loss(fake)

    def generator_regularizers(self) -> list[Regularizer]:
        """The orthogonal regularisation, if it has a weight."""
        return [Regularizer(self.orthogonality)] if self.orthogonal_weight else []

    def orthogonality(self, y: Tensor | None, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """beta times the sum of |W W^T o (1 - I)|_F^2, section 3.1.

        Over the generator's weights before their spectral normalisation, but not over the shared
        embedding, as in the authors' code.
        """
        shared = getattr(self.generator, "shared", None)
        kept = set() if shared is None else set(shared.parameters())
        weights = [w for w in self.generator.parameters() if w.dim() > 1 and w not in kept]
        value = orthogonal_penalty(weights)
        return self.orthogonal_weight * value, {"orthogonality": value.detach()}
