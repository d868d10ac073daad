"""Pool: features are gathered in the order of the samples, whatever order they arrive in."""

import pytest
import torch

from gan_lightning.metrics import Pool, pool


@pytest.fixture
def samples():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(23, 5, generator=generator), torch.randn(23, 3, generator=generator)


def pooled(samples, sizes, keep=True):
    """The content of a pool that received samples in chunks of these sizes, the last one first."""
    features, logits = samples
    result = Pool(5, keep)
    for indices in reversed(torch.arange(len(features)).split(sizes)):
        result.add(features[indices], logits[indices], indices)
    return result.gather()


@pytest.mark.parametrize("sizes", [23, 5, [1, 0, 20, 2]])
def test_samples_are_returned_in_their_original_order(samples, sizes):
    features, logits = samples
    gathered = pooled(samples, sizes)
    assert torch.equal(gathered.features, features)
    assert torch.equal(gathered.logits, logits)
    assert len(gathered) == 23


@pytest.mark.parametrize("sizes", [23, 5, [1, 0, 20, 2]])
def test_moments_include_all_samples_whether_features_are_stored_or_not(samples, sizes):
    features, logits = samples
    moments = pooled(samples, sizes, keep=False)
    assert len(moments.features) == 0
    assert len(moments) == 23
    assert torch.equal(moments.logits, logits)
    expected = features.double()
    for gathered in (moments, pooled(samples, sizes)):
        assert gathered.moments.count == 23
        torch.testing.assert_close(gathered.moments.sum, expected.sum(dim=0))
        torch.testing.assert_close(gathered.moments.products, expected.T @ expected)
        assert gathered.moments.sum.dtype == gathered.moments.products.dtype == torch.float64


@pytest.mark.parametrize("keep", [True, False])
def test_a_single_feature_that_is_not_finite_is_detected(samples, keep):
    features, logits = samples
    assert pooled(samples, 7, keep).finite
    features[11, 2] = torch.inf
    assert not pooled((features, logits), 7, keep).finite


@pytest.mark.parametrize("keep", [True, False])
def test_an_empty_pool_gathers_no_samples(keep):
    gathered = Pool(5, keep).gather()
    assert len(gathered) == gathered.moments.count == 0
    assert gathered.logits is None


@pytest.mark.gpu
def test_features_beyond_the_gpu_budget_are_gathered_in_order(samples, monkeypatch):
    monkeypatch.setattr(pool, "ON_DEVICE_BYTES", 100)
    on_gpu = [part.cuda() for part in samples]
    gathered = pooled(on_gpu, 5)
    assert torch.equal(gathered.features, samples[0])
