"""Scores of generated samples as a callback, outside the module's state."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import DistributedSampler

from gan_lightning.data.base import GANDataModule
from gan_lightning.gan import GAN, Batch
from gan_lightning.metrics import Extractor, Features, Pool, extract, load_extractor
from gan_lightning.metrics.measures import (
    MEASURES,
    Measure,
    check_counts,
    chosen,
    chosen_of_points,
    few_for_a_distance,
    full_name,
    measured,
    point_measures,
    selected,
)
from gan_lightning.metrics.statistics import read_statistics, statistics_path, write_statistics
from gan_lightning.utils.checks import at_least, checked_seed
from gan_lightning.utils.errors import ArgumentError
from gan_lightning.utils.files import user_path
from gan_lightning.utils.ranks import from_first, share_buffers


@dataclass(frozen=True)
class _Plan:
    """What is measured, and on which features; ``extractor`` is None for points."""

    metrics: list[str]
    measures: tuple[Measure, ...]
    num_features: int
    extractor: Extractor | None

    @property
    def needs_real(self) -> bool:
        return any(measure.needs_real for measure in self.measures)

    @property
    def keeps_real(self) -> bool:
        return any(measure.needs_real and measure.needs_each for measure in self.measures)

    def features(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return (x.float(), None) if self.extractor is None else extract(self.extractor, x)

    @property
    def network(self) -> str | None:
        return None if self.extractor is None else self.extractor.name


class Evaluate(pl.Callback):
    """Scores generated samples against the real ones of the validation, or test, loop.

    Images are compared on an extractor's features, by default with the Frechet distance ``fd`` and,
    where it gives classes, the Inception score ``is``; points in the plane with their sliced
    Wasserstein distance ``swd`` and, of a mixture, the ``modes`` reached and the share of
    ``high_quality`` points. What is logged is named after its protocol: ``fid50k_train``,
    ``is50k``, ``fd1797_digits_cnn`` (``gan_lightning.metrics.measures.full_name``).

    Images, real and generated, are rounded to uint8 once; features are in true float32, sums and
    distances in float64. All latents are drawn at once from a seed of their own, and ranks share
    them, so that a score does not depend on batches or ranks, and training's random state stays as
    it was. The real images of a data module are measured once, and kept on disk for other runs.
    Where the sanity check covers the whole loop (``num_sanity_val_steps: -1``), the untrained
    generator is scored too. Where a sample is not finite, distances are nan and ``diverged`` is 1.

    Args:
        extractor: a name that ``load_extractor`` knows, ``none`` for no scores, or ``auto`` for the
            choice of the data module.
        weights: a local file for the extractor, where it takes one.
        metrics: names, as a list or with commas between them: ``fd`` or ``fid``, ``is``, ``kd`` or
            ``kid``, ``precision``, ``recall``, ``density``, ``coverage``; of points ``swd``,
            ``modes``, ``high_quality``, by default all.
        num_samples: generated samples; by default as many as real ones.
        batch_size: samples generated at a time.
        seed: of the samples.
        cache_dir: the folder of real samples' features, which may be deleted at any time; ``null``
            keeps none.

    Raises:
        ValueError: there is no such extractor or metric, its file holds something else, it takes
            images of another shape, or a number is too small.
        MissingFileError: its weights are neither on disk nor to be had.
    """

    def __init__(
        self,
        extractor: str = "auto",
        weights: str | None = None,
        metrics: str | Sequence[str] | None = None,
        num_samples: int | None = None,
        batch_size: int = 256,
        seed: int = 0,
        cache_dir: str | None = "~/.cache/gan_lightning",
    ) -> None:
        if num_samples is not None:
            at_least(2, num_samples=num_samples)
        self.extractor = extractor
        self.weights = weights
        self.metrics = metrics.replace(",", " ").split() if isinstance(metrics, str) else metrics
        self.num_samples = num_samples
        self.batch_size = at_least(1, batch_size=batch_size)
        self.seed = checked_seed(seed)
        self.cache_dir = None if cache_dir is None else user_path(cache_dir)
        self._plan: _Plan | None = None
        self._diverged = False
        self._pool: Pool | None = None
        self._seen = 0
        self._path: Path | None = None
        # On the first rank; the others keep that it is there.
        self._real: Features | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Load the extractor, so that missing weights stop a run before it starts."""
        self._plan = self._pool = self._real = None
        self._diverged = False
        if stage == "predict" or self.extractor == "none":
            return
        gan = _gan(pl_module)
        plan = self._of_points if len(gan.shape) == 1 else self._of_images
        self._plan = plan(gan, trainer.datamodule)  # type: ignore[attr-defined]
        if self._plan is not None and self.num_samples is not None:
            check_counts(self._plan.measures, generated=self.num_samples)

    def _of_points(self, gan: GAN, data: object) -> _Plan:
        if self.extractor != "auto":
            raise ArgumentError(f"{self.extractor} takes images, and these are points")
        centres = getattr(data, "centres", None)
        measures = point_measures(centres and centres(), getattr(data, "std", 0))
        metrics = chosen_of_points(self.metrics, measures)
        return _Plan(metrics, selected(measures, metrics), gan.shape[0], None)

    def _of_images(self, gan: GAN, data: object) -> _Plan | None:
        name = self.extractor
        if name == "auto":
            name = getattr(data, "extractor", "inception") or "none"
            if not gan.is_image or gan.shape[0] not in (1, 3):
                rank_zero_info(f"no extractor takes samples of shape {gan.shape}: no scores")
                name = "none"
        if name == "none":
            return None
        with isolate_rng():  # building a network draws weights, before those of the file
            extractor = load_extractor(name, self.weights)
        extractor.check(gan.shape)
        if extractor.repeats_grey(gan.shape):
            rank_zero_info(f"{name} takes colour images: grey ones are repeated to three channels")
        default = ["fd", "is"] if extractor.classes else ["fd"]
        metrics = chosen(default if self.metrics is None else self.metrics, extractor)
        return _Plan(metrics, selected(MEASURES, metrics), extractor.num_features, extractor)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look for what is known of the real samples."""
        plan = self._plan
        if plan is None or self._real is not None or _is_partial_check(trainer):
            return
        nothing = Features(torch.zeros(0, plan.num_features))
        if self.num_samples is not None and not plan.needs_real:
            self._real = nothing
            return
        self._path = None
        if from_first(lambda: self._look_up(trainer, plan)):
            self._real = self._real or nothing
            return
        self._pool, self._seen = Pool(plan.num_features, plan.keeps_real), 0

    on_test_epoch_start = on_validation_epoch_start

    def _look_up(self, trainer: pl.Trainer, plan: _Plan) -> bool:
        """Whether the real samples' features were on disk."""
        data, loader = trainer.datamodule, _loader(trainer)  # type: ignore[attr-defined]
        split = data.split_of(loader) if isinstance(data, GANDataModule) else None
        if plan.extractor is None or self.cache_dir is None or split is None or _is_cut(trainer):
            return False
        self._path = statistics_path(
            self.cache_dir,
            f"{type(data).__name__}-{split}",
            plan.extractor.name,
            plan.keeps_real,
            f"{data.fingerprint(split)} {plan.extractor.fingerprint()}",
        )
        self._real = read_statistics(self._path)
        return self._real is not None

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
        if self._plan is None or self._pool is None:
            return
        # Ranks take samples in turn.
        numbers = torch.arange(self._seen, self._seen + len(batch[0])) * trainer.world_size
        numbers += trainer.global_rank
        self._seen += len(numbers)
        new = numbers < _count_unpadded(_loader(trainer))
        features, _ = self._plan.features(
            batch[0] if new.all() else batch[0][new.to(batch[0].device)]
        )
        self._pool.add(features, None, numbers[new])

    on_test_batch_end = on_validation_batch_end

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Generate, score and log."""
        if self._plan is None or _is_partial_check(trainer):
            return
        if self._pool is not None:
            self._real, self._pool = self._pool.gathered(), None
            from_first(self._keep)
        plan, real, gan = self._plan, self._real, _gan(pl_module)
        assert real is not None
        num_real = from_first(lambda: len(real))
        count = self.num_samples or num_real
        fake = self._generated(trainer, gan, plan, count)
        found = from_first(lambda: measured(plan.measures, real, fake))
        split = _split(trainer) + (str(num_real) if _is_cut(trainer) else "")
        names = {name: full_name(name, plan.network, count, split) for name in plan.metrics}
        scores = {names[name]: found[name] for name in plan.metrics}
        diverged = from_first(lambda: not fake.finite)
        if diverged:
            rank_zero_warn(
                f"{type(gan).__name__} diverged: of {count:,} generated samples some are not finite"
            )
        if diverged or self._diverged:
            self._diverged = True
            scores["diverged"] = float(diverged)
        few = plan.extractor is not None and few_for_a_distance(count, plan.num_features)
        if few and "fd" in plan.metrics:
            rank_zero_warn(f"{names['fd']}: of generated images, {few}")
        gan.log_scalars(scores)

    on_test_epoch_end = on_validation_epoch_end

    def _keep(self) -> None:
        if self._path is not None and self._real is not None:
            write_statistics(self._real, self._path)

    def _generated(self, trainer: pl.Trainer, gan: GAN, plan: _Plan, count: int) -> Features:
        """Features of ``count`` samples, each rank's in turn; all of them on the first."""
        pool = Pool(plan.num_features, any(m.needs_each for m in plan.measures))
        each, rank, world_size = self.batch_size, trainer.global_rank, trainer.world_size
        share_buffers(gan.sampled)
        with isolate_rng():
            torch.manual_seed(self.seed)
            z, y = gan.draw_inputs(count)
            for start in range(rank * each, count, world_size * each):
                part = slice(start, start + each)
                x = gan.generate(z[part], None if y is None else y[part])
                pool.add(*plan.features(x), torch.arange(start, start + len(x)))
        return pool.gathered()


