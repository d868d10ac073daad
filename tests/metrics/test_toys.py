"""Scores of points: modes reached, share of points near a mode, distance between two sets."""

import math

import pytest
import scipy.stats
import torch

from gan_lightning.data import Grid, Ring
from gan_lightning.metrics.toys import near_modes, sliced_wasserstein


@pytest.mark.parametrize("data", [Ring, Grid])
def test_the_real_points_reach_every_mode_with_high_quality(data):
    toy = data(num_samples=5000)
    modes, share = near_modes(toy.load("train")[0], toy.centres(), toy.std)
    assert modes == toy.classes
    # In the plane, a normal sample is within three deviations with probability 1 - exp(-9 / 2).
    assert share == pytest.approx(1 - math.exp(-4.5), abs=0.006)


def test_modes_and_shares_are_counted():
    centres = torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]])
    points = torch.tensor([[0.29, 0.0], [0.0, 0.31], [1.0, 0.0], [1.0, 0.1], [math.nan, 0.0]])
    assert near_modes(points, centres, std=0.1) == (2, 3 / 5)


def test_a_set_has_distance_zero_to_itself_in_any_order():
    points = torch.randn(500, 2)
    assert sliced_wasserstein(points, points.flip(0)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_the_distance_to_a_shifted_set_is_the_mean_shift_along_a_direction(dimension):
    points = torch.randn(400, dimension)
    moved = points.double() + torch.tensor([2.0] + [0.0] * (dimension - 1), dtype=torch.float64)
    # The mean square of a unit vector's first entry is one over the dimension.
    expected = 2 / dimension**0.5
    assert sliced_wasserstein(points, moved) == pytest.approx(expected, rel=0.1)


def test_in_one_dimension_it_is_the_wasserstein_distance():
    first, second = torch.randn(300, 1), 2 * torch.rand(300, 1) + 1
    first_order = scipy.stats.wasserstein_distance(first.flatten(), second.flatten())
    # The distance of order two is at least that of order one.
    distance = sliced_wasserstein(first, second)
    pairs = first.flatten().double().sort()[0] - second.flatten().double().sort()[0]
    assert distance == pytest.approx(pairs.square().mean().sqrt().item(), rel=1e-12)
    assert distance >= first_order


def test_sets_of_different_sizes_are_compared_by_their_quantiles():
    points = torch.randn(1000, 2)
    assert sliced_wasserstein(points, points.repeat(3, 1)) == pytest.approx(0, abs=1e-12)
    assert sliced_wasserstein(points.repeat(3, 1), points) == pytest.approx(0, abs=1e-12)


def test_a_missing_mode_increases_the_distance():
    toy = Ring(num_samples=4000)
    x, y = toy.load("train")
    reference, other = x[:2000], x[2000:]
    incomplete = other[y[2000:] != 3]
    assert sliced_wasserstein(reference, incomplete) > 2 * sliced_wasserstein(reference, other)


def test_the_distance_of_points_that_are_not_finite_is_nan():
    bad = torch.randn(10, 2)
    bad[0, 0] = math.nan
    assert math.isnan(sliced_wasserstein(torch.randn(10, 2), bad))


def test_directions_are_fixed_and_the_random_state_is_unchanged():
    first, second = torch.randn(50, 2), torch.randn(50, 2)
    before = torch.get_rng_state()
    assert sliced_wasserstein(first, second) == sliced_wasserstein(first, second)
    assert torch.equal(torch.get_rng_state(), before)
