"""Multilayer perceptrons for vectors ``(N, D)``, and as generators of images.

The generator of images is that of WGAN's experiments on robustness: Arjovsky et al. 2017,
arXiv:1701.07875, section 4.3, with DCGAN's critic.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from gan_lightning.networks.conditioning import ScoreHead, append_label
from gan_lightning.networks.dcgan import DCGANFeatures
from gan_lightning.networks.family import Family, Features, Norm
from gan_lightning.networks.initialization import init_normal


class MLPGenerator(nn.Module):
    """Maps latents ``(N, latent_dim)`` to samples ``(N, *shape)``, which are not bounded.

    It has three hidden layers of ``width``.
    """

    def __init__(
        self, shape: Sequence[int], latent_dim: int, num_classes: int = 0, width: int = 128
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.shape = tuple(shape)
        self.net = nn.Sequential(
            nn.Linear(latent_dim + num_classes, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, math.prod(shape)),
        )

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.net(append_label(z, y, self.num_classes)).unflatten(1, self.shape)


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


def _init_critic(module: nn.Module) -> None:
    """DCGAN's initialisation of the critic; the authors' code keeps PyTorch's for perceptrons."""
    if isinstance(module, ScoreHead):
        module.apply(init_normal)
    elif not isinstance(module, nn.Linear):
        init_normal(module)


MLP = Family(MLPGenerator, MLPFeatures, init=_keep_default_init, widths=(128, 128), images=False)
# The width is that of section 4.3; the authors' code has no tanh.
MLP_GENERATOR = Family(MLPGenerator, DCGANFeatures, init=_init_critic, widths=(512, 64))
