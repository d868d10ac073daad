"""Value surfaces of critics with clipping and with the gradient penalty.

Gulrajani et al. 2017, arXiv:1704.00028, section 3.1 and figure 1a: critics are trained to
optimality while the generator's distribution is held at the real one plus unit normal noise. The
distributions, networks and bounds of the picture are those of the authors' ``gan_toy.py``; the
weight of the penalty is the paper's 10, for which the optimal critic has gradients near 1, where
the code has 0.1 to save critic updates. Rates fall to 0, since the problem does not move.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure as Picture
from torch import Tensor, nn

from benchmarks.figures.figure import Figure, Numbers, Report, pack, significant, unpack
from benchmarks.figures.style import ORANGE, panels, plane
from benchmarks.figures.toys import TOYS, Clipped, Penalised, Points
from benchmarks.figures.training import Loop
from gan_lightning import GAN
from gan_lightning.penalties import interpolate_gradient_norms


@dataclass(frozen=True)
class Settings:
    """Of every critic.

    Args:
        hidden: ReLU layers of the critic, before a linear one.
        width: units of a layer.
        clip: the clipping bound.
        penalty_weight: of the gradient penalty.
        clipped_lr: the first learning rate with clipping, of RMSprop.
        penalised_lr: the first learning rate with the penalty, of Adam.
        betas: of Adam.
        updates: of the critic.
        batch_size: of an update.
        points: of a toy, from which batches are drawn.
        probed: real samples, and as many generated, on which the critic is measured.
        looks: how often it is measured.
        grid: points along each side of the surface.
        limit: half the side of the surface.
        shown: real samples in the picture.
    """

    hidden: int = 3
    width: int = 512
    clip: float = 0.01
    penalty_weight: float = 10.0
    clipped_lr: float = 1e-4
    penalised_lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    updates: int = 5000
    batch_size: int = 128
    points: int = 100_000
    probed: int = 5000
    looks: int = 5
    grid: int = 128
    limit: float = 3.0
    shown: int = 300


class Given(nn.Module):
    """A generator that is held fixed: its latents are its samples."""

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The latents."""
        return z


def compute(settings: Settings, report: Report) -> Numbers:
    """The surface of each critic, its gradients' norm on interpolates, and its estimate."""
    surfaces: list[Numbers] = []
    methods = ("clipping", "gradient penalty")
    for toy in TOYS:
        points = Points(toy, settings.points)
        for method in methods:
            model = build(method, settings)
            loop, looks = Loop(model), []
            for update in range(1, settings.updates + 1):
                rate = 1 - (update - 1) / settings.updates
                loop.train_critic(*samples(points, settings.batch_size), rate)
                if update * settings.looks % settings.updates < settings.looks:
                    looks.append({"update": update, **measure(model, points, settings.probed)})
                share = len(surfaces) + update / settings.updates
                report(share / len(TOYS) / len(methods), f"{toy}, {method}, update {update}")
            surfaces.append(
                {
                    "toy": toy,
                    "method": method,
                    "least distance": significant(least_distance(points, settings.probed)),
                    "looks": looks,
                    "surface": pack(surface(model, settings.grid, settings.limit)),
                    "real": significant(points(settings.shown), 3),
                }
            )
    return {"limit": settings.limit, "surfaces": surfaces}


def build(method: str, settings: Settings) -> GAN:
    """An untrained critic, and a generator that is given its samples."""
    sizes: dict[str, Any] = {"hidden": settings.hidden, "critic_width": settings.width}
    model: GAN
    if method == "clipping":
        model = Clipped((2,), clip=settings.clip, critic_lr=settings.clipped_lr, **sizes)
    else:
        model = Penalised(
            (2,),
            penalty_weight=settings.penalty_weight,
            critic_lr=settings.penalised_lr,
            betas=settings.betas,
            **sizes,
        )
    model.generator = Given()
    return model


def samples(points: Points, n: int) -> tuple[Tensor, Tensor]:
    """Real samples and generated ones, which are the same with noise, as in the authors' code."""
    x = points(n)
    return x, x + torch.randn_like(x)


def measure(model: GAN, points: Points, n: int) -> dict[str, float]:
    """The norm of the gradient on interpolates, and the estimate of the Wasserstein distance."""
    x, generated = samples(points, n)
    norms = interpolate_gradient_norms(model.score, x, generated).detach()
    with torch.no_grad():
        estimate = model.score(x, None).mean() - model.score(generated, None).mean()
    return {
        "mean gradient norm": significant(norms.mean().item()),
        "deviation of gradient norms": significant(norms.std().item()),
        "estimate": significant(estimate.item()),
    }


def least_distance(points: Points, n: int) -> float:
    """Mean distance of generated samples to the nearest of as many real ones.

    No plan moves a sample less far, so that the Wasserstein distance is not much smaller.
    """
    _, generated = samples(points, n)
    return torch.cdist(generated, points(n)).amin(dim=1).mean().item()


@torch.no_grad()
def surface(model: GAN, grid: int, limit: float) -> Tensor:
    """Scores ``(grid, grid)`` of the points of a square, rows from below."""
    line = torch.linspace(-limit, limit, grid)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return model.score(torch.stack([x, y], dim=-1).reshape(-1, 2), None).reshape(grid, grid)


def draw(numbers: Numbers) -> Picture:
    """Above clipping, below the penalty, with contours of each critic and real samples."""
    surfaces, limit = numbers["surfaces"], numbers["limit"]
    picture, axes = panels(2, len(surfaces) // 2, 7.5, 5.2)
    for i, found in enumerate(surfaces):
        panel = axes[i % 2, i // 2]
        scores = unpack(found["surface"])
        line = np.linspace(-limit, limit, len(scores))
        panel.contour(line, line, scores, levels=14, cmap="viridis", linewidths=0.9)
        panel.scatter(*np.array(found["real"]).T, s=3, color=ORANGE, linewidths=0, zorder=3)
        plane(panel, limit)
        if i % 2 == 0:
            panel.set_title(found["toy"])
        if i < 2:
            panel.set_ylabel(found["method"])
    return picture


FIGURE = Figure(
    name="value-surfaces",
    title="value surfaces of critics on three toys, clipped or penalised (WGAN-GP, figure 1a)",
    protocol=2,
    settings=Settings(),
    tiny=Settings(width=8, updates=4, batch_size=8, points=50, probed=20, looks=2, grid=9, shown=8),
    compute=compute,
    draw=draw,
)
