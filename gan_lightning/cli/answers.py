"""Answers to mistakes on the command line: one line, with a suggestion."""

import inspect
import re
import traceback
from collections.abc import Iterable, Iterator

import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.cli import LightningArgumentParser
from pytorch_lightning.loggers import Logger

from gan_lightning.cli.front import COMMANDS
from gan_lightning.data import GANDataModule
from gan_lightning.gan import GAN
from gan_lightning.techniques import TECHNIQUES
from gan_lightning.utils.suggestions import no_such

#: The base of the classes that an option names.
BASES: dict[str, type] = {
    "model": GAN,
    "data": GANDataModule,
    "trainer.logger": Logger,
    "trainer.callbacks": Callback,
}
#: Packages whose errors are about the arguments that they are given.
CHECKING_PACKAGES = ("pytorch_lightning.", "lightning_fabric.", "torch.optim.")
#: What torch and oneDNN say where memory is used up.
NO_MEMORY = re.compile("can't allocate memory|could not create a primitive$")
#: Lightning's callbacks and loggers, some of which do not apply to a GAN or need a package.
ADDED = ("pytorch_lightning.callbacks.", "pytorch_lightning.tuner.", "pytorch_lightning.loggers.")
#: Those of Lightning's that a GAN trains with: the others scale losses, or need special hardware.
PRECISIONS = ("32-true", "bf16-mixed", "bf16-true", "64-true")


def explain(message: str, parser: LightningArgumentParser) -> str:
    """jsonargparse's ``message`` in one line, with a suggestion where something is misspelt."""
    if found := re.search(r'Parser key "(\w+)".*NestedArg\(key=\'(\w+)\'', message, re.DOTALL):
        return f"--{found[1]}.{found[2]} needs the class before it: --{found[1]} CLASS"
    if found := re.search(r"unrecognized arguments: (\S+)", message):
        return _no_option(found[1].split("=")[0], _options(parser))
    if found := re.search(r"does not accept option '([^']+)'", message):
        return _no_option("--" + found[1], _options(parser))
    if found := re.search(r"[Oo]ption '([^']+)' is not accepted", message):
        return _no_option(found[1], _arguments())
    if found := re.search(r"invalid choice: '([^']*)' \(choose from (.*?)\)", message):
        if found[1] in COMMANDS:
            return f"the command {found[1]} must come first"
        return no_such("command", found[1], COMMANDS)
    if re.search(r"to be one of \{(.*?)\}", message):
        return f"a command is missing: {', '.join(COMMANDS)}"
    if found := re.search(r"arguments are required: (.*)", message):
        names = found[1].split(", ")
        if arguments := [_option_of(name) for name in names if "." not in name]:
            return f"{' and '.join(arguments)} missing"
        missing = " and ".join("--" + name.split(".", 1)[-1] for name in names)
        return f"{missing} missing: give a config (--config FILE) or name the class"
    if found := re.search(r"dot import path string: (\S+)|has no attribute '(\w+)'", message):
        key = re.search(r'Parser key "([\w.]+)"|^(?:argument )?--(\w+)\.help', message)
        option = key and (key[1] or key[2])
        if option and (kind := BASES.get(option)):
            name = found[1] or found[2]
            return f"--{option}: " + no_such("class", name, _class_names(kind))
    if found := re.search(r'Parser key "([\w.]+)":\s+Expected an? (.*)\. Got value: (.*)', message):
        wanted = re.sub(r"<class '([\w.]+)'>", r"\1", found[2])
        wanted = re.sub(r"typing.Literal\[(.*)\]", r"one of \1", wanted)
        return f"{found[1]}: expected {wanted}, got {found[3]}"
    union = r'Parser key "([\w.]+)":.*Subtypes: (.*?)\s+Errors:.*Given value: (.*)'
    if found := re.search(union, message, re.DOTALL):
        choices = re.findall(r"<class '([\w.]+)'>", found[2])
        for literals in re.findall(r"typing.Literal\[(.*?)\]", found[2]):
            choices[-1:-1] = literals.replace("'", "").split(", ")
        if found[1] == "trainer.precision":
            choices = [*PRECISIONS]
        wanted = " or ".join(choices)
        return f"{found[1]}: expected {wanted.replace('NoneType', 'null')}, got {found[3].strip()}"
    return " ".join(message.split())


