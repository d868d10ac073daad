"""A module from its checkpoint, whatever its technique."""

from collections.abc import Iterator
from pathlib import Path

import pytorch_lightning as pl
import torch

from gan_lightning.gan import GAN
from gan_lightning.techniques import TECHNIQUES
from gan_lightning.training.checkpoints import check_networks, class_name, read_checkpoint
from gan_lightning.training.saved_states import check_tensors
from gan_lightning.utils.errors import WrongFileError

#: What the names of a moving average's tensors begin with.
AVERAGE = "generator_ema."


def load(path: str | Path, map_location: str | torch.device = "cpu") -> GAN:
    """The module that a checkpoint holds, of the technique that wrote it, in eval mode.

    The class of a custom technique must be imported first, unless a package offers it.

    Raises:
        WrongFileError: the file is not a checkpoint of a known technique.
        BrokenPackageError: the technique is another package's, and cannot be used.
    """
    checkpoint = read_checkpoint(Path(path))
    name = checkpoint.get("technique")
    TECHNIQUES.import_class(str(name))
    for technique in _subclasses(GAN):  # type: ignore[type-abstract]
        if class_name(technique) == name:
            # Lightning would drop them silently.
            if unknown := technique.unknown_arguments(checkpoint.get("hyper_parameters", {})):
                raise WrongFileError(
                    f"{path} does not fit this {technique.__name__}: it has no {', '.join(unknown)}"
                )
            try:
                module = technique.load_from_checkpoint(
                    path, map_location=map_location, weights_only=True
                )
            except (TypeError, ValueError, RuntimeError) as error:
                message = " ".join(str(error).split())
                raise WrongFileError(
                    f"{path} does not fit this {technique.__name__}: {message}"
                ) from error
            return module.eval()
    raise WrongFileError(f"{path} holds {name or 'no technique'}, which is not imported here")


def load_networks(model: pl.LightningModule, path: str | Path) -> None:
    """Give a model the networks of a checkpoint, to start a new run from.

    It gets the parameters, and the buffers of networks. What belongs to training stays as it is:
    optimisers, counters, the buffers of the model itself and of its augmentation. A moving average
    that the checkpoint lacks starts at its generator. The technique may be another one.

    Raises:
        WrongFileError: the file is not a checkpoint, or of other networks than the model's.
    """
    checkpoint = read_checkpoint(Path(path))
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
