"""A callback that scores generated samples, outside the module's state."""

import math
from collections.abc import Iterable, Sequence
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
from gan_lightning.metrics.labels import count_labels, labels_in_proportion
from gan_lightning.metrics.measures import (
    MEASURES,
    Measure,
    check_counts,
    compute_scores,
    full_name,
    point_measures,
    resolve_metrics,
    resolve_point_metrics,
    select_measures,
    too_few_warning,
)
from gan_lightning.metrics.statistics import read_statistics, statistics_path, write_statistics
from gan_lightning.training.tracking import expect_scores, list_scores
from gan_lightning.utils.checks import at_least, checked_seed
from gan_lightning.utils.errors import ArgumentError
from gan_lightning.utils.files import user_path
from gan_lightning.utils.ranks import from_first, share_buffers, sum_over_ranks


@dataclass(frozen=True)
class _Plan:
    """The metrics to compute, and the features to use; ``extractor`` is None for points."""

    metrics: list[str]
    measures: tuple[Measure, ...]
    num_features: int
    extractor: Extractor | None

    @property
    def needs_real(self) -> bool:
        return any(measure.needs_real for measure in self.measures)

    @property
    def keeps_real_features(self) -> bool:
        return any(measure.needs_real and measure.needs_features for measure in self.measures)

    def features(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return (x.float(), None) if self.extractor is None else extract(self.extractor, x)

    @property
    def network(self) -> str | None:
        return None if self.extractor is None else self.extractor.name


class Evaluate(pl.Callback):
    """Scores generated samples against the real ones of the validation or test loop.

    Images are compared on an extractor's features, by default with the Frechet distance ``fd`` and,
    if it returns class logits, the Inception score ``is``. Points in the plane are compared with
    the sliced Wasserstein distance ``swd`` and, if they are of a mixture, the number of ``modes``
    reached and the share of ``high_quality`` points. The logged names state the protocol:
    ``fid50k_train``, ``is50k``, ``fd1797_digits_cnn``
    (``gan_lightning.metrics.measures.full_name``).

    Real and generated images are rounded to uint8 once; features are computed in true float32, sums
    and distances in float64. All latents are drawn at once from their own seed and shared among
    ranks, so that a score does not depend on batches or ranks, and training's random state is not
    changed. A class-conditional model generates each class in proportion to the real samples. The
    features of a data module's real images are computed once and cached on disk for other runs. If
    the sanity check covers the whole loop (``num_sanity_val_steps: -1``), the untrained generator
    is scored too. If a sample is not finite, distances are nan and ``diverged`` is 1.

    Args:
        extractor: a name that ``load_extractor`` knows, ``none`` for no scores, or ``auto`` for the
            data module's choice.
        weights: a local file for the extractor, if it takes one.
        metrics: names, as a list or separated by commas: ``fd`` or ``fid``, ``is``, ``kd`` or
            ``kid``, ``precision``, ``recall``, ``density``, ``coverage``; for points ``swd``,
            ``modes``, ``high_quality``, by default all.
        num_samples: the number of generated samples; by default as many as real ones.
        batch_size: the number of samples that are generated at a time; by default 256, and on a GPU
            1,024 of at most 64 x 64 pixels.
        seed: the seed of the generated samples.
        cache_dir: the folder that caches features of real samples, which may be deleted at any
            time; ``null`` for no cache.

    Raises:
        ValueError: there is no such extractor or metric, its file holds something else, it takes
            images of another shape, or a number is too small.
        MissingFileError: its weights are not on disk and cannot be downloaded.
    """

    def __init__(
        self,
        extractor: str = "auto",
        weights: str | None = None,
        metrics: str | Sequence[str] | None = None,
        num_samples: int | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        cache_dir: str | None = "~/.cache/gan_lightning",
    ) -> None:
        if num_samples is not None:
            at_least(2, num_samples=num_samples)
        self.extractor = extractor
        self.weights = weights
        self.metrics = metrics.replace(",", " ").split() if isinstance(metrics, str) else metrics
        self.num_samples = num_samples
        if batch_size is not None:
            at_least(1, batch_size=batch_size)
        self.batch_size = batch_size
        self.seed = checked_seed(seed)
        self.cache_dir = None if cache_dir is None else user_path(cache_dir)
        self._plan: _Plan | None = None
        # The module and the data that the plan was made for before ``setup``.
        self._prepared: tuple[object, object] = (None, None)
        self._diverged = False
        # Whether loggers are yet to be told the names of the scores.
        self._lists_scores = False
        self._pool: Pool | None = None
        self._seen = 0
        self._path: Path | None = None
        # The features on the first rank; an empty placeholder on the others.
        self._real: Features | None = None
        # The real samples of each class: those of this rank so far, then those of all ranks.
        self._counting = False
        self._class_counts = torch.zeros(0, dtype=torch.int64)

    def prepare(self, pl_module: pl.LightningModule, data: object) -> None:
        """Load the extractor, so that missing weights stop a run before it starts.

        ``gan_lightning.Trainer`` calls this before the data is downloaded and decoded; with another
        trainer ``setup`` does, when that is done.
        """
        self._prepared = (None, None)
        self._plan = None
        if self.extractor != "none":
            gan = _checked_gan(pl_module)
            plan = self._plan_for_points if len(gan.shape) == 1 else self._plan_for_images
            self._plan = plan(gan, data)
        if self._plan is not None and self.num_samples is not None:
            check_counts(self._plan.measures, generated=self.num_samples)
        self._prepared = (pl_module, data)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Prepare, unless the trainer has, and forget what an earlier loop was compared with."""
        self._pool = self._real = None
        self._diverged = self._counting = False
        module, data = self._prepared
        if stage == "predict":
            self._plan = None
        elif module is not pl_module or data is not trainer.datamodule:  # type: ignore[attr-defined]
            self.prepare(pl_module, trainer.datamodule)  # type: ignore[attr-defined]
        self._prepared = (None, None)
        self._lists_scores = stage == "fit" and self._plan is not None
        if self._lists_scores:
            expect_scores(trainer.loggers)

    def _plan_for_points(self, gan: GAN, data: object) -> _Plan:
        if self.extractor != "auto":
            raise ArgumentError(f"{self.extractor} takes images, but these are points")
        centres = getattr(data, "centres", None)
        measures = point_measures(centres and centres(), getattr(data, "std", 0))
        metrics = resolve_point_metrics(self.metrics, measures)
        return _Plan(metrics, select_measures(measures, metrics), gan.shape[0], None)

    def _plan_for_images(self, gan: GAN, data: object) -> _Plan | None:
        name = self.extractor
        if name == "auto":
            name = getattr(data, "extractor", "inception") or "none"
            if not gan.is_image or gan.shape[0] not in (1, 3):
                rank_zero_info(f"no extractor takes samples of shape {gan.shape}: not scored")
                name = "none"
        if name == "none":
            return None
        with isolate_rng():  # building a network draws random weights before the file is loaded
            extractor = load_extractor(name, self.weights)
        extractor.check(gan.shape)
        if extractor.repeats_grey(gan.shape):
            rank_zero_info(f"{name} takes colour images: grey ones are repeated to three channels")
        default = ["fd", "is"] if extractor.classes else ["fd"]
        metrics = resolve_metrics(default if self.metrics is None else self.metrics, extractor)
        return _Plan(metrics, select_measures(MEASURES, metrics), extractor.num_features, extractor)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look up the features of the real samples; their labels are always counted."""
        plan = self._plan
        if plan is None or self._real is not None or _is_partial_check(trainer):
            return
        self._class_counts = torch.zeros(_checked_gan(pl_module).num_classes, dtype=torch.int64)
        self._counting = len(self._class_counts) > 0
        self._seen = 0
        empty = Features(torch.zeros(0, plan.num_features))
        if self.num_samples is not None and not plan.needs_real:
            self._real = empty
            return
        self._path = None
        if from_first(lambda: self._load_cached(trainer, plan)):
            self._real = self._real or empty
            return
        self._pool = Pool(plan.num_features, plan.keeps_real_features)

    on_test_epoch_start = on_validation_epoch_start

    def _load_cached(self, trainer: pl.Trainer, plan: _Plan) -> bool:
        """Load the real samples' features; returns whether they were cached."""
        data, loader = trainer.datamodule, _loader(trainer)  # type: ignore[attr-defined]
        split = data.split_of(loader) if isinstance(data, GANDataModule) else None
        if (
            plan.extractor is None
            or self.cache_dir is None
            or split is None
            or _is_limited(trainer)
        ):
            return False
        self._path = statistics_path(
            self.cache_dir,
            f"{type(data).__name__}-{split}",
            plan.extractor.name,
            plan.keeps_real_features,
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
        """Collect the features and labels of real samples, the first time."""
        if self._plan is None or (self._pool is None and not self._counting):
            return
        x, y = _checked_gan(pl_module).unpack(batch, needs_labels=False)
        # Ranks take samples in turn.
        indices = torch.arange(self._seen, self._seen + len(x)) * trainer.world_size
        indices += trainer.global_rank
        self._seen += len(indices)
        unpadded = indices < _count_unpadded(_loader(trainer))
        if self._counting and y is not None:
            self._class_counts += count_labels(y.cpu()[unpadded], len(self._class_counts))
        if self._pool is not None:
            features, _ = self._plan.features(x if unpadded.all() else x[unpadded.to(x.device)])
            self._pool.add(features, None, indices[unpadded])

    on_test_batch_end = on_validation_batch_end

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Generate, score and log."""
        if self._plan is None or _is_partial_check(trainer):
            return
        is_new = self._pool is not None
        if self._pool is not None:
            self._real, self._pool = self._pool.gather(), None
        if self._counting:
            self._counting = False
            self._class_counts = sum_over_ranks(self._class_counts.to(pl_module.device)).cpu()
            if not _is_limited(trainer):
                _warn_of_absent_classes(self._class_counts)
        plan, real, gan = self._plan, self._real, _checked_gan(pl_module)
        assert real is not None
        num_real = from_first(lambda: len(real))
        count = self.num_samples or num_real
        fake = self._generate_features(trainer, gan, plan, count)
        found = from_first(lambda: self._scores(plan.measures, real, fake, is_new))
        split = _split(trainer) + (str(num_real) if _is_limited(trainer) else "")
        names = {name: full_name(name, plan.network, count, split) for name in plan.metrics}
        scores = {names[name]: found[name] for name in plan.metrics}
        diverged = from_first(lambda: not fake.finite)
        if diverged:
            rank_zero_warn(
                f"{type(gan).__name__} diverged: some of {count:,} generated samples are not finite"
            )
        if diverged or self._diverged:
            self._diverged = True
            scores["diverged"] = float(diverged)
        warning = plan.extractor is not None and too_few_warning(count, plan.num_features)
        if warning and "fd" in plan.metrics:
            rank_zero_warn(f"{names['fd']}: {warning}")
        gan.log_scalars(scores)
        if self._lists_scores and trainer.is_global_zero:
            for logger in trainer.loggers:
                list_scores(logger, names.values(), gan.updates)
        self._lists_scores = False

    on_test_epoch_end = on_validation_epoch_end

    def _scores(
        self, measures: Iterable[Measure], real: Features, fake: Features, is_new: bool
    ) -> dict[str, float]:
        """The scores; what is newly known of the real samples is written, once it all is."""
        known = real.known_distances
        scores = compute_scores(measures, real, fake)
        if self._path is not None and (is_new or real.known_distances is not known):
            write_statistics(real, self._path)
        return scores

    def _generate_features(
        self, trainer: pl.Trainer, gan: GAN, plan: _Plan, count: int
    ) -> Features:
        """Features of ``count`` samples, which ranks generate in turn; the first rank gets all."""
        pool = Pool(plan.num_features, any(m.needs_features for m in plan.measures))
        each = self.batch_size or generated_at_a_time(gan.shape, gan.device)
        rank, world_size = trainer.global_rank, trainer.world_size
        share_buffers(gan.sampled)
        with isolate_rng():
            torch.manual_seed(self.seed)
            z, y = gan.draw_inputs(count)
            if y is not None and self._class_counts.any():
                y = labels_in_proportion(self._class_counts, count).to(y.device)
            for start in range(rank * each, count, world_size * each):
                part = slice(start, start + each)
                x = gan.generate(z[part], None if y is None else y[part])
                pool.add(*plan.features(x), torch.arange(start, start + len(x)))
        return pool.gather()


def generated_at_a_time(shape: tuple[int, ...], device: torch.device) -> int:
    """As many samples as keep a device busy and leave it memory enough."""
    return 1024 if device.type == "cuda" and shape[-1] <= 64 else 256


def _warn_of_absent_classes(counts: Tensor) -> None:
    """Warn if the real samples, ``counts`` of each class, have no labels or not all of them."""
    if not counts.any():
        rank_zero_warn(
            "the real samples have no labels: generated ones are of all classes alike; pass a "
            "validation loader with the labels"
        )
    elif absent := (counts == 0).nonzero().flatten().tolist():
        names = ", ".join(map(str, absent[:5])) + ", ..." * (len(absent) > 5)
        rank_zero_warn(
            f"{len(absent)} of {len(counts)} classes have no real samples ({names}): they are not "
            "scored, but sample() and the grids draw them; number the classes without gaps"
        )


def _is_partial_check(trainer: pl.Trainer) -> bool:
    """Whether this is a sanity check that sees only some of the real samples."""
    return trainer.sanity_checking and trainer.num_sanity_val_steps != math.inf


def _is_limited(trainer: pl.Trainer) -> bool:
    """Whether the loop is limited to some of its batches; 1 is one batch, 1.0 all."""
    limit = trainer.limit_test_batches if trainer.testing else trainer.limit_val_batches
    return not (isinstance(limit, float) and limit == 1.0)


def _loader(trainer: pl.Trainer) -> object:
    """The loader, or loaders, of the loop."""
    return trainer.test_dataloaders if trainer.testing else trainer.val_dataloaders


def _count_unpadded(loader: object) -> float:
    """The number of samples without those that torch's sampler repeats; inf if it repeats none."""
    sampler = getattr(loader, "sampler", None)
    if not isinstance(sampler, DistributedSampler):
        return math.inf
    return len(sampler.dataset)  # type: ignore[arg-type]


def _split(trainer: pl.Trainer) -> str:
    """The split of the loop's samples; if the data module does not know it, the loop's name."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    split = data.split_of(_loader(trainer)) if isinstance(data, GANDataModule) else None
    return split or ("test" if trainer.testing else "val")


def _checked_gan(pl_module: pl.LightningModule) -> GAN:
    if not isinstance(pl_module, GAN):
        raise TypeError(f"only a GAN can be evaluated, not {type(pl_module).__name__}")
    return pl_module
