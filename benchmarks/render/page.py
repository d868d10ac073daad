"""The leaderboard as an HTML page, from ``leaderboard.html.j2``, and its tables as CSV.

The page stands without its script: tables, curves with their legend, and samples are in it. The
script sorts, hides rows and shows values. Style sheet and script are part of the page, pictures are
files that it links to. A library for charts would weigh more than the page, and would change its
bytes from version to version.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from benchmarks.protocol import REAL_SAMPLES, Protocol
from benchmarks.records import frame_indices
from benchmarks.render import ranks as rank_module
from benchmarks.render import target as target_module
from benchmarks.render.chart import Line, line_chart
from benchmarks.render.columns import Cell, Header, headers, table_cells
from benchmarks.render.dates import Dates
from benchmarks.render.names import score_title
from benchmarks.render.numbers import short, thousands
from benchmarks.render.pictures import BESIDE, Links, read_film
from benchmarks.render.published import (
    NEWEST,
    NEWEST_HEADERS,
    NEWEST_TERMS,
    PUBLISHED,
    PUBLISHED_HEADERS,
    Reported,
    newest_rows,
    published_rows,
)
from benchmarks.render.sources import Source, hardware, sources
from benchmarks.render.table import Row, score_name
from benchmarks.render.target import target_text

TEMPLATE = "leaderboard.html.j2"
#: The x axes of the learning curves: the key of a point, and its name.
AXES = (("images", "real images seen"), ("train_seconds", "seconds of training"))
#: Of more curves in a chart, a reader cannot tell the bands apart.
MOST_BANDS = 8
#: What the column means, for the pages.
DIVERSITY = (
    "Diversity is the mean distance of the last samples to their nearest neighbours, as a share of "
    "that of real ones. A run below half has collapsed."
)


@dataclass(frozen=True)
class Card:
    """A picture of a row's samples.

    Args:
        index: the number of the row in the table; None for real samples.
        name: the row's name.
        text: what is below the name.
        marks: what distinguishes its runs, such as that they collapsed.
        url: the link to the picture.
        film: the link to its pictures at all evaluations, one below the other; "" for none.
        frames: what is below the name at each of these; as many as there are pictures.
    """

    index: int | None
    name: str
    text: str
    marks: list[str]
    url: str
    film: str = ""
    frames: tuple[str, ...] = ()


@dataclass(frozen=True)
class LegendItem:
    """A row in the legend of the charts."""

    index: int
    name: str
    style: str


@dataclass(frozen=True)
class TableRow:
    """A line of the table, with a link to the technique's page."""

    index: int
    name: str
    marks: list[str]
    page: str | None
    cells: list[Cell]


@dataclass(frozen=True)
class Section:
    """What the page shows of a protocol; ``charts`` are SVG, everything else is text."""

    protocol: Protocol
    lead: str
    details: str
    facts: list[tuple[str, str]]
    headers: list[Header]
    rows: list[TableRow]
    problems: list[str]
    distance: str
    legend: list[LegendItem]
    charts: list[Markup]
    cards: list[Card]
    frames: int
    sources: list[Source]
    published: list[list[str]]
    download: str


def page(
    protocols: list[tuple[Protocol, list[Row]]], reported: Reported, links: Links, dates: Dates
) -> str:
    """The page, with a section for each protocol."""
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"breakable": _breakable, "code_spans": _code_spans, "links": _links}
    environment.filters["capitalized"] = lambda text: text[:1].upper() + text[1:]
    sections = [_section(protocol, rows, reported, links, dates) for protocol, rows in protocols]
    groups = {
        "Techniques": [each for each in sections if each.protocol.baseline is None],
        "One change at a time": [each for each in sections if each.protocol.baseline is not None],
    }
    return environment.get_template(TEMPLATE).render(
        groups={name: each for name, each in groups.items() if each},
        explanations={
            "Rank": rank_module.EXPLANATION,
            "±": "The standard deviation over the seeds. The last generator of a run ranks; the "
            "best one on the way is beside it.",
            "Diversity": DIVERSITY,
            "Target": target_module.EXPLANATION,
            "Stale": "Made with an older version of the protocol, since when scores may have "
            "changed.",
        },
        published_title=PUBLISHED,
        published_headers=PUBLISHED_HEADERS,
        newest_title=NEWEST,
        newest_terms=NEWEST_TERMS,
        newest_headers=NEWEST_HEADERS,
        newest=newest_rows(reported),
        most_bands=MOST_BANDS,
        style=Markup((folder / "leaderboard.css").read_text()),
        script=Markup((folder / "leaderboard.js").read_text()),
    )


