"""Batches gathered from one tensor, on the device that holds it."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from gan_lightning.errors import TooFewSamplesError

State = dict[str, int]


class TensorLoader:
    """Iterates over ``x`` ``(N, ...)`` and labels ``(N,)`` in batches ``(x, y)``.

    uint8 images come out as float32 in [-1, 1]; floats as they are; y is None without labels.

    With a ``seed``, each epoch is a permutation that is a function of (seed, epoch) alone, every
    rank takes its own share of each batch, and what does not fill a batch on every rank is left
    out. Without one, the samples come in order and none is left out. The position is in
    ``state_dict``, so that a resumed run goes on with the next batch.

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
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if seed is not None and len(x) < batch_size * world_size:
            raise TooFewSamplesError(
                f"{len(x)} samples do not fill one batch: {batch_size} on each of "
                f"{world_size} device(s) are needed"
            )
        self.x, self.y = x, y
        self.batch_size = batch_size
        self.seed = seed
        self.rank, self.world_size = rank, world_size
        self._epoch = -1
        self._position = 0
        self._resumed = False

    def __len__(self) -> int:
        """Batches an epoch on each rank."""
        together = self.batch_size * self.world_size
        if self.seed is not None:
            return len(self.x) // together
        return -(-len(self.x) // together)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Start the next epoch, or go on in the one that was loaded."""
        # A generator: nothing happens before the first batch is asked for, when a trainer has
        # loaded the state.
        if self._resumed and self._epoch >= 0 and self._position < len(self):
            start = self._position
        else:
            self._epoch += 1
            start = 0
        self._resumed = False
        order = self._order(self._epoch)
        for position in range(start, len(self)):
            self._position = position + 1
            together = self.batch_size * self.world_size
            indices = order[position * together : (position + 1) * together]
            yield self._gather(indices[self.rank :: self.world_size])

    def state_dict(self) -> State:
        """The epoch, and how many of its batches have been handed out."""
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: State) -> None:
        """Go on from ``state`` at the next iteration."""
        self._epoch, self._position = state["epoch"], state["position"]
        self._resumed = True

    def _order(self, epoch: int) -> Tensor:
        if self.seed is None:
            return torch.arange(len(self.x), device=self.x.device)
        (state,) = np.random.SeedSequence((self.seed, epoch)).generate_state(1)
        generator = torch.Generator().manual_seed(int(state))
        return torch.randperm(len(self.x), generator=generator).to(self.x.device)

    def _gather(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        x = self.x[indices]
        if x.dtype == torch.uint8:
            x = x.float().div_(127.5).sub_(1)
        return x, None if self.y is None else self.y[indices]
