"""Finds mistakes before time is spent on training."""

import math
from collections.abc import Iterable

import pytorch_lightning as pl
import torch

from gan_lightning.gan import GAN
from gan_lightning.utils.errors import ArgumentError

#: What the names of values begin with that every technique logs while it trains.
TRAINING_TERMS = ("loss/", "score/", "penalty", "lr/")


class FindMistakes(pl.Callback):
    """Refuses, as early as it can be known, a fit that would train nothing or fail later.

    Before the evaluation of the untrained generator: too few samples for a batch, or none. After
    it: a callback that monitors a value which nothing logs; values that a technique may log in
    training are known at the first row that it logs.

    Raises:
        ArgumentError: there is nothing to train on, or a monitored value is not logged.
        TooFewSamplesError: the samples do not fill one batch.
    """

    def __init__(self) -> None:
        self._scored: set[str] = set()
        self._checked = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget an earlier fit."""
        self._scored, self._checked = set(), False
        if trainer.limit_train_batches == 0:
            raise ArgumentError("limit_train_batches is 0, which trains nothing: raise it")

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set up the training batches before anything is evaluated."""
        trainer.fit_loop.setup_data()
        _check_batches(trainer)

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check what is monitored, where training adds nothing unknown."""
        if trainer.num_sanity_val_steps != math.inf or not isinstance(pl_module, GAN):
            return
        self._scored = set(trainer.callback_metrics)
        if not _logs_unknown_values(trainer, pl_module):
            watched = pl_module.watch(torch.zeros(2), torch.zeros(2))
            _check_monitored(trainer, self._scored | set(watched), TRAINING_TERMS)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Check again with the first row of training."""
        if self._checked or not self._scored or "loss/critic" not in trainer.callback_metrics:
            return
        self._checked = True
        if isinstance(pl_module, GAN) and all(
            each.every == 1
            for each in (*pl_module.critic_regularizers(), *pl_module.generator_regularizers())
        ):
            _check_monitored(trainer, self._scored | set(trainer.callback_metrics))

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check where there was no evaluation before."""
        _check_batches(trainer)


def _check_batches(trainer: pl.Trainer) -> None:
    if trainer.num_training_batches == 0:
        raise ArgumentError("the training loader has no batches, which trains nothing")


def _logs_unknown_values(trainer: pl.Trainer, gan: GAN) -> bool:
    """Whether code that is not of a technique's two losses may log values in training."""
    objectives = ("critic_objective", "generator_objective", "training_step", "iterate")
    return (
        any(getattr(type(gan), name) is not getattr(GAN, name) for name in objectives)
        or bool(gan.critic_regularizers() or gan.generator_regularizers())
        or any(
            not type(each).__module__.startswith(("gan_lightning.", "pytorch_lightning."))
            for each in trainer.callbacks  # type: ignore[attr-defined]
        )
    )


def _check_monitored(
    trainer: pl.Trainer, known: Iterable[str], beginnings: tuple[str, ...] = ()
) -> None:
    known = set(known)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        name = getattr(callback, "monitor", None)
        if isinstance(name, str) and name not in {*known, "epoch", "step"}:
            if beginnings and name.startswith(beginnings):
                continue
            raise ArgumentError(
                f"{type(callback).__name__} monitors {name}, which is not logged: choose from "
                f"{', '.join(sorted(known))}"
            )
