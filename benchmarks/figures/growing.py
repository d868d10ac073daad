"""Progressive growing, level by level: samples and their distance over training.

Karras et al. 2018, arXiv:1710.10196, figures 1 and 2 and the curves of section 6.2, on 8 x 8
digits: networks that grow from 4 x 4, beside the same networks that are whole from the start.
"""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from benchmarks.figures.figure import Figure, Numbers, Report, significant
from benchmarks.figures.samples import batches, load_digits, pack_images, show_images
from benchmarks.figures.style import BLUE, GREY, ORANGE
from benchmarks.figures.training import Loop
from gan_lightning import ProgressiveGAN
from gan_lightning.metrics import Features, extract, load_extractor
from gan_lightning.metrics.measures import full_name
from gan_lightning.metrics.scores import frechet_distance

GROWING, WHOLE = "growing", "whole from the start"


@dataclass(frozen=True)
class Settings:
    """Of both runs, mostly those of the config for digits.

    Args:
        phase_images: real images that layers are faded in for, and trained for.
        updates: of each network.
        looks: how often samples are drawn and scored, evenly spaced.
        batch_size: of both updates.
        width: channels of both networks.
        latent_dim: of the normal latents.
        rate: Adam's learning rate, of both networks.
        ema_decay: of the generator's moving average.
        samples: generated samples at a look.
        shown: latents whose samples are shown.
    """

    phase_images: int = 9_600
    updates: int = 2400
    looks: int = 12
    batch_size: int = 16
    width: int = 32
    latent_dim: int = 64
    rate: float = 3e-3
    ema_decay: float = 0.99
    samples: int = 1797
    shown: int = 4


def compute(settings: Settings, report: Report) -> Numbers:
    """Train with growing networks, and with whole ones."""
    seed, x = torch.initial_seed(), load_digits()
    extractor = load_extractor("digits_cnn")
    real = Features(extract(extractor, x.float() / 127.5 - 1)[0])
    runs: list[Numbers] = []
    for name, phase_images in ((GROWING, settings.phase_images), (WHOLE, 0)):
        torch.manual_seed(seed)
        model = ProgressiveGAN(
            tuple(x.shape[1:]),
            phase_images=phase_images,
            latent_dim=settings.latent_dim,
            generator_width=settings.width,
            critic_width=settings.width,
            critic_lr=settings.rate,
            generator_lr=settings.rate,
            ema_decay=settings.ema_decay,
        )
        z = model.draw_latents(settings.shown)
        loop, data = Loop(model), batches(x, settings.batch_size)
        looks, film = [], []
        for update in range(settings.updates + 1):
            if update:
                loop(next(data))
            if update * settings.looks % settings.updates < settings.looks:
                fake = Features(extract(extractor, model.sample(settings.samples))[0])
                distance = frechet_distance(real.moments, fake.moments)
                # What the last update was made with.
                level, alpha = model.schedule(max(0, model.images - settings.batch_size))
                looks.append(
                    {
                        "images": model.images,
                        "size": model.generator.sizes[(level + 1) // 2],  # type: ignore[index]
                        "alpha": significant(alpha, 3),
                        "distance": significant(distance),
                    }
                )
                film.append(model.sample(z=z))
                share = (len(runs) + update / settings.updates) / 2
                report(share, f"{name}, {model.images:,} images: distance {distance:.1f}")
        # A row for each latent, without the untrained look.
        images = torch.stack(film[1:], dim=1).flatten(0, 1)
        runs.append({"networks": name, "looks": looks, "film": pack_images(images)})
    metric = full_name("fd", extractor.name, settings.samples, "train")
    return {"distance": metric, "phase images": settings.phase_images, "runs": runs}


def draw(numbers: Numbers) -> Picture:
    """A film of each run, and their distances over training."""
    runs, phase = numbers["runs"], numbers["phase images"]
    picture = Picture(figsize=(9, 8), layout="constrained")
    panels = picture.subplots(3, 1, height_ratios=[1, 1, 1])
    for panel, run in zip(panels[:2], runs, strict=True):
        film(panel, run)
    curve = panels[2]
    last = runs[0]["looks"][-1]["images"]
    for start, end, name, shade in (
        (0, phase, "4 x 4", 0.22),
        (phase, 2 * phase, "8 x 8 fades in", 0.12),
        (2 * phase, last, "8 x 8", 0.0),
    ):
        curve.axvspan(start, end, color=GREY, alpha=shade, linewidth=0)
        middle, where = (start + end) / 2, curve.get_xaxis_transform()
        curve.text(middle, 1.02, name, ha="center", transform=where)
    for run, color in zip(runs, (BLUE, ORANGE), strict=True):
        images = [look["images"] for look in run["looks"]]
        distances = [look["distance"] for look in run["looks"]]
        curve.plot(images, distances, "o-", color=color, markersize=3, label=run["networks"])
    curve.set(yscale="log", xlim=(0, last), xlabel="real images", ylabel=numbers["distance"])
    curve.legend()
    return picture


def film(axes: Axes, run: Numbers) -> None:
    """A column for each look: the samples of the same latents."""
    looks = run["looks"][1:]
    show_images(axes, run["film"], len(looks))
    size = run["looks"][-1]["size"]
    labels = [
        f"{look['size']} x {look['size']}"
        + (f"\n$\\alpha$ {look['alpha']:.2f}" if look["alpha"] < 1 else "")
        for look in looks
    ]
    axes.set_xticks(np.arange(len(looks)) * (size + 1) + (size - 1) / 2, labels)
    axes.tick_params(length=0)
    axes.set_ylabel(run["networks"])


FIGURE = Figure(
    name="growing",
    title="networks that grow from 4 x 4 to 8 x 8, level by level (progressive growing)",
    protocol=1,
    settings=Settings(),
    tiny=Settings(phase_images=16, updates=8, looks=4, batch_size=8, width=4, samples=24, shown=2),
    compute=compute,
    draw=draw,
)
