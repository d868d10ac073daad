"""Walks from latent to latent."""

import torch
from torch import Tensor

from gan_lightning.gan import GAN
from gan_lightning.grids.inputs import (
    BATCH,
    POINTS,
    draw_inputs,
    fills_a_box,
    has_styles,
    sample_in_parts,
    with_images,
    with_styles,
    with_vectors,
)
from gan_lightning.grids.pictures import Grid, Plot
from gan_lightning.utils.checks import at_least, one_of

SPACES = ("z", "w")


def walk_grid(
    model: GAN,
    rows: int = 4,
    columns: int = 8,
    *,
    stops: int = 2,
    closed: bool = False,
    space: str | None = None,
    truncation: float | None = None,
    y: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Grid:
    """A row for each walk through ``stops`` latents, evenly spaced in ``columns`` steps.

    A generator that has learnt more than single images changes them little by little. Normal
    latents lie near a sphere, on which the walk stays, White 2016, arXiv:1609.04468; uniform ones
    fill a box, which straight lines do not leave. In the space of styles, ``w``, which is the
    default where there is one, lines are straight; the other space is ``z``.

    Args:
        model: makes the images.
        rows: walks.
        columns: steps.
        stops: latents that a walk passes, each for the same time.
        closed: whether it goes back to the first one, as a film that repeats should.
        space: ``z`` or ``w``.
        truncation: of the stops.
        y: labels ``(rows,)``, one for a walk; by default each has a class drawn.
        generator: a source of random numbers.

    Raises:
        ArgumentError: the model makes no images, or has no space of this name.
    """
    count = at_least(1, rows=rows) * at_least(2, stops=stops)
    z, y = draw_inputs(with_images(model), count, generator, y, stops)
    return Grid(_walk(model, z, y, stops, columns, closed, space, truncation, generator), columns)


def between_grid(
    model: GAN,
    z: Tensor,
    columns: int = 8,
    *,
    space: str | None = None,
    truncation: float | None = None,
    y: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Grid:
    """A row as in ``walk_grid`` that passes all the latents ``z`` ``(stops, latent_dim)``.

    ``y`` are their labels ``(stops,)``, all the same.

    Raises:
        ArgumentError: as ``walk_grid`` does.
    """
    with_images(model)
    return Grid(_walk(model, z, y, len(z), columns, False, space, truncation, generator), columns)


def walk_plot(
    model: GAN,
    rows: int = 4,
    columns: int = 64,
    *,
    stops: int = 2,
    y: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Plot:
    """Walks as in ``walk_grid`` through the plane, above samples in grey.

    Where a walk crosses what is empty, steps are far apart, and the points on them are samples that
    the generator makes though the data have none.

    Raises:
        ArgumentError: samples are not vectors.
    """
    count = at_least(1, rows=rows) * at_least(2, stops=stops)
    z, y = draw_inputs(with_vectors(model), count, generator, y, stops)
    return _walk_plot(model, z, y, stops, columns, None, generator)


def between_plot(
    model: GAN,
    z: Tensor,
    columns: int = 64,
    *,
    truncation: float | None = None,
    y: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Plot:
    """A walk as in ``walk_plot`` that passes all the latents ``z`` ``(stops, latent_dim)``.

    ``y`` are their labels ``(stops,)``, all the same.

    Raises:
        ArgumentError: samples are not vectors.
    """
    with_vectors(model)
    return _walk_plot(model, z, y, len(z), columns, truncation, generator)


def _walk_plot(
    model: GAN,
    z: Tensor,
    y: Tensor | None,
    stops: int,
    columns: int,
    truncation: float | None,
    generator: torch.Generator | None,
) -> Plot:
    walks = _walk(model, z, y, stops, columns, False, None, truncation, generator)
    ground = model.sample(POINTS, truncation=truncation, generator=generator)
    parts = walks.unflatten(0, (-1, columns))
    return Plot({f"walk {i + 1}": part for i, part in enumerate(parts)}, lines=True, ground=ground)


def interpolate(start: Tensor, end: Tensor, share: Tensor, *, spherical: bool) -> Tensor:
    """The points ``(N, ..., D)`` a ``share`` ``(N,)`` of the way from ``start`` to ``end``.

    ``spherical``: sin((1 - s) a) / sin(a) start + sin(s a) / sin(a) end, where a is the angle
    between them, Shoemake 1985; else (1 - s) start + s end.
    """
    share = share.view(-1, *[1] * (start.dim() - 1)).to(start)
    straight = torch.lerp(start, end, share)
    if not spherical:
        return straight
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=-1)[..., None]
    angle = cosine.clamp(-1, 1).acos()
    sine = angle.sin()
    arc = (((1 - share) * angle).sin() * start + (share * angle).sin() * end) / sine
    # Where both point the same way, or apart, no arc is given.
    return torch.where(sine > 1e-4, arc, straight)


def _walk(
    model: GAN,
    z: Tensor,
    y: Tensor | None,
    stops: int,
    columns: int,
    closed: bool,
    space: str | None,
    truncation: float | None,
    generator: torch.Generator | None,
) -> Tensor:
    """The samples ``(rows * columns, ...)`` of walks; ``z`` has the stops of each row in turn."""
    at_least(2, columns=columns)
    if space is None:
        space = "w" if has_styles(model) else "z"
    in_w = one_of(SPACES, space=space) == "w"
    if in_w:
        styles = with_styles(model).styles(z, y, 1.0 if truncation is None else truncation)
    elif truncation is not None and not has_styles(model):
        z = model.truncate(z, truncation, generator)
    points = (styles if in_w else z).unflatten(0, (-1, stops))
    rows = len(points)
    spherical = not in_w and not fills_a_box(model)
    if closed:
        points = torch.cat([points, points[:, :1]], dim=1)
        place = torch.linspace(0, stops, columns + 1)[:-1]
    else:
        place = torch.linspace(0, stops - 1, columns)
    first = place.floor().long().clamp(max=points.shape[1] - 2)
    share = (place - first).repeat(rows)
    start, end = (points[:, index].flatten(0, 1) for index in (first, first + 1))
    path = interpolate(start, end, share, spherical=spherical)
    if in_w:
        parts = [with_styles(model).synthesize(part) for part in path.split(BATCH)]
        return torch.cat(parts)
    labels = None if y is None else y[::stops].repeat_interleave(columns)
    return sample_in_parts(
        model, path, labels, truncation if has_styles(model) else None, generator
    )
