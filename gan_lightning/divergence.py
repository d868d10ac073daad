"""Seeing that a run has diverged, without waiting for the device that it runs on."""

from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from gan_lightning.distributed import sum_over_ranks
from gan_lightning.errors import UserError


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
        self._made = 0
        self._found: int | None = None
        self._pending: deque[tuple[int, Tensor, Callable[[], None]]] = deque()
        #: Iterations until a count is read: a GPU is never so far behind, but for small networks.
        self.later = 8 if device.type == "cuda" else 0

    def add(self, losses: Sequence[Tensor]) -> None:
        """One iteration's; what is computed on the device stays there."""
        total = torch.stack(list(losses)).sum() + get_total_norm(self._weights, norm_type=1.0)
        self._fault += sum_over_ranks(total - total)
        self._count += torch.isfinite(self._fault)

    def faulty(self) -> int | None:
        """After an iteration: the number of the first, from 0, that was not finite, if known."""
        self._made += 1
        self._pending.append((self._made, *self._copied()))
        if len(self._pending) > self.later:
            self._read()
        return self._found

    def settled(self) -> int | None:
        """The same of all iterations so far, which it waits for."""
        while self._pending:
            self._read()
        return self._found

    def _copied(self) -> tuple[Tensor, Callable[[], None]]:
        """The count on the host, and what waits for it to be there."""
        if self._count.device.type != "cuda":
            return self._count.to("cpu", copy=True), _do_nothing
        copy = torch.empty_like(self._count, device="cpu", pin_memory=True)
        copy.copy_(self._count, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()
        return copy, copied.synchronize

    def _read(self) -> None:
        made, copy, wait = self._pending.popleft()
        wait()
        # By way of NumPy: torch's values are not to be read in a step.
        count = int(copy.numpy())
        if count < made and self._found is None:
            self._found = count


def _do_nothing() -> None:
    pass
