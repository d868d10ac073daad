"""Losses and scores of runs in one picture, from their logs."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from gan_lightning.utils.errors import ArgumentError, MissingFileError, WrongFileError
from gan_lightning.utils.rows import read_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOG = "metrics.csv"
LOSSES = ("loss/critic", "loss/generator")
TITLES = dict(zip(LOSSES, ("loss of the critic", "loss of the generator"), strict=True))
#: The full name of a score: its metric, the number of samples, and what they are compared with.
SCORE = re.compile(r"[a-z_]*[a-z]\d+k?(_|$)")
#: What the names of distances begin with: the lower, the better.
DISTANCE = re.compile(r"(fd|fid|kd|kid|swd)\d")
#: The ratio of the largest distance to the smallest from which the axis is logarithmic.
WIDE = 8
#: Colours that people who are colour-blind can tell apart; then they come again, with dashes.
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6a3d9a", "#4d4d4d"),
)
DASHES = ("-", "--", ":", "-.")
#: Panels next to each other, and the size of one in inches.
COLUMNS, WIDTH, HEIGHT = 3, 4.2, 3.0
#: Points of a loss from which its median over one of so many parts is drawn too.
MANY, PARTS = 40, 25


@dataclass(frozen=True)
class Run:
    """A run's log.

    Args:
        folder: of the run.
        values: by name, the points (generator update, value); those that are not finite are left
            out.
    """

    folder: Path
    values: dict[str, list[tuple[int, float]]]


def read_run(folder: Path) -> Run:
    """The log in the folder of a run, or the log itself; of several rows, an update's last values.

    Raises:
        MissingFileError: there is no run, or it has no log.
        WrongFileError: its log is something else, or empty.
    """
    path = folder if folder.name == LOG else folder / LOG
    if not path.is_file():
        raise MissingFileError(_no_log(folder))
    points: dict[str, dict[int, float]] = {}
    try:
        for row in read_rows(path):
            step = int(row.pop("step"))
            for name, text in row.items():
                if text and math.isfinite(value := float(text)):
                    points.setdefault(name, {})[step] = value
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WrongFileError(f"{path} is not the log of a run") from error
    if not points:
        raise WrongFileError(f"{path} holds no values yet")
    return Run(path.parent, {name: sorted(values.items()) for name, values in points.items()})


def _no_log(folder: Path) -> str:
    if not folder.exists():
        return f"there is no run {folder}"
    below = sorted(path.parent for path in folder.glob(f"*/{LOG}")) if folder.is_dir() else []
    hint = f"such as {below[-1]}" if below else "such as runs/Digits-DCGAN/version_0"
    return f"{folder} has no {LOG}: give the folder of a run, {hint}"


def labels(folders: Sequence[Path]) -> list[str]:
    """The ends of paths that tell runs apart, such as ``Digits-DCGAN/version_0``.

    Raises:
        ArgumentError: a folder is given twice.
    """
    paths = [folder.resolve() for folder in folders]
    for i, path in enumerate(paths):
        if path in paths[:i]:
            raise ArgumentError(f"the run {folders[i]} is given twice")
    least = 2 if any(re.fullmatch(r"version_\d+", path.name) for path in paths) else 1
    for count in range(least, max(len(path.parts) for path in paths) + 1):
        named = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(named)) == len(named):
            return named
    return [str(path) for path in paths]


def choose(runs: Sequence[Run], names: Sequence[str] | None = None) -> list[str]:
    """The values to draw: those that are named, by default the losses and all scores.

    Raises:
        ArgumentError: no run has logged one of the names, or there is nothing to draw.
    """
    logged = list(dict.fromkeys(name for run in runs for name in run.values))
    for name in names or ():
        if name not in logged:
            raise ArgumentError(f"no run has logged {name}: choose from {', '.join(logged)}")
    if names:
        return list(dict.fromkeys(names))
    scores = sorted(filter(SCORE.match, logged), key=lambda name: not DISTANCE.match(name))
    chosen = [*(name for name in LOSSES if name in logged), *scores]
    if not chosen:
        raise ArgumentError(f"there are no losses and scores: choose from {', '.join(logged)}")
    return chosen


def draw(runs: Sequence[Run], names: Sequence[str]) -> "Figure":
    """A panel for each name, in which each run has its colour.

    A loss is drawn with its moving median where it has many points; a distance on a logarithmic
    axis where it varies widely, with a dot at its lowest value.

    Raises:
        ArgumentError: a run is given twice.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    titles = labels([run.folder for run in runs])
    columns = min(COLUMNS, len(names)) if len(names) != 4 else 2
    rows = math.ceil(len(names) / columns)
    per_row = max(1, int(columns * WIDTH // (0.6 + 0.085 * max(map(len, titles)))))
    legend = 0.22 * math.ceil(len(runs) / per_row) + 0.15
    figure = Figure((columns * WIDTH, rows * HEIGHT + legend), dpi=150, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, name in zip(grid, names, strict=False):
        _panel(axes, name, runs)
    for axes in grid[len(names) :]:
        axes.remove()
    for axes in grid[max(0, len(names) - columns) : len(names)]:
        axes.set_xlabel("generator updates")
    handles = [Line2D([], [], **_look(i)) for i in range(len(runs))]
    figure.legend(
        handles, titles, loc="outside upper left", ncols=min(per_row, len(runs)), frameon=False
    )
    return figure


def _panel(axes: "Axes", name: str, runs: Sequence[Run]) -> None:
    drawn = [(i, run.values[name]) for i, run in enumerate(runs) if name in run.values]
    for i, points in drawn:
        if name in LOSSES and len(points) >= MANY:
            _line(axes, points, i, alpha=0.22, linewidth=0.8)
            points = _smoothed(points)
        _line(axes, points, i, marker="o" if len(points) == 1 else "")
        if DISTANCE.match(name):
            best = min(points, key=lambda point: point[1])
            axes.plot(*best, "o", color=COLOURS[i % len(COLOURS)], markersize=4)
    values = [value for _, points in drawn for _, value in points]
    if DISTANCE.match(name) and 0 < min(values) * WIDE < max(values):
        axes.set_yscale("log")
        _label_few_decades(axes, min(values), max(values))
    elif name in LOSSES:
        axes.set_ylim(_limits(values))
    axes.set_title(TITLES.get(name, name), loc="left", fontsize=10)
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color("0.6")
    axes.tick_params(colors="0.3", labelsize=8, which="both")
    axes.margins(x=0.02)


def _line(axes: "Axes", points: Sequence[tuple[int, float]], i: int, **style: float | str) -> None:
    """The curve of the run with index ``i``."""
    axes.plot(*zip(*points, strict=True), **(_look(i) | style))


def _look(i: int) -> dict[str, Any]:
    """Of the run with index ``i``."""
    return {
        "color": COLOURS[i % len(COLOURS)],
        "linestyle": DASHES[i // len(COLOURS) % len(DASHES)],
        "linewidth": 1.6,
    }


def _smoothed(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Medians over the last part of the points, which a single spike does not move."""
    width = max(2, len(points) // PARTS)
    return [
        (step, median(value for _, value in points[max(0, i + 1 - width) : i + 1]))
        for i, (step, _) in enumerate(points)
    ]


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """The range of values, without the few that would press all others together."""
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 200], ordered[-1 - len(ordered) // 200]
    margin = 0.08 * (high - low) or max(abs(high) * 0.1, 0.1)
    return low - margin, high + margin


def _label_few_decades(axes: "Axes", low: float, high: float) -> None:
    """Plain numbers on a logarithmic axis, also between its decades where it has few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    few = math.log10(high / low) < 2
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
