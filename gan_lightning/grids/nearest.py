"""Generated images beside the nearest real ones."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gan_lightning.grids.pictures import Grid
from gan_lightning.metrics.extractors import Extractor
from gan_lightning.metrics.nearest import Nearest, RealImages, nearest_images


def nearest_grid(
    generated: Tensor,
    real: RealImages,
    neighbours: int = 5,
    extractor: Extractor | None = None,
    *,
    mirrored: bool = False,
) -> Grid:
    """A row for each generated image ``(N, C, H, W)`` in [-1, 1], with the nearest real ones.

    In pixels and, in another row, in the features of an ``extractor``. Images that are copies of
    real ones show here. ``real`` and ``mirrored`` are those of
    ``gan_lightning.metrics.nearest.nearest_images``.

    Raises:
        UserError: the shapes differ, or there are too few real images.
    """
    spaces = [None] if extractor is None else [None, extractor]
    return neighbours_grid(
        generated,
        [nearest_images(generated, real, neighbours, each, mirrored=mirrored) for each in spaces],
    )


def neighbours_grid(generated: Tensor, found: Sequence[Nearest]) -> Grid:
    """A row for each generated image and space, with the images that were found in it."""
    columns = found[0].images.shape[1] + 1
    empty = torch.ones_like(generated)
    firsts = [generated] + [empty] * (len(found) - 1)
    rows = [
        torch.cat([first[:, None], each.images], dim=1)
        for first, each in zip(firsts, found, strict=True)
    ]
    images = torch.stack(rows, dim=1).flatten(0, 2)
    others = [f"{i + 1}{_ordinal(i + 1)}" for i in range(1, columns - 1)]
    names = ["generated", "nearest", *others]
    return Grid(images, columns, names, [each.space for each in found] * len(generated))


def _ordinal(n: int) -> str:
    return "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
