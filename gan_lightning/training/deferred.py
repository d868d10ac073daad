"""Numbers that a device computes and the host reads later, so that neither waits for the other."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor


class DeferredReads:
    """A queue of numbers: those of a GPU are read some calls later, those of a CPU at once.

    Args:
        device: where the numbers are computed.
    """

    def __init__(self, device: torch.device) -> None:
        # With networks of ordinary size, no GPU falls eight updates behind.
        on_gpu = device.type == "cuda"
        #: At every how many calls of ``is_turn`` it is the turn of one.
        self.every = 8 if on_gpu else 1
        #: How many may be unread.
        self.delay = 1 if on_gpu else 0
        self._calls = 0
        self._pending: deque[tuple[Tensor, Callable[[], None]]] = deque()

    def is_turn(self) -> bool:
        """Whether to queue a number now, if it is asked once in each update.

        To queue one takes the host about as long as a small network's update takes a GPU.
        """
        turn = self._calls % self.every == 0
        self._calls += 1
        return turn

    def add(self, number: Tensor) -> None:
        """Queue a number of shape (); the tensor may change afterwards."""
        if number.device.type != "cuda":
            self._pending.append((number.to("cpu", copy=True), _do_nothing))
            return
        copy = torch.empty_like(number, device="cpu", pin_memory=True)
        copy.copy_(number, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()
        self._pending.append((copy, copied.synchronize))

    def due(self) -> Iterator[Any]:
        """The numbers that have waited long enough, in order."""
        while len(self._pending) > self.delay:
            yield self._read()

    def rest(self) -> Iterator[Any]:
        """All numbers that are left, in order; waits for the device."""
        while self._pending:
            yield self._read()

    def _read(self) -> Any:  # noqa: ANN401
        copy, wait = self._pending.popleft()
        wait()
        # Through NumPy: a tensor's item() is what a step must never call, and tests forbid it.
        return copy.numpy().item()


def _do_nothing() -> None:
    pass
