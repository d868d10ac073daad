"""Feature extractors: torchvision networks with weights from a local file."""

import os
from pathlib import Path

from torch import Tensor, nn
from torchvision import models
from torchvision.transforms.v2 import functional as TF

from gan_lightning.utils.errors import MissingFileError, WrongFileError
from gan_lightning.utils.files import user_path
from gan_lightning.utils.tensors import load_tensors


class Backbone(nn.Module):
    """A torchvision classifier, whose features are the input of its last linear layer.

    Images are resized to the square size that torchvision's weights expect (224 pixels for most),
    bilinear with antialiasing, and normalised as these weights need; grey images are repeated to
    three channels. Weights without the last layer give features but no logits.

    Args:
        name: torchvision's, such as ``mobilenet_v2``.
        weights: the file; by default that which the environment names, ``GAN_LIGHTNING_`` and the
            name in capitals.

    Raises:
        MissingFileError: the file does not exist.
        WrongFileError: the file does not hold weights of this network.
    """

    def __init__(self, name: str, weights: str | Path | None) -> None:
        super().__init__()
        variable = f"GAN_LIGHTNING_{name.upper()}"
        given = weights or os.environ.get(variable)
        if not given:
            raise MissingFileError(
                f"{name} needs a file of weights: pass it with --evaluate.weights, score's "
                f"--weights or {variable} ({_source_of(name)})"
            )
        path = user_path(given)
        if not os.path.isfile(path):
            raise MissingFileError(f"the weights {path} do not exist: {_source_of(name)}")
        self.net = models.get_model(name, weights=None)
        if hasattr(self.net, "transform_input"):
            # torchvision sets this only when it loads the weights itself.
            self.net.transform_input = True
        self.preset = models.get_model_weights(name).DEFAULT.transforms()
        last, layer = _last_linear(self.net)
        try:
            state = load_tensors(path)
            missing, unexpected = self.net.load_state_dict(state, strict=False)
        except Exception as error:
            # The file holds no tensors, or tensors of other shapes.
            raise WrongFileError(
                f"{path} does not hold weights of {name}: {_summary(error)}"
            ) from error
        absent = [key for key in missing if not key.startswith(last + ".")]
        if absent or unexpected:
            what = f"lacks {absent[0]}" if absent else f"has {unexpected[0]}"
            raise WrongFileError(f"{path} does not hold weights of {name}: it {what}")
        self.num_features = layer.in_features
        self.size = self.preset.crop_size * 2  # crop_size has one element
        self.resize = f"to {self.size[0]}, bilinear with antialiasing"
        self.has_logits = not missing
        self._features: Tensor | None = None
        layer.register_forward_pre_hook(self._store_features)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map uint8 ``(N, 1 or 3, H, W)`` to features ``(N, num_features)``, logits ``(N, K)``."""
        x = images.expand(-1, 3, -1, -1).float() / 255
        x = TF.resize(x, self.size, TF.InterpolationMode.BILINEAR, antialias=True)
        logits = self.net(TF.normalize(x, self.preset.mean, self.preset.std))
        features, self._features = self._features, None
        assert features is not None
        return features.flatten(1), logits if self.has_logits else None

    def _store_features(self, layer: nn.Module, inputs: tuple[Tensor]) -> None:
        (self._features,) = inputs


def _source_of(name: str) -> str:
    """Where a file of weights is to be had."""
    return f"torchvision's are at {models.get_model_weights(name).DEFAULT.url}"


def _last_linear(network: nn.Module) -> tuple[str, nn.Linear]:
    """The name and the module of the layer that returns the logits."""
    layers = [(name, m) for name, m in network.named_modules() if isinstance(m, nn.Linear)]
    if not layers:
        raise WrongFileError(f"{type(network).__name__} has no linear layer to take features from")
    return layers[-1]


def _summary(error: Exception) -> str:
    """The line of a message that says what is wrong, at most 200 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[min(1, len(lines) - 1)][:200] if lines else type(error).__name__
