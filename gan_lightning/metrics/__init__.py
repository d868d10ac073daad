"""Feature extractors, the features of images, and the scores of features."""

from gan_lightning.metrics.extractors import (
    EXTRACTORS,
    Extractor,
    load_extractor,
)
from gan_lightning.metrics.features import Features, batches_of, collect, extract
from gan_lightning.metrics.images import fid, inception_score, kid, precision_recall, score
from gan_lightning.metrics.pool import Pool

__all__ = [
    "EXTRACTORS",
    "Extractor",
    "Features",
    "Pool",
    "batches_of",
    "collect",
    "extract",
    "fid",
    "inception_score",
    "kid",
    "load_extractor",
    "precision_recall",
    "score",
]
