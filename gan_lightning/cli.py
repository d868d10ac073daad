"""The command line: ``gan-lightning fit | validate | test | predict``, and ``score``."""

import errno
import json
import logging
import math
import os
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import yaml
from jsonargparse import Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import (
    ArgsType,
    LightningArgumentParser,
    LightningCLI,
    SaveConfigCallback,
)
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.plugins import CheckpointIO, LayerSync
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher
from pytorch_lightning.utilities import rank_zero_info, rank_zero_only

from gan_lightning import (
    cli_yaml,  # noqa: F401  (how jsonargparse is to read YAML)
    requeue,
    score,
)
from gan_lightning.callbacks import (
    ContinueLogs,
    Diversity,
    Evaluate,
    SampleGrid,
    SampleWriter,
    StepProgressBar,
    StopOnSignal,
    TrainingClock,
    checkpoint_folder,
    run_dir,
)
from gan_lightning.checkpoints import (
    AtomicCheckpointIO,
    beside,
    is_newest,
    read_checkpoint,
)
from gan_lightning.cli_errors import explain, misuse, root_message
from gan_lightning.data import GANDataModule
from gan_lightning.distributed import end_with_parent
from gan_lightning.errors import ArgumentError, UserError, one_line
from gan_lightning.files import real_path, whole_file
from gan_lightning.loggers import ContinuedCSVLogger
from gan_lightning.module import GAN
from gan_lightning.speed import look_for_gpus_once
from gan_lightning.sync_batch_norm import SyncBatchNorm
from gan_lightning.techniques import TECHNIQUES  # noqa: F401  (the classes that --model knows)

TRAINER_DEFAULTS: dict[str, Any] = {
    "default_root_dir": "runs",
    "max_steps": 10_000,
    "max_epochs": -1,
    "val_check_interval": 1000,
    "check_val_every_n_epoch": None,
    # The untrained generator is scored too, by the code that will score the trained one.
    "num_sanity_val_steps": -1,
    # Several devices train as one does on all of their samples.
    "sync_batchnorm": True,
}

#: What a saved config begins with.
WRITTEN_BY = "# gan_lightning=="
SCORE = "gan-lightning score --real DIR --fake DIR compares two folders of images (score --help)."
#: What is wrong with a place, and not with the code.
STORAGE_FAULTS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
}
#: Words that Lightning takes for a checkpoint of its own choice.
LIGHTNINGS_CHECKPOINTS = ("best", "last", "hpc", "registry")

#: What a value raises that has the right type and will not do: a number that is too large, a path
#: that cannot be used, or a class whose package is not installed, among them.
_REFUSALS = (ValueError, TypeError, OverflowError, OSError, ImportError, RuntimeError)


def main(args: Sequence[str] | None = None) -> None:
    """Run one command; without ``args``, the process's own.

    Exits with one line, and with 2 for what the command line or a config has wrong, 1 for data or
    weights that are missing and for files that will not do, 3 where training diverged, and 128 and
    its number, such as 130, where a signal stopped it.
    """
    args = sys.argv[1:] if args is None else list(args)
    _quieten(training=args[:1] == ["fit"])
    look_for_gpus_once()
    end_with_parent()
    try:
        _Parser.given = args = _with_saved_config(args)
        if args[:1] == ["score"]:
            score.main(args[1:])
            return
        GANCLI(
            GAN,
            GANDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            parser_class=_Parser,
            parser_kwargs={"prog": "gan-lightning", "epilog": SCORE},
            save_config_callback=_SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_defaults=TRAINER_DEFAULTS,
            args=args,
        )
    except UserError as error:
        if error.on_all_ranks and _rank():
            raise SystemExit(0) from error
        _stop(str(error), error.exit_code)
    except OSError as error:
        if error.errno not in STORAGE_FAULTS:
            raise
        _stop(": ".join(map(str, filter(None, (error.filename, error.strerror)))), code=1)
    except KeyboardInterrupt:
        _stop("interrupted", code=130)
    except MisconfigurationException as error:
        _stop(" ".join(str(error).split()), code=1)


