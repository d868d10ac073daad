"""Equalised layers, and the deviation over a minibatch."""

import math

import pytest
import torch
from torch import nn

from gan_lightning.networks.equalized import (
    EqualizedConv2d,
    EqualizedLinear,
    EqualizedScoreHead,
    pixel_norm,
)
from gan_lightning.networks.family import mixes_samples
from gan_lightning.networks.minibatch import MinibatchDeviation

LAYERS = {
    "convolution": (lambda n: EqualizedConv2d(n, 64, 3, gain=1), (8, 8)),
    "linear": (lambda n: EqualizedLinear(n, 64, gain=1), ()),
    "slow linear": (lambda n: EqualizedLinear(n, 64, gain=1, multiplier=0.01), ()),
}
every_layer = pytest.mark.parametrize(("make", "size"), LAYERS.values(), ids=LAYERS)


@every_layer
def test_a_layer_keeps_the_variance_of_its_input(make, size):
    torch.manual_seed(0)
    layer = make(256)
    y = layer(torch.randn(64, 256, *size))
    inner = y[:, :, 1:-1, 1:-1] if size else y  # at a border, some inputs are zeros
    assert inner.std().item() == pytest.approx(1, abs=0.06)


def test_stored_weights_are_normal_divided_by_the_multiplier():
    torch.manual_seed(0)
    for make, _ in LAYERS.values():
        layer = make(256)
        multiplier = getattr(layer, "multiplier", 1.0)
        assert layer.weight.std().item() * multiplier == pytest.approx(1, abs=0.03)


@every_layer
def test_the_relative_step_of_adam_is_the_same_for_each_number_of_inputs(make, size):
    changes = []
    for inputs in (16, 1024):
        torch.manual_seed(0)
        layer = make(inputs)
        before = layer.weight.clone()
        optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3)
        layer(torch.randn(4, inputs, *size)).square().sum().backward()
        optimizer.step()
        changes.append(((layer.weight - before).norm() / before.norm()).item())
    assert changes[0] == pytest.approx(changes[1], rel=0.05)
    assert changes[0] == pytest.approx(1e-3 * getattr(layer, "multiplier", 1.0), rel=0.05)


def test_a_bias_starts_at_its_value():
    layer = EqualizedLinear(4, 3, bias=1.0, multiplier=0.01)
    assert layer(torch.zeros(2, 4)).tolist() == [[1.0] * 3] * 2


def test_the_head_is_linear_with_a_projection_of_the_class():
    torch.manual_seed(0)
    head, h, y = EqualizedScoreHead(16, 3), torch.randn(5, 16), torch.tensor([0, 1, 2, 0, 1])
    linear = h @ head.linear.weight[0] / 4
    torch.testing.assert_close(head(h, y), linear + (head.projection.weight[y] * h).sum(1) / 4)
    assert EqualizedScoreHead(16)(h).shape == (5,)


def test_pixels_have_a_mean_square_of_1():
    x = pixel_norm(torch.randn(2, 16, 3, 3))
    torch.testing.assert_close(x.square().mean(dim=1), torch.ones(2, 3, 3))


def deviation(values, **options):
    x = torch.tensor(values).view(-1, 1, 1, 1)
    return MinibatchDeviation(**options)(x)[:, -1, 0, 0].tolist()


def test_groups_are_strided_and_their_deviation_is_biased():
    # The samples 0, 2, 4, 6 and 1, 3, 5, 7 are groups. Contiguous ones would give 1.118, the
    # unbiased estimate 2.582.
    expected = [math.sqrt(5)] * 8
    assert deviation([0.0, 1, 2, 3, 4, 5, 6, 7]) == pytest.approx(expected, abs=1e-4)
    assert math.sqrt(5) == pytest.approx(2.2361, abs=1e-4)


def test_equal_samples_have_the_deviation_of_the_guard():
    assert deviation([3.0] * 4) == pytest.approx([1e-4] * 4)


def test_a_batch_that_groups_do_not_divide_has_smaller_ones():
    # Of 6 samples 3 make a group: 0, 5, 5 and 1, 5, 9.
    pair = [x.std(correction=0).item() for x in torch.tensor([[0.0, 5, 5], [1, 5, 9]])]
    assert deviation([0.0, 1, 5, 5, 5, 9]) == pytest.approx(pair * 3, abs=1e-4)
    assert deviation([2.0]) == pytest.approx([1e-4])


def test_the_value_is_a_mean_over_positions_and_a_share_of_the_channels():
    torch.manual_seed(0)
    x = torch.randn(8, 6, 3, 3)
    found = MinibatchDeviation(group=4, features=2)(x)
    assert found.shape == (8, 8, 3, 3)
    assert torch.equal(found[:, :6], x)
    members = x[[1, 3, 5, 7], 3:].std(dim=0, correction=0)
    torch.testing.assert_close(found[3, 7], members.mean().expand(3, 3), rtol=1e-5, atol=1e-6)


def test_a_network_with_it_mixes_samples():
    assert mixes_samples(nn.Sequential(MinibatchDeviation()))
