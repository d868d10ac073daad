"""Every score of two sets of features, by name, and what its name says."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from gan_lightning.metrics.extractors import Extractor
from gan_lightning.metrics.features import Features
from gan_lightning.metrics.scores import (
    SPLITS,
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
)
from gan_lightning.metrics.toys import near_modes, sliced_wasserstein
from gan_lightning.utils.errors import ArgumentError, TooFewSamplesError

INCEPTION = "inception"
#: What distances are called on the network that defines them.
ON_INCEPTION = {"fd": "fid", "kd": "kid"}
#: The score that is of classes.
OF_CLASSES = "is"


@dataclass(frozen=True)
class Measure:
    """Scores that are computed together.

    Args:
        names: of the scores.
        least: how many samples of a kind they can be made of.
        compute: them, of real and of generated samples.
        needs_real: whether they are of real samples at all.
        needs_each: whether they are of each sample's features; otherwise the moments do.
    """

    names: tuple[str, ...]
    least: int
    compute: Callable[[Features, Features], tuple[float, ...]]
    needs_real: bool = True
    needs_each: bool = True


def _inception(real: Features, fake: Features) -> tuple[float]:
    assert fake.logits is not None
    return (inception_score(fake.logits),)


MEASURES = (
    Measure(
        ("fd",),
        2,
        lambda real, fake: (frechet_distance(real.moments, fake.moments),),
        needs_each=False,
    ),
    Measure((OF_CLASSES,), SPLITS, _inception, needs_real=False, needs_each=False),
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


def point_measures(centres: Tensor | None, std: float) -> tuple[Measure, ...]:
    """Those of points, whose features they are themselves; ``centres`` ``(M, D)`` are of modes."""

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


#: Of all there are; what is not against real samples has no split in its name.
NAMES = tuple(name for measure in MEASURES for name in measure.names)
NAMES_OF_POINTS = ("swd", "modes", "high_quality")
_WITHOUT_SPLIT = (OF_CLASSES, "modes", "high_quality")
_FULL_NAME = re.compile(
    rf"({'|'.join([*NAMES, *ON_INCEPTION.values(), *NAMES_OF_POINTS])})\d+k?(_|$)"
)


def full_name(
    metric: str, network: str | None, count: int | None = None, split: str | None = None
) -> str:
    """The score's name, which is its protocol.

    The metric, the number of generated samples, the network where it is not Inception, and the
    real split, which is the training set where another network is named and no split: as in
    ``fid50k_train``, ``is50k``, ``fd1797_digits_cnn`` and ``kd10k_mobilenet_v2_test``. Two folders
    of images have neither count nor split: ``fid``, ``fd_mobilenet_v2``.

    Args:
        metric: one of ``NAMES`` or ``NAMES_OF_POINTS``.
        network: the extractor's name; None for points.
        count: of generated samples.
        split: of the data that the real samples are.
    """
    on_inception = network == INCEPTION
    parts = [ON_INCEPTION.get(metric, metric) if on_inception else metric]
    if count is not None:
        parts[0] += f"{count // 1000}k" if count and count % 1000 == 0 else str(count)
    if network is not None and not on_inception:
        parts.append(network)
    implied = split == "train" and len(parts) > 1
    if split is not None and metric not in _WITHOUT_SPLIT and not implied:
        parts.append(split)
    return "_".join(parts)


def is_full_name(name: str) -> bool:
    """Whether this is what a score of a generator is called."""
    return _FULL_NAME.match(name) is not None


def chosen(asked: Sequence[str], extractor: Extractor) -> list[str]:
    """The metrics that are asked for, each by its name in ``NAMES``.

    Raises:
        ArgumentError: one of them is unknown, or the extractor does not give it.
    """
    ours = {theirs: name for name, theirs in ON_INCEPTION.items()}
    choices = f"choose from {', '.join([*NAMES, *ours])}"
    if not asked:
        raise ArgumentError(f"no metric is named: {choices}")
    for name in asked:
        if name in ours and extractor.name != INCEPTION:
            raise ArgumentError(f"{name} is on Inception's features: elsewhere it is {ours[name]}")
        if name not in (*NAMES, *ours):
            raise ArgumentError(f"there is no metric {name!r}: {choices}")
        if name == OF_CLASSES and not extractor.classes:
            raise ArgumentError(f"{extractor.name} gives no classes, which the metric {name} needs")
    return list(dict.fromkeys(ours.get(name, name) for name in asked))


def chosen_of_points(asked: Sequence[str] | None, measures: Iterable[Measure]) -> list[str]:
    """The metrics that are asked for of points; by default all.

    Raises:
        ArgumentError: one of them is not to be had of these points.
    """
    names = [name for measure in measures for name in measure.names]
    metrics = names if asked is None else asked
    for name in metrics or [""]:
        if name not in names:
            raise ArgumentError(
                f"these points have no metric {name!r}: choose from {', '.join(names)}"
            )
    return list(dict.fromkeys(metrics))


def selected(measures: Iterable[Measure], metrics: Iterable[str]) -> tuple[Measure, ...]:
    """The measures that give these metrics."""
    wanted = set(metrics)
    return tuple(measure for measure in measures if wanted & set(measure.names))


def measured(measures: Iterable[Measure], real: Features, fake: Features) -> dict[str, float]:
    """What the measures give, by name.

    Raises:
        TooFewSamplesError: there are too few samples for one of them.
    """
    measures = tuple(measures)
    check_counts(measures, generated=len(fake), real=len(real))
    found: dict[str, float] = {}
    for measure in measures:
        found |= zip(measure.names, measure.compute(real, fake), strict=True)
    return found


def check_counts(measures: Iterable[Measure], **counts: int) -> None:
    """Raises TooFewSamplesError where these ``generated`` and ``real`` samples do not suffice."""
    for measure in measures:
        for kind, count in counts.items():
            if count < measure.least and (kind == "generated" or measure.needs_real):
                raise TooFewSamplesError(
                    f"{' and '.join(measure.names)} need {measure.least} {kind} samples at least, "
                    f"and there are {count}: choose other metrics, or more samples"
                )


def few_for_a_distance(count: int, num_features: int) -> str | None:
    """What is wrong with a distance of so few samples; None where they are enough."""
    if count > num_features:
        return None
    return (
        f"{count:,} are no more than the {num_features:,} features: a distance of so few is far "
        "from that of many"
    )
