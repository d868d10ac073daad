"""TrainingClock: time spent training, without scoring, summed over all processes of a run."""

import time

import pytest
import pytorch_lightning as pl
from helpers import VECTOR, batches, tiny

from gan_lightning.callbacks import TrainingClock

PAUSE = 0.05


class Slow(pl.Callback):
    """Sleeps before each training batch and each validation batch."""

    def __init__(self, training, validation):
        self.training, self.validation = training, validation

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        time.sleep(self.training)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        time.sleep(self.validation)


@pytest.fixture
def run(make_trainer):
    """``run(slow, max_steps)`` trains and returns the trainer and the logged seconds."""

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


def test_time_spent_training_is_counted(run):
    _, seconds = run(Slow(PAUSE, 0), 4)
    assert seconds >= 4 * PAUSE


def test_time_spent_scoring_is_not_counted(run):
    started = time.monotonic()
    _, seconds = run(Slow(0, 4 * PAUSE), 4)
    # Two validations and the sanity check, each with two batches.
    assert seconds <= time.monotonic() - started - 6 * 4 * PAUSE


def test_a_resumed_run_continues_counting(run, tmp_path):
    trainer, first = run(Slow(4 * PAUSE, 0), 2)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    _, both = run(Slow(0, 0), 4, ckpt_path=tmp_path / "one.ckpt")
    assert first < both < first + 4 * PAUSE
