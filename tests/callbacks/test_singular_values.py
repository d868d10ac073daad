"""SingularValues: what it logs, and for which layers."""

import numpy as np
import pytest
import torch
from helpers import IMAGE, tiny
from torch import nn

from gan_lightning.callbacks import SingularValues
from gan_lightning.data import Digits
from gan_lightning.networks import largest_singular_values


def largest(matrix):
    return np.linalg.svd(matrix.detach().numpy(), compute_uv=False)[0]


@pytest.mark.parametrize("name", ["sngan", "dcgan"])
def test_it_logs_every_matrix_at_every_evaluation(name, make_trainer):
    model = tiny(name, IMAGE)
    trainer = make_trainer(SingularValues(), max_steps=1)
    trainer.fit(model, Digits(batch_size=8))
    (measured,) = trainer.validate(model, Digits(batch_size=8), verbose=False)
    layers = {
        f"{key}/{layer}": m
        for key in ("critic", "generator")
        for layer, m in getattr(model, key).named_modules()
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    }
    assert {key for key in measured if key != "step"} == {f"sigma/{layer}" for layer in layers}
    for layer, module in layers.items():
        stored = getattr(module, "parametrizations", None)
        weight = stored.weight.original if stored else module.weight
        if isinstance(module, nn.ConvTranspose2d):
            weight = weight.transpose(0, 1)
        expected = largest(weight.flatten(1))
        assert measured[f"sigma/{layer}"] == pytest.approx(expected, rel=1e-4)
        assert trainer.callback_metrics[f"sigma/{layer}"].item() == measured[f"sigma/{layer}"]


def test_spectral_normalisation_divides_by_the_largest_singular_value():
    critic = tiny("sngan", IMAGE).critic
    with torch.no_grad():
        for _ in range(50):
            critic(torch.randn(2, *IMAGE))
    critic.eval()
    for layer, value in largest_singular_values(critic).items():
        module = critic.get_submodule(layer)
        original = module.parametrizations.weight.original
        torch.testing.assert_close(module.weight * value, original, rtol=0.02, atol=1e-3)


def test_a_transposed_convolution_has_input_channels_first():
    layer = nn.ConvTranspose2d(3, 5, 4)
    (value,) = largest_singular_values(nn.Sequential(layer)).values()
    assert value.item() == pytest.approx(largest(layer.weight.transpose(0, 1).flatten(1)), rel=1e-4)


@pytest.mark.slow
def test_the_documented_command_line_option_works(fit, metrics):
    run = fit(
        *("--model=SNGAN", "--data=Digits", "--model.generator_width=8", "--model.critic_width=8"),
        *("--trainer.max_steps=1", "--data.batch_size=4"),
        "--trainer.callbacks",
        "SingularValues",
    )
    assert metrics(run)[1]["sigma/critic/head.linear"] > 0
