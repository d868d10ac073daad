"""Every option of Lightning's trainer, where this package adds something behind it."""

import json
import os
from unittest.mock import patch

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning import callbacks

from gan_lightning import DCGAN
from gan_lightning.callbacks import Diversity, Evaluate, RunCheckpoint, SampleGrid, StepProgressBar
from gan_lightning.cli.answers import misuse
from gan_lightning.cli.program import GANCLI, main
from gan_lightning.data.base import available_memory
from gan_lightning.training.checkpoints import AtomicCheckpointIO
from gan_lightning.training.loggers import ContinuedCSVLogger, NoLog

TINY = (
    *("--model=DCGAN", "--data=Ring", "--data.num_samples=200", "--data.batch_size=50"),
    *("--model.generator_width=8", "--model.critic_width=8", "--evaluate.num_samples=50"),
    *("--trainer.max_steps=2", "--trainer.accelerator=cpu", "--trainer.enable_model_summary=false"),
)
LISTED = json.dumps([{"class_path": "RichProgressBar"}, {"class_path": "Timer"}])
CSV = {"class_path": "CSVLogger", "init_args": {"save_dir": "logs"}}
CALLBACKS, LOGGER, PLUGINS = "trainer.callbacks", "trainer.logger", "trainer.plugins"


@pytest.fixture
def run(monkeypatch):
    """``run(*options, command="fit")``: the trainer of a command that ends well."""
    built = []
    make = GANCLI.instantiate_trainer
    monkeypatch.setattr(
        GANCLI, "instantiate_trainer", lambda *args, **k: built.append(make(*args, **k)) or built[0]
    )

    def call(*options, command="fit"):
        main([command, *TINY, *(f"--{option}" for option in options)])
        return built[0]

    with patch.dict(os.environ):  # strategies write the place of their ranks into it
        yield call
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def kinds(trainer, base):
    return [type(each) for each in trainer.callbacks if isinstance(each, base)]


def bars(trainer):
    return kinds(trainer, callbacks.ProgressBar)


def checkpoints(trainer):
    return kinds(trainer, callbacks.ModelCheckpoint)


def loggers(trainer):
    return [type(logger) for logger in trainer.loggers]


OURS = {bars: [StepProgressBar], checkpoints: [RunCheckpoint]}
OURS[loggers] = [ContinuedCSVLogger]
#: What a trainer has, by the options that it is given; the rest is ours.
TABLE = [
    ([], {}),
    ([f"{CALLBACKS}=RichProgressBar"], {bars: [callbacks.RichProgressBar]}),
    ([f"{CALLBACKS}=TQDMProgressBar"], {bars: [callbacks.TQDMProgressBar]}),
    ([f"{CALLBACKS}={LISTED}"], {bars: [callbacks.RichProgressBar]}),
    ([f"{CALLBACKS}=gan_lightning.callbacks.StepProgressBar"], {}),
    (["trainer.enable_progress_bar=false"], {bars: []}),
    (
        [f"{CALLBACKS}=ModelCheckpoint", f"{CALLBACKS}.filename=mine"],
        {checkpoints: [callbacks.ModelCheckpoint]},
    ),
    ([f"{CALLBACKS}=OnExceptionCheckpoint", f"{CALLBACKS}.dirpath=x"], {}),
    (["trainer.enable_checkpointing=false"], {checkpoints: []}),
    ([f"{CALLBACKS}=Timer", f"{CALLBACKS}.duration=00:00:01:00"], {}),
    (["trainer.max_time=00:00:01:00"], {}),
    (['trainer.max_time={"minutes": 1}'], {}),
    ([f"{LOGGER}=true"], {}),
    ([f"{LOGGER}=false"], {loggers: [NoLog]}),
    ([f"{LOGGER}=CSVLogger", f"{LOGGER}.save_dir=logs"], {loggers: [pl.loggers.CSVLogger]}),
    ([f"{LOGGER}={json.dumps([CSV, CSV])}"], {loggers: [pl.loggers.CSVLogger] * 2}),
    (["trainer.barebones=true"], {bars: [], checkpoints: [], loggers: []}),
    (["trainer.fast_dev_run=true"], {checkpoints: [], loggers: []}),
    (["trainer.val_check_interval=00:00:00:02"], {}),
    (['trainer.val_check_interval={"seconds": 2}'], {}),
    (["trainer.val_check_interval=null"], {}),
    (["trainer.check_val_every_n_epoch=1", "trainer.val_check_interval=0.5"], {}),
    (["trainer.max_steps=-1", "trainer.max_epochs=1"], {}),
    (["trainer.limit_train_batches=1"], {}),
    (["trainer.limit_val_batches=0"], {}),
    (["trainer.overfit_batches=1"], {}),
    (["trainer.num_sanity_val_steps=0"], {}),
    (["trainer.profiler=simple"], {}),
    (["trainer.detect_anomaly=true"], {}),
    (["trainer.inference_mode=false"], {}),
    (["trainer.deterministic=warn"], {}),
    (["trainer.default_root_dir=null"], {}),
    (["trainer.reload_dataloaders_every_n_epochs=1"], {}),
    (["trainer.precision=bf16-mixed"], {}),
    (["trainer.precision=bf16-true"], {}),
    (["trainer.precision=64-true"], {}),
    (["trainer.strategy=ddp_find_unused_parameters_false"], {}),
    (['trainer.strategy={"class_path": "DDPStrategy"}'], {}),
    ([f"{PLUGINS}=pytorch_lightning.plugins.AsyncCheckpointIO"], {}),
    ([f"{PLUGINS}=pytorch_lightning.plugins.TorchCheckpointIO"], {}),
    ([f"{PLUGINS}=pytorch_lightning.plugins.TorchSyncBatchNorm"], {}),
]


