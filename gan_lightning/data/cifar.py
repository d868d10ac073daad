"""The labelled subsets of the tiny images."""

from dataclasses import field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torchvision import datasets

from gan_lightning.data.base import Split
from gan_lightning.data.images import ImageDataModule


class CIFAR10(ImageDataModule):
    """50,000 colour pictures of 32 x 32 pixels in 10 classes, and 10,000 for the test.

    Krizhevsky 2009, "Learning multiple layers of features from tiny images".

    Args:
        data_dir: where cifar-10-batches-py or cifar-10-python.tar.gz is, or is to be put.
        size: pixels of the images' side.
    """

    data_dir: str | Path = field(default="data", kw_only=False)
    size: int = 32

    classes = 10
    by_hand: ClassVar[str] = (
        "Put cifar-10-python.tar.gz (cs.toronto.edu/~kriz/cifar.html), or the folder "
        "cifar-10-batches-py that it holds, into {folder}."
    )
    torchvisions: ClassVar[type[datasets.CIFAR10]] = datasets.CIFAR10

    def download(self) -> None:
        """Download, or unpack the archive, unless the folder is there and whole."""
        self.torchvisions(self.folder, download=True)

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Read the batches of the split."""
        data = self.torchvisions(self.folder, train=split == "train")
        images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        return self.formed(images), torch.tensor(data.targets)


class CIFAR100(CIFAR10):
    """50,000 colour pictures of 32 x 32 pixels in 100 classes, and 10,000 for the test.

    Krizhevsky 2009, "Learning multiple layers of features from tiny images".

    Args:
        data_dir: where cifar-100-python or cifar-100-python.tar.gz is, or is to be put.
        size: pixels of the images' side.
    """

    classes = 100
    by_hand: ClassVar[str] = (
        "Put cifar-100-python.tar.gz (cs.toronto.edu/~kriz/cifar.html), or the folder "
        "cifar-100-python that it holds, into {folder}."
    )
    torchvisions = datasets.CIFAR100
