"""The leaderboard as one self-contained HTML file, from ``leaderboard.html.j2``."""

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from benchmarks.protocol import Protocol
from benchmarks.render.chart import Line, line_chart
from benchmarks.render.published import PUBLISHED, PUBLISHED_HEADERS, Reported, published_rows
from benchmarks.render.table import Cell, Row, headers, score_name, table_cells
from gan_lightning.utils.errors import WrongFileError

TEMPLATE = "leaderboard.html.j2"


@dataclass(frozen=True)
class Figure:
    """A picture of a row's samples.

    Args:
        name: the row's name.
        run: the name of the run that drew the samples.
        url: the picture itself, as a ``data:`` URL.
    """

    name: str
    run: str
    url: str


@dataclass(frozen=True)
class Section:
    """What the page shows of a protocol; ``charts`` are SVG, everything else is text."""

    protocol: Protocol
    headers: list[str]
    cells: list[list[Cell]]
    problems: list[str]
    charts: list[Markup]
    pictures: list[Figure]
    animations: list[Figure]
    published: list[list[str]]


def page(protocols: list[tuple[Protocol, list[Row]]], reported: Reported) -> str:
    """The page, with a section for each protocol."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"breakable": _breakable, "code_spans": _code_spans, "links": _links}
    return environment.get_template(TEMPLATE).render(
        sections=[_section(protocol, rows, reported) for protocol, rows in protocols],
        published_title=PUBLISHED,
        published_headers=PUBLISHED_HEADERS,
    )


def _section(protocol: Protocol, rows: list[Row], reported: Reported) -> Section:
    distance = score_name(protocol, rows, "distance")
    charts = [
        line_chart([_learning_curve(row, x) for row in rows], label, distance)
        for x, label in (("images", "real images seen"), ("train_seconds", "seconds of training"))
    ]
    return Section(
        protocol,
        headers(protocol, rows),
        table_cells(protocol, rows),
        [f"{row.name}, {problem}" for row in rows for problem in row.problems()],
        [Markup(chart) for chart in charts if chart],
        [_figure(row, row.picture) for row in rows if row.picture],
        [_figure(row, row.animation) for row in rows if row.animation],
        published_rows(protocol, rows, reported),
    )


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
    return Line(row.name, points, row.index)


def _is_picture(content: bytes) -> bool:
    """Whether the content is a complete PNG or WebP file."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "WEBP")) as image:
            image.load()
    except Exception:
        return False  # decoders raise errors of any type
    return True


def _figure(row: Row, picture: Path) -> Figure:
    content = picture.read_bytes()
    if not _is_picture(content):
        # It may be a link to a file that must not be published.
        raise WrongFileError(f"{picture} is not a picture")
    data = base64.b64encode(content).decode()
    return Figure(row.name, picture.stem, f"data:image/{picture.suffix[1:]};base64,{data}")
