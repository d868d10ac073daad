"""The handwritten digits included in scikit-learn: real images without a download."""

import numpy as np
import torch
from torch import Tensor

from gan_lightning.data.base import Split
from gan_lightning.data.images import ImageDataModule


class Digits(ImageDataModule):
    """1,797 handwritten digits of 8 x 8 pixels in 10 classes; both splits contain all of them.

    Alpaydin & Kaynak 1998, "Optical recognition of handwritten digits", UCI repository.

    Args:
        size: side of the images in pixels.
        channels: 1 for grey, 3 for colour.
    """

    size: int = 8
    channels: int = 1

    classes = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shape == (1, 8, 8):
            self.extractor = "digits_cnn"

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Scale the 17 grey levels to the range of uint8."""
        # Here, since importing scikit-learn takes half a second.
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        x = torch.from_numpy(images).unsqueeze(1)
        return self.apply_transform(x), torch.from_numpy(digits.target).long()
