"""GAN techniques as PyTorch Lightning modules.

Names are imported when they are asked for: the package itself imports neither torch nor Lightning,
so that the command line answers at once.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import gan_lightning.moved  # noqa: F401  (finds modules by their old paths)
from gan_lightning.techniques import TECHNIQUES
from gan_lightning.version import __version__ as __version__

if TYPE_CHECKING:
    from gan_lightning.gan import GAN
    from gan_lightning.loading import load
    from gan_lightning.penalties import Regularizer
    from gan_lightning.pretrained import list_pretrained
    from gan_lightning.techniques import (
        BEGAN,
        DCGAN,
        LSGAN,
        R3GAN,
        SAGAN,
        SNGAN,
        WGAN,
        WGANGP,
        BigGAN,
        FeatureMatching,
        MinibatchDiscrimination,
        ProgressiveGAN,
        StyleGAN,
        StyleGAN2,
        UnrolledGAN,
    )
    from gan_lightning.trainer import Trainer

__all__ = [
    "BEGAN",
    "DCGAN",
    "GAN",
    "LSGAN",
    "R3GAN",
    "SAGAN",
    "SNGAN",
    "TECHNIQUES",
    "WGAN",
    "WGANGP",
    "BigGAN",
    "FeatureMatching",
    "MinibatchDiscrimination",
    "ProgressiveGAN",
    "Regularizer",
    "StyleGAN",
    "StyleGAN2",
    "Trainer",
    "UnrolledGAN",
    "list_pretrained",
    "load",
]

#: The modules of names that are not techniques.
_MODULES = {
    "GAN": "gan",
    "Regularizer": "penalties",
    "Trainer": "trainer",
    "list_pretrained": "pretrained",
    "load": "loading",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name in __all__:
        # jsonargparse and other programs find techniques among the subclasses of GAN.
        TECHNIQUES.import_own()
        module = import_module(f"{__name__}.{_MODULES.get(name, 'techniques')}")
        found = globals()[name] = getattr(module, name)
        return found
    # A module, perhaps by its old name.
    if name.isidentifier() and name[0] != "_" and find_spec(path := f"{__name__}.{name}"):
        return import_module(path)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
