"""Multilayer perceptrons for vectors ``(N, D)``."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_lightning.networks.conditioning import ScoreHead, append_label


class MLPGenerator(nn.Module):
    """Latents ``(N, latent_dim)`` to vectors ``(N, D)``, three hidden layers of ``width``."""

    def __init__(self, dim: int, latent_dim: int, num_classes: int = 0, width: int = 128) -> None:
        super().__init__()
        self.num_classes = num_classes
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


class MLPCritic(nn.Module):
    """Vectors ``(N, D)`` to scores ``(N,)``, three hidden layers of ``width``."""

    def __init__(self, dim: int, num_classes: int = 0, width: int = 128) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Linear(dim, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
        )
        self.head = ScoreHead(width, num_classes)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.head(self.features(x), y)


class MLPAutoencoderCritic(nn.Module):
    """Vectors ``(N, D)`` to their mean absolute reconstruction error ``(N,)``."""

    def __init__(self, dim: int, latent_dim: int, width: int = 128) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(dim, width), nn.ELU(), nn.Linear(width, width), nn.ELU()
        )
        self.code = nn.Linear(width, latent_dim)
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, width), nn.ELU(), nn.Linear(width, width), nn.ELU()
        )
        self.out = nn.Linear(width, dim)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        reconstruction = self.out(self.decoder(self.code(self.encoder(x))))
        return torch.abs(x - reconstruction).mean(dim=1)


def mlp_networks(
    shape: Sequence[int],
    latent_dim: int,
    num_classes: int,
    generator_width: int,
    critic_width: int,
) -> tuple[nn.Module, nn.Module]:
    """Generator and critic for vectors of ``shape`` ``(D,)``."""
    (dim,) = shape
    return (
        MLPGenerator(dim, latent_dim, num_classes, generator_width),
        MLPCritic(dim, num_classes, critic_width),
    )
