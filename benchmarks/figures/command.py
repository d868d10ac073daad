"""Make the papers' figures with our techniques: ``python -m benchmarks.figures NAME``.

Trains on one thread of a CPU, and writes the numbers to ``NAME.json`` and the picture that is drawn
from them to ``NAME.png``. ``docs/figures.md`` shows and explains all figures.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from benchmarks.command_line import Parser, shown_path
from benchmarks.figures.figure import Report, draw, make
from benchmarks.figures.registry import FIGURES
from benchmarks.protocol import INSTALLED, ROOT
from gan_lightning.training.iteration import look_for_gpus_once
from gan_lightning.utils.checks import checked_seed
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.suggestions import no_such

FOLDER = Path("runs", "figures") if INSTALLED else ROOT / "docs" / "figures"
#: Seconds between two lines of progress.
INTERVAL = 15


def main(args: Sequence[str] | None = None, prog: str = "benchmarks.figures") -> None:
    """Make figures, or draw them again."""
    parser = Parser(
        prog,
        __doc__,
        epilog="figures: " + "; ".join(f"{name}: {f.title}" for name, f in FIGURES.items()),
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"of {', '.join(FIGURES)}")
    parser.add_argument("--list", action="store_true", help="list the figures")
    parser.add_argument(
        "--draw", action="store_true", help="draw the pictures again from their numbers"
    )
    parser.add_argument("--seed", type=int, default=0, help="the random seed (default: 0)")
    parser.add_argument(
        "--output",
        type=Path,
        default=FOLDER,
        help=f"the folder to write to (default: {shown_path(FOLDER)})",
    )
    parser.add_argument(
        "--data-dir", type=Path, help="a folder of illustrations, for began-collapse"
    )
    options = parser.parse_args(args)
    if options.list:
        print("\n".join(f"{name:22}{figure.title}" for name, figure in FIGURES.items()))
        return
    if not options.names:
        parser.error(f"name a figure: {', '.join(FIGURES)}")
    for name in options.names:
        if name not in FIGURES:
            parser.error(no_such("figure", name, FIGURES))
    try:
        checked_seed(options.seed)
    except ValueError as error:
        parser.error(str(error))

    threads = torch.get_num_threads()
    # Sums are rounded differently on other numbers of threads.
    torch.set_num_threads(1)
    look_for_gpus_once()
    try:
        for figure in (FIGURES[name] for name in options.names):
            if options.draw:
                draw(figure, options.output)
            else:
                report = progress(figure.name)
                if "data_dir" in signature(figure.compute).parameters:
                    compute: Any = figure.compute
                    figure = replace(figure, compute=partial(compute, data_dir=options.data_dir))
                make(figure, figure.settings, options.seed, options.output, report)
            print(f"wrote {figure.picture_path(options.output)}")
    except UserError as error:
        parser.stop(error)
    finally:
        torch.set_num_threads(threads)


def progress(name: str) -> Report:
    """Prints lines with what was reached and the time left, now and then."""
    start = last = time.monotonic()

    def report(share: float, reached: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < INTERVAL and share < 1:
            return
        last = now
        left = round((now - start) * (1 - share) / share) if share else 0
        print(
            f"{name}: {share:4.0%}, {reached}, {left // 60}:{left % 60:02} left",
            flush=True,
        )

    return report