def _section(
    protocol: Protocol, rows: list[Row], reported: Reported, links: Links, dates: Dates
) -> Section:
    distance = score_name(protocol, rows, "distance")
    lines = {x: [_learning_curve(row, x) for row in rows] for x, _ in AXES}
    target = None if protocol.target is None else protocol.target.distance
    title = score_title(distance) or distance
    charts = [line_chart(lines[x], label, title, target) for x, label in AXES]
    shown = [(i, row) for i, row in enumerate(rows) if row.runs]
    heads, cells = headers(protocol, rows), table_cells(protocol, rows)
    found = sources(protocol, rows, links, dates)
    cards = _cards(protocol, rows, distance, links)
    lead, _, details = protocol.description.partition(". ")
    return Section(
        protocol=protocol,
        lead=lead.rstrip(".") + ".",
        details=details,
        facts=_facts(protocol, rows, distance, dates),
        headers=heads,
        rows=[TableRow(i, row.name, row.marks, found[i].page, cells[i]) for i, row in shown],
        problems=[f"{row.name}, {problem}" for row in rows for problem in row.problems()],
        distance=title,
        legend=[
            LegendItem(i, row.name, lines["images"][i].style)
            for i, row in shown
            if any(lines[x][i].points for x, _ in AXES)
        ],
        charts=[Markup(chart) for chart in charts if chart],
        cards=cards,
        frames=max((len(card.frames) for card in cards), default=0),
        sources=[found[i] for i, _ in shown],
        published=published_rows(protocol, rows, reported),
        download=download_path(protocol).as_posix(),
    )


