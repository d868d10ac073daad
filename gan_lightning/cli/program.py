"""The command line: ``gan-lightning fit | validate | test | predict``, ``score`` and ``grid``."""

import errno
import json
import math
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import pytorch_lightning as pl
from jsonargparse import Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities import rank_zero_info, rank_zero_only

from gan_lightning.callbacks import Diversity, Evaluate, RunCheckpoint, SampleWriter
from gan_lightning.cli import yaml_reader  # noqa: F401  (how jsonargparse reads YAML)
from gan_lightning.cli.answers import explain, misuse, root_message
from gan_lightning.cli.chosen import with_chosen_techniques
from gan_lightning.cli.front import find_working_folder, stop
from gan_lightning.cli.help import asked_group, ours_first
from gan_lightning.cli.saved_config import (
    SaveConfig,
    check_is_checkpoint,
    hint_at_other_versions,
    with_saved_config,
)
from gan_lightning.data import GANDataModule
from gan_lightning.gan import GAN
from gan_lightning.techniques import TECHNIQUES
from gan_lightning.trainer import (
    CHOSEN_BY_LIGHTNING,
    Trainer,
    quiet_libraries,
)
from gan_lightning.training import requeue
from gan_lightning.training.iteration import look_for_gpus_once
from gan_lightning.training.lightning_internals import ignore_config_in_checkpoint
from gan_lightning.training.paths import run_dir
from gan_lightning.utils.errors import ArgumentError, UserError
from gan_lightning.utils.files import whole_file
from gan_lightning.utils.processes import end_with_parent

SCORE = "gan-lightning score --real DIR --fake DIR compares two folders of images (score --help)."
#: Commands that are modules of this package, with a parser of their own.
WITHOUT_TRAINER = ("score", "grid", "benchmark")
#: Errors of a place on a disk, not of the code.
STORAGE_FAULTS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
}
# jsonargparse finds the classes for --model among the subclasses that are imported.
TECHNIQUES.import_own()

#: Seeds that NumPy takes.
SEEDS = range(2**32)

#: Raised by a value of the right type that is refused: a number that is too large, a path that
#: cannot be used, a class whose package is not installed.
_REFUSALS = (ValueError, TypeError, OverflowError, OSError, ImportError, RuntimeError)


def main(args: Sequence[str] | None = None) -> None:
    """Run one command; without ``args``, the process's own.

    Exits with one line, and with 2 where the command line or a config is wrong, 1 where data,
    weights or files are missing or unusable, 3 where training diverged, and 128 plus its number,
    such as 130, where a signal stopped it.
    """
    args = sys.argv[1:] if args is None else list(args)
    quiet_libraries()
    warnings.filterwarnings("ignore", ".*LightningCLI's args parameter.*")
    look_for_gpus_once()
    end_with_parent()
    requeue.begin_fit(first=True)
    find_working_folder()
    try:
        if args and args[0] in WITHOUT_TRAINER:
            # What it needs alone is not imported for a fit.
            import_module(f"gan_lightning.cli.{args[0]}").main(args[1:])
            return
        if group := asked_group(args):
            _Parser.group, args = group, [args[0], "--help"]
        args = with_saved_config(args)
        _Parser.given = args = with_chosen_techniques(args)
        GANCLI(
            GAN,
            GANDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            parser_class=_Parser,
            parser_kwargs={"prog": "gan-lightning", "epilog": SCORE},
            save_config_callback=SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_class=Trainer,
            args=args,
        )
    except UserError as error:
        if error.on_all_ranks and _rank():
            raise SystemExit(0) from error
        stop(str(error), error.exit_code)
    except OSError as error:
        if error.errno not in STORAGE_FAULTS:
            raise
        stop(": ".join(map(str, filter(None, (error.filename, error.strerror)))), code=1)
    except KeyboardInterrupt:
        stop("interrupted", code=130)
    except MisconfigurationException as error:
        stop(str(error), code=1)
    except Exception as error:
        if (message := misuse(error)) is None:
            raise
        # Lightning found no checkpoint of its own choice.
        stop(message, code=2 if "ckpt_path=" in message else 1)
    finally:
        _Parser.given, _Parser.group = (), ""


class _Parser(LightningArgumentParser):
    """Answers a mistake with one line."""

    #: The command line.
    given: ClassVar[Sequence[str]] = ()
    #: The group of options that the help is of; "" for all.
    group: ClassVar[str] = ""

    def format_help(self, *args: Any, **kwargs: Any) -> str:
        """The help, with our options first."""
        return ours_first(super().format_help(*args, **kwargs), self.group)

    def parse_path(self, *args: Any, **kwargs: Any) -> Namespace:
        """Parse a file, which must not name another."""
        return self._names_no_config(super().parse_path(*args, **kwargs))

    def parse_string(self, *args: Any, **kwargs: Any) -> Namespace:
        """Parse a text, which must not name a file."""
        return self._names_no_config(super().parse_string(*args, **kwargs))

    def _names_no_config(self, parsed: Namespace) -> Namespace:
        # jsonargparse appends the file's name to what stands there.
        if "config" in parsed:
            self.error("a config cannot have the key config: give several with --config each")
        return parsed

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        stop(explain(message, self) + hint_at_other_versions(self.given), code=2)


