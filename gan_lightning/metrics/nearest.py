"""The real images that generated ones are nearest to: a generator that copies them shows here."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from gan_lightning.metrics.extractors import Extractor
from gan_lightning.metrics.features import extract
from gan_lightning.utils.checks import at_least
from gan_lightning.utils.errors import ArgumentError, TooFewSamplesError

#: Batches of images ``(B, C, H, W)`` in [-1, 1], perhaps with labels, which can be gone through
#: twice; or all images in one tensor.
RealImages = Tensor | Iterable[Tensor | tuple[Tensor, Tensor | None]]
#: Images of a tensor that are compared at a time.
BATCH = 512


class Nearest(NamedTuple):
    """The nearest real images of ``N`` generated ones, the nearest first.

    Args:
        space: ``pixels``, or the name of the extractor.
        images: ``(N, K, C, H, W)`` in [-1, 1].
        distances: ``(N, K)``: in pixels the root mean square difference in grey levels of 0 to 255,
            else the Euclidean distance of features.
        apart: ``(N,)``, the distance of the nearest real image of each to its own nearest other.
    """

    space: str
    images: Tensor
    distances: Tensor
    apart: Tensor

    def summary(self) -> str:
        """How far generated images are from real ones, in one line.

        The distance between real images is what to compare it with: a generator that copies is far
        below.
        """
        unit = " grey levels" if self.space == "pixels" else ""
        return (
            f"{self.space}: the median distance to the nearest real image is "
            f"{self.distances[:, 0].median():.3g}{unit}; from that image to its nearest other it "
            f"is {self.apart.median():.3g}"
        )


def nearest_images(
    generated: Tensor,
    real: RealImages,
    neighbours: int = 5,
    extractor: Extractor | None = None,
    *,
    mirrored: bool = False,
) -> Nearest:
    """The real images nearest to generated ones ``(N, C, H, W)`` in [-1, 1].

    In pixels or, with an ``extractor``, in its features. With ``mirrored``, real images are
    compared as in a mirror too, as a generator sees them that trains on flipped images.

    Raises:
        ArgumentError: the shapes differ.
        TooFewSamplesError: there are fewer real images than neighbours, or only one.
    """
    at_least(1, neighbours=neighbours)
    embed = _pixels if extractor is None else _features(extractor)
    images, distances = _search(generated, real, neighbours, embed, mirrored)
    # An image itself comes first.
    _, between = _search(images[:, 0], real, 2, embed, mirrored=False)
    space = "pixels" if extractor is None else extractor.name
    return Nearest(space, images, distances, between[:, 1])


def _search(
    queries: Tensor,
    real: RealImages,
    count: int,
    embed: Callable[[Tensor], Tensor],
    mirrored: bool,
) -> tuple[Tensor, Tensor]:
    """The nearest real images ``(N, count, C, H, W)`` and their distances ``(N, count)``."""
    where = embed(queries)
    distances = torch.zeros(len(queries), 0, dtype=torch.float64, device=queries.device)
    images = queries.new_zeros(len(queries), 0, *queries.shape[1:])
    for batch in _batches(real):
        if batch.shape[1:] != queries.shape[1:]:
            raise ArgumentError(
                f"generated images have the shape {tuple(queries.shape[1:])}, and real ones "
                f"{tuple(batch.shape[1:])}"
            )
        for x in (batch, batch.flip(-1)) if mirrored else (batch,):
            x = x.to(queries)
            distances = torch.cat([distances, torch.cdist(where, embed(x))], dim=1)
            chosen = distances.topk(min(count, distances.shape[1]), dim=1, largest=False)
            distances, old = chosen.values, images.shape[1]
            is_new = (chosen.indices >= old)[:, :, None, None, None]
            from_new = x[(chosen.indices - old).clamp(min=0)]
            if old:
                kept = chosen.indices.clamp(max=old - 1)
                rows = torch.arange(len(queries), device=kept.device)[:, None]
                images = torch.where(is_new, from_new, images[rows, kept])
            else:
                images = from_new
    if distances.shape[1] < count:
        raise TooFewSamplesError(f"there are fewer than {count} real images")
    return images, distances


def _batches(real: RealImages) -> Iterator[Tensor]:
    for batch in real.split(BATCH) if isinstance(real, Tensor) else real:
        x = batch if isinstance(batch, Tensor) else batch[0]
        yield x.float() / 127.5 - 1 if x.dtype == torch.uint8 else x


def _pixels(x: Tensor) -> Tensor:
    """Images as vectors whose distances are root mean square differences in grey levels."""
    flat = x.flatten(1).double()
    return flat * (127.5 / flat.shape[1] ** 0.5)


def _features(extractor: Extractor) -> Callable[[Tensor], Tensor]:
    def embed(x: Tensor) -> Tensor:
        extractor.check(tuple(x.shape[1:]))
        return extract(extractor, x)[0].double()

    return embed
