"""Stopping a run that has diverged, without waiting for the device that it runs on."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from gan_lightning.training.checkpoints import last_checkpoint
from gan_lightning.training.deferred import DeferredReads
from gan_lightning.training.lightning_internals import without_empty_hooks
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.ranks import sum_over_ranks


class DivergedError(UserError):
    """A loss or a weight is not finite: no later step could repair it."""

    exit_code = 3
    on_all_ranks = True


class Watched(Protocol):
    """What is watched of a ``GAN``: it adds its losses to the checks, where there are some."""

    critic: nn.Module
    generator: nn.Module
    finite_checks: "FiniteChecks | None"
    free_graphs: Callable[[], None]


@without_empty_hooks
class StopOnDivergence(pl.Callback):
    """Stops a fit at the first update whose losses or weights are not all finite.

    A ``GAN`` brings it by itself. On a GPU the check is read at every eighth update, of eight
    updates before, so that neither waits for the other. No checkpoint is written of what has
    diverged.

    Raises:
        DivergedError: on every rank; it names the update and the last good checkpoint.
    """

    def __init__(self) -> None:
        self._first_update = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start to watch."""
        gan = cast("Watched", pl_module)
        weights = [*gan.critic.parameters(), *gan.generator.parameters()]
        gan.finite_checks, self._first_update = FiniteChecks(weights), trainer.global_step

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Stop, where what is known by now says so."""
        if (checks := cast("Watched", pl_module).finite_checks) is not None:
            self._raise_at(checks.first_fault(), trainer, pl_module)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the last updates."""
        self.check_all(trainer, pl_module)
        cast("Watched", pl_module).finite_checks = None

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Free captured graphs: a later fit, which captures its own, must not find them."""
        cast("Watched", pl_module).free_graphs()

    def check_all(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check all updates so far, and wait for them."""
        if (checks := cast("Watched", pl_module).finite_checks) is not None:
            self._raise_at(checks.first_fault_of_all(), trainer, pl_module)

    def _raise_at(
        self, update: int | None, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        if update is not None:
            raise DivergedError(
                f"{type(pl_module).__name__} diverged at update "
                f"{self._first_update + update + 1:,}: a loss or a weight is not finite; the last "
                f"good checkpoint is {last_checkpoint(trainer) or 'none'}"
            )


class FiniteChecks:
    """Counts the updates whose losses, and the weights after them, were all finite.

    The count is kept on the device and read through ``DeferredReads``. Every rank counts alike.

    Args:
        weights: of both networks; they stay where they are in memory.
    """

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self._weights = list(weights)
        device = self._weights[0].device
        # 0, or nan from the first value on that is not finite.
        self._fault = torch.zeros((), device=device)
        self._count = torch.zeros((), dtype=torch.int64, device=device)
        self._faults = DeferredReads(device)

    def add(self, losses: Sequence[Tensor]) -> None:
        """One update's losses, scalars; computed on the device, which is not waited for."""
        total = torch.stack(list(losses)).sum() + get_total_norm(self._weights, norm_type=1.0)
        self._fault += sum_over_ranks(total - total)
        self._count += torch.isfinite(self._fault)

    def first_fault(self) -> int | None:
        """The first update, from 0, that was not finite, if known by now; call it after each."""
        if self._faults.is_turn():
            self._faults.add(self._fault)
        return self._read(self._faults.due())

    def first_fault_of_all(self) -> int | None:
        """The first of all updates so far that was not finite; waits for the device."""
        self._faults.add(self._fault)
        return self._read(self._faults.rest())

    def _read(self, faults: Iterable[float]) -> int | None:
        # The count stays where it is from the first fault on.
        return int(self._count) if any(map(math.isnan, faults)) else None
