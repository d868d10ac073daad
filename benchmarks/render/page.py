"""The leaderboard as one self-contained HTML file."""

import base64
import io
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from statistics import mean

from PIL import Image

from benchmarks.protocol import Protocol
from benchmarks.render.chart import Line, line_chart
from benchmarks.render.published import PUBLISHED, PUBLISHED_HEADERS, Reported, published_rows
from benchmarks.render.table import Cell, Row, cells, headers, score_name
from gan_lightning import TECHNIQUES
from gan_lightning.utils.errors import WrongFileError

STYLE = """
:root { color-scheme: light dark; --line: #8883; --soft: #777; --accent: #0072b2;
  --warn: #b35900; }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; margin: 0 auto; max-width: 84rem;
  padding: 1rem 1rem 3rem; }
h1 { font-size: 2rem; margin: .6rem 0; }
h1, h2, h3 { line-height: 1.2; }
section { border-top: 1px solid var(--line); margin-top: 2.5rem; }
nav a { display: inline-block; margin: 0 1rem .3rem 0; }
a { color: var(--accent); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { font-weight: 600; position: relative; vertical-align: bottom; white-space: normal; }
.sorts th { cursor: pointer; }
.sorts th:focus-visible { outline: 2px solid var(--accent); }
th[aria-sort=ascending]::after { content: " \\2191"; }
th[aria-sort=descending]::after { content: " \\2193"; }
.sorts th:nth-child(2), .sorts td:nth-child(2), .words th, .words td { text-align: left; }
.words td { white-space: normal; min-width: 5rem; }
.warn { color: var(--warn); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 32rem), 1fr));
  gap: 1rem; }
svg { width: 100%; min-width: 30rem; height: auto; font: 12px system-ui, sans-serif;
  fill: currentColor; }
svg .grid { stroke: var(--line); }
svg .label { fill: var(--soft); }
.grids { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr));
  gap: 1rem; }
figure { margin: 0; }
figure img { width: 100%; image-rendering: pixelated; border-radius: 4px; }
figcaption, footer { color: var(--soft); font-size: .9rem; }
"""

SCRIPT = """
for (const head of document.querySelectorAll(".sorts th")) {
  head.tabIndex = 0;
  const sort = () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    const body = head.closest("table").tBodies[0];
    const value = (row) => {
      const cell = row.cells[head.cellIndex];
      return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
    };
    const sorted = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1);
    });
    body.append(...sorted);
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
  };
  head.addEventListener("click", sort);
  head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
}
"""


def page(protocols: list[tuple[Protocol, list[Row]]], reported: Reported) -> str:
    """The page, with a section for each protocol."""
    links = "".join(
        f'<a href="#{protocol.name}">{escape(protocol.title)}</a>' for protocol, _ in protocols
    )
    sections = "\n".join(_section(protocol, rows, reported) for protocol, rows in protocols)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>GAN leaderboard</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        "<h1>GAN leaderboard</h1>\n"
        "<p>One row for each technique: mean and standard deviation over seeds. The last generator "
        "of a run ranks; the best one on the way is beside it. Diversity is the mean "
        "distance of its samples to their nearest neighbours, as a share of that of real ones; a "
        "technique with a run that has collapsed does not rank. A click on a head sorts.</p>\n"
        f"<nav>{links}</nav>\n{sections}\n"
        "<footer>Written by <code>python -m benchmarks.render</code> from the records of "
        "<code>python -m benchmarks.run</code>.</footer>\n"
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _section(protocol: Protocol, rows: list[Row], reported: Reported) -> str:
    distance = score_name(protocol, rows, "distance")
    problems = [f"<li>{escape(row.name)}, {escape(p)}</li>" for row in rows for p in row.problems()]
    charts = [
        line_chart([_learning_curve(row, "images") for row in rows], "real images seen", distance),
        line_chart(
            [_learning_curve(row, "train_seconds") for row in rows], "seconds of training", distance
        ),
    ]
    animations = "".join(_figure(row, row.animation) for row in rows)
    published = published_rows(protocol, rows, reported)
    parts = [
        f'<section id="{protocol.name}"><h2>{escape(protocol.title)}</h2>',
        f"<p>{_code_spans(protocol.description)}</p>",
        f'<div class="scroll">{_table(protocol, rows)}</div>',
        f'<p class="warn">Not finished, collapsed, or stale:</p><ul>{"".join(problems)}</ul>'
        if problems
        else "",
        "<h3>Learning curves</h3>",
        "<p>Mean over the seeds, and the band between the best and the worst of them.</p>",
        '<div class="charts">',
        *(f'<div class="scroll">{chart}</div>' for chart in charts if chart),
        "</div>",
        "<h3>Samples</h3>",
        "<p>The same latents for all runs of a technique, at the end of training.</p>",
        f'<div class="grids">{"".join(_figure(row, row.picture) for row in rows)}</div>',
        "<h3>Training</h3><p>The same samples at each evaluation.</p>"
        f'<div class="grids">{animations}</div>'
        if animations
        else "",
        f"<h3>Published</h3><p>{PUBLISHED}</p>"
        f'<div class="scroll">{_published_table(published)}</div>'
        if published
        else "",
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _code_spans(text: str) -> str:
    """HTML of a text whose code is between backticks."""
    return "".join(
        f"<code>{escape(part)}</code>" if i % 2 else escape(part)
        for i, part in enumerate(text.split("`"))
    )


def _table(protocol: Protocol, rows: list[Row]) -> str:
    body = ("".join(map(_cell, cells(i, row))) for i, row in enumerate(rows, start=1))
    return _html_table("sorts", headers(protocol, rows), body)


def _published_table(lines: list[list[str]]) -> str:
    body = (
        "".join(f"<td{_warning_class(text)}>{_links(text)}</td>" for text in line) for line in lines
    )
    return _html_table("words", PUBLISHED_HEADERS, body)


def _html_table(css_class: str, names: Iterable[str], rows: Iterable[str]) -> str:
    # Long names of scores may break at their underscores.
    labels = (escape(name).replace("_", "_<wbr>") for name in names)
    head = "".join(f'<th scope="col">{label}</th>' for label in labels)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<table class="{css_class}">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n'
        "</table>"
    )


def _warning_class(text: str) -> str:
    return ' class="warn"' if text.startswith("no:") else ""


def _links(text: str) -> str:
    """Convert Markdown links to HTML."""
    return re.sub(r"\[([^\]]+)\]\((https://[^)]+)\)", r'<a href="\2">\1</a>', escape(text))


def _cell(cell: Cell) -> str:
    value = "" if cell.value is None else f' data-value="{cell.value:.6g}"'
    return f"<td{value}>{escape(cell.text)}</td>"


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
    return Line(row.name, points, list(TECHNIQUES).index(row.technique))


def _is_picture(content: bytes) -> bool:
    """Whether the content is a complete PNG or WebP file."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "WEBP")) as image:
            image.load()
    except Exception:
        return False  # decoders raise errors of any type
    return True


def _figure(row: Row, picture: Path | None) -> str:
    if picture is None:
        return ""
    content, kind = picture.read_bytes(), picture.suffix[1:]
    if not _is_picture(content):
        # It may be a link to a file that must not be published.
        raise WrongFileError(f"{picture} is not a picture")
    data = base64.b64encode(content).decode()
    return (
        f'<figure><img alt="Samples of {escape(row.name)}" src="data:image/{kind};base64,{data}">'
        f"<figcaption>{escape(row.name)}, {picture.stem}</figcaption></figure>\n"
    )
