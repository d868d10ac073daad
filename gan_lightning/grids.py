"""Grids of samples that show what truncation, styles and noise do."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gan_lightning.gan import GAN
from gan_lightning.techniques.stylegan import StyleGAN
from gan_lightning.utils.checks import at_least
from gan_lightning.utils.errors import ArgumentError

#: Shares of styles that are left, and thresholds of latents.
PSIS = (0.0, 0.3, 0.5, 0.7, 1.0)
THRESHOLDS = (0.25, 0.5, 1.0, 2.0)


class Grid(NamedTuple):
    """Images in rows of ``columns``.

    Args:
        images: ``(N, C, H, W)`` in [-1, 1].
        columns: images in a row.
    """

    images: Tensor
    columns: int


def truncation_grid(
    model: GAN,
    rows: int = 4,
    truncations: Sequence[float] | None = None,
    generator: torch.Generator | None = None,
) -> Grid:
    """A row for each latent, a column for each truncation.

    By default these are ``PSIS`` where there are styles, else ``THRESHOLDS``: the same latents, of
    which components are drawn again.

    Raises:
        ArgumentError: the model makes no images.
    """
    z, y = _inputs(model, rows, generator)
    if truncations is None:
        truncations = PSIS if _has_styles(model) else THRESHOLDS
    columns = [model.sample(z=z, y=y, truncation=t, generator=generator) for t in truncations]
    return Grid(torch.stack(columns, dim=1).flatten(0, 1), len(columns))


def mixing_grid(
    model: GAN,
    sources: int = 2,
    styles: int = 5,
    generator: torch.Generator | None = None,
) -> Grid:
    """Images with some layers' styles of one latent, the column's, and the rest of another's.

    The first row has the images of the columns' latents. Then come three groups of rows, one for
    each source, whose own image stands first: the coarse, the middle and the fine third of the
    layers have the style of the column. Karras et al. 2019, arXiv:1812.04948, figure 3.

    Raises:
        ArgumentError: the model has no styles.
    """
    model = _with_styles(model)
    at_least(1, styles=styles)
    z, y = _inputs(model, sources + styles, generator)
    all_styles = model.styles(z, y)
    own, others = all_styles[:sources], all_styles[sources:]
    images = model.synthesize(all_styles)
    empty = torch.ones_like(images[:1])
    rows = [torch.cat([empty, images[sources:]])]
    for layers in torch.arange(own.shape[1], device=own.device).tensor_split(3):
        for source in range(sources):
            mixed = own[source].expand_as(others).clone()
            mixed[:, layers] = others[:, layers]
            rows.append(torch.cat([images[source : source + 1], model.synthesize(mixed)]))
    return Grid(torch.cat(rows), styles + 1)


def noise_grid(
    model: GAN,
    rows: int = 4,
    columns: int = 5,
    generator: torch.Generator | None = None,
) -> Grid:
    """A row for each latent, with another noise of the layers in each column.

    Karras et al. 2019, arXiv:1812.04948, figure 4.

    Raises:
        ArgumentError: the model has no styles.
    """
    model = _with_styles(model)
    at_least(1, columns=columns)
    z, y = _inputs(model, rows, generator)
    styles = model.styles(z, y).repeat_interleave(columns, dim=0)
    noise = generator or torch.Generator(model.device).manual_seed(torch.initial_seed())
    return Grid(model.synthesize(styles, noise), columns)


def _has_styles(model: GAN) -> bool:
    return isinstance(model, StyleGAN) and model.styled is not None


def _with_styles(model: GAN) -> StyleGAN:
    if not isinstance(model, StyleGAN) or model.styled is None:
        raise ArgumentError(
            f"{type(model).__name__} has no styles: mixing and noise are of StyleGAN and StyleGAN2 "
            "on images"
        )
    return model


def _inputs(model: GAN, n: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
    if not model.is_image:
        raise ArgumentError(f"a grid is of images, and samples have the shape {model.shape}")
    return model.draw_inputs(at_least(1, rows=n), generator=generator)
