"""CIFAR-10 and CIFAR-100, the labelled subsets of the Tiny Images."""

from dataclasses import field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torchvision import datasets

from gan_lightning.data.base import Split
from gan_lightning.data.images import ImageDataModule


class CIFAR10(ImageDataModule):
    """50,000 colour images of 32 x 32 pixels in 10 classes, and 10,000 for testing.

    Krizhevsky 2009, "Learning multiple layers of features from tiny images".

    Args:
        data_dir: the folder of cifar-10-batches-py or cifar-10-python.tar.gz; downloaded there if
            missing.
        size: side of the images in pixels.
    """

    data_dir: str | Path = field(default="data", kw_only=False)
    size: int = 32

    classes = 10
    instructions: ClassVar[str] = (
        "Put cifar-10-python.tar.gz (cs.toronto.edu/~kriz/cifar.html), or the folder "
        "cifar-10-batches-py from it, into {folder}."
    )
    dataset_class: ClassVar[type[datasets.CIFAR10]] = datasets.CIFAR10

    def download(self) -> None:
        """Download, or unpack the archive, unless the folder exists and is complete."""
        self.dataset_class(self.folder, download=True)

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Read the batches of the split."""
        data = self.dataset_class(self.folder, train=split == "train")
        images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        return self.apply_transform(images), torch.tensor(data.targets)


class CIFAR100(CIFAR10):
    """50,000 colour images of 32 x 32 pixels in 100 classes, and 10,000 for testing.

    Krizhevsky 2009, "Learning multiple layers of features from tiny images".

    Args:
        data_dir: the folder of cifar-100-python or cifar-100-python.tar.gz; downloaded there if
            missing.
        size: side of the images in pixels.
    """

    classes = 100
    instructions: ClassVar[str] = (
        "Put cifar-100-python.tar.gz (cs.toronto.edu/~kriz/cifar.html), or the folder "
        "cifar-100-python from it, into {folder}."
    )
    dataset_class = datasets.CIFAR100
