"""The names that people read, of scores and techniques."""

import re

from benchmarks.variants import Variant, class_name
from gan_lightning import TECHNIQUES

#: Names of measures, by the beginning of a score's name.
MEASURES = {
    "fid": "FID",
    "fd": "FD",
    "is": "IS",
    "kid": "KID",
    "kd": "KD",
    "precision": "Precision",
    "recall": "Recall",
    "density": "Density",
    "coverage": "Coverage",
    "swd": "Sliced Wasserstein distance",
    "modes": "Modes reached",
    "high_quality": "High-quality samples",
}
#: Names of the networks whose features a score compares, by the end of its name.
EXTRACTORS = {
    "digits_cnn": "digits classifier",
    "fashion_mnist": "Fashion-MNIST classifier",
    "cifar10_jpeg": "CIFAR-10 (JPEG) classifier",
    "mobilenet_v2": "MobileNetV2",
}
#: Names of techniques whose class has another; they are the headings of their pages.
TITLES = {
    "feature_matching": "Feature matching",
    "minibatch_discrimination": "Minibatch discrimination",
    "progressive": "Progressive growing",
    "unrolled": "Unrolled GAN",
    "wgan_gp": "WGAN-GP",
}
_SCORE = re.compile(
    rf"({'|'.join(MEASURES)})\d+k?(?:_(.+?))??(?:_[0-9a-f]{{8}})?(?:_(?:train|test))?"
)


def score_title(name: str) -> str | None:
    """The name of a score for people: "FD, digits classifier" of ``fd1797_digits_cnn``.

    None for a score of another program.
    """
    if (match := _SCORE.fullmatch(name)) is None:
        return None
    measure, extractor = match.groups()
    if extractor is None:
        return MEASURES[measure]
    return f"{MEASURES[measure]}, {EXTRACTORS.get(extractor, extractor)}"


def short_title(name: str) -> str:
    """The name of a distance without its network, in a sentence: "FD" of ``fd1797_digits_cnn``."""
    title = score_title(name)
    if title is None:
        return "distance"
    first = title.partition(",")[0]
    return first if first.isupper() else first[0].lower() + first[1:]


def row_title(row: Variant) -> str:
    """The title of a row: that of its technique, unless it has one of its own."""
    is_own = row.technique not in TECHNIQUES or row.title != class_name(row.technique)
    return row.title if is_own else TITLES.get(row.technique, row.title)


def paper(row: Variant, *, trusted: bool) -> str | None:
    """The arXiv id of the paper that the docstring of a row's class names first, if it has one.

    The class of a row that is not ``trusted`` is not imported.
    """
    if row.technique not in TECHNIQUES and not trusted:
        return None
    found = re.search(r"arXiv:(\d{4}\.\d{4,5})", row.model_class().__doc__ or "")
    return found[1] if found else None
