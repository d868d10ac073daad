"""The techniques, one file per paper. ``TECHNIQUES`` lists them all."""

from gan_lightning.gan import GAN
from gan_lightning.techniques.began import BEGAN
from gan_lightning.techniques.dcgan import DCGAN
from gan_lightning.techniques.lsgan import LSGAN
from gan_lightning.techniques.sagan import SAGAN
from gan_lightning.techniques.sngan import SNGAN
from gan_lightning.techniques.wgan import WGAN
from gan_lightning.techniques.wgan_gp import WGANGP

TECHNIQUES: dict[str, type[GAN]] = {
    "dcgan": DCGAN,
    "wgan": WGAN,
    "wgan_gp": WGANGP,
    "lsgan": LSGAN,
    "began": BEGAN,
    "sngan": SNGAN,
    "sagan": SAGAN,
}

__all__ = ["BEGAN", "DCGAN", "LSGAN", "SAGAN", "SNGAN", "TECHNIQUES", "WGAN", "WGANGP"]
