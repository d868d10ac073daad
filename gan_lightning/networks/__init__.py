"""The families of networks, and functions that modify or inspect networks."""

from collections.abc import Sequence

from gan_lightning.networks.autoencoder import AUTOENCODER, set_carry
from gan_lightning.networks.biggan import BIGGAN, BIGGAN_FLAT
from gan_lightning.networks.dcgan import DCGAN, DCGAN_PLAIN, SNDCGAN, SNDCGAN_WIDE
from gan_lightning.networks.family import Family, Norm, has_batch_norm, mixes_samples
from gan_lightning.networks.improved_gan import IMPROVED_GAN, IMPROVED_GAN_NOISE
from gan_lightning.networks.mlp import MLP, MLP_GENERATOR
from gan_lightning.networks.progressive import PROGRESSIVE
from gan_lightning.networks.r3gan import R3GAN
from gan_lightning.networks.resnet import RESNET, SAGAN, WGAN_GP_RESNET
from gan_lightning.networks.spectral import largest_singular_values, spectral_normalize
from gan_lightning.networks.start import start_from_data, starts_from_data
from gan_lightning.networks.stylegan import STYLEGAN
from gan_lightning.networks.stylegan2 import STYLEGAN2, STYLEGAN2_PLAIN
from gan_lightning.utils.checks import one_of

#: Families for images, by the name that ``--model.network`` takes; vectors use perceptrons.
#: ``gan-lightning list`` shows the remarks.
FAMILIES = {
    "dcgan": DCGAN,  # of DCGAN, arXiv:1511.06434
    "sndcgan": SNDCGAN,  # of SNGAN without residual blocks, arXiv:1802.05957
    "resnet": RESNET,  # of SNGAN, arXiv:1802.05957
    "wgan_gp_resnet": WGAN_GP_RESNET,  # of WGAN-GP, arXiv:1704.00028
    "sagan": SAGAN,  # a ResNet with self-attention, arXiv:1805.08318
    "autoencoder": AUTOENCODER,  # of BEGAN, arXiv:1703.10717
    "sndcgan_wide": SNDCGAN_WIDE,  # sndcgan with the critic of SNGAN's code
    "improved_gan": IMPROVED_GAN,  # of feature matching, arXiv:1606.03498
    "improved_gan_noise": IMPROVED_GAN_NOISE,  # improved_gan with Gaussian noise in the critic
    "dcgan_plain": DCGAN_PLAIN,  # of WGAN's section 4.3: dcgan with a plain generator
    "mlp_generator": MLP_GENERATOR,  # of WGAN's section 4.3: dcgan with a perceptron as generator
    "progressive": PROGRESSIVE,  # growing, level by level, arXiv:1710.10196
    "biggan": BIGGAN,  # a part of the latent in every block, arXiv:1809.11096
    "biggan_flat": BIGGAN_FLAT,  # biggan, but the latent in the first layer alone
    "stylegan": STYLEGAN,  # styles in every layer, arXiv:1812.04948
    "stylegan2": STYLEGAN2,  # with skips, arXiv:1912.04958
    "stylegan2_plain": STYLEGAN2_PLAIN,  # stylegan2 without skips in the critic
    "r3gan": R3GAN,  # grouped convolutions in residual blocks, arXiv:2501.05441
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
    "has_batch_norm",
    "largest_singular_values",
    "mixes_samples",
    "set_carry",
    "spectral_normalize",
    "start_from_data",
    "starts_from_data",
]
