"""Networks, by name, that turn images into the features and logits that scores compare."""

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor, nn
from torch_fidelity.feature_extractor_dinov2 import MODEL_METADATA, FeatureExtractorDinoV2
from torch_fidelity.feature_extractor_inceptionv3 import (
    URL_INCEPTION_V3,
    FeatureExtractorInceptionV3,
)
from torchvision import models

from gan_lightning.metrics.backbones import Backbone
from gan_lightning.metrics.classifier import CLASSIFIER_HINT, full_name, load_classifier
from gan_lightning.metrics.digits_cnn import load_digits_cnn
from gan_lightning.utils.errors import ArgumentError, MissingFileError, WrongFileError
from gan_lightning.utils.files import user_path
from gan_lightning.utils.shipped import find_weights
from gan_lightning.utils.tensors import load_tensors

INCEPTION_VARIABLE = "GAN_LIGHTNING_INCEPTION"
#: The first digits of the published weights' SHA-256, which are also part of the file's name.
INCEPTION_SHA256 = "6726825d"
#: The environment variables that make torch load only tensors, or any object.
FORCE_WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
FORCE_NO_WEIGHTS_ONLY = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_WEIGHTS_HINT = f"pass the file with --evaluate.weights, score's --weights or {INCEPTION_VARIABLE}"


@dataclass(frozen=True)
class Extractor:
    """A network that maps uint8 images ``(N, C, H, W)`` to features and class logits.

    Args:
        name: the name in those of its scores.
        network: returns features ``(N, num_features)`` and logits ``(N, K)``, both float32.
        num_features: the number of features.
        classes: whether the network returns logits; otherwise it returns None in their place.
        resize: how the network resizes images.
        batch: the batch size that is fastest on a CPU.
        shape: the shape of the images, if the network takes only one.
    """

    name: str
    network: nn.Module
    num_features: int
    classes: bool
    resize: str
    batch: int = 16
    shape: tuple[int, ...] | None = None

    def fingerprint(self) -> str:
        """A checksum of the name, the weights and the way of resizing."""
        digest = hashlib.sha256(f"{self.name}, {self.resize}".encode())
        for name, tensor in self.network.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy())
        return digest.hexdigest()

    def repeats_grey(self, shape: tuple[int, ...]) -> bool:
        """Whether images of this shape are grey but the network takes colour images."""
        return self.shape is None and shape[0] == 1

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises ArgumentError if the network does not take samples of this shape."""
        if self.shape is None and not (len(shape) == 3 and shape[0] in (1, 3)):
            raise ArgumentError(
                f"{self.name} takes images of 1 or 3 channels, but these samples have shape {shape}"
            )
        if self.shape is not None and shape != self.shape:
            raise ArgumentError(
                f"{self.name} takes images of shape {self.shape}, but these have shape {shape}"
            )


class Inception(nn.Module):
    """The Inception v3 that defines FID and IS: TensorFlow's weights and bilinear resizing.

    The network and the resizing are torch-fidelity's. Grey images are repeated to three channels.
    """

    num_features = 2048
    resize = "to 299, bilinear as TensorFlow 1 has it"

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        path = _inception_weights(weights)
        tensors = _read_tensors(path)
        try:
            self.net = FeatureExtractorInceptionV3(
                "inception-v3-compat",
                ["2048", "logits_unbiased"],
                feature_extractor_weights_path=tensors,
            )
        except RuntimeError as error:
            raise _wrong_file_error(path) from error

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(N, 2048)`` and logits without bias ``(N, 1008)``."""
        features, logits = self.net(images.expand(-1, 3, -1, -1))
        return features, logits


def load_extractor(name: str, weights: str | Path | None = None) -> Extractor:
    """The extractor of this name, in eval mode.

    Args:
        name: ``inception``, ``digits_cnn``, ``classifier`` for a file that
            ``gan_lightning.metrics.train_extractor`` wrote, one of torch-fidelity's DINOv2 networks
            such as ``dinov2_vit_b_14``, or a torchvision classifier such as ``mobilenet_v2``.
        weights: a local file: optional for ``inception``, required for ``classifier`` and
            torchvision's networks, refused for the other extractors.

    Raises:
        ArgumentError: there is no extractor of this name, or it takes no file.
        WrongFileError: the file holds something else.
        MissingFileError: the weights are not on disk and cannot be downloaded.
    """
    if name in EXTRACTORS:
        extractor = EXTRACTORS[name](weights)
    elif name in DINOV2:
        extractor = _dinov2(name, weights)
    elif name in models.list_models(module=models):
        backbone = Backbone(name, weights)
        extractor = Extractor(
            name, backbone, backbone.num_features, backbone.has_logits, backbone.resize
        )
    else:
        raise ArgumentError(
            f"there is no extractor {name!r}: choose from {', '.join([*EXTRACTORS, *DINOV2])}, or "
            "a torchvision classifier such as mobilenet_v2"
        )
    extractor.network.eval().requires_grad_(False)
    return extractor


def _inception(weights: str | Path | None) -> Extractor:
    network = Inception(weights)
    return Extractor("inception", network, network.num_features, True, network.resize)


