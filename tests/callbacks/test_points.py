"""Evaluate on points: names and values of scores, and that training is unaffected."""

import math

import pytest
import torch
from helpers import differences, state, tiny

from gan_lightning.callbacks import Evaluate
from gan_lightning.data import Grid, Ring, SwissRoll
from gan_lightning.utils.errors import ArgumentError


class Perfect(torch.nn.Module):
    """Returns the real points, mode by mode."""

    def __init__(self, points):
        super().__init__()
        self.points = points

    def forward(self, z, y):
        return self.points[: len(z)]


@pytest.mark.parametrize("data", [Ring, Grid])
def test_the_real_points_have_every_mode_and_distance_zero(make_trainer, data):
    toy = data(num_samples=2000)
    model = tiny("wgan_gp")
    model.generator = Perfect(toy.load("train")[0])
    evaluate = Evaluate(batch_size=2000)
    (scores,) = make_trainer(evaluate).validate(model, toy, verbose=False)
    assert scores["swd2k_train"] == pytest.approx(0, abs=1e-9)
    assert scores["modes2k"] == toy.classes
    assert scores["high_quality2k"] == pytest.approx(1 - math.exp(-4.5), abs=0.01)


def test_the_test_split_is_drawn_independently(make_trainer):
    toy = Ring(num_samples=2000)
    model = tiny("wgan_gp")
    model.generator = Perfect(toy.load("train")[0])
    (scores,) = make_trainer(Evaluate(batch_size=2000)).test(model, toy, verbose=False)
    assert 0 < scores["swd2k_test"] < 0.1


def test_an_untrained_generator_has_bad_scores(make_trainer):
    (scores,) = make_trainer(Evaluate()).validate(tiny("wgan_gp"), Ring(500), verbose=False)
    assert scores["swd500_train"] > 0.3
    assert scores["high_quality500"] < 0.2


def test_a_spiral_has_a_distance_but_no_modes(make_trainer):
    (scores,) = make_trainer(Evaluate()).validate(tiny("wgan_gp"), SwissRoll(500), verbose=False)
    assert {name for name in scores if name != "step"} == {"swd500_train"}


@pytest.mark.parametrize("metrics", ["modes,swd", ["modes", "swd"]])
def test_metrics_can_be_selected(make_trainer, metrics):
    (scores,) = make_trainer(Evaluate(metrics=metrics)).validate(
        tiny("wgan_gp"), Ring(500), verbose=False
    )
    assert list(scores) == ["modes500", "swd500_train", "step"]


def test_a_metric_not_defined_for_the_points_is_rejected_before_training(make_trainer):
    with pytest.raises(ArgumentError, match="these points have no metric 'modes': choose from swd"):
        make_trainer(Evaluate(metrics="modes")).fit(tiny("wgan_gp"), SwissRoll(500))


def test_an_empty_list_of_metrics_is_rejected(make_trainer):
    with pytest.raises(ArgumentError, match="choose from swd, modes, high_quality"):
        make_trainer(Evaluate(metrics="")).validate(tiny("wgan_gp"), Ring(500), verbose=False)


def test_an_extractor_for_images_is_rejected(make_trainer):
    with pytest.raises(ArgumentError, match="inception takes images, but these are points"):
        make_trainer(Evaluate("inception")).validate(tiny("wgan_gp"), Ring(500), verbose=False)


def test_points_that_are_not_finite_are_reported_as_diverged(make_trainer):
    model = tiny("wgan_gp")
    model.generator = Perfect(torch.full((500, 2), math.nan))
    with pytest.warns(UserWarning, match="WGANGP diverged: some of 500 generated samples"):
        (scores,) = make_trainer(Evaluate()).validate(model, Ring(500), verbose=False)
    assert scores["diverged"] == 1
    assert math.isnan(scores["swd500_train"])
    assert scores["modes500"] == scores["high_quality500"] == 0


def test_evaluations_do_not_change_training(make_trainer):
    def trained(*callbacks):
        torch.manual_seed(0)
        model = tiny("wgan_gp")
        trainer = make_trainer(
            *callbacks, max_steps=4, val_check_interval=2, check_val_every_n_epoch=None
        )
        trainer.fit(model, Ring(400))
        return state(model)

    assert differences(trained(Evaluate()), trained()) == []


def test_scores_of_the_same_model_are_reproducible(make_trainer):
    trainer, model = make_trainer(Evaluate()), tiny("wgan_gp")
    first, second = (trainer.validate(model, Ring(300), verbose=False) for _ in range(2))
    assert first == second


@pytest.mark.slow
def test_a_fit_logs_scores_from_the_untrained_generator_on(fit, metrics):
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
    rows = {step: row for step, row in metrics(run).items() if "swd2k_train" in row}
    assert list(rows) == [0, 100, 200]
    assert all({"modes2k", "high_quality2k"} <= row.keys() for row in rows.values())
    assert rows[200]["swd2k_train"] < rows[0]["swd2k_train"] / 2
