"""The config that a run keeps beside its checkpoints, and finds again by a checkpoint's path."""

import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.cli import SaveConfigCallback
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.trainer.states import TrainerFn

from gan_lightning.cli.configs import find_config, named_configs
from gan_lightning.trainer import CHOSEN_BY_LIGHTNING
from gan_lightning.training.checkpoints import beside
from gan_lightning.training.paths import run_dir
from gan_lightning.training.seeds import global_seed
from gan_lightning.utils.errors import ArgumentError
from gan_lightning.utils.files import whole_file
from gan_lightning.utils.suggestions import no_such
from gan_lightning.version import __version__

#: What a saved config begins with.
WRITTEN_BY = "# gan_lightning=="


class SaveConfig(SaveConfigCallback):
    """Keeps the resolved config of a fit beside its checkpoints, and in Weights & Biases.

    That of another command is ``<command>.yaml``, and names the checkpoint.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Not yet: where a checkpoint turns out not to fit, the folder must stay as it is."""

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, where there is a first evaluation."""
        self.save_config(trainer, pl_module, "fit")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, where there was none."""
        if not self.already_saved:
            self.save_config(trainer, pl_module, "fit")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, where this is no validation of a fit."""
        if (command := trainer.state.fn) is not None and command != TrainerFn.FITTING:
            self._write(trainer, f"{command.value}.yaml", trainer.ckpt_path)

    on_test_start = on_predict_start = on_validation_start

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the config with the seed that holds, without the checkpoint of a resumed fit."""
        self.already_saved = True
        # Or whoever uses the config would resume from it.
        path = self._write(trainer, self.config_filename, ckpt_path=None)
        if path is None:
            return
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(yaml.safe_load(path.read_text()))

    def _write(self, trainer: Trainer, name: str, ckpt_path: Any) -> Path | None:  # noqa: ANN401
        """Write the config; its path, but on other ranks and where nothing is to be added."""
        if not trainer.is_global_zero or trainer.barebones:
            return None
        path = run_dir(trainer) / name
        config = self.config.clone()
        config.ckpt_path = ckpt_path and str(ckpt_path)
        if config.seed_everything is not False:
            config.seed_everything = global_seed()
        if "init_from" in config and config.init_from is None:
            del config["init_from"]
        text = self.parser.dump(config, skip_none=False)
        with whole_file(path, "w") as file:
            file.write(f"{WRITTEN_BY}{__version__}\n{text}")
        return path


def with_saved_config(args: list[str]) -> list[str]:
    """The arguments of a command on a checkpoint alone, with the config that was saved with it.

    Raises:
        ArgumentError: there is no config, and no such checkpoint.
    """
    given = {arg.split("=")[0] for arg in args}
    if given & {"-c", "--config", "--model"}:
        return list(_with_configs_of(args[0], args))
    for path in map(Path, values(args, "--ckpt_path")):
        if str(path) in CHOSEN_BY_LIGHTNING:
            continue
        if config := config_beside(path):
            return [args[0], "--config", _config_of(args[0], str(config)), *args[1:]]
        check_is_checkpoint(path)
    return args


def config_beside(checkpoint: Path) -> Path | None:
    """The config that was saved with a checkpoint, if there is one."""
    paths = (folder / "config.yaml" for folder in list(checkpoint.parents)[:2])
    return next((path for path in paths if os.path.isfile(path)), None)


def checkpoint_of(path: Path) -> Path:
    """The checkpoint itself or, where the path is the folder of a run, its last one.

    Raises:
        ArgumentError: it is no checkpoint.
    """
    last = path / "checkpoints" / "last.ckpt"
    path = last if os.path.isfile(last) else path
    check_is_checkpoint(path)
    return path


def _with_configs_of(command: str, args: Sequence[str]) -> Iterator[str]:
    """The arguments of a command, with each config as ``_config_of`` has it."""
    for before, arg in pairwise(["", *args]):
        name, equals, value = arg.partition("=")
        if before in ("-c", "--config"):
            yield _config_of(command, arg)
        elif name == "--config" and equals:
            yield f"{name}={_config_of(command, value)}"
        else:
            yield arg


def _config_of(command: str, given: str) -> str:
    """The path of a config or, for a command other than fit, its text without ``init_from``.

    It is given as a path, as a name, or as its text. What is no text is left to the parser.

    Raises:
        ArgumentError: there is no such file, and no config of that name.
    """
    path: str | Path = given
    if not os.path.isfile(given):
        if re.search(r"[:{\n]", given) or given in ("", "null"):
            return given
        found = find_config(given)
        if found is None:
            hint = no_such(
                "config", given, named_configs(), listed=False, lister="gan-lightning configs"
            )
            raise ArgumentError(f"--config: {given} is no file, and {hint}")
        path = found
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError):
        return str(path)
    if command == "fit" or "\ninit_from:" not in text:
        return str(path)
    return re.sub(r"^init_from:.*\n(?:[ \t]+.*\n)*", "", text, flags=re.MULTILINE)


def check_is_checkpoint(path: Path, option: str = "ckpt_path") -> None:
    """Check the path that an option has, before data and networks are made.

    Raises:
        ArgumentError: there is no such file, or it is not a checkpoint.
    """
    # Path's own is_file raises for a name that is too long.
    if not os.path.isfile(path):
        raise ArgumentError(f"--{option}: there is no file {path}{beside(path)}")
    if not zipfile.is_zipfile(path):
        raise ArgumentError(f"--{option}: {path} is not a checkpoint{beside(path)}")


def hint_at_other_versions(args: Sequence[str]) -> str:
    """A hint, in brackets, at a config that another version wrote; "" where there is none."""
    for path in values(args, "-c", "--config"):
        try:
            with Path(path).open(errors="replace") as file:
                first = file.readline().strip()
        except OSError:
            continue
        theirs, ours = first.removeprefix(WRITTEN_BY), __version__
        if first.startswith(WRITTEN_BY) and theirs != ours:
            return f" ({path} was written by gan_lightning {theirs}, and this is {ours})"
    return ""


def values(args: Sequence[str], *names: str) -> Iterator[str]:
    """The values that the command line gives for an option."""
    for arg, value in zip_longest(args, args[1:], fillvalue=""):
        name, equals, given = arg.partition("=")
        if name in names:
            yield given if equals else value
