"""A ring of modes: a plain GAN passes one at a time, an unrolled one covers all.

Metz et al. 2017, arXiv:1611.02163, section 3.1: 8 modes of deviation 0.02 at radius 2, generator
and critic ReLU perceptrons. Latents, batch size and rates are ours: smaller and faster than the
paper's, so that the figure takes minutes; the paper trains with up to 10 unrolled steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure as Picture
from torch import Tensor, nn

from benchmarks.figures.figure import Figure, Numbers, Report, significant
from benchmarks.figures.style import BLUE, GREY, ORANGE, panels, plane
from benchmarks.figures.toys import ReLUPerceptron
from benchmarks.quiet import quiet
from gan_lightning import UnrolledGAN
from gan_lightning.data import Ring, TensorLoader
from gan_lightning.metrics.toys import near_modes

#: What the ring of the package, of radius 1, is multiplied by.
RADIUS = 2


@dataclass(frozen=True)
class Settings:
    """Of both runs.

    Args:
        unrolled_steps: K of each run.
        latent_dim: of the normal latents.
        width: units of a layer.
        batch_size: of both updates.
        rate: Adam's learning rate, of both networks.
        updates: of each network.
        looks: how often samples are drawn.
        scored: samples at each look.
        shown: of them, in the picture.
        points: of the ring.
    """

    unrolled_steps: tuple[int, ...] = (0, 5)
    latent_dim: int = 32
    width: int = 128
    batch_size: int = 128
    rate: float = 5e-4
    updates: int = 5000
    looks: int = 5
    scored: int = 2560
    shown: int = 400
    points: int = 100_000


class RingCritic(ReLUPerceptron):
    """A critic of one hidden layer that sees a quarter of its input."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Scores ``(N,)`` of points ``(N, 2)``."""
        return super().forward(x / 4)


class RingGAN(UnrolledGAN):
    """Unrolled GAN with the paper's perceptrons and their orthogonal initialisation of gain 0.8."""

    def build_networks(self) -> tuple[nn.Module, nn.Module]:
        """Two hidden layers for the generator, one for the critic."""
        width = self.widths[1]
        networks = ReLUPerceptron(self.latent_dim, 2, width, 2), RingCritic(2, 1, width, 1)
        for module in (module for network in networks for module in network.modules()):
            if isinstance(module, nn.Linear):
                nn.init.orthogonal_(module.weight, gain=0.8)
        return networks


class Looks(pl.Callback):
    """Draws and scores samples at equal distances."""

    def __init__(self, settings: Settings, report: Report, name: str, before: float) -> None:
        self.found: list[Numbers] = []
        self._settings, self._report = settings, report
        self._name, self._before = name, before

    def on_train_batch_end(
        self, trainer: pl.Trainer, model: pl.LightningModule, *args: Any
    ) -> None:
        """Look, if it is time."""
        assert isinstance(model, RingGAN)
        settings, update = self._settings, model.global_step
        share = self._before + update / settings.updates / len(settings.unrolled_steps)
        self._report(share, f"{self._name}, update {update}")
        if update * settings.looks % settings.updates < settings.looks:
            points = model.sample(settings.scored)
            modes, good = near_modes(points, RADIUS * Ring().centres(), RADIUS * Ring.std)
            self.found.append(
                {
                    "update": update,
                    "modes": modes,
                    "high quality": significant(good),
                    "samples": significant(points[: settings.shown], 3),
                }
            )


def compute(settings: Settings, report: Report) -> Numbers:
    """Samples of each run over training, with the modes reached and the share near a mode."""
    ring, _ = Ring(num_samples=settings.points).load("train")
    runs = []
    for i, steps in enumerate(settings.unrolled_steps):
        torch.manual_seed(torch.initial_seed())  # both runs start alike
        model = RingGAN(
            (2,),
            unrolled_steps=steps,
            latent_dim=settings.latent_dim,
            critic_width=settings.width,
            critic_lr=settings.rate,
            generator_lr=settings.rate,
        )
        looks = Looks(settings, report, f"K = {steps}", i / len(settings.unrolled_steps))
        loader = TensorLoader(RADIUS * ring, None, settings.batch_size, seed=torch.initial_seed())
        with quiet():
            trainer = pl.Trainer(
                max_steps=settings.updates,
                accelerator="cpu",
                callbacks=[looks],
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(model, loader)
        runs.append({"unrolled steps": steps, "looks": looks.found})
    return {"runs": runs}


def draw(numbers: Numbers) -> Picture:
    """A row for each run, a column for each look."""
    runs: Sequence[Numbers] = numbers["runs"]
    centres = RADIUS * Ring().centres().numpy()
    columns = len(runs[0]["looks"])
    picture, axes = panels(len(runs), columns, 1.8 * columns, 2 * len(runs) + 0.2)
    for row, run, color in zip(axes, runs, [ORANGE, BLUE], strict=True):
        for panel, look in zip(row, run["looks"], strict=True):
            panel.scatter(*centres.T, s=40, facecolors="none", edgecolors=GREY, linewidths=0.8)
            panel.scatter(*np.array(look["samples"]).T, s=4, color=color, linewidths=0, alpha=0.5)
            plane(panel, 3)
            panel.set_xlabel(f"{look['modes']} modes, {look['high quality']:.1%} near")
        row[0].set_ylabel(f"K = {run['unrolled steps']}")
    for panel, look in zip(axes[0], runs[0]["looks"], strict=True):
        panel.set_title(f"update {look['update']:,}")
    return picture


FIGURE = Figure(
    name="unrolled-ring",
    title="eight modes on a ring, without unrolled steps and with 5 (unrolled GAN)",
    protocol=1,
    settings=Settings(),
    tiny=Settings(width=8, batch_size=8, updates=6, looks=2, scored=20, shown=10, points=100),
    compute=compute,
    draw=draw,
)
