"""Stopping where a signal asks for it, so that the run can go on exactly."""

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

    All ranks stop after the same update, whichever of them the signal reached: several GPUs some
    updates later, so that no step waits for what the others have received. Where an evaluation
    is due, or runs, it ends first: what is logged has no gap when the run goes on. A second SIGINT
    stops at once, with what was saved before; so does any signal where nothing is trained. On
    SIGUSR1 the SLURM job is put back in the queue; our command line then goes on by itself, a
    script of one's own finds the checkpoint with ``gan_lightning.training.requeue.remembered``.

    Raises:
        StoppedError: after the checkpoint is written, on every rank.
    """

    def __init__(self) -> None:
        self._received = 0
        self._of_all: DeferredReads | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget what an earlier fit was told."""
        self._received = 0
        self._of_all = DeferredReads(pl_module.device) if trainer.world_size > 1 else None

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen."""
        self._listen(trainer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen."""
        self._listen(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen, where nothing is trained."""
        if trainer.state.fn != TrainerFn.FITTING:
            self._listen(trainer)

    on_test_start = on_predict_start = on_validation_start

    def _listen(self, trainer: pl.Trainer) -> None:
        if threading.current_thread() is not threading.main_thread():
            return

        def receive(number: int, frame: FrameType | None) -> None:
            again = number == signal.SIGINT and self._received
            if again or _has_nothing_to_save(trainer):
                kept = last_checkpoint(trainer) if again else None
                raise StoppedError(
                    f"stopped by {signal.Signals(number).name}"
                    + (f"; the last checkpoint is {kept or 'none'}" if again else ""),
                    exit_code=128 + number,
                    on_all_ranks=False,
                )
            if number == signal.SIGINT and trainer.is_global_zero:
                os.write(2, b"\nstopping after this update; once more stops at once\n")
            self._received = number

        # In the place of Lightning's, which would broadcast from wherever a signal finds it;
        # Lightning puts back what was there before when the fit ends.
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
        """Stop, but before an evaluation that is due."""
        if not validation_is_due(trainer):
            self._stop_if_asked(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop, with the scores logged."""
        self._stop_if_asked(trainer, pl_module)

    def _stop_if_asked(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        number = self._asked(pl_module.device)
        if not number or trainer.global_step == trainer.max_steps:
            return
        self._received = 0
        if not trainer.sanity_checking:
            save_now(trainer)
        if number not in (signal.SIGTERM, signal.SIGINT) and trainer.is_global_zero:
            requeue.put_back()
        saved = last_checkpoint(trainer)
        goes_on = f"--ckpt_path={saved} goes on from there" if saved else "nothing was saved"
        raise StoppedError(
            f"stopped by {signal.Signals(number).name} after update {trainer.global_step:,}: "
            f"{goes_on}",
            exit_code=128 + number,
            on_all_ranks=True,
        )

    def _asked(self, device: torch.device) -> int:
        """The signal that any rank has received, or 0; on all ranks the same."""
        if self._of_all is None:
            return self._received
        self._of_all.add(max_over_ranks(torch.full((), self._received, device=device)))
        return max(self._of_all.due(), default=0)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """End the processes that this one has started, which would wait for it."""
        if not (isinstance(exception, UserError) and exception.on_all_ranks):
            kill_started_ranks(trainer.strategy, KILL)


def _has_nothing_to_save(trainer: pl.Trainer) -> bool:
    """Whether nothing is trained; in a fit, other ranks are to stop with this one."""
    if trainer.state.fn != TrainerFn.FITTING:
        return True
    return trainer.sanity_checking and trainer.world_size == 1