def _facts(
    protocol: Protocol, rows: list[Row], distance: str, dates: Dates
) -> list[tuple[str, str]]:
    """What all rows have in common, in a few words each."""
    runs = [run for row in rows for run in row.runs]
    facts = [("Protocol", f"{protocol.name}, version {protocol.version}")]
    facts.append(("Runs", f"{len(runs)} of {len(rows) * len(protocol.seeds)}"))
    if protocol.budget is not None:
        budget = protocol.budget
        facts.append(
            ("Budget", f"{thousands(budget.images)} real samples, {budget.batch_size} a batch")
        )
    if text := target_text(protocol, distance):
        facts.append(("Target", text.removeprefix("The target is ").removesuffix(".")))
    if days := sorted({day for run in runs if (day := dates.of(run))}):
        facts.append(("Made", days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"))
    if machines := sorted({hardware(run) for run in runs}):
        facts.append(("Hardware", "; ".join(machines)))
    return facts


def _cards(protocol: Protocol, rows: list[Row], distance: str, links: Links) -> list[Card]:
    cards = []
    real = REAL_SAMPLES / f"{protocol.real_samples}.png"
    if protocol.real_samples and real.is_file():
        url = links.picture(real)
        cards.append(Card(None, "Real samples", "from the training images", [], url))
    for i, row in enumerate(rows):
        if row.picture is None or row.pictured is None:
            continue
        film = read_film(row.film, row.picture)
        frames = []
        if film is not None:
            curve = row.pictured.curve
            shown = frame_indices(len(curve))
            # Without an evaluation for each picture, pictures are only numbered.
            frames = [f"picture {k + 1} of {film.frames}" for k in range(film.frames)]
            if len(shown) == film.frames:
                frames = [_frame_text(curve[k], row.pictured.distance) for k in shown]
        cards.append(
            Card(
                index=i,
                name=row.name,
                text=f"seed {row.pictured.seed}, distance "
                f"{short(row.pictured.last[row.pictured.distance])}",
                marks=row.marks,
                url=links.picture(row.picture),
                film=links.picture(film.path) if film is not None else "",
                frames=tuple(frames),
            )
        )
    return cards


def _frame_text(point: dict[str, float], distance: str) -> str:
    where = f"{thousands(point['images'])} images" if "images" in point else f"{point['update']:g}"
    return f"{where}, distance {short(point[distance])}"


def _learning_curve(row: Row, x: str) -> Line:
    """The curve over the seeds, at the evaluations that all of them have in common."""
    runs = [
        {
            point["update"]: (point[x], point[run.distance])
            for point in run.curve
            # Rounding can give a distance of 0 or less, which has no logarithm.
            if x in point and point[run.distance] > 0
        }
        for run in row.finished
        if run not in row.stale
    ]
    points = []
    for update in sorted(set.intersection(*map(set, runs))) if runs else []:
        positions, values = zip(*(run[update] for run in runs), strict=True)
        points.append((mean(positions), min(values), mean(values), max(values)))
    # The same colour in every chart, whatever the rank.
    return Line(row.name, points, [list(run.values()) for run in runs], row.index)


def download_path(protocol: Protocol) -> Path:
    """The path of the table as CSV, from the page."""
    return Path(BESIDE, f"{protocol.name}.csv")


def csv_table(protocol: Protocol, rows: list[Row]) -> str:
    """The table as CSV: means, deviations and numbers of runs as they are, not rounded."""
    heads, lines = headers(protocol, rows), table_cells(protocol, rows)
    several = [any(len(cells[i].numbers) > 1 for cells in lines) for i in range(len(heads))]
    names: list[str] = ["rank", "technique", "key", "notes"]
    for header, spread in zip(heads[2:], several[2:], strict=True):
        name = f"{header.detail} last" if header.detail else header.title
        names += [name, *[f"{name} sd"] * spread]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(_plain, names))
    for row, rank, cells in zip(rows, rank_module.ranks(rows), lines, strict=True):
        if not row.runs:
            continue
        notes = [*["rank is shared"] * (rank is not None and rank.shared), *row.marks]
        place = "" if rank is None else str(rank.place)
        values: list[str] = [place, row.name, row.key, "; ".join(notes)]
        for cell, spread in zip(cells[2:], several[2:], strict=True):
            values += [_digits(cell.mean), *[_digits(cell.deviation)] * spread]
        writer.writerow(map(_plain, values))
    return file.getvalue()


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _plain(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    is_number = re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", text)
    return f"'{text}" if re.match(r"[=+\-@\t\r]", text) and not is_number and text != "-" else text


def _breakable(text: str) -> Markup:
    """HTML of a name that may break at its underscores."""
    return escape(text).replace("_", Markup("_<wbr>"))


def _code_spans(text: str) -> Markup:
    """HTML of a text whose code is between backticks."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part)
        for i, part in enumerate(text.split("`"))
    )


def _links(text: str) -> Markup:
    """HTML of a text with Markdown links."""
    # Escaping leaves the brackets, and makes it impossible to leave the attribute.
    link = r'<a href="\2">\1</a>'
    return Markup(re.sub(r"\[([^\]]+)\]\((https://[^)]+)\)", link, str(escape(text))))


def table_texts(protocols: Sequence[tuple[Protocol, list[Row]]]) -> dict[Path, str]:
    """The CSV file of each table, by its path from the page."""
    return {download_path(protocol): csv_table(protocol, rows) for protocol, rows in protocols}
