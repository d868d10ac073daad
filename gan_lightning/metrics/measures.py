"""The scores of two sets of features, and how they are named."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from gan_lightning.metrics.extractors import Extractor
from gan_lightning.metrics.features import Features
from gan_lightning.metrics.neighbours import MIN_SAMPLES, neighbour_scores
from gan_lightning.metrics.scores import (
    SPLITS,
    frechet_distance,
    inception_score,
    kernel_distance,
)
from gan_lightning.metrics.toys import near_modes, sliced_wasserstein
from gan_lightning.utils.errors import ArgumentError, TooFewSamplesError

INCEPTION = "inception"
#: The names of distances on Inception, the network that defines them.
INCEPTION_NAMES = {"fd": "fid", "kd": "kid"}
#: The score that needs class logits.
CLASS_METRIC = "is"


@dataclass(frozen=True)
class Measure:
    """Scores that are computed together.

    Args:
        names: the names of the scores.
        min_samples: the smallest number of samples, real or generated.
        compute: returns the scores, given the features of real and of generated samples.
        needs_real: whether the scores depend on real samples.
        needs_features: whether they need the features of each sample; otherwise moments suffice.
    """

    names: tuple[str, ...]
    min_samples: int
    compute: Callable[[Features, Features], tuple[float, ...]]
    needs_real: bool = True
    needs_features: bool = True


def _inception(real: Features, fake: Features) -> tuple[float]:
    assert fake.logits is not None
    return (inception_score(fake.logits),)


MEASURES = (
    Measure(
        ("fd",),
        2,
        lambda real, fake: (frechet_distance(real.moments, fake.moments),),
        needs_features=False,
    ),
    Measure((CLASS_METRIC,), SPLITS, _inception, needs_real=False, needs_features=False),
    Measure(("kd",), 2, lambda real, fake: (kernel_distance(real.features, fake.features),)),
    Measure(
        ("precision", "recall", "density", "coverage"),
        MIN_SAMPLES,
        lambda real, fake: neighbour_scores(real.features, fake.features, real.neighbour_distances),
    ),
)


def point_measures(centres: Tensor | None, std: float) -> tuple[Measure, ...]:
    """The measures of points, which are their own features, with modes ``centres`` ``(M, D)``."""

    def distance(real: Features, fake: Features) -> tuple[float]:
        return (sliced_wasserstein(real.features, fake.features),)

    def modes(real: Features, fake: Features) -> tuple[float, float]:
        assert centres is not None
        reached, share = near_modes(fake.features, centres, std)
        return float(reached), share

    measures = (Measure(("swd",), 1, distance),)
    if centres is None:
        return measures
    return (*measures, Measure(("modes", "high_quality"), 1, modes, needs_real=False))


#: The names of all metrics; without real samples, a score has no split in its name.
METRIC_NAMES = tuple(name for measure in MEASURES for name in measure.names)
POINT_METRIC_NAMES = ("swd", "modes", "high_quality")
_WITHOUT_SPLIT = (CLASS_METRIC, "modes", "high_quality")
_FULL_NAME = re.compile(
    rf"({'|'.join([*METRIC_NAMES, *INCEPTION_NAMES.values(), *POINT_METRIC_NAMES])})\d+k?(_|$)"
)


def full_name(
    metric: str, network: str | None, count: int | None = None, split: str | None = None
) -> str:
    """The full name of a score, which states its protocol.

    It consists of the metric, the number of generated samples, the network unless it is Inception,
    and the real split, which is left out where it is the training set and a network is named:
    ``fid50k_train``, ``is50k``, ``fd1797_digits_cnn`` and ``kd10k_mobilenet_v2_test``. Scores of
    two folders of images have neither count nor split: ``fid``, ``fd_mobilenet_v2``.

    Args:
        metric: one of ``METRIC_NAMES`` or ``POINT_METRIC_NAMES``.
        network: the extractor's name; None for points.
        count: the number of generated samples.
        split: the split of the real samples.
    """
    on_inception = network == INCEPTION
    parts = [INCEPTION_NAMES.get(metric, metric) if on_inception else metric]
    if count is not None:
        parts[0] += f"{count // 1000}k" if count and count % 1000 == 0 else str(count)
    if network is not None and not on_inception:
        parts.append(network)
    implied = split == "train" and len(parts) > 1
    if split is not None and metric not in _WITHOUT_SPLIT and not implied:
        parts.append(split)
    return "_".join(parts)


def is_full_name(name: str) -> bool:
    """Whether this is the full name of a generator's score."""
    return _FULL_NAME.match(name) is not None


def resolve_metrics(requested: Sequence[str], extractor: Extractor) -> list[str]:
    """The requested metrics, each once, by their names in ``METRIC_NAMES``.

    Raises:
        ArgumentError: a metric is unknown, or not available with the extractor.
    """
    ours = {theirs: name for name, theirs in INCEPTION_NAMES.items()}
    choices = f"choose from {', '.join([*METRIC_NAMES, *ours])}"
    if not requested:
        raise ArgumentError(f"no metric is given: {choices}")
    for name in requested:
        if name in ours and extractor.name != INCEPTION:
            raise ArgumentError(
                f"{name} is defined on Inception: with {extractor.name} use {ours[name]}"
            )
        if name not in (*METRIC_NAMES, *ours):
            raise ArgumentError(f"there is no metric {name!r}: {choices}")
        if name == CLASS_METRIC and not extractor.classes:
            raise ArgumentError(f"the metric {name} needs classes, which {extractor.name} lacks")
    return list(dict.fromkeys(ours.get(name, name) for name in requested))


def resolve_point_metrics(
    requested: Sequence[str] | None, measures: Iterable[Measure]
) -> list[str]:
    """The requested metrics of points, each once; by default all.

    Raises:
        ArgumentError: a metric is not available for these points.
    """
    names = [name for measure in measures for name in measure.names]
    metrics = names if requested is None else requested
    for name in metrics or [""]:
        if name not in names:
            raise ArgumentError(
                f"these points have no metric {name!r}: choose from {', '.join(names)}"
            )
    return list(dict.fromkeys(metrics))


def select_measures(measures: Iterable[Measure], metrics: Iterable[str]) -> tuple[Measure, ...]:
    """The measures that compute these metrics."""
    wanted = set(metrics)
    return tuple(measure for measure in measures if wanted & set(measure.names))


def compute_scores(measures: Iterable[Measure], real: Features, fake: Features) -> dict[str, float]:
    """The scores that the measures compute, by name.

    Raises:
        TooFewSamplesError: there are too few samples for one of them.
    """
    measures = tuple(measures)
    check_counts(measures, generated=len(fake), real=len(real))
    scores: dict[str, float] = {}
    for measure in measures:
        scores |= zip(measure.names, measure.compute(real, fake), strict=True)
    return scores


def check_counts(measures: Iterable[Measure], **counts: int) -> None:
    """Raises TooFewSamplesError if there are too few ``generated`` or ``real`` samples."""
    for measure in measures:
        for kind, count in counts.items():
            if count < measure.min_samples and (kind == "generated" or measure.needs_real):
                raise TooFewSamplesError(
                    f"{' and '.join(measure.names)}: at least {measure.min_samples} {kind} samples "
                    f"are needed, but there are {count}; choose other metrics or more samples"
                )


def too_few_warning(count: int, num_features: int) -> str | None:
    """A warning that a distance of so few images is unreliable; None if they are enough."""
    if count > num_features:
        return None
    return (
        f"{count:,} images are too few for {num_features:,} features: their distance is far from "
        "the one of many images"
    )
