"""Private names of Lightning: each still exists, and only one file uses them."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from helpers import SILENT, VECTOR, batches, tiny, train
from pytorch_lightning.callbacks import ModelCheckpoint, ModelSummary, RichProgressBar
from pytorch_lightning.cli import LightningCLI
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.nn.parallel import DistributedDataParallel

import gan_lightning
from gan_lightning.training import lightning_internals as internals
from gan_lightning.training.checkpoints import AtomicCheckpointIO
from gan_lightning.training.divergence import StopOnDivergence
from gan_lightning.training.resume import ExactResume

ROOT = Path(gan_lightning.__file__).parent
FILES = [path for path in ROOT.rglob("*.py") if path.name != "lightning_internals.py"]
#: Private names of other libraries that have no public equivalent.
NOT_LIGHTNING = {
    *("_dynamo", "_foreach_lerp_", "_foreach_clamp_min_", "_foreach_clamp_max_"),
    *("_foreach_add", "_foreach_sub", "_foreach_mul_", "_foreach_copy_"),
    *("_C", "_cuda_clearCublasWorkspaces"),
    "_forward_pre_hooks",
    *("_actions", "_option_string_actions"),  # argparse
    "_fingerprint",  # datasets
    "_getframe",  # sys
}


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name != "_"


def defined(tree):
    """The private names that a file defines."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store(), value=ast.Name(id="self" | "cls")):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name


def used(tree):
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) if is_private(name):
                yield name, node.lineno
            case ast.ImportFrom(module=module, names=names) if module and "lightning" in module:
                if not module.startswith("gan_lightning"):
                    yield from ((a.name, node.lineno) for a in names if is_private(a.name))
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr"), args=[_, ast.Constant(value=v), *_]
            ):
                if isinstance(v, str) and is_private(v):
                    yield v, node.lineno


def test_no_other_file_uses_a_private_name_of_lightning():
    trees = {path: ast.parse(path.read_text()) for path in FILES}
    ours = {name for tree in trees.values() for name in defined(tree)}
    foreign = {
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path, tree in trees.items()
        for name, line in used(tree)
        if name not in ours and name not in NOT_LIGHTNING
    }
    assert foreign == set()


def test_no_class_overrides_a_private_name_of_lightning():
    overridden = set()
    for info in pkgutil.walk_packages(gan_lightning.__path__, "gan_lightning."):
        if info.name == "gan_lightning.__main__":
            continue
        for _, cls in inspect.getmembers(importlib.import_module(info.name), inspect.isclass):
            if not cls.__module__.startswith("gan_lightning"):
                continue
            bases = [b for b in cls.__mro__ if b.__module__.startswith(("pytorch_l", "lightning_"))]
            overridden |= {
                f"{cls.__qualname__}.{name}"
                for name in vars(cls)
                if is_private(name) and any(name in vars(base) for base in bases)
            }
    # Except for abc's attribute, only the one that ``ignore_config_in_checkpoint`` sets.
    assert {each for each in overridden if not each.endswith("._abc_impl")} == {
        "GANCLI._parse_ckpt_path"
    }


def test_unknown_versions_of_lightning_are_excluded():
    lines = (ROOT.parent / "pyproject.toml").read_text().splitlines()
    assert '    "pytorch-lightning>=2.6,<2.7",' in lines


# One test for each function.


def test_trainer_of():
    model = tiny("dcgan")
    assert internals.trainer_of(model) is None
    trainer = train(model, batches(VECTOR), max_steps=1)
    assert internals.trainer_of(model) is trainer


