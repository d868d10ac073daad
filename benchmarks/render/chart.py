"""A line chart as inline SVG, the same bytes for the same numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.render.numbers import short, thousands

# Okabe and Ito's colours, which colour-blind readers can distinguish, and a grey.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#888888")
WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 56, 96, 16, 44
#: The width of a character of a label, and how many a label has at most.
CHARACTER, MAX_LABEL = 7, 32
#: The smallest upper end of the x axis.
MIN_X_RANGE = 1e-6


@dataclass(frozen=True)
class Line:
    """A curve: points ``(x, low, middle, high)`` with y above 0, and its colour.

    ``color`` is an index of ``COLORS``; from the end of them on, they are repeated, with dashes.
    """

    label: str
    points: Sequence[tuple[float, float, float, float]]
    color: int = 0


def line_chart(lines: Sequence[Line], x_label: str, y_label: str) -> str:
    """Lines with a band around each, on a logarithmic y axis."""
    visible = [line for line in lines if line.points]
    if not visible:
        return ""
    labels = [_cut(line.label) for line in visible]
    margin = max(RIGHT, 10 + CHARACTER * max(map(len, labels)))
    # An axis from 0 needs a positive end, even if all x are 0.
    right = max(MIN_X_RANGE, *(x for line in visible for x, *_ in line.points))
    bottom = min(low for line in visible for _, low, _, _ in line.points)
    top = max(high for line in visible for *_, high in line.points)
    low, high = math.floor(math.log10(bottom)), math.ceil(math.log10(top))
    high = max(high, low + 1)

    def px(x: float) -> float:
        return round(LEFT + x / right * (WIDTH - LEFT - margin), 1)

    def py(y: float) -> float:
        return at_power(math.log10(y))

    def at_power(power: float) -> float:
        share = (power - low) / (high - low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_label)}">',
        f'<text class="label" x="{(LEFT + WIDTH - margin) / 2:.0f}" y="{HEIGHT - 6}" '
        f'text-anchor="middle">{escape(x_label)}</text>',
        f'<text class="label" transform="translate(14 {HEIGHT / 2:.0f}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_label)}</text>',
    ]
    for power in range(low, high + 1):
        y = at_power(power)
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - margin}"/>')
        name = short(10.0**power) if power < 0 else f"{10**power:,}"
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{name}</text>')
    for x in _ticks(right):
        parts.append(
            f'<text x="{px(x)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
            f"{thousands(x)}</text>"
        )
    ends = _separate_labels([py(line.points[-1][2]) for line in visible])
    for line, label, end in zip(visible, labels, ends, strict=True):
        color = COLORS[line.color % len(COLORS)]
        upper = [f"{px(x)},{py(h)}" for x, _, _, h in line.points]
        lower = [f"{px(x)},{py(low_y)}" for x, low_y, _, _ in reversed(line.points)]
        middle = " ".join(f"{px(x)},{py(m)}" for x, _, m, _ in line.points)
        x = px(line.points[-1][0])
        dashes = f' stroke-dasharray="{6 * (line.color // len(COLORS))} 3"'
        dashes *= line.color >= len(COLORS)
        parts += [
            f'<polygon points="{" ".join(upper + lower)}" fill="{color}" opacity=".15"/>',
            f'<polyline points="{middle}" fill="none" stroke="{color}" stroke-width="2"{dashes}/>',
            f'<path d="M{x} {py(line.points[-1][2])}L{WIDTH - margin + 6} {end}" '
            f'stroke="{color}" stroke-dasharray="1 3"/>',
            f'<text x="{WIDTH - margin + 10}" y="{end + 4}" fill="{color}" '
            f'font-weight="600">{escape(label)}</text>',
        ]
    return "\n".join([*parts, "</svg>"])


def _cut(label: str) -> str:
    """The label, cut where it would leave no room for the chart."""
    return label if len(label) <= MAX_LABEL else f"{label[: MAX_LABEL - 1]}\N{HORIZONTAL ELLIPSIS}"


def _ticks(right: float) -> list[float]:
    """Four to eight round numbers from 0."""
    raw = right / 5
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * n for n in (1, 2, 5, 10) if unit * n >= raw)
    return [step * i for i in range(int(right / step) + 1)]


def _separate_labels(heights: Sequence[float], gap: float = 16) -> list[float]:
    """The heights of labels, moved so that labels do not overlap and stay in the chart."""
    order = sorted(range(len(heights)), key=heights.__getitem__, reverse=True)
    placed = list(heights)
    limit = float(HEIGHT - BOTTOM)
    for i in order:
        placed[i] = min(placed[i], limit)
        limit = placed[i] - gap
    return [round(y, 1) for y in placed]
