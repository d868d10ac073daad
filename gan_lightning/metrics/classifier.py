"""A small classifier of a data set's own classes, as an extractor of features."""

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

FORMAT = "gan_lightning classifier, version 1"
#: Scores and files are called after it.
NAME = r"[A-Za-z0-9_-]{1,64}"


class Classifier(nn.Module):
    """uint8 images ``(N, C, size, size)`` to 128 features and logits of the classes."""

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
    """What the file says of its network.

    Args:
        name: what scores on it are called after, before its hash.
        shape: of the images, ``(C, size, size)``.
        classes: how many.
        accuracy: the share of the test split that it classifies rightly.
        config: what it was trained on, and how.
    """

    name: str
    shape: tuple[int, int, int]
    classes: int
    accuracy: float
    config: dict[str, Any]


def save_classifier(network: Classifier, description: Description, path: Path) -> None:
    """Write the file at once or not at all, the same bytes for the same network."""
    # By way of a buffer: torch.save writes a file's name into the file.
    buffer = io.BytesIO()
    content = {"format": FORMAT, **asdict(description), "state": network.state_dict()}
    torch.save(content | {"shape": list(description.shape)}, buffer)
    with whole_file(path) as file:
        file.write(buffer.getvalue())


def _check(said: Description, state: dict[str, Tensor]) -> None:
    """Raises ValueError where a file says what no network of this kind can have said of it."""
    checked_name(said.name)
    channels, height, width = said.shape
    if channels not in (1, 3) or min(height, width) < 1:
        raise ValueError(f"not of images: {said.shape}")
    if state["classifier.bias"].shape != (said.classes,):
        raise ValueError(f"not of {said.classes} classes")


def checked_name(name: str) -> str:
    """The name; ValueError where it cannot be a part of those of scores and of files."""
    if re.fullmatch(NAME, name) is None:
        raise ValueError(
            f"the name {name!r} is to be of 1 to 64 letters, digits, underscores and hyphens"
        )
    return name


def full_name(description: Description, path: Path) -> str:
    """The name with the file's hash behind it: scores on other weights are other scores."""
    return f"{description.name}_{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"


def load_classifier(path: Path) -> tuple[Classifier, Description]:
    """The network, in eval mode, and what its file says of it.

    Raises:
        MissingFileError: there is no such file.
        WrongFileError: it is not one that ``save_classifier`` wrote.
    """
    if not os.path.isfile(path):
        raise MissingFileError(f"the classifier {path} does not exist")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.pop("format") != FORMAT:
            raise ValueError("of another format")
        state = content.pop("state")
        description = Description(**content | {"shape": tuple(content["shape"])})
        _check(description, state)
        network = Classifier(description.shape[0], description.classes)
        network.load_state_dict(state)
    except Exception as error:
        # torch, pickle and zip raise what they please on a file that is something else.
        raise WrongFileError(
            f"{path} is not a classifier of python -m gan_lightning.metrics.train_extractor"
        ) from error
    return network.eval(), description
