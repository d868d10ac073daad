"""Logs that go on where a run goes on."""

import pytorch_lightning as pl

from gan_lightning.loggers import ContinuedCSVLogger
from gan_lightning.module import GAN


class ContinueLogs(pl.Callback):
    """Tells a ``ContinuedCSVLogger`` after which update a fit goes on: all, where it starts."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Before anything is logged."""
        done = pl_module.updates if isinstance(pl_module, GAN) and trainer.ckpt_path else -1
        for logger in trainer.loggers:
            if isinstance(logger, ContinuedCSVLogger):
                logger.go_on_after(done)
