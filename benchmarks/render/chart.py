"""A line chart as inline SVG, the same bytes for the same numbers.

Colours, dashes and text sizes are those of the page's style sheet: a line has the classes
``c<colour>`` and ``d<dashes>``. A script on the page shows values from ``data-values``.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.render.numbers import short, thousands

#: The numbers of colours and of dashes in the style sheet.
COLORS, DASHES = 8, 4
WIDTH, HEIGHT = 560, 360
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 12, 52
#: The most ticks of an axis, which have room on a phone.
MAX_TICKS = 6
#: The share of the range that axes leave free at both ends.
MARGIN = 0.04

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """The curves of a row's runs, and their mean.

    Args:
        label: the row's name.
        points: ``(x, low, middle, high)``: the smallest, mean and largest y of the runs.
        runs: the points ``(x, y)`` of each run.
        color: a number that is the row's own; colours and dashes repeat after ``COLORS * DASHES``.
    """

    label: str
    points: Sequence[tuple[float, float, float, float]]
    runs: Sequence[Sequence[Point]] = ()
    color: int = 0

    @property
    def style(self) -> str:
        """The classes of its colour and dashes."""
        return f"c{self.color % COLORS} d{self.color // COLORS % DASHES}"


@dataclass(frozen=True)
class _Axis:
    """A logarithmic axis from value ``low`` to ``high``, at positions ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float) -> "_Axis":
        """The axis that the values fill, but for a margin."""
        low, high = math.log(min(values)), math.log(max(values))
        # A single value has no range of its own.
        margin = MARGIN * (high - low) or math.log(2)
        return cls(math.exp(low - margin), math.exp(high + margin), start, end)

    def __call__(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Round numbers on the axis, as many as have room."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for digits in ((1, 2, 3, 4, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
            found = [digit * 10.0**power for power in powers for digit in digits]
            found = [value for value in found if self.low <= value <= self.high]
            if len(found) <= MAX_TICKS:
                break
        # Of many powers of ten, every second or third.
        return found[:: math.ceil(len(found) / MAX_TICKS)] if found else []


def line_chart(
    lines: Sequence[Line], x_label: str, y_label: str, target: float | None = None
) -> str:
    """Lines with a band around each, on logarithmic axes that fit them; "" without points.

    Points at 0, such as the untrained generator, have no place on them.
    """
    drawn = {
        i: [point for point in line.points if point[0] > 0 and point[1] > 0]
        for i, line in enumerate(lines)
    }
    drawn = {i: points for i, points in drawn.items() if points}
    if not drawn:
        return ""
    runs = {
        i: [[(x, y) for x, y in run if x > 0 and y > 0] for run in lines[i].runs] for i in drawn
    }
    heights = [y for points in drawn.values() for _, *ys in points for y in ys]
    heights += [y for each in runs.values() for run in each for _, y in run]
    right = [x for points in drawn.values() for x, *_ in points]
    right += [x for each in runs.values() for run in each for x, _ in run]
    across = _Axis.around(right, LEFT, WIDTH - RIGHT)
    up = _Axis.around(heights, HEIGHT - BOTTOM, TOP)

    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(y_label)}, by {escape(x_label)}">',
        *_grid(across, up, x_label),
    ]
    if target is not None and up.low < target < up.high:
        y = up(target)
        parts.append(
            f'<path class="target" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>'
            f'<text class="soft" x="{LEFT + 6}" y="{y - 5}">target {target:g}</text>'
        )
    for i, points in drawn.items():
        parts += _line(i, lines[i], points, runs[i], across, up)
    return "\n".join([*parts, "</svg>"])


def _grid(across: _Axis, up: _Axis, x_label: str) -> list[str]:
    bottom = HEIGHT - BOTTOM
    parts = []
    for value in up.ticks():
        y = up(value)
        parts.append(
            f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>'
            f'<text x="{LEFT - 7}" y="{y + 4}" text-anchor="end">{_number(value)}</text>'
        )
    for value in across.ticks():
        x = across(value)
        parts.append(
            f'<path class="grid" d="M{x} {bottom}v5"/>'
            f'<text x="{x}" y="{bottom + 20}" text-anchor="middle">{_number(value)}</text>'
        )
    parts.append(
        f'<path class="axis" d="M{LEFT} {bottom}H{WIDTH - RIGHT}"/>'
        f'<text class="soft" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}" '
        f'text-anchor="middle">{escape(x_label)}</text>'
    )
    return parts


def _number(value: float) -> str:
    if value >= 1000:
        return thousands(value)
    return f"{value:.0f}" if value >= 1 else short(value).rstrip("0")


def _line(
    index: int,
    line: Line,
    points: Sequence[tuple[float, float, float, float]],
    runs: Sequence[Sequence[Point]],
    across: Callable[[float], float],
    up: Callable[[float], float],
) -> list[str]:
    upper = [f"{across(x)},{up(high)}" for x, _, _, high in points]
    lower = [f"{across(x)},{up(low)}" for x, low, _, _ in reversed(points)]
    middle = [f"{across(x)},{up(y)}" for x, _, y, _ in points]
    # Four digits, as the script on the page shows at most three.
    values = json.dumps([[float(f"{each:.4g}") for each in point] for point in points])
    x, y = middle[-1].split(",")
    return [
        f'<g class="line {line.style}" data-row="{index}" data-name="{escape(line.label)}" '
        f"data-values='{values}'>",
        f'<polygon class="band" points="{" ".join(upper + lower)}"/>',
        *(
            f'<polyline class="seed" points="{" ".join(f"{across(x)},{up(y)}" for x, y in run)}"/>'
            for run in runs
            if run
        ),
        f'<polyline class="mean" points="{" ".join(middle)}"/>',
        f'<circle cx="{x}" cy="{y}" r="3"/>',
        "</g>",
    ]
