"""The gallery: the samples of every row of every protocol, with its distance."""

from html import escape

from benchmarks.protocol import RESULTS, ROOT, Protocol
from benchmarks.protocols import PROTOCOLS
from benchmarks.records import read_records
from benchmarks.render.markdown import relative_link
from benchmarks.render.numbers import mean_and_deviation
from benchmarks.render.table import Row, rows

DOCS = ROOT / "docs"


def gallery() -> str:
    """Markdown with a section for each protocol that has samples; rows are in the table's order."""
    return "\n\n".join(
        section(protocol, shown)
        for protocol in PROTOCOLS.values()
        if (RESULTS / protocol.name).is_dir()
        and (shown := [row for row in protocol_rows(protocol) if row.picture is not None])
    )


def protocol_rows(protocol: Protocol) -> list[Row]:
    """The rows of a protocol from the committed records."""
    return rows(read_records(RESULTS, protocol), protocol, RESULTS)


def section(protocol: Protocol, shown: list[Row]) -> str:
    """A heading, and a card for each row."""
    cards = "\n".join(card(row) for row in shown)
    return f'## {protocol.title}\n\n<div class="gallery">\n{cards}\n</div>'


def card(row: Row) -> str:
    """HTML: the samples, which technique drew them, and its distance."""
    assert row.picture is not None
    picture = relative_link(row.picture, DOCS)
    name = escape(row.name)
    page = DOCS / "techniques" / f"{row.variant.technique}.md"
    linked = f'<a href="{relative_link(page, DOCS)}">{name}</a>' if page.is_file() else name
    details = [f"distance {mean_and_deviation(row.values('last'))}", *row.collapse_marks]
    return (
        f'<figure><a href="{picture}"><img src="{picture}" alt="Samples of {name}" loading="lazy">'
        f"</a><figcaption>{linked}<br><small>{escape(', '.join(details))}</small></figcaption>"
        "</figure>"
    )
