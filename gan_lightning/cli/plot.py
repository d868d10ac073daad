"""``gan-lightning plot``: losses and scores of runs in one picture, without torch or a service."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from gan_lightning.cli.front import CommandParser
from gan_lightning.curves import choose, draw, read_run
from gan_lightning.utils.errors import ArgumentError
from gan_lightning.utils.files import user_path, whole_file

FORMATS = ("png", "svg", "pdf")


def main(args: Sequence[str]) -> None:
    """Write the picture.

    Raises:
        UserError: an argument or a log cannot be used, or the picture not be written.
    """
    options = _parser().parse_args(list(args))
    path: Path = options.output
    if (kind := path.suffix[1:].lower()) not in FORMATS:
        raise ArgumentError(f"plot: {path} must end in .{', .'.join(FORMATS)}")
    runs = [read_run(folder) for folder in options.runs]
    figure = draw(runs, choose(runs, options.values))
    with whole_file(path) as file:
        figure.savefig(file, format=kind)
    print(f"wrote {path}")


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser("plot")
    parser.add_argument("runs", nargs="+", type=user_path, metavar="RUN", help="folders of runs")
    parser.add_argument(
        "--values",
        nargs="+",
        metavar="NAME",
        help="columns of metrics.csv (default: both losses and all scores)",
    )
    parser.add_argument(
        "--output",
        type=user_path,
        default=Path("curves.png"),
        help="the picture: .png, .svg or .pdf (default: curves.png)",
    )
    return parser
