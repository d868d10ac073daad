"""BEGAN's networks: a decoder as generator, an encoder and a decoder as critic.

Berthelot et al. 2017, arXiv:1703.10717, section 3.5 and figure 1. The paper does not specify the
initialisation; Glorot's is used by the best known implementation, carpedm20's. PyTorch's default
has a third of its variance in every layer: the generator then starts with nearly the same image for
every latent, and learns much more slowly.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lightning.networks.conditioning import append_label
from gan_lightning.networks.family import Family, Features, Norm, make_norm
from gan_lightning.networks.initialization import init_glorot
from gan_lightning.networks.sizes import halvings


class TwoConvs(nn.Module):
    """Two 3 x 3 convolutions with ELUs; the second keeps the number of channels.

    If a convolution keeps the number of channels, its output is mixed with its input,
    ``carry x + (1 - carry) ELU(conv(x))``. The carry is a buffer, 0 unless it is set: for vanishing
    residuals it starts at 1 and falls to 0, section 3.5.1.
    """

    def __init__(self, before: int, after: int, norm: Norm = "none") -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(n, after, 3, padding=1), make_norm(norm, after), nn.ELU())
            for n in (before, after)
        )
        self.mixes = (before == after, True)
        self.carry: Tensor
        self.register_buffer("carry", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        for conv, mixes in zip(self.convs, self.mixes, strict=True):
            h = conv(x)
            x = torch.lerp(h, x.to(h.dtype), self.carry.to(h.dtype)) if mixes else h
        return x


class Decoder(nn.Module):
    """Maps codes ``(N, latent_dim)`` to unbounded images ``(N, C, size, size)``.

    Every size has two 3 x 3 convs of ``width`` channels with ELUs; nearest upsampling connects the
    sizes, and a last conv maps to the image's channels. With ``skip_connections`` the first map,
    upsampled to the same size, is concatenated to each upsampled map.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent_dim: int,
        num_classes: int = 0,
        width: int = 64,
        skip_connections: bool = False,
    ) -> None:
        super().__init__()
        channels, size, _ = shape
        self.num_classes = num_classes
        self.skip_connections = skip_connections
        self.sizes = halvings(size, 8)[::-1]
        self.project = nn.Linear(latent_dim + num_classes, width * self.sizes[0] ** 2)
        self.unflatten = nn.Unflatten(1, (width, self.sizes[0], self.sizes[0]))
        self.stages = nn.ModuleList(
            TwoConvs(width * (1 + (skip_connections and level > 0)), width)
            for level in range(len(self.sizes))
        )
        self.out = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        x = first = self.unflatten(self.project(append_label(z, y, self.num_classes)))
        for level, (stage, size) in enumerate(zip(self.stages, self.sizes, strict=True)):
            if level:
                x = F.interpolate(x, size=(size, size))
                if self.skip_connections:
                    x = torch.cat([x, F.interpolate(first, size=(size, size))], dim=1)
            x = stage(x)
        return self.out(x)


class Encoder(Features):
    """Maps images ``(N, C, size, size)`` to the flattened last map.

    A 3 x 3 conv to ``width`` channels is followed by two at every size, with a conv of stride 2
    between sizes; the first conv after each halving adds ``width`` channels.
    """

    def __init__(self, shape: Sequence[int], width: int = 64, norm: Norm = "none") -> None:
        super().__init__()
        channels, size, _ = shape
        sizes = halvings(size, 8)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ELU()]
        for level in range(1, len(sizes) + 1):
            now = level * width
            layers.append(TwoConvs(max(now - width, width), now, norm))
            if level < len(sizes):
                layers += [nn.Conv2d(now, now, 3, stride=2, padding=1), nn.ELU()]
        last = len(sizes) * width
        layers.append(nn.Flatten())
        self.net = nn.Sequential(*layers)
        self.out_features = last * sizes[-1] ** 2

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def set_carry(network: nn.Module, carry: float) -> None:
    """Set the share, in [0, 1], that every convolution's input keeps in its output."""
    for module in network.modules():
        if isinstance(module, TwoConvs):
            module.carry.fill_(carry)


AUTOENCODER = Family(Decoder, Encoder, init=init_glorot, widths=(64, 64))
