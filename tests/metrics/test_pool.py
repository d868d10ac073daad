"""Features brought together: in the samples' order, whatever they came in."""

import pytest
import torch

from gan_lightning.metrics import Pool, pool


@pytest.fixture
def every():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(23, 5, generator=generator), torch.randn(23, 3, generator=generator)


def filled(every, sizes, keep=True):
    """A pool that got samples in turns of these sizes, the last ones first."""
    features, logits = every
    filled = Pool(5, keep)
    for numbers in reversed(torch.arange(len(features)).split(sizes)):
        filled.add(features[numbers], logits[numbers], numbers)
    return filled.gather()


@pytest.mark.parametrize("sizes", [23, 5, [1, 0, 20, 2]])
def test_samples_come_out_in_their_order(every, sizes):
    features, logits = every
    gathered = filled(every, sizes)
    assert torch.equal(gathered.features, features)
    assert torch.equal(gathered.logits, logits)
    assert len(gathered) == 23


@pytest.mark.parametrize("sizes", [23, 5, [1, 0, 20, 2]])
def test_moments_are_those_of_all_samples_kept_or_not(every, sizes):
    features, logits = every
    moments = filled(every, sizes, keep=False)
    assert len(moments.features) == 0
    assert len(moments) == 23
    assert torch.equal(moments.logits, logits)
    expected = features.double()
    for gathered in (moments, filled(every, sizes)):
        assert gathered.moments.count == 23
        torch.testing.assert_close(gathered.moments.sum, expected.sum(dim=0))
        torch.testing.assert_close(gathered.moments.products, expected.T @ expected)
        assert gathered.moments.sum.dtype == gathered.moments.products.dtype == torch.float64


@pytest.mark.parametrize("keep", [True, False])
def test_one_feature_that_is_not_finite_is_noticed(every, keep):
    features, logits = every
    assert filled(every, 7, keep).finite
    features[11, 2] = torch.inf
    assert not filled((features, logits), 7, keep).finite


@pytest.mark.parametrize("keep", [True, False])
def test_nothing_is_nothing(keep):
    gathered = Pool(5, keep).gather()
    assert len(gathered) == gathered.moments.count == 0
    assert gathered.logits is None


@pytest.mark.gpu
def test_a_gpu_does_not_fill_up_with_features(every, monkeypatch):
    monkeypatch.setattr(pool, "ON_DEVICE_BYTES", 100)
    on_gpu = [part.cuda() for part in every]
    gathered = filled(on_gpu, 5)
    assert torch.equal(gathered.features, every[0])
