"""Precision, recall, density and coverage: scores of who lies near whom.

Features are ``(N, D)``, of any float dtype, on the same device, where the scores are computed in
float64.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from gan_lightning.metrics.scores import check_counts

#: The neighbours up to which the balls of precision and recall reach, and those of the others.
PRECISION_NEIGHBOURS, DENSITY_NEIGHBOURS = 3, 5
#: The neighbours of which the distances are needed.
NEIGHBOURS = max(PRECISION_NEIGHBOURS, DENSITY_NEIGHBOURS)
#: Samples needed, for each to have so many others.
MIN_SAMPLES = NEIGHBOURS + 1
#: The number of distances that are in memory at a time.
DISTANCES = 2**25


class NeighbourScores(NamedTuple):
    """Four shares.

    Precision is that of generated samples in the ball of a real one, and recall that of real
    samples in the ball of a generated one, where balls reach to the third neighbour of the same
    kind: Kynkaanniemi et al. 2019, arXiv:1904.06991.

    Density is the mean number of real samples' balls that a generated sample lies in, divided by
    the number of neighbours that they reach to, 5; it can be above 1. Coverage is the share of
    these balls that hold a generated sample: Naeem et al. 2020, arXiv:2002.09797, equations 3
    and 4.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def neighbour_scores(
    real: Tensor, fake: Tensor, distances: Tensor | None = None
) -> NeighbourScores:
    """Who of the real and of the generated samples lies near whom; nan if a feature is not finite.

    ``distances`` are ``neighbour_distances(real)``, if they are known: most of the time goes into
    them if there are many real samples.

    Raises:
        ValueError: there are fewer than ``MIN_SAMPLES`` samples of a kind.
    """
    check_counts(len(real), len(fake), MIN_SAMPLES, f"a ball to {NEIGHBOURS} neighbours")
    if not (torch.isfinite(real).all() and torch.isfinite(fake).all()):
        return NeighbourScores(*[math.nan] * 4)
    real, fake = _in_double(real), _in_double(fake)
    distances = neighbour_distances(real) if distances is None else distances.to(real)
    precision_radii, density_radii = (
        distances[:, [count - 1]] for count in (PRECISION_NEIGHBOURS, DENSITY_NEIGHBOURS)
    )
    fake_radii = neighbour_distances(fake)[:, PRECISION_NEIGHBOURS - 1]
    precise = torch.zeros(len(fake), dtype=torch.bool, device=fake.device)
    recalled, covered, inside = [], [], 0
    for rows, between in _distances(real, fake):
        precise |= (between <= precision_radii[rows]).any(dim=0)
        recalled.append((between <= fake_radii).any(dim=1))
        within = between <= density_radii[rows]
        covered.append(within.any(dim=1))
        inside += int(within.sum())
    return NeighbourScores(
        precision=precise.float().mean().item(),
        recall=torch.cat(recalled).float().mean().item(),
        density=inside / (DENSITY_NEIGHBOURS * len(fake)),
        coverage=int(torch.cat(covered).sum()) / len(real),
    )


def neighbour_distances(x: Tensor) -> Tensor:
    """The distances ``(N, 5)`` of each sample to its nearest others, in float64, smallest first."""
    # The nearest neighbour of a sample is itself.
    nearest = [
        between.topk(NEIGHBOURS + 1, dim=1, largest=False, sorted=True).values[:, 1:]
        for _, between in _distances(_in_double(x), _in_double(x))
    ]
    return torch.cat(nearest)


def _distances(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Some rows of ``x`` at a time, and their distances to all of ``y``."""
    size = max(1, DISTANCES // len(y))
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        yield rows, torch.cdist(x[rows], y)


def _in_double(x: Tensor) -> Tensor:
    return (x.cpu() if x.device.type == "mps" else x).double()
