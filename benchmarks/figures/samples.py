"""Real samples to train on, and generated ones to show."""

from collections.abc import Iterator

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from benchmarks.figures.figure import Numbers, pack, unpack
from gan_lightning.data import Digits, TensorLoader
from gan_lightning.utils.images import to_uint8


def load_digits() -> Tensor:
    """The 1,797 digits, uint8 ``(N, 1, 8, 8)``."""
    return Digits().load("train")[0]


def batches(x: Tensor, size: int, *, flip: bool = False) -> Iterator[Tensor]:
    """Shuffled batches of images in [-1, 1] without an end, in the order of torch's seed."""
    loader = TensorLoader(x, None, size, seed=torch.initial_seed(), flip=flip)
    while True:
        yield from (batch for batch, _ in loader)


def pack_images(x: Tensor) -> Numbers:
    """Images ``(N, C, H, W)`` in [-1, 1], rounded to 256 levels, for a file of numbers."""
    return pack(to_uint8(x))


def show_images(axes: Axes, packed: Numbers, columns: int) -> None:
    """Show images from ``pack_images``, in rows of ``columns``, on axes without ticks."""
    images = np.rint(unpack(packed))
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    # A white line between images.
    grid = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, channels), 255.0)
    for i, image in enumerate(images):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        grid[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    axes.imshow(
        grid.astype(np.uint8) if channels == 3 else grid[:, :, 0],
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="nearest",
    )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
