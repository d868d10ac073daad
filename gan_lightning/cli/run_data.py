"""The data of a run, as its saved config names it, for commands that no trainer runs."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import yaml
from pytorch_lightning.cli import LightningArgumentParser

from gan_lightning.cli.answers import explain, root_message
from gan_lightning.cli.saved_config import config_beside
from gan_lightning.cli.yaml_reader import load_yaml
from gan_lightning.data import GANDataModule
from gan_lightning.gan import GAN
from gan_lightning.utils.errors import ArgumentError, UserError, WrongFileError


class RunData(NamedTuple):
    """The data of a run, and the extractor that its scores are on, with its file of weights."""

    data: GANDataModule
    extractor: str
    weights: str | None


def run_data(checkpoint: Path, options: Sequence[str] = ()) -> RunData:
    """The data of the config beside a checkpoint, changed by options ``--data.*``.

    Nothing is downloaded or read yet.

    Raises:
        ArgumentError: there is no config and no ``--data CLASS``, or an option is wrong.
        WrongFileError: the config is damaged.
    """
    config = _saved(checkpoint)
    if "data" not in config and not any(each.split("=")[0] == "--data" for each in options):
        raise ArgumentError(
            f"no config of the run is beside {checkpoint}: name its data, such as --data Digits"
        )
    parser = _DataParser(prog="gan-lightning")
    parser.add_subclass_arguments(GANDataModule, "data", required=True)
    parser.add_argument("--config", action="config")
    saved = [f"--config={json.dumps({'data': config['data']})}"] if "data" in config else []
    try:
        built = parser.instantiate_classes(parser.parse_args([*saved, *options]))
    except UserError:
        raise
    except _WrongOption as wrong:
        raise ArgumentError(str(wrong)) from wrong
    except (ValueError, TypeError, OSError, ImportError, RuntimeError) as error:
        raise ArgumentError(f"--data: {root_message(error)}") from error
    evaluate = config.get("evaluate") or {}
    extractor = str(evaluate.get("extractor", "auto"))
    if extractor == "auto":
        extractor = built.data.extractor or "none"
    return RunData(built.data, extractor, evaluate.get("weights"))


def class_names(model: GAN, checkpoint: Path, options: Sequence[str] = ()) -> list[str]:
    """The names of a model's classes; their numbers where the data or its names are not at hand."""
    names = [str(i) for i in range(model.num_classes)]
    if not names:
        return names
    with suppress(UserError):
        data = run_data(checkpoint, options).data
        if data.num_classes == model.num_classes:
            names = [data.class_name(i) for i in range(model.num_classes)]
    return names


class _WrongOption(SystemExit):
    """What jsonargparse does not take for an error of its own, and does not answer itself."""


class _DataParser(LightningArgumentParser):
    """Answers a mistake with one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise _WrongOption(explain(message, self))


def _saved(checkpoint: Path) -> dict[str, Any]:
    path = config_beside(checkpoint)
    if path is None:
        return {}
    try:
        config = load_yaml(path.read_text())
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise WrongFileError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise WrongFileError(f"{path} is not the config of a run")
    return config
