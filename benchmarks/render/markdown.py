"""Generated blocks, between two marks, in pages written by hand."""

import os
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from gan_lightning.utils.errors import one_line


def fill(page: str, name: str, content: str) -> str:
    """The page with ``content`` between the marks of ``name``; unchanged if it has no marks."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        return page
    return f"{before}{begin}\n{content}\n{end}{after}"


def markdown_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], text_columns: Sequence[int]
) -> str:
    """A table whose ``text_columns``, by index, are left-aligned, and all others right-aligned.

    Line breaks and bars in a cell do not break its row.
    """
    rule = ["---" if i in text_columns else "---:" for i in range(len(headers))]
    lines = [[one_line(cell).replace("|", "&#124;") for cell in line] for line in [headers, *rows]]
    lines.insert(1, rule)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape_markdown(text: str) -> str:
    """The text in one line, with the special characters of Markdown and HTML escaped."""
    # An underscore inside a word, as in the names of scores, has no meaning.
    special = r"[\\`*\[\]~]|(?<![^\W_])_|_(?![^\W_])"
    escaped = re.sub(special, r"\\\g<0>", one_line(text))
    return escape(escaped, quote=False).replace("|", "&#124;")


def code_span(text: str) -> str:
    """A name as a Markdown code span; escaped instead if it has unusual characters."""
    return f"`{text}`" if re.fullmatch(r"[\w ./:=+()-]+", text) else escape_markdown(text)


def relative_link(path: Path, folder: Path) -> str:
    """The relative link from a page in ``folder`` to ``path``."""
    return quote(Path(os.path.relpath(path, folder)).as_posix())
