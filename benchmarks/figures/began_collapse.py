"""BEGAN on a folder of illustrations: it collapses, and what brings diversity back.

Each run changes one thing more, so that what helps is seen. The first has the paper's gamma and
gain of k, Berthelot et al. 2017, arXiv:1703.10717, section 4.1.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure as Picture
from torch import Tensor

from benchmarks.figures.began import follow, run_updates
from benchmarks.figures.figure import Figure, Numbers, Report
from benchmarks.figures.samples import pack_images, show_images
from benchmarks.figures.style import BLUE, GREEN, ORANGE, PINK
from gan_lightning.data import ImageFolder
from gan_lightning.metrics.diversity import COLLAPSED
from gan_lightning.techniques.began import BEGAN
from gan_lightning.utils.errors import ArgumentError

#: The samples of each run that are shown, in rows of six.
SHOWN = 24


class Run(NamedTuple):
    """What differs between runs.

    Args:
        name: what this run changes.
        gamma: the diversity ratio.
        lambda_k: the gain of k.
        generator_lr: the generator's learning rate.
        latent_dim: the length of codes and latents.
        flip: mirror half of the real images.
    """

    name: str
    gamma: float = 0.5
    lambda_k: float = 0.001
    generator_lr: float = 5e-4
    latent_dim: int = 64
    flip: bool = False


PAPER = Run("the paper's")
GAIN = PAPER._replace(name="gain of k x 50", lambda_k=0.05)
GAMMA = GAIN._replace(name="and gamma 0.8", gamma=0.8)
FASTER = GAMMA._replace(
    name="and 32 latents, G x 2, flips", latent_dim=32, generator_lr=1e-3, flip=True
)


@dataclass(frozen=True)
class Settings:
    """What all runs have in common.

    Args:
        runs: what they differ in.
        updates: of each run.
        looks: the number of looks at samples, evenly spaced.
        size: side of the images in pixels.
        batch_size: real samples in an update, as in carpedm20's code.
        critic_lr: the critic's learning rate: the paper's 1e-4 is for a hundred times as long.
        width: channels of both networks.
        halving_interval: updates over which the stall of M is judged.
        stand_in: random images in place of the folder, for tests; 0 for none.
    """

    runs: tuple[Run, ...] = (PAPER, GAIN, GAMMA, FASTER)
    updates: int = 3000
    looks: int = 12
    size: int = 16
    batch_size: int = 16
    critic_lr: float = 5e-4
    width: int = 8
    halving_interval: int = 400
    stand_in: int = 0


def load(settings: Settings, data_dir: Path | None) -> Tensor:
    """The images of the folder, uint8 ``(N, 3, size, size)``.

    Raises:
        ArgumentError: no folder is given.
    """
    if settings.stand_in:
        size = settings.stand_in, 3, settings.size, settings.size
        return torch.randint(256, size, dtype=torch.uint8)
    if data_dir is None:
        raise ArgumentError(
            "began-collapse is skipped: it needs --data-dir, a folder or zip archive with some "
            "thousand illustrations, such as the 3,786 PNG files of Noto emoji"
        )
    return torch.as_tensor(ImageFolder(data_dir, size=settings.size).load("train")[0][:])


def compute(settings: Settings, report: Report, data_dir: Path | None = None) -> Numbers:
    """Train with the settings of each run."""
    seed, x = torch.initial_seed(), load(settings, data_dir)
    runs: list[Numbers] = []
    for run in settings.runs:
        torch.manual_seed(seed)
        model = BEGAN(
            tuple(x.shape[1:]),
            gamma=run.gamma,
            lambda_k=run.lambda_k,
            latent_dim=run.latent_dim,
            critic_lr=settings.critic_lr,
            generator_lr=run.generator_lr,
            generator_width=settings.width,
            critic_width=settings.width,
            halving_interval=settings.halving_interval,
        )

        def reached(step: int, diversity: float, run: Run = run) -> None:
            share = (len(runs) + step / settings.updates) / len(settings.runs)
            report(share, f"{run.name}, update {step}: diversity {diversity:.0%}")

        followed = follow(
            model,
            x,
            settings.updates,
            settings.looks,
            batch_size=settings.batch_size,
            flip=run.flip,
            report=reached,
            shown=SHOWN,
        )
        del followed["samples"]  # not drawn, and large in colour
        runs.append({"name": run.name, "gamma": run.gamma, **followed})
        print(f"{run.name}: {followed['equilibrium']}, diversity {followed['diversity'][-1]:.0%}")
    shown = torch.linspace(0, len(x) - 1, SHOWN).long()
    return {
        "images": len(x),
        "collapsed below": COLLAPSED,
        "real": pack_images(x[shown].float() / 127.5 - 1),
        "runs": runs,
    }


def draw(numbers: Numbers) -> Picture:
    """Above what each run logged, below its samples."""
    runs = numbers["runs"]
    picture = Picture(figsize=(9, 4.2), layout="constrained")
    (above,), (below,) = picture.subfigures(2, 1, squeeze=False, height_ratios=[1, 0.7])
    diversity, ratio, k, measure = above.subplots(1, 4)
    for run, color in zip(runs, (ORANGE, PINK, GREEN, BLUE), strict=False):
        updates, logged = run_updates(run), run["logged"]
        diversity.plot(run["updates"], run["diversity"], "o-", color=color, markersize=3)
        errors = np.array(logged["L(G)"]) / np.array(logged["L(x)"]) / run["gamma"]
        ratio.plot(updates, errors, color=color, linewidth=0.9)
        k.plot(updates, logged["k"], color=color, linewidth=0.9, label=run["name"])
        measure.plot(updates, logged["M"], color=color, linewidth=0.9)
    diversity.axhline(numbers["collapsed below"], color="black", linewidth=0.6, linestyle="--")
    diversity.set(title="diversity, share of the real", ylim=(0, 1))
    ratio.set(title="L(G) / L(x), over gamma", ylim=(0, 2))
    k.set(title="k")
    measure.set(title="M", ylim=(0, None))
    for axes in (diversity, ratio, k, measure):
        axes.set_xlabel("generator updates")
    above.legend(loc="outside upper center", ncols=len(runs))
    for axes, run in zip(below.subplots(1, len(runs) + 1), [*runs, None], strict=True):
        show_images(axes, numbers["real"] if run is None else run["last samples"], 6)
        axes.set_title("real" if run is None else run["name"])
    return picture


FIGURE = Figure(
    name="began-collapse",
    title="BEGAN on illustrations: it collapses, and what helps (needs --data-dir)",
    protocol=2,
    settings=Settings(),
    tiny=Settings(updates=4, looks=2, batch_size=4, stand_in=24),
    compute=compute,
    draw=draw,
)