def test_do_not_count_steps_and_count_step():
    counts = []

    class Model(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.layer = torch.nn.Linear(2, 1)

        def configure_optimizers(self):
            return [torch.optim.SGD(self.layer.parameters(), lr=0.1) for _ in range(2)]

        def training_step(self, batch, batch_idx):
            first, second = self.optimizers()
            internals.do_not_count_steps(first)
            for optimizer in (first, second):
                self.manual_backward(self.layer(batch[0]).sum())
                optimizer.step()
                counts.append(self.global_step)
            internals.count_step(second)
            counts.append(self.global_step)

    trainer = pl.Trainer(max_steps=4, **SILENT)
    trainer.fit(Model(), batches(VECTOR))
    assert counts == [0, 1, 2, 2, 3, 4]


def test_accept_unused_parameters():
    strategy = DDPStrategy()
    internals.accept_unused_parameters(strategy)
    assert strategy._ddp_kwargs == {"find_unused_parameters": True}
    given = DDPStrategy(find_unused_parameters=False)
    internals.accept_unused_parameters(given)
    assert given._ddp_kwargs == {"find_unused_parameters": True}
    internals.accept_unused_parameters(SingleDeviceStrategy())


def taken_over(**arguments):
    strategy = DDPStrategy(**arguments)
    strategy.model = DistributedDataParallel(nn.Linear(2, 1))
    return internals.take_over_averages(strategy), strategy.model.require_backward_grad_sync


def test_take_over_averages(ranks):
    assert ranks(taken_over) == [(True, False)] * 2
    # A hook of the user's compresses what is sent.
    assert ranks(taken_over, ddp_comm_hook=fp16_compress_hook) == [(False, True)] * 2
    assert not internals.take_over_averages(SingleDeviceStrategy())


def test_validation_is_due():
    due = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            due.append(internals.validation_is_due(trainer))

        def on_validation_start(self, trainer, pl_module):
            due.append("validation")

    trainer = pl.Trainer(
        max_steps=4,
        val_check_interval=2,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        callbacks=[Watch()],
        **SILENT,
    )
    trainer.fit(tiny("dcgan"), batches(VECTOR), batches(VECTOR))
    assert due == [False, True, "validation"] * 2


@pytest.mark.parametrize(
    "options", [{}, {"monitor": "loss/critic"}, {"save_weights_only": True}], ids=str
)
def test_save_now(options, tmp_path):
    class Save(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 2:
                internals.save_now(trainer)

    checkpoint = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=100, **options)
    arguments = SILENT | {"enable_checkpointing": True, "log_every_n_steps": 1}
    trainer = pl.Trainer(max_steps=3, callbacks=[Save(), checkpoint], **arguments)
    trainer.fit(tiny("dcgan"), batches(VECTOR))
    path = tmp_path / "step=2.ckpt"
    assert internals.last_saved(checkpoint) == str(path)
    assert torch.load(path, weights_only=True)["optimizer_states"]


@pytest.mark.parametrize(
    ("limits", "last"),
    [({"max_steps": 3}, 3), ({"max_steps": -1, "max_epochs": 2}, 8), ({"max_steps": 99}, 6)],
    ids=str,
)
def test_is_last_update_and_validate_last_update(limits, last):
    seen, validated = [], []

    class Watch(pl.Callback):
        def on_train_start(self, trainer, pl_module):
            internals.validate_last_update(trainer)

        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop = trainer.global_step == 6 and limits == {"max_steps": 99}
            seen.append(internals.is_last_update(trainer))

        def on_validation_end(self, trainer, pl_module):
            validated.append((trainer.global_step, internals.is_last_update(trainer)))

    trainer = pl.Trainer(
        val_check_interval=5,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        callbacks=[Watch()],
        **limits,
        **SILENT,
    )
    trainer.fit(tiny("dcgan"), batches(VECTOR), batches(VECTOR))
    assert seen == [False] * (last - 1) + [True]
    assert validated == [(5, False), (last, True)][last < 5 :]


def test_validate_now():
    seen = []

    class Watch(pl.Callback):
        def on_train_end(self, trainer, pl_module):
            internals.validate_now(trainer)
            assert trainer.training

        def on_validation_batch_end(self, trainer, *_):
            seen.append(trainer.validating)

    trainer = pl.Trainer(
        max_steps=1, num_sanity_val_steps=0, callbacks=[Watch()], val_check_interval=2, **SILENT
    )
    trainer.fit(tiny("dcgan"), batches(VECTOR), batches(VECTOR))
    assert seen == [True] * 4


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["step=2.ckpt"]),
        ({"save_last": "link"}, ["last.ckpt", "step=2.ckpt"]),
        ({"save_last": True}, ["last.ckpt", "step=2.ckpt"]),
        ({"save_last": "link", "monitor": "missing"}, ["last.ckpt"]),
        ({"save_last": "link", "save_top_k": 0}, ["last.ckpt"]),
        ({"monitor": "loss/critic"}, ["step=2.ckpt"]),
    ],
    ids=str,
)
def test_save_last_update_and_saved_step(options, names, tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=100, **options)
    steps = []

    class Save(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 2:
                steps.append(internals.saved_step(checkpoint))
                internals.save_last_update(trainer, checkpoint)
                steps.append(internals.saved_step(checkpoint))
                written.update(path.name for path in tmp_path.iterdir())

    written = set()
    arguments = SILENT | {"enable_checkpointing": True, "log_every_n_steps": 1}
    pl.Trainer(max_steps=2, callbacks=[Save(), checkpoint], **arguments).fit(
        tiny("dcgan"), batches(VECTOR)
    )
    assert sorted(written) == names
    assert steps == [0, 2]
    for name in names:
        assert torch.load(tmp_path / name, weights_only=True)["global_step"] == 2


def test_last_saved_without_a_checkpoint():
    assert internals.last_saved(ModelCheckpoint()) == ""
    assert internals.last_saved(pl.callbacks.Checkpoint()) == ""


def test_overwrites_its_files():
    assert internals.overwrites_its_files(ModelCheckpoint(enable_version_counter=False))
    assert not internals.overwrites_its_files(ModelCheckpoint())
    assert not internals.overwrites_its_files(pl.callbacks.Checkpoint())


def test_forks_or_spawns():
    for name, forks in {"ddp": False, "ddp_spawn": True, "ddp_fork": True}.items():
        strategy = pl.Trainer(strategy=name, devices=2, **SILENT).strategy
        assert internals.forks_or_spawns(strategy) is forks
        assert isinstance(strategy.launcher, _MultiProcessingLauncher) is forks
    assert not internals.forks_or_spawns(pl.Trainer(**SILENT).strategy)


def test_kill_started_ranks():
    strategy, killed = pl.Trainer(strategy="ddp", devices=2, **SILENT).strategy, []

    class Rank:
        pid = 1

        def send_signal(self, number):
            killed.append(number)

        def poll(self):
            return None

    strategy.launcher.procs = [Rank()]
    internals.kill_started_ranks(strategy, 9)
    assert killed == [9]
    assert strategy.launcher.procs == []
    internals.kill_started_ranks(pl.Trainer(**SILENT).strategy, 9)  # it has started none


def test_has_checkpoint_io():
    assert internals.has_checkpoint_io(SingleDeviceStrategy(checkpoint_io=AtomicCheckpointIO()))
    assert not internals.has_checkpoint_io(SingleDeviceStrategy())
    assert not internals.has_checkpoint_io("ddp")


def test_continue_wandb_run(tmp_path):
    logger = WandbLogger(save_dir=tmp_path, offline=True)
    internals.continue_wandb_run(logger, "abc")
    assert logger.version == "abc"
    assert logger._wandb_init["id"] == "abc"
    assert logger._wandb_init["resume"] == "allow"
    given = WandbLogger(save_dir=tmp_path, offline=True, version="mine")
    internals.continue_wandb_run(given, "abc")
    assert given.version == "mine"


@pytest.mark.parametrize("kind", [CSVLogger, TensorBoardLogger])
def test_chooses_version_and_set_version(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("lightning_fabric.loggers.tensorboard._TENSORBOARD_AVAILABLE", True)
    logger = kind(tmp_path)
    assert internals.chooses_version(logger)
    internals.set_version(logger, 7)
    assert logger.version == 7
    assert Path(logger.log_dir).name == "version_7"
    assert not internals.chooses_version(logger)
    internals.set_version(logger, None)
    assert internals.chooses_version(logger)
    assert not internals.chooses_version(kind(tmp_path, version="mine"))
    assert not internals.chooses_version(WandbLogger(save_dir=tmp_path, offline=True))


def test_ignore_config_in_checkpoint():
    assert callable(LightningCLI._parse_ckpt_path)

    @internals.ignore_config_in_checkpoint
    class CLI(LightningCLI):
        pass

    assert CLI._parse_ckpt_path(object()) is None


def test_the_command_line_adds_its_key_to_hyperparameters(fit):
    run = fit("--model=DCGAN", "--data=Ring", "--trainer.max_steps=1", "--data.num_samples=100")
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["hyper_parameters"]
    assert internals.BUILT_BY_CLI in saved


def test_without_empty_hooks():
    called, profiled = [], []

    @internals.without_empty_hooks
    class Ending(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            called.append(trainer.global_step)

    class Names(pl.profilers.PassThroughProfiler):
        def start(self, action_name):
            if "Ending" in action_name:
                profiled.append(action_name.rsplit(".", 1)[-1])

    pl.Trainer(max_steps=2, callbacks=[Ending()], profiler=Names(), **SILENT).fit(
        tiny("dcgan"), batches(VECTOR)
    )
    assert called == [1, 2]
    assert {name for name in profiled if name in internals.HOOKS_OF_UPDATES} == {
        "on_train_batch_end"
    }
    for callback in (ExactResume, StopOnDivergence):
        assert callback.on_before_backward is None
        assert callback.on_train_start is not pl.Callback.on_train_start


def test_the_depth_of_a_summary():
    assert internals.depth_of(ModelSummary(max_depth=3)) == 3


def test_lightnings_bar_names_no_last_epoch_where_there_is_none():
    for epochs, title in ((-1, "Epoch 4"), (7, "Epoch 4/6")):
        bar = RichProgressBar()
        trainer = pl.Trainer(max_epochs=epochs, callbacks=[bar], accelerator="cpu", logger=False)
        bar.setup(trainer, tiny("dcgan"), "fit")
        internals.without_last_epoch(trainer)
        assert bar._get_train_description(4).strip() == title


def test_a_wandb_run_is_placed_and_named_before_it_begins(tmp_path):
    logger = WandbLogger(project="gans", save_dir=tmp_path, offline=True)
    assert not internals.has_wandb_run(logger)
    internals.place_wandb_run(logger, tmp_path / "run", run="id1")
    assert logger.version == "id1"
    assert Path(logger.save_dir) == tmp_path
    assert logger._wandb_init["dir"] == str(tmp_path / "run")
    assert internals.has_wandb_run(WandbLogger(experiment=object()))


def test_tensorboard_gets_no_placeholder_metric(tmp_path):
    pytest.importorskip("tensorboard", reason="NOT TESTED: TensorBoard is not installed")

    def metrics(logger):
        written = []
        logger.log_metrics = lambda values, step: written.append(values)
        logger.log_hyperparams({"a": 1})
        return written

    assert metrics(TensorBoardLogger(tmp_path, "with")) == [{"hp_metric": -1}]
    logger = TensorBoardLogger(tmp_path, "without")
    internals.without_placeholder_metric(logger)
    assert metrics(logger) == []
