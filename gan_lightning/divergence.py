"""Seeing that a run has diverged, without waiting for the device that it runs on."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from gan_lightning.distributed import sum_over_ranks
from gan_lightning.errors import UserError
from gan_lightning.late import LateNumbers


class DivergedError(UserError):
    """A loss or a weight is not finite: no later step could mend it."""

    exit_code = 3
    on_all_ranks = True


class FiniteIterations:
    """Counts the iterations whose losses, and the weights after them, were all finite.

    On a GPU the count is read some iterations later, so that neither waits for the other; on a CPU
    at once. Every rank counts alike.

    Args:
        weights: of both networks; they stay where they are in memory.
    """

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self._weights = list(weights)
        device = self._weights[0].device
        # Nothing, or from the first value on that is not finite, no number.
        self._fault = torch.zeros((), device=device)
        self._count = torch.zeros((), dtype=torch.int64, device=device)
        self._counts = LateNumbers(device)
        self._read = 0
        self._found: int | None = None

    def add(self, losses: Sequence[Tensor]) -> None:
        """One iteration's; what is computed on the device stays there."""
        total = torch.stack(list(losses)).sum() + get_total_norm(self._weights, norm_type=1.0)
        self._fault += sum_over_ranks(total - total)
        self._count += torch.isfinite(self._fault)

    def faulty(self) -> int | None:
        """After an iteration: the number of the first, from 0, that was not finite, if known."""
        self._counts.add(self._count)
        return self._compared(self._counts.due())

    def settled(self) -> int | None:
        """The same of all iterations so far, which it waits for."""
        return self._compared(self._counts.rest())

    def _compared(self, counts: Iterable[int]) -> int | None:
        """Each count with that of the iterations made by then."""
        for count in counts:
            self._read += 1
            if count < self._read and self._found is None:
                self._found = count
        return self._found
