"""Rows of a protocol: techniques, with options and a name of their own where they have some."""

import inspect
import re
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

from gan_lightning import GAN, TECHNIQUES
from gan_lightning.utils.errors import ArgumentError, one_line

#: The longest title, in characters; a longer one is cut.
MAX_TITLE = 80
#: A row's key, the name of the folder of its records: on every file system, and within one folder.
KEY = re.compile(r"[a-z0-9_][a-z0-9._-]{0,63}")
#: The longest key that is made from a title and has no checksum.
MAX_SLUG = 48
#: Configs and packages that are those of a record's commit.
CONFIGS = Path(__file__).parent.parent / "configs"
OWN_PACKAGES = ("gan_lightning", "benchmarks")


@dataclass(frozen=True)
class Variant:
    """A row of a protocol: a technique, and what distinguishes it from others of this technique.

    ``Variant("dcgan")`` is the technique as the protocol has it.

    Args:
        technique: the key in ``TECHNIQUES``, or the path of a class, such as ``my_module.MyGAN``.
        options: command-line options without dashes that override the config and the protocol's
            arguments, such as ``model.betas=[0.5,0.9]``.
        title: the name in tables, at most ``MAX_TITLE`` characters; by default the name of the
            class, with its config and options.
        config: the path of its config; None for the protocol's config of the technique.
        modules: the folder of the module that a class path names, if it is not installed.
        key: the folder of its records; by default made from the title, or the technique's key.

    Raises:
        ValueError: the key is not the name of a folder.
    """

    technique: str
    options: tuple[str, ...] = ()
    title: str = ""
    config: Path | None = None
    modules: Path | None = None
    key: str = ""

    def __post_init__(self) -> None:
        options = tuple(sorted(map(plain_option, self.options)))
        name = class_name(self.technique)
        title = one_line(self.title) or ", ".join(
            [name, *self._own_config_name(), *map(one_line, options)]
        )
        is_plain = not options and self.config is None and title == name
        by_default = self.technique if is_plain and _is_plain_key(self.technique) else slug(title)
        values = {
            "options": options,
            "title": shortened(title),
            "key": self.key or by_default,
        }
        for attribute, value in values.items():
            object.__setattr__(self, attribute, value)
        if not KEY.fullmatch(self.key):
            raise ValueError(f"{self.key!r} is not a key: it must match {KEY.pattern}")

    def _own_config_name(self) -> list[str]:
        # A custom class has no other config to be distinguished from.
        return [] if self.config is None or "." in self.technique else [self.config.name]

    @property
    def is_plain(self) -> bool:
        """Whether the row is a technique of ``TECHNIQUES`` as the protocol has it."""
        return self.key == self.technique

    def model_class(self) -> type[GAN]:
        """The class of the technique.

        Raises:
            ArgumentError: it cannot be imported, or is not a complete subclass of ``GAN``.
        """
        if self.technique in TECHNIQUES:
            return TECHNIQUES[self.technique]
        return import_technique(self.technique, self.modules)

    def default(self, name: str) -> Any:  # noqa: ANN401
        """The class's default of a hyperparameter; None if it has none."""
        technique = self.model_class()
        parameter = inspect.signature(technique).parameters.get(name)
        if parameter is None or parameter.default is parameter.empty:
            return getattr(technique, name, None)
        return parameter.default

    def files(self) -> dict[str, str]:
        """SHA-256 of the row's files that a commit does not tell: its config and its modules.

        The keys are the name of the config, and paths of modules relative to their folder.
        """
        files = module_files(self.model_class())
        if self.config is not None and CONFIGS not in self.config.parents:
            files[self.config.name] = self.config
        return {name: _checksum(path) for name, path in files.items()}


def plain_option(option: str) -> str:
    """An option as ``group.name=value``, without dashes and Lightning's ``init_args``."""
    name, equals, value = option.removeprefix("--").partition("=")
    return f"{name.replace('.init_args.', '.')}{equals}{value}"


def _is_plain_key(technique: str) -> bool:
    return "." not in technique and bool(KEY.fullmatch(technique))


def class_name(technique: str) -> str:
    """The name of the class of a key in ``TECHNIQUES``, or at the end of a class path."""
    if technique in TECHNIQUES:
        return TECHNIQUES[technique].__name__
    return technique.rpartition(".")[2]


