"""A trainer whose defaults suit a GAN: Python users get what the command line gets."""

import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    Callback,
    Checkpoint,
    LearningRateFinder,
    ModelCheckpoint,
    ModelSummary,
    ProgressBar,
)
from pytorch_lightning.loggers import CSVLogger, WandbLogger
from pytorch_lightning.plugins import AsyncCheckpointIO, CheckpointIO, LayerSync
from pytorch_lightning.utilities import rank_zero_info

from gan_lightning.callbacks import (
    ContinueLogs,
    Diversity,
    Evaluate,
    FindMistakes,
    LastUpdate,
    NetworkSummary,
    RunCheckpoint,
    SampleGrid,
    StepProgressBar,
    StopOnSignal,
    TrainingClock,
)
from gan_lightning.loading import load_networks
from gan_lightning.training import requeue
from gan_lightning.training.changes import changes
from gan_lightning.training.checkpoints import AtomicCheckpointIO, is_newest, read_checkpoint
from gan_lightning.training.lightning_internals import (
    chooses_version,
    continue_wandb_run,
    forks_or_spawns,
    has_checkpoint_io,
    overwrites_its_files,
    set_version,
)
from gan_lightning.training.loggers import ContinuedCSVLogger, NoLog
from gan_lightning.training.paths import checkpoint_folder, make_version, run_dir
from gan_lightning.training.quiet import quiet_libraries
from gan_lightning.training.sync_batch_norm import SyncBatchNorm
from gan_lightning.training.tracking import number_wandb_run, place_wandb_files
from gan_lightning.utils.errors import ArgumentError
from gan_lightning.utils.files import real_path

#: Words that Lightning takes for a checkpoint of its own choice.
CHOSEN_BY_LIGHTNING = ("best", "last", "hpc", "registry")


