"""TrainingClock: time spent training, without scoring, summed over all processes of a run."""

import time

import pytest
import pytorch_lightning as pl
from helpers import VECTOR, batches, tiny

from gan_lightning.callbacks import TrainingClock
from gan_lightning.training import iteration, module

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

    def train(slow, max_steps, ckpt_path=None, **options):
        trainer = make_trainer(
            *(TrainingClock(), slow),
            **{"max_steps": max_steps, "val_check_interval": 2, "check_val_every_n_epoch": None},
            **{"limit_val_batches": 2},
        )
        loader = batches(VECTOR)
        trainer.fit(tiny("dcgan", **options), loader, loader, ckpt_path=ckpt_path)
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


@pytest.fixture
def compiled(monkeypatch):
    """Objectives as they are, but each sleeps when a run calls it for the first time."""

    def compile_(objective):
        called = []

        def run(*arguments):
            if not called:
                time.sleep(2 * PAUSE)
            called.append(1)
            return objective(*arguments)

        return run

    monkeypatch.setattr(module, "compiled", compile_)


def test_time_spent_compiling_is_counted_apart(run, compiled, tmp_path):
    started = time.monotonic()
    trainer, seconds = run(Slow(0, 0), 4, compile=True)
    compiling = float(trainer.callback_metrics["compile_seconds"])
    assert 4 * PAUSE <= compiling <= time.monotonic() - started - seconds
    assert seconds < 4 * PAUSE
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    trainer, _ = run(Slow(0, 0), 8, ckpt_path=tmp_path / "one.ckpt", compile=True)
    assert float(trainer.callback_metrics["compile_seconds"]) >= compiling + 4 * PAUSE


def test_a_run_that_compiles_nothing_logs_no_such_time(run):
    trainer, _ = run(Slow(0, 0), 4)
    assert "compile_seconds" not in trainer.callback_metrics


def test_a_captured_run_counts_the_iterations_up_to_its_captures(run, as_if_captured, monkeypatch):
    counted = []
    compute = iteration.CapturedIteration._compute

    def watched(self, *arguments):
        counted.append(self.preparation_seconds)
        return compute(self, *arguments)

    monkeypatch.setattr(iteration.CapturedIteration, "_compute", watched)
    run(Slow(0, 0), 8, cuda_graph=True)
    prepared = iteration.WARM_UP + 1
    assert counted[0] == 0
    assert counted[:prepared] == sorted(set(counted[:prepared]))
    assert len(set(counted[prepared:])) == 1
