"""``gan-lightning list``, ``configs`` and ``weights``: what there is by name, not imported."""

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import gan_lightning
from gan_lightning.cli.configs import description, named_configs
from gan_lightning.pretrained import FOLDER, list_pretrained
from gan_lightning.techniques import TECHNIQUES
from gan_lightning.utils.errors import one_line
from gan_lightning.utils.shipped import shipped_root

#: The modules of ``gan_lightning.data`` whose classes hold no data set.
BASES = ("base", "images", "loader")


class Row(NamedTuple):
    """A line of the table of techniques."""

    key: str
    class_name: str
    description: str
    distribution: str


def techniques_table() -> str:
    """The table of all techniques, as text."""
    return _table([Row("KEY", "CLASS", "DESCRIPTION", "FROM"), *_rows()])


def networks_table() -> str:
    """The table of the families of networks, as text."""
    return _table([("NAME", "NETWORKS"), *_remarks("gan_lightning.networks", "FAMILIES")])


def data_table() -> str:
    """The table of the data modules, as text."""
    tree = _parsed(_source("gan_lightning.data"))
    names = [
        (node.module, each.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module
        for each in node.names
        if node.module.rpartition(".")[2] not in BASES
    ]
    rows = [(name, _describe(module, name)) for module, name in names]
    return _table([("CLASS", "DESCRIPTION"), *rows])


def augmentations_table() -> str:
    """The table of the augmentations, and of the operations that they may be made of, as text."""
    package = "gan_lightning.augment"
    rows = [*_remarks(package, "POLICIES"), *_remarks(f"{package}.diffaugment", "OPERATIONS")]
    return _table([("NAME", "AUGMENTATION"), *rows])


def regularizers_table() -> str:
    """The table of the terms that the critic's loss of any technique may get, as text."""
    rows = _remarks("gan_lightning.regularizers", "REGULARIZERS")
    return _table([("NAME", "REGULARIZER"), *rows])


def extractors_table() -> str:
    """The table of the networks that scores are computed with, as text."""
    rows = list(_remarks("gan_lightning.metrics.extractors", "EXTRACTORS"))
    tree = _parsed(_source("torch_fidelity.feature_extractor_dinov2"))
    metadata = _assigned(tree, "MODEL_METADATA")
    for name in ast.literal_eval(metadata) if metadata else ():
        rows.append((name.replace("-", "_"), "DINOv2, arXiv:2304.07193; torch.hub downloads it"))
    rows.append(("mobilenet_v2", "or any other classifier of torchvision, with a file of weights"))
    return _table([("NAME", "NETWORK"), *rows])


def protocols_table() -> str:
    """The table of the benchmark's protocols, as text."""
    tree = _parsed(shipped_root() / "benchmarks" / "protocols.py")
    value = _assigned(tree, "PROTOCOLS")
    return _table([("NAME", "TITLE"), *(_titles(value, {}) if value else ())])


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


#: Each section of ``gan-lightning list``: where its names are used, and its table.
SECTIONS: dict[str, tuple[str, Callable[[], str]]] = {
    "techniques": ("--model", techniques_table),
    "networks": ("--model.network", networks_table),
    "augmentations": ("--model.augment", augmentations_table),
    "regularizers": ("--model.regularize", regularizers_table),
    "data": ("--data", data_table),
    "extractors": ("--evaluate.extractor, and score --extractor", extractors_table),
    "protocols": ("benchmark run --protocol", protocols_table),
    "configs": ("--config", configs_table),
    "weights": ("load and export", weights_table),
}


def sections(name: str | None = None) -> str:
    """The table of a section or, with headings, those of all."""
    if name is not None:
        return SECTIONS[name][1]()
    return "\n\n".join(
        f"{each.capitalize()}, for {option}:\n\n{table()}"
        for each, (option, table) in SECTIONS.items()
    )


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
        tree = _parsed(_source(module))
    except Exception:
        return ""  # what is wrong is said where the technique is used
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            text = ast.get_docstring(node) or ""
            first = text.partition("\n")[0].removesuffix(".")
            paper = re.search(r"arXiv:\d{4}\.\d{4,5}", text)
            return f"{first} ({paper[0]})" if paper else first
    return ""


def _remarks(module: str, name: str) -> Iterator[tuple[str, str]]:
    """The keys of a dict in a module, each with the remark behind it."""
    path = _source(module)
    lines = [] if path is None else path.read_text().splitlines()
    value = _assigned(_parsed(path), name)
    for key in value.keys if isinstance(value, ast.Dict) else ():
        if isinstance(key, ast.Constant):
            yield str(key.value), lines[key.lineno - 1].partition("  # ")[2]


def _assigned(tree: ast.Module, name: str) -> ast.expr | None:
    """What a module assigns to a name; None where there is no such name."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if ast.unparse(target) == name:
                return node.value
    return None


def _titles(tree: ast.AST, variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The arguments ``name`` and ``title`` of calls, in order; loops over constants are run."""
    if isinstance(tree, ast.GeneratorExp) and isinstance(tree.generators[0].target, ast.Tuple):
        (loop,) = tree.generators
        names = ast.unparse(loop.target).strip("()").split(", ")
        with suppress(ValueError):  # the loop is over what is not constant, and has no titles
            for values in ast.literal_eval(loop.iter):
                yield from _titles(tree.elt, {**variables, **dict(zip(names, values, strict=True))})
        return
    if isinstance(tree, ast.Call):
        given = {each.arg: each.value for each in tree.keywords}
        if {"name", "title"} <= set(given):
            yield _text(given["name"], variables), _text(given["title"], variables)
            return
    for node in ast.iter_child_nodes(tree):
        yield from _titles(node, variables)


def _text(node: ast.expr, variables: Mapping[str, str]) -> str:
    """The text of a constant or of an f-string of variables, perhaps in small letters."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(each, variables) for each in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, variables)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _text(node.func.value, variables).lower()
    return variables[node.id] if isinstance(node, ast.Name) else str(ast.literal_eval(node))


def _parsed(path: Path | None) -> ast.Module:
    """The code of a file; that of none is empty."""
    return ast.parse(path.read_bytes() if path is not None and path.is_file() else b"")


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
