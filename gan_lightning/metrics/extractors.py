"""Networks that turn images into the features and class logits that scores compare, by name."""

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
from gan_lightning.metrics.classifier import full_name, load_classifier
from gan_lightning.metrics.digits_cnn import load_digits_cnn
from gan_lightning.utils.errors import ArgumentError, MissingFileError, WrongFileError
from gan_lightning.utils.files import user_path

INCEPTION_VARIABLE = "GAN_LIGHTNING_INCEPTION"
#: How the hash of the published weights begins, as their file's name says.
INCEPTION_SHA256 = "6726825d"
#: The variables by which torch is told to load tensors alone, or anything.
FORCED, FORCED_NOT = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_NAME_A_FILE = f"name the file with --evaluate.weights, score's --weights or {INCEPTION_VARIABLE}"


@dataclass(frozen=True)
class Extractor:
    """A network that maps uint8 images ``(N, C, H, W)`` to features and class logits.

    Args:
        name: what scores measured with it are called after.
        network: to features ``(N, num_features)`` and logits ``(N, K)``, both float32.
        num_features: how many there are.
        classes: whether there are logits; None stands in their place elsewhere.
        resize: what it does to images before it looks at them.
        batch: images that a CPU is quickest with at a time.
        shape: of the images, where it takes only one.
    """

    name: str
    network: nn.Module
    num_features: int
    classes: bool
    resize: str
    batch: int = 16
    shape: tuple[int, ...] | None = None

    def fingerprint(self) -> str:
        """A checksum of the name, the weights and the resize."""
        digest = hashlib.sha256(f"{self.name}, {self.resize}".encode())
        for name, tensor in self.network.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy())
        return digest.hexdigest()

    def repeats_grey(self, shape: tuple[int, ...]) -> bool:
        """Whether images of this shape are grey, and the network takes colour."""
        return self.shape is None and shape[0] == 1

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises ArgumentError where the network does not take samples of this shape."""
        if self.shape is None and not (len(shape) == 3 and shape[0] in (1, 3)):
            raise ArgumentError(
                f"{self.name} takes images of 1 or 3 channels, and these samples are {shape}"
            )
        if self.shape is not None and shape != self.shape:
            raise ArgumentError(
                f"{self.name} takes images of shape {self.shape}, and these are {shape}"
            )


class Inception(nn.Module):
    """Inception v3 as FID and IS are defined on it: TensorFlow's weights and bilinear resize.

    The network and the resize are torch-fidelity's. Grey images are repeated to three channels.
    """

    num_features = 2048
    resize = "to 299, bilinear as TensorFlow 1 has it"

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        path = _inception_weights(weights)
        tensors = _tensors(path)
        try:
            self.net = FeatureExtractorInceptionV3(
                "inception-v3-compat",
                ["2048", "logits_unbiased"],
                feature_extractor_weights_path=tensors,
            )
        except RuntimeError as error:
            raise _wrong_file(path) from error

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(N, 2048)`` and logits without their bias ``(N, 1008)``."""
        features, logits = self.net(images.expand(-1, 3, -1, -1))
        return features, logits


