"""The folders of a run."""

import re
from contextlib import suppress
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


def make_version(root: Path) -> tuple[int, list[Path]]:
    """Make the next folder ``version_N`` below ``root``, which no other process gets.

    Returns the number, and the folders that were made, the innermost first.

    Raises:
        OSError: it cannot be made.
    """
    made = [path for path in (root, *root.parents) if not path.exists()]
    while True:
        root.mkdir(parents=True, exist_ok=True)
        # Another process was faster, or has just removed an empty root.
        with suppress(FileExistsError, FileNotFoundError):
            taken = [re.fullmatch(r"version_(\d+)", path.name) for path in root.iterdir()]
            version = max((int(found[1]) + 1 for found in taken if found), default=0)
            folder = root / f"version_{version}"
            folder.mkdir()
            return version, [folder, *made]