class Trainer(pl.Trainer):
    """Lightning's ``Trainer`` with the defaults, and the guarantees, of ``gan-lightning``.

    Beside the defaults that stand below, unless another of their kind is given:

    - checkpoints ``step=N.ckpt`` and ``last.ckpt`` at every validation, written whole or not at
      all; a run does not write over the checkpoints of another;
    - a validation and a checkpoint of the last update, whatever the intervals are;
    - a log ``metrics.csv`` in ``<default_root_dir>/<data>-<model>/version_N``. A fit that resumes
      the newest checkpoint of such a folder continues in it, and so does a requeued job of SLURM;
      runs of Weights & Biases continue too, and keep their files in the folder of the run. Beside
      given loggers, a fit keeps the log all the same;
    - a stop with a checkpoint on SIGINT, SIGTERM and SLURM's SIGUSR1;
    - batch normalisation over the samples of all devices, on CPUs too;
    - mistakes are found before training where they can be known;
    - a table of the networks, sample grids, the time of training, a warning of mode collapse, and
      a progress bar in generator updates.

    ``logger=False`` keeps the folder and writes no log; ``barebones=True`` leaves out all of this
    but the stop on signals and the search for mistakes.

    Scores need ``callbacks=[Evaluate()]``.

    Args:
        default_root_dir: the folder of all runs.
        max_steps: generator updates.
        max_epochs: passes through the data; -1 does not limit them.
        val_check_interval: generator updates between two validations.
        check_val_every_n_epoch: None counts ``val_check_interval`` over all epochs.
        num_sanity_val_steps: validation batches before training; -1 runs the whole validation, so
            that the untrained generator is scored too.
        sync_batchnorm: batch normalisation sees the samples of all devices.
        options: of Lightning's ``Trainer``.

    Raises:
        ValueError: ``val_check_interval`` is not above 0, or a callback does not apply to a GAN.
    """

    def __init__(
        self,
        *,
        default_root_dir: str | Path | None = "runs",
        max_steps: int = 10_000,
        max_epochs: int | None = -1,
        val_check_interval: int | float | str | timedelta | dict[str, int] | None = 1000,
        check_val_every_n_epoch: int | None = None,
        num_sanity_val_steps: int | None = -1,
        sync_batchnorm: bool = True,
        **options: Any,
    ) -> None:
        quiet_libraries()
        if isinstance(val_check_interval, int | float) and val_check_interval <= 0:
            raise ValueError(f"val_check_interval must be above 0, got {val_check_interval}")
        _complete(options, sync_batchnorm)
        self._own_logger: type[ContinuedCSVLogger | NoLog] | None = None
        if options.get("barebones"):
            num_sanity_val_steps = 0 if num_sanity_val_steps == -1 else num_sanity_val_steps
        elif (given := options.get("logger")) in (None, True, False, []):
            self._own_logger = ContinuedCSVLogger if given in (None, True) else NoLog
            options["logger"] = False  # until a run has a name
        super().__init__(
            default_root_dir=default_root_dir,
            max_steps=max_steps,
            max_epochs=max_epochs,
            val_check_interval=val_check_interval,
            check_val_every_n_epoch=check_val_every_n_epoch,
            num_sanity_val_steps=num_sanity_val_steps,
            sync_batchnorm=sync_batchnorm,
            **options,
        )

    def fit(
        self,
        model: pl.LightningModule,
        train_dataloaders: Any = None,  # noqa: ANN401
        val_dataloaders: Any = None,  # noqa: ANN401
        datamodule: pl.LightningDataModule | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
        init_from: str | Path | None = None,
    ) -> None:
        """Train a model.

        Args:
            model: to train.
            train_dataloaders: of batches ``(x, y)``, ``x`` or ``{"image": x, "label": y}``, or a
                data module.
            val_dataloaders: of such batches.
            datamodule: in place of loaders.
            ckpt_path: a checkpoint to resume from. Where its hyperparameters are others than the
                model's, the fit continues in a new folder.
            weights_only: ignored: checkpoints are always read without running what they hold.
            init_from: a checkpoint, or a folder that ``save_pretrained`` wrote with the critic,
                whose networks a new run starts from, at update 0; ignored where the fit resumes.

        Raises:
            ArgumentError: checkpoints of another run would be overwritten, or ranks are forked.
            WrongFileError: a checkpoint does not fit the model.
        """
        if forks_or_spawns(self.strategy):
            raise ArgumentError(
                "ranks must be started as new processes, not spawned or forked: use strategy ddp"
            )
        requeue.begin_fit()
        run = requeue.remembered(Path(self.default_root_dir))
        if run is not None:
            # A requeued job has gone further than the checkpoint that its command names.
            ckpt_path = run.checkpoint
        folder = run.folder if run is not None else _run_of(ckpt_path)
        if ckpt_path is None and init_from is not None:
            load_networks(model, init_from)
            rank_zero_info(f"the run starts from the networks of {init_from}")
        data = datamodule or train_dataloaders
        changed = self._continue_or_change(model, data, ckpt_path, folder)
        if changed:  # the folder of a run holds one set of hyperparameters
            folder = None
            self.loggers = [] if self._own_logger is not None else self.loggers
        self._start_log(model, data, folder)
        with self._numbered_folders():
            if changed or model is not self.lightning_module:
                self._refuse_to_overwrite(ckpt_path, changed)
            self._prepare_scores(model, data)
            self._place_logs(fits=True)
            super().fit(model, train_dataloaders, val_dataloaders, datamodule, ckpt_path, True)

    def validate(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Score samples against the validation loop's, the training samples of our data modules."""
        with self._evaluating(*args, *options.values(), scored=True):
            return super().validate(*args, **options)

    def test(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Score samples against the test loop's."""
        with self._evaluating(*args, *options.values(), scored=True):
            return super().test(*args, **options)

    def predict(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Draw samples, as many as the loader's numbers say."""
        with self._evaluating(*args, *options.values()):
            return super().predict(*args, **options)

    @contextmanager
    def _evaluating(self, *given: object, scored: bool = False) -> Iterator[None]:
        models = [each for each in given if isinstance(each, pl.LightningModule)]
        data = [each for each in given if isinstance(each, pl.LightningDataModule)]
        if model := next(iter(models), self.lightning_module):
            self._start_log(model, next(iter(data), None))
            if scored:
                self._prepare_scores(model, next(iter(data), None))
        with warnings.catch_warnings(), self._numbered_folders():
            # A checkpoint's best scores matter to a fit that resumes from it alone.
            warnings.filterwarnings("ignore", ".*The dirpath has changed.*")
            self._place_logs()
            yield

    def _start_log(
        self, model: pl.LightningModule, data: object, folder: Path | None = None
    ) -> None:
        """Make the log of a new run or, where it continues in a ``folder`` of its name, of that."""
        if self._own_logger is None or self.fast_dev_run or (self.loggers and folder is None):  # type: ignore[attr-defined]
            return
        name = type(model).__name__
        if isinstance(data, pl.LightningDataModule):
            name = f"{type(data).__name__}-{name}"
        root = Path(self.default_root_dir)
        version = None
        if folder is not None and real_path(folder.parent) == real_path(root / name):
            found = re.fullmatch(r"version_(\d+)", folder.name)
            version = int(found[1]) if found else None
        self.loggers = [self._own_logger(root, name, version)]
        for callback in self.checkpoint_callbacks:
            if isinstance(callback, RunCheckpoint):
                callback.leave_folder()

    @contextmanager
    def _numbered_folders(self) -> Iterator[None]:
        """Make the folders ``version_N`` of loggers, so that no other run gets their numbers.

        Where nothing was written to them before an error, they are removed.
        """
        made = []
        for logger in self.loggers if self.is_global_zero else ():
            root = str(getattr(logger, "root_dir", ""))
            if chooses_version(logger) and "://" not in root:
                version, folders = make_version(Path(root))
                set_version(logger, version)
                made.append((logger, folders))
        try:
            yield
        except BaseException:
            for logger, folders in made:
                with suppress(OSError):  # it is not empty
                    folders[0].rmdir()
                    set_version(logger, None)
                    for folder in folders[1:]:
                        folder.rmdir()
            raise

    def _place_logs(self, *, fits: bool = False) -> None:
        """Keep files of Weights & Biases, and the log of a fit, in the folder of the run."""
        if not self.loggers or self.fast_dev_run:  # type: ignore[attr-defined]
            return
        if self.is_global_zero:
            number_wandb_run(self.loggers[0])
            for logger in self.loggers:
                place_wandb_files(logger, run_dir(self))
        listed = any(isinstance(each, CSVLogger) for each in self.loggers)
        if fits and not listed and "://" not in str(self.loggers[0].save_dir):
            folder = run_dir(self)
            log = ContinuedCSVLogger(folder.parent.parent, folder.parent.name, folder.name)
            self.loggers = [*self.loggers, log]

    def _prepare_scores(self, model: pl.LightningModule, data: object) -> None:
        """Load what scores need before data is downloaded and decoded, which may take hours."""
        for callback in self.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Evaluate):
                given = isinstance(data, pl.LightningDataModule)
                known = data if given else self.datamodule  # type: ignore[attr-defined]
                callback.prepare(model, known)

    def _continue_or_change(
        self,
        model: pl.LightningModule,
        data: object,
        ckpt_path: str | Path | None,
        folder: Path | None,
    ) -> bool:
        """Whether a fit resumes with other hyperparameters; if not, continue runs of W&B."""
        if ckpt_path is None or not os.path.isfile(ckpt_path):
            return False
        checkpoint = read_checkpoint(Path(ckpt_path))
        changed = bool(changes(checkpoint, model, data, self.world_size))
        if folder is not None and not changed:
            self._continue_wandb(checkpoint)
        return changed

    def _continue_wandb(self, checkpoint: Mapping[str, Any]) -> None:
        """Have the loggers of Weights & Biases continue the runs that a checkpoint is of."""
        mine = [logger for logger in self.loggers if isinstance(logger, WandbLogger)]
        if mine:
            states = checkpoint.get("callbacks", {})
            runs = states.get(ContinueLogs.__name__, {}).get("wandb", [])
            for logger, run in zip(mine, runs, strict=False):
                continue_wandb_run(logger, run)

    def _refuse_to_overwrite(self, ckpt_path: str | Path | None, changed: bool) -> None:
        resumed = None
        if ckpt_path is not None and not changed:
            resumed = real_path(Path(ckpt_path).absolute().parent)
        for callback in self.checkpoint_callbacks:
            folder = checkpoint_folder(self, callback)
            if not overwrites_its_files(callback) or real_path(folder) == resumed:
                continue
            if any(folder.glob("*.ckpt")) and self.is_global_zero:
                raise ArgumentError(
                    f"{folder} holds checkpoints of another run, which this one would overwrite: "
                    "choose another folder (dirpath), or resume "
                    + ("with its hyperparameters" if changed else "from one of them")
                )


def _complete(options: dict[str, Any], sync_batchnorm: bool) -> None:
    """Add the callbacks and plugins of this package, where there are no others of their kind."""
    callbacks = _listed(options.get("callbacks"))
    for callback in callbacks:
        if isinstance(callback, BatchSizeFinder | LearningRateFinder):
            raise ArgumentError(
                f"{type(callback).__name__} does not apply: the batch size and the two learning "
                "rates are hyperparameters of a technique; remove it"
            )
    # In this order: the clock stops before scores are measured, and a stop comes last.
    first: list[Callback] = [SampleGrid(), TrainingClock(), ContinueLogs()]
    last: list[Callback] = [Diversity(), FindMistakes(), LastUpdate(), StopOnSignal()]
    if options.get("barebones"):
        first, last = [], [FindMistakes(), StopOnSignal()]
    elif options.get("enable_progress_bar") is not False:
        first.append(StepProgressBar())
    if options.get("enable_model_summary") is not False and not options.get("barebones"):
        first.append(NetworkSummary())
        options["enable_model_summary"] = False  # Lightning's own
    if options.get("enable_checkpointing") is not False and not options.get("barebones"):
        last.append(RunCheckpoint())
    options["callbacks"] = [
        *(each for each in first if not _has_kind(callbacks, each)),
        *callbacks,
        *(each for each in last if not _has_kind(callbacks, each)),
    ]
    if options.get("fast_dev_run"):  # which is to leave no files
        options["enable_checkpointing"] = False
        options["callbacks"] = [
            each for each in options["callbacks"] if not isinstance(each, Checkpoint | SampleGrid)
        ]
    plugins = _listed(options.get("plugins"))
    given_io = any(isinstance(plugin, CheckpointIO) for plugin in plugins)
    for plugin in plugins:
        if isinstance(plugin, AsyncCheckpointIO) and plugin.checkpoint_io is None:
            plugin.checkpoint_io = AtomicCheckpointIO()
    if not given_io and not has_checkpoint_io(options.get("strategy")):
        plugins.append(AtomicCheckpointIO())
    if sync_batchnorm and not any(isinstance(plugin, LayerSync) for plugin in plugins):
        plugins.append(SyncBatchNorm())
    options["plugins"] = plugins


def _listed(given: Any) -> list[Any]:  # noqa: ANN401
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def _has_kind(callbacks: Iterable[Callback], default: Callback) -> bool:
    """Whether one of the callbacks takes the place of a default one."""
    kinds = (ProgressBar, ModelCheckpoint, ModelSummary)
    kind = next((each for each in kinds if isinstance(default, each)), type(default))
    return any(isinstance(callback, kind) for callback in callbacks)


def _run_of(checkpoint: str | Path | None) -> Path | None:
    """The folder of the run that a fit continues, where it resumes the newest checkpoint of one."""
    if checkpoint is None or str(checkpoint) in CHOSEN_BY_LIGHTNING:
        return None
    path = Path(checkpoint)
    return path.absolute().parent.parent if is_newest(path) else None
