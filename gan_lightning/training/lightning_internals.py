"""Every private name of Lightning that this package relies on, a function each.

Nothing else here uses one: a test of each function fails where a new version of Lightning moves it,
and ``pyproject.toml`` admits no version that those tests have not seen.
"""

from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
from pytorch_lightning.callbacks import (
    Checkpoint,
    ModelCheckpoint,
    ModelSummary,
    RichProgressBar,
)
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.strategies import DDPStrategy, Strategy
from pytorch_lightning.strategies.launchers import (
    _MultiProcessingLauncher,
    _SubprocessScriptLauncher,
)
from torch.nn.parallel import DistributedDataParallel

#: What the command line adds to the hyperparameters of the classes that it builds.
BUILT_BY_CLI = "_instantiator"

#: Hooks of callbacks that Lightning calls several times in each update.
HOOKS_OF_UPDATES = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)

Class = TypeVar("Class", bound=type)


def trainer_of(module: pl.LightningModule) -> pl.Trainer | None:
    """The trainer that a module is attached to; its own ``trainer`` raises where there is none."""
    return module._trainer


def do_not_count_steps(optimizer: LightningOptimizer) -> None:
    """Leave an optimiser's steps out of ``global_step``.

    Lightning counts every step of every optimiser, and installs these hooks again before each
    ``training_step``.
    """
    optimizer._on_before_step = optimizer._on_after_step = _do_nothing


def count_step(optimizer: LightningOptimizer) -> None:
    """Count a step that was made without Lightning's wrapper."""
    optimizer._on_before_step()
    optimizer._on_after_step()


def accept_unused_parameters(strategy: Strategy) -> None:
    """Have DDP accept that each update leaves the parameters of the other network unused."""
    if isinstance(strategy, DDPStrategy):
        strategy._ddp_kwargs["find_unused_parameters"] = True


def take_over_averages(strategy: Strategy) -> bool:
    """Have DDP leave gradients as they are on each rank, and say whether it does.

    One that was given a communication hook keeps to that.
    """
    if not isinstance(strategy, DDPStrategy) or strategy._ddp_comm_hook is not None:
        return False
    if not isinstance(strategy.model, DistributedDataParallel):
        return False
    # What its context no_sync() sets.
    strategy.model.require_backward_grad_sync = False
    return True


def validation_is_due(trainer: pl.Trainer) -> bool:
    """Whether a validation follows the training batch that has just ended."""
    loop = trainer.fit_loop
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)  # type: ignore[arg-type]


def is_last_update(trainer: pl.Trainer) -> bool:
    """Whether a fit ends after the training batch that has just ended, as far as is known now."""
    fit, epoch = trainer.fit_loop, trainer.fit_loop.epoch_loop
    # An epoch is counted as ready, but not as processed until its last validation is over.
    in_last_epoch = fit.max_epochs not in (None, -1) and (
        fit.epoch_progress.current.ready >= fit.max_epochs
    )
    return (
        0 <= epoch.max_steps <= trainer.global_step
        or (in_last_epoch and epoch._num_ready_batches_reached())
        or (trainer.should_stop and fit._can_stop_early)
    )


def validate_last_update(trainer: pl.Trainer) -> None:
    """Have a validation follow the last update too, whatever the interval is."""
    loop = trainer.fit_loop.epoch_loop

    def is_due(fetcher: Any) -> bool:  # noqa: ANN401
        due = type(loop)._should_check_val_fx(loop, fetcher)
        return due or (trainer.enable_validation and is_last_update(trainer))

    loop._should_check_val_fx = is_due  # type: ignore[method-assign, assignment]


def validate_now(trainer: pl.Trainer) -> None:
    """Run the validation loop of a fit, between two updates or after the last one."""
    trainer.validating = True
    trainer.fit_loop.epoch_loop.val_loop.run()
    trainer.training = True


