"""A module from its checkpoint or from weights that are shared, whatever its technique."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from gan_lightning.gan import GAN
from gan_lightning.pretrained import checked_folder, find_pretrained, list_pretrained
from gan_lightning.sharing import read_folder, read_networks
from gan_lightning.techniques import TECHNIQUES
from gan_lightning.training.checkpoints import (
    beside,
    check_networks,
    class_name,
    read_checkpoint,
)
from gan_lightning.training.saved_states import check_tensors
from gan_lightning.utils.errors import WrongFileError
from gan_lightning.utils.files import user_path
from gan_lightning.utils.suggestions import no_such

#: What the names of a moving average's tensors begin with.
AVERAGE = "generator_ema."


def load(path: str | Path, map_location: str | torch.device = "cpu") -> GAN:
    """A model, in eval mode: from a file or folder, or a generator that comes with the package.

    A path goes before a name. The class of a custom technique must be imported first, unless a
    package offers it. Nothing is downloaded: ``GAN.from_pretrained`` fetches from the hub.

    Args:
        path: a checkpoint, the folder of a run, whose last checkpoint it is, or a folder that
            ``save_pretrained`` wrote; or a name in ``list_pretrained``, such as ``digits/dcgan``.
        map_location: the device.

    Raises:
        WrongFileError: it is not a model of a known technique, or there is no such path or name.
        BrokenPackageError: the technique is another package's, and cannot be used.
    """
    given, path = str(path), user_path(path)
    if os.path.isdir(path) and not os.path.isfile(last_of_run(path)):
        return read_folder(path, map_location)
    if not os.path.exists(path):
        name = find_pretrained(given)
        if name is None:
            answer = no_such("generator", given, list_pretrained())
            raise WrongFileError(f"there is no file {path}{beside(path)}, and {answer}")
        return read_folder(checked_folder(name), map_location)
    path = last_of_run(path) if os.path.isdir(path) else path
    checkpoint = read_checkpoint(path)
    technique = find_technique(str(checkpoint.get("technique") or ""), path)
    with _fitting(technique, checkpoint.get("hyper_parameters", {}), path):
        return technique.load_from_checkpoint(
            path, map_location=map_location, weights_only=True
        ).eval()


def last_of_run(folder: Path) -> Path:
    """Where the last checkpoint of a run's folder is."""
    return folder / "checkpoints" / "last.ckpt"


def find_technique(name: str, path: Path) -> type[GAN]:
    """The class of a key in ``TECHNIQUES``, or of an import path, that a file names.

    It is found among those that are imported here or that installed packages offer: no file has
    others imported.

    Raises:
        WrongFileError: there is none.
        BrokenPackageError: the technique is another package's, and cannot be used.
    """
    if name in TECHNIQUES.own:
        return TECHNIQUES[name]
    TECHNIQUES.import_class(name)
    for technique in _subclasses(GAN):  # type: ignore[type-abstract]
        if class_name(technique) == name:
            return technique
    raise WrongFileError(f"{path} holds {name or 'no technique'}, which is not imported here")


def built(technique: type[GAN], arguments: Mapping[str, Any], path: Path) -> GAN:
    """The technique with the arguments that a file gives.

    Raises:
        WrongFileError: it does not take them.
    """
    with _fitting(technique, arguments, path):
        return technique(**arguments)


@contextmanager
def _fitting(technique: type[GAN], arguments: Mapping[str, Any], path: Path) -> Iterator[None]:
    """A technique's errors about what a file gives it are about the file."""
    what = f"{path} does not fit this {technique.__name__}"
    # Lightning would drop them silently.
    if unknown := technique.unknown_arguments(arguments):
        raise WrongFileError(f"{what}: it has no {', '.join(unknown)}")
    try:
        yield
    except (TypeError, ValueError, RuntimeError) as error:
        message = " ".join(str(error).split())
        raise WrongFileError(f"{what}: {message}") from error


def load_networks(model: pl.LightningModule, path: str | Path) -> None:
    """Give a model the networks of a checkpoint, or a folder with a critic, to start a run from.

    It gets the parameters, and the buffers of networks. What belongs to training stays as it is:
    optimisers, counters, the buffers of the model itself and of its augmentation. A moving average
    that the checkpoint lacks starts at its generator. The technique may be another one.

    Raises:
        WrongFileError: the file is not a checkpoint, or of other networks than the model's.
    """
    path = user_path(path)
    checkpoint = read_networks(path) if os.path.isdir(path) else read_checkpoint(path)
    if "state_dict" not in checkpoint:
        raise WrongFileError(f"{path} is not a checkpoint of a run")
    parameters = {name for name, _ in model.named_parameters()}
    theirs, ours = (
        {
            name: tensor
            for name, tensor in state.items()
            if name in parameters or ("." in name and not name.startswith("augment."))
        }
        for state in (checkpoint["state_dict"], model.state_dict())
    )
    averaged = {name for name in ours if name.startswith(AVERAGE)}
    if not averaged:
        theirs = {name: tensor for name, tensor in theirs.items() if not name.startswith(AVERAGE)}
    elif not any(name.startswith(AVERAGE) for name in theirs):
        sources = {name: f"generator.{name.removeprefix(AVERAGE)}" for name in averaged}
        theirs |= {name: theirs[source] for name, source in sources.items() if source in theirs}
    check_networks(checkpoint, model, theirs, ours)
    check_tensors(theirs, ours)
    model.load_state_dict(theirs, strict=False)


def _subclasses(cls: type[GAN]) -> Iterator[type[GAN]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
