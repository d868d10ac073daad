"""Continued logs: a resumed run leaves the same file as an uninterrupted one."""

import csv
import os
import shutil

import pytest
import pytorch_lightning as pl
from helpers import tiny

from gan_lightning import Trainer
from gan_lightning.callbacks import SampleWriter
from gan_lightning.data import Ring

TINY = ("--model=DCGAN", "--data=Ring", "--model.generator_width=8", "--model.critic_width=8")
OFTEN = (
    *("--trainer.log_every_n_steps=1", "--trainer.val_check_interval=2"),
    *("--data.num_samples=200", "--evaluate.num_samples=200"),
)


@pytest.fixture
def log(tmp_path, fit):
    """``log(name, *arguments)`` runs a command that logs to this folder and returns its rows."""

    def run(name, *arguments, command="fit"):
        logger = "gan_lightning.training.loggers.ContinuedCSVLogger"
        fit(
            *(*TINY, *OFTEN, f"--trainer.logger={logger}", "--trainer.logger.version=one"),
            *(f"--trainer.logger.save_dir={tmp_path}", f"--trainer.logger.name={name}", *arguments),
            command=command,
        )
        with (tmp_path / name / "one" / "metrics.csv").open() as file:
            return [{**row, "train_seconds": None} for row in csv.DictReader(file)]

    return run


def test_a_resumed_run_continues_its_log(log, tmp_path):
    uninterrupted = log("uninterrupted", "--trainer.max_steps=8")
    log("resumed", "--trainer.max_steps=4", "--checkpoint.save_top_k=-1")
    checkpoints = tmp_path / "resumed" / "one" / "checkpoints"
    # Stopped after update 4, resumed from 2; two files were being written when it was killed.
    run = checkpoints.parent
    names = ["metrics.csv.77.part", "grids/step_000004.png.0123456789abcdef.part"]
    abandoned = [run / name for name in names]
    others = [run / "ubuntu-22.04.iso.part", run / "mine.part", run / "song.aac.part"]
    for part in [*abandoned, *others]:
        part.write_bytes(b"half")
        os.utime(part, (0, 0))
    resumed = log("resumed", "--trainer.max_steps=8", f"--ckpt_path={checkpoints}/step=2.ckpt")
    assert resumed == uninterrupted
    assert not any(part.exists() for part in abandoned)
    assert all(part.exists() for part in others)


class Explode(pl.Callback):
    """Raises in the validation after the given update."""

    def __init__(self, update):
        self.update = update

    def on_validation_start(self, trainer, pl_module):
        if trainer.global_step == self.update:
            raise ZeroDivisionError("as if it were killed")


@pytest.mark.slow
def test_an_interrupted_validation_is_run_after_resuming(log, tmp_path):
    # Checkpoints are saved at the same updates as validations, just before them.
    arguments = ("--trainer.max_steps=8", "--checkpoint.every_n_train_steps=2")
    uninterrupted = log("uninterrupted", *arguments)
    explode = ("--trainer.callbacks=test_logs.Explode", "--trainer.callbacks.init_args.update=4")
    with pytest.raises(ZeroDivisionError):
        log("resumed", *arguments, *explode)
    last = tmp_path / "resumed" / "one" / "checkpoints" / "last.ckpt"
    assert log("resumed", *arguments, f"--ckpt_path={last}") == uninterrupted


@pytest.mark.slow
def test_a_validation_after_the_checkpoint_is_logged_once(log, tmp_path):
    arguments = ("--trainer.max_steps=8", "--checkpoint.every_n_train_steps=2")
    uninterrupted = log("uninterrupted", *arguments)
    explode = ("--trainer.callbacks=test_logs.Explode", "--trainer.callbacks.init_args.update=6")
    with pytest.raises(ZeroDivisionError):
        log("resumed", *arguments, *explode, "--checkpoint.save_top_k=-1")
    # The validation at this checkpoint had completed.
    earlier = tmp_path / "resumed" / "one" / "checkpoints" / "step=4.ckpt"
    assert log("resumed", *arguments, f"--ckpt_path={earlier}") == uninterrupted


@pytest.mark.slow
def test_a_restarted_run_replaces_its_earlier_log(log, tmp_path):
    log("one", "--trainer.max_steps=8")
    shutil.rmtree(tmp_path / "one" / "one" / "checkpoints")
    rows = log("one", "--trainer.max_steps=2")
    assert {int(row["step"]) for row in rows} == {0, 1, 2}


def test_a_separate_validation_appends_to_the_log_of_its_run(log, tmp_path):
    before = log("one", "--trainer.max_steps=4")
    checkpoint = tmp_path / "one" / "one" / "checkpoints" / "last.ckpt"
    after = log("one", f"--ckpt_path={checkpoint}", command="validate")
    scored = [row for row in after if row["swd200_train"]]
    assert len(after) == len(before) + 1
    assert scored[-1]["step"] == scored[-2]["step"] == "4"
    assert float(scored[-1]["swd200_train"]) == pytest.approx(float(scored[-2]["swd200_train"]))


def predict(root):
    trainer = Trainer(
        **{"accelerator": "cpu", "devices": 2, "strategy": "ddp", "default_root_dir": root},
        **{"callbacks": [SampleWriter()], "enable_progress_bar": False},
    )
    trainer.predict(tiny("dcgan"), datamodule=Ring(100, predict_samples=4))
    return str(trainer.logger.version)


def test_all_ranks_write_to_the_folder_of_the_first(ranks, tmp_path):
    (tmp_path / "Ring-DCGAN" / "version_4").mkdir(parents=True)
    assert ranks(predict, tmp_path) == ["5", "5"]
    samples = tmp_path / "Ring-DCGAN" / "version_5" / "samples"
    assert {path.name for path in samples.iterdir()} == {
        "samples_rank0.csv",
        "samples_rank1.csv",
    }
