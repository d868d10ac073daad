"""A small classifier of a data set's own classes, used as a feature extractor."""

import hashlib
import io
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan_lightning.utils.errors import MissingFileError, WrongFileError
from gan_lightning.utils.files import whole_file
from gan_lightning.utils.tensors import load_tensors

FORMAT = "gan_lightning classifier, version 1"
#: The name of a classifier, which becomes part of the names of scores and files.
NAME_PATTERN = r"[A-Za-z0-9_-]{1,64}"

#: Where a file of a classifier is to be had.
CLASSIFIER_HINT = (
    "python -m gan_lightning.metrics.train_extractor writes one, and the package has "
    "benchmarks/extractors/fashion_mnist.pt and cifar10_jpeg.pt"
)


class Classifier(nn.Module):
    """Maps uint8 images ``(N, C, size, size)`` to 128 features and the logits of the classes."""

    num_features = 128

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(channels, 32),
            nn.MaxPool2d(2),
            *_block(32, 64),
            nn.MaxPool2d(2),
            *_block(64, 128),
            *_block(128, self.num_features),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.classifier = nn.Linear(self.num_features, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(N, 128)`` and logits ``(N, classes)``."""
        features = self.features(images.float() / 127.5 - 1)
        return features, self.classifier(features)


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


@dataclass(frozen=True)
class Description:
    """The description of the network in its file.

    Args:
        name: the name in those of its scores, where the file's hash follows it.
        shape: the shape of the images, ``(C, size, size)``.
        classes: the number of classes.
        accuracy: the accuracy on the test split.
        config: the data and the options that it was trained with.
    """

    name: str
    shape: tuple[int, int, int]
    classes: int
    accuracy: float
    config: dict[str, Any]


def save_classifier(network: Classifier, description: Description, path: Path) -> None:
    """Write the file atomically, with the same bytes for the same network."""
    # Through a buffer, because torch.save writes a file's name into the file.
    buffer = io.BytesIO()
    content = {"format": FORMAT, **asdict(description), "state": network.state_dict()}
    torch.save(content | {"shape": list(description.shape)}, buffer)
    with whole_file(path) as file:
        file.write(buffer.getvalue())


def _check_description(description: Description, state: dict[str, Tensor]) -> None:
    """Raises ValueError if the description is invalid, or does not fit the weights."""
    checked_name(description.name)
    channels, height, width = description.shape
    if channels not in (1, 3) or min(height, width) < 1:
        raise ValueError(f"{description.shape} is not the shape of an image")
    if state["classifier.bias"].shape != (description.classes,):
        raise ValueError(f"the weights are not for {description.classes} classes")


def checked_name(name: str) -> str:
    """The name; raises ValueError if it cannot be part of the names of scores and files."""
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise ValueError(
            f"the name {name!r} must consist of 1 to 64 letters, digits, underscores and hyphens"
        )
    return name


def full_name(description: Description, path: Path) -> str:
    """The name followed by the file's hash, because other weights give other scores."""
    return f"{description.name}_{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"


def load_classifier(path: Path) -> tuple[Classifier, Description]:
    """The network, in eval mode, and its description.

    Raises:
        MissingFileError: the file does not exist.
        WrongFileError: ``save_classifier`` did not write the file.
    """
    if not os.path.isfile(path):
        raise MissingFileError(f"the classifier {path} does not exist: {CLASSIFIER_HINT}")
    try:
        content = load_tensors(path)
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
        state = content.pop("state")
        description = Description(**content | {"shape": tuple(content["shape"])})
        _check_description(description, state)
        network = Classifier(description.shape[0], description.classes)
        network.load_state_dict(state)
    except Exception as error:
        # torch, pickle and zip raise errors of many kinds if the file is something else.
        raise WrongFileError(
            f"{path} is not a classifier written by python -m gan_lightning.metrics.train_extractor"
        ) from error
    return network.eval(), description
