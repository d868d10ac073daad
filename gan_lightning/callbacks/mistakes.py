"""Finds mistakes before time is spent on training."""

import math
from collections.abc import Iterator
from typing import cast

import pytorch_lightning as pl
import torch

from gan_lightning.gan import GAN
from gan_lightning.training.lightning_internals import without_empty_hooks
from gan_lightning.utils.errors import ArgumentError

#: What the names of values begin with that every technique logs while it trains.
TRAINING_TERMS = ("loss/", "score/", "penalty", "lr/")
#: Packages whose classes log what is known.
KNOWN_PACKAGES = (
    *("gan_lightning", "pytorch_lightning", "lightning_fabric", "torch", "abc", "builtins"),
)


@without_empty_hooks
class FindMistakes(pl.Callback):
    """Refuses, as early as it can be known, a fit that would train nothing or fail later.

    A callback that monitors a value which nothing logs is found after the evaluation of the
    untrained generator or, where a penalty logs values of its own, at the first row of training.
    Where custom code could log, nothing is known.

    Raises:
        ArgumentError: there is nothing to train on, or a monitored value is not logged.
    """

    def __init__(self) -> None:
        self._scored: set[str] = set()
        self._waits_for_row = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget an earlier fit."""
        self._waits_for_row = False
        if trainer.limit_train_batches == 0:
            raise ArgumentError("limit_train_batches is 0, which trains nothing: raise it")

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check what is monitored, where training adds nothing unknown."""
        if trainer.num_sanity_val_steps != math.inf or not _logs_known_values(trainer, pl_module):
            return
        gan = cast("GAN", pl_module)
        self._scored = set(trainer.callback_metrics)
        regularizers = (*gan.critic_regularizers(), *gan.generator_regularizers())
        if regularizers:
            self._waits_for_row = all(each.every == 1 for each in regularizers)
        elif any(True for _ in _monitored(trainer)):
            scores = torch.zeros(2, device=gan.device)
            _check_monitored(trainer, self._scored | set(gan.watch(scores, scores)), TRAINING_TERMS)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Check again with the first row of training."""
        if self._waits_for_row and "loss/critic" in trainer.callback_metrics:
            self._waits_for_row = False
            _check_monitored(trainer, self._scored | set(trainer.callback_metrics))

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse a fit that had no batches, which Lightning takes for one that ended well."""
        if trainer.num_training_batches == 0:
            raise ArgumentError("the training loader has no batches, which trains nothing")


def _logs_known_values(trainer: pl.Trainer, module: pl.LightningModule) -> bool:
    """Whether all code that may log is of this package, or of libraries."""
    code = (*type(module).__mro__, *map(type, trainer.callbacks))  # type: ignore[attr-defined]
    return isinstance(module, GAN) and not any(
        each.__module__.split(".")[0] not in KNOWN_PACKAGES for each in code
    )


def _monitored(trainer: pl.Trainer) -> Iterator[tuple[str, str]]:
    """The classes of callbacks that monitor a value, and its name."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        name = getattr(callback, "monitor", None)
        if isinstance(name, str):
            yield type(callback).__name__, name


def _check_monitored(
    trainer: pl.Trainer, known: set[str], beginnings: tuple[str, ...] = ()
) -> None:
    for callback, name in _monitored(trainer):
        if name in {*known, "epoch", "step"} or (beginnings and name.startswith(beginnings)):
            continue
        raise ArgumentError(
            f"{callback} monitors {name}, which is not logged: choose from "
            f"{', '.join(sorted(known))}"
        )
