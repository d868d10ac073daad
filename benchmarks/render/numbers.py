"""Numbers as tables show them."""

import math
from collections.abc import Callable
from statistics import mean, stdev


def short(value: float) -> str:
    """Three significant digits, from 1 down at most two; no exponent."""
    if 0 < value < 0.1:
        return f"{value:.{1 - math.floor(math.log10(value))}f}"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}"


def thousands(value: float) -> str:
    """Three significant digits with a unit, as in 1.2k, 12k or 12M."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.0f}"


def mean_and_deviation(values: list[float], show: Callable[[float], str] = short) -> str:
    """Mean, and standard deviation if there are several values; ``-`` for none."""
    if not values:
        return "-"
    text = show(mean(values))
    return f"{text} ± {show(stdev(values))}" if len(values) > 1 else text
