"""Distances between samples, and when they are so small that a generator has collapsed."""

import torch
from torch import Tensor

#: Generated samples have collapsed if their diversity is below this share of that of real ones.
COLLAPSED = 0.5


def has_collapsed(fake: float, real: float, least: float = COLLAPSED) -> bool:
    """Whether generated samples of diversity ``fake`` have collapsed, beside real ones."""
    return fake < least * real


def nearest_distance(x: Tensor) -> float:
    """The mean distance of each sample in ``x`` ``(N, ...)`` to its nearest neighbour, N >= 2.

    It decreases with the number of samples, so compare only sets of the same size. Unlike the mean
    distance of all pairs, it detects that a few different samples are drawn again and again.
    """
    rows = x.flatten(1).double()
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(torch.inf)
    return float(distances.amin(1).mean())
