"""Whether samples have become alike: the measure, what is logged, and the warning."""

import warnings

import pytest
import torch
from helpers import IMAGE, batches, samples, tiny
from torch.utils.data import DataLoader, TensorDataset

from gan_lightning.callbacks import Diversity
from gan_lightning.data import Digits, Ring
from gan_lightning.data.loader import TensorLoader
from gan_lightning.metrics.diversity import nearest_distance

COLLAPSED = "may have collapsed"


def test_the_distance_is_that_to_the_nearest_other_sample():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])
    assert nearest_distance(x) == pytest.approx((5 + 1 + 1) / 3)


@pytest.mark.parametrize("modes", [1, 4, 16])
def test_few_pictures_drawn_again_and_again_are_told(modes):
    real = Digits().load("train")[0][:64].float() / 127.5 - 1
    few = real[:modes].repeat(64 // modes, 1, 1, 1) + 0.05 * torch.randn(64, 1, 8, 8)
    assert nearest_distance(few) < 0.2 * nearest_distance(real)


def test_one_cluster_of_a_ring_is_told():
    points = Ring(num_samples=1000)
    real, clusters = points.load("train")
    one = real[clusters == 0]
    assert nearest_distance(one[:64]) < 0.5 * nearest_distance(real[:64])


class Scripted:
    """A model whose samples are real ones, or one and the same, as a script says."""

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


def test_it_warns_once_until_samples_differ_again(make_trainer, monkeypatch):
    script = Scripted(monkeypatch, True, False, True, True, False, True)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fit(make_trainer, script.model, Diversity(), 5)
    found = [str(w.message) for w in said if COLLAPSED in str(w.message)]
    # Of the untrained generator, the first one, nothing is said.
    assert [message.split(":")[0] for message in found] == [
        "DCGAN may have collapsed at update 2",
        "DCGAN may have collapsed at update 5",
    ]
    assert "0% of that of real samples, below the threshold of 50%" in found[0]


@pytest.mark.parametrize(("least", "warned"), [(0.0, False), (0.5, False), (1.5, True)])
def test_the_share_is_that_asked_for(make_trainer, monkeypatch, least, warned):
    script = Scripted(monkeypatch, False, False)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        logged = fit(make_trainer, script.model, Diversity(least), 1)
    assert any(COLLAPSED in str(w.message) for w in said) == warned
    # 64 of 640 alike samples: a little nearer or farther.
    assert float(logged["diversity/fake"] / logged["diversity/real"]) == pytest.approx(1, abs=0.2)


def test_training_draws_the_same_numbers_with_it_and_without(make_trainer):
    ended = []
    for callbacks in ([], [Diversity()]):
        torch.manual_seed(0)
        model = tiny("dcgan", IMAGE)
        trainer = make_trainer(*callbacks, max_steps=3, val_check_interval=1)
        trainer.fit(model, batches(IMAGE), batches(IMAGE))
        ended.append(model.generator.state_dict())
    assert all(torch.equal(ended[0][name], ended[1][name]) for name in ended[0])


def test_a_batch_that_has_nothing_for_a_rank_is_no_fault(make_trainer):
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
    seen = {step: row for step, row in rows.items() if "diversity/fake" in row}
    assert list(seen) == [0, 2, 4]
    (real,) = {row["diversity/real"] for row in seen.values()}
    assert real > 0
    assert all(row["diversity/fake"] >= 0 for row in seen.values())
