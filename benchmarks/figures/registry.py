"""All figures, by name."""

from benchmarks.figures import (
    began,
    began_collapse,
    growing,
    lost_again,
    style_mixing,
    swissroll_gradients,
    truncation_sweep,
    ttur_saddle,
    unrolled_ring,
    value_surfaces,
    wasserstein_curve,
)
from benchmarks.figures.figure import Figure

_FIGURES = (
    swissroll_gradients.FIGURE,
    value_surfaces.FIGURE,
    ttur_saddle.FIGURE,
    unrolled_ring.FIGURE,
    wasserstein_curve.FIGURE,
    began.FIGURE,
    began_collapse.FIGURE,
    growing.FIGURE,
    truncation_sweep.FIGURE,
    style_mixing.FIGURE,
    lost_again.FIGURE,
)
FIGURES: dict[str, Figure] = {figure.name: figure for figure in _FIGURES}