class _Parser(LightningArgumentParser):
    """Answers a mistake with one line."""

    #: The command line.
    given: ClassVar[Sequence[str]] = ()

    def parse_path(self, *args: Any, **kwargs: Any) -> Namespace:
        """Parse a file, which is to name no other."""
        return self._of_one_file(super().parse_path(*args, **kwargs))

    def parse_string(self, *args: Any, **kwargs: Any) -> Namespace:
        """Parse a text, which is to name no file."""
        return self._of_one_file(super().parse_string(*args, **kwargs))

    def _of_one_file(self, found: Namespace) -> Namespace:
        # jsonargparse appends the file's name to what stands there.
        if "config" in found:
            self.error("a config cannot have the key config: give several with --config each")
        return found

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        _stop(explain(message, self) + _of_other_versions(self.given), code=2)


class GANCLI(LightningCLI):
    """LightningCLI with the callbacks, and the data's shape and classes linked to the model."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """``--evaluate.*``, ``--checkpoint.*``, ``--samples.*``, ``--diversity.*``: callbacks'."""
        parser.add_lightning_class_args(Evaluate, "evaluate")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults(
            {
                "checkpoint.filename": "{step}",
                "checkpoint.save_last": "link",
                # A run has a folder of its own, and goes on in it.
                "checkpoint.enable_version_counter": False,
            }
        )
        parser.add_lightning_class_args(SampleWriter, "samples")
        parser.add_lightning_class_args(Diversity, "diversity")
        for name in ("shape", "num_classes"):
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse; what jsonargparse does not expect is the command line's mistake all the same."""
        try:
            super().parse_arguments(parser, args)
        except UnicodeDecodeError as error:
            parser.error(f"a config is not text in UTF-8 ({error})")
        except RecursionError:
            parser.error("a config or a value is nested too deeply, or holds itself")
        except _REFUSALS as error:
            parser.error(root_message(error))

    def _parse_ckpt_path(self) -> None:
        """Let the config and the command line stand; a checkpoint brings weights and state."""

    def before_instantiate_classes(self) -> None:
        """Find what a fit goes on from, and have Weights & Biases go on in the same run."""
        self.goes_on_in: Path | None = None
        self.goes_on_from: Path | None = None
        self.goes_on_with: list[str] = []
        config = self.config[str(self.subcommand)]
        if not isinstance(config.trainer, Namespace):
            self.parser.error(f"trainer: expected options, got {config.trainer}")
        for key, value in config.items():
            if any("\0" in text for text in _texts(value)):
                self.parser.error(f"{key}: no name holds a null character")
        if self.subcommand == "fit":
            # A job that was put back has gone farther than what its command names.
            run = requeue.remembered(Path(config.trainer.default_root_dir or "."))
            if run is not None:
                config.ckpt_path, self.goes_on_in = str(run.checkpoint), run.folder
        if (path := config.get("ckpt_path")) is None or path in LIGHTNINGS_CHECKPOINTS:
            return
        checkpoint = Path(path)
        _check_checkpoint(checkpoint)
        if self.subcommand != "fit":
            return
        self.goes_on_from = checkpoint.absolute().parent
        if not (self.goes_on_in or is_newest(checkpoint)):
            return
        self.goes_on_in = self.goes_on_in or self.goes_on_from.parent
        if "WandbLogger" in str(config.trainer.logger):
            states = read_checkpoint(checkpoint).get("callbacks", {})
            self.goes_on_with = states.get(ContinueLogs.__name__, {}).get("wandb", [])

    def _set_seed(self) -> None:
        """Seed; numpy takes no seed that is negative or beyond 32 bits."""
        try:
            super()._set_seed()
        except ValueError as error:
            self.parser.error(f"seed_everything: {error}")

    def instantiate_classes(self) -> None:
        """Build everything; a class that refuses its arguments is the command line's mistake."""
        try:
            super().instantiate_classes()
        except UserError:
            raise
        except MemoryError:
            self.parser.error("a value is given that needs more memory than there is")
        except (*_REFUSALS, MisconfigurationException) as error:
            self.parser.error(root_message(error))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that works for a GAN by default."""
        config = self._get(self.config_init, "trainer")
        if config["logger"] in (None, True):
            name = f"{type(self.datamodule).__name__}-{type(self.model).__name__}"
            root = Path(config["default_root_dir"] or ".")
            kwargs["logger"] = ContinuedCSVLogger(root, name, self._version(root / name))
        _continue_wandb(config["logger"], self.goes_on_with)
        given_plugins = config["plugins"] or []
        if not isinstance(given_plugins, list):
            given_plugins = [given_plugins]
        in_strategy = getattr(config["strategy"], "_checkpoint_io", None) is not None
        if not in_strategy and not any(isinstance(io, CheckpointIO) for io in given_plugins):
            given_plugins = [*given_plugins, AtomicCheckpointIO()]
        if config["sync_batchnorm"] and not any(isinstance(p, LayerSync) for p in given_plugins):
            given_plugins = [*given_plugins, SyncBatchNorm()]
        kwargs["plugins"] = given_plugins
        interval = config["val_check_interval"]
        if interval is not None and interval <= 0:
            raise ValueError(f"trainer.val_check_interval must be above 0, got {interval}")
        if isinstance(interval, int) and 0 < config["max_steps"] < interval:
            kwargs["val_check_interval"] = config["max_steps"]
        given = config["callbacks"] or []
        callbacks = [
            *(given if isinstance(given, list) else [given]),
            SampleGrid(),
            TrainingClock(),
            ContinueLogs(),
        ]
        if config["enable_progress_bar"] is not False:
            callbacks.append(StepProgressBar())
        callbacks.append(StopOnSignal())
        return super().instantiate_trainer(**kwargs, callbacks=callbacks)

    def _version(self, folder: Path) -> int | None:
        """That of the run which a fit goes on in; None for a new one."""
        run = self.goes_on_in
        if run is None or run.parent != folder.absolute():
            return None
        found = re.fullmatch(r"version_(\d+)", run.name)
        return int(found[1]) if found else None

    def _run_subcommand(self, subcommand: str) -> None:
        """Run; what others refuse to do with their arguments is the command line's mistake."""
        try:
            super()._run_subcommand(subcommand)
        except (UserError, OSError):
            raise
        except Exception as error:
            chosen = self._get(self.config, "ckpt_path") in LIGHTNINGS_CHECKPOINTS
            if isinstance(error, ValueError) and chosen and "ckpt_path=" in str(error):
                self.parser.error(str(error))
            if said := misuse(error):
                raise UserError(said) from error
            raise

    def before_fit(self) -> None:
        """Refuse to write over another run's checkpoints, or to train where nothing could stop it.

        Raises:
            ArgumentError: there are some, or processes are to be forked or spawned.
        """
        if isinstance(self.trainer.strategy.launcher, _MultiProcessingLauncher):
            raise ArgumentError("processes are started anew, not spawned or forked: take ddp")
        for callback in self.trainer.checkpoint_callbacks:
            if not isinstance(callback, ModelCheckpoint) or callback._enable_version_counter:
                continue
            place = checkpoint_folder(self.trainer, callback)
            if self.goes_on_from and real_path(place) == real_path(self.goes_on_from):
                continue
            if any(place.glob("*.ckpt")) and not _rank():
                raise ArgumentError(
                    f"{place} holds checkpoints of another run, which this one would write over: "
                    "name another place by --checkpoint.dirpath, or go on from one of them"
                )

    def after_validate(self) -> None:
        """Keep the scores."""
        _write_scores(self.trainer, "validate")

    def after_test(self) -> None:
        """Keep the scores."""
        _write_scores(self.trainer, "test")


