"""Samples as pictures: the one rounding to uint8, grids and scatter plots."""

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from gan_lightning.utils.files import whole_file

#: How much further the axes of a plot reach than its real points.
VIEW = 1.5


def to_uint8(x: Tensor) -> Tensor:
    """Images in [-1, 1] to uint8: scaled to [0, 255], rounded once, clamped.

    NaN becomes 0: check for it before.
    """
    return x.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def save_image(image: Tensor, path: Path, *, flushed: bool = True) -> None:
    """Write a uint8 image ``(C, H, W)`` as a PNG; ``flushed`` to the disk, or not yet.

    C is 1 to 4: grey or colour, each with or without transparency. If there are more, the
    first three are written.

    Raises:
        StorageError: it cannot be written.
    """
    with whole_file(path, flushed=flushed) as file:
        to_pillow(image).save(file, "PNG")


def to_pillow(image: Tensor) -> Image.Image:
    """A uint8 image ``(C, H, W)`` as one of Pillow's: its first three channels if C is above 4."""
    image = image if len(image) <= 4 else image[:3]
    return Image.fromarray(image.cpu().permute(1, 2, 0).squeeze(2).contiguous().numpy())


def image_grid(x: Tensor, columns: int, size: int = 32) -> Tensor:
    """Images ``(N, C, H, W)`` in [-1, 1] side by side, uint8 ``(C, H', W')``, or 3 for grey.

    Small images are enlarged to about ``size`` pixels, without interpolation.
    """
    scale = max(1, round(size / x.shape[-1]))
    enlarged = F.interpolate(x, scale_factor=scale, mode="nearest")
    return make_grid(to_uint8(enlarged), nrow=columns, padding=2, pad_value=255)


def scatter_plot(real: Tensor, fake: Tensor, path: Path) -> None:
    """Write the first two coordinates of real and generated vectors ``(N, D)`` as a PNG.

    The axes are those of the real ones, so that pictures of one training have the same. Generated
    points that lie beyond them are drawn at the edge, and counted.

    Raises:
        StorageError: it cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), dpi=100, layout="tight")
    axes = figure.add_subplot(aspect="equal")
    planes = [
        torch.stack([points[:, 0], points[:, min(1, points.shape[1] - 1)]]).float().cpu()
        for points in (real, fake)
    ]
    low, high = planes[0].amin(dim=1), planes[0].amax(dim=1)
    middle, reach = (low + high) / 2, VIEW * (high - low).amax().clamp(min=1e-6) / 2
    beyond = int((~((planes[1] - middle[:, None]).abs() <= reach)).any(dim=0).sum())
    for (first, second), label in zip(
        planes, ("real", "generated" + f", {beyond:,} beyond" * (beyond > 0)), strict=True
    ):
        axes.scatter(
            first.clamp(middle[0] - reach, middle[0] + reach),
            second.clamp(middle[1] - reach, middle[1] + reach),
            s=3,
            alpha=0.5,
            linewidths=0,
            label=label,
        )
    axes.set_xlim(float(middle[0] - 1.05 * reach), float(middle[0] + 1.05 * reach))
    axes.set_ylim(float(middle[1] - 1.05 * reach), float(middle[1] + 1.05 * reach))
    axes.legend(loc="upper right", markerscale=4)
    with whole_file(path) as file:
        figure.savefig(file, format="png")
