"""The data modules."""

from gan_lightning.data.base import GANDataModule
from gan_lightning.data.digits import Digits
from gan_lightning.data.loader import TensorLoader
from gan_lightning.data.toys import Grid, Ring, SwissRoll
from gan_lightning.data.vision import CIFAR10, FashionMNIST

__all__ = [
    "CIFAR10",
    "Digits",
    "FashionMNIST",
    "GANDataModule",
    "Grid",
    "Ring",
    "SwissRoll",
    "TensorLoader",
]
