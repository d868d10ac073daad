"""Multilayer perceptrons for vectors ``(N, D)``."""

from collections.abc import Sequence

from torch import Tensor, nn

from gan_lightning.networks.conditioning import append_label
from gan_lightning.networks.family import Family, Features, Norm


class MLPGenerator(nn.Module):
    """Maps latents ``(N, latent_dim)`` to vectors ``(N, D)``; three hidden layers of ``width``."""

    def __init__(
        self, shape: Sequence[int], latent_dim: int, num_classes: int = 0, width: int = 128
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        (dim,) = shape
        self.net = nn.Sequential(
            nn.Linear(latent_dim + num_classes, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, dim),
        )

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.net(append_label(z, y, self.num_classes))


class MLPFeatures(Features):
    """Maps vectors ``(N, D)`` to features; three hidden layers of ``width``, no norm."""

    def __init__(self, shape: Sequence[int], width: int = 128, norm: Norm = "none") -> None:
        super().__init__()
        (dim,) = shape
        self.out_features = width
        self.net = nn.Sequential(
            nn.Linear(dim, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def _keep_default_init(module: nn.Module) -> None:
    """Keep PyTorch's own initialisation."""


MLP = Family(MLPGenerator, MLPFeatures, init=_keep_default_init, widths=(128, 128), images=False)
