"""Features of images, generated or from files, in the order of the images."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from gan_lightning.data.pixels import UnreadableImageError
from gan_lightning.data.sources import Source
from gan_lightning.data.workers import read_ahead
from gan_lightning.errors import UserError
from gan_lightning.images import to_uint8
from gan_lightning.metrics.extractors import Extractor


@torch.no_grad()
def extract(extractor: Extractor, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Features ``(N, D)`` and logits ``(N, K)`` of images in [-1, 1], rounded to uint8 once.

    In float32 without autocast, on the device of ``x``. Those of an image that is not finite are
    nan: uint8 has none, and it must not pass as a black one.
    """
    with torch.autocast(x.device.type, enabled=False):
        features, logits = extractor.network(to_uint8(x.float()))
    bad = ~torch.isfinite(x).flatten(1).all(dim=1, keepdim=True)
    features = features.masked_fill(bad, math.nan)
    return features, None if logits is None else logits.masked_fill(bad, math.nan)


@dataclass(frozen=True)
class Features:
    """Of all images of a set, on the CPU: features ``(N, D)`` and, where there are, logits."""

    features: Tensor
    logits: Tensor | None


@torch.no_grad()
def collect(extractor: Extractor, batches: Iterable[Tensor], device: torch.device) -> Features:
    """Features of uint8 batches ``(B, C, H, W)``, in float32 without autocast."""
    network = extractor.network.to(device)
    features, logits = [], []
    with torch.autocast(device.type, enabled=False):
        for batch in batches:
            extractor.check(tuple(batch.shape[1:]))
            some, classes = network(batch.to(device, non_blocking=True))
            features.append(some.float().cpu())
            if classes is not None:
                logits.append(classes.float().cpu())
    if not features:
        return Features(torch.zeros(0, extractor.num_features), None)
    return Features(torch.cat(features), torch.cat(logits) if logits else None)


def batches_of(source: Source, batch_size: int, skipped: dict[int, str]) -> Iterator[Tensor]:
    """The pictures of a source, decoded by other processes, together while their shapes agree.

    Those that cannot be read are left out, and noted in ``skipped`` with the reason.
    """
    source.prepare()
    waiting: list[Tensor] = []
    for i, pixels in enumerate(read_ahead(_Pictures(source), each=64)):
        if isinstance(pixels, str):
            skipped[i] = pixels
            continue
        picture = torch.from_numpy(pixels)
        if waiting and (len(waiting) == batch_size or waiting[0].shape != picture.shape):
            yield torch.stack(waiting)
            waiting = []
        waiting.append(picture)
    if waiting:
        yield torch.stack(waiting)


class _Pictures(Dataset[np.ndarray | str | UserError]):
    """Pictures, or why one cannot be read, or why no more can."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> np.ndarray | str | UserError:
        try:
            return self.source[i].numpy()
        except UnreadableImageError as error:
            return str(error)
        except UserError as error:
            return error
