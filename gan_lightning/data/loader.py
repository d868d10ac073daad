"""Batches gathered from one tensor, on the device that holds it or ahead of time on the host."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_lightning.utils.errors import TooFewSamplesError, WrongFileError

Batch = tuple[Tensor, Tensor | None]
Gathered = tuple[Tensor, Tensor, Tensor | None]
State = dict[str, int]


class Loader(ABC):
    """Iterates over ``x`` ``(N, ...)`` and labels ``(N,)`` in batches ``(x, y)``.

    uint8 images come out as float32 in [-1, 1]; floats as they are; y is None without labels.

    With a ``seed``, each epoch is a permutation that is a function of (seed, epoch) alone, every
    rank takes its own share of each batch, and what does not fill a batch on every rank is left
    out; ``flip`` mirrors half of the images, drawn with the permutation. Without a seed, the
    samples come in order and none is left out. The position is in ``state_dict``, so that a
    resumed run goes on with the next batch.

    Raises:
        TooFewSamplesError: shuffled, and there are fewer samples than a batch on every rank.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor | None,
        batch_size: int,
        *,
        seed: int | None = None,
        flip: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if seed is not None and len(x) < batch_size * world_size:
            raise TooFewSamplesError(
                f"{len(x)} samples do not fill one batch: {batch_size} on each of "
                f"{world_size} device(s) are needed; --data.batch_size makes it smaller"
            )
        self.x, self.y = x, y
        self.batch_size = batch_size
        self.seed = seed
        self.flip = flip
        self.rank, self.world_size = rank, world_size
        self._epoch = -1
        self._position = 0
        self._resumed = False

    @abstractmethod
    def _gathered(self, shares: Iterable[Tensor]) -> Iterator[Gathered]:
        """Each share of indices ``(B,)`` with the samples that it names, as held, and labels."""

    def __len__(self) -> int:
        """Batches an epoch on each rank."""
        together = self.batch_size * self.world_size
        if self.seed is not None:
            return len(self.x) // together
        return -(-len(self.x) // together)

    def __iter__(self) -> Iterator[Batch]:
        """Start the next epoch, or go on in the one that was loaded."""
        # A generator: nothing happens before the first batch is asked for, when a trainer has
        # loaded the state.
        if not (self._resumed and self._epoch >= 0 and self._position < len(self)):
            self._epoch += 1
            self._position = 0
        self._resumed = False
        order, mirrored = self._draw(self._epoch)
        shares = (self._share(order, i) for i in range(self._position, len(self)))
        for share, x, y in self._gathered(shares):
            self._position += 1
            if mirrored is not None:
                chosen = mirrored[share].to(x.device, non_blocking=True)
                x = torch.where(chosen.view(-1, 1, 1, 1), x.flip(-1), x)
            yield x.float().div_(127.5).sub_(1) if x.dtype == torch.uint8 else x, y

    def state_dict(self) -> State:
        """The epoch, and how many of its batches have been handed out."""
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: State) -> None:
        """Go on from ``state`` at the next iteration.

        Raises:
            WrongFileError: it is not one that ``state_dict`` has returned.
        """
        match state:
            case {"epoch": int(epoch), "position": int(position)} if position >= 0:
                self._epoch, self._position, self._resumed = epoch, position, True
            case _:
                raise WrongFileError(f"the checkpoint is of another loader, with {state}")

    def _draw(self, epoch: int) -> tuple[Tensor, Tensor | None]:
        """The order of the samples, and which of them are mirrored, each ``(N,)``."""
        if self.seed is None:
            return torch.arange(len(self.x), device=self.x.device), None
        (state,) = np.random.SeedSequence((self.seed, epoch)).generate_state(1)
        generator = torch.Generator().manual_seed(int(state))
        order = torch.randperm(len(self.x), generator=generator)
        mirrored = torch.rand(len(self.x), generator=generator) < 0.5 if self.flip else None
        device = self.x.device
        return order.to(device), None if mirrored is None else mirrored.to(device)

    def _share(self, order: Tensor, position: int) -> Tensor:
        together = self.batch_size * self.world_size
        return order[position * together : (position + 1) * together][self.rank :: self.world_size]


class TensorLoader(Loader):
    """Batches gathered on the device that holds ``x`` and ``y``, with nothing to wait for.

    Of samples and labels, orders, shares and errors ``Loader`` tells.
    """

    def _gathered(self, shares: Iterable[Tensor]) -> Iterator[Gathered]:
        for share in shares:
            y = None if self.y is None else self.y.index_select(0, share)
            # Rows copied whole: about 25 times as fast on a CPU as x[share].
            yield share, self.x.index_select(0, share), y


class PrefetchLoader(Loader):
    """Batches of an ``x`` on the host, in memory or mapped from a file, for another ``device``.

    Threads gather the next batches, into pinned memory for a GPU, while the current one is used.
    Samples, labels, orders, shares and errors are those of ``Loader``, batch for batch.
    """

    #: Batches that are gathered at a time: a read from a disk waits, others can go on.
    WORKERS = 4
    #: Batches that are asked for ahead of the one in use.
    AHEAD = 8

    def __init__(
        self,
        x: Tensor,
        y: Tensor | None,
        batch_size: int,
        *,
        device: torch.device,
        **order: Any,
    ) -> None:
        super().__init__(x, y, batch_size, **order)
        self.device = device
        self._rows = x.numpy()

    def _gathered(self, shares: Iterable[Tensor]) -> Iterator[Gathered]:
        pending: deque[tuple[Tensor, Future[Tensor]]] = deque()
        pool = ThreadPoolExecutor(self.WORKERS, "gather")
        try:
            for share in shares:
                pending.append((share, pool.submit(self._gather, share)))
                if len(pending) > self.AHEAD:
                    yield self._moved(*pending.popleft())
            while pending:
                yield self._moved(*pending.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _gather(self, share: Tensor) -> Tensor:
        shape = (len(share), *self.x.shape[1:])
        rows = torch.empty(shape, dtype=self.x.dtype, pin_memory=self.device.type == "cuda")
        # NumPy copies the rows with the interpreter's lock released; "clip" copies straight.
        np.take(self._rows, share.numpy(), axis=0, out=rows.numpy(), mode="clip")
        return rows

    def _moved(self, share: Tensor, rows: Future[Tensor]) -> Gathered:
        y = None if self.y is None else self.y[share].to(self.device, non_blocking=True)
        return share, rows.result().to(self.device, non_blocking=True), y
