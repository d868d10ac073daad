"""SVHN, photographs of house numbers."""

from dataclasses import field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torchvision import datasets

from gan_lightning.data.base import Split
from gan_lightning.data.images import ImageDataModule


class SVHN(ImageDataModule):
    """73,257 colour images of house numbers of 32 x 32 pixels, and 26,032 for testing.

    The class is the digit in the middle, 0 to 9. Netzer et al. 2011, "Reading digits in natural
    images with unsupervised feature learning".

    Args:
        data_dir: the folder of train_32x32.mat and test_32x32.mat; downloaded there if missing.
        size: side of the images in pixels.
    """

    data_dir: str | Path = field(default="data", kw_only=False)
    size: int = 32

    classes = 10
    instructions: ClassVar[str] = (
        "Put train_32x32.mat and test_32x32.mat (ufldl.stanford.edu/housenumbers) into {folder}."
    )

    def download(self) -> None:
        """Download unless both files exist and are complete."""
        for split in ("train", "test"):
            datasets.SVHN(self.folder, split, download=True)

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Read the MATLAB file of the split."""
        data = datasets.SVHN(self.folder, split)
        return self.apply_transform(torch.from_numpy(data.data)), torch.from_numpy(
            data.labels
        ).long()
