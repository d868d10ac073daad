"""The duration of training, without start-up and evaluations."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn

from gan_lightning.gan import GAN


class TrainingClock(pl.Callback):
    """Logs ``train_seconds`` at each validation of a fit; a resumed run continues the count.

    Iterations that are compiled or captured first are counted as ``compile_seconds`` instead, which
    are logged where there are some: on the same machine, the compiler's cache shortens those of the
    next run.
    """

    def __init__(self) -> None:
        self._seconds = self._compile_seconds = 0.0
        self._since: float | None = None
        #: The module's preparation seconds when the clock was started.
        self._prepared = 0.0
        self._module: pl.LightningModule | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._module = pl_module
        self._start()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock before scores are computed."""
        self._seconds, self._compile_seconds = self._read()
        self._since = None

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the seconds so far."""
        if isinstance(pl_module, GAN) and trainer.state.fn == TrainerFn.FITTING:
            values = {"train_seconds": self._seconds}
            if self._compile_seconds:
                values["compile_seconds"] = self._compile_seconds
            pl_module.log_scalars(values)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock again."""
        if not trainer.sanity_checking:
            self._start()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock for good."""
        self.on_validation_start(trainer, pl_module)
        self._module = None

    def _start(self) -> None:
        self._since, self._prepared = time.monotonic(), self._preparation()

    def _preparation(self) -> float:
        return self._module.preparation_seconds if isinstance(self._module, GAN) else 0.0

    def _read(self) -> tuple[float, float]:
        """The seconds of training so far, and those of compiling."""
        if self._since is None:
            return self._seconds, self._compile_seconds
        compiling = self._preparation() - self._prepared
        training = time.monotonic() - self._since - compiling
        return self._seconds + training, self._compile_seconds + compiling

    def state_dict(self) -> dict[str, Any]:
        """The seconds so far."""
        seconds, compile_seconds = self._read()
        return {"seconds": seconds, "compile_seconds": compile_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the saved seconds; older checkpoints have none of compiling."""
        self._seconds = state_dict["seconds"]
        self._compile_seconds = state_dict.get("compile_seconds", 0.0)
