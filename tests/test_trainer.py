"""The trainer has the same defaults in Python as on the command line."""

import csv
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from helpers import VECTOR, batches, differences, samples, state, techniques, tiny
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.plugins import AsyncCheckpointIO, TorchCheckpointIO
from torch.utils.data import DataLoader, TensorDataset

from gan_lightning import DCGAN, LSGAN, Trainer, callbacks, load
from gan_lightning.callbacks import evaluate
from gan_lightning.data import Digits, Ring
from gan_lightning.training import requeue
from gan_lightning.training.checkpoints import AtomicCheckpointIO
from gan_lightning.training.sync_batch_norm import SyncBatchNorm
from gan_lightning.utils.errors import ArgumentError, MissingFileError

OFTEN = {"val_check_interval": 2, "log_every_n_steps": 1, "accelerator": "cpu"}
QUIET = {**OFTEN, "enable_progress_bar": False, "enable_model_summary": False}


def small(**options):
    return DCGAN(VECTOR, generator_width=8, critic_width=8, **options)


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return [{**row, "train_seconds": None} for row in csv.DictReader(file)]


@pytest.mark.parametrize("command", ["fit", "validate", "test"])
def test_missing_weights_are_reported_before_data_is_prepared(command):
    class Slow(Digits):
        def prepare_data(self):
            raise AssertionError("decoded")

    data, model = Slow(), DCGAN((1, 8, 8), generator_width=8, critic_width=8)
    evaluate = callbacks.Evaluate("inception", weights="nowhere.pth")
    with pytest.raises(MissingFileError, match=r"Inception weights .*nowhere\.pth do not exist"):
        getattr(Trainer(callbacks=[evaluate], **QUIET), command)(model, datamodule=data)
    # With weights, the data is next; nothing is loaded for predict.
    with pytest.raises(AssertionError, match="decoded"):
        getattr(Trainer(callbacks=[callbacks.Evaluate()], **QUIET), command)(model, datamodule=data)
    with pytest.raises(AssertionError, match="decoded"):
        Trainer(callbacks=[evaluate], **QUIET).predict(model, datamodule=data)


def test_an_extractor_is_loaded_once_for_each_loop(monkeypatch):
    loaded = []
    load_extractor = evaluate.load_extractor
    monkeypatch.setattr(
        evaluate, "load_extractor", lambda *args: loaded.append(1) or load_extractor(*args)
    )
    data, model = Digits(), DCGAN((1, 8, 8), generator_width=8, critic_width=8)
    trainer = Trainer(max_steps=2, callbacks=[callbacks.Evaluate(num_samples=20)], **QUIET)
    trainer.fit(model, data)
    assert len(loaded) == 1
    trainer.validate(model, datamodule=data, verbose=False)
    trainer.test(model, datamodule=data, verbose=False)
    assert len(loaded) == 3


