"""Writes generated samples: during training, and on demand from a checkpoint."""

from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import BasePredictionWriter
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from gan_lightning.data.base import GANDataModule
from gan_lightning.data.classes import class_folders
from gan_lightning.gan import GAN, Batch
from gan_lightning.training.paths import run_dir
from gan_lightning.training.tracking import log_picture
from gan_lightning.utils.checks import at_least, checked_seed
from gan_lightning.utils.files import appending
from gan_lightning.utils.images import image_grid, save_image, scatter_plot, to_uint8
from gan_lightning.utils.ranks import gather_on_first

COLUMNS = 8
ROWS = 8
#: The largest number of classes that have a column each.
MAX_CLASS_COLUMNS = 16
POINTS = 1000


class SampleGrid(pl.Callback):
    """Writes ``grids/step_N.png`` at each validation, from the same latents every time.

    Images are drawn as a grid of 8 rows; with up to 16 classes, each class has a column. Vectors
    are drawn as a scatter plot together with real ones; samples of other shapes are not drawn.
    TensorBoard, Weights & Biases, MLflow and any logger with a method ``log_image(key, images,
    step)`` get the same picture.

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
            log_picture(logger, "samples", path, pl_module.updates)

    def _write(self, gan: GAN, path: Path) -> bool:
        """Draw the samples, if they can be drawn; returns whether they can."""
        if gan.is_image:
            save_image(image_grid(grid_samples(gan, self.seed), _columns(gan.num_classes)), path)
        elif self._real is not None:
            with isolate_rng():
                torch.manual_seed(self.seed)
                scatter_plot(self._real, gan.sample(POINTS), path)
        else:
            return False
        return True


def count_in_grid(gan: GAN) -> int:
    """The number of samples in this model's grid."""
    return _columns(gan.num_classes) * ROWS


def grid_samples(gan: GAN, seed: int, y: Tensor | None = None) -> Tensor:
    """The samples of a grid, row by row, from fixed latents, or as many of the labels ``(N,)``.

    By default few classes follow each other, and of many they are drawn.
    """
    if y is None and 0 < gan.num_classes <= MAX_CLASS_COLUMNS:
        y = torch.arange(gan.num_classes).repeat(ROWS)
    with isolate_rng():
        torch.manual_seed(seed)
        if y is None:
            return gan.sample(count_in_grid(gan))
        return gan.sample(len(y), y.to(gan.device))


def _columns(num_classes: int) -> int:
    return num_classes if 0 < num_classes <= MAX_CLASS_COLUMNS else COLUMNS


class SampleWriter(BasePredictionWriter):
    """Writes the samples of ``predict``: single PNGs and a grid of the first, or a table.

    The images of a model without classes are next to ``grid.png``, 8 rows of 8. Those of a
    class-conditional model are in a folder for each class, which ``ImageFolder`` reads
    (``gan_lightning.data.classes.class_folders``); up to 16 classes have a column each in
    ``samples_grid.png``, in the run's folder.

    Samples that are not images are rows of a CSV file, with the label as the last column if there
    are classes; each rank writes its own.

    Args:
        output: the folder; by default ``samples`` in the run's folder.
        truncation: of the samples: the smaller, the less varied they are and, mostly, the better.
        standing_statistics: the number of passes over which the statistics of batch normalisation
            are computed anew before, from latents with this truncation; 0 keeps the trained ones.

    Raises:
        ValueError: a number is out of its range.
    """

    def __init__(
        self,
        output: str | None = None,
        truncation: float | None = None,
        standing_statistics: int = 0,
    ) -> None:
        super().__init__(write_interval="batch")
        if truncation is not None:
            at_least(0, truncation=truncation)  # what else it can be depends on the technique
        self.output = output
        self.truncation = truncation
        self.standing_statistics = at_least(0, standing_statistics=standing_statistics)
        self._written = 0
        # The samples of the grid, and the classes among them.
        self._first: list[Tensor] = []
        self._shown: set[int] = set()
        self._class_folders: list[str] = []

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reset the counter, prepare the generator, and give each rank its own seed."""
        self._written, self._first, self._shown = 0, [], set()
        data, num_classes = trainer.datamodule, getattr(pl_module, "num_classes", 0)  # type: ignore[attr-defined]
        named = isinstance(data, GANDataModule) and data.num_classes == num_classes
        names = [data.class_name(i) if named else str(i) for i in range(num_classes)]
        self._class_folders = class_folders(names)
        self._table(trainer).unlink(missing_ok=True)
        if isinstance(pl_module, GAN):
            pl_module.predict_truncation = self.truncation
            if self.standing_statistics:
                pl_module.standing_statistics(self.standing_statistics, truncation=self.truncation)
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
        # Labels are written for a model that uses them.
        y = batch[1].tolist() if isinstance(batch, tuple) and self._class_folders else None
        if prediction.dim() != 4:
            folder.mkdir(parents=True, exist_ok=True)
            rows = prediction.flatten(1).tolist()
            if y is not None:
                rows = [[*row, label] for row, label in zip(rows, y, strict=True)]
            with appending(self._table(trainer)) as file:
                file.writelines(",".join(map(str, row)) + "\n" for row in rows)
            self._written += len(prediction)
            return
        if self._written * trainer.world_size < ROWS * MAX_CLASS_COLUMNS:
            self._first.append(prediction.cpu())
            self._shown.update(y or [])
        for i, image in enumerate(to_uint8(prediction)):
            number = self._written * trainer.world_size + trainer.global_rank
            place = folder if y is None else folder / self._class_folders[y[i]]
            save_image(image, place / f"{number:06d}.png", flushed=False)
            self._written += 1

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the grid, and report where the samples are."""
        ranks = gather_on_first((self._written, self._first, self._shown))
        if not ranks:
            return
        folder, (counts, firsts, shown) = self._folder(trainer), zip(*ranks, strict=True)
        where = f"{sum(counts)} samples are in {folder}"
        # The samples of ranks alternate.
        turns = zip_longest(*(chain.from_iterable(first) for first in firsts))
        if first := [image for turn in turns for image in turn if image is not None]:
            classes = len(set().union(*shown))
            columns = _columns(classes if classes > 1 else 0)
            # Beside the folders of classes, it would be an image without a class.
            grid = run_dir(trainer) / "samples_grid.png" if classes else folder / "grid.png"
            save_image(image_grid(torch.stack(first[: ROWS * columns]), columns), grid)
            where += f", in a folder for each class; some are in {grid}" if classes else ""
        rank_zero_info(where)

    def _table(self, trainer: pl.Trainer) -> Path:
        return self._folder(trainer) / f"samples_rank{trainer.global_rank}.csv"

    def _folder(self, trainer: pl.Trainer) -> Path:
        return Path(self.output) if self.output else run_dir(trainer) / "samples"
