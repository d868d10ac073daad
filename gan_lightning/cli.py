"""The command line: ``gan-lightning fit | validate | test | predict``, and ``score``."""

import json
import logging
import math
import os
import sys
import warnings
import zipfile
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NoReturn

import torch
import yaml
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
from pytorch_lightning.plugins import CheckpointIO
from pytorch_lightning.utilities import rank_zero_info

from gan_lightning import (
    cli_yaml,  # noqa: F401  (how jsonargparse is to read YAML)
    score,
)
from gan_lightning.callbacks import (
    ContinueLogs,
    Evaluate,
    SampleGrid,
    SampleWriter,
    StepProgressBar,
    TrainingClock,
    run_dir,
)
from gan_lightning.checkpoints import AtomicCheckpointIO
from gan_lightning.cli_errors import explain, in_one_line, root_message
from gan_lightning.data import GANDataModule
from gan_lightning.errors import ArgumentError, UserError
from gan_lightning.loggers import ContinuedCSVLogger
from gan_lightning.module import GAN
from gan_lightning.speed import look_for_gpus_once
from gan_lightning.techniques import TECHNIQUES  # noqa: F401  (the classes that --model knows)

TRAINER_DEFAULTS: dict[str, Any] = {
    "default_root_dir": "runs",
    "max_steps": 10_000,
    "max_epochs": -1,
    "val_check_interval": 1000,
    "check_val_every_n_epoch": None,
    # The untrained generator is scored too, by the code that will score the trained one.
    "num_sanity_val_steps": -1,
}

SCORE = "gan-lightning score --real DIR --fake DIR compares two folders of images (score --help)."
#: Words that Lightning takes for a checkpoint of its own choice.
LIGHTNINGS_CHECKPOINTS = ("best", "last", "hpc", "registry")

#: What a value raises that has the right type and will not do: a number that is too large, a path
#: that cannot be used, or a class whose package is not installed, among them.
_REFUSALS = (ValueError, TypeError, OverflowError, OSError, ImportError, RuntimeError)


def main(args: Sequence[str] | None = None) -> None:
    """Run one command; without ``args``, the process's own.

    Exits with 2 and one line for what the command line or a config has wrong, with 1 and one line
    for data or weights that are missing, with 130 where it is interrupted.
    """
    args = sys.argv[1:] if args is None else list(args)
    _quieten(training=args[:1] == ["fit"])
    look_for_gpus_once()
    checkpoint = _checkpoint(args)
    if checkpoint is not None:
        args = _with_saved_config(args, checkpoint)
    try:
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
        _stop(str(error), error.exit_code)
    except KeyboardInterrupt:
        _stop("interrupted", code=130)
    except MisconfigurationException as error:
        _stop(" ".join(str(error).split()), code=1)


class _Parser(LightningArgumentParser):
    """Answers a mistake with one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        _stop(explain(message, self), code=2)


class GANCLI(LightningCLI):
    """LightningCLI with the callbacks, and the data's shape and classes linked to the model."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """``--evaluate.*``, ``--checkpoint.*`` and ``--samples.*`` configure callbacks."""
        parser.add_lightning_class_args(Evaluate, "evaluate")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults({"checkpoint.filename": "{step}", "checkpoint.save_last": "link"})
        parser.add_lightning_class_args(SampleWriter, "samples")
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
            kwargs["logger"] = ContinuedCSVLogger(config["default_root_dir"], name)
        given_plugins = config["plugins"] or []
        if not isinstance(given_plugins, list):
            given_plugins = [given_plugins]
        in_strategy = getattr(config["strategy"], "_checkpoint_io", None) is not None
        if not in_strategy and not any(isinstance(io, CheckpointIO) for io in given_plugins):
            kwargs["plugins"] = [*given_plugins, AtomicCheckpointIO()]
        if config["strategy"] == "auto" and _several_devices(config):
            # In each of the two phases the other network has no gradients.
            kwargs["strategy"] = "ddp_find_unused_parameters_true"
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
        return super().instantiate_trainer(**kwargs, callbacks=callbacks)

    def _run_subcommand(self, subcommand: str) -> None:
        """Run; a checkpoint that Lightning is to find, and does not, is the user's mistake."""
        try:
            super()._run_subcommand(subcommand)
        except ValueError as error:
            chosen = self._get(self.config, "ckpt_path") in LIGHTNINGS_CHECKPOINTS
            if chosen and "ckpt_path=" in str(error):
                self.parser.error(str(error))
            raise

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
    _make_folder(path.parent)
    scores = {name: value if math.isfinite(value) else None for name, value in values.items()}
    path.write_text(json.dumps(scores, indent=1) + "\n")
    rank_zero_info(f"the scores are in {path}")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentError(
            f"the run cannot be kept in {folder} ({error.strerror or error}): name another folder "
            "with --trainer.default_root_dir"
        ) from error


class _SaveConfig(SaveConfigCallback):
    """Keeps the resolved config of a fit beside its checkpoints, and in W&B."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        path = run_dir(trainer) / self.config_filename
        _make_folder(path.parent)
        self.parser.save(self.config, path, skip_none=False, overwrite=True)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(yaml.safe_load(path.read_text()))


def _several_devices(config: Any) -> bool:  # noqa: ANN401
    if config["num_nodes"] > 1:
        return True
    match config["devices"]:
        case "auto" | -1 | "-1":
            return (
                config["accelerator"] in ("auto", "gpu", "cuda") and torch.cuda.device_count() > 1
            )
        case int(count) | [int(count)]:
            return config["devices"] == count and count > 1
        case str(text):
            return text != "1"
        case several:
            return len(several) > 1


def _checkpoint(args: list[str]) -> Path | None:
    """The file that ``--ckpt_path`` names; stops where it is not a checkpoint."""
    for arg, value in zip_longest(args, args[1:], fillvalue=""):
        if arg == "--ckpt_path" or arg.startswith("--ckpt_path="):
            path = Path(arg.partition("=")[2] or value)
            if str(path) in LIGHTNINGS_CHECKPOINTS:
                return None
            # Path's own raises for a name that is too long.
            if not os.path.isfile(path):
                _stop(f"--ckpt_path: there is no file {path}", code=2)
            if not zipfile.is_zipfile(path):
                _stop(f"--ckpt_path: {path} is not a checkpoint", code=2)
            return path
    return None


def _with_saved_config(args: list[str], checkpoint: Path) -> list[str]:
    """For a command on a checkpoint alone, the config that was saved with it."""
    given = {arg.split("=")[0] for arg in args}
    if args[0] == "fit" or given & {"-c", "--config", "--model"}:
        return args
    for folder in list(checkpoint.parents)[:2]:
        if (config := folder / "config.yaml").is_file():
            return [args[0], "--config", str(config), *args[1:]]
    return args


def _quieten(training: bool) -> None:
    """Leave out what libraries say of themselves, and Lightning's hints that do not apply here."""
    if not training:
        # A checkpoint's best scores matter to the run that goes on from it alone.
        warnings.filterwarnings("ignore", ".*The dirpath has changed.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.*")
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*LightningCLI's args parameter.*")
    warnings.filterwarnings("ignore", ".*Couldn't infer the batch indices.*")

    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(
        lambda record: "Tip:" not in record.getMessage()
    )


def _stop(message: str, code: int) -> NoReturn:
    print(f"gan-lightning: {in_one_line(message)}", file=sys.stderr)
    raise SystemExit(code)
