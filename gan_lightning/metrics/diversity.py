"""How far samples are from each other."""

import torch
from torch import Tensor


def nearest_distance(x: Tensor) -> float:
    """The mean distance of each of ``x`` ``(N, ...)`` to the nearest other one; N is 2 at least.

    It grows smaller with more samples: sets that are compared are to be of one size. Unlike the
    mean distance of all pairs, it tells a few different samples, each drawn again and again.
    """
    rows = x.flatten(1).double()
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(torch.inf)
    return float(distances.amin(1).mean())
