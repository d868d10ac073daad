"""``gan-lightning list``, ``configs`` and ``weights``: tables that import nothing they list."""

import ast
import re
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import gan_lightning
from gan_lightning.cli.configs import description, named_configs
from gan_lightning.pretrained import FOLDER, list_pretrained
from gan_lightning.techniques import TECHNIQUES
from gan_lightning.utils.errors import one_line


class Row(NamedTuple):
    """A line of the table."""

    key: str
    class_name: str
    description: str
    distribution: str


def techniques_table() -> str:
    """The table of all techniques, as text."""
    return _table([Row("KEY", "CLASS", "DESCRIPTION", "FROM"), *_rows()])


def configs_table() -> str:
    """The table of the configs that come with the package, as text."""
    rows = [(name, description(path)) for name, path in named_configs().items()]
    return _table([("NAME", "DESCRIPTION"), *rows])


def weights_table() -> str:
    """The table of the generators that come with the package, as text."""
    rows = [("NAME", "DESCRIPTION", "SCORE", "SIZE")]
    for name, weights in list_pretrained().items():
        score, value = next(iter(weights.scores.items()))
        size = (FOLDER / name / "model.safetensors").stat().st_size
        rows.append((name, weights.description, f"{score} {value:.4g}", f"{size / 1000:,.0f} kB"))
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    # Other packages wrote some of the cells.
    rows = [list(map(one_line, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _rows() -> Iterator[Row]:
    for key, name in TECHNIQUES.own.items():
        text = _describe(f"gan_lightning.techniques.{key}", name)
        yield Row(key, name, text, f"gan-lightning {gan_lightning.__version__}")
    for key, offer in TECHNIQUES.offers.items():
        name = offer.class_name or offer.point.value
        yield Row(key, name, _describe(offer.module, name), offer.distribution)


def _describe(module: str, class_name: str) -> str:
    """The first line of a class's docstring, with its first arXiv id; "" where it is not found."""
    try:
        path = _source(module)
        tree = ast.parse(path.read_bytes()) if path is not None else None
    except Exception:
        return ""  # what is wrong is said where the technique is used
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            text = ast.get_docstring(node) or ""
            first = text.partition("\n")[0].removesuffix(".")
            paper = re.search(r"arXiv:\d{4}\.\d{4,5}", text)
            return f"{first} ({paper[0]})" if paper else first
    return ""


def _source(module: str) -> Path | None:
    """The file of a module; None where there is none. Its packages are not imported."""
    package, *inner = module.split(".")
    if not package:
        return None
    spec = find_spec(package)
    for part in inner:
        if spec is None or spec.submodule_search_locations is None:
            return None
        package = f"{package}.{part}"
        spec = PathFinder.find_spec(package, spec.submodule_search_locations)
    return Path(spec.origin) if spec and spec.has_location and spec.origin else None