def save_now(trainer: pl.Trainer) -> None:
    """Have every ``ModelCheckpoint`` write a checkpoint that a fit can resume from."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint):
            found: dict[str, Any] = callback._monitor_candidates(trainer)
            if callback.save_weights_only:
                # Nothing could resume from weights alone.
                path = callback.format_checkpoint_name(found)
                trainer.save_checkpoint(path, weights_only=False)
                callback._last_checkpoint_saved = path
                continue
            if callback.monitor is None:
                callback._save_none_monitor_checkpoint(trainer, found)
            else:
                callback._save_checkpoint(trainer, callback.format_checkpoint_name(found))
            callback._save_last_checkpoint(trainer, found)


def save_last_update(trainer: pl.Trainer, callback: ModelCheckpoint, *, best: bool = True) -> None:
    """Have a ``ModelCheckpoint`` save as if it were due: among the ``best``, and as the last."""
    found = callback._monitor_candidates(trainer)
    if best and (callback.monitor is None or callback.monitor in found):
        callback._save_topk_checkpoint(trainer, found)
    asked = callback.save_last
    if asked and saved_step(callback) != trainer.global_step:
        callback.save_last = True  # a link would lead to an earlier one
    callback._save_last_checkpoint(trainer, found)
    callback.save_last = asked


def saved_step(callback: ModelCheckpoint) -> int:
    """The update of the last checkpoint that a ``ModelCheckpoint`` has written."""
    return callback._last_global_step_saved


def last_saved(callback: Checkpoint) -> str:
    """The path of the last checkpoint that a callback has written; "" for none."""
    return getattr(callback, "_last_checkpoint_saved", "")


def overwrites_its_files(callback: Checkpoint) -> bool:
    """Whether a ``ModelCheckpoint`` writes over a file of the name that it would give its own."""
    return isinstance(callback, ModelCheckpoint) and not callback._enable_version_counter


def forks_or_spawns(strategy: Strategy) -> bool:
    """Whether ranks are forked or spawned, not started as programs of their own."""
    return isinstance(strategy.launcher, _MultiProcessingLauncher)


def kill_started_ranks(strategy: Strategy, signal_number: int) -> None:
    """End the ranks that this process has started."""
    launcher = strategy.launcher
    if isinstance(launcher, _SubprocessScriptLauncher):
        launcher.kill(signal_number)
        # Otherwise Lightning sees them dead, and kills this process before it reports why.
        launcher.procs.clear()


def has_checkpoint_io(strategy: object) -> bool:
    """Whether a strategy was given what reads and writes its checkpoints."""
    return getattr(strategy, "_checkpoint_io", None) is not None


def continue_wandb_run(logger: WandbLogger, run: str) -> None:
    """Have a logger that names no run of Weights & Biases continue this one."""
    if logger._wandb_init.get("id") is None:
        logger._id = logger._wandb_init["id"] = run
        logger._wandb_init["resume"] = "allow"


def depth_of(summary: ModelSummary) -> int:
    """How many levels of modules a summary lists; 0 prints none."""
    return summary._max_depth


def without_last_epoch(trainer: pl.Trainer) -> None:
    """Have Lightning's bar name no last epoch where there is none: it would be -2."""
    bar = trainer.progress_bar_callback
    if isinstance(bar, RichProgressBar) and trainer.max_epochs == -1:
        width = len(bar.validation_description)
        bar._get_train_description = lambda current_epoch: (  # type: ignore[method-assign]
            f"Epoch {current_epoch}".ljust(width)
        )


def has_wandb_run(logger: WandbLogger) -> bool:
    """Whether a logger's run of Weights & Biases has begun, or another that it would join."""
    import wandb

    return logger._experiment is not None or wandb.run is not None


def place_wandb_run(
    logger: WandbLogger, folder: Path | None = None, *, run: str | None = None
) -> None:
    """Have a run of Weights & Biases that has not begun keep its files in a folder, or be named."""
    if folder is not None:
        # Not the logger's own folder, in which the folder of the run is.
        logger._wandb_init["dir"] = str(folder)
    if run is not None:
        logger._id = logger._wandb_init["id"] = run


def without_placeholder_metric(logger: TensorBoardLogger) -> None:
    """Have a logger write no ``hp_metric`` of -1 where there are hyperparameters and no score."""
    logger._default_hp_metric = False


def chooses_version(logger: Logger) -> bool:
    """Whether a logger writes to a folder ``version_N``, and was not told N."""
    return isinstance(logger, CSVLogger | TensorBoardLogger) and logger._version is None


def set_version(logger: Logger, version: int | str | None) -> None:
    """Have a logger that numbers its folders write to this one; to the next one for None."""
    if isinstance(logger, CSVLogger | TensorBoardLogger):
        logger._version = version


def ignore_config_in_checkpoint(cli: Class) -> Class:
    """A class of ``LightningCLI`` to which a checkpoint brings weights and state, no options."""
    cli._parse_ckpt_path = lambda self: None  # type: ignore[attr-defined]
    return cli


def without_empty_hooks(callback: Class) -> Class:
    """A class of callbacks whose hooks of updates cost nothing where it does not override them.

    Lightning profiles each call of a hook, also of an empty one; it skips what cannot be called.
    With two such callbacks, a small WGAN takes about 4 % less time.
    """
    for name in HOOKS_OF_UPDATES:
        if getattr(callback, name) is getattr(pl.Callback, name):
            setattr(callback, name, None)
    return callback


def _do_nothing() -> None:
    pass
