"""Checkpoints: ``last.ckpt`` is the newest, and the last update of a fit is validated and saved."""

import os
import signal
from datetime import timedelta

import pytest
import pytorch_lightning as pl
import torch
from helpers import IMAGE, differences, samples, tiny
from pytorch_lightning.callbacks import EarlyStopping, Timer

from gan_lightning import Trainer
from gan_lightning.callbacks import RunCheckpoint
from gan_lightning.data import TensorLoader
from gan_lightning.utils.errors import StoppedError

#: Six batches per epoch: update 7 is in the middle of the second one.
QUIET = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "log_every_n_steps": 1,
}


class Stop(pl.Callback):
    """Asks for a stop in a hook, from update 7 on."""

    def __init__(self, hook):
        setattr(self, hook, self._ask)

    def _ask(self, trainer, *_):
        trainer.should_stop = trainer.should_stop or trainer.global_step >= 7


class Validated(pl.Callback):
    """The updates that were validated."""

    def __init__(self):
        self.updates = []

    def on_validation_end(self, trainer, pl_module):
        self.updates.append(trainer.global_step)


class Clock(Timer):
    """What ``max_time`` adds, with an hour that is over after update 7."""

    updates = 0

    def __init__(self):
        super().__init__(duration=timedelta(hours=1))

    def time_elapsed(self, *_):
        return 3600 if self.updates >= 7 else 0

    def on_train_batch_end(self, trainer, *args):
        self.updates = trainer.global_step
        super().on_train_batch_end(trainer, *args)

    def state_dict(self):
        return {}


#: How a fit can end well: options of the trainer, callbacks, and its last update.
ENDS = {
    "max_steps": ({"max_steps": 7}, lambda: [], 7),
    "max_steps at the end of an epoch": ({"max_steps": 6}, lambda: [], 6),
    "max_epochs": ({"max_epochs": 2}, lambda: [], 12),
    "max_time": ({}, lambda: [Clock()], 7),
    "a stop after an update": ({}, lambda: [Stop("on_train_batch_end")], 7),
    "a stop after a validation": ({}, lambda: [Stop("on_validation_end")], 8),
    "a stop after an epoch": ({}, lambda: [Stop("on_train_epoch_end")], 12),
    "early stopping": (
        {},
        lambda: [EarlyStopping("diversity/real", patience=1, min_delta=1.0)],
        8,
    ),
}
#: Options of a checkpoint.
OPTIONS = {
    "default": {},
    "steps": {"every_n_train_steps": 5},
    "epochs": {"every_n_epochs": 2},
    "time": {"train_time_interval": timedelta(hours=1)},
    "best": {"monitor": "diversity/fake"},
    "best of all": {"monitor": "diversity/fake", "mode": "max", "save_top_k": -1},
    "best at steps": {"monitor": "loss/critic", "every_n_train_steps": 5},
    "best at epochs": {"monitor": "diversity/real", "every_n_epochs": 2},
    "best in time": {"monitor": "diversity/real", "train_time_interval": timedelta(hours=1)},
    "all": {"save_top_k": -1},
    "last alone": {"save_top_k": 0},
    "a copy": {"save_last": True},
    "after epochs": {"save_on_train_epoch_end": True},
    "weights": {"save_weights_only": True},
}


def fit(folder, checkpoint, end, validated=None, validates=True, ckpt_path=None):
    options, callbacks, _ = ENDS[end] if isinstance(end, str) else (end, lambda: [], None)
    pl.seed_everything(0)
    trainer = Trainer(
        default_root_dir=folder,
        callbacks=[*callbacks(), validated or Validated(), *([checkpoint] if checkpoint else [])],
        **{"val_check_interval": 4, **QUIET, **options},
    )
    model = tiny("dcgan", IMAGE)
    training = TensorLoader(*samples(IMAGE, 24), 4, seed=0)
    validation = TensorLoader(*samples(IMAGE, 24), 8) if validates else None
    trainer.fit(model, training, validation, ckpt_path=ckpt_path)
    return trainer


