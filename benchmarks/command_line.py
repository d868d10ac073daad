"""What the programs of the benchmark have in common on their command lines."""

import argparse
import math
from pathlib import Path
from typing import NoReturn

from benchmarks.protocol import INSTALLED, OWN_RESULTS, ROOT
from gan_lightning import TECHNIQUES
from gan_lightning.utils.errors import one_line
from gan_lightning.utils.suggestions import no_such

#: How the programs are started, before their names.
PREFIX = "gan-lightning benchmark " if INSTALLED else "python -m benchmarks."


def shown_path(path: Path) -> str:
    """A default path in a help: of a clone, relative to it."""
    return (path.relative_to(ROOT) if path.is_relative_to(ROOT) else path).as_posix()


def count(text: str) -> int:
    """The type of an argument that counts something: an int of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text!r}")
    return int(text)


def positive(text: str) -> float:
    """The type of an argument that is a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def technique_key(text: str) -> str:
    """The type of an argument that names a technique, in any spelling: its key."""
    key = TECHNIQUES.find(text)
    if key is None:
        raise argparse.ArgumentTypeError(no_such("technique", text, TECHNIQUES))
    return key


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add the option for the folder of records."""
    parser.add_argument(
        "--results",
        type=Path,
        default=OWN_RESULTS,
        help=f"the folder of records (default: {shown_path(OWN_RESULTS)})",
    )


class Parser(argparse.ArgumentParser):
    """A parser that answers a mistake in one line.

    Args:
        prog: the name of the program, such as ``benchmarks.run``.
        description: what it does.
        epilog: the end of its help.
    """

    def __init__(self, prog: str, description: str | None, epilog: str | None = None) -> None:
        super().__init__(prog, description=description, epilog=epilog)
        #: What messages begin with.
        self.label = prog.replace("gan-lightning ", "gan-lightning: ", 1)

    def error(self, message: str) -> NoReturn:
        """Exit with 2 and one line."""
        self.stop(message, 2)

    def stop(self, message: object, code: int = 1) -> NoReturn:
        """Exit with one line."""
        text = f"{self.label}: {one_line(' '.join(str(message).split()))}"
        if code == 1:
            raise SystemExit(text)  # Python prints it
        self.exit(code, f"{text}\n")
