"""The families of networks, and functions that modify or inspect networks."""

from collections.abc import Sequence

from gan_lightning.networks.autoencoder import AUTOENCODER, set_carry
from gan_lightning.networks.biggan import BIGGAN, BIGGAN_FLAT
from gan_lightning.networks.dcgan import DCGAN, DCGAN_PLAIN, SNDCGAN, SNDCGAN_WIDE
from gan_lightning.networks.family import Family, Norm, mixes_samples
from gan_lightning.networks.improved_gan import IMPROVED_GAN, IMPROVED_GAN_NOISE
from gan_lightning.networks.mlp import MLP, MLP_GENERATOR
from gan_lightning.networks.progressive import PROGRESSIVE
from gan_lightning.networks.resnet import RESNET, SAGAN, WGAN_GP_RESNET
from gan_lightning.networks.spectral import largest_singular_values, spectral_normalize
from gan_lightning.networks.start import start_from_data, starts_from_data
from gan_lightning.networks.stylegan import STYLEGAN
from gan_lightning.networks.stylegan2 import STYLEGAN2, STYLEGAN2_PLAIN
from gan_lightning.utils.checks import one_of

#: Families for images, by the name that ``--model.network`` takes; vectors use perceptrons.
FAMILIES = {
    "dcgan": DCGAN,
    "sndcgan": SNDCGAN,
    "resnet": RESNET,
    "wgan_gp_resnet": WGAN_GP_RESNET,
    "sagan": SAGAN,
    "autoencoder": AUTOENCODER,
    "sndcgan_wide": SNDCGAN_WIDE,
    "improved_gan": IMPROVED_GAN,
    "improved_gan_noise": IMPROVED_GAN_NOISE,
    "dcgan_plain": DCGAN_PLAIN,
    "mlp_generator": MLP_GENERATOR,
    "progressive": PROGRESSIVE,
    "biggan": BIGGAN,
    "biggan_flat": BIGGAN_FLAT,
    "stylegan": STYLEGAN,
    "stylegan2": STYLEGAN2,
    "stylegan2_plain": STYLEGAN2_PLAIN,
}


def family_for(shape: Sequence[int], network: str) -> Family:
    """The family of this name for images ``(C, H, W)``, perceptrons for other shapes.

    Raises:
        ValueError: there is no such family.
    """
    one_of(FAMILIES, network=network)
    return FAMILIES[network] if len(shape) == 3 else MLP


__all__ = [
    "FAMILIES",
    "MLP",
    "Family",
    "Norm",
    "family_for",
    "largest_singular_values",
    "mixes_samples",
    "set_carry",
    "spectral_normalize",
    "start_from_data",
    "starts_from_data",
]
