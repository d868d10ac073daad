"""What stays in float32 under autocast, and that weights are cast anew after each update."""

import pytest
import torch
from helpers import IMAGE, VECTOR, every_technique, samples, tiny
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gan_lightning import GAN
from gan_lightning.networks.spectral import spectral_normalize
from gan_lightning.penalties import orthogonal_penalty

BFLOAT16 = {"device_type": "cpu", "dtype": torch.bfloat16}


@pytest.fixture
def _mv_as_on_a_gpu(monkeypatch):
    """Autocast of CUDA casts the factors of ``mv``, and promotes those of ``vdot``."""
    mv, vdot = torch.mv, torch.vdot

    def cast(matrix, vector):
        if torch.is_autocast_enabled("cpu"):
            matrix, vector = matrix.bfloat16(), vector.bfloat16()
        return mv(matrix, vector)

    monkeypatch.setattr(torch, "mv", cast)
    monkeypatch.setattr(torch, "vdot", lambda a, b: vdot(a.float(), b.float()))


@pytest.mark.usefixtures("_mv_as_on_a_gpu")
@pytest.mark.parametrize("training", [True, False])
def test_spectral_normalisation_is_in_float32_under_autocast(training):
    layer = spectral_normalize(nn.Linear(50, 30)).train(training)
    plain = spectral_norm(nn.Linear(50, 30)).train(training)
    plain.load_state_dict(layer.state_dict())
    rounded = spectral_norm(nn.Linear(50, 30)).train(training)
    rounded.load_state_dict(layer.state_dict())
    expected = plain.weight
    with torch.autocast(**BFLOAT16):
        ours, theirs = layer.weight, rounded.weight
    assert torch.equal(ours, expected)
    assert not torch.equal(theirs, expected)
    for name, value in layer.state_dict().items():
        assert torch.equal(value, plain.state_dict()[name]), name


def test_spectral_normalisation_has_the_states_and_the_draws_of_torch():
    torch.manual_seed(0)
    plain = spectral_norm(nn.Conv2d(3, 5, 3))
    torch.manual_seed(0)
    layer = spectral_normalize(nn.Conv2d(3, 5, 3))
    assert list(layer.state_dict()) == list(plain.state_dict())
    for name, value in layer.state_dict().items():
        assert torch.equal(value, plain.state_dict()[name]), name


def test_orthogonal_regularisation_is_in_float32_under_autocast():
    weights = [torch.randn(8, 4, 3, 3), torch.randn(6, 20)]
    expected = orthogonal_penalty(weights)
    with torch.autocast(**BFLOAT16):
        assert torch.equal(orthogonal_penalty(weights), expected)


def test_means_of_features_are_in_float32_under_autocast():
    model = tiny("feature_matching", VECTOR, 3)
    features = torch.randn(30, 7)
    model.features = lambda x: features
    y = torch.arange(30) % 3
    expected = model._mean_features(features, y)
    with torch.autocast(**BFLOAT16):
        assert torch.equal(model._mean_features(features, y), expected)


def second_critic_loss(name, cache_enabled):
    """The loss of the second critic update of an iteration in bfloat16, which ran the first."""
    torch.manual_seed(0)
    model = tiny(name, IMAGE, n_critic=2, critic_lr=1e-2)
    optimizers = [
        model.make_optimizer(model.critic, 0.05),
        model.make_optimizer(model.generator, 0.05),
    ]
    losses = []

    def update(which, loss):
        optimizers[which].zero_grad()
        loss.backward()
        optimizers[which].step()
        losses.append(loss.item())

    if name == "unrolled":
        model.critic_adam = lambda: None
    x, _ = samples(IMAGE, 16)
    with torch.autocast(**BFLOAT16, cache_enabled=cache_enabled):
        objectives = model.critic_objective, model.generator_objective
        model.iterate(x, None, model.kind(0), objectives, update)
        assert torch.is_autocast_cache_enabled() == cache_enabled
    return losses[1]


@every_technique
def test_a_later_pass_sees_the_weights_after_the_update_before_it(name):
    assert second_critic_loss(name, True) == second_critic_loss(name, False)


def test_with_the_cache_of_autocast_it_would_not(monkeypatch):
    monkeypatch.setattr(GAN, "iterate", GAN.iterate.__wrapped__)
    assert second_critic_loss("dcgan", True) != second_critic_loss("dcgan", False)
