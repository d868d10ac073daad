"""Frechet distance and Inception score as a callback, outside the module's state."""

import math

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore

from gan_lightning.checks import at_least
from gan_lightning.metrics import Extractor, extract, load_extractor
from gan_lightning.metrics.scores import Given
from gan_lightning.module import GAN, Batch


class Evaluate(pl.Callback):
    """Scores generated samples against the real ones of the validation, or test, loop.

    Logs ``fid`` and ``is`` on Inception features, ``fd_NAME`` and, where it gives classes,
    ``is_NAME`` on those of another extractor. Real and generated samples are rounded to uint8,
    features are float32 without autocast, and torchmetrics sums and compares them in float64. The
    real samples are read once per fit. Where the sanity check covers the whole loop
    (``num_sanity_val_steps: -1``), the untrained generator is scored and logged too. Sampling has
    a seed of its own and leaves the training's random state as it was. ``EvaluatePoints`` scores
    vectors.

    Args:
        extractor: a name that ``load_extractor`` knows, ``none`` for no scores, or ``auto`` for the
            choice of the data module.
        weights: a local file for the extractor, where it takes one.
        num_samples: generated samples; by default as many as real ones.
        batch_size: samples generated at a time.
        seed: of the samples.

    Raises:
        ValueError: there is no such extractor, its file holds something else, it takes images of
            another shape, or a number is too small.
        MissingFileError: its weights are neither on disk nor to be had.
    """

    def __init__(
        self,
        extractor: str = "auto",
        weights: str | None = None,
        num_samples: int | None = None,
        batch_size: int = 256,
        seed: int = 0,
    ) -> None:
        if num_samples is not None:
            at_least(2, num_samples=num_samples)
        self.extractor = extractor
        self.weights = weights
        self.num_samples = num_samples
        self.batch_size = at_least(1, batch_size=batch_size)
        self.seed = seed
        self._loaded: Extractor | None = None
        self._distance: FrechetInceptionDistance | None = None
        self._real_complete = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Load the extractor, so that missing weights stop a run before it starts."""
        name = self.extractor
        if name == "auto":
            default = "inception" if len(_gan(pl_module).shape) == 3 else None
            name = getattr(trainer.datamodule, "extractor", default) or "none"  # type: ignore[attr-defined]
        if stage == "predict" or name == "none":
            return
        with isolate_rng():  # building a network draws weights, before those of the file
            self._loaded = load_extractor(name, self.weights)
        self._loaded.check(_gan(pl_module).shape)
        self._distance = FrechetInceptionDistance(
            feature=Given(self._loaded.num_features), reset_real_features=False
        )
        self._real_complete = False

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take in the real samples, the first time."""
        if self._loaded is None or self._distance is None or self._real_complete:
            return
        self._loaded.network.to(pl_module.device)
        self._distance.to(pl_module.device)
        features, _ = extract(self._loaded, batch[0])
        self._distance.update(features, real=True)

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Generate, score and log."""
        if self._loaded is None or self._distance is None:
            return
        if trainer.sanity_checking and trainer.num_sanity_val_steps != math.inf:
            # Only some of the real samples have been seen.
            self._distance.reset_real_features = True
            self._distance.reset()
            self._distance.reset_real_features = False
            return
        self._real_complete = True
        gan = _gan(pl_module)
        gan.log_scalars(self._score(trainer, gan, self._loaded, self._distance))

    on_test_epoch_end = on_validation_epoch_end

    @torch.no_grad()
    def _score(
        self,
        trainer: pl.Trainer,
        gan: GAN,
        extractor: Extractor,
        distance: FrechetInceptionDistance,
    ) -> dict[str, float]:
        score = InceptionScore(feature=Given(0)).to(gan.device)
        with isolate_rng():
            torch.manual_seed(self.seed + trainer.global_rank)
            remaining = self._share(trainer, distance)
            while remaining:
                x = gan.sample(min(remaining, self.batch_size))
                features, logits = extract(extractor, x)
                distance.update(features, real=False)
                if logits is not None:
                    score.update(logits.double())
                remaining -= len(x)
            # The score shuffles with the global random state.
            torch.manual_seed(self.seed)
            scores = {extractor.frechet: distance.compute().item()}
            if extractor.score is not None:
                scores[extractor.score] = score.compute()[0].item()
        distance.reset()
        return scores

    def _share(self, trainer: pl.Trainer, distance: FrechetInceptionDistance) -> int:
        """How many samples this rank generates."""
        if self.num_samples is None:
            return int(distance.real_features_num_samples)
        return len(range(trainer.global_rank, self.num_samples, trainer.world_size))


def _gan(pl_module: pl.LightningModule) -> GAN:
    if not isinstance(pl_module, GAN):
        raise TypeError(f"only a GAN can be evaluated, not {type(pl_module).__name__}")
    return pl_module
