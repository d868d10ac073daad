"""House numbers seen from the street."""

from dataclasses import field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torchvision import datasets

from gan_lightning.data.base import Split
from gan_lightning.data.images import ImageDataModule


class SVHN(ImageDataModule):
    """73,257 colour pictures of house numbers of 32 x 32 pixels, and 26,032 for the test.

    The class is the digit in the middle, 0 to 9. Netzer et al. 2011, "Reading digits in natural
    images with unsupervised feature learning".

    Args:
        data_dir: where train_32x32.mat and test_32x32.mat are, or are to be put.
        size: pixels of the images' side.
    """

    data_dir: str | Path = field(default="data", kw_only=False)
    size: int = 32

    classes = 10
    by_hand: ClassVar[str] = (
        "Put train_32x32.mat and test_32x32.mat (ufldl.stanford.edu/housenumbers) into {folder}."
    )

    def download(self) -> None:
        """Download unless both files are there and whole."""
        for split in ("train", "test"):
            datasets.SVHN(self.folder, split, download=True)

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Read the MATLAB file of the split."""
        data = datasets.SVHN(self.folder, split)
        return self.formed(torch.from_numpy(data.data)), torch.from_numpy(data.labels).long()
