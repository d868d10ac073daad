"""What is printed under a plain trainer: nothing that does not apply, and no paths."""

import logging
import re
import warnings

import pytest
import pytorch_lightning as pl
from helpers import VECTOR, batches, tiny
from pytorch_lightning.callbacks import ModelSummary, RichModelSummary, RichProgressBar
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn

import gan_lightning.training.batches as ours
from gan_lightning.callbacks import NetworkSummary
from gan_lightning.training.quiet import NOT_APPLICABLE, shorten_warnings

CPU = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "max_steps": 1}


def test_hints_at_other_products_are_silenced(caplog):
    with caplog.at_level(logging.INFO):
        rank_zero_info("Tip: install another product")
        rank_zero_info("this is said")
    assert [record.message for record in caplog.records] == ["this is said"]


def test_warnings_of_runs_are_one_line_without_a_path():
    for path in (ours.__file__, pl.__file__):
        text = warnings.formatwarning("one\n  line", UserWarning, path, 3)
        assert text == "warning: one line\n"


def test_other_warnings_keep_their_place():
    text = warnings.formatwarning("mine", UserWarning, "script.py", 3, "f(x)")
    assert text == "script.py:3: UserWarning: mine\n  f(x)\n"


def test_warnings_are_shortened_once():
    before = warnings.formatwarning
    shorten_warnings()
    assert warnings.formatwarning is before


@pytest.mark.parametrize("options", [{}, {"val_dataloaders": batches(VECTOR)}])
def test_a_fit_under_a_plain_trainer_gives_no_hints(options, recwarn):
    trainer = pl.Trainer(**CPU, enable_progress_bar=False)
    trainer.fit(tiny("dcgan"), batches(VECTOR), **options)
    said = [str(each.message) for each in recwarn]
    assert [text for text in said if any(re.search(hint, text) for hint in NOT_APPLICABLE)] == []


def test_a_hint_that_applies_is_given():
    with pytest.warns(UserWarning, match="something else"):
        rank_zero_warn("something else")


class Summary(ModelSummary):
    """A custom summary."""


@pytest.mark.parametrize(
    ("options", "kind", "depth"),
    [
        ({}, NetworkSummary, 1),
        ({"callbacks": [ModelSummary(max_depth=2)]}, NetworkSummary, 2),
        ({"callbacks": [RichModelSummary(max_depth=-1)]}, NetworkSummary, -1),
        ({"callbacks": [Summary()]}, Summary, 1),
        ({"enable_model_summary": False}, None, None),
    ],
)
def test_a_plain_trainer_prints_no_wrong_numbers_of_networks(options, kind, depth, capsys):
    trainer = pl.Trainer(**CPU, **options, enable_progress_bar=False)
    trainer.fit(tiny("dcgan"), batches(VECTOR))
    kinds = [type(each) for each in trainer.callbacks if isinstance(each, ModelSummary)]
    assert kinds == ([kind] if kind else [])
    said = capsys.readouterr().out
    assert ("parameters are trained" in said) == (kind is NetworkSummary)
    if kind is NetworkSummary:
        assert "FLOPs" not in said
        assert ("generator.net" in said) == (depth != 1)


def test_a_model_with_an_example_input_keeps_lightnings_summary():
    trainer = pl.Trainer(**CPU, enable_progress_bar=False, callbacks=[ModelSummary()])
    model = tiny("dcgan")
    model.example_input_array = model.draw_latents(1)
    trainer.fit(model, batches(VECTOR))
    assert [type(each) for each in trainer.callbacks if isinstance(each, ModelSummary)] == [
        ModelSummary
    ]


@pytest.mark.parametrize(("options", "title"), [({}, "Epoch 0"), ({"max_epochs": 3}, "Epoch 0/2")])
def test_a_bar_names_no_epoch_of_minus_two(options, title):
    bar = RichProgressBar()
    trainer = pl.Trainer(**CPU, **options, callbacks=[bar])
    trainer.fit(tiny("dcgan"), batches(VECTOR))
    assert bar._get_train_description(0).strip() == title