def step_of(path):
    return torch.load(path, weights_only=True)["global_step"]


def each(ends, *fast):
    """Every way to end with every option; fast are all ways with some options, and all with one."""
    for end in ends:
        for options in OPTIONS:
            is_fast = options in fast or end == "max_steps"
            yield pytest.param(end, options, marks=() if is_fast else pytest.mark.slow)


@pytest.mark.parametrize(("end", "options"), each(ENDS, "default", "best"))
def test_a_fit_that_ends_well_keeps_its_last_update(end, options, tmp_path):
    checkpoint, validated = RunCheckpoint(**OPTIONS[options]), Validated()
    trainer = fit(tmp_path, checkpoint, end, validated)
    update = ENDS[end][2]
    assert trainer.global_step == validated.updates[-1] == update
    assert len(set(validated.updates)) == len(validated.updates)
    (run,) = tmp_path.glob("DCGAN/version_*")
    assert step_of(run / "checkpoints" / "last.ckpt") == update
    assert (run / "grids" / f"step_{update:06d}.png").is_file()


@pytest.mark.parametrize(
    ("end", "options"), each(["max_steps", "max_epochs", "max_time"], "default")
)
def test_so_does_a_fit_without_validation(end, options, tmp_path):
    monitored = {"monitor": "loss/critic"} if "monitor" in OPTIONS[options] else {}
    checkpoint = RunCheckpoint(**OPTIONS[options] | monitored)
    trainer = fit(tmp_path, checkpoint, end, validates=False)
    (last,) = tmp_path.glob("DCGAN/version_*/checkpoints/last.ckpt")
    assert step_of(last) == trainer.global_step == ENDS[end][2]


@pytest.mark.parametrize("monitor", [None, "diversity/fake"])
@pytest.mark.parametrize("end", ENDS)
def test_lightnings_own_callback_keeps_the_last_update_too(end, monitor, tmp_path):
    folder = tmp_path / "mine"
    checkpoint = pl.callbacks.ModelCheckpoint(folder, monitor=monitor, save_last="link")
    fit(tmp_path, checkpoint, end)
    assert step_of(folder / "last.ckpt") == ENDS[end][2]


BY_VALIDATION = {"a stop after a validation", "early stopping"}


@pytest.mark.parametrize(
    ("end", "validates"),
    [(end, True) for end in ENDS] + [(end, False) for end in ENDS if end not in BY_VALIDATION],
)
def test_a_fit_that_ended_resumes_exactly(end, validates, tmp_path):
    whole = fit(tmp_path / "whole", None, {"max_steps": 15}, validates=validates)
    fit(tmp_path / "parts", None, end, validates=validates)
    (last,) = tmp_path.glob("parts/DCGAN/version_*/checkpoints/last.ckpt")
    parts = fit(tmp_path / "parts", None, {"max_steps": 15}, validates=validates, ckpt_path=last)
    ended = [trainer.lightning_module.state_dict() for trainer in (parts, whole)]
    assert differences(*ended) == []
    for mine, theirs in zip(parts.optimizers, whole.optimizers, strict=True):
        assert differences(mine.state_dict(), theirs.state_dict()) == []
    assert parts.current_epoch == whole.current_epoch


def test_the_best_is_kept_beside_the_newest(tmp_path):
    class Score(pl.Callback):
        def on_validation_epoch_end(self, trainer, pl_module):
            pl_module.log("score", abs(trainer.global_step - 8.0))

    pl.seed_everything(0)
    folder = tmp_path / "kept"
    checkpoint = RunCheckpoint(folder, monitor="score")
    seen = {}

    class Look(pl.Callback):
        def on_train_batch_start(self, trainer, *_):
            seen[trainer.global_step] = {path.name: step_of(path) for path in folder.glob("*")}

    trainer = Trainer(
        max_steps=14,
        val_check_interval=4,
        default_root_dir=tmp_path,
        callbacks=[Score(), Look(), checkpoint],
        **QUIET,
    )
    loader = TensorLoader(*samples(IMAGE, 24), 4, seed=0)
    trainer.fit(tiny("dcgan", IMAGE), loader, loader)
    assert seen[5] == {"step=4.ckpt": 4, "last.ckpt": 4}
    assert seen[9] == {"step=8.ckpt": 8, "last.ckpt": 8}
    assert seen[13] == {"step=8.ckpt": 8, "last.ckpt": 12}
    assert {path.name: step_of(path) for path in folder.glob("*")} == {
        "step=8.ckpt": 8,
        "last.ckpt": 14,
    }


