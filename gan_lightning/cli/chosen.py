"""The techniques that a command line names: by their keys, or from other packages."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from gan_lightning.cli.saved_config import values
from gan_lightning.cli.yaml_reader import load_yaml
from gan_lightning.techniques import TECHNIQUES

_MODEL_OPTIONS = ("--model", "--model.class_path", "--model.help")


def with_chosen_techniques(args: Sequence[str]) -> list[str]:
    """The arguments, with each key of a technique that ``--model`` has as the path of its class.

    The classes of other packages that the arguments or a config name are imported, so that
    jsonargparse knows them.

    Raises:
        BrokenPackageError: such a class cannot be imported.
    """
    given = list(_paths_for_keys(args))
    for name in (*values(given, *_MODEL_OPTIONS), *_names_in_configs(given)):
        TECHNIQUES.import_class(name)
    return given


def _paths_for_keys(args: Sequence[str]) -> Iterator[str]:
    for before, arg in zip(["", *args], args, strict=False):
        name, equals, value = arg.partition("=")
        if before in _MODEL_OPTIONS:
            yield _path_for_key(arg)
        elif name in _MODEL_OPTIONS and equals:
            yield f"{name}={_path_for_key(value)}"
        else:
            yield arg


def _path_for_key(name: str) -> str:
    # Class names come first, and only names of this package's are known to be unique.
    if name in TECHNIQUES.own.values() or name not in TECHNIQUES:
        return name
    technique = TECHNIQUES[name]
    return f"{technique.__module__}.{technique.__qualname__}"


def _names_in_configs(args: Sequence[str]) -> Iterator[str]:
    """The models that configs name; what is wrong with a config is left to the parser."""
    for given in values(args, "-c", "--config"):
        with suppress(OSError, ValueError, yaml.YAMLError, RecursionError):
            # A config is given as a path, or as its text.
            path = Path(given)
            config = load_yaml(path.read_text() if path.is_file() else given)
            model = config.get("model") if isinstance(config, dict) else None
            name = model.get("class_path") if isinstance(model, dict) else model
            if isinstance(name, str):
                yield name
