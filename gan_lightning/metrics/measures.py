"""Every score of two sets of features, by name."""

from collections.abc import Callable
from dataclasses import dataclass

from gan_lightning.metrics.features import Features
from gan_lightning.metrics.scores import (
    SPLITS,
    Moments,
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
)


@dataclass(frozen=True)
class Measure:
    """Scores that are computed together, and how few images of a kind they can be made of.

    ``compute(real, fake)`` raises ValueError where there are fewer.
    """

    names: tuple[str, ...]
    least: int
    compute: Callable[[Features, Features], tuple[float, ...]]


def _frechet(real: Features, fake: Features) -> tuple[float]:
    return (frechet_distance(Moments.of(real.features), Moments.of(fake.features)),)


def _inception(real: Features, fake: Features) -> tuple[float]:
    assert fake.logits is not None
    return (inception_score(fake.logits),)


#: The Inception score, ``is``, is the one that needs logits.
MEASURES = (
    Measure(("fd",), 2, _frechet),
    Measure(("is",), SPLITS, _inception),
    Measure(("kd",), 2, lambda real, fake: (kernel_distance(real.features, fake.features),)),
    Measure(
        ("precision", "recall"),
        4,
        lambda real, fake: precision_recall(real.features, fake.features),
    ),
    Measure(
        ("density", "coverage"),
        6,
        lambda real, fake: density_coverage(real.features, fake.features),
    ),
)


def measured(measures: tuple[Measure, ...], real: Features, fake: Features) -> dict[str, float]:
    """What the measures give, by name."""
    return {
        name: value
        for measure in measures
        for name, value in zip(measure.names, measure.compute(real, fake), strict=True)
    }
