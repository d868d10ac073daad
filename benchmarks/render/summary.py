"""One table of what each row changes in several protocols with the same baseline."""

from collections.abc import Sequence

from benchmarks.protocol import Protocol
from benchmarks.render.difference import Difference
from benchmarks.render.markdown import escape_markdown, markdown_table
from benchmarks.render.table import Row

Table = tuple[Protocol, list[Row]]


def row_titles(tables: Sequence[Table]) -> list[str]:
    """The titles of the protocols' rows, each once."""
    return list(dict.fromkeys(row.title for protocol, _ in tables for row in protocol.rows))


def summary_table(tables: Sequence[Table]) -> str:
    """The relative change of the distance in each protocol; rows are those of the protocols.

    Bold where it is beyond the seeds; with the number of runs that collapsed.
    """
    named = [{row.name: row for row in table} for _, table in tables]
    baselines = [
        next(row for row in table if row.key == protocol.baseline) for protocol, table in tables
    ]
    lines = [
        [
            escape_markdown(title),
            *(
                _cell(rows.get(title), baseline)
                for rows, baseline in zip(named, baselines, strict=True)
            ),
        ]
        for title in row_titles(tables)
    ]
    headers = ["", *(escape_markdown(protocol.title) for protocol, _ in tables)]
    return markdown_table(headers, lines, text_columns=[0])


def _cell(row: Row | None, baseline: Row) -> str:
    if row is None or not row.finished:
        return "-"
    if row is baseline:
        return ", ".join(["baseline", *row.collapse_marks])
    difference = Difference.of(row.values("last"), baseline.values("last"))
    if difference is None:
        return "-"
    change = f"{difference.relative:+.0%}".replace("-0%", "+0%")
    return ", ".join([f"**{change}**" if difference.beyond_seeds else change, *row.collapse_marks])
