"""Text that a program writes into a page that people write, between two marks."""

import os
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from gan_lightning.utils.errors import one_line


def fill(page: str, name: str, content: str) -> str:
    """The page with ``content`` between the marks of ``name``; as it is where it has none."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        return page
    return f"{before}{begin}\n{content}\n{end}{after}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int]) -> str:
    """Columns of ``words``, by their numbers, to the left, all others to the right.

    A row stays one row of its cells, whatever they hold.
    """
    rule = ["---" if i in words else "---:" for i in range(len(head))]
    lines = [[one_line(cell).replace("|", "&#124;") for cell in line] for line in [head, *rows]]
    lines.insert(1, rule)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def inert(text: str) -> str:
    """The text in one line of Markdown, whose marks, HTML's among them, are letters."""
    marked = re.sub(r"[\\`*\[\]]", r"\\\g<0>", one_line(text))
    return escape(marked, quote=False).replace("|", "&#124;")


def code(text: str) -> str:
    """A name as Markdown's code, where it is such as names are."""
    return f"`{text}`" if re.fullmatch(r"[\w ./:=+()-]+", text) else inert(text)


def relative(path: Path, folder: Path) -> str:
    """The link from a page in ``folder`` to ``path``."""
    return quote(Path(os.path.relpath(path, folder)).as_posix())
