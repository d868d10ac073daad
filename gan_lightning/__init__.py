"""GAN techniques as PyTorch Lightning modules."""

from gan_lightning.module import GAN, load
from gan_lightning.techniques import (
    BEGAN,
    DCGAN,
    LSGAN,
    SAGAN,
    SNGAN,
    TECHNIQUES,
    WGAN,
    WGANGP,
)

__all__ = [
    "BEGAN",
    "DCGAN",
    "GAN",
    "LSGAN",
    "SAGAN",
    "SNGAN",
    "TECHNIQUES",
    "WGAN",
    "WGANGP",
    "load",
]
__version__ = "0.1.0"
