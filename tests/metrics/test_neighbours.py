"""Precision, recall, density and coverage."""

import math

import pytest
import torch
from torch_fidelity.metric_prc import prc_features_to_metric

from gan_lightning.data import Digits
from gan_lightning.metrics import Features, load_extractor, neighbours
from gan_lightning.metrics.neighbours import (
    NeighbourScores,
    neighbour_distances,
    neighbour_scores,
)


def normal(n, d=4, seed=0, shift=0.0, scale=1.0):
    return scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


@pytest.fixture(scope="module")
def digits():
    """Features of digits, and of some of them darkened."""
    x, _ = Digits().load("train")
    network = load_extractor("digits_cnn").network
    return network(x)[0], network((x[:1000] * 0.7).to(torch.uint8))[0]


def restated(real, fake):
    """Density and coverage, Naeem et al. 2020, equations 3 and 4, one distance after another."""
    radii = [sorted(math.dist(x, other) for other in real)[5] for x in real]
    balls = [
        [math.dist(x, y) <= radius for y in fake] for x, radius in zip(real, radii, strict=True)
    ]
    return sum(map(sum, balls)) / (5 * len(fake)), sum(map(any, balls)) / len(real)


@pytest.mark.parametrize("counts", [(60, 40), (40, 60), (300, 7)])
def test_they_match_torch_fidelity_and_a_restatement(counts):
    real, fake = normal(counts[0]), normal(counts[1], seed=1, shift=0.5)
    found = neighbour_scores(real, fake)
    expected = prc_features_to_metric(
        *(fake.double(), real.double()),
        **{"prc_neighborhood": 3, "prc_batch_size": 50, "save_cpu_ram": False, "verbose": False},
    )
    assert found[:2] == (expected["precision"], expected["recall"])
    assert found[2:] == pytest.approx(restated(real.tolist(), fake.tolist()), rel=1e-12)
    assert min(found) > 0


def test_they_match_torch_fidelity_on_features_of_images(digits):
    real, fake = digits
    expected = prc_features_to_metric(
        *(fake.double(), real.double()),
        **{"prc_neighborhood": 3, "prc_batch_size": 500, "save_cpu_ram": True, "verbose": False},
    )
    assert neighbour_scores(real, fake)[:2] == (expected["precision"], expected["recall"])


def test_they_match_values_computed_by_hand():
    # Ten points a unit apart, and all generated samples but one far from them.
    real = torch.arange(10.0).view(-1, 1)
    fake = torch.tensor([[-6.0]] * 5 + [[4.0]])
    # To the third neighbour it is 2 from most points, and to the fifth 3, 4 or 5. The ball of 4.0
    # reaches to the other generated samples, and theirs are points.
    assert neighbour_scores(real, fake) == NeighbourScores(
        precision=pytest.approx(1 / 6), recall=1, density=10 / (5 * 6), coverage=1
    )


def test_equal_samples_have_full_scores():
    precision, recall, _, coverage = neighbour_scores(normal(60), normal(60))
    assert (precision, recall, coverage) == (1, 1, 1)


def test_distant_samples_have_none():
    assert neighbour_scores(normal(60), normal(60, shift=100)) == (0, 0, 0, 0)


def test_one_mode_of_two_has_full_precision_and_half_recall():
    modes = torch.cat([normal(100), normal(100, seed=1, shift=50)])
    precision, recall, _, coverage = neighbour_scores(modes, normal(100, scale=0.99))
    assert precision > 0.95
    assert recall == pytest.approx(0.5, abs=0.03)
    assert coverage == pytest.approx(0.5, abs=0.03)


def test_the_number_of_distances_in_memory_does_not_matter(monkeypatch):
    real, fake = normal(101), normal(77, seed=1)
    expected = neighbour_scores(real, fake)
    sizes, cdist = [], torch.cdist
    monkeypatch.setattr(torch, "cdist", lambda x, y: sizes.append(len(x) * len(y)) or cdist(x, y))
    monkeypatch.setattr(neighbours, "DISTANCES", 500)
    assert neighbour_scores(real, fake) == expected
    assert max(sizes) <= 500


def test_distances_of_real_samples_that_are_known_are_used():
    real, fake = normal(60), normal(60, seed=1, shift=1)
    distances = neighbour_distances(real)
    assert distances.shape == (60, 5)
    assert distances.dtype == torch.float64
    assert distances.diff().min() >= 0
    expected = neighbour_scores(real, fake)
    assert neighbour_scores(real, fake, distances) == expected
    wider = neighbour_scores(real, fake, 100 * distances)
    assert (wider.precision, wider.recall, wider.coverage) == (1, expected.recall, 1)


def test_features_compute_them_once(monkeypatch):
    features = Features(normal(60))
    distances = features.neighbour_distances
    assert torch.equal(distances, neighbour_distances(normal(60)))
    monkeypatch.setattr(torch, "cdist", None)
    assert features.neighbour_distances is distances


def test_features_that_are_not_finite_give_nan():
    bad = normal(50)
    bad[3, 2] = math.nan
    for pair in ((normal(50), bad), (bad, normal(50))):
        assert all(map(math.isnan, neighbour_scores(*pair)))


@pytest.mark.parametrize(("counts", "kind"), [((5, 10), "real"), ((10, 5), "generated")])
def test_too_few_samples_are_rejected(counts, kind):
    message = f"a ball to 5 neighbours needs at least 6 {kind} samples, got 5"
    with pytest.raises(ValueError, match=message):
        neighbour_scores(*map(normal, counts))


def test_the_random_state_does_not_change():
    before = torch.get_rng_state()
    neighbour_scores(normal(50), normal(50, seed=1))
    assert torch.equal(torch.get_rng_state(), before)