@pytest.mark.parametrize(
    ("options", "expected"),
    # Each starts a fit: one in five is enough after an edit.
    [
        pytest.param(*row, id=str(row[0]), marks=pytest.mark.slow if i % 5 else ())
        for i, row in enumerate(TABLE)
    ],
)
def test_an_option_of_the_trainer_does_what_lightning_documents(run, options, expected):
    trainer = run(*options)
    assert trainer.state.finished
    assert trainer.global_step > 0
    assert {found: found(trainer) for found in OURS} == {**OURS, **expected}


def test_options_of_a_given_checkpoint_apply(run, tmp_path):
    run(f"{CALLBACKS}=ModelCheckpoint", f"{CALLBACKS}.filename=mine")
    assert [path.name for path in tmp_path.rglob("*.ckpt")] == ["mine.ckpt"]


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_nothing_is_added_to_a_barebones_run(run, tmp_path, command):
    trainer = run("trainer.barebones=true", command=command)
    assert kinds(trainer, (Evaluate, Diversity, SampleGrid)) == []
    assert [path for path in tmp_path.rglob("*") if path.suffix not in (".csv", "")] == []


@pytest.mark.parametrize("command", ["fit", "validate", "test"])
def test_a_fast_dev_run_leaves_nothing_for_the_next_one(run, tmp_path, command):
    for _ in range(2):
        run("trainer.fast_dev_run=true", command=command)
    assert [path for path in tmp_path.glob("runs/**/*") if path.is_file()] == []


def test_a_plugin_that_is_not_given_is_ours(run):
    assert isinstance(run().strategy.checkpoint_io, AtomicCheckpointIO)