def _digits_cnn(weights: str | Path | None) -> Extractor:
    if weights is not None:
        raise ArgumentError("digits_cnn comes with its weights: it takes no file")
    network = load_digits_cnn()
    return Extractor(
        "digits_cnn", network, network.num_features, True, "none", batch=256, shape=(1, 8, 8)
    )


def _classifier(weights: str | Path | None) -> Extractor:
    if weights is None:
        raise ArgumentError(
            "the extractor classifier needs a file: pass it with --evaluate.weights, or score's "
            f"--weights ({CLASSIFIER_HINT})"
        )
    path = find_weights(user_path(weights))
    network, description = load_classifier(path)
    name = full_name(description, path)
    return Extractor(name, network, network.num_features, True, "none", 256, description.shape)


class DinoV2(nn.Module):
    """DINOv2's vision transformer, from torch-fidelity: Oquab et al. 2023, arXiv:2304.07193."""

    resize = "to 224, torch-fidelity's"

    def __init__(self, name: str) -> None:
        super().__init__()
        try:
            with _load_only_tensors():
                self.net = FeatureExtractorDinoV2(name, ["dinov2"])
        except UnpicklingError as error:
            raise WrongFileError(
                f"the file of {name} in {torch.hub.get_dir()}/checkpoints does not hold its "
                "weights: delete it, and it will be downloaded again"
            ) from error
        except (URLError, OSError, RuntimeError) as error:
            raise MissingFileError(
                f"{name} could not be downloaded ({error}): on a machine with internet access, "
                f"torch.hub saves it in {torch.hub.get_dir()}"
            ) from error
        self.num_features: int = self.net.model.embed_dim

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """Map uint8 ``(N, 1 or 3, H, W)`` to features ``(N, num_features)``; no logits."""
        (features,) = self.net(images.expand(-1, 3, -1, -1))
        return features, None


@contextmanager
def _load_only_tensors() -> Iterator[None]:
    """Make torch unpickle only tensors, whatever its callers or the environment ask for."""
    given = {
        name: os.environ.pop(name, None) for name in (FORCE_WEIGHTS_ONLY, FORCE_NO_WEIGHTS_ONLY)
    }
    os.environ[FORCE_WEIGHTS_ONLY] = "1"
    try:
        yield
    finally:
        del os.environ[FORCE_WEIGHTS_ONLY]
        os.environ.update({name: value for name, value in given.items() if value is not None})


def _dinov2(name: str, weights: str | Path | None) -> Extractor:
    if weights is not None:
        raise ArgumentError(f"{name} is loaded by torch.hub: it takes no file")
    network = DinoV2(name.replace("_", "-"))
    return Extractor(name, network, network.num_features, False, network.resize)


#: ``gan-lightning list`` shows the remarks.
EXTRACTORS: dict[str, Callable[[str | Path | None], Extractor]] = {
    "inception": _inception,  # TensorFlow's Inception v3, of FID and IS
    "digits_cnn": _digits_cnn,  # a small classifier of 8 x 8 digits, which needs no file
    "classifier": _classifier,  # yours, of any data: gan_lightning.metrics.train_extractor
}
#: torch-fidelity's names, with underscores.
DINOV2 = tuple(name.replace("-", "_") for name in MODEL_METADATA)


def _inception_weights(weights: str | Path | None) -> Path:
    """The file that is given, named by the environment, or downloaded into torch's cache."""
    name = Path(URL_INCEPTION_V3).name
    given = weights or os.environ.get(INCEPTION_VARIABLE)
    path = user_path(given) if given else Path(torch.hub.get_dir()) / "checkpoints" / name
    if not os.path.isfile(path):
        if given:
            raise MissingFileError(f"the Inception weights {path} do not exist: {_WEIGHTS_HINT}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(
                URL_INCEPTION_V3, str(path), hash_prefix=INCEPTION_SHA256
            )
        except (URLError, OSError, RuntimeError) as error:
            raise MissingFileError(
                f"FID and IS need {name}, which could not be downloaded ({error}). Put it at "
                f"{path} (from {URL_INCEPTION_V3}), or {_WEIGHTS_HINT}, or train without scores: "
                "--evaluate.extractor none"
            ) from error
    return path


def _read_tensors(path: Path) -> io.BytesIO:
    """The file's tensors, saved again, because torch-fidelity unpickles any object."""
    try:
        content = path.read_bytes()
        state = load_tensors(io.BytesIO(content))
    except Exception as error:
        raise _wrong_file_error(path) from error
    if not isinstance(state, dict) or "Mixed_7c.branch_pool.conv.weight" not in state:
        raise _wrong_file_error(path)
    if not hashlib.sha256(content).hexdigest().startswith(INCEPTION_SHA256):
        rank_zero_warn(
            f"{path} does not hold the published weights: fid and is are not the standard scores"
        )
    written = io.BytesIO()
    torch.save(state, written)
    written.seek(0)
    return written


def _wrong_file_error(path: Path) -> WrongFileError:
    return WrongFileError(
        f"{path} does not hold Inception weights in torch-fidelity's layout: {_WEIGHTS_HINT}"
    )
