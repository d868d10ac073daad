"""NetworkSummary: the table of networks before training."""

import pytest
from helpers import VECTOR, batches, tiny
from pytorch_lightning.callbacks import ModelSummary

from gan_lightning import Trainer
from gan_lightning.callbacks import NetworkSummary

QUIET = {"accelerator": "cpu", "max_steps": 1, "logger": False, "enable_progress_bar": False}


def test_a_fit_starts_with_a_table_of_the_networks(capsys):
    model = tiny("dcgan", VECTOR, ema_decay=0.9)
    trained = sum(p.numel() for net in (model.generator, model.critic) for p in net.parameters())
    total = sum(p.numel() for p in model.parameters())
    Trainer(**QUIET).fit(model, batches(VECTOR))
    said = capsys.readouterr().out
    for name in ("generator", "critic", "generator_ema"):
        assert f" {name} " in said
    assert f"{trained:,} of {total:,} parameters are trained" in said
    assert total > trained
    assert "FLOPs" not in said


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({}, [NetworkSummary]),
        ({"enable_model_summary": True}, [NetworkSummary]),
        ({"enable_model_summary": False}, []),
        ({"callbacks": [ModelSummary()]}, [ModelSummary]),
    ],
)
def test_a_trainer_has_one_summary_or_none(options, kinds):
    callbacks = Trainer(**QUIET, **options).callbacks
    assert [type(each) for each in callbacks if isinstance(each, ModelSummary)] == kinds