def shortened(text: str) -> str:
    """The text in one line of at most ``MAX_TITLE`` characters."""
    line = one_line(text)
    if len(line) <= MAX_TITLE:
        return line
    return f"{line[: MAX_TITLE - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def slug(title: str) -> str:
    """The key of a title; it ends in a checksum where too much of the title is lost."""
    letters = unicodedata.normalize("NFKD", title.lower())
    text = re.sub(r"[^a-z0-9._-]+", "-", letters.encode("ascii", "ignore").decode()).strip("-.")
    lost = any(c.isalnum() and not c.isascii() for c in letters)
    if text and len(text) <= MAX_SLUG and not lost:
        return text
    checksum = sha256(title.encode()).hexdigest()[:8]
    return f"{text[:MAX_SLUG].strip('-.')}-{checksum}".lstrip("-")


def import_technique(path: str, folder: Path | None = None) -> type[GAN]:
    """The subclass of ``GAN`` at a class path, whose module may lie in ``folder``.

    Raises:
        ArgumentError: there is no such class, or it cannot be trained.
    """
    module_name, _, name = path.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in path.split(".")):
        raise ArgumentError(
            f"there is no technique {path!r}: choose from {', '.join(TECHNIQUES)}, or give the "
            "path of a class, such as my_module.MyGAN"
        )
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        found = getattr(import_module(module_name), name, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ArgumentError(f"{module_name} needs the module {error.name}") from error
        where = "" if folder is None else f" in {folder}, and none"
        raise ArgumentError(f"there is no module {error.name}{where} installed") from error
    except (Exception, SystemExit) as error:
        # A module can fail in any way.
        raise ArgumentError(
            f"{module_name} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if found is None:
        raise ArgumentError(f"there is no class {name} in {module_name}")
    if not (isinstance(found, type) and issubclass(found, GAN)):
        raise ArgumentError(f"{path} is not a subclass of gan_lightning.GAN")
    if missing := sorted(found.__abstractmethods__):
        raise ArgumentError(f"{path} does not define {', '.join(missing)}")
    return found


def module_files(technique: type[GAN]) -> dict[str, Path]:
    """The file of a class's module, and of the modules that it imports from the same folder.

    Of an installed package it is the package's folder. The keys are paths relative to the folder of
    modules; a class of this repository has none.
    """
    module = sys.modules[technique.__module__]
    if module.__name__.partition(".")[0] in OWN_PACKAGES or module.__file__ is None:
        return {}
    file = Path(module.__file__).resolve()
    folder = file.parents[module.__name__.count(".") + (file.stem == "__init__")]
    if folder.name in ("site-packages", "dist-packages"):
        # What an installed package imports is mostly other packages; all of its own files count.
        top = folder / module.__name__.partition(".")[0]
        return {top.name: top} if top.is_dir() else {file.name: file}
    finder = _Finder(path=[str(folder)], excludes=[*OWN_PACKAGES])
    try:
        finder.import_hook(module.__name__)
    except ImportError:
        finder.load_file(str(file))  # in a folder without __init__.py
    found = (getattr(each, "__file__", None) for each in finder.modules.values())
    paths = {file, *(Path(path) for path in found if path)}
    return {path.relative_to(folder).as_posix(): path for path in sorted(paths)}


class _Finder(ModuleFinder):
    """Finds the modules that a module imports."""

    def find_module(self, name: str, path: str | None, parent: Any = None) -> Any:  # noqa: ANN401
        """As the base class does, which fails on folders without ``__init__.py``."""
        try:
            return super().find_module(name, path, parent)
        except AttributeError as error:
            raise ImportError(f"{name} has no __init__.py") from error


def _checksum(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all Python files in a folder."""
    if path.is_file():
        return sha256(path.read_bytes()).hexdigest()
    total = sha256()
    for file in sorted(path.rglob("*.py")):
        total.update(f"{file.relative_to(path).as_posix()} {_checksum(file)}\n".encode())
    return total.hexdigest()


def check_modules(technique: str, recorded: Mapping[str, str], folder: Path) -> None:
    """Check that the modules that a record was made with can be imported, and have not changed.

    Raises:
        ArgumentError: it cannot, or they are not.
    """
    if not recorded:
        return
    here = Variant(technique, modules=folder).files()
    if changed := [name for name, checksum in here.items() if recorded.get(name) != checksum]:
        raise ArgumentError(f"{', '.join(changed)} is not as the record was made with")
