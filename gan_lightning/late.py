"""Whole numbers of a device, read when they are there: neither waits for the other."""

from collections import deque
from collections.abc import Callable, Iterator

import torch
from torch import Tensor


class LateNumbers:
    """Hands out the numbers it was given, in turn: of a GPU some calls later, of a CPU at once.

    Args:
        device: that computes them.
    """

    def __init__(self, device: torch.device) -> None:
        #: How many are on their way: a GPU is never so far behind, but for small networks.
        self.later = 8 if device.type == "cuda" else 0
        self._pending: deque[tuple[Tensor, Callable[[], None]]] = deque()

    def add(self, number: Tensor) -> None:
        """One more, an integer of shape (); it may change later."""
        if number.device.type != "cuda":
            self._pending.append((number.to("cpu", copy=True), _do_nothing))
            return
        copy = torch.empty_like(number, device="cpu", pin_memory=True)
        copy.copy_(number, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()
        self._pending.append((copy, copied.synchronize))

    def due(self) -> Iterator[int]:
        """Those that are late enough."""
        while len(self._pending) > self.later:
            yield self._read()

    def rest(self) -> Iterator[int]:
        """All others, which it waits for."""
        while self._pending:
            yield self._read()

    def _read(self) -> int:
        copy, wait = self._pending.popleft()
        wait()
        # By way of NumPy: torch's values are not to be read in a step.
        return int(copy.numpy())


def _do_nothing() -> None:
    pass
