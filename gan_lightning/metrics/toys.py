"""Scores of points in the plane with known modes."""

import torch
from torch import Tensor

#: The number of directions of the sliced Wasserstein distance, and the seed that fixes them.
DIRECTIONS = 256
SEED = 0


def near_modes(points: Tensor, centres: Tensor, std: float) -> tuple[int, float]:
    """The number of modes with a point within three deviations, and the share of such points.

    ``points`` ``(N, D)``, ``centres`` ``(M, D)``. Srivastava et al. 2017, arXiv:1705.07761,
    section 4.1: modes captured and high-quality samples. A point that is not finite counts as far.
    """
    distance, mode = torch.cdist(points.double(), centres.double()).min(dim=1)
    near = distance <= 3 * std
    return int(mode[near].unique().numel()), near.double().mean().item()


def sliced_wasserstein(real: Tensor, fake: Tensor) -> float:
    """The root of the mean squared 2-Wasserstein distance along 256 directions.

    ``real`` is ``(N, D)``, ``fake`` ``(M, D)``. If N and M differ, as many quantiles are compared
    as the smaller set has points. Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of
    measures". nan if a point is not finite.
    """
    generator = torch.Generator().manual_seed(SEED)
    directions = torch.randn(real.shape[1], DIRECTIONS, generator=generator, dtype=torch.float64)
    directions /= directions.norm(dim=0)
    along = [points.cpu().double() @ directions for points in (real, fake)]
    count = min(len(points) for points in along)
    levels = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    first, second = (_quantiles(points, levels) for points in along)
    return (first - second).square().mean().sqrt().item()


def _quantiles(points: Tensor, levels: Tensor) -> Tensor:
    """The value of each column below which the share ``levels`` of its points lie."""
    indices = (levels * len(points)).floor().long().clamp(max=len(points) - 1)
    return points.sort(dim=0).values[indices]
