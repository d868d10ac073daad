"""``gan-lightning benchmark``: the programs of the benchmark, from a clone or a wheel."""

import sys
from collections.abc import Sequence
from importlib import import_module

from gan_lightning.utils.errors import MissingPackageError
from gan_lightning.utils.shipped import shipped_root


def main(args: Sequence[str]) -> None:
    """Run one of ``front.PROGRAMS``, the first of the arguments, with the others.

    Raises:
        MissingPackageError: the installation lacks the benchmark.
    """
    program, *others = args
    root = shipped_root()
    if not (root / "benchmarks").is_dir():
        raise MissingPackageError(f"benchmark: this installation has no folder {root}/benchmarks")
    # Before the working folder, which may have another package of this name. The classes of its
    # rows are in records by this name, so that it has to be the same in a clone and in a wheel.
    sys.path.insert(0, str(root))
    name = f"benchmarks.{program}" if program == "reproduce" else f"benchmarks.{program}.command"
    import_module(name).main(others, f"gan-lightning benchmark {program}")
