"""Feature extractors by name; torchmetrics does the arithmetic on their features."""

from gan_lightning.metrics.extractors import (
    EXTRACTORS,
    Extractor,
    load_extractor,
)

__all__ = ["EXTRACTORS", "Extractor", "load_extractor"]
