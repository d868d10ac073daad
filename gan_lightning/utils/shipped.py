"""What comes with the package beside its modules: configs, the benchmark, weights of extractors.

A clone has them in the folders ``configs`` and ``benchmarks``, beside the package. A wheel has both
folders inside of the package, in ``shipped``, so that nothing of these names lies beside other
packages. The standard library alone is imported here.
"""

import os
from pathlib import Path

#: The folder of weights that come with the package, as records and documentation name it.
WEIGHTS = Path("benchmarks", "extractors")


def shipped_root(package: Path = Path(__file__).parents[1]) -> Path:
    """The folder that holds ``configs`` and ``benchmarks``: in a clone, its root."""
    installed = package / "shipped"
    return installed if installed.is_dir() else package.parent


def find_weights(path: Path) -> Path:
    """The path or, where no file is, that of the weights which the package has by this name.

    The path of a record, ``benchmarks/extractors/fashion_mnist.pt``, holds in every folder.
    """
    own = shipped_root() / path
    return own if path.parent == WEIGHTS and not os.path.isfile(path) and own.is_file() else path
