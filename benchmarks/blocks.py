"""Text that a program writes into a page that people write, between two marks."""

import os
from collections.abc import Sequence
from pathlib import Path


def fill(page: str, name: str, content: str) -> str:
    """The page with ``content`` between the marks of ``name``; as it is where it has none."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        return page
    return f"{before}{begin}\n{content}\n{end}{after}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int]) -> str:
    """Columns of ``words``, by their numbers, to the left, all others to the right."""
    rule = ["---" if i in words else "---:" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *rows])


def relative(path: Path, folder: Path) -> str:
    """The link from a page in ``folder`` to ``path``."""
    return Path(os.path.relpath(path, folder)).as_posix()
