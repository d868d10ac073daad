"""Diversity: the distance measure, what is logged, and the warning about mode collapse."""

import warnings

import pytest
import torch
from helpers import IMAGE, batches, samples, tiny
from torch.utils.data import DataLoader, TensorDataset

from gan_lightning import DCGAN
from gan_lightning.callbacks import Diversity
from gan_lightning.data import Digits, Ring
from gan_lightning.data.loader import TensorLoader
from gan_lightning.metrics.diversity import nearest_distance
from gan_lightning.utils.errors import ArgumentError

COLLAPSED = "may have collapsed"


def test_the_distance_is_to_the_nearest_other_sample():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])
    assert nearest_distance(x) == pytest.approx((5 + 1 + 1) / 3)


@pytest.mark.parametrize("modes", [1, 4, 16])
def test_repeated_images_are_detected(modes):
    real = Digits().load("train")[0][:64].float() / 127.5 - 1
    few = real[:modes].repeat(64 // modes, 1, 1, 1) + 0.05 * torch.randn(64, 1, 8, 8)
    assert nearest_distance(few) < 0.2 * nearest_distance(real)


def test_a_single_cluster_of_a_ring_is_detected():
    points = Ring(num_samples=1000)
    real, clusters = points.load("train")
    one = real[clusters == 0]
    assert nearest_distance(one[:64]) < 0.5 * nearest_distance(real[:64])


class Scripted:
    """A model whose samples are, in a scripted order, real ones or copies of a single one."""

    def __init__(self, monkeypatch, *collapsed):
        self.model = tiny("dcgan", IMAGE)
        script = iter(collapsed)
        x, _ = samples(IMAGE, 64)
        alike = x[:1].repeat(64, 1, 1, 1)
        monkeypatch.setattr(
            type(self.model), "sample", lambda model, n, y=None: alike if next(script) else x
        )


def fit(make_trainer, model, callback, updates):
    loader = DataLoader(TensorDataset(*samples(IMAGE, 640)), 64)
    trainer = make_trainer(
        callback,
        max_steps=updates,
        val_check_interval=1,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=-1,
    )
    trainer.fit(model, batches(IMAGE), loader)
    return trainer.callback_metrics


def test_it_warns_once_until_samples_are_diverse_again(make_trainer, monkeypatch):
    script = Scripted(monkeypatch, True, False, True, True, False, True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(make_trainer, script.model, Diversity(), 5)
    messages = [str(w.message) for w in caught if COLLAPSED in str(w.message)]
    # The first evaluation, of the untrained generator, does not warn.
    assert [message.split(":")[0] for message in messages] == [
        "DCGAN may have collapsed at update 2",
        "DCGAN may have collapsed at update 5",
    ]
    assert "0% of that of real samples, below the threshold of 50%" in messages[0]


@pytest.mark.parametrize(("start", "updates"), [(1000, None), (4, "4"), (1, "2")])
def test_samples_that_never_were_diverse_have_not_collapsed_at_the_start(
    make_trainer, monkeypatch, start, updates
):
    monkeypatch.setattr("gan_lightning.callbacks.diversity.START", start)
    script = Scripted(monkeypatch, *[True] * 7)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(make_trainer, script.model, Diversity(), 6)
    messages = [str(w.message) for w in caught if COLLAPSED in str(w.message)]
    expected = [] if updates is None else [f"DCGAN may have collapsed at update {updates}"]
    assert [message.split(":")[0] for message in messages] == expected


@pytest.mark.parametrize(("threshold", "warned"), [(0.0, False), (0.5, False), (1.5, True)])
def test_the_threshold_is_configurable(make_trainer, monkeypatch, threshold, warned):
    monkeypatch.setattr("gan_lightning.callbacks.diversity.START", 2)
    script = Scripted(monkeypatch, False, False, False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        logged = fit(make_trainer, script.model, Diversity(threshold), 2)
    assert any(COLLAPSED in str(w.message) for w in caught) == warned
    # Two draws of 64 samples have slightly different distances.
    assert float(logged["diversity/fake"] / logged["diversity/real"]) == pytest.approx(1, abs=0.2)


class Perfect(DCGAN):
    """The samples of class 0 are random, and those of any other class are all alike."""

    def sample(self, n, y):
        assert len(y) == n
        self.drawn = y
        return (torch.rand(n, *self.shape) * 2 - 1) * (y == 0).view(-1, 1, 1, 1)


@pytest.mark.parametrize("classes", [3, 20])
def test_a_perfect_conditional_model_is_as_diverse_as_data_of_unequal_classes(
    make_trainer, classes
):
    x, _ = samples(IMAGE, 640)
    y = torch.where(torch.arange(640) % 8 == 0, classes - 1, 0)
    loader = DataLoader(TensorDataset(x * (y == 0).view(-1, 1, 1, 1), y), 64)
    model = Perfect(IMAGE, classes, latent_dim=4, generator_width=8, critic_width=8)
    trainer = make_trainer(Diversity(), max_steps=1, val_check_interval=1)
    trainer.fit(model, loader, loader)
    logged = trainer.callback_metrics
    assert float(logged["diversity/fake"]) == pytest.approx(
        float(logged["diversity/real"]), rel=0.1
    )
    assert set(model.drawn.tolist()) == {0, classes - 1}


def test_without_labels_a_conditional_model_draws_its_grid(make_trainer):
    x, y = samples(IMAGE, 640)
    model = Perfect(IMAGE, 3, latent_dim=4, generator_width=8, critic_width=8)
    trainer = make_trainer(Diversity(), max_steps=1, val_check_interval=1)
    trainer.fit(model, DataLoader(TensorDataset(x, y), 64), DataLoader(x, 64))
    assert model.drawn.tolist() == [0, 1, 2] * 8


def test_labels_of_no_class_are_refused(make_trainer):
    x, y = samples(IMAGE, 640)
    model = tiny("dcgan", IMAGE, num_classes=3)
    trainer = make_trainer(Diversity(), max_steps=1, val_check_interval=1)
    wrong = DataLoader(TensorDataset(x, torch.where(torch.arange(640) < 64, y, 7)), 64)
    with pytest.raises(ArgumentError, match="labels must be from 0 to 2, got 7"):
        trainer.fit(model, DataLoader(TensorDataset(x, y), 64), wrong)


def test_another_fit_measures_its_own_real_samples(make_trainer):
    callback, model = Diversity(), tiny("dcgan", IMAGE)
    real = []
    for scale in (1.0, 0.5):
        x, y = samples(IMAGE, 640)
        trainer = make_trainer(callback, max_steps=1, val_check_interval=1)
        trainer.fit(model, batches(IMAGE), DataLoader(TensorDataset(scale * x, y), 64))
        real.append(float(trainer.callback_metrics["diversity/real"]))
    assert real[1] == pytest.approx(real[0] / 2)


def test_the_callback_does_not_change_training(make_trainer):
    weights = []
    for callbacks in ([], [Diversity()]):
        torch.manual_seed(0)
        model = tiny("dcgan", IMAGE)
        trainer = make_trainer(*callbacks, max_steps=3, val_check_interval=1)
        trainer.fit(model, batches(IMAGE), batches(IMAGE))
        weights.append(model.generator.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_rank_with_an_empty_batch_is_supported(make_trainer):
    loader = TensorLoader(*samples(IMAGE, 129), 64, rank=1, world_size=2)
    assert [len(x) for x, _ in loader] == [64, 0]
    make_trainer(Diversity(), max_steps=1).fit(tiny("dcgan", IMAGE), batches(IMAGE), loader)


@pytest.mark.parametrize(("data", "name"), [("Digits", "DCGAN"), ("Ring", "WGANGP")])
def test_the_command_line_logs_it_at_each_evaluation(metrics, data, name, request):
    run = request.getfixturevalue("fit")(
        *(f"--model={name}", f"--data={data}", "--model.generator_width=8"),
        *("--model.critic_width=8", "--trainer.max_steps=4", "--trainer.val_check_interval=2"),
    )
    rows = metrics(run)
    measured = {step: row for step, row in rows.items() if "diversity/fake" in row}
    assert list(measured) == [0, 2, 4]
    (real,) = {row["diversity/real"] for row in measured.values()}
    assert real > 0
    assert all(row["diversity/fake"] >= 0 for row in measured.values())
