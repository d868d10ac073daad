"""What the pictures have in common: the leaderboard's colours, thin lines, small letters."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

#: Okabe and Ito's colours, which colour-blind people tell apart, and grey.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#888888")
BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, GREY = COLORS
#: Of real samples, and of generated ones.
REAL, FAKE = GREY, ORANGE
DPI = 120
STYLE: dict[str, Any] = {
    "axes.edgecolor": "#999999",
    "axes.grid": False,
    "axes.labelcolor": "#333333",
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that pictures are everywhere alike
    "font.size": 8,
    "grid.color": "#e5e5e5",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "text.color": "#333333",
    "xtick.color": "#666666",
    "ytick.color": "#666666",
}


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's own defaults with ``STYLE``, whatever the user's settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)  # type: ignore[arg-type]
        yield


def panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, NDArray[Any]]:
    """A figure of this size in inches, and its axes ``(rows, columns)``.

    Made without pyplot: no window system is asked, and nothing is left open.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def plane(axes: Axes, limit: float) -> None:
    """Show the square of the plane within ``limit`` of the origin, without ticks."""
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
