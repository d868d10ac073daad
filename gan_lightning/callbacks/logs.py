"""Continues the logs of a resumed run."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.plugins import AsyncCheckpointIO

from gan_lightning.gan import GAN
from gan_lightning.training import requeue
from gan_lightning.training.lightning_internals import set_version
from gan_lightning.training.loggers import ContinuedCSVLogger
from gan_lightning.training.paths import checkpoint_folder, run_dir
from gan_lightning.utils.files import remove_abandoned


class ContinueLogs(pl.Callback):
    """Continues the logs of a resumed fit.

    A ``ContinuedCSVLogger`` continues after the rows that the checkpoint counts; at the start of a
    run it has none. A checkpoint saves the ids of its runs of Weights & Biases, and the folder of
    the run is saved for a requeued job of SLURM.
    """

    def __init__(self) -> None:
        self._wandb: list[str] = []
        self._csv: list[ContinuedCSVLogger] = []
        self._rows: list[int] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give all ranks the number of the first one's folder."""
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger | TensorBoardLogger):
                set_version(logger, trainer.strategy.broadcast(logger.version))

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prepare the loggers before anything is logged."""
        self._wandb = [
            str(logger.version) for logger in trainer.loggers if isinstance(logger, WandbLogger)
        ]
        done = pl_module.updates if isinstance(pl_module, GAN) and trainer.ckpt_path else -1
        self._csv = [each for each in trainer.loggers if isinstance(each, ContinuedCSVLogger)]
        for i, logger in enumerate(self._csv):
            logger.continue_after(done, self._rows[i] if i < len(self._rows) else None)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the folder of the run, where nothing has refused to resume it."""
        if not trainer.is_global_zero:
            return
        run = run_dir(trainer)
        checkpoints = checkpoint_folder(trainer, trainer.checkpoint_callback)
        if isinstance(trainer.strategy.checkpoint_io, AsyncCheckpointIO):
            # It makes the folder later than Lightning links a file in it.
            checkpoints.mkdir(parents=True, exist_ok=True)
        requeue.remember(Path(trainer.default_root_dir), run, checkpoints)
        if trainer.ckpt_path and trainer.logger is not None:  # else it is not its own folder
            for folder in (run, run / "grids"):
                remove_abandoned(folder)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Have the scores read from the file as soon as they are known."""
        for logger in self._csv:
            logger.write()

    def state_dict(self) -> dict[str, Any]:
        """The ids of W&B runs and the number of rows of each CSV, in the order of their loggers.

        Rows are flushed to the disk before the checkpoint that counts them.
        """
        for logger in self._csv:
            logger.flush()
        return {"wandb": self._wandb, "rows": [logger.count for logger in self._csv]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the rows until a fit starts."""
        self._rows = state_dict.get("rows", [])
