"""The techniques that a command line names: by their keys, or from other packages."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from gan_lightning.cli.saved_config import values
from gan_lightning.cli.yaml_reader import load_yaml
from gan_lightning.techniques import TECHNIQUES

_MODEL_OPTIONS = ("--model", "--model.class_path", "--model.help")
_CONFIG_OPTIONS = ("-c", "--config")


def with_chosen_techniques(args: Sequence[str]) -> list[str]:
    """The arguments, with the path of its class for each technique that ``--model`` names.

    And for those in configs. They are given by key or class, in any spelling. The classes of other
    packages that the arguments or a config name are imported, so that jsonargparse knows them.

    Raises:
        BrokenPackageError: such a class cannot be imported.
    """
    given = list(_replaced(args, _CONFIG_OPTIONS, _config_with_path))
    given = list(_replaced(given, _MODEL_OPTIONS, _path_for_name))
    for name in (*values(given, *_MODEL_OPTIONS), *_names_in_configs(given)):
        TECHNIQUES.import_class(name)
    return given


def _replaced(
    args: Sequence[str], options: Sequence[str], replace: Callable[[str], str]
) -> Iterator[str]:
    """The arguments, with each value of the options replaced."""
    for before, arg in zip(["", *args], args, strict=False):
        name, equals, value = arg.partition("=")
        if before in options:
            yield replace(arg)
        elif name in options and equals:
            yield f"{name}={replace(value)}"
        else:
            yield arg


def _path_for_name(name: str) -> str:
    # Class names come first, and only names of this package's are known to be unique.
    if name in TECHNIQUES.own.values() or "." in name or (key := TECHNIQUES.find(name)) is None:
        return name
    if key not in TECHNIQUES.own and TECHNIQUES.offers[key].class_name == name:
        return name
    technique = TECHNIQUES[key]
    return f"{technique.__module__}.{technique.__qualname__}"


def _config_with_path(given: str) -> str:
    """A config or, where it names its model otherwise than by class or path, its text with that."""
    config = _read_config(given)
    model = config.get("model")
    name = model.get("class_path") if isinstance(model, dict) else model
    if not isinstance(name, str) or (path := _path_for_name(name)) == name:
        return given
    config["model"] = {**model, "class_path": path} if isinstance(model, dict) else path
    return yaml.safe_dump(config, sort_keys=False)


def _names_in_configs(args: Sequence[str]) -> Iterator[str]:
    """The models that configs name; what is wrong with a config is left to the parser."""
    for given in values(args, *_CONFIG_OPTIONS):
        model = _read_config(given).get("model")
        name = model.get("class_path") if isinstance(model, dict) else model
        if isinstance(name, str):
            yield name


def _read_config(given: str) -> dict[str, Any]:
    """The config that is given as a path, or as its text; empty if it cannot be read."""
    with suppress(OSError, ValueError, yaml.YAMLError, RecursionError):
        path = Path(given)
        config = load_yaml(path.read_text() if path.is_file() else given)
        if isinstance(config, dict):
            return config
    return {}
