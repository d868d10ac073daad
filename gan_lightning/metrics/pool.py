"""Features of the samples that several ranks see, brought together."""

import torch
from torch import Tensor

from gan_lightning.metrics.features import Features
from gan_lightning.metrics.scores import Moments
from gan_lightning.utils.ranks import gather_on_first

#: Up to these many bytes stay on the device that computed them.
ON_DEVICE_BYTES = 2**28


class Pool:
    """Takes features in as they come, and hands out those of all ranks in the samples' order.

    Args:
        num_features: of each sample.
        keep: keep the features themselves; otherwise their moments alone, in float64.
    """

    def __init__(self, num_features: int, keep: bool) -> None:
        self.keep = keep
        self._nothing = torch.zeros(0, num_features)
        self._moments = Moments.of(self._nothing)
        self._numbers: list[Tensor] = []
        self._features: list[Tensor] = []
        self._logits: list[Tensor] = []

    def add(self, features: Tensor, logits: Tensor | None, numbers: Tensor) -> None:
        """Of the samples ``numbers`` ``(N,)``: features ``(N, D)``, logits ``(N, K)`` or None."""
        self._numbers.append(numbers)
        if self.keep:
            _append(self._features, features)
        else:
            self._moments = Moments.of(features) + self._moments.to(features.device)
        if logits is not None:
            _append(self._logits, logits)

    def gathered(self) -> Features:
        """Of all ranks' samples, on the first; on the others nothing. Every rank must call it."""
        ranks = gather_on_first(
            (
                torch.cat([torch.zeros(0, dtype=torch.int64), *self._numbers]),
                torch.cat([self._nothing, *(part.cpu() for part in self._features)]),
                torch.cat([part.cpu() for part in self._logits]) if self._logits else None,
                self._moments.to("cpu"),
            )
        )
        if not ranks:
            return Features(self._nothing)
        numbers, features, logits, moments = zip(*ranks, strict=True)
        order = torch.cat(numbers).argsort()
        known = [some for some in logits if some is not None]
        return Features(
            torch.cat(features)[order] if self.keep else self._nothing,
            torch.cat(known)[order] if known else None,
            None if self.keep else sum(moments, Moments.of(self._nothing)),
        )


def _append(parts: list[Tensor], part: Tensor) -> None:
    """Keep one part more, on the CPU once there are many."""
    parts.append(part)
    if sum(some.nbytes for some in parts if some.is_cuda) > ON_DEVICE_BYTES:
        parts[:] = [some.cpu() for some in parts]
