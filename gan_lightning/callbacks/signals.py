"""Stops a run on a signal, so that it can be resumed exactly."""

import os
import signal
import threading
from types import FrameType

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn

from gan_lightning.training import requeue
from gan_lightning.training.checkpoints import last_checkpoint
from gan_lightning.training.deferred import DeferredReads
from gan_lightning.training.lightning_internals import (
    kill_started_ranks,
    save_now,
    validation_is_due,
)
from gan_lightning.utils.errors import StoppedError, UserError
from gan_lightning.utils.processes import KILL
from gan_lightning.utils.ranks import max_over_ranks


class StopOnSignal(pl.Callback):
    """Ends a fit between two updates, with a checkpoint, on SIGTERM, SIGINT and SLURM's SIGUSR1.

    All ranks stop after the same update, whichever of them received the signal; several GPUs stop
    some updates later, so that no step waits for the signals of other ranks. An evaluation that is
    due, or running, is completed first, so that the logs of a resumed run have no gap. A second
    SIGINT stops at once, with the checkpoint that was saved before; so does any signal outside of
    training. On SIGUSR1 the SLURM job is requeued; the command line and ``gan_lightning.Trainer``
    then resume by themselves, and a script with another trainer finds the checkpoint with
    ``gan_lightning.training.requeue.remembered``.

    Raises:
        StoppedError: after the checkpoint is written, on every rank.
    """

    def __init__(self) -> None:
        self._received = 0
        self._deferred: DeferredReads | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the signals of an earlier fit."""
        self._received = 0
        self._deferred = DeferredReads(pl_module.device) if trainer.world_size > 1 else None

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen for signals."""
        self._listen(trainer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen for signals."""
        self._listen(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen for signals outside of training."""
        if trainer.state.fn != TrainerFn.FITTING:
            self._listen(trainer)

    on_test_start = on_predict_start = on_validation_start

    def _listen(self, trainer: pl.Trainer) -> None:
        if threading.current_thread() is not threading.main_thread():
            return

        def receive(number: int, frame: FrameType | None) -> None:
            again = number == signal.SIGINT and self._received
            if again or _has_nothing_to_save(trainer):
                saved = last_checkpoint(trainer) if again else None
                raise StoppedError(
                    f"stopped by {signal.Signals(number).name}"
                    + (f"; the last checkpoint is {saved or 'none'}" if again else ""),
                    exit_code=128 + number,
                    on_all_ranks=False,
                )
            if number == signal.SIGINT and trainer.is_global_zero:
                os.write(2, b"\nstopping after this update; interrupt again to stop at once\n")
            self._received = number

        # These replace Lightning's handlers, which would broadcast from wherever a signal arrives.
        # Lightning restores the earlier handlers when the fit ends.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, receive)
        if requeue.job() is not None:
            signal.signal(signal.SIGUSR1, receive)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Stop, unless an evaluation is due."""
        if not validation_is_due(trainer):
            self._stop_if_requested(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop after the scores are logged."""
        self._stop_if_requested(trainer, pl_module)

    def _stop_if_requested(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        number = self._agreed_signal(pl_module.device)
        if not number or trainer.global_step == trainer.max_steps:
            return
        self._received = 0
        if not trainer.sanity_checking:
            save_now(trainer)
        if number not in (signal.SIGTERM, signal.SIGINT) and trainer.is_global_zero:
            requeue.requeue()
        saved = last_checkpoint(trainer)
        hint = f"resume with --ckpt_path={saved}" if saved else "nothing was saved"
        raise StoppedError(
            f"stopped by {signal.Signals(number).name} after update {trainer.global_step:,}: "
            f"{hint}",
            exit_code=128 + number,
            on_all_ranks=True,
        )

    def _agreed_signal(self, device: torch.device) -> int:
        """The signal that any rank has received, or 0; the same on all ranks."""
        if self._deferred is None:
            return self._received
        if self._deferred.is_turn():
            self._deferred.add(max_over_ranks(torch.full((), self._received, device=device)))
        return max(self._deferred.due(), default=0)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Kill the processes that this one has started, which would wait for it."""
        if not (isinstance(exception, UserError) and exception.on_all_ranks):
            kill_started_ranks(trainer.strategy, KILL)


def _has_nothing_to_save(trainer: pl.Trainer) -> bool:
    """Whether nothing is being trained; in a fit, other ranks must stop with this one."""
    if trainer.state.fn != TrainerFn.FITTING:
        return True
    return trainer.sanity_checking and trainer.world_size == 1
