"""Scores of features against independent reference computations."""

import itertools
import math
import time

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from gan_lightning.data import Digits
from gan_lightning.metrics import load_extractor, scores
from gan_lightning.metrics.scores import (
    Moments,
    frechet_distance,
    inception_score,
    kernel_distance,
)


def normal(n, d, seed=0, shift=0.0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=generator) / d**0.5
    return scale * torch.randn(n, d, generator=generator) @ mixing + shift


@pytest.fixture(scope="module")
def digits():
    """Features and logits of the digits, and of darkened digits in another order."""
    x, _ = Digits().load("train")
    network = load_extractor("digits_cnn").network
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return network(x), network((x[order] * 0.7).to(torch.uint8))


def scipy_frechet_distance(real, fake):
    """The Fréchet distance with scipy's matrix square root."""
    real, fake = real.double().numpy(), fake.double().numpy()
    difference = real.mean(axis=0) - fake.mean(axis=0)
    first, second = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = scipy.linalg.sqrtm(first @ second)
    return difference @ difference + np.trace(first + second - 2 * root.real)


PAIRS = {
    "random": lambda digits: (normal(500, 32), normal(400, 32, seed=1, shift=0.3)),
    "far": lambda digits: (normal(500, 32), normal(400, 32, seed=1, shift=30.0)),
    "large": lambda digits: (1000 + normal(500, 16), 1000 + normal(500, 16, seed=1)),
    "real": lambda digits: (digits[0][0], digits[1][0]),
}


@pytest.fixture(params=[True, False], ids=["torchmetrics", "symmetric"])
def _both_ways(request, monkeypatch):
    """As for few features, and as for many."""
    monkeypatch.setattr(scores, "MOST_FEATURES", 512 if request.param else 0)


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("pair", PAIRS)
def test_the_frechet_distance_matches_scipy_and_torch_fidelity(digits, pair):
    real, fake = PAIRS[pair](digits)
    distance = frechet_distance(Moments.from_features(real), Moments.from_features(fake))
    assert distance == pytest.approx(scipy_frechet_distance(real, fake), rel=1e-6)
    statistics = [fid_features_to_statistics(features.double()) for features in (fake, real)]
    reference = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert distance == pytest.approx(reference, rel=1e-6)


@pytest.mark.usefixtures("_both_ways")
def test_the_distance_of_fewer_samples_than_features_matches_too():
    real, fake = normal(40, 64), normal(30, 64, seed=1)
    statistics = [fid_features_to_statistics(features.double()) for features in (fake, real)]
    reference = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(
        Moments.from_features(real), Moments.from_features(fake)
    ) == pytest.approx(reference, rel=1e-4)


@pytest.mark.usefixtures("_both_ways")
def test_the_distance_to_itself_is_zero(digits):
    moments = Moments.from_features(digits[0][0])
    assert frechet_distance(moments, moments) == pytest.approx(0, abs=1e-6)


def test_the_root_of_real_moments_is_computed_once(monkeypatch):
    monkeypatch.setattr(scores, "MOST_FEATURES", 0)
    decompose, calls = torch.linalg.eigh, []
    monkeypatch.setattr(torch.linalg, "eigh", lambda x: calls.append(x) or decompose(x))
    real, *fakes = (Moments.from_features(normal(50, 8, seed=seed)) for seed in range(3))
    for fake in fakes:
        assert frechet_distance(real, fake) > 0
    assert len(calls) == 1
    torch.testing.assert_close(real.covariance_root @ real.covariance_root, real.covariance)


def test_moments_are_float64_for_float32_features():
    features = 1e4 + normal(3000, 4)
    moments = Moments.from_features(features)
    exact = features.double()
    assert moments.sum.dtype == moments.products.dtype == torch.float64
    torch.testing.assert_close(moments.sum, exact.sum(dim=0), rtol=1e-14, atol=0)
    torch.testing.assert_close(moments.products, exact.T @ exact, rtol=1e-14, atol=0)


@pytest.mark.slow
def test_the_square_root_of_2048_features_takes_seconds():
    moments = [Moments.from_features(normal(300, 2048, seed=seed)) for seed in (0, 1)]
    started = time.monotonic()
    frechet_distance(*moments)
    assert time.monotonic() - started < 60


