"""Collects the features of samples over batches and ranks."""

import torch
from torch import Tensor

from gan_lightning.metrics.features import Features
from gan_lightning.metrics.scores import Moments
from gan_lightning.utils.ranks import gather_on_first

#: The number of bytes up to which features stay on the device that computed them.
ON_DEVICE_BYTES = 2**28


class Pool:
    """Collects features batch by batch, and returns those of all ranks in the samples' order.

    Args:
        num_features: the number of features of a sample.
        keep: keep the features themselves; otherwise only their moments, in float64.
    """

    def __init__(self, num_features: int, keep: bool) -> None:
        self.keep = keep
        self._empty = torch.zeros(0, num_features)
        self._moments = Moments.from_features(self._empty)
        self._indices: list[Tensor] = []
        self._features: list[Tensor] = []
        self._logits: list[Tensor] = []

    def add(self, features: Tensor, logits: Tensor | None, indices: Tensor) -> None:
        """Add features ``(N, D)`` and logits ``(N, K)`` of the samples ``indices`` ``(N,)``."""
        self._indices.append(indices)
        if self.keep:
            _append(self._features, features)
        else:
            self._moments = Moments.from_features(features) + self._moments.to(features.device)
        if logits is not None:
            _append(self._logits, logits)

    def gather(self) -> Features:
        """The features of all ranks on the first rank, none on others. Every rank must call it."""
        ranks = gather_on_first(
            (
                torch.cat([torch.zeros(0, dtype=torch.int64), *self._indices]),
                torch.cat([self._empty, *(part.cpu() for part in self._features)]),
                torch.cat([part.cpu() for part in self._logits]) if self._logits else None,
                self._moments.to("cpu"),
            )
        )
        if not ranks:
            return Features(self._empty)
        indices, features, logits, moments = zip(*ranks, strict=True)
        order = torch.cat(indices).argsort()
        known = [part for part in logits if part is not None]
        return Features(
            torch.cat(features)[order] if self.keep else self._empty,
            torch.cat(known)[order] if known else None,
            None if self.keep else sum(moments, Moments.from_features(self._empty)),
        )


def _append(parts: list[Tensor], part: Tensor) -> None:
    """Append a part, and move all parts to the CPU if they are large."""
    parts.append(part)
    if sum(x.nbytes for x in parts if x.is_cuda) > ON_DEVICE_BYTES:
        parts[:] = [x.cpu() for x in parts]
