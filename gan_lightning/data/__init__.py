"""The data modules."""

from gan_lightning.data.base import GANDataModule
from gan_lightning.data.celeba import CelebA
from gan_lightning.data.cifar import CIFAR10, CIFAR100
from gan_lightning.data.digits import Digits
from gan_lightning.data.folder import ImageFolder
from gan_lightning.data.huggingface import HuggingFaceImages
from gan_lightning.data.images import CachedDataModule, ImageDataModule
from gan_lightning.data.loader import PrefetchLoader, TensorLoader
from gan_lightning.data.lsun import LSUN
from gan_lightning.data.mnist import MNIST, FashionMNIST
from gan_lightning.data.stl10 import STL10
from gan_lightning.data.svhn import SVHN
from gan_lightning.data.toys import Grid, Ring, SwissRoll

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "LSUN",
    "MNIST",
    "STL10",
    "SVHN",
    "CachedDataModule",
    "CelebA",
    "Digits",
    "FashionMNIST",
    "GANDataModule",
    "Grid",
    "HuggingFaceImages",
    "ImageDataModule",
    "ImageFolder",
    "PrefetchLoader",
    "Ring",
    "SwissRoll",
    "TensorLoader",
]
