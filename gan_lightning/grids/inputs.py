"""Latents and labels of a picture, and what a model must have for it."""

from collections.abc import Iterable

import torch
from torch import Tensor

from gan_lightning.gan import GAN
from gan_lightning.techniques.stylegan import StyleGAN
from gan_lightning.utils.checks import at_least
from gan_lightning.utils.errors import ArgumentError

#: The most latents that are passed through a generator at a time.
BATCH = 64
#: Points of a plot, in all.
POINTS = 2000
#: Latents of which so many stay in [-1, 1] fill a box, as uniform ones do.
DRAWN = 256


def has_styles(model: GAN) -> bool:
    """Whether the model has styles: StyleGAN and StyleGAN2 on images."""
    return isinstance(model, StyleGAN) and model.styled is not None


def with_styles(model: GAN) -> StyleGAN:
    """The model, which must have styles.

    Raises:
        ArgumentError: it has none.
    """
    if not isinstance(model, StyleGAN) or model.styled is None:
        raise ArgumentError(
            f"{type(model).__name__} has no styles: mixing, noise and the space w are of StyleGAN "
            "and StyleGAN2 on images"
        )
    return model


def sample_in_parts(
    model: GAN,
    z: Tensor,
    y: Tensor | None,
    truncation: float | None,
    generator: torch.Generator | None,
) -> Tensor:
    """Samples of many latents, some at a time."""
    labels: Iterable[Tensor | None] = [None] * len(z) if y is None else y.split(BATCH)
    return torch.cat(
        [
            model.sample(z=part, y=part_y, truncation=truncation, generator=generator)
            for part, part_y in zip(z.split(BATCH), labels, strict=False)
        ]
    )


def with_images(model: GAN) -> GAN:
    """The model, whose samples must be images.

    Raises:
        ArgumentError: they are not.
    """
    if not model.is_image:
        raise ArgumentError(f"a grid is of images, and samples have the shape {model.shape}")
    return model


def with_vectors(model: GAN) -> GAN:
    """The model, whose samples must be vectors.

    Raises:
        ArgumentError: they are not.
    """
    if len(model.shape) != 1:
        raise ArgumentError(f"a plot is of vectors, and samples have the shape {model.shape}")
    return model


def draw_inputs(
    model: GAN,
    n: int,
    generator: torch.Generator | None,
    y: Tensor | None = None,
    each: int = 1,
) -> tuple[Tensor, Tensor | None]:
    """Latents, and labels, drawn if not given; ``each`` latents in a row have one label."""
    at_least(1, rows=n)
    if y is not None:
        y = y.to(model.device).repeat_interleave(each)
    z, y = model.draw_inputs(n, y, generator=generator)
    if y is not None and each > 1:
        y = y[::each].repeat_interleave(each)
    return z, y


def fills_a_box(model: GAN) -> bool:
    """Whether latents are as uniform ones in [-1, 1] or [0, 1], and not as normal ones."""
    with torch.random.fork_rng(devices=[]):
        return bool((model.draw_latents(DRAWN).abs() <= 1).all())
