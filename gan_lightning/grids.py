"""Pictures of what a model has learnt: grids of images, plots of points, and films.

A notebook shows each of them when it is the last value of a cell; ``save`` writes it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from gan_lightning.gan import GAN
from gan_lightning.metrics.extractors import Extractor
from gan_lightning.metrics.nearest import Nearest, RealImages, nearest_images
from gan_lightning.techniques.stylegan import StyleGAN
from gan_lightning.utils.checks import at_least, one_of
from gan_lightning.utils.errors import ArgumentError, MissingFileError, WrongFileError
from gan_lightning.utils.pictures import (
    encode,
    grid_picture,
    of_one_size,
    points_picture,
    save_picture,
    with_caption,
)

#: Shares of styles that are left, and thresholds of latents.
PSIS = (0.0, 0.3, 0.5, 0.7, 1.0)
THRESHOLDS = (0.25, 0.5, 1.0, 2.0)
#: The most classes that a grid or a plot has by default.
MAX_CLASSES = 16
#: The most latents that are passed through a generator at a time.
BATCH = 64
#: Points of a plot, in all.
POINTS = 2000
#: The most frames of a film of training; how long it takes, and how long its last frame stays.
MAX_FRAMES, TRAINING_MILLISECONDS, LAST_MILLISECONDS = 200, 8000, 2000
#: How long a frame of a film stays by default.
MILLISECONDS = 100
#: Latents of which so many stay in [-1, 1] fill a box, as uniform ones do.
DRAWN = 256
SPACES = ("z", "w")


class Film(NamedTuple):
    """Frames of one size, each shown for so many milliseconds; then the film begins again."""

    frames: Sequence[Image.Image]
    milliseconds: Sequence[int]

    def save(self, path: str | Path) -> None:
        """Write the film as ``.webp``, ``.gif`` or, animated as well, ``.png``.

        Raises:
            UserError: the name ends in something else, or the file cannot be written.
        """
        save_picture(self.frames, self.milliseconds, Path(path))

    def __repr__(self) -> str:
        """What stands in a log, or in a notebook without pictures."""
        return f"Film({len(self.frames)} frames, {sum(self.milliseconds) / 1000:g} s)"

    def _repr_png_(self) -> bytes:
        """What a notebook shows: an animated PNG."""
        return encode(self.frames, self.milliseconds, "PNG")


class Grid(NamedTuple):
    """Images in rows of ``columns``.

    Args:
        images: ``(N, C, H, W)`` in [-1, 1].
        columns: images in a row.
        column_names: what stands above each column, if anything.
        row_names: what stands to the left of each row, if anything.
    """

    images: Tensor
    columns: int
    column_names: Sequence[str] = ()
    row_names: Sequence[str] = ()

    def __repr__(self) -> str:
        """What stands in a log, or in a notebook without pictures."""
        return f"Grid({len(self.images)} images, {self.columns} columns)"

    def picture(self) -> Image.Image:
        """The grid with its names; small images are enlarged, without interpolation."""
        return grid_picture(self.images, self.columns, self.column_names, self.row_names)

    def film(self, milliseconds: int = MILLISECONDS) -> Film:
        """The columns one after the other, each frame with all rows, in a square if unnamed."""
        frames = []
        rows = self.images.unflatten(0, (-1, self.columns))
        square = 1 if self.row_names else math.ceil(len(rows) ** 0.5)
        for i in range(self.columns):
            frame = grid_picture(rows[:, i], square, row_names=self.row_names)
            if self.column_names:
                frame = with_caption(frame, self.column_names[i])
            frames.append(frame)
        return Film(of_one_size(frames), [milliseconds] * len(frames))

    def save(self, path: str | Path) -> None:
        """Write the picture as ``.png``, ``.webp`` or ``.gif``.

        Raises:
            UserError: the name ends in something else, or the file cannot be written.
        """
        save_picture([self.picture()], [0], Path(path))

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return encode([self.picture()], [0], "PNG")


class Plot(NamedTuple):
    """Points in the plane, or the first two coordinates of vectors.

    Args:
        groups: named points ``(N, D)``, each group in a colour.
        lines: whether the points of a group are joined in their order.
        ground: points ``(N, D)`` in grey, below all others.
    """

    groups: Mapping[str, Tensor]
    lines: bool = False
    ground: Tensor | None = None

    def __repr__(self) -> str:
        """What stands in a log, or in a notebook without pictures."""
        return f"Plot({', '.join(self.groups)})"

    def picture(self) -> Image.Image:
        """The plot with its legend."""
        return points_picture(self.groups, lines=self.lines, ground=self.ground)

    def save(self, path: str | Path) -> None:
        """Write the picture as ``.png``, ``.webp`` or ``.gif``.

        Raises:
            UserError: the name ends in something else, or the file cannot be written.
        """
        save_picture([self.picture()], [0], Path(path))

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return encode([self.picture()], [0], "PNG")


# Truncation.


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
    z, y = _inputs(model, rows, generator, y)
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
    z, y = _vector_inputs(model, POINTS // 4, generator)
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


# Styles and noise.


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
    rows, names = [torch.cat([empty, images[sources:]])], ["style"]
    layers_of = torch.arange(own.shape[1], device=own.device).tensor_split(3)
    for name, layers in zip(("coarse", "middle", "fine"), layers_of, strict=True):
        for source in range(sources):
            mixed = own[source].expand_as(others).clone()
            mixed[:, layers] = others[:, layers]
            rows.append(torch.cat([images[source : source + 1], model.synthesize(mixed)]))
            names.append(name)
    return Grid(torch.cat(rows), styles + 1, row_names=names)


def noise_grid(
    model: GAN,
    rows: int = 4,
    columns: int = 5,
    generator: torch.Generator | None = None,
    *,
    y: Tensor | None = None,
) -> Grid:
    """A row for each latent, with another noise of the layers in each column.

    Karras et al. 2019, arXiv:1812.04948, figure 4. ``y`` are the rows' labels ``(rows,)``.

    Raises:
        ArgumentError: the model has no styles.
    """
    model = _with_styles(model)
    at_least(1, columns=columns)
    z, y = _inputs(model, rows, generator, y)
    styles = model.styles(z, y).repeat_interleave(columns, dim=0)
    noise = generator or torch.Generator(model.device).manual_seed(torch.initial_seed())
    return Grid(model.synthesize(styles, noise), columns)


# Classes.


def class_grid(
    model: GAN,
    columns: int = 8,
    classes: Sequence[int] | None = None,
    generator: torch.Generator | None = None,
    *,
    names: Sequence[str] | None = None,
    truncation: float | None = None,
) -> Grid:
    """A row for each class, a column for each latent: what the label changes, and what it leaves.

    By default of all classes, the first ``MAX_CLASSES`` at most; ``names`` are those of all
    classes, by default their numbers.

    Raises:
        ArgumentError: the model has no classes, not this one, or makes no images.
    """
    shown = _classes(model, classes)
    names = _names(model, shown, names)
    z, _ = _inputs(model, at_least(1, columns=columns), generator)
    y = torch.tensor(shown, device=model.device).repeat_interleave(columns)
    images = _sample(model, z.repeat(len(shown), 1), y, truncation, generator)
    return Grid(images, columns, row_names=names)


def class_plot(
    model: GAN,
    classes: Sequence[int] | None = None,
    generator: torch.Generator | None = None,
    *,
    names: Sequence[str] | None = None,
) -> Plot:
    """Points of each class, from the same latents.

    Raises:
        ArgumentError: the model has no classes, not this one, or samples are not vectors.
    """
    shown = _classes(model, classes)
    names = _names(model, shown, names)
    z, _ = _vector_inputs(model, POINTS // len(shown), generator)
    labels = torch.tensor(shown, device=model.device)
    samples = [model.sample(z=z, y=label.expand(len(z))) for label in labels]
    return Plot(dict(zip(names, samples, strict=True)))


def _classes(model: GAN, classes: Sequence[int] | None) -> list[int]:
    if not model.num_classes:
        raise ArgumentError(
            f"this {type(model).__name__} has no classes: it was trained without labels"
        )
    return list(range(min(model.num_classes, MAX_CLASSES))) if classes is None else list(classes)


def _names(model: GAN, shown: Sequence[int], names: Sequence[str] | None) -> list[str]:
    for label in shown:
        if not 0 <= label < model.num_classes:
            raise ArgumentError(
                f"there is no class {label}: they are from 0 to {model.num_classes - 1}"
            )
    return [str(label) if names is None else names[label] for label in shown]


# Walks from latent to latent.


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
    z, y = _inputs(model, at_least(1, rows=rows) * at_least(2, stops=stops), generator, y, stops)
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
    _check_images(model)
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
    z, y = _vector_inputs(model, count, generator, y, stops)
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
    _check_vectors(model)
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
        styles = _with_styles(model).styles(z, y, 1.0 if truncation is None else truncation)
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
        parts = [_with_styles(model).synthesize(part) for part in path.split(BATCH)]
        return torch.cat(parts)
    labels = None if y is None else y[::stops].repeat_interleave(columns)
    return _sample(model, path, labels, truncation if has_styles(model) else None, generator)


def fills_a_box(model: GAN) -> bool:
    """Whether latents are as uniform ones in [-1, 1] or [0, 1], and not as normal ones."""
    with torch.random.fork_rng(devices=[]):
        return bool((model.draw_latents(DRAWN).abs() <= 1).all())


# The nearest real images.


def nearest_grid(
    generated: Tensor,
    real: RealImages,
    neighbours: int = 5,
    extractor: Extractor | None = None,
    *,
    mirrored: bool = False,
) -> Grid:
    """A row for each generated image ``(N, C, H, W)`` in [-1, 1], with the nearest real ones.

    In pixels and, in another row, in the features of an ``extractor``. Images that are copies of
    real ones show here. ``real`` and ``mirrored`` are those of
    ``gan_lightning.metrics.nearest.nearest_images``.

    Raises:
        UserError: the shapes differ, or there are too few real images.
    """
    spaces = [None] if extractor is None else [None, extractor]
    return neighbours_grid(
        generated,
        [nearest_images(generated, real, neighbours, each, mirrored=mirrored) for each in spaces],
    )


def neighbours_grid(generated: Tensor, found: Sequence[Nearest]) -> Grid:
    """A row for each generated image and space, with the images that were found in it."""
    columns = found[0].images.shape[1] + 1
    empty = torch.ones_like(generated)
    firsts = [generated] + [empty] * (len(found) - 1)
    rows = [
        torch.cat([first[:, None], each.images], dim=1)
        for first, each in zip(firsts, found, strict=True)
    ]
    images = torch.stack(rows, dim=1).flatten(0, 2)
    others = [f"{i + 1}{_ordinal(i + 1)}" for i in range(1, columns - 1)]
    names = ["generated", "nearest", *others]
    return Grid(images, columns, names, [each.space for each in found] * len(generated))


def _ordinal(n: int) -> str:
    return "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")


# Training.


def training_film(run: str | Path) -> Film:
    """The sample grids of a run, whose folder this is, one after the other: a film of training.

    All are of the same latents, ``gan_lightning.callbacks.SampleGrid``. Of many grids, evenly
    spaced ones are shown.

    Raises:
        MissingFileError: there are no grids.
        WrongFileError: one is not a picture.
    """
    folder = Path(run) / "grids"
    paths = {int(path.stem.removeprefix("step_")): path for path in folder.glob("step_*.png")}
    if not paths:
        raise MissingFileError(
            f"there are no pictures step_*.png in {folder}: an evaluation of a fit writes them"
        )
    steps = sorted(paths)
    if len(steps) > MAX_FRAMES:
        places = torch.linspace(0, len(steps) - 1, MAX_FRAMES).round().long().tolist()
        steps = [steps[place] for place in places]
    frames = of_one_size(_captioned(paths[step], f"update {step:,}") for step in steps)
    each = min(max(TRAINING_MILLISECONDS // len(frames), 40), 500)
    return Film(frames, [each] * (len(frames) - 1) + [LAST_MILLISECONDS])


def _captioned(path: Path, text: str) -> Image.Image:
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            picture.load()
            return with_caption(picture, text)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise WrongFileError(f"{path} is not a picture: {error}") from error


# What they have in common.


def has_styles(model: GAN) -> bool:
    """Whether the model has styles: StyleGAN and StyleGAN2 on images."""
    return isinstance(model, StyleGAN) and model.styled is not None


def _with_styles(model: GAN) -> StyleGAN:
    if not isinstance(model, StyleGAN) or model.styled is None:
        raise ArgumentError(
            f"{type(model).__name__} has no styles: mixing, noise and the space w are of StyleGAN "
            "and StyleGAN2 on images"
        )
    return model


def _sample(
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


def _check_images(model: GAN) -> None:
    if not model.is_image:
        raise ArgumentError(f"a grid is of images, and samples have the shape {model.shape}")


def _check_vectors(model: GAN) -> None:
    if len(model.shape) != 1:
        raise ArgumentError(f"a plot is of vectors, and samples have the shape {model.shape}")


def _inputs(
    model: GAN,
    n: int,
    generator: torch.Generator | None,
    y: Tensor | None = None,
    each: int = 1,
) -> tuple[Tensor, Tensor | None]:
    """Latents, and labels, by default drawn; ``each`` latents in a row have one label."""
    _check_images(model)
    return _drawn(model, n, generator, y, each)


def _vector_inputs(
    model: GAN,
    n: int,
    generator: torch.Generator | None,
    y: Tensor | None = None,
    each: int = 1,
) -> tuple[Tensor, Tensor | None]:
    _check_vectors(model)
    return _drawn(model, n, generator, y, each)


def _drawn(
    model: GAN, n: int, generator: torch.Generator | None, y: Tensor | None, each: int
) -> tuple[Tensor, Tensor | None]:
    at_least(1, rows=n)
    if y is not None:
        y = y.to(model.device).repeat_interleave(each)
    z, y = model.draw_inputs(n, y, generator=generator)
    if y is not None and each > 1:
        y = y[::each].repeat_interleave(each)
    return z, y
