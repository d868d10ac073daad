"""The duration of training, without start-up and evaluations."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn

from gan_lightning.gan import GAN


class TrainingClock(pl.Callback):
    """Logs ``train_seconds`` at each validation of a fit; a resumed run continues the count."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._since: float | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._since = time.monotonic()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock before scores are computed."""
        if self._since is not None:
            self._seconds += time.monotonic() - self._since
            self._since = None

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the seconds so far."""
        if isinstance(pl_module, GAN) and trainer.state.fn == TrainerFn.FITTING:
            pl_module.log_scalars({"train_seconds": self._seconds})

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock again."""
        if not trainer.sanity_checking:
            self._since = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """The seconds so far."""
        running = 0.0 if self._since is None else time.monotonic() - self._since
        return {"seconds": self._seconds + running}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the saved seconds."""
        self._seconds = state_dict["seconds"]
