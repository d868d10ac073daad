"""Writes generated samples: during training, and on demand from a checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import BasePredictionWriter
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from gan_lightning.gan import GAN, Batch
from gan_lightning.training.paths import run_dir
from gan_lightning.utils.checks import checked_seed
from gan_lightning.utils.files import appending
from gan_lightning.utils.images import image_grid, save_image, scatter_plot, to_uint8

COLUMNS = 8
ROWS = 8
#: The largest number of classes that have a column each.
MAX_CLASS_COLUMNS = 16
POINTS = 1000


class SampleGrid(pl.Callback):
    """Writes ``grids/step_N.png`` at each validation, from the same latents every time.

    Images are drawn as a grid of 8 rows; with up to 16 classes, each class has a column. Vectors
    are drawn as a scatter plot together with real ones; samples of other shapes are not drawn. A
    ``WandbLogger`` gets the same picture.

    Args:
        seed: the seed of the latents.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = checked_seed(seed)
        self._real: Tensor | None = None

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collect some real vectors to plot."""
        if not isinstance(pl_module, GAN) or len(pl_module.shape) != 1:
            return
        if self._real is None or len(self._real) < POINTS:
            x, _ = pl_module.unpack(batch, needs_labels=False)
            parts = [x] if self._real is None else [self._real, x]
            self._real = torch.cat(parts)[:POINTS]

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the samples and write the picture."""
        if not trainer.is_global_zero or not isinstance(pl_module, GAN):
            return
        path = run_dir(trainer) / "grids" / f"step_{pl_module.updates:06d}.png"
        if not self._write(pl_module, path):
            return
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("samples", [str(path)], step=pl_module.updates)

    def _write(self, gan: GAN, path: Path) -> bool:
        """Draw the samples, if they can be drawn; returns whether they can."""
        if gan.is_image:
            save_image(image_grid(grid_samples(gan, self.seed), _columns(gan)), path)
        elif self._real is not None:
            with isolate_rng():
                torch.manual_seed(self.seed)
                scatter_plot(self._real, gan.sample(POINTS), path)
        else:
            return False
        return True


def count_in_grid(gan: GAN) -> int:
    """The number of samples in this model's grid."""
    return _columns(gan) * ROWS


def grid_samples(gan: GAN, seed: int) -> Tensor:
    """The samples of a grid, row by row, from fixed latents; few classes follow each other."""
    classes = gan.num_classes if gan.num_classes <= MAX_CLASS_COLUMNS else 0
    y = torch.arange(classes, device=gan.device).repeat(ROWS) if classes else None
    with isolate_rng():
        torch.manual_seed(seed)
        return gan.sample(count_in_grid(gan), y)


def _columns(gan: GAN) -> int:
    return gan.num_classes if 0 < gan.num_classes <= MAX_CLASS_COLUMNS else COLUMNS


class SampleWriter(BasePredictionWriter):
    """Writes the samples of ``predict``: single PNGs and a grid of the first 64, or a table.

    Samples that are not images are rows of a CSV file; each rank writes its own.

    Args:
        output: the folder; by default ``samples`` in the run's folder.
    """

    def __init__(self, output: str | None = None) -> None:
        super().__init__(write_interval="batch")
        self.output = output
        self._written = 0
        self._first: list[Tensor] = []

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reset the counter, and give each rank its own seed."""
        self._written, self._first = 0, []
        self._table(trainer).unlink(missing_ok=True)
        if trainer.world_size > 1:
            torch.manual_seed(torch.initial_seed() + trainer.global_rank)

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        prediction: Any,  # noqa: ANN401
        batch_indices: Sequence[int] | None,
        batch: Any,  # noqa: ANN401
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write a batch; the numbers of samples alternate between ranks."""
        folder = self._folder(trainer)
        if prediction.dim() != 4:
            folder.mkdir(parents=True, exist_ok=True)
            with appending(self._table(trainer)) as file:
                file.writelines(
                    ",".join(map(str, row)) + "\n" for row in prediction.flatten(1).tolist()
                )
            self._written += len(prediction)
            return
        for image in to_uint8(prediction):
            number = self._written * trainer.world_size + trainer.global_rank
            save_image(image, folder / f"{number:06d}.png", flushed=False)
            self._written += 1
        if sum(map(len, self._first)) < ROWS * COLUMNS:
            self._first.append(prediction)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the grid, and report where the samples are."""
        folder = self._folder(trainer)
        if trainer.is_global_zero and self._first:
            first = torch.cat(self._first)[: ROWS * COLUMNS]
            save_image(image_grid(first, COLUMNS), folder / "grid.png")
        rank_zero_info(f"{self._written * trainer.world_size} samples are in {folder}")

    def _table(self, trainer: pl.Trainer) -> Path:
        return self._folder(trainer) / f"samples_rank{trainer.global_rank}.csv"

    def _folder(self, trainer: pl.Trainer) -> Path:
        return Path(self.output) if self.output else run_dir(trainer) / "samples"
