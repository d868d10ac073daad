"""GAN techniques as PyTorch Lightning modules."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gan_lightning.gan import GAN
from gan_lightning.loading import load
from gan_lightning.moved import MOVED
from gan_lightning.penalties import Regularizer
from gan_lightning.techniques import (
    BEGAN,
    DCGAN,
    LSGAN,
    SAGAN,
    SNGAN,
    TECHNIQUES,
    WGAN,
    WGANGP,
)

if TYPE_CHECKING:
    from gan_lightning.trainer import Trainer

__all__ = [
    "BEGAN",
    "DCGAN",
    "GAN",
    "LSGAN",
    "SAGAN",
    "SNGAN",
    "TECHNIQUES",
    "WGAN",
    "WGANGP",
    "Regularizer",
    "Trainer",
    "load",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # noqa: ANN401
    # Not with the package: a trainer brings callbacks and scores, which modules do without.
    if name == "Trainer":
        from gan_lightning.trainer import Trainer

        return Trainer
    if (old := f"{__name__}.{name}") in MOVED:
        return import_module(old)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
