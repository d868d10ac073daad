"""Render tables from the records: ``python -m benchmarks.render``.

Writes ``LEADERBOARD.md`` and ``leaderboard.html``, with the tables as CSV in ``leaderboard``, and
fills the marked blocks of ``README.md`` and ``docs``. Pictures that are not below the output are
copied to ``leaderboard/pictures``, so that the page works from its folder. With ``--check`` it
writes nothing and exits with 1 if a file does not match the records. With ``--published`` the rows
of the repository stand beside those in ``--results``, in the tables of the protocols that have
records there.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.command_line import PREFIX, Parser, add_results, shown_path
from benchmarks.protocol import (
    INSTALLED,
    OWN_RESULTS,
    PAPER_RUNS,
    RELIABILITY,
    RESULTS,
    ROOT,
    SENSITIVITY,
    SPEEDRUNS,
    THROUGHPUT,
    Protocol,
)
from benchmarks.protocols import PROTOCOLS
from benchmarks.records import read_records, write_atomically
from benchmarks.render import ranks, target
from benchmarks.render.columns import headers, table_cells
from benchmarks.render.dates import Dates
from benchmarks.render.failures import failure_table
from benchmarks.render.markdown import escape_markdown, fill, markdown_table
from benchmarks.render.measured import (
    data_tables,
    evaluation_tables,
    profile_tables,
    reliability_table,
    sensitivity_tables,
    shared_batch_tables,
    training_tables,
)
from benchmarks.render.page import DIVERSITY, page, table_texts
from benchmarks.render.paper_runs import paper_runs_table
from benchmarks.render.pictures import BESIDE, Links
from benchmarks.render.published import (
    NEWEST,
    NEWEST_HEADERS,
    NEWEST_TERMS,
    PUBLISHED,
    PUBLISHED_HEADERS,
    Reported,
    newest_rows,
    published_rows,
    read_reported,
)
from benchmarks.render.scaling import averaging_table, cache_table, ranks_table
from benchmarks.render.speedruns import speedrun_tables
from benchmarks.render.summary import summary_table
from benchmarks.render.table import Row, rows, score_name
from benchmarks.render.target import target_text
from benchmarks.render.techniques import technique_page
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.files import whole_file

Tables = list[tuple[Protocol, list[Row]]]

#: The number of pictures in a line of a page.
PICTURES = 7
#: The width of a terminal that has room for all columns.
WIDE = 170


def main(args: Sequence[str] | None = None, prog: str = "benchmarks.render") -> None:
    """Write and print the tables, or check them."""
    parser = Parser(prog, __doc__)
    add_results(parser)
    parser.add_argument(
        "--output",
        type=Path,
        default=OWN_RESULTS if INSTALLED else ROOT,
        help=f"the folder to write to (default: {shown_path(OWN_RESULTS if INSTALLED else ROOT)})",
    )
    parser.add_argument(
        "--published",
        action=argparse.BooleanOptionalAction,
        default=INSTALLED,
        help="show the rows of the repository too, where there are no records of them in --results "
        f"(default: {'yes' if INSTALLED else 'no'})",
    )
    parser.add_argument(
        "--check", action="store_true", help="compare the files with the records, and write nothing"
    )
    options = parser.parse_args(args)
    if not any((options.results / name).is_dir() for name in PROTOCOLS):
        parser.stop(f"there are no records in {options.results}: {PREFIX}run writes them there")

    try:
        tables = [
            _table(protocol, options.results, options.published)
            for protocol in PROTOCOLS.values()
            if (options.results / protocol.name).is_dir()
        ]
        runs = [run for _, table in tables for row in table for run in row.runs]
        dates = Dates(options.results, runs, ask_git=not options.check)
        links = Links(options.output, options.results, RESULTS)
        files = _files(tables, links, dates)
    except UserError as error:
        parser.stop(f"{error}; repair it, or delete it and repeat its run")
    if options.check:
        stale = [path for path, text in files.items() if not _has_text(path, text)]
        stale += [copy for copy, path in links.copies.items() if not _is_copy(copy, path)]
        if stale:
            names = ", ".join(path.name for path in stale)
            parser.stop(f"{names}: not what the records give; run {PREFIX}render")
        return
    for path, text in files.items():
        write_atomically(path, text)
    for copy, path in links.copies.items():
        with whole_file(copy) as file:
            file.write(path.read_bytes())
    for protocol, table in tables:
        _print(protocol, table)
    print("\n".join(f"wrote {path}" for path in files))
    if links.copies:
        print(f"copied {len(links.copies)} pictures to {links.output / BESIDE / 'pictures'}")


def _table(protocol: Protocol, results: Path, published: bool) -> tuple[Protocol, list[Row]]:
    """A protocol with its rows; with a word on whose they are where some are ``published``."""
    records = read_records(results, protocol)
    if not published:
        return protocol, rows(records, protocol, results)
    own = {record.folder for record in records}
    others = [each for each in read_records(RESULTS, protocol) if each.folder not in own]
    table = rows([*records, *others], protocol, results, RESULTS)
    names = [row.name for row in table if row.key in own]
    note = f"Trained here: {', '.join(names)}. The other rows are the published ones." * bool(names)
    return replace(protocol, description=f"{protocol.description} {note}".strip()), table


def _files(tables: Tables, links: Links, dates: Dates) -> dict[Path, str]:
    """The text of each file."""
    output = links.output
    reported = read_reported()
    files = {output / "leaderboard.html": page(tables, reported, links, dates)}
    files |= {output / path: text for path, text in table_texts(tables).items()}
    if dates.text is not None:
        files[dates.path] = dates.text
    experiments = [(protocol, table) for protocol, table in tables if protocol.baseline is not None]
    tables = [(protocol, table) for protocol, table in tables if protocol.baseline is None]
    files[output / "LEADERBOARD.md"] = _leaderboard(tables, links, reported)
    readme = output / "README.md"
    if readme.is_file():
        files[readme] = fill(readme.read_text(), "leaderboard", _in_readme(tables, links))
    blocks = {
        "speed": {
            "shared batch": shared_batch_tables(THROUGHPUT),
            "training throughput": training_tables(THROUGHPUT),
            "host profile": profile_tables(THROUGHPUT),
        },
        "scaling": {
            "paper runs": paper_runs_table(PAPER_RUNS, reported),
            "averaging": averaging_table(PAPER_RUNS),
            "caches": cache_table(THROUGHPUT / "data-cpu.json"),
            "evaluations": ranks_table(THROUGHPUT / "eval-inception-cpu.json"),
        },
        "data": {"data throughput": data_tables(THROUGHPUT)},
        "reliability": {"reliability": reliability_table(RELIABILITY)},
        "speedrun": {"speed runs": speedrun_tables(SPEEDRUNS)},
        "evaluation": {
            "sensitivity": sensitivity_tables(SENSITIVITY),
            "evaluation throughput": evaluation_tables(THROUGHPUT),
        },
        "failures": {"failures": failure_table(experiments) if experiments else ""},
        "stabilizers": {
            "summary": summary_table(experiments) if experiments else "",
            **{
                protocol.name: _section(protocol, table, links, output / "docs")
                for protocol, table in experiments
            },
        },
    }
    for name, page_blocks in blocks.items():
        page_path = output / "docs" / f"{name}.md"
        if page_path.is_file():
            files[page_path] = page_path.read_text()
            for mark, block in page_blocks.items():
                files[page_path] = fill(files[page_path], mark, block)
    for path in sorted((output / "docs" / "techniques").glob("*.md")):
        files[path] = technique_page(path, tables, links, reported)
    return files


def _has_text(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


def _is_copy(copy: Path, path: Path) -> bool:
    return copy.is_file() and copy.read_bytes() == path.read_bytes()


def _leaderboard(tables: Tables, links: Links, reported: Reported) -> str:
    parts = [
        "# Leaderboard",
        f"Generated by `{PREFIX}render` from the records in `{shown_path(OWN_RESULTS)}`; "
        "`leaderboard.html` also has the learning curves, and `leaderboard` the tables as CSV.",
        ranks.EXPLANATION,
        f"{DIVERSITY} {target.EXPLANATION}",
    ]
    for protocol, table in tables:
        parts += [f"## {protocol.title}", _section(protocol, table, links, links.output)]
        if published := published_rows(protocol, table, reported):
            parts += [
                PUBLISHED,
                markdown_table(PUBLISHED_HEADERS, published, text_columns=range(8)),
            ]
    if newest := newest_rows(reported):
        parts += [f"## {NEWEST}", NEWEST_TERMS]
        parts.append(markdown_table(NEWEST_HEADERS, newest, text_columns=[0, 1, 5]))
    return "\n\n".join(parts) + "\n"


def _section(protocol: Protocol, table: list[Row], links: Links, folder: Path) -> str:
    """What is compared, the table, and the problems of its rows, for a page in ``folder``."""
    reached = target_text(protocol, score_name(protocol, table, "distance"))
    description = " ".join(filter(None, [protocol.description, reached]))
    parts = [description, _markdown(protocol, table, links, folder)]
    problems = [
        f"- {escape_markdown(row.name)}, {escape_markdown(problem)}"
        for row in table
        for problem in row.problems()
    ]
    if problems:
        parts.append("Not finished, collapsed, or stale:\n\n" + "\n".join(problems))
    return "\n\n".join(parts)


def _in_readme(tables: Tables, links: Links) -> str:
    """The first table, which needs no GPU or download, and a link to the other tables."""
    parts = [_markdown(*table, links, links.output) for table in tables[:1]]
    if titles := [protocol.title for protocol, _ in tables[1:]]:
        parts.append(f"[LEADERBOARD.md](LEADERBOARD.md) has more: {'; '.join(titles)}.")
    return "\n\n".join(parts)


def _markdown(protocol: Protocol, table: list[Row], links: Links, folder: Path) -> str:
    """The table, and the pictures of its techniques, ``PICTURES`` in a line."""
    lines = [[escape_markdown(cell.text) for cell in row] for row in table_cells(protocol, table)]
    text = markdown_table(
        [header.markdown for header in headers(protocol, table)], lines, text_columns=[1]
    )
    shown = [row for row in table if row.picture is not None]
    if not shown:
        return text
    names = [escape_markdown(row.name) for row in shown]
    pictures = [
        f"![{name}]({links.picture(row.picture, folder)})"
        for name, row in zip(names, shown, strict=True)
        if row.picture
    ]
    for i in range(0, len(shown), PICTURES):
        line = slice(i, i + PICTURES)
        columns = range(len(names[line]))
        text += "\n\n" + markdown_table(names[line], [pictures[line]], text_columns=columns)
    return text


def _print(protocol: Protocol, table: list[Row]) -> None:
    # A log file has no width to fold the table to.
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    columns = [
        (i, header)
        for i, header in enumerate(headers(protocol, table))
        if console.width >= WIDE or not header.minor
    ]
    shown = Table(title=protocol.title)
    for i, header in columns:
        shown.add_column(Text(header.title), justify="left" if i == 1 else "right", overflow="fold")
    for cells in table_cells(protocol, table):
        # Not markup, as plain strings would be.
        shown.add_row(*(Text(cells[i].text) for i, _ in columns))
    console.print(shown)
    for row in table:
        for problem in row.problems():
            console.print(Text(f"{row.name}, {problem}"))
