"""``gan-lightning grid``: pictures and films of what a run has learnt."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from gan_lightning.cli.front import CommandParser
from gan_lightning.cli.run_data import class_names, run_data
from gan_lightning.cli.saved_config import checkpoint_of
from gan_lightning.data.classes import class_numbers
from gan_lightning.gan import GAN
from gan_lightning.grids import (
    Film,
    Grid,
    Plot,
    class_grid,
    class_plot,
    mixing_grid,
    neighbours_grid,
    noise_grid,
    training_film,
    truncation_grid,
    truncation_plot,
    walk_grid,
    walk_plot,
)
from gan_lightning.loading import load
from gan_lightning.metrics import Extractor, load_extractor
from gan_lightning.metrics.nearest import Nearest, nearest_images
from gan_lightning.utils.checks import at_least, checked_seed
from gan_lightning.utils.errors import ArgumentError, MissingFileError, UserError
from gan_lightning.utils.files import user_path
from gan_lightning.utils.pictures import checked_format

#: Each kind with its own options; all have ``--ckpt_path``, ``--seed`` and ``--output``.
KINDS = {
    "truncation": ("rows", "values", "classes", "film"),
    "mixing": ("rows", "columns"),
    "noise": ("rows", "columns", "classes", "film"),
    "classes": ("columns", "classes", "truncation"),
    "walk": ("rows", "columns", "stops", "space", "truncation", "classes", "film"),
    "nearest": ("rows", "columns", "truncation", "classes", "samples", "extractor", "weights"),
    "training": (),
}
#: Kinds that plots of points have too.
PLOTS = ("truncation", "classes", "walk")
#: Walks, steps and stops of a film.
FILM_ROWS, FILM_COLUMNS, FILM_STOPS = 16, 60, 4


def main(args: Sequence[str]) -> None:
    """Write the picture.

    Raises:
        UserError: an argument, the checkpoint or the data cannot be used, or the picture not be
            written.
    """
    options, others = _parser().parse_known_args(list(args))
    _check(options, others)
    try:
        made = _made(options, others)
    except UserError as error:
        # The same error, but for where it comes from.
        if isinstance(error, ArgumentError) and not str(error).startswith("--"):
            raise ArgumentError(f"grid: {error}") from error
        raise
    except ValueError as error:
        raise ArgumentError(f"grid: {error}") from error
    is_film = isinstance(made, Film)
    path = options.output or Path(f"{options.kind}.{'webp' if is_film else 'png'}")
    made.save(path)
    print(f"wrote {path}")


def _made(options: argparse.Namespace, others: Sequence[str]) -> Grid | Plot | Film:
    if options.kind == "training":
        path = options.ckpt_path
        return training_film(path if path.is_dir() else path.absolute().parents[1])
    path = checkpoint_of(options.ckpt_path)
    model = load(path)
    generator = torch.Generator().manual_seed(checked_seed(options.seed))
    names = class_names(model, path, others) if model.num_classes else []
    shown = _shown(model, options.classes, names)
    if not model.is_image:
        return _plot(model, options, shown, names, generator)
    if options.kind == "nearest":
        return _nearest(model, options, others, path, shown, generator)
    made = _grid(model, options, shown, names, generator)
    if options.film:
        return made.film()
    if shown is not None and not made.row_names:
        rows = len(made.images) // made.columns
        row_names = [names[label] for label in _turns(shown, rows)]
        made = Grid(made.images, made.columns, made.column_names, row_names)
    return made


def _grid(
    model: GAN,
    options: argparse.Namespace,
    shown: list[int] | None,
    names: list[str],
    generator: torch.Generator,
) -> Grid:
    rows = options.rows
    match options.kind:
        case "truncation":
            rows = rows or 4
            y = _labels(shown, rows)
            return truncation_grid(model, rows, options.values, generator, y=y)
        case "mixing":
            return mixing_grid(model, rows or 2, options.columns or 5, generator)
        case "noise":
            rows = rows or 4
            y = _labels(shown, rows)
            return noise_grid(model, rows, options.columns or 5, generator, y=y)
        case "classes":
            return class_grid(
                model,
                options.columns or 8,
                shown,
                generator,
                names=names,
                truncation=options.truncation,
            )
        case _:
            rows = rows or (FILM_ROWS if options.film else 4)
            return walk_grid(
                model,
                rows,
                options.columns or (FILM_COLUMNS if options.film else 8),
                stops=options.stops or (FILM_STOPS if options.film else 2),
                closed=bool(options.film),
                space=options.space,
                truncation=options.truncation,
                y=_labels(shown, rows),
                generator=generator,
            )


def _plot(
    model: GAN,
    options: argparse.Namespace,
    shown: list[int] | None,
    names: list[str],
    generator: torch.Generator,
) -> Plot:
    if len(model.shape) != 1 or options.kind not in PLOTS:
        raise ArgumentError(
            f"--kind {options.kind} is of images, and samples have the shape {model.shape}"
            + (f": choose from {', '.join(PLOTS)}" if len(model.shape) == 1 else "")
        )
    if options.film:
        raise ArgumentError("--film is of images: the picture of a plot shows all of it")
    match options.kind:
        case "truncation":
            return truncation_plot(model, options.values, generator)
        case "classes":
            return class_plot(model, shown, generator, names=names)
        case _:
            rows = options.rows or 4
            return walk_plot(
                model,
                rows,
                options.columns or 64,
                stops=options.stops or 2,
                y=_labels(shown, rows),
                generator=generator,
            )


def _nearest(
    model: GAN,
    options: argparse.Namespace,
    others: Sequence[str],
    path: Path,
    shown: list[int] | None,
    generator: torch.Generator,
) -> Grid:
    found = run_data(path, others)
    rows, neighbours = at_least(1, rows=options.rows or 6), options.columns or 5
    count = at_least(rows, samples=options.samples or max(rows, 256))
    spaces: list[Extractor | None] = [None]
    name = options.extractor or found.extractor
    if name != "none":
        weights = options.weights or (found.weights if options.extractor is None else None)
        try:
            extractor = load_extractor(name, weights)
            extractor.check(model.shape)
            spaces.append(extractor)
        except (MissingFileError, ArgumentError) as error:
            # Pixels need nothing; an extractor that was asked for is an error.
            if options.extractor is not None:
                raise
            print(f"only in pixels: {error}")
    found.data.prepare_data()
    generated = model.sample(
        count, _labels(shown, count), truncation=options.truncation, generator=generator
    )
    loader = found.data.val_dataloader()
    nearest = [
        nearest_images(generated, loader, neighbours, each, mirrored=found.data.flip)
        for each in spaces
    ]
    for each in nearest:
        print(each.summary())
    first = [Nearest(e.space, e.images[:rows], e.distances, e.apart) for e in nearest]
    return neighbours_grid(generated[:rows], first)


def _shown(model: GAN, asked: list[str] | None, names: list[str]) -> list[int] | None:
    if asked is None:
        return None
    if not model.num_classes:
        raise ArgumentError(
            f"--classes: this {type(model).__name__} has none: it was trained without labels"
        )
    return class_numbers(asked, names, "--classes", "choose from")


def _labels(shown: list[int] | None, rows: int) -> Tensor | None:
    """A label for each row, the classes in turn."""
    return None if shown is None else torch.tensor(_turns(shown, rows))


def _turns(shown: list[int], rows: int) -> list[int]:
    return [shown[i % len(shown)] for i in range(rows)]


def _check(options: argparse.Namespace, others: Sequence[str]) -> None:
    """Check that the options are of the kind.

    Raises:
        ArgumentError: one is not, or there is no such option.
    """
    kinds = sorted({name for names in KINDS.values() for name in names})
    for name in kinds:
        if getattr(options, name) not in (None, False) and name not in KINDS[options.kind]:
            having = [kind for kind, names in KINDS.items() if name in names]
            raise ArgumentError(
                f"grid: --{name} is of --kind {', '.join(having)}, not of {options.kind}"
            )
    for name in ("rows", "columns", "stops", "samples"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise ArgumentError(f"grid: {name} must be at least 1, got {value}")
    for before, each in zip(["", *others], others, strict=False):
        is_option = each.split("=")[0].startswith(("--data.", "--data"))
        if not is_option and not (before.startswith("--data") and "=" not in before):
            raise ArgumentError(f"grid: unrecognized arguments: {' '.join(others)}")
    if options.output is not None:
        checked_format(options.output)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser("grid")
    parser.add_run()
    parser.add_argument(
        "--kind",
        choices=[*KINDS],
        default="truncation",
        help="truncation: a row for each latent, a column for each truncation; mixing: rows of "
        "sources with coarse, middle and fine styles of each column; noise: a row for each latent, "
        "with new noise in each column; classes: a row for each class, a column for each latent; "
        "walk: rows of steps from latent to latent; nearest: a row for each sample, with the "
        "training images that are nearest to it; training: a film of the run's own sample grids "
        "(default: truncation)",
    )
    parser.add_argument(
        "--film", action="store_true", help="show the columns one after the other, in a film"
    )
    parser.add_argument(
        "--rows",
        type=int,
        help="latents (default: 4, of nearest 6, of a walk's film 16), of mixing sources (2)",
    )
    parser.add_argument(
        "--columns",
        type=int,
        help="of mixing and noise (default: 5); latents of classes (8); steps of a walk (8, of "
        "its film 60); neighbours of nearest (5)",
    )
    parser.add_argument(
        "--values",
        type=float,
        nargs="+",
        help="of truncation (default: psi 0, 0.3, 0.5, 0.7 and 1 of styles, thresholds 0.25, 0.5, "
        "1 and 2 of other latents)",
    )
    parser.add_argument("--truncation", type=float, help="of all samples (default: none)")
    parser.add_argument(
        "--classes", nargs="+", help="by name or by number; rows have them in turn (default: all)"
    )
    parser.add_argument(
        "--stops", type=int, help="latents that a walk passes (default: 2, of its film 4)"
    )
    parser.add_argument(
        "--space", choices=("z", "w"), help="of a walk: latents or styles (default: w if any)"
    )
    parser.add_argument(
        "--samples", type=int, help="of nearest: of how many the distances are (default: 256)"
    )
    parser.add_argument(
        "--extractor",
        help="of nearest: the network in whose features images are compared too, or none (default: "
        "that of the run's scores)",
    )
    parser.add_argument("--weights", type=user_path, help="the file of the extractor's weights")
    parser.add_argument("--seed", type=int, default=0, help="of latents and noise (default: 0)")
    parser.add_argument(
        "--output",
        type=user_path,
        help="a .png, .webp or .gif (default: KIND.png, a film KIND.webp)",
    )
    parser.epilog = (
        "The training images are those that the run's saved config names; --data.* changes its "
        "options, such as --data.data_dir DIR."
    )
    return parser
