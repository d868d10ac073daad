"""The leaderboard as one HTML file that needs nothing beside it."""

import base64
from html import escape
from statistics import mean

from benchmarks.chart import Line, line_chart
from benchmarks.protocol import Protocol
from benchmarks.table import Cell, Row, cells, heads

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #888; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
h1, h2 { line-height: 1.2; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { cursor: pointer; }
th[aria-sort=ascending]::after { content: " \\2191"; }
th[aria-sort=descending]::after { content: " \\2193"; }
th:nth-child(2), td:nth-child(2) { text-align: left; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; fill: currentColor; }
svg .grid { stroke: var(--line); }
svg .label { fill: var(--soft); }
.grids { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1rem; }
figure { margin: 0; }
figure img { width: 100%; image-rendering: pixelated; }
figcaption, footer { color: var(--soft); font-size: .9rem; }
"""

SCRIPT = """
for (const head of document.querySelectorAll("th")) {
  head.addEventListener("click", () => {
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
  });
}
"""


def page(protocols: list[tuple[Protocol, list[Row]]]) -> str:
    """The page with a section for each protocol."""
    sections = "\n".join(_section(protocol, rows) for protocol, rows in protocols)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>GAN leaderboard</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>GAN leaderboard</h1>\n{sections}\n"
        "<footer>Written by <code>python -m benchmarks.render</code> from the records of "
        "<code>python -m benchmarks.run</code>.</footer>\n"
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _section(protocol: Protocol, rows: list[Row]) -> str:
    description = "".join(
        f"<code>{escape(part)}</code>" if i % 2 else escape(part)
        for i, part in enumerate(protocol.description.split("`"))
    )
    lines = [_line(row, protocol.distance) for row in rows]
    chart = line_chart(lines, "real images seen", protocol.distance)
    troubles = [f"<li>{escape(row.name)}, {escape(t)}</li>" for row in rows for t in row.troubles()]
    return "\n".join(
        [
            f"<h2>{escape(protocol.title)}</h2>",
            f"<p>{description}</p>",
            f'<div class="scroll">{_table(protocol, rows)}</div>',
            f"<p>Not finished:</p><ul>{''.join(troubles)}</ul>" if troubles else "",
            "<h3>Learning curves</h3>",
            "<p>Mean over the seeds, and the band between the best and the worst of them.</p>",
            chart,
            "<h3>Samples</h3>",
            f'<div class="grids">{"".join(map(_figure, rows))}</div>',
        ]
    )


def _table(protocol: Protocol, rows: list[Row]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads(protocol))
    body = "\n".join(
        f"<tr>{''.join(map(_cell, cells(i, row, protocol)))}</tr>"
        for i, row in enumerate(rows, start=1)
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _cell(cell: Cell) -> str:
    value = "" if cell.value is None else f' data-value="{cell.value:.6g}"'
    return f"<td{value}>{escape(cell.text)}</td>"


def _line(row: Row, metric: str) -> Line:
    """The curve over the seeds, at the evaluations that all of them made."""
    points = []
    for together in zip(*(run.curve for run in row.finished), strict=False):
        values = [point[metric] for point in together]
        points.append((together[0]["images"], min(values), mean(values), max(values)))
    return Line(row.name, points)


def _figure(row: Row) -> str:
    if row.picture is None:
        return ""
    data = base64.b64encode(row.picture.read_bytes()).decode()
    return (
        f'<figure><img alt="Samples of {escape(row.name)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(row.name)}, {row.picture.stem}</figcaption></figure>\n"
    )
