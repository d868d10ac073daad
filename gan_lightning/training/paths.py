"""The folders of a run."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint


def checkpoint_folder(trainer: pl.Trainer, callback: Checkpoint | None) -> Path:
    """The folder that a ``ModelCheckpoint`` of the trainer writes to."""
    given = getattr(callback, "dirpath", None)
    return Path(given) if given else run_dir(trainer) / "checkpoints"


def run_dir(trainer: pl.Trainer) -> Path:
    """The folder of a run: the logger's with its name and version, as for checkpoints."""
    logger = trainer.logger
    if logger is None:
        return Path(trainer.default_root_dir)
    version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
    return Path(logger.save_dir or trainer.default_root_dir, str(logger.name), version)
