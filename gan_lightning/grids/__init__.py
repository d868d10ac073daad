"""Pictures of what a model has learnt: grids of images, plots of points, and films.

A notebook shows each of them when it is the last value of a cell; ``save`` writes it.
"""

from gan_lightning.grids.classes import class_grid, class_plot
from gan_lightning.grids.inputs import fills_a_box, has_styles
from gan_lightning.grids.nearest import nearest_grid, neighbours_grid
from gan_lightning.grids.pictures import Film, Grid, Plot
from gan_lightning.grids.styles import mixing_grid, noise_grid
from gan_lightning.grids.training import training_film
from gan_lightning.grids.truncation import PSIS, THRESHOLDS, truncation_grid, truncation_plot
from gan_lightning.grids.walks import (
    between_grid,
    between_plot,
    interpolate,
    walk_grid,
    walk_plot,
)

__all__ = [
    "PSIS",
    "THRESHOLDS",
    "Film",
    "Grid",
    "Plot",
    "between_grid",
    "between_plot",
    "class_grid",
    "class_plot",
    "fills_a_box",
    "has_styles",
    "interpolate",
    "mixing_grid",
    "nearest_grid",
    "neighbours_grid",
    "noise_grid",
    "training_film",
    "truncation_grid",
    "truncation_plot",
    "walk_grid",
    "walk_plot",
]
