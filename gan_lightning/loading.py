"""A module from its checkpoint, whatever its technique."""

from collections.abc import Iterator
from pathlib import Path

import torch

from gan_lightning.gan import GAN
from gan_lightning.training.checkpoints import class_name, read_checkpoint
from gan_lightning.utils.errors import WrongFileError


def load(path: str | Path, map_location: str | torch.device = "cpu") -> GAN:
    """The module that a checkpoint holds, of the technique that wrote it, in eval mode.

    The class of a custom technique must be imported first.

    Raises:
        WrongFileError: the file is not a checkpoint of a known technique.
    """
    checkpoint = read_checkpoint(Path(path))
    name = checkpoint.get("technique")
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


def _subclasses(cls: type[GAN]) -> Iterator[type[GAN]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
