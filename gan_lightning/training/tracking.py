"""What loggers of experiments get beside scalars: pictures, and scores beside hyperparameters.

TensorBoard, Weights & Biases and MLflow are known. Any other logger gets the pictures if it has a
method ``log_image(key, images, step)``, as that of Weights & Biases has, which takes paths.
"""

import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from gan_lightning.training.lightning_internals import (
    has_wandb_run,
    place_wandb_run,
    without_placeholder_metric,
)

#: Where an agent of Weights & Biases, or a user, says which run a process is.
RUN_ID = "WANDB_RUN_ID"


def log_picture(logger: Logger, name: str, path: Path, step: int) -> None:
    """Give a logger a picture that is on disk, if it takes pictures.

    Args:
        logger: of the first rank.
        name: of the series of pictures.
        path: of a PNG.
        step: the number of generator updates.
    """
    if callable(log_image := getattr(logger, "log_image", None)):
        log_image(name, [str(path)], step=step)
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(name, _pixels(path), step, dataformats="HWC")
        logger.experiment.flush()
    elif isinstance(logger, MLFlowLogger):
        image = Image.fromarray(_pixels(path))
        logger.experiment.log_image(logger.run_id, image, key=name, step=step)


def _pixels(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The colours ``(H, W, 3)`` of a picture."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def expect_scores(loggers: Iterable[Logger]) -> None:
    """Keep the score of -1 that Lightning invents out of TensorBoard: ``list_scores`` follows."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            without_placeholder_metric(logger)


def list_scores(logger: Logger, scores: Iterable[str], step: int) -> None:
    """Have TensorBoard's tab HPARAMS show the last value of these scores beside hyperparameters.

    Call it once for a fit, after their first values were logged. The other loggers do so by
    themselves.

    Args:
        logger: of the first rank.
        scores: their names.
        step: the number of generator updates.
    """
    if not isinstance(logger, TensorBoardLogger):
        return
    from torch.utils.tensorboard.summary import hparams

    given = logger.hparams if isinstance(logger.hparams, Mapping) else vars(logger.hparams)
    # The values do not matter: what is shown is the last scalar of this name.
    for summary in hparams(_plain(given), dict.fromkeys(scores, 0.0)):
        logger.experiment.file_writer.add_summary(summary, step)
    logger.experiment.flush()


def _plain(hyperparameters: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """What TensorBoard takes: all else as text."""
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in hyperparameters.items()
    }


def number_wandb_run(logger: Logger) -> None:
    """Give a run of Weights & Biases its id before it begins, by which its folder is named."""
    if isinstance(logger, WandbLogger) and logger.version is None and not has_wandb_run(logger):
        place_wandb_run(logger, run=os.environ.get(RUN_ID) or secrets.token_hex(4))


def place_wandb_files(logger: Logger, folder: Path) -> None:
    """Have a logger of Weights & Biases keep its files in the folder of the run."""
    if isinstance(logger, WandbLogger) and not has_wandb_run(logger):
        folder.mkdir(parents=True, exist_ok=True)  # or its files go to a temporary folder
        place_wandb_run(logger, folder)
