"""Logs that go on where a run goes on."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import WandbLogger

from gan_lightning.gan import GAN
from gan_lightning.training import requeue
from gan_lightning.training.loggers import ContinuedCSVLogger
from gan_lightning.training.paths import checkpoint_folder, run_dir
from gan_lightning.utils.files import remove_abandoned


class ContinueLogs(pl.Callback):
    """Lets logs go on where a fit goes on.

    A ``ContinuedCSVLogger`` is told after which update that is, and after which row of it: all,
    where it starts. A checkpoint holds which runs of Weights & Biases it belongs to, and a job of
    SLURM is told where its run is.
    """

    def __init__(self) -> None:
        self._wandb: list[str] = []
        self._csv: list[ContinuedCSVLogger] = []
        self._rows: list[int] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Before anything is logged."""
        self._wandb = [
            str(logger.version) for logger in trainer.loggers if isinstance(logger, WandbLogger)
        ]
        if trainer.is_global_zero:
            place = checkpoint_folder(trainer, trainer.checkpoint_callback)
            run = run_dir(trainer)
            requeue.remember(Path(trainer.default_root_dir), run, place)
            if trainer.ckpt_path and trainer.logger is not None:  # else the folder is not its own
                for folder in (run, run / "grids"):
                    remove_abandoned(folder)
        done = pl_module.updates if isinstance(pl_module, GAN) and trainer.ckpt_path else -1
        self._csv = [each for each in trainer.loggers if isinstance(each, ContinuedCSVLogger)]
        for i, logger in enumerate(self._csv):
            logger.continue_after(done, self._rows[i] if i < len(self._rows) else None)

    def state_dict(self) -> dict[str, Any]:
        """The runs of W&B, and how many rows each CSV has, in the order of their loggers.

        The rows are on the disk before the checkpoint that counts them is.
        """
        for logger in self._csv:
            logger.flush()
        return {"wandb": self._wandb, "rows": [logger.count for logger in self._csv]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the rows until a fit starts."""
        self._rows = state_dict.get("rows", [])
