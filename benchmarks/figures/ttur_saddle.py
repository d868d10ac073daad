"""A saddle which two players miss at equal rates, and reach once one of the rates is lowered.

Heusel et al. 2017, arXiv:1706.08500; the game and its settings are those of the authors' code,
``Toy_Data_Example``: f(x, y) = (1 + x^2)(100 - y^2), which x minimises and y maximises, with
normal noise in both gradients. Its saddle point is (0, 0).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from matplotlib.figure import Figure as Picture
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from benchmarks.figures.figure import Figure, Numbers, Report, significant
from benchmarks.figures.style import BLUE, GREEN, ORANGE, PINK, panels
from benchmarks.figures.training import Loop
from gan_lightning import GAN
from gan_lightning.gan import Terms


@dataclass(frozen=True)
class Settings:
    """The authors' settings.

    Args:
        updates: of each player.
        rate: the base learning rate.
        noise: the standard deviation of the noise in the gradients.
        start: the first x and y.
        kept: every so many positions are kept for the picture.
        last: the number of last updates whose mean distance is reported.
        near: the distance from the saddle that is first reached at the reported update.
    """

    updates: int = 5000
    rate: float = 0.01
    noise: float = 1.0
    start: tuple[float, float] = (0.5, -0.4)
    kept: int = 5
    last: int = 1000
    near: float = 0.1


#: The factors of the base rate for x, the generator, and y, the critic, as in the authors' code.
RUNS = {
    "equal rates": (1.0, 1.0),
    "equal rates, a tenth": (0.1, 0.1),
    "two rates, slow x": (0.01, 1.0),
    "two rates, slow y": (1.0, 0.01),
}


class Player(nn.Module):
    """A network that is one number."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.tensor(start, dtype=torch.float64))


class Saddle(GAN):
    """The game: the generator is x, the critic is y, latents are the noise in the gradients."""

    start: tuple[float, float] = (0.5, -0.4)
    noise: float = 1.0
    latent_dim: int = 1
    n_critic: int = 1
    critic_lr: float = 0.01
    generator_lr: float = 0.01

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """Two numbers."""
        return Player(self.start[0]), Player(self.start[1])

    def make_optimizer(self, network: nn.Module, lr: float) -> Optimizer:
        """Plain gradient steps."""
        return SGD(network.parameters(), lr=lr)

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Not used: the game has no samples."""
        raise NotImplementedError

    def generator_loss(self, fake: Tensor) -> Tensor:
        """Not used: the game has no samples."""
        raise NotImplementedError

    def value(self) -> Tensor:
        """f(x, y)."""
        x, y = self.players
        return (1 + x.square()) * (100 - y.square())

    def critic_objective(
        self, x: Tensor, y: Tensor | None, z: Tensor, due: Sequence[int] | None = None
    ) -> tuple[Tensor, Terms, tuple[Tensor, Tensor]]:
        """-f, and a linear term whose gradient is the noise."""
        loss = self.noise * z.squeeze() * self.players[1] - self.value()
        return loss, {}, (loss.detach(), loss.detach())

    def generator_objective(
        self, x: Tensor, y: Tensor | None, z: Tensor, due: Sequence[int] | None = None
    ) -> tuple[Tensor, Terms]:
        """The value f, and a linear term whose gradient is the noise."""
        return self.noise * z.squeeze() * self.players[0] + self.value(), {}

    @property
    def players(self) -> tuple[Tensor, Tensor]:
        """X and y."""
        return cast("Player", self.generator).position, cast("Player", self.critic).position


def compute(settings: Settings, report: Report) -> Numbers:
    """The path of each run, and how soon and how near it came to the saddle."""
    runs: list[Numbers] = []
    for i, (name, factors) in enumerate(RUNS.items()):
        rates = [factor * settings.rate for factor in factors]
        model = Saddle(
            (1,),
            start=settings.start,
            noise=settings.noise,
            generator_lr=rates[0],
            critic_lr=rates[1],
        )
        loop, path = Loop(model), [settings.start]
        for update in range(settings.updates):
            loop(torch.zeros(1, 1))
            x, y = model.players
            path.append((x.item(), y.item()))
            share = (i + (update + 1) / settings.updates) / len(RUNS)
            report(share, f"{name}, update {update + 1}")
        distances = [math.hypot(*position) for position in path]
        runs.append(
            {
                "name": name,
                "rate of x": rates[0],
                "rate of y": rates[1],
                "first near": next((i for i, d in enumerate(distances) if d < settings.near), None),
                "mean distance": significant(_mean(distances[-settings.last :])),
                "largest distance": significant(max(distances[-settings.last :])),
                "updates": list(range(0, len(path), settings.kept)),
                "x": significant([x for x, _ in path[:: settings.kept]]),
                "y": significant([y for _, y in path[:: settings.kept]]),
            }
        )
    return {"near": settings.near, "last updates": settings.last, "runs": runs}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def draw(numbers: Numbers) -> Picture:
    """Above the paths in the plane, below the distances from the saddle."""
    runs: list[dict[str, Any]] = numbers["runs"]
    picture, axes = panels(2, len(runs), 9, 4.6)
    colors = [ORANGE, PINK, BLUE, GREEN]
    for (above, below), run, color in zip(axes.T, runs, colors, strict=True):
        above.plot(run["x"], run["y"], color=color, linewidth=0.4, alpha=0.5)
        above.scatter(run["x"], run["y"], s=2, color=color, linewidths=0)
        above.plot(0, 0, "+", color="black", markersize=9, zorder=3)
        above.set(title=run["name"], xlim=(-1, 1), ylim=(-0.5, 0.5), xlabel="x")
        distances = [math.hypot(x, y) for x, y in zip(run["x"], run["y"], strict=True)]
        below.plot(run["updates"], distances, color=color, linewidth=0.8)
        below.set(yscale="log", ylim=(1e-3, 1), xlabel="updates")
        below.grid(axis="y")
    axes[0, 0].set_ylabel("y")
    axes[1, 0].set_ylabel("distance from the saddle")
    return picture


FIGURE = Figure(
    name="ttur-saddle",
    title="a saddle that two players miss at equal rates and reach at two (TTUR)",
    protocol=1,
    settings=Settings(),
    tiny=Settings(updates=20, kept=1, last=10),
    compute=compute,
    draw=draw,
)
