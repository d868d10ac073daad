"""WGAN-GP's toys: its distributions at its scales, and its perceptrons.

Gulrajani et al. 2017, arXiv:1704.00028, section 3 and figure 1; what the paper leaves out is that
of the authors' ``gan_toy.py``.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from gan_lightning.data import Grid, Ring, SwissRoll
from gan_lightning.data.toys import Toy
from gan_lightning.techniques import WGAN, WGANGP

#: The package's toys, and what makes them as large as the authors': a penalty's weight depends on
#: it. Deviations of modes are in proportion.
TOYS: dict[str, tuple[type[Toy], float]] = {
    "8 Gaussians": (Ring, 2 / 1.414),
    "25 Gaussians": (Grid, 4 / 2.828),
    "Swiss roll": (SwissRoll, 4.5 * math.pi / 7.5),
}


class Points:
    """Draws batches of a toy's points, with replacement."""

    def __init__(self, toy: str, num_samples: int) -> None:
        kind, scale = TOYS[toy]
        points, _ = kind(num_samples=num_samples).load("train")
        self._points = points * scale

    def __call__(self, n: int) -> Tensor:
        """``(n, 2)`` points."""
        return self._points[torch.randint(len(self._points), (n,))]


class ReLUPerceptron(nn.Module):
    """ReLU layers of He's initialisation and a linear one; scores ``(N,)`` for one output."""

    def __init__(self, inputs: int, outputs: int, width: int, hidden: int) -> None:
        super().__init__()
        sizes = [inputs, *[width] * hidden, outputs]
        layers = [nn.Linear(*pair) for pair in pairwise(sizes)]
        for layer in layers:
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        self.layers = nn.ModuleList(layers)

    def activations(self, x: Tensor) -> list[Tensor]:
        """The output of each layer, the last one's without a ReLU."""
        outputs = []
        for layer in self.layers[:-1]:
            x = layer(x).relu()
            outputs.append(x)
        return [*outputs, self.layers[-1](x)]

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Of ``x`` ``(N, inputs)``; there are no labels."""
        output = self.activations(x)[-1]
        return output.squeeze(1) if output.shape[1] == 1 else output


class Clipped(WGAN):
    """WGAN with ReLU perceptrons of ``hidden`` layers, both as wide as ``critic_width``."""

    hidden: int = 3
    critic_width: int | None = 512
    latent_dim: int = 2

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """A generator and a critic of the same depth and width."""
        return build(self.latent_dim, self.widths[1], self.hidden)


class Penalised(WGANGP):
    """WGAN-GP with the same networks, and betas of the authors' toys."""

    hidden: int = 3
    critic_width: int | None = 512
    latent_dim: int = 2
    generator_batch: int = 1
    betas: tuple[float, float] = (0.5, 0.9)

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """A generator and a critic of the same depth and width."""
        return build(self.latent_dim, self.widths[1], self.hidden)


def build(latent_dim: int, width: int, hidden: int) -> tuple[nn.Module, nn.Module]:
    """A generator of points in the plane, and a critic of them."""
    return ReLUPerceptron(latent_dim, 2, width, hidden), ReLUPerceptron(2, 1, width, hidden)
