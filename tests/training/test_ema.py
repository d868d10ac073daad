"""The moving average of a network: which tensors are averaged, and which are copied."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gan_lightning.training.ema import update_average


def pair(make):
    """Two networks of the same architecture, with different weights and statistics."""
    networks = make(), make()
    for network in networks:
        for parameter in network.parameters():
            nn.init.normal_(parameter)
        network(torch.randn(16, 3))
    return networks


def state(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def normalised():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def spectral():
    return nn.Sequential(spectral_norm(nn.Linear(3, 4)), spectral_norm(nn.Linear(4, 2)))


@pytest.mark.parametrize("decay", [0.0, 0.75, 0.999])
def test_parameters_and_running_statistics_are_averaged(decay):
    average, network = pair(normalised)
    before, current = state(average), state(network)
    update_average(average, network, decay)
    counter = "1.num_batches_tracked"
    for name, after in average.state_dict().items():
        if name != counter:
            assert not torch.equal(before[name], current[name]), name
            expected = decay * before[name] + (1 - decay) * current[name]
            torch.testing.assert_close(after, expected, msg=name)


def test_two_updates_compound():
    average, network = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(average.weight, 8)
    nn.init.constant_(network.weight, 0)
    update_average(average, network, 0.5)
    update_average(average, network, 0.5)
    assert average.weight.item() == 2


def test_counters_are_copied():
    average, network = pair(normalised)
    for _ in range(6):
        network(torch.randn(16, 3))
    update_average(average, network, 0.9)
    assert average[1].num_batches_tracked.item() == 7


def test_power_iteration_vectors_are_copied():
    average, network = pair(spectral)
    vectors = [name for name in network.state_dict() if name.endswith(("._u", "._v"))]
    assert len(vectors) == 4
    update_average(average, network, 0.9)
    for name in vectors:
        assert torch.equal(average.state_dict()[name], network.state_dict()[name]), name


@pytest.mark.parametrize("make", [normalised, spectral])
def test_the_source_network_is_not_changed(make):
    average, network = pair(make)
    before = state(network)
    update_average(average, network, 0.9)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_norm_layer_without_running_statistics_is_averaged():
    average, network = pair(lambda: nn.BatchNorm1d(3, track_running_stats=False))
    nn.init.constant_(average.weight, 1)
    nn.init.constant_(network.weight, 3)
    update_average(average, network, 0.5)
    assert average.weight.tolist() == [2, 2, 2]