def _is_partial_check(trainer: pl.Trainer) -> bool:
    """Whether this is a sanity check that sees only some of the real samples."""
    return trainer.sanity_checking and trainer.num_sanity_val_steps != math.inf


def _is_cut(trainer: pl.Trainer) -> bool:
    """Whether the loop sees only some of its loader's batches; 1 is one batch, 1.0 all."""
    limit = trainer.limit_test_batches if trainer.testing else trainer.limit_val_batches
    return not (isinstance(limit, float) and limit == 1.0)


def _loader(trainer: pl.Trainer) -> object:
    """What the loop walks through."""
    return trainer.test_dataloaders if trainer.testing else trainer.val_dataloaders


def _count_unpadded(loader: object) -> float:
    """The number that samples' numbers are below, where torch's sampler repeats the first ones."""
    sampler = getattr(loader, "sampler", None)
    if not isinstance(sampler, DistributedSampler):
        return math.inf
    return len(sampler.dataset)  # type: ignore[arg-type]


def _split(trainer: pl.Trainer) -> str:
    """What the loop's samples are; without a data module's word, which loop it is."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    split = data.split_of(_loader(trainer)) if isinstance(data, GANDataModule) else None
    return split or ("test" if trainer.testing else "val")


def _gan(pl_module: pl.LightningModule) -> GAN:
    if not isinstance(pl_module, GAN):
        raise TypeError(f"only a GAN can be evaluated, not {type(pl_module).__name__}")
    return pl_module
