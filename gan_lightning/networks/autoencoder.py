"""BEGAN's networks: a decoder as generator, an auto-encoder as critic.

Berthelot et al. 2017, arXiv:1703.10717, section 3.5 and figure 1. The paper names no
initialisation: Glorot's is that of the best known implementation, carpedm20's. PyTorch's own draws
a third of its variance in every layer, and a generator that starts with nearly the same picture for
every latent learns much slower.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lightning.networks.initialization import init_glorot
from gan_lightning.networks.mlp import MLPAutoencoderCritic, MLPGenerator
from gan_lightning.networks.sizes import halvings


class Decoder(nn.Module):
    """Codes ``(N, latent_dim)`` to images ``(N, C, size, size)``, not bounded.

    Two 3 x 3 convs of ``width`` channels and ELUs at every size, nearest upsampling between them,
    and a last conv to the image's channels.
    """

    def __init__(self, shape: Sequence[int], latent_dim: int, width: int = 128) -> None:
        super().__init__()
        channels, size, _ = shape
        self.sizes = halvings(size, 8)[::-1]
        self.project = nn.Linear(latent_dim, width * self.sizes[0] ** 2)
        self.unflatten = nn.Unflatten(1, (width, self.sizes[0], self.sizes[0]))
        self.stages = nn.ModuleList(_two_convs(width, width) for _ in self.sizes)
        self.out = nn.Conv2d(width, channels, 3, padding=1)
        self.apply(init_glorot)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        x = self.unflatten(self.project(z))
        for stage, size in zip(self.stages, self.sizes, strict=True):
            x = stage(F.interpolate(x, size=(size, size)))
        return self.out(x)


class Encoder(nn.Module):
    """Images ``(N, C, size, size)`` to codes ``(N, latent_dim)``.

    A 3 x 3 conv to ``width`` channels, then two at every size; each halving is a conv of stride 2
    and adds ``width`` channels.
    """

    def __init__(self, shape: Sequence[int], latent_dim: int, width: int = 128) -> None:
        super().__init__()
        channels, size, _ = shape
        sizes = halvings(size, 8)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ELU()]
        for level in range(1, len(sizes)):
            layers += [
                _two_convs(level * width, level * width),
                nn.Conv2d(level * width, (level + 1) * width, 3, stride=2, padding=1),
                nn.ELU(),
            ]
        last = len(sizes) * width
        layers += [_two_convs(last, last), nn.Flatten()]
        self.features = nn.Sequential(*layers)
        self.code = nn.Linear(last * sizes[-1] ** 2, latent_dim)
        self.apply(init_glorot)

    def forward(self, x: Tensor) -> Tensor:
        return self.code(self.features(x))


class AutoencoderCritic(nn.Module):
    """Images ``(N, C, size, size)`` to their mean absolute reconstruction error ``(N,)``."""

    def __init__(self, shape: Sequence[int], latent_dim: int, width: int = 128) -> None:
        super().__init__()
        self.encoder = Encoder(shape, latent_dim, width)
        self.decoder = Decoder(shape, latent_dim, width)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return torch.abs(x - self.decoder(self.encoder(x))).mean(dim=(1, 2, 3))


def autoencoder_networks(
    shape: Sequence[int], latent_dim: int, generator_width: int, critic_width: int
) -> tuple[nn.Module, nn.Module]:
    """Generator and critic for ``shape``, perceptrons where it is a vector's."""
    if len(shape) == 1:
        return (
            MLPGenerator(shape[0], latent_dim, width=generator_width),
            MLPAutoencoderCritic(shape[0], latent_dim, critic_width),
        )
    return (
        Decoder(shape, latent_dim, generator_width),
        AutoencoderCritic(shape, latent_dim, critic_width),
    )


def _two_convs(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1),
        nn.ELU(),
        nn.Conv2d(after, after, 3, padding=1),
        nn.ELU(),
    )