def test_a_script_and_the_command_line_give_the_same_run(fit):
    command = fit(
        *("--model=DCGAN", "--model.generator_width=8", "--model.critic_width=8"),
        *("--data=Ring", "--data.num_samples=200", "--evaluate.num_samples=50"),
        *("--trainer.max_steps=4", "--trainer.val_check_interval=2"),
        "--trainer.log_every_n_steps=1",
    )
    pl.seed_everything(0, workers=True)
    data = Ring(200)
    model = small()
    trainer = Trainer(
        max_steps=4,
        default_root_dir="script",
        callbacks=[callbacks.Evaluate(num_samples=50)],
        **OFTEN,
    )
    trainer.fit(model, data)
    script = Path("script/Ring-DCGAN/version_0")

    names = [
        sorted(str(p.relative_to(run)) for p in run.rglob("*") if p.is_file())
        for run in (command, script)
    ]
    assert names[0] == sorted([*names[1], "config.yaml"])
    assert rows(script) == rows(command)
    ours, theirs = (
        load(run / "checkpoints" / "last.ckpt").state_dict() for run in (script, command)
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_a_fit_from_the_newest_checkpoint_continues_in_its_folder(tmp_path):
    def fit(root, steps, ckpt_path=None):
        pl.seed_everything(0)
        trainer = Trainer(max_steps=steps, default_root_dir=tmp_path / root, **QUIET)
        trainer.fit(small(), datamodule=Ring(200), ckpt_path=ckpt_path)
        return tmp_path / root / "Ring-DCGAN"

    whole = fit("whole", 8)
    parts = fit("parts", 4)
    last = parts / "version_0" / "checkpoints" / "last.ckpt"
    earlier = tmp_path / "earlier.ckpt"
    earlier.write_bytes(last.read_bytes())
    fit("parts", 8, ckpt_path=last)
    assert [path.name for path in parts.iterdir()] == ["version_0"]
    assert rows(parts / "version_0") == rows(whole / "version_0")
    # From a copy elsewhere, or without a checkpoint, it is a new run.
    fit("parts", 8, ckpt_path=earlier)
    fit("parts", 2)
    assert {path.name for path in parts.iterdir()} == {f"version_{i}" for i in range(3)}


def test_a_run_without_a_data_module_is_named_after_the_model(tmp_path):
    trainer = Trainer(max_steps=2, default_root_dir=tmp_path, **QUIET)
    trainer.fit(small(), batches(VECTOR), batches(VECTOR))
    run = tmp_path / "DCGAN" / "version_0"
    assert (run / "checkpoints" / "step=2.ckpt").is_file()
    assert {"0", "1", "2"} <= {row["step"] for row in rows(run)}
    trainer.validate(trainer.lightning_module, batches(VECTOR), verbose=False)
    assert [path.name for path in run.parent.iterdir()] == ["version_0"]


def test_each_evaluation_has_its_own_folder(tmp_path):
    data = Ring(200)
    for _ in range(2):
        trainer = Trainer(
            default_root_dir=tmp_path, callbacks=[callbacks.Evaluate(num_samples=50)], **QUIET
        )
        (scores,) = trainer.validate(small(), datamodule=data, verbose=False)
        assert scores["swd50_train"] > 0
    assert {path.name for path in (tmp_path / "Ring-DCGAN").iterdir()} == {"version_0", "version_1"}


def test_a_fit_that_is_refused_leaves_no_folder(tmp_path):
    evaluate = callbacks.Evaluate("inception")
    root = tmp_path / "a" / "b"
    trainer = Trainer(max_steps=2, default_root_dir=root, callbacks=[evaluate], **QUIET)
    with pytest.raises(ArgumentError, match="these are points"):
        trainer.fit(small(), Ring(100))
    assert list(tmp_path.iterdir()) == []
    evaluate.extractor = "none"
    trainer.fit(small(), Ring(100))
    assert (root / "Ring-DCGAN" / "version_0" / "metrics.csv").is_file()


def test_a_fit_on_no_batches_is_refused(tmp_path):
    trainer = Trainer(max_steps=2, default_root_dir=tmp_path, **QUIET)
    with pytest.raises(ArgumentError, match="the training loader has no batches"):
        trainer.fit(small(), DataLoader([]), batches(VECTOR))
    with pytest.raises(ArgumentError, match="the training loader has no batches"):
        Trainer(max_steps=2, default_root_dir=tmp_path, **QUIET).fit(small(), DataLoader([]))


def test_checkpoints_of_another_run_are_not_overwritten(tmp_path):
    def fit(ckpt_path=None, **options):
        checkpoint = ModelCheckpoint(tmp_path / "mine", filename="{step}", **options)
        trainer = Trainer(max_steps=2, default_root_dir=tmp_path, callbacks=[checkpoint], **QUIET)
        trainer.fit(small(), Ring(200), ckpt_path=ckpt_path)

    fit()
    original = (tmp_path / "mine" / "step=2.ckpt").read_bytes()
    with pytest.raises(ArgumentError, match="mine holds checkpoints of another run"):
        fit(enable_version_counter=False)
    assert (tmp_path / "mine" / "step=2.ckpt").read_bytes() == original
    fit()  # Lightning names the next one step=2-v1.ckpt
    fit(ckpt_path=tmp_path / "mine" / "step=2.ckpt", enable_version_counter=False)


def test_given_objects_replace_the_defaults(tmp_path):
    logger, io = CSVLogger(tmp_path), TorchCheckpointIO()
    grid, bar, checkpoint = callbacks.SampleGrid(seed=5), RichProgressBar(), ModelCheckpoint()
    trainer = Trainer(callbacks=[grid, bar, checkpoint], logger=logger, plugins=io, **OFTEN)
    assert trainer.loggers == [logger]
    assert trainer.strategy.checkpoint_io is io
    for kind, mine in {
        callbacks.SampleGrid: grid,
        pl.callbacks.ProgressBar: bar,
        ModelCheckpoint: checkpoint,
    }.items():
        assert [each for each in trainer.callbacks if isinstance(each, kind)] == [mine]
    defaults = Trainer(**OFTEN)
    assert isinstance(defaults.strategy.checkpoint_io, AtomicCheckpointIO)
    assert isinstance(defaults._accelerator_connector._layer_sync, SyncBatchNorm)
    kinds = {type(each).__name__ for each in defaults.callbacks}
    assert kinds >= {
        *("SampleGrid", "TrainingClock", "ContinueLogs", "StepProgressBar", "StopOnSignal"),
        *("Diversity", "LastUpdate", "RunCheckpoint"),
    }


def test_a_logger_and_checkpoints_can_be_disabled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer = Trainer(max_steps=2, logger=False, enable_checkpointing=False, **QUIET)
    trainer.fit(small(), batches(VECTOR))
    assert not any(isinstance(each, ModelCheckpoint) for each in trainer.callbacks)
    assert not any(isinstance(each, pl.callbacks.ProgressBar) for each in trainer.callbacks)
    assert list(tmp_path.rglob("*.ckpt")) == list(tmp_path.rglob("*.csv")) == []


def test_a_fast_dev_run_writes_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        Trainer(fast_dev_run=True, accelerator="cpu").fit(small(), Ring(200))
    assert list(tmp_path.rglob("*.ckpt")) == list(tmp_path.rglob("*.csv")) == []


@pytest.mark.parametrize("logger", [False, []])
def test_each_run_without_a_log_has_its_own_folder(tmp_path, logger):
    def fit(ckpt_path=None, steps=2):
        trainer = Trainer(max_steps=steps, default_root_dir=tmp_path, logger=logger, **QUIET)
        trainer.fit(small(), Ring(200), ckpt_path=ckpt_path)

    fit()
    fit()
    fit(tmp_path / "Ring-DCGAN" / "version_1" / "checkpoints" / "last.ckpt", steps=4)
    folders = sorted((tmp_path / "Ring-DCGAN").iterdir())
    assert [folder.name for folder in folders] == ["version_0", "version_1"]
    assert list(tmp_path.iterdir()) == [tmp_path / "Ring-DCGAN"]
    for folder, step in zip(folders, (2, 4), strict=True):
        assert load(folder / "checkpoints" / "last.ckpt").updates == step
        assert not any(folder.glob("*.csv"))
        assert not any(folder.glob("*.yaml"))


def test_a_fit_that_continues_without_a_log_keeps_the_log(tmp_path):
    def fit(steps, **options):
        trainer = Trainer(max_steps=steps, default_root_dir=tmp_path, **options, **QUIET)
        trainer.fit(small(), Ring(200), ckpt_path=last if steps > 2 else None)

    run = tmp_path / "Ring-DCGAN" / "version_0"
    last = run / "checkpoints" / "last.ckpt"
    fit(2)
    before = (run / "metrics.csv").read_text()
    fit(4, logger=False)
    assert (run / "metrics.csv").read_text() == before
    assert load(last).updates == 4


def test_a_changed_fit_leaves_the_folder_that_its_trainer_had(tmp_path):
    def fit(trainer, lr, ckpt_path=None):
        trainer.fit(small(critic_lr=lr), Ring(200), ckpt_path=ckpt_path)

    root = tmp_path / "Ring-DCGAN"
    first = Trainer(max_steps=2, default_root_dir=tmp_path, **QUIET)
    fit(first, 1e-4)
    last = root / "version_0" / "checkpoints" / "last.ckpt"
    before = last.resolve().read_bytes()
    first.fit_loop.epoch_loop.max_steps = 4
    fit(first, 1e-5, last)
    assert last.resolve().read_bytes() == before
    assert load(root / "version_1" / "checkpoints" / "last.ckpt").critic_lr == 1e-5
    assert rows(root / "version_1")


def test_the_same_batches_follow_with_and_without_a_validation_before(tmp_path):
    def weights(workers, **options):
        pl.seed_everything(0)
        loader = DataLoader(TensorDataset(*samples(VECTOR)), 10, shuffle=True, num_workers=workers)
        trainer = Trainer(max_steps=3, default_root_dir=tmp_path, **options, **QUIET)
        model = tiny("dcgan")
        trainer.fit(model, loader, batches(VECTOR))
        return model.state_dict()

    expected = weights(0, num_sanity_val_steps=0)
    assert not differences(weights(0), expected)
    assert not differences(weights(1), expected)


class Logs(pl.Callback):
    """Logs a value at the end of an epoch."""

    def on_train_epoch_end(self, trainer, pl_module):
        pl_module.log("mine", 1.0)


class Custom(DCGAN):
    """Logs a value of its own."""

    def on_train_epoch_end(self):
        self.log("mine", 1.0)


@pytest.mark.parametrize(("technique", "added"), [(DCGAN, [Logs()]), (Custom, [])])
def test_what_custom_code_logs_can_be_monitored(technique, added, tmp_path):
    checkpoint = callbacks.RunCheckpoint(monitor="mine", save_on_train_epoch_end=True)
    trainer = Trainer(
        max_epochs=2,
        max_steps=-1,
        default_root_dir=tmp_path,
        callbacks=[*added, checkpoint],
        val_check_interval=100,
        **{name: value for name, value in QUIET.items() if name != "val_check_interval"},
    )
    model = technique(VECTOR, generator_width=8, critic_width=8)
    trainer.fit(model, batches(VECTOR), batches(VECTOR))
    assert checkpoint.best_model_score == 1.0


def test_an_evaluation_after_a_fit_scores_as_the_fit_did(tmp_path):
    trainer = Trainer(
        max_steps=1,
        default_root_dir=tmp_path,
        callbacks=[callbacks.Evaluate(num_samples=100, cache_dir=None)],
        **QUIET,
    )
    data = Digits(batch_size=16)
    model = DCGAN(data.shape, generator_width=8, critic_width=8)
    trainer.fit(model, datamodule=data)
    loader = DataLoader(TensorDataset(torch.rand(100, 1, 8, 8) * 2 - 1, torch.zeros(100)), 50)
    (scores,) = trainer.validate(model, dataloaders=loader, verbose=False)
    assert scores["fd100_digits_cnn_val"] > 0


def test_a_fit_that_is_refused_for_its_batches_leaves_no_folder(fit, tmp_path):
    with pytest.raises(SystemExit):
        fit("--model=DCGAN", "--data=Ring", "--data.num_samples=20", "--data.batch_size=50")
    assert not list(tmp_path.rglob("version_*"))


def test_an_asynchronous_plugin_writes_whole_checkpoints(tmp_path):
    plugin = AsyncCheckpointIO()
    trainer = Trainer(max_steps=2, default_root_dir=tmp_path, plugins=plugin, **QUIET)
    assert isinstance(plugin.checkpoint_io, AtomicCheckpointIO)
    trainer.fit(small(), Ring(200))
    (last,) = tmp_path.rglob("last.ckpt")
    assert load(last).updates == 2


def test_no_interval_is_zero():
    with pytest.raises(ValueError, match="val_check_interval must be above 0, got 0"):
        Trainer(val_check_interval=0)


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed"])
@pytest.mark.parametrize("name", techniques("dcgan", "began"))
def test_each_precision_trains_scores_draws_and_samples(name, precision, tmp_path):
    trainer = Trainer(
        max_steps=2,
        default_root_dir=tmp_path,
        precision=precision,
        callbacks=[callbacks.Evaluate(metrics="swd", num_samples=50), callbacks.SampleWriter()],
        **QUIET,
    )
    model, data = tiny(name, VECTOR, ema_decay=0.5), Ring(200, batch_size=8, predict_samples=3)
    trainer.fit(model, datamodule=data)
    dtype = {"64": torch.float64, "bf": torch.bfloat16}[precision[:2]]
    assert model.dtype == (torch.float32 if precision == "bf16-mixed" else dtype)
    (scores,) = trainer.validate(model, datamodule=data, verbose=False)
    logged = rows(tmp_path / f"Ring-{type(model).__name__}" / "version_0")
    assert str(scores["swd50_train"]) in {
        row["swd50_train"] for row in logged if row["step"] == "2"
    }
    (predicted,) = trainer.predict(model, datamodule=data)
    assert predicted.shape == model.sample(3).shape == (3, 2)
    assert load(trainer.checkpoint_callback.last_model_path).sample(3).dtype == torch.float32


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork"])
def test_ranks_are_not_forked_or_spawned(strategy):
    trainer = Trainer(strategy=strategy, devices=2, **QUIET)
    with pytest.raises(ArgumentError, match="use strategy ddp"):
        trainer.fit(small(), Ring(200))


def test_a_fit_prints_no_irrelevant_warnings_or_tips(tmp_path, recwarn, capfd):
    trainer = Trainer(max_steps=2, default_root_dir=tmp_path, **QUIET)
    before = state(model := small())
    trainer.fit(model, Ring(200))
    assert not all(torch.equal(before[name], x) for name, x in state(model).items())
    assert [str(warning.message) for warning in recwarn] == []
    assert "Tip" not in capfd.readouterr().err


def test_a_trainer_trains_the_same_model_further(tmp_path):
    trainer, model = Trainer(max_steps=2, default_root_dir=tmp_path, **QUIET), small()
    trainer.fit(model, Ring(200))
    trainer.fit_loop.epoch_loop.max_steps = 4
    trainer.fit(model, Ring(200))
    assert trainer.global_step == 4
    with pytest.raises(ArgumentError, match="checkpoints of another run"):
        trainer.fit(small(), Ring(200))


@pytest.mark.slow
def test_each_fit_of_a_requeued_script_continues_its_own_run(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")

    def script(steps):
        requeue.begin_fit(first=True)
        for cls in (DCGAN, LSGAN):
            trainer = Trainer(max_steps=steps, default_root_dir=tmp_path, **QUIET)
            trainer.fit(cls(VECTOR, generator_width=8, critic_width=8), Ring(200))
            yield trainer.global_step

    assert list(script(2)) == [2, 2]
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert list(script(4)) == [4, 4]
    for name in ("Ring-DCGAN", "Ring-LSGAN"):
        assert [path.name for path in (tmp_path / name).iterdir()] == ["version_0"]
        assert {row["step"] for row in rows(tmp_path / name / "version_0")} >= {"0", "2", "4"}


def test_a_validation_after_a_fit_says_nothing_of_callbacks(tmp_path, caplog):
    trainer, model = Trainer(max_steps=2, default_root_dir=tmp_path, **QUIET), small()
    trainer.fit(model, Ring(200))
    trainer.validate(model, datamodule=Ring(200), verbose=False)
    assert "configure_callbacks" not in caplog.text
