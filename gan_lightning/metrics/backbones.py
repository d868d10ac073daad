"""Networks of torchvision with weights from a local file, as extractors of features."""

import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.transforms.v2 import functional as TF

from gan_lightning.utils.errors import MissingFileError, WrongFileError
from gan_lightning.utils.files import user_path


class Backbone(nn.Module):
    """A classifier of torchvision: its features are what its last linear layer gets.

    Images are resized to the square that torchvision's weights take (224 pixels for most), bilinear
    with antialiasing, and scaled as for them; grey ones are repeated to three channels. Of weights
    without the last layer there are features and no logits.

    Raises:
        MissingFileError: there is no such file.
        WrongFileError: the file holds something else than this network's weights.
    """

    def __init__(self, name: str, weights: str | Path | None) -> None:
        super().__init__()
        if weights is None:
            raise MissingFileError(
                f"{name} needs its weights in a file: name it with --evaluate.weights, score's "
                "--weights"
            )
        path = user_path(weights)
        if not os.path.isfile(path):
            raise MissingFileError(f"the weights {path} do not exist")
        self.net = models.get_model(name, weights=None)
        if hasattr(self.net, "transform_input"):
            # torchvision sets it where it loads its weights itself.
            self.net.transform_input = True
        self.published = models.get_model_weights(name).DEFAULT.transforms()
        last, layer = _last_linear(self.net)
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            missing, unexpected = self.net.load_state_dict(state, strict=False)
        except Exception as error:
            # Not a file of tensors, or of tensors of other shapes.
            raise WrongFileError(
                f"{path} does not hold weights of {name}: {_short(error)}"
            ) from error
        absent = [key for key in missing if not key.startswith(last + ".")]
        if absent or unexpected:
            what = f"lacks {absent[0]}" if absent else f"has {unexpected[0]}"
            raise WrongFileError(f"{path} does not hold weights of {name}: it {what}")
        self.num_features = layer.in_features
        self.size = self.published.crop_size * 2  # of one number
        self.resize = f"to {self.size[0]}, bilinear with antialiasing"
        self.has_logits = not missing
        self._features: Tensor | None = None
        layer.register_forward_pre_hook(self._keep)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """uint8 ``(N, 1 or 3, H, W)`` to features ``(N, num_features)`` and logits ``(N, K)``."""
        x = images.expand(-1, 3, -1, -1).float() / 255
        x = TF.resize(x, self.size, TF.InterpolationMode.BILINEAR, antialias=True)
        logits = self.net(TF.normalize(x, self.published.mean, self.published.std))
        features, self._features = self._features, None
        assert features is not None
        return features.flatten(1), logits if self.has_logits else None

    def _keep(self, layer: nn.Module, inputs: tuple[Tensor]) -> None:
        (self._features,) = inputs


def _last_linear(network: nn.Module) -> tuple[str, nn.Linear]:
    """The name and the layer that gives the logits."""
    layers = [(name, m) for name, m in network.named_modules() if isinstance(m, nn.Linear)]
    if not layers:
        raise WrongFileError(f"{type(network).__name__} has no linear layer to take features from")
    return layers[-1]


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[min(1, len(lines) - 1)][:200] if lines else type(error).__name__
