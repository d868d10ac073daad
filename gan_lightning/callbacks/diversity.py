"""A cheap check for mode collapse."""

import math

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor

from gan_lightning.callbacks.samples import count_in_grid, grid_samples
from gan_lightning.gan import GAN, Batch
from gan_lightning.metrics.diversity import COLLAPSED, has_collapsed, nearest_distance
from gan_lightning.metrics.labels import count_labels
from gan_lightning.utils.checks import checked_seed
from gan_lightning.utils.ranks import from_first

#: The generator updates that count as the start of training.
START = 1000


class Diversity(pl.Callback):
    """Logs ``diversity/fake`` and ``diversity/real`` at each validation of a fit.

    ``diversity/fake`` is the mean distance, in the samples' own units, of the samples in the grid
    of ``SampleGrid`` to their nearest neighbours; ``diversity/real`` that of as many real samples
    from all over the validation loop. If these have labels, a class-conditional model draws samples
    of the same labels instead. If the first falls below a share of the second, the callback warns
    of mode collapse: once, until it has risen again. At the start of training, samples are not yet
    diverse: as long as they never were, the callback does not warn in the first ``START`` updates,
    nor in the first validation that follows an update.

    Args:
        least: the share; sixteen digits or fewer, drawn again and again, are below 0.2.
        seed: the seed of the latents.
    """

    def __init__(self, least: float = COLLAPSED, seed: int = 0) -> None:
        self.least = least
        self.seed = checked_seed(seed)
        self._collected: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._forget()

    def _forget(self) -> None:
        self._real: float | None = None
        self._y: Tensor | None = None
        self._warned = False
        # Whether a validation followed an update, and whether samples were diverse in one.
        self._validated = self._was_diverse = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Forget an earlier fit, which may have been on other data."""
        if stage == "fit":
            self._forget()

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start collecting real samples and their labels."""
        self._collected, self._labels = [], []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collect this batch's share of the real samples, in the first validation."""
        batches = float(trainer.num_val_batches[0])
        partial = trainer.sanity_checking and trainer.num_sanity_val_steps != math.inf
        if self._real is not None or partial or not isinstance(pl_module, GAN):
            return
        x, y = pl_module.unpack(batch, needs_labels=False)
        count = count_in_grid(pl_module)
        if math.isinf(batches):
            indices = torch.arange(min(len(x), count - sum(map(len, self._collected))))
        else:
            share = int(count * (batch_idx + 1) // batches - count * batch_idx // batches)
            share = min(share, len(x))  # with several ranks, the last one's may be empty
            indices = torch.linspace(0, len(x) - 1, share).long()
        self._collected.append(x[indices.to(x.device)].cpu())
        if y is not None:
            self._labels.append(y[indices.to(y.device)].cpu())
            count_labels(self._labels[-1], pl_module.num_classes)  # which refuses other labels

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare, log and warn."""
        if not isinstance(pl_module, GAN) or trainer.state.fn != TrainerFn.FITTING:
            return
        real = from_first(self._real_diversity)
        if real is None:
            return
        fake = from_first(lambda: nearest_distance(grid_samples(pl_module, self.seed, self._y)))
        pl_module.log_scalars({"diversity/real": real, "diversity/fake": fake})
        if not pl_module.updates:
            return  # the untrained generator is not expected to be diverse
        collapsed = has_collapsed(fake, real, self.least)
        started = self._was_diverse or (self._validated and pl_module.updates >= START)
        if collapsed and started and not self._warned:
            rank_zero_warn(
                f"{type(pl_module).__name__} may have collapsed at update {pl_module.updates:,}: "
                f"the mean distance of its samples to their nearest neighbour is {fake / real:.0%} "
                f"of that of real samples, below the threshold of {self.least:.0%}"
            )
        self._warned = collapsed and started
        self._validated, self._was_diverse = True, self._was_diverse or not collapsed

    def _real_diversity(self) -> float | None:
        collected = [x for x in self._collected if len(x)]
        if self._real is None and sum(map(len, collected)) > 1:
            self._real = nearest_distance(torch.cat(collected))
            self._y = torch.cat(self._labels) if self._labels else None
        self._collected, self._labels = [], []
        return self._real