def load_extractor(name: str, weights: str | Path | None = None) -> Extractor:
    """The extractor of that name, in eval mode.

    Args:
        name: ``inception``, ``digits_cnn``, ``classifier`` for a file that
            ``gan_lightning.metrics.train_extractor`` wrote, one of torch-fidelity's DINOv2 networks
            such as ``dinov2_vit_b_14``, or a classifier of torchvision such as ``mobilenet_v2``.
        weights: a local file; ``inception`` can do without, ``classifier`` and torchvision's
            networks cannot, the others take none.

    Raises:
        ArgumentError: there is no extractor of that name, or it takes no file.
        WrongFileError: the file holds something else.
        MissingFileError: the weights are neither on disk nor to be had.
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
            f"no extractor is called {name!r}: choose from {', '.join([*EXTRACTORS, *DINOV2])}, or "
            "a classifier of torchvision such as mobilenet_v2"
        )
    extractor.network.eval().requires_grad_(False)
    return extractor


def _inception(weights: str | Path | None) -> Extractor:
    network = Inception(weights)
    return Extractor("inception", network, network.num_features, True, network.resize)


def _digits_cnn(weights: str | Path | None) -> Extractor:
    if weights is not None:
        raise ArgumentError("digits_cnn brings its weights: it takes no file")
    network = load_digits_cnn()
    return Extractor(
        "digits_cnn", network, network.num_features, True, "none", batch=256, shape=(1, 8, 8)
    )


def _classifier(weights: str | Path | None) -> Extractor:
    if weights is None:
        raise ArgumentError(
            "the extractor classifier is a file: name it with --evaluate.weights, score's --weights"
        )
    path = user_path(weights)
    network, said = load_classifier(path)
    name = full_name(said, path)
    return Extractor(name, network, network.num_features, True, "none", 256, said.shape)


class DinoV2(nn.Module):
    """DINOv2's vision transformer, through torch-fidelity: Oquab et al. 2023, arXiv:2304.07193."""

    resize = "to 224, torch-fidelity's"

    def __init__(self, name: str) -> None:
        super().__init__()
        try:
            with _tensors_alone():
                self.net = FeatureExtractorDinoV2(name, ["dinov2"])
        except UnpicklingError as error:
            raise WrongFileError(
                f"{torch.hub.get_dir()}/checkpoints holds something else than weights of {name}: "
                "delete the file, and it is downloaded again"
            ) from error
        except (URLError, OSError, RuntimeError) as error:
            raise MissingFileError(
                f"{name} could not be downloaded ({error}): with a network, torch.hub keeps it in "
                f"{torch.hub.get_dir()}"
            ) from error
        self.num_features: int = self.net.model.embed_dim

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """uint8 ``(N, 1 or 3, H, W)`` to features ``(N, num_features)``; no logits."""
        (features,) = self.net(images.expand(-1, 3, -1, -1))
        return features, None


@contextmanager
def _tensors_alone() -> Iterator[None]:
    """Have torch unpickle nothing but tensors, whatever others ask it for."""
    given = {name: os.environ.pop(name, None) for name in (FORCED, FORCED_NOT)}
    os.environ[FORCED] = "1"
    try:
        yield
    finally:
        del os.environ[FORCED]
        os.environ.update({name: value for name, value in given.items() if value is not None})


def _dinov2(name: str, weights: str | Path | None) -> Extractor:
    if weights is not None:
        raise ArgumentError(f"{name} comes through torch.hub: it takes no file")
    network = DinoV2(name.replace("_", "-"))
    return Extractor(name, network, network.num_features, False, network.resize)


EXTRACTORS: dict[str, Callable[[str | Path | None], Extractor]] = {
    "inception": _inception,
    "digits_cnn": _digits_cnn,
    "classifier": _classifier,
}
#: torch-fidelity's names, as one word.
DINOV2 = tuple(name.replace("-", "_") for name in MODEL_METADATA)


def _inception_weights(weights: str | Path | None) -> Path:
    """The file given, or named by the environment, or downloaded into torch's cache."""
    name = Path(URL_INCEPTION_V3).name
    given = weights or os.environ.get(INCEPTION_VARIABLE)
    path = user_path(given) if given else Path(torch.hub.get_dir()) / "checkpoints" / name
    if not os.path.isfile(path):
        if given:
            raise MissingFileError(f"the Inception weights {path} do not exist: {_NAME_A_FILE}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(
                URL_INCEPTION_V3, str(path), hash_prefix=INCEPTION_SHA256
            )
        except (URLError, OSError, RuntimeError) as error:
            raise MissingFileError(
                f"FID and IS need {name}, which could not be downloaded ({error}). Put it at "
                f"{path} (from {URL_INCEPTION_V3}), or {_NAME_A_FILE}, or train without scores: "
                "--evaluate.extractor none"
            ) from error
    return path


def _tensors(path: Path) -> io.BytesIO:
    """The file's tensors, written anew: torch-fidelity unpickles whatever it is given."""
    try:
        content = path.read_bytes()
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        raise _wrong_file(path) from error
    if not isinstance(state, dict) or "Mixed_7c.branch_pool.conv.weight" not in state:
        raise _wrong_file(path)
    if not hashlib.sha256(content).hexdigest().startswith(INCEPTION_SHA256):
        rank_zero_warn(
            f"{path} does not hold the published weights: what is called fid and is here is neither"
        )
    written = io.BytesIO()
    torch.save(state, written)
    written.seek(0)
    return written


def _wrong_file(path: Path) -> WrongFileError:
    return WrongFileError(
        f"{path} does not hold Inception weights in torch-fidelity's layout: {_NAME_A_FILE}"
    )
