"""TrainingClock: the time of training, without that of scoring, over all processes of a run."""

import time

import pytest
import pytorch_lightning as pl
from helpers import VECTOR, batches, tiny

from gan_lightning.callbacks import TrainingClock

PAUSE = 0.05


class Slow(pl.Callback):
    """Takes time, before a training step and in a validation."""

    def __init__(self, training, validation):
        self.training, self.validation = training, validation

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        time.sleep(self.training)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        time.sleep(self.validation)


@pytest.fixture
def run(make_trainer):
    """``run(slow, max_steps)`` trains and returns the trainer, and the seconds it said."""

    def train(slow, max_steps, ckpt_path=None):
        trainer = make_trainer(
            *(TrainingClock(), slow),
            **{"max_steps": max_steps, "val_check_interval": 2, "check_val_every_n_epoch": None},
            **{"limit_val_batches": 2},
        )
        loader = batches(VECTOR)
        trainer.fit(tiny("dcgan"), loader, loader, ckpt_path=ckpt_path)
        return trainer, float(trainer.callback_metrics["train_seconds"])

    return train


def test_the_time_of_training_counts(run):
    _, seconds = run(Slow(PAUSE, 0), 4)
    assert seconds >= 4 * PAUSE


def test_the_time_of_scoring_does_not(run):
    started = time.monotonic()
    _, seconds = run(Slow(0, 4 * PAUSE), 4)
    # Two validations, and the sanity check, of two batches each.
    assert seconds <= time.monotonic() - started - 6 * 4 * PAUSE


def test_a_resumed_run_goes_on_counting(run, tmp_path):
    trainer, first = run(Slow(4 * PAUSE, 0), 2)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    _, both = run(Slow(0, 0), 4, ckpt_path=tmp_path / "one.ckpt")
    assert first < both < first + 4 * PAUSE
