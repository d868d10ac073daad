"""The techniques, one file per paper. ``TECHNIQUES`` lists them all."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gan_lightning.techniques.registry import Techniques

if TYPE_CHECKING:
    from gan_lightning.techniques.began import BEGAN
    from gan_lightning.techniques.biggan import BigGAN
    from gan_lightning.techniques.dcgan import DCGAN
    from gan_lightning.techniques.feature_matching import FeatureMatching
    from gan_lightning.techniques.lsgan import LSGAN
    from gan_lightning.techniques.minibatch_discrimination import MinibatchDiscrimination
    from gan_lightning.techniques.progressive import ProgressiveGAN
    from gan_lightning.techniques.r3gan import R3GAN
    from gan_lightning.techniques.sagan import SAGAN
    from gan_lightning.techniques.sngan import SNGAN
    from gan_lightning.techniques.stylegan import StyleGAN
    from gan_lightning.techniques.stylegan2 import StyleGAN2
    from gan_lightning.techniques.unrolled import UnrolledGAN
    from gan_lightning.techniques.wgan import WGAN
    from gan_lightning.techniques.wgan_gp import WGANGP

#: The class of each key, which is also its module's name; those of installed packages follow.
TECHNIQUES = Techniques(
    {
        "dcgan": "DCGAN",
        "wgan": "WGAN",
        "wgan_gp": "WGANGP",
        "lsgan": "LSGAN",
        "began": "BEGAN",
        "sngan": "SNGAN",
        "sagan": "SAGAN",
        "feature_matching": "FeatureMatching",
        "minibatch_discrimination": "MinibatchDiscrimination",
        "unrolled": "UnrolledGAN",
        "progressive": "ProgressiveGAN",
        "biggan": "BigGAN",
        "stylegan": "StyleGAN",
        "stylegan2": "StyleGAN2",
        "r3gan": "R3GAN",
    }
)

__all__ = [
    "BEGAN",
    "DCGAN",
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
    "StyleGAN",
    "StyleGAN2",
    "UnrolledGAN",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    # Imported when it is asked for: the names alone are known at once.
    for key, class_name in TECHNIQUES.own.items():
        if name == class_name:
            return TECHNIQUES[key]
    if name in TECHNIQUES.own:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
