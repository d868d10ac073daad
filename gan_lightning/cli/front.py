"""What the command line answers at once, before torch and Lightning are imported.

This module imports the standard library alone, and so does all that it answers with.
"""

import argparse
import atexit
import gc
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import NoReturn

import gan_lightning
from gan_lightning.cli.listing import SECTIONS, sections
from gan_lightning.utils.errors import ArgumentError, UserError, one_line
from gan_lightning.utils.files import user_path
from gan_lightning.utils.shipped import shipped_root
from gan_lightning.utils.suggestions import no_such

#: Each command, with what it does; the first four are methods of the trainer, whose first lines
#: these are.
COMMANDS = {
    "fit": "Train a model.",
    "validate": "Score samples against the validation loop's, the training samples of our data "
    "modules.",
    "test": "Score samples against the test loop's.",
    "predict": "Draw samples, as many as the loader's numbers say.",
    "score": "Compare the images of two folders, or zip archives, on a network's features.",
    "grid": "Look at a run: truncation, styles, classes, walks, nearest images, a film of it.",
    "plot": "Draw the losses and scores of runs in one picture.",
    "demo": "Show a page on this machine that draws samples of a model.",
    "export": "Write the weights of a model and a card, in a folder or on the Hugging Face hub.",
    "benchmark": "Train techniques on the same terms, and compare them in a table.",
    "list": "List techniques, networks, data, extractors, protocols, configs and weights, or one.",
    "configs": "List the configs that come with the package, for --config.",
    "weights": "List the generators that come with the package, for load and export.",
}
#: Each program of the benchmark, with what it does.
PROGRAMS = {
    "run": "Train the runs of a protocol that have no record yet.",
    "render": "Write the tables and the page of the records.",
    "reproduce": "Repeat the run of a record, and compare the scores.",
    "figures": "Make the papers' figures with our techniques.",
    "throughput": "Measure the speed of each part on this machine.",
}
#: Commands that are modules of this package, and import neither torch nor Lightning.
WITHOUT_TORCH = ("plot",)
#: Options that may stand before a command.
OPTIONS = ("-h", "--help", "--version", "-c", "--config", "--print_config")


class CommandParser(argparse.ArgumentParser):
    """The arguments of a command that no trainer runs; a mistake is answered in one line.

    Args:
        command: its name in ``COMMANDS``.
    """

    def __init__(self, command: str) -> None:
        super().__init__(f"gan-lightning {command}", description=COMMANDS[command])
        self._command = command

    def add_run(self) -> None:
        """Add the option for a run."""
        self.add_argument(
            "--ckpt_path",
            type=user_path,
            required=True,
            help="a checkpoint, or the folder of a run",
        )

    def error(self, message: str) -> NoReturn:
        """Raise what the program prints as one line."""
        raise ArgumentError(f"{self._command}: {message}")


def main(args: Sequence[str] | None = None) -> None:
    """Run one command; without ``args``, the process's own.

    Exits as ``gan_lightning.cli.program.main`` does.
    """
    own_process = args is None
    args = sys.argv[1:] if args is None else list(args)
    try:
        answered = _answered(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as head, has enough; nothing can be written at the exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    if not answered and args[0] in WITHOUT_TORCH:
        _run(args)
    elif not answered:
        with _uncollected() if own_process else nullcontext():
            from gan_lightning.cli import program
        program.main(args)


def _run(args: Sequence[str]) -> None:
    """Run a command of ``WITHOUT_TORCH``; a mistake is answered in one line."""
    try:
        import_module(f"gan_lightning.cli.{args[0]}").main(args[1:])
    except UserError as error:
        stop(str(error), error.exit_code)
    except OSError as error:
        stop(": ".join(map(str, filter(None, (error.filename, error.strerror)))), code=1)
    except KeyboardInterrupt:
        stop("interrupted", code=130)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Have the garbage collector pass over what is made here until the exit.

    Modules stay to the end: to go through their objects, again and again, takes a fifth of the
    CPU time of a short run. At the exit it gets them back: what is frozen then, bindings of C++
    report as leaked, in a screen of text.
    """
    atexit.register(gc.disable)
    atexit.register(gc.unfreeze)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


def find_working_folder() -> None:
    """Have modules of the working folder found, as ``python -m`` does, after installed ones.

    And the benchmark's, which checkpoints of its rows name, from a wheel too.
    """
    for folder in (os.getcwd(), str(shipped_root())):
        if folder not in sys.path:
            sys.path.append(folder)


def stop(message: str, code: int) -> NoReturn:
    """Exit with one line."""
    print(f"gan-lightning: {one_line(' '.join(message.split()))}", file=sys.stderr)
    raise SystemExit(code)


def _answered(args: Sequence[str]) -> bool:
    """Whether the arguments are answered; those of other commands are not."""
    if not args:
        stop(f"a command is missing: {', '.join(COMMANDS)}", code=2)
    first = args[0]
    if first in ("-h", "--help"):
        _parser().print_help()
    elif first == "--version":
        print(f"gan-lightning {gan_lightning.__version__}")
    elif first in ("list", "configs", "weights"):
        _list(first, args[1:])
    elif first == "benchmark" and not set(args[1:2]) & set(PROGRAMS):
        _programs(args[1:])
    elif not first.startswith("-") and first not in COMMANDS:
        stop(no_such("command", first, COMMANDS), code=2)
    elif first.startswith("--") and (name := first.partition("=")[0]) not in (*OPTIONS, "--"):
        long = [option for option in OPTIONS if option.startswith("--")]
        stop(f"{no_such('option', name, long)} Other options follow the command.", code=2)
    else:
        return False
    return True


def _parser() -> argparse.ArgumentParser:
    """The parser whose help is printed; another one reads the command line of a trainer."""
    parser = argparse.ArgumentParser(
        "gan-lightning",
        description="Train GANs, and score their samples.",
        epilog="gan-lightning COMMAND --help lists the options of a command.",
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    parser.add_argument("-c", "--config", help="a config with a section for each command")
    parser.add_argument("--print_config", action="store_true", help="print the config and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text)
    return parser


def _programs(args: Sequence[str]) -> None:
    """Answer a ``benchmark`` without one of its programs."""
    if not args:
        stop(f"benchmark: a program is missing: {', '.join(PROGRAMS)}", code=2)
    if args[0] not in ("-h", "--help"):
        stop(f"benchmark: {no_such('program', args[0], PROGRAMS)}", code=2)
    parser = argparse.ArgumentParser(
        "gan-lightning benchmark",
        description=COMMANDS["benchmark"],
        epilog="gan-lightning benchmark PROGRAM --help lists the options of a program.",
    )
    programs = parser.add_subparsers(title="programs", metavar="PROGRAM")
    for name, text in PROGRAMS.items():
        programs.add_parser(name, help=text)
    parser.print_help()


def _list(command: str, args: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(f"gan-lightning {command}", description=COMMANDS[command])
    if command == "list":
        parser.add_argument("section", nargs="?", help=f"{', '.join(SECTIONS)} (default: all)")
    options, unknown = parser.parse_known_args(args)
    if unknown:
        stop(f"{command}: what is {' '.join(unknown)}? --help shows the arguments", code=2)
    section = options.section if command == "list" else command
    if section not in (None, *SECTIONS):
        stop(f"list: {no_such('section', section, SECTIONS)}", code=2)
    find_working_folder()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        print(sections(section))
    for warning in caught:
        print(f"gan-lightning: {warning.message}", file=sys.stderr)
