"""Checkpoints of a run: at its triggers, and at its end."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn

from gan_lightning.training.lightning_internals import (
    is_last_update,
    save_last_update,
    saved_step,
    validate_last_update,
    validate_now,
    without_empty_hooks,
)


class RunCheckpoint(ModelCheckpoint):
    """Lightning's ``ModelCheckpoint``, but its ``last.ckpt`` is always the newest checkpoint.

    Lightning's own does not write ``last.ckpt`` where a monitored value is not among the best, or
    ``save_top_k`` is 0, and with manual optimisation it ignores ``train_time_interval``.

    Args:
        dirpath: the folder; by default ``checkpoints`` in the run's folder.
        filename: the name of a file, in which values may be named: ``{step}``.
        monitor: the logged value by which the best checkpoints are kept; by default the newest is.
        save_last: ``true`` keeps the newest checkpoint as ``last.ckpt``; ``link`` makes this a link
            to a file that has the same content, where there is one; ``null`` keeps none beside the
            best.
        save_top_k: how many checkpoints are kept: of the best with a ``monitor``; -1 for all.
        train_time_interval: the time between two checkpoints, in place of every validation, as
            ``HH:MM:SS`` or, as for Lightning's trainer, ``DD:HH:MM:SS``. With several ranks, it is
            looked at where a row is logged.
        enable_version_counter: whether a file of the same name is kept. By default it is replaced:
            a run has its own folder, and continues in it.
        options: of Lightning's ``ModelCheckpoint``.

    Raises:
        ValueError: ``train_time_interval`` is of another form, or not above 0.
    """

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = "{step}",
        monitor: str | None = None,
        save_last: bool | Literal["link"] | None = "link",
        save_top_k: int = 1,
        train_time_interval: str | timedelta | None = None,
        enable_version_counter: bool = False,
        **options: Any,
    ) -> None:
        interval = _time(train_time_interval)
        if interval is not None and interval <= timedelta(0):
            raise ValueError(f"train_time_interval must be above 0, got {train_time_interval}")
        if save_last == "link" and (monitor is not None or save_top_k == 0):
            save_last = True  # a link would lead to the best one, or nowhere
        super().__init__(
            dirpath,
            filename,
            monitor=monitor,
            save_last=save_last,
            save_top_k=save_top_k,
            train_time_interval=interval,
            enable_version_counter=enable_version_counter,
            **options,
        )
        self._interval = interval
        self._has_own_folder = dirpath is None
        self._saved_at = 0.0
        self._was_compared = False

    @property
    def state_key(self) -> str:
        """That of Lightning's, so that each resumes from the other's checkpoints."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def leave_folder(self) -> None:
        """Write to the folder of the trainer's run, where ``dirpath`` is not given."""
        if self._has_own_folder:
            self.dirpath = None

    def check_monitor_top_k(self, trainer: pl.Trainer, current: torch.Tensor | None = None) -> bool:
        """Whether a monitored value is among the best."""
        self._was_compared = True
        return super().check_monitor_top_k(trainer, current)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        super().on_train_start(trainer, pl_module)
        self._saved_at = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Save where this update, or the time, is due."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self._interval is None:
            return
        every = max(trainer.log_every_n_steps, 1)  # type: ignore[attr-defined]
        if trainer.world_size > 1 and trainer.global_step % every:
            return
        passed = time.monotonic() - self._saved_at >= self._interval.total_seconds()
        if trainer.strategy.broadcast(passed):
            self._saved_at = time.monotonic()
            save_last_update(trainer, self)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save where this epoch is due."""
        self._was_compared = False
        super().on_train_epoch_end(trainer, pl_module)
        self._keep_newest(trainer, due=self._was_compared)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save where this validation is due."""
        self._was_compared = False
        super().on_validation_end(trainer, pl_module)
        in_training = trainer.state.fn == TrainerFn.FITTING
        every = self.every_n_epochs or 0
        nothing_else = self.save_top_k == 0 and every and (trainer.current_epoch + 1) % every == 0
        if in_training and not trainer.sanity_checking:
            self._keep_newest(trainer, due=self._was_compared or bool(nothing_else))

    def _keep_newest(self, trainer: pl.Trainer, *, due: bool) -> None:
        if due and self.save_last and saved_step(self) != trainer.global_step:
            save_last_update(trainer, self, best=False)


def _time(given: str | timedelta | None) -> timedelta | None:
    if not isinstance(given, str):
        return given
    parts = given.split(":")
    if len(parts) not in (3, 4) or not all(part.strip().isdecimal() for part in parts):
        raise ValueError(f"train_time_interval must be [DD:]HH:MM:SS, got {given}")
    days, hours, minutes, seconds = map(int, ["0", *parts][-4:])
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


@without_empty_hooks
class LastUpdate(pl.Callback):
    """Has the last update of a fit validated and saved, whatever the intervals are.

    So it is scored and drawn, and every ``ModelCheckpoint`` keeps it: by ``max_steps``,
    ``max_epochs`` and ``max_time``, and where a callback sets ``trainer.should_stop``. With a
    ``monitor``, it is kept as ``last.ckpt`` beside the best.
    """

    def __init__(self) -> None:
        self._validated = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Have the validation of the last update run."""
        validate_last_update(trainer)
        self._validated = -1

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Save the last update, if no validation follows."""
        if not trainer.enable_validation and is_last_update(trainer):
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the last update with its scores."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        self._validated = trainer.global_step
        if is_last_update(trainer):
            self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make up for it where the end was known only after the last update."""
        if trainer.enable_validation and self._validated != trainer.global_step:
            validate_now(trainer)
        self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        for callback in trainer.checkpoint_callbacks:
            if (
                isinstance(callback, ModelCheckpoint)
                and saved_step(callback) != trainer.global_step
            ):
                save_last_update(trainer, callback)
