"""Run the examples, and write their pages: ``python -m benchmarks.site.notebooks [NAME ...]``.

An example is a script of cells (the percent format of jupytext), which is a notebook too. Its page
in ``docs/examples`` has the cells, what they print, and the pictures that they show. Training takes
one thread of a CPU, in a temporary folder.
"""

import argparse
import ast
import contextlib
import io
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jupytext
import torch
from PIL import Image

from benchmarks.protocol import ROOT
from benchmarks.records import write_atomically
from gan_lightning.utils.files import whole_file
from gan_lightning.utils.suggestions import no_such

EXAMPLES = ROOT / "examples"
PAGES = ROOT / "docs" / "examples"


@dataclass
class Cell:
    """A cell of an example, and what came out of it.

    Args:
        source: Markdown, or Python.
        is_code: which of them.
        printed: what a cell of code printed.
        picture: what it showed, if it ends with a picture.
    """

    source: str
    is_code: bool
    printed: str = ""
    picture: Image.Image | None = field(default=None, repr=False)


def examples() -> dict[str, Path]:
    """The script of each example, by its name."""
    return {path.stem: path for path in sorted(EXAMPLES.glob("*.py"))}


def read_cells(path: Path) -> list[Cell]:
    """The cells of a script."""
    notebook = jupytext.read(path, fmt="py:percent")
    return [Cell(cell.source, cell.cell_type == "code") for cell in notebook.cells]


def run_cells(cells: Sequence[Cell]) -> None:
    """Run the cells of code one after another, as a notebook does, and keep what they show."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells:
        if cell.is_code:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                value = _run(cell.source, names)
            cell.printed = printed.getvalue().rstrip()
            cell.picture = value if isinstance(value, Image.Image) else None


def _run(source: str, names: dict[str, Any]) -> object:
    """The value of a cell's last line, if it is an expression."""
    tree = ast.parse(source)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "cell", "exec"), names)
        return None
    tree.body.pop()
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def page(name: str, cells: Sequence[Cell]) -> tuple[str, dict[str, Image.Image]]:
    """The Markdown of an example's page, and its pictures by their file's name."""
    parts: list[str] = []
    pictures: dict[str, Image.Image] = {}
    heading = name
    for cell in cells:
        if not cell.is_code:
            headings = re.findall(r"^#+ (?:\d+\. )?(.+)$", cell.source, re.MULTILINE)
            heading = headings[-1] if headings else heading
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        if cell.printed:
            parts.append(f"```text\n{cell.printed}\n```")
        if cell.picture is not None:
            file = f"{name}-{len(pictures) + 1}.png"
            pictures[file] = cell.picture
            parts.append(f"![{heading}]({file})")
    source = f"[examples/{name}.py](../../examples/{name}.py)"
    parts.append(f"This page is {source}, which is a script and a notebook: [how](index.md).")
    return "\n\n".join(parts) + "\n", pictures


def write_page(name: str, cells: Sequence[Cell], folder: Path) -> None:
    """Write the page of an example and its pictures."""
    text, pictures = page(name, cells)
    folder.mkdir(parents=True, exist_ok=True)
    for file, picture in pictures.items():
        with whole_file(folder / file) as opened:
            small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
            small.save(opened, format="png", optimize=True)
    write_atomically(folder / f"{name}.md", text)


@contextlib.contextmanager
def _temporary_folder() -> Iterator[None]:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def main(args: Sequence[str] | None = None) -> None:
    """Run examples, and write their pages."""
    parser = argparse.ArgumentParser(prog="benchmarks.site.notebooks", description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", help="of examples (default: all)")
    parser.add_argument(
        "--output", type=Path, default=PAGES, help="the folder to write to (default: docs/examples)"
    )
    options = parser.parse_args(args)
    found = examples()
    for name in options.names:
        if name not in found:
            parser.error(no_such("example", name, found))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name in options.names or found:
            cells = read_cells(found[name])
            output = options.output.resolve()
            with _temporary_folder():
                run_cells(cells)
            write_page(name, cells, output)
            print(f"wrote {output / name}.md", flush=True)
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