def misuse(error: Exception) -> str | None:
    """The message of an error whose cause is what the user gave; None for an error of code.

    Errors in a custom technique or loader need a traceback.
    """
    message = " ".join(str(error).split())
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or NO_MEMORY.search(message):
        return f"there is not enough memory: {message}" if message else "there is not enough memory"
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = [str(frame.f_globals.get("__name__")) for frame in frames]
    if any(
        module == "pytorch_lightning.trainer.connectors.checkpoint_connector"
        and re.search("restore|resume", frame.f_code.co_name)
        for module, frame in zip(modules, frames, strict=True)
    ):
        return f"the checkpoint cannot be resumed ({type(error).__name__}: {message})"
    if type(error).__module__.startswith("wandb.errors"):
        return f"{message} Or log without an account: --trainer.logger.offline true"
    if isinstance(error, ValueError | RuntimeError) and modules[-1].startswith(CHECKING_PACKAGES):
        return message
    outside_torch = [module for module in modules if not module.startswith("torch.")]
    return message if outside_torch[-1].startswith(ADDED) else None


def root_message(error: BaseException) -> str:
    """The message of the first error in a chain: the one that the class itself raised."""
    while (before := error.__cause__) or (before := error.__context__):
        if before is not error.__cause__ and error.__suppress_context__:
            break
        error = before
    return " ".join(str(error).split())


def _no_option(name: str, options: Iterable[str]) -> str:
    if name in (options := set(options)):
        return f"the chosen class has no option {name}"
    return no_such("option", name, options, listed=False)


def _options(parser: LightningArgumentParser) -> Iterator[str]:
    """Every option of the command, and of the classes that it can choose."""
    commands = [a.choices for a in parser._actions if isinstance(a.choices, dict)]
    for one in [parser, *(sub for choices in commands for sub in choices.values())]:
        yield from (option for option in one._option_string_actions if option.startswith("--"))
    for key in ("model", "data"):
        yield from (f"--{key}.{name}" for name in _arguments(BASES[key]))


def _arguments(*kinds: type) -> Iterator[str]:
    """The names of the arguments of these classes and their subclasses."""
    for kind in kinds or (GAN, GANDataModule):
        # A custom class may take the arguments of its base without naming them.
        for cls in (kind, *_concrete_subclasses(kind)):
            names = inspect.signature(cls).parameters
            yield from (name for name in names if name not in ("shape", "options"))


def _required_arguments(base: type) -> Iterator[str]:
    """The names of the arguments that subclasses have no defaults of."""
    for cls in _concrete_subclasses(base):
        for name, parameter in inspect.signature(cls).parameters.items():
            if parameter.default is parameter.empty:
                yield name


def _option_of(argument: str) -> str:
    """The option of an argument that a class among ``BASES`` requires."""
    owners = [key for key, kind in BASES.items() if argument in _required_arguments(kind)]
    return f"--{'.'.join([*owners[:1], argument])}"


def _class_names(kind: type) -> list[str]:
    names = [cls.__name__ for cls in _concrete_subclasses(kind)]
    offered = TECHNIQUES.offers.values() if kind is GAN else ()
    return [*names, *(offer.class_name for offer in offered if offer.class_name)]


def _concrete_subclasses(kind: type) -> Iterator[type]:
    cls: type
    for cls in kind.__subclasses__():
        if not inspect.isabstract(cls) and not cls.__name__.startswith("_"):
            yield cls
        yield from _concrete_subclasses(cls)