def numpy_inception_score(logits):
    """The Inception score in NumPy, over the splits of a fixed shuffle."""
    p = scipy.special.softmax(logits.double().numpy(), axis=1)
    p = p[np.random.RandomState(2020).permutation(len(p))]
    bounds = [i * len(p) // 10 for i in range(11)]
    parts = [p[begin:end] for begin, end in itertools.pairwise(bounds)]
    return np.mean([np.exp(scipy.special.rel_entr(q, q.mean(axis=0)).sum(1).mean()) for q in parts])


@pytest.mark.parametrize("n", [50, 1000, 1797])
def test_the_inception_score_matches_its_formula(digits, n):
    logits = digits[0][1][:n]
    assert inception_score(logits) == pytest.approx(numpy_inception_score(logits), rel=1e-9)


def test_the_inception_score_matches_torchmetrics_on_the_same_shuffle(digits, monkeypatch):
    logits = digits[0][1][:1000]
    score = inception_score(logits)
    shuffle = np.random.RandomState(2020).permutation(len(logits))
    monkeypatch.setattr(torch, "randperm", lambda n, **options: torch.from_numpy(shuffle))
    metric = InceptionScore(feature=torch.nn.Identity(), splits=10)
    metric.update(logits.double())
    assert score == pytest.approx(metric.compute()[0].item(), rel=1e-9)


@pytest.mark.parametrize("n", [10, 11, 101, 1797])
def test_the_inception_score_is_torch_fidelitys_to_the_rounding(digits, n):
    logits = digits[0][1][:n]
    reference = isc_features_to_metric(logits, 10, shuffle=True, rng_seed=2020)
    assert inception_score(logits) == pytest.approx(
        reference["inception_score_mean"], rel=1e-13, abs=0
    )


@pytest.mark.parametrize(
    ("n", "m"), [pytest.param(1797, 1797, marks=pytest.mark.slow), (300, 1100), (200, 200)]
)
def test_the_kernel_distance_is_torch_fidelitys_to_the_rounding(digits, n, m):
    real, fake = digits[0][0][:n].double(), digits[1][0][:m].double()
    reference = kid_features_to_metric(
        fake,
        real,
        kid_subsets=1 if n == m == 200 else 100,
        kid_subset_size=min(n, m, 1000),
        rng_seed=2020,
        verbose=False,
    )
    assert kernel_distance(real, fake) == pytest.approx(
        reference["kernel_inception_distance_mean"], rel=1e-12, abs=0
    )


@pytest.mark.parametrize(
    ("metric", "score"),
    [
        (
            FrechetInceptionDistance,
            lambda x: frechet_distance(Moments.from_features(x), Moments.from_features(x)),
        ),
        (InceptionScore, inception_score),
        (KernelInceptionDistance, lambda x: kernel_distance(x, x)),
    ],
)
def test_the_arithmetic_is_that_of_torchmetrics(monkeypatch, metric, score):
    computed, compute = [], metric.compute
    monkeypatch.setattr(metric, "compute", lambda self: computed.append(1) or compute(self))
    score(normal(50, 8))
    assert computed


def test_scoring_warns_of_nothing(recwarn):
    inception_score(normal(11, 8))
    kernel_distance(normal(11, 8), normal(12, 8))
    assert not recwarn.list


def test_the_inception_score_is_the_number_of_evenly_used_classes():
    assert inception_score(torch.zeros(100, 10)) == pytest.approx(1)
    certain = torch.eye(10).repeat(1000, 1) * 100
    assert inception_score(certain) == pytest.approx(10, rel=0.02)


def test_the_kernel_distance_of_all_samples_matches_its_formula(digits):
    real, fake = digits[0][0][:500].double(), digits[1][0][:500].double()

    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    def off_diagonal_mean(k):
        return (k.sum() - k.trace()) / (len(k) * (len(k) - 1))

    expected = off_diagonal_mean(kernel(real, real)) + off_diagonal_mean(kernel(fake, fake))
    expected -= 2 * kernel(real, fake).mean()
    assert kernel_distance(real, fake) == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.slow
def test_the_kernel_distance_agrees_with_torchmetrics(digits):
    real, fake = digits[0][0], digits[1][0]
    metric = KernelInceptionDistance(feature=torch.nn.Identity())
    metric.update(real.double(), real=True)
    metric.update(fake.double(), real=False)
    mean, deviation = (x.item() for x in metric.compute())
    assert abs(kernel_distance(real, fake) - mean) < deviation


@pytest.mark.slow
def test_the_kernel_distance_is_reproducible(digits):
    real, fake = digits[0][0], digits[1][0]
    first = kernel_distance(real, fake)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    assert kernel_distance(real, fake) == first > 0


@pytest.mark.parametrize(
    "score",
    [
        lambda real, fake: inception_score(fake),
        kernel_distance,
        lambda real, fake: frechet_distance(
            Moments.from_features(real), Moments.from_features(fake)
        ),
    ],
)
def test_scoring_does_not_change_the_random_states(score):
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    score(normal(50, 8), normal(50, 8, seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.random.get_state()[1].tolist() == numpy_before  # noqa: NPY002


# Invalid samples

LINE = torch.arange(10.0).view(-1, 1)


def test_scores_of_features_that_are_not_finite_are_nan():
    good, bad = normal(50, 8), normal(50, 8, seed=1)
    bad[3, 4] = math.nan
    assert math.isnan(frechet_distance(Moments.from_features(good), Moments.from_features(bad)))
    assert math.isnan(inception_score(bad))
    assert math.isnan(kernel_distance(good, bad))


def test_too_few_samples_are_rejected():
    with pytest.raises(ValueError, match="at least 2 generated samples, got 1"):
        frechet_distance(Moments.from_features(LINE), Moments.from_features(LINE[:1]))
    with pytest.raises(ValueError, match="at least 2 real samples, got 1"):
        kernel_distance(LINE[:1], LINE)
    with pytest.raises(ValueError, match="an Inception score needs at least 10 samples, got 9"):
        inception_score(torch.zeros(9, 3))
