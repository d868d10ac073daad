"""Scores of points while training: their names, their values, and that training does not notice."""

import math

import pytest
import torch
from helpers import IMAGE, differences, state, tiny

from gan_lightning.callbacks import EvaluatePoints
from gan_lightning.data import Digits, Grid, Ring, SwissRoll


class Perfect(torch.nn.Module):
    """Hands out the real points, mode after mode."""

    def __init__(self, points):
        super().__init__()
        self.points = points

    def forward(self, z, y):
        return self.points[: len(z)]


@pytest.mark.parametrize("data", [Ring, Grid])
def test_the_real_points_have_every_mode_and_no_distance(make_trainer, data):
    toy = data(num_samples=2000)
    model = tiny("wgan_gp")
    model.generator = Perfect(toy.load("train")[0])
    (scores,) = make_trainer(EvaluatePoints()).validate(model, toy, verbose=False)
    assert scores["swd"] == pytest.approx(0, abs=1e-9)
    assert scores["modes"] == toy.classes
    assert scores["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.01)


def test_the_test_split_is_another_draw(make_trainer):
    toy = Ring(num_samples=2000)
    model = tiny("wgan_gp")
    model.generator = Perfect(toy.load("train")[0])
    (scores,) = make_trainer(EvaluatePoints()).test(model, toy, verbose=False)
    assert 0 < scores["swd"] < 0.1


def test_a_generator_that_nothing_trained_is_far(make_trainer):
    (scores,) = make_trainer(EvaluatePoints()).validate(tiny("wgan_gp"), Ring(500), verbose=False)
    assert scores["swd"] > 0.3
    assert scores["high_quality"] < 0.2


def test_a_spiral_has_a_distance_and_no_modes(make_trainer):
    (scores,) = make_trainer(EvaluatePoints()).validate(
        tiny("wgan_gp"), SwissRoll(500), verbose=False
    )
    assert {name for name in scores if name != "step"} == {"swd"}


def test_images_are_not_scored(make_trainer):
    model = tiny("wgan_gp", IMAGE)
    assert make_trainer(EvaluatePoints()).validate(model, Digits(), verbose=False) == [{}]


def test_training_does_not_notice(make_trainer):
    def trained(*callbacks):
        torch.manual_seed(0)
        model = tiny("wgan_gp")
        trainer = make_trainer(
            *callbacks, max_steps=4, val_check_interval=2, check_val_every_n_epoch=None
        )
        trainer.fit(model, Ring(400))
        return state(model)

    assert differences(trained(EvaluatePoints()), trained()) == []


def test_the_same_model_has_the_same_scores_at_every_evaluation(make_trainer):
    trainer, model = make_trainer(EvaluatePoints()), tiny("wgan_gp")
    first, second = (trainer.validate(model, Ring(300), verbose=False) for _ in range(2))
    assert first == second


def test_a_fit_logs_them_from_the_untrained_generator_on(fit, metrics):
    run = fit(
        "--model=SNGAN",
        "--model.generator_width=64",
        "--model.critic_width=64",
        "--model.critic_lr=1e-3",
        "--model.generator_lr=1e-3",
        "--data=Ring",
        "--data.num_samples=2000",
        "--trainer.max_steps=200",
        "--trainer.val_check_interval=100",
    )
    rows = {step: row for step, row in metrics(run).items() if "swd" in row}
    assert list(rows) == [0, 100, 200]
    assert all({"modes", "high_quality"} <= row.keys() for row in rows.values())
    assert rows[200]["swd"] < rows[0]["swd"] / 2
