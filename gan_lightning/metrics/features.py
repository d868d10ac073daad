"""Features of generated images or of files."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from gan_lightning.data.pixels import Levels, UnreadableImageError, accept_dark
from gan_lightning.data.sources import Selection, Source
from gan_lightning.data.workers import read_ahead
from gan_lightning.metrics.extractors import Extractor
from gan_lightning.metrics.neighbours import neighbour_distances
from gan_lightning.metrics.scores import Moments
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.images import to_uint8

#: The batch size on a GPU.
GPU_BATCH = 256
#: Limit for a batch of decoded images: large ones come in smaller batches.
BATCH_BYTES = 2**30


@dataclass(frozen=True)
class Features:
    """The features ``(N, D)`` of a set of samples, on the CPU, and their logits, if it has any.

    ``summed`` holds the moments of all samples; where it is given, ``features`` may be empty.
    ``known_distances`` are the ``neighbour_distances``, once they are computed.
    """

    features: Tensor
    logits: Tensor | None = None
    summed: Moments | None = None
    known_distances: Tensor | None = None

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.features) if self.summed is None else self.summed.count

    @property
    def finite(self) -> bool:
        """Whether all features are finite."""
        known = self.features if self.summed is None else self.summed.sum
        return bool(torch.isfinite(known).all())

    @cached_property
    def moments(self) -> Moments:
        """The sums of the features and of their products."""
        return Moments.from_features(self.features) if self.summed is None else self.summed

    @property
    def neighbour_distances(self) -> Tensor:
        """What ``metrics.neighbours.neighbour_distances`` returns, computed once."""
        known = self.known_distances
        if known is None:
            known = neighbour_distances(self.features)
            # The fields of a frozen dataclass are set in this way.
            object.__setattr__(self, "known_distances", known)
        return known


@torch.no_grad()
def extract(extractor: Extractor, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Features ``(N, D)`` and logits ``(N, K)`` of images in [-1, 1], rounded to uint8 once.

    They are on the device of ``x``. An image that is not finite gets nan: uint8 has no nan, and
    the image must not pass as a black one.
    """
    features, logits = extract_uint8(extractor, to_uint8(x.float()))
    bad = ~torch.isfinite(x).flatten(1).all(dim=1, keepdim=True)
    features = features.masked_fill(bad, math.nan)
    return features, None if logits is None else logits.masked_fill(bad, math.nan)


@torch.no_grad()
def extract_uint8(extractor: Extractor, images: Tensor) -> tuple[Tensor, Tensor | None]:
    """Features ``(N, D)`` and logits ``(N, K)`` of uint8 images, on their device.

    They are computed in true float32, without autocast and TF32.
    """
    on_gpu = images.device.type == "cuda"
    layout = torch.channels_last if on_gpu else torch.contiguous_format
    network = extractor.network.to(images.device).to(memory_format=layout)
    features, logits = [], []
    with _true_float32(), torch.autocast(images.device.type, enabled=False):
        for part in images.split(GPU_BATCH if on_gpu else extractor.batch):
            part_features, part_logits = network(part.contiguous(memory_format=layout))
            features.append(part_features.float())
            if part_logits is not None:
                logits.append(part_logits.float())
    if not features:
        return torch.zeros(0, extractor.num_features, device=images.device), None
    return torch.cat(features), torch.cat(logits) if logits else None


def collect(extractor: Extractor, batches: Iterable[Tensor], device: torch.device) -> Features:
    """Features of batches ``(B, C, H, W)``, uint8 or float in [-1, 1]."""
    features, logits = [torch.zeros(0, extractor.num_features)], []
    for batch in batches:
        extractor.check(tuple(batch.shape[1:]))
        of_batch = extract_uint8 if batch.dtype == torch.uint8 else extract
        part_features, part_logits = of_batch(extractor, batch.to(device, non_blocking=True))
        features.append(part_features.cpu())
        if part_logits is not None:
            logits.append(part_logits.cpu())
    return Features(torch.cat(features), torch.cat(logits) if logits else None)


@contextmanager
def _true_float32() -> Iterator[None]:
    """Use neither TF32 nor bfloat16 in convolutions and products, whatever training uses."""
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
    """The images of a source, decoded by workers; images of one shape in a row form a batch.

    A batch takes at most ``BATCH_BYTES``, but holds at least one image. Images that cannot be read
    are left out, and their index and the reason added to ``skipped``. Dark images before the first
    one that is bright come last: if none is, they cannot be read.
    """
    source.prepare()
    waiting: list[Tensor] = []
    for image in _readable_images(source, skipped):
        full = len(waiting) >= min(batch_size, BATCH_BYTES // image.nbytes)
        if waiting and (full or waiting[0].shape != image.shape):
            yield torch.stack(waiting)
            waiting = []
        waiting.append(image)
    if waiting:
        yield torch.stack(waiting)


def _readable_images(source: Source, skipped: dict[int, str]) -> Iterator[Tensor]:
    bright, dark = False, []
    for i, item in enumerate(_decode(source)):
        if isinstance(item, str):
            skipped[i] = item
            continue
        pixels, levels = item
        bright |= levels.bright
        if levels.dark is None or bright:
            yield torch.from_numpy(pixels)
        else:
            skipped[i] = levels.dark
            dark.append(i)
    if not bright or not dark:
        return
    for i, item in zip(dark, _decode(Selection(source, dark, None)), strict=True):
        if isinstance(item, str):
            skipped[i] = item
        else:
            del skipped[i]
            yield torch.from_numpy(item[0])


def _decode(source: Source) -> Iterator[tuple[np.ndarray, Levels] | str]:
    return read_ahead(_DecodedImages(source), per_worker=64)


class _DecodedImages(Dataset[tuple[np.ndarray, Levels] | str | UserError]):
    """Decoded images and their levels, or why one image, or the source, cannot be read."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> tuple[np.ndarray, Levels] | str | UserError:
        try:
            with accept_dark() as levels:
                return self.source[i].numpy(), levels
        except UnreadableImageError as error:
            return str(error)
        except UserError as error:
            return error
