"""Loaders that gather batches from one tensor, on its device or ahead of time on the host."""

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

    uint8 images are converted to float32 in [-1, 1]; floats are unchanged; y is None without
    labels.

    With a ``seed``, each epoch is a permutation that depends only on (seed, epoch), every rank
    takes its own share of each batch, and the samples that do not fill a batch on every rank are
    dropped; ``flip`` mirrors half of the images, drawn with the permutation; ``repeat`` makes all
    epochs the same. Without a seed, the samples come in order and none is dropped.

    The epoch is the trainer's, which may cut epochs short or make loaders anew; outside of a
    trainer it is counted. ``state_dict`` contains the position and the seed, so that a resumed run
    continues with the next batch.

    Raises:
        TooFewSamplesError: there is a seed, and too few samples for one batch on every rank.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor | None,
        batch_size: int,
        *,
        seed: int | None = None,
        flip: bool = False,
        repeat: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if seed is not None and len(x) < batch_size * world_size:
            raise TooFewSamplesError(
                f"{len(x)} samples do not fill one batch: {batch_size} on each of "
                f"{world_size} device(s) are needed; reduce --data.batch_size"
            )
        self.x, self.y = x, y
        self.batch_size = batch_size
        self.seed = seed
        self.flip = flip
        self.repeat = repeat
        #: Where Lightning sets the number of the next epoch.
        self.batch_sampler = _NextEpoch()
        self.rank, self.world_size = rank, world_size
        self._epoch = -1
        self._position = 0
        self._resumed = False

    @abstractmethod
    def _gather_batches(self, shares: Iterable[Tensor]) -> Iterator[Gathered]:
        """Yield each share of indices ``(B,)`` with its samples, as stored, and labels."""

    def __len__(self) -> int:
        """Batches per epoch on each rank."""
        global_batch_size = self.batch_size * self.world_size
        if self.seed is not None:
            return len(self.x) // global_batch_size
        return -(-len(self.x) // global_batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Start the next epoch, or resume the one that was loaded."""
        # As a generator, this runs when the first batch is requested, after the trainer has loaded
        # the state and set the epoch.
        epoch = self.batch_sampler.take()
        in_epoch = self._resumed and self._epoch >= 0 and self._position < len(self)
        if not in_epoch or epoch not in (None, self._epoch):
            self._epoch = self._epoch + 1 if epoch is None else epoch
            self._position = 0
        self._resumed = False
        order, mirrored = self._draw_order(0 if self.repeat else self._epoch)
        shares = (self._rank_share(order, i) for i in range(self._position, len(self)))
        for share, x, y in self._gather_batches(shares):
            self._position += 1
            if mirrored is not None:
                mask = mirrored[share].to(x.device, non_blocking=True)
                x = torch.where(mask.view(-1, 1, 1, 1), x.flip(-1), x)
            yield x.float().div_(127.5).sub_(1) if x.dtype == torch.uint8 else x, y

    def state_dict(self) -> State:
        """The epoch, how many of its batches have been returned, and the seed if there is one."""
        seed = {} if self.seed is None else {"seed": self.seed}
        return {"epoch": self._epoch, "position": self._position} | seed

    def load_state_dict(self, state: State) -> None:
        """Resume from ``state`` at the next iteration.

        Raises:
            WrongFileError: ``state`` does not come from ``state_dict``.
        """
        match state:
            case {"epoch": int(epoch), "position": int(position), **rest} if (
                position >= 0
                and isinstance(seed := rest.get("seed", self.seed or 0), int)
                and seed >= 0
            ):
                self._epoch, self._position, self._resumed = epoch, position, True
                self.seed = None if self.seed is None else seed
            case _:
                raise WrongFileError(f"the checkpoint has the state of another loader: {state}")

    def _draw_order(self, epoch: int) -> tuple[Tensor, Tensor | None]:
        """The order of the samples, and which of them are mirrored, each ``(N,)``."""
        if self.seed is None:
            return torch.arange(len(self.x), device=self.x.device), None
        (state,) = np.random.SeedSequence((self.seed, epoch)).generate_state(1)
        generator = torch.Generator().manual_seed(int(state))
        order = torch.randperm(len(self.x), generator=generator)
        mirrored = torch.rand(len(self.x), generator=generator) < 0.5 if self.flip else None
        device = self.x.device
        return order.to(device), None if mirrored is None else mirrored.to(device)

    def _rank_share(self, order: Tensor, position: int) -> Tensor:
        size = self.batch_size * self.world_size
        return order[position * size : (position + 1) * size][self.rank :: self.world_size]


class _NextEpoch:
    """The number of the next epoch, on a loader's ``batch_sampler.sampler``: a trainer sets it."""

    def __init__(self) -> None:
        self._epoch: int | None = None

    @property
    def sampler(self) -> "_NextEpoch":
        return self

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def take(self) -> int | None:
        """The number, once."""
        epoch, self._epoch = self._epoch, None
        return epoch


class TensorLoader(Loader):
    """Batches gathered without waiting, on the device that holds ``x`` and ``y``.

    ``Loader`` describes the samples and labels, the order, the shares and the errors.
    """

    def _gather_batches(self, shares: Iterable[Tensor]) -> Iterator[Gathered]:
        for share in shares:
            y = None if self.y is None else self.y.index_select(0, share)
            # Copies whole rows: on a CPU about 25 times as fast as x[share].
            yield share, self.x.index_select(0, share), y


class PrefetchLoader(Loader):
    """Batches for a ``device``, from an ``x`` on the host, in memory or mapped from a file.

    Threads gather the next batches, into pinned memory for a GPU, while the current one is used.
    The batches are the same as those of ``TensorLoader``; ``Loader`` describes them and the errors.
    """

    #: Batches that are gathered at once: while one waits for the disk, others can proceed.
    WORKERS = 4
    #: Batches that are requested ahead of the one in use.
    AHEAD = 8

    def __init__(
        self,
        x: Tensor,
        y: Tensor | None,
        batch_size: int,
        *,
        device: torch.device,
        **options: Any,
    ) -> None:
        super().__init__(x, y, batch_size, **options)
        self.device = device
        self._rows = x.numpy()

    def _gather_batches(self, shares: Iterable[Tensor]) -> Iterator[Gathered]:
        pending: deque[tuple[Tensor, Future[Tensor]]] = deque()
        pool = ThreadPoolExecutor(self.WORKERS, "gather")
        try:
            for share in shares:
                pending.append((share, pool.submit(self._gather, share)))
                if len(pending) > self.AHEAD:
                    yield self._to_device(*pending.popleft())
            while pending:
                yield self._to_device(*pending.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _gather(self, share: Tensor) -> Tensor:
        shape = (len(share), *self.x.shape[1:])
        rows = torch.empty(shape, dtype=self.x.dtype, pin_memory=self.device.type == "cuda")
        # NumPy releases the interpreter's lock while copying; "clip" writes to ``out`` directly.
        np.take(self._rows, share.numpy(), axis=0, out=rows.numpy(), mode="clip")
        return rows

    def _to_device(self, share: Tensor, rows: Future[Tensor]) -> Gathered:
        y = None if self.y is None else self.y[share].to(self.device, non_blocking=True)
        return share, rows.result().to(self.device, non_blocking=True), y
