"""Logs that go on: a run that was stopped and one that was not leave the same file."""

import csv
import os
import shutil

import pytest
import pytorch_lightning as pl

TINY = ("--model=DCGAN", "--data=Ring", "--model.generator_width=8", "--model.critic_width=8")
OFTEN = (
    *("--trainer.log_every_n_steps=1", "--trainer.val_check_interval=2"),
    *("--data.num_samples=200", "--evaluate.num_samples=200"),
)


@pytest.fixture
def place(tmp_path, fit):
    """``place(name, *arguments)``: a command that logs into the folder of that name; its rows."""

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


def test_a_run_that_goes_on_goes_on_in_its_log(place, tmp_path):
    whole = place("whole", "--trainer.max_steps=8")
    place("parts", "--trainer.max_steps=4", "--checkpoint.save_top_k=-1")
    checkpoints = tmp_path / "parts" / "one" / "checkpoints"
    # Stopped after update 4, with its last checkpoint at 2, and killed while it wrote two files.
    run = checkpoints.parent
    abandoned = [run / "metrics.csv.77.part", run / "grids" / "step_000004.png.77.part"]
    others = [run / "ubuntu-22.04.iso.part", run / "mine.part"]
    for part in [*abandoned, *others]:
        part.write_bytes(b"half")
        os.utime(part, (0, 0))
    parts = place("parts", "--trainer.max_steps=8", f"--ckpt_path={checkpoints}/step=2.ckpt")
    assert parts == whole
    assert not any(part.exists() for part in abandoned)
    assert all(part.exists() for part in others)


class Explode(pl.Callback):
    """Ends a process in the validation after an update."""

    def __init__(self, update):
        self.update = update

    def on_validation_start(self, trainer, pl_module):
        if trainer.global_step == self.update:
            raise ZeroDivisionError("as if it was killed")


def test_a_validation_that_was_cut_off_is_made_when_the_run_goes_on(place, tmp_path):
    # Checkpoints at the updates of validations, before them.
    arguments = ("--trainer.max_steps=8", "--checkpoint.every_n_train_steps=2")
    whole = place("whole", *arguments)
    explode = ("--trainer.callbacks=test_logs.Explode", "--trainer.callbacks.init_args.update=4")
    with pytest.raises(ZeroDivisionError):
        place("parts", *arguments, *explode)
    last = tmp_path / "parts" / "one" / "checkpoints" / "last.ckpt"
    assert place("parts", *arguments, f"--ckpt_path={last}") == whole


def test_a_validation_after_the_checkpoint_is_made_once(place, tmp_path):
    arguments = ("--trainer.max_steps=8", "--checkpoint.every_n_train_steps=2")
    whole = place("whole", *arguments)
    explode = ("--trainer.callbacks=test_logs.Explode", "--trainer.callbacks.init_args.update=6")
    with pytest.raises(ZeroDivisionError):
        place("parts", *arguments, *explode, "--checkpoint.save_top_k=-1")
    # From one whose validation had come to its end.
    earlier = tmp_path / "parts" / "one" / "checkpoints" / "step=4.ckpt"
    assert place("parts", *arguments, f"--ckpt_path={earlier}") == whole


def test_a_run_that_starts_again_leaves_nothing_of_the_one_before(place, tmp_path):
    place("one", "--trainer.max_steps=8")
    shutil.rmtree(tmp_path / "one" / "one" / "checkpoints")
    rows = place("one", "--trainer.max_steps=2")
    assert {int(row["step"]) for row in rows} == {0, 1, 2}


def test_a_validation_adds_to_the_log_of_its_run(place, tmp_path):
    before = place("one", "--trainer.max_steps=4")
    checkpoint = tmp_path / "one" / "one" / "checkpoints" / "last.ckpt"
    after = place("one", f"--ckpt_path={checkpoint}", command="validate")
    scored = [row for row in after if row["swd200_train"]]
    assert len(after) == len(before) + 1
    assert scored[-1]["step"] == scored[-2]["step"] == "4"
    assert float(scored[-1]["swd200_train"]) == pytest.approx(float(scored[-2]["swd200_train"]))
