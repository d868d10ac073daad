"""Features of images, generated or from files, in the order of the images."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from gan_lightning.data.pixels import UnreadableImageError
from gan_lightning.data.sources import Source
from gan_lightning.data.workers import read_ahead
from gan_lightning.metrics.extractors import Extractor
from gan_lightning.metrics.scores import Moments
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.images import to_uint8

#: Images that a GPU is given at a time.
GPU_BATCH = 256


@dataclass(frozen=True)
class Features:
    """Of all samples of a set, on the CPU: features ``(N, D)`` and, where there are, logits.

    Where ``summed`` is given, it is of all samples, and their features need not be there.
    """

    features: Tensor
    logits: Tensor | None = None
    summed: Moments | None = None

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self.features) if self.summed is None else self.summed.count

    @property
    def finite(self) -> bool:
        """Whether all of them are."""
        known = self.features if self.summed is None else self.summed.sum
        return bool(torch.isfinite(known).all())

    @cached_property
    def moments(self) -> Moments:
        """Sums of the features and of their products."""
        return Moments.of(self.features) if self.summed is None else self.summed


@torch.no_grad()
def extract(extractor: Extractor, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Features ``(N, D)`` and logits ``(N, K)`` of images in [-1, 1], rounded to uint8 once.

    On the device of ``x``. Those of an image that is not finite are nan: uint8 has none, and it
    must not pass as a black one.
    """
    features, logits = features_of(extractor, to_uint8(x.float()))
    bad = ~torch.isfinite(x).flatten(1).all(dim=1, keepdim=True)
    features = features.masked_fill(bad, math.nan)
    return features, None if logits is None else logits.masked_fill(bad, math.nan)


@torch.no_grad()
def features_of(extractor: Extractor, images: Tensor) -> tuple[Tensor, Tensor | None]:
    """Features ``(N, D)`` and logits ``(N, K)`` of uint8 images, on their device.

    In true float32: neither autocast nor TF32.
    """
    on_gpu = images.device.type == "cuda"
    layout = torch.channels_last if on_gpu else torch.contiguous_format
    network = extractor.network.to(images.device).to(memory_format=layout)
    features, logits = [], []
    with _true_float32(), torch.autocast(images.device.type, enabled=False):
        for part in images.split(GPU_BATCH if on_gpu else extractor.batch):
            some, classes = network(part.contiguous(memory_format=layout))
            features.append(some.float())
            if classes is not None:
                logits.append(classes.float())
    if not features:
        return torch.zeros(0, extractor.num_features, device=images.device), None
    return torch.cat(features), torch.cat(logits) if logits else None


def collect(extractor: Extractor, batches: Iterable[Tensor], device: torch.device) -> Features:
    """Features of uint8 batches ``(B, C, H, W)``."""
    features, logits = [torch.zeros(0, extractor.num_features)], []
    for batch in batches:
        extractor.check(tuple(batch.shape[1:]))
        some, classes = features_of(extractor, batch.to(device, non_blocking=True))
        features.append(some.cpu())
        if classes is not None:
            logits.append(classes.cpu())
    return Features(torch.cat(features), torch.cat(logits) if logits else None)


@contextmanager
def _true_float32() -> Iterator[None]:
    """Neither TF32 nor bfloat16 inside of convolutions and products, whatever training uses."""
    cuda, cudnn, mkldnn = (getattr(torch.backends, name) for name in ("cuda", "cudnn", "mkldnn"))
    libraries = [cuda.matmul, cudnn.conv, cudnn.rnn, mkldnn.matmul, mkldnn.conv]
    before = [library.fp32_precision for library in libraries]
    try:
        for library in libraries:
            library.fp32_precision = "ieee"
        yield
    finally:
        for library, precision in zip(libraries, before, strict=True):
            library.fp32_precision = precision


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
