"""The labelled subsets of the tiny images."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torchvision import datasets

from gan_lightning.data.base import Split
from gan_lightning.data.images import ImageDataModule
from gan_lightning.utils.files import user_path


class CIFAR10(ImageDataModule):
    """50,000 colour pictures of 32 x 32 pixels in 10 classes, and 10,000 for the test.

    Krizhevsky 2009, "Learning multiple layers of features from tiny images".

    Args:
        data_dir: where cifar-10-batches-py or cifar-10-python.tar.gz is, or is to be put.
        size: pixels of the images' side.
        options: of ``ImageDataModule``.
    """

    classes = 10
    by_hand = (
        "Put cifar-10-python.tar.gz (cs.toronto.edu/~kriz/cifar.html), or the folder "
        "cifar-10-batches-py that it holds, into {data_dir}."
    )
    torchvisions: ClassVar[type[datasets.CIFAR10]] = datasets.CIFAR10

    def __init__(self, data_dir: str = "data", size: int = 32, **options: Any) -> None:
        super().__init__(size, **options)
        self.data_dir = user_path(data_dir)

    def download(self) -> None:
        """Download, or unpack the archive, unless the folder is there and whole."""
        self.torchvisions(self.data_dir, download=True)

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Read the batches of the split."""
        data = self.torchvisions(self.data_dir, train=split == "train")
        images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        return self.formed(images), torch.tensor(data.targets)


class CIFAR100(CIFAR10):
    """50,000 colour pictures of 32 x 32 pixels in 100 classes, and 10,000 for the test.

    Krizhevsky 2009, "Learning multiple layers of features from tiny images".

    Args:
        data_dir: where cifar-100-python or cifar-100-python.tar.gz is, or is to be put.
        size: pixels of the images' side.
        options: of ``ImageDataModule``.
    """

    classes = 100
    by_hand = (
        "Put cifar-100-python.tar.gz (cs.toronto.edu/~kriz/cifar.html), or the folder "
        "cifar-100-python that it holds, into {data_dir}."
    )
    torchvisions = datasets.CIFAR100
