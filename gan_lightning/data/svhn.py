"""House numbers seen from the street."""

from typing import Any

import torch
from torch import Tensor
from torchvision import datasets

from gan_lightning.data.base import Split
from gan_lightning.data.images import ImageDataModule
from gan_lightning.utils.files import user_path


class SVHN(ImageDataModule):
    """73,257 colour pictures of house numbers of 32 x 32 pixels, and 26,032 for the test.

    The class is the digit in the middle, 0 to 9. Netzer et al. 2011, "Reading digits in natural
    images with unsupervised feature learning".

    Args:
        data_dir: where train_32x32.mat and test_32x32.mat are, or are to be put.
        size: pixels of the images' side.
        options: of ``ImageDataModule``.
    """

    classes = 10
    by_hand = (
        "Put train_32x32.mat and test_32x32.mat (ufldl.stanford.edu/housenumbers) into {data_dir}."
    )

    def __init__(self, data_dir: str = "data", size: int = 32, **options: Any) -> None:
        super().__init__(size, **options)
        self.data_dir = user_path(data_dir)

    def download(self) -> None:
        """Download unless both files are there and whole."""
        for split in ("train", "test"):
            datasets.SVHN(self.data_dir, split, download=True)

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Read the MATLAB file of the split."""
        data = datasets.SVHN(self.data_dir, split)
        return self.formed(torch.from_numpy(data.data)), torch.from_numpy(data.labels).long()
