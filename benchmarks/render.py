"""Records to tables: ``python -m benchmarks.render``.

Writes ``LEADERBOARD.md`` and ``leaderboard.html``, and between their marks the table in
``README.md`` and the numbers in ``docs``. With ``--check`` it writes nothing and exits
with 1 when one of them is not what the records give.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.blocks import fill, inert, markdown_table, relative
from benchmarks.measured_tables import (
    data_tables,
    evaluation_tables,
    profile_tables,
    reliability_table,
    sensitivity_tables,
    training_tables,
)
from benchmarks.page import page
from benchmarks.protocol import (
    PROTOCOLS,
    RELIABILITY,
    RESULTS,
    ROOT,
    SENSITIVITY,
    THROUGHPUT,
    Protocol,
)
from benchmarks.published import (
    PUBLISHED,
    PUBLISHED_HEADS,
    Reported,
    published_rows,
    read_reported,
)
from benchmarks.records import read_records, write_whole
from benchmarks.table import Row, heads, rows, texts
from benchmarks.technique_pages import technique_page
from gan_lightning.utils.errors import UserError


def main(args: Sequence[str] | None = None) -> None:
    """Write, or check, and print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks.render", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of records")
    parser.add_argument("--output", type=Path, default=ROOT, help="where to write")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    options = parser.parse_args(args)

    try:
        tables = [
            (protocol, rows(read_records(options.results, protocol), protocol, options.results))
            for protocol in PROTOCOLS.values()
            if (options.results / protocol.name).is_dir()
        ]
        files = _files(tables, options.output)
    except UserError as error:
        raise SystemExit(
            f"benchmarks.render: {error}; mend it, or delete it and make its run again"
        ) from error
    if options.check:
        stale = [path for path, text in files.items() if not _holds(path, text)]
        if stale:
            names = ", ".join(path.name for path in stale)
            raise SystemExit(f"{names}: not what the records give; run python -m benchmarks.render")
        return
    for path, text in files.items():
        write_whole(path, text)
    for protocol, table in tables:
        _print(protocol, table)
    print("\n".join(f"wrote {path}" for path in files))


def _files(tables: list[tuple[Protocol, list[Row]]], output: Path) -> dict[Path, str]:
    """What each file is to hold."""
    reported = read_reported()
    files = {
        output / "LEADERBOARD.md": _leaderboard(tables, output, reported),
        output / "leaderboard.html": page(tables, reported),
    }
    readme = output / "README.md"
    if readme.is_file():
        files[readme] = fill(readme.read_text(), "leaderboard", _in_readme(tables, output))
    blocks = {
        "speed": {
            "training throughput": training_tables(THROUGHPUT),
            "host profile": profile_tables(THROUGHPUT),
        },
        "data": {"data throughput": data_tables(THROUGHPUT)},
        "reliability": {"reliability": reliability_table(RELIABILITY)},
        "evaluation": {
            "sensitivity": sensitivity_tables(SENSITIVITY),
            "evaluation throughput": evaluation_tables(THROUGHPUT),
        },
    }
    for name, marked in blocks.items():
        page_path = output / "docs" / f"{name}.md"
        if page_path.is_file():
            files[page_path] = page_path.read_text()
            for mark, block in marked.items():
                files[page_path] = fill(files[page_path], mark, block)
    for path in sorted((output / "docs" / "techniques").glob("*.md")):
        files[path] = technique_page(path, tables, output / "LEADERBOARD.md", reported)
    return files


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


def _leaderboard(tables: list[tuple[Protocol, list[Row]]], output: Path, reported: Reported) -> str:
    parts = [
        "# Leaderboard",
        "Written by `python -m benchmarks.render` from the records under `benchmarks/results`; "
        "`leaderboard.html` has the learning curves too.",
    ]
    for protocol, table in tables:
        parts += [f"## {protocol.title}", protocol.description, _markdown(protocol, table, output)]
        troubles = [
            f"- {row.name}, {inert(trouble)}" for row in table for trouble in row.troubles()
        ]
        if troubles:
            parts.append("Not finished, or stale:\n\n" + "\n".join(troubles))
        if published := published_rows(protocol, table, reported):
            parts += [PUBLISHED, markdown_table(PUBLISHED_HEADS, published, words=range(8))]
    return "\n\n".join(parts) + "\n"


def _in_readme(tables: list[tuple[Protocol, list[Row]]], output: Path) -> str:
    """The first table, which everybody can make, and where the others are."""
    parts = [_markdown(*table, output) for table in tables[:1]]
    if titles := [protocol.title for protocol, _ in tables[1:]]:
        parts.append(f"[LEADERBOARD.md](LEADERBOARD.md) has more: {'; '.join(titles)}.")
    return "\n\n".join(parts)


def _markdown(protocol: Protocol, table: list[Row], output: Path) -> str:
    """The table, and the pictures of its techniques in one row."""
    lines = [texts(i, row) for i, row in enumerate(table, start=1)]
    text = markdown_table([*map(inert, heads(protocol, table))], lines, words=[1])
    shown = [row for row in table if row.picture is not None]
    pictures = [f"![{row.name}]({relative(row.picture, output)})" for row in shown if row.picture]
    if not shown:
        return text
    names = [row.name for row in shown]
    return text + "\n\n" + markdown_table(names, [pictures], words=range(len(names)))


def _print(protocol: Protocol, table: list[Row]) -> None:
    shown = Table(title=protocol.title)
    for i, name in enumerate(heads(protocol, table)):
        shown.add_column(Text(name), justify="left" if i == 1 else "right", overflow="fold")
    for i, row in enumerate(table, start=1):
        shown.add_row(*texts(i, row))
    # A log file has no width of its own to fold the table into.
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(shown)
    for row in table:
        for trouble in row.troubles():
            console.print(f"{row.name}, {trouble}", markup=False)


if __name__ == "__main__":
    main()