def _write_scores(trainer: Trainer, command: str) -> None:
    """One JSON object of name: value, in the run's folder; null for what is not finite."""
    if not trainer.is_global_zero:
        return
    values = {name: float(value) for name, value in trainer.callback_metrics.items()}
    path = run_dir(trainer) / f"{command}.json"
    scores = {name: value if math.isfinite(value) else None for name, value in values.items()}
    with whole_file(path, "w") as file:
        file.write(json.dumps(scores, indent=1) + "\n")
    rank_zero_info(f"the scores are in {path}")


class _SaveConfig(SaveConfigCallback):
    """Keeps the resolved config of a fit beside its checkpoints, and in W&B."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Not yet: a checkpoint that does not fit is to leave what is there as it is."""

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, where there is a first evaluation."""
        self.save_config(trainer, pl_module, "fit")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, where there was none."""
        if not self.already_saved:
            self.save_config(trainer, pl_module, "fit")

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.already_saved = True
        if not trainer.is_global_zero:
            return
        path = run_dir(trainer) / self.config_filename
        config = self.config.clone()
        config.ckpt_path = None  # or it would go on from there whenever it is used
        text = self.parser.dump(config, skip_none=False)
        with whole_file(path, "w") as file:
            file.write(f"{WRITTEN_BY}{version('gan-lightning')}\n{text}")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(yaml.safe_load(path.read_text()))