def test_a_stop_by_a_signal_is_kept_beside_the_best(tmp_path):
    class Signal(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 7:
                os.kill(os.getpid(), signal.SIGTERM)

    trainer = Trainer(
        max_steps=14,
        val_check_interval=4,
        default_root_dir=tmp_path,
        callbacks=[Signal(), RunCheckpoint(tmp_path / "kept", monitor="diversity/real")],
        **QUIET,
    )
    loader = TensorLoader(*samples(IMAGE, 24), 4, seed=0)
    with pytest.raises(StoppedError, match="after update 7"):
        trainer.fit(tiny("dcgan", IMAGE), loader, loader)
    assert step_of(tmp_path / "kept" / "last.ckpt") == 7
    assert step_of(tmp_path / "kept" / "step=4.ckpt") == 4


def test_last_is_kept_alone(tmp_path):
    checkpoint = RunCheckpoint(tmp_path / "kept", save_top_k=0)
    fit(tmp_path, checkpoint, "max_steps")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["last.ckpt"]


def test_checkpoints_are_written_at_intervals_of_time(tmp_path, monkeypatch):
    now = [0.0]

    class Tick(pl.Callback):
        def on_train_batch_start(self, trainer, *_):
            now[0] += 1.0

    monkeypatch.setattr("gan_lightning.callbacks.checkpoint.time.monotonic", lambda: now[0])
    checkpoint = RunCheckpoint(
        tmp_path / "kept", train_time_interval=timedelta(seconds=3), save_top_k=-1
    )
    trainer = Trainer(
        max_steps=7, default_root_dir=tmp_path, callbacks=[Tick(), checkpoint], **QUIET
    )
    loader = TensorLoader(*samples(IMAGE, 24), 4, seed=0)
    trainer.fit(tiny("dcgan", IMAGE), loader)
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert names == {"step=3.ckpt", "step=6.ckpt", "step=7.ckpt", "last.ckpt"}


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("0:00:05", 5), ("00:01:00:00", 3600), ("1:02:03:04", 93784), (timedelta(seconds=3), 3)],
)
def test_an_interval_of_time_is_as_for_lightnings_trainer(given, seconds):
    checkpoint = RunCheckpoint(train_time_interval=given)
    assert checkpoint._train_time_interval == timedelta(seconds=seconds)


@pytest.mark.parametrize("given", ["0:00:00", "00:00:00:00", "5", "1:2:3:4:5", "1:-2:3", ""])
def test_an_interval_of_no_time_is_refused(given):
    with pytest.raises(ValueError, match=r"train_time_interval must be (above 0|\[DD:\]HH:MM:SS)"):
        RunCheckpoint(train_time_interval=given)


@pytest.mark.parametrize("monitor", [(), ("--checkpoint.monitor=diversity/fake",)])
def test_a_run_that_is_longer_than_its_intervals_is_saved_and_scored_to_its_end(
    fit, metrics, monitor
):
    run = fit(
        *("--model=DCGAN", "--data=Ring", "--model.generator_width=8", "--model.critic_width=8"),
        *("--trainer.max_steps=15", "--trainer.val_check_interval=10", *monitor),
        "--evaluate.num_samples=50",
    )
    assert step_of(run / "checkpoints" / "last.ckpt") == 15
    scored = [update for update, values in metrics(run).items() if "swd50_train" in values]
    assert scored == [0, 10, 15]
