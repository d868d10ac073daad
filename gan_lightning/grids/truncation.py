"""Samples of the same latents, truncated more and less."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gan_lightning.gan import GAN
from gan_lightning.grids.inputs import (
    POINTS,
    draw_inputs,
    fills_a_box,
    has_styles,
    with_images,
    with_vectors,
)
from gan_lightning.grids.pictures import Grid, Plot

#: Shares of styles that are left, and thresholds of latents.
PSIS = (0.0, 0.3, 0.5, 0.7, 1.0)
THRESHOLDS = (0.25, 0.5, 1.0, 2.0)


def truncation_grid(
    model: GAN,
    rows: int = 4,
    truncations: Sequence[float] | None = None,
    generator: torch.Generator | None = None,
    *,
    y: Tensor | None = None,
) -> Grid:
    """A row for each latent, a column for each truncation.

    By default these are ``PSIS`` where there are styles, else ``THRESHOLDS`` that latents exceed:
    the same latents, of which components are drawn again. ``y`` are the rows' labels ``(rows,)``.

    Raises:
        ArgumentError: the model makes no images.
    """
    z, y = draw_inputs(with_images(model), rows, generator, y)
    truncations = _truncations(model, truncations)
    columns = [model.sample(z=z, y=y, truncation=t, generator=generator) for t in truncations]
    names = [_name_of_truncation(model, t) for t in truncations]
    return Grid(torch.stack(columns, dim=1).flatten(0, 1), len(columns), names)


def truncation_plot(
    model: GAN,
    truncations: Sequence[float] | None = None,
    generator: torch.Generator | None = None,
) -> Plot:
    """Points for each truncation, all from the same latents and labels.

    Raises:
        ArgumentError: samples are not vectors.
    """
    z, y = draw_inputs(with_vectors(model), POINTS // 4, generator)
    # The widest lie lowest.
    truncations = sorted(_truncations(model, truncations), reverse=True)
    return Plot(
        {
            _name_of_truncation(model, t): model.sample(z=z, y=y, truncation=t, generator=generator)
            for t in truncations
        }
    )


def _truncations(model: GAN, given: Sequence[float] | None) -> Sequence[float]:
    if given is not None:
        return given
    if has_styles(model):
        return PSIS
    # A threshold beyond all latents changes nothing.
    return [t for t in THRESHOLDS if t <= 1] if fills_a_box(model) else THRESHOLDS


def _name_of_truncation(model: GAN, truncation: float) -> str:
    return f"psi {truncation:g}" if has_styles(model) else f"\N{PLUS-MINUS SIGN}{truncation:g}"