def _check_checkpoint(path: Path) -> None:
    """Stop where there is none, before data and networks are made."""
    # Path's own raises for a name that is too long.
    if not os.path.isfile(path):
        _stop(f"--ckpt_path: there is no file {path}{beside(path)}", code=2)
    if not zipfile.is_zipfile(path):
        _stop(f"--ckpt_path: {path} is not a checkpoint{beside(path)}", code=2)


def _rank() -> int:
    return getattr(rank_zero_only, "rank", None) or 0


def _continue_wandb(loggers: Any, runs: Sequence[str]) -> None:  # noqa: ANN401
    """Give the loggers that name no run of W&B the ones that a checkpoint belongs to."""
    given = loggers if isinstance(loggers, list) else [loggers]
    mine = [logger for logger in given if isinstance(logger, WandbLogger)]
    for logger, run in zip(mine, runs, strict=False):
        if logger._wandb_init.get("id") is None:
            logger._id = logger._wandb_init["id"] = run
            logger._wandb_init["resume"] = "allow"


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401
    """All texts in a value of a config."""
    if isinstance(value, Namespace | dict):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple | set):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str | os.PathLike):
        yield str(value)


def _values(args: Sequence[str], *names: str) -> Iterator[str]:
    """What the command line gives for an option."""
    for arg, value in zip_longest(args, args[1:], fillvalue=""):
        name, equals, given = arg.partition("=")
        if name in names:
            yield given if equals else value


def _with_saved_config(args: list[str]) -> list[str]:
    """For a command on a checkpoint alone, the config that was saved with it."""
    given = {arg.split("=")[0] for arg in args}
    if args[:1] == ["fit"] or given & {"-c", "--config", "--model"}:
        return args
    for path in map(Path, _values(args, "--ckpt_path")):
        if str(path) in LIGHTNINGS_CHECKPOINTS:
            continue
        _check_checkpoint(path)
        for folder in list(path.parents)[:2]:
            if (config := folder / "config.yaml").is_file():
                return [args[0], "--config", str(config), *args[1:]]
    return args


def _of_other_versions(args: Sequence[str]) -> str:
    """Which of the configs was written by another version, in brackets; "" for none."""
    for path in _values(args, "-c", "--config"):
        try:
            with Path(path).open(errors="replace") as file:
                first = file.readline().strip()
        except OSError:
            continue
        theirs, ours = first.removeprefix(WRITTEN_BY), version("gan-lightning")
        if first.startswith(WRITTEN_BY) and theirs != ours:
            return f" ({path} was written by gan_lightning {theirs}, and this is {ours})"
    return ""


def _quieten(training: bool) -> None:
    """Leave out what libraries say of themselves, and Lightning's hints that do not apply here."""
    if not training:
        # A checkpoint's best scores matter to the run that goes on from it alone.
        warnings.filterwarnings("ignore", ".*The dirpath has changed.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.*")
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*LightningCLI's args parameter.*")
    # Every rank logs the same values.
    warnings.filterwarnings("ignore", ".*It is recommended to use .self.log.*sync_dist=True.*")
    warnings.filterwarnings("ignore", ".*Couldn't infer the batch indices.*")

    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(
        lambda record: "Tip:" not in record.getMessage()
    )


def _stop(message: str, code: int) -> NoReturn:
    print(f"gan-lightning: {one_line(' '.join(message.split()))}", file=sys.stderr)
    raise SystemExit(code)
