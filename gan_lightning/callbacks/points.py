"""Scores of points in the plane, as a callback."""

import math

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from gan_lightning.distributed import gather
from gan_lightning.metrics.toys import near_modes, sliced_wasserstein
from gan_lightning.module import GAN, Batch


class EvaluatePoints(pl.Callback):
    """Scores as many generated vectors as the validation, or test, loop has real ones.

    Logs ``swd``, the sliced Wasserstein distance; and of a mixture ``modes``, how many have a
    generated point within three deviations, and ``high_quality``, the share of points that are so.
    Sampling has a seed of its own and leaves the training's random state as it was. Images are not
    scored.

    Args:
        seed: of the samples.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._real: list[Tensor] = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the real points."""
        if isinstance(pl_module, GAN) and len(pl_module.shape) == 1:
            self._real.append(batch[0].cpu())

    on_test_batch_end = on_validation_batch_end

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Generate, score and log."""
        partial = trainer.sanity_checking and trainer.num_sanity_val_steps != math.inf
        if self._real and not partial:
            assert isinstance(pl_module, GAN)
            with isolate_rng():
                torch.manual_seed(self.seed + trainer.global_rank)
                fake = pl_module.sample(sum(map(len, self._real)))
            scores = _score(gather(torch.cat(self._real)), gather(fake.cpu()), trainer)
            pl_module.log_scalars(scores)
        self._real = []

    on_test_epoch_end = on_validation_epoch_end


def _score(real: Tensor, fake: Tensor, trainer: pl.Trainer) -> dict[str, float]:
    scores = {"swd": sliced_wasserstein(real, fake)}
    data = trainer.datamodule  # type: ignore[attr-defined]
    if hasattr(data, "centres"):
        modes, share = near_modes(fake, data.centres(), data.std)
        scores |= {"modes": float(modes), "high_quality": share}
    return scores
