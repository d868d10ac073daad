"""The handwritten digits that come with scikit-learn: real images without a download."""

from typing import ClassVar

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from gan_lightning.data.base import GANDataModule, Split


class Digits(GANDataModule):
    """1,797 handwritten digits of 8 x 8 pixels in 10 classes; both splits are all of them.

    Alpaydin & Kaynak 1998, "Optical recognition of handwritten digits", UCI repository.

    Args:
        batch_size: real samples of one critic update, on each device.
        conditional: hand out the digit, and have the model use it.
        predict_samples: how many samples ``predict`` draws.
    """

    shape = (1, 8, 8)
    classes = 10
    extractor: ClassVar[str | None] = "digits_cnn"

    def __init__(
        self, batch_size: int = 64, conditional: bool = False, predict_samples: int = 64
    ) -> None:
        super().__init__(batch_size, conditional, predict_samples)

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """The 17 grey levels spread over uint8."""
        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(digits.target).long()
