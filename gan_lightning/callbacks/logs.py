"""Logs that go on where a run goes on."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import WandbLogger

from gan_lightning import requeue
from gan_lightning.callbacks.paths import run_dir
from gan_lightning.loggers import ContinuedCSVLogger
from gan_lightning.module import GAN


class ContinueLogs(pl.Callback):
    """Lets logs go on where a fit goes on.

    A ``ContinuedCSVLogger`` is told after which update that is: all, where it starts. A checkpoint
    holds which runs of Weights & Biases it belongs to, and a job of SLURM where its run is.
    """

    def __init__(self) -> None:
        self._wandb: list[str] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Before anything is logged."""
        self._wandb = [
            str(logger.version) for logger in trainer.loggers if isinstance(logger, WandbLogger)
        ]
        if trainer.is_global_zero:
            requeue.remember(Path(trainer.default_root_dir), run_dir(trainer))
        done = pl_module.updates if isinstance(pl_module, GAN) and trainer.ckpt_path else -1
        for logger in trainer.loggers:
            if isinstance(logger, ContinuedCSVLogger):
                logger.go_on_after(done)

    def state_dict(self) -> dict[str, Any]:
        """The runs of Weights & Biases, in the order of their loggers."""
        return {"wandb": self._wandb}