REFUSED = {
    "trainer.precision: expected 32-true or bf16-mixed or bf16-true or 64-true, got fp16": [
        "trainer.precision=fp16"
    ],
    "trainer.deterministic: expected bool or warn or null, got perhaps": [
        "trainer.deterministic=perhaps"
    ],
    "--trainer.logger.save_dir missing": [f"{LOGGER}=TensorBoardLogger"],
    "--trainer.callbacks.monitor missing": [f"{CALLBACKS}=EarlyStopping"],
    "BatchSizeFinder does not apply": [f"{CALLBACKS}=BatchSizeFinder"],
    "LearningRateFinder does not apply": [f"{CALLBACKS}=LearningRateFinder"],
    "SWA currently works with 1 `optimizer`": [
        f"{CALLBACKS}=StochasticWeightAveraging",
        f"{CALLBACKS}.swa_lrs=0.1",
    ],
    "RunCheckpoint monitors swd50_trian, which is not logged: choose from accuracy/": [
        "checkpoint.monitor=swd50_trian"
    ],
    "EarlyStopping monitors nothing, which is not logged": [
        f"{CALLBACKS}=EarlyStopping",
        f"{CALLBACKS}.monitor=nothing",
    ],
    "limit_train_batches is 0, which trains nothing": ["trainer.limit_train_batches=0"],
    "200 samples do not fill one batch": ["data.batch_size=1000"],
    "'DCGAN' object has no attribute 'backbone'": [f"{CALLBACKS}=BackboneFinetuning"],
    "Remove `Trainer(gradient_clip_val=1)`": ["trainer.gradient_clip_val=1"],
    "Remove `Trainer(accumulate_grad_batches=2)`": ["trainer.accumulate_grad_batches=2"],
    "--checkpoint.* and a ModelCheckpoint of --trainer.callbacks exclude each other": [
        f"{CALLBACKS}=ModelCheckpoint",
        "checkpoint.save_last=true",
    ],
}


@pytest.mark.parametrize("message", REFUSED)
def test_an_option_that_cannot_apply_is_refused_before_training(run, capfd, message, monkeypatch):
    monkeypatch.setattr(DCGAN, "on_update", lambda *_: pytest.fail("it trains"))
    with pytest.raises(SystemExit) as stopped:
        run(*REFUSED[message])
    assert stopped.value.code in (1, 2)
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("gan-lightning: ")
    assert message in last


def test_a_batch_that_is_too_large_is_refused_before_an_evaluation(run, monkeypatch):
    monkeypatch.setattr(Evaluate, "on_validation_epoch_start", lambda *_: pytest.fail("it scores"))
    with pytest.raises(SystemExit):
        run("data.batch_size=1000")


@pytest.mark.parametrize("monitored", ["loss/critic", "accuracy/real", "swd50_train", "step"])
def test_a_value_that_is_logged_can_be_monitored(run, monitored):
    trainer = run(f"checkpoint.monitor={monitored}", "trainer.log_every_n_steps=1")
    assert trainer.global_step == 2


def test_a_technique_with_penalties_is_checked_at_the_first_row_that_it_logs(run, capfd):
    with pytest.raises(SystemExit):
        run(
            *("model=WGANGP", "checkpoint.monitor=penalti", "trainer.max_steps=20"),
            *("trainer.log_every_n_steps=2", "data.batch_size=20"),
        )
    last = capfd.readouterr().err.splitlines()[-1]
    assert "RunCheckpoint monitors penalti, which is not logged" in last
    assert "penalty" in last.split("choose from")[1]


def test_a_missing_key_of_weights_and_biases_gives_a_one_line_message(run, capfd, monkeypatch):
    errors = pytest.importorskip("wandb.errors", reason="NOT TESTED: wandb is not installed")

    def refuse(**options):
        raise errors.UsageError("No API key configured. Use `wandb login` to log in.")

    monkeypatch.setattr("wandb.init", refuse)
    with pytest.raises(SystemExit):
        run(f"{LOGGER}=WandbLogger")
    last = capfd.readouterr().err.splitlines()[-1]
    assert "wandb login" in last
    assert last.endswith("--trainer.logger.offline true")


def test_a_missing_package_of_a_callback_gives_a_one_line_message(run, capfd, monkeypatch):
    monkeypatch.setattr("pytorch_lightning.accelerators.cpu._PSUTIL_AVAILABLE", False)
    monkeypatch.setattr("pytorch_lightning.callbacks.device_stats_monitor._PSUTIL_AVAILABLE", False)
    with pytest.raises(SystemExit):
        run(f"{CALLBACKS}=DeviceStatsMonitor")
    assert "`psutil` is not installed" in capfd.readouterr().err.splitlines()[-1]


def test_a_fit_does_not_need_to_know_the_size_of_memory(run, monkeypatch):
    monkeypatch.delattr(os, "sysconf")
    assert available_memory(torch.device("cpu")) > 2**40
    assert run().global_step == 2


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("could not create a primitive"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_memory_that_is_used_up_gives_a_one_line_message(error):
    with pytest.raises(type(error)) as raised:
        raise error
    assert misuse(raised.value).startswith("there is not enough memory")