@ignore_config_in_checkpoint
class GANCLI(LightningCLI):
    """LightningCLI with the callbacks, and the data's shape and classes linked to the model."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's or, where the command line begins with one of them, this one alone.

        A command has a parser of its own, which takes long to build.
        """
        every = LightningCLI.subcommands()
        first = next(iter(_Parser.given), "")
        return {first: every[first]} if first in every else every

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """``--evaluate.*``, ``--checkpoint.*``, ``--samples.*``, ``--diversity.*``: callbacks'."""
        parser.add_lightning_class_args(Evaluate, "evaluate")
        parser.add_lightning_class_args(RunCheckpoint, "checkpoint")
        parser.add_lightning_class_args(SampleWriter, "samples")
        parser.add_lightning_class_args(Diversity, "diversity")
        for name in ("shape", "num_classes"):
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse; what jsonargparse does not expect is a mistake on the command line all the same.

        And refuse seeds that NumPy does not take, negative ones or those beyond 32 bits.
        """
        try:
            super().parse_arguments(parser, args)
        except UnicodeDecodeError as error:
            parser.error(f"a config is not text in UTF-8 ({error})")
        except RecursionError:
            parser.error("a config or a value is nested too deeply, or contains itself")
        except _REFUSALS as error:
            parser.error(root_message(error))
        seed = self.config[str(self.config.subcommand)].seed_everything
        if not isinstance(seed, bool) and seed not in SEEDS:
            parser.error(f"seed_everything must be from 0 to {SEEDS[-1]}, got {seed}")

    def before_instantiate_classes(self) -> None:
        """Check what costs nothing, before data and networks are made."""
        config = self.config[str(self.subcommand)]
        if not isinstance(config.trainer, Namespace):
            self.parser.error(f"trainer: expected options, got {config.trainer}")
        for key, value in config.items():
            if any("\0" in text for text in _texts(value)):
                self.parser.error(f"{key}: no name holds a null character")
        root = Path(config.trainer.default_root_dir or ".")
        # A requeued job resumes from another checkpoint than its command names.
        if self.subcommand == "fit" and requeue.remembered(root) is not None:
            return
        resumed = config.get("ckpt_path")
        # A run that resumes does not need what it was started from.
        option = "init_from" if resumed is None else "ckpt_path"
        path = config.get(option)
        if path is not None and path not in CHOSEN_BY_LIGHTNING:
            check_is_checkpoint(Path(path), option)

    def instantiate_classes(self) -> None:
        """Build everything; a class that refuses its arguments is a mistake on the command line."""
        try:
            super().instantiate_classes()
        except UserError:
            raise
        except MemoryError:
            self.parser.error("there is not enough memory for a value that is given")
        except (*_REFUSALS, MisconfigurationException) as error:
            self.parser.error(root_message(error))

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Lightning's, but its switches turn off the callbacks that the command line adds."""
        config, built = (each[str(self.subcommand)] for each in (self.config, self.config_init))
        options = built.trainer
        off = {"checkpoint"} if options.enable_checkpointing is False else set()
        if options.barebones:
            off = {"evaluate", "checkpoint", "diversity"}
        given = options.callbacks if isinstance(options.callbacks, list) else [options.callbacks]
        if any(isinstance(each, ModelCheckpoint) for each in given):
            defaults = {
                name: parameter.default
                for each in (ModelCheckpoint, RunCheckpoint)
                for name, parameter in signature(each).parameters.items()
                if parameter.kind != parameter.VAR_KEYWORD
            }
            if config.checkpoint.as_dict() != defaults:
                raise ArgumentError(
                    "--checkpoint.* and a ModelCheckpoint of --trainer.callbacks exclude each "
                    "other: set the options of one of them"
                )
            off.add("checkpoint")
        for key in off:
            built[key] = pl.Callback()  # which does nothing
        return super().instantiate_trainer(**kwargs)

    def after_validate(self) -> None:
        """Keep the scores."""
        _write_scores(self.trainer, "validate")

    def after_test(self) -> None:
        """Keep the scores."""
        _write_scores(self.trainer, "test")


def _write_scores(trainer: pl.Trainer, command: str) -> None:
    """One JSON object of name: value, in the run's folder; null for what is not finite."""
    debugging = trainer.fast_dev_run  # type: ignore[attr-defined]
    if not trainer.is_global_zero or not trainer.callback_metrics or debugging:
        return
    values = {name: float(value) for name, value in trainer.callback_metrics.items()}
    path = run_dir(trainer) / f"{command}.json"
    scores = {name: value if math.isfinite(value) else None for name, value in values.items()}
    with whole_file(path, "w") as file:
        file.write(json.dumps(scores, indent=1) + "\n")
    rank_zero_info(f"the scores are in {path}")


def _rank() -> int:
    return getattr(rank_zero_only, "rank", None) or 0


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
