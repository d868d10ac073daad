"""StyleGAN2 on 8 x 8 digits: mixed styles, truncation, and its two regularisers over training.

Karras et al. 2019, arXiv:1812.04948, figures 3 and 8; Karras et al. 2020, arXiv:1912.04958.
"""

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure as Picture

from benchmarks.figures.figure import Figure, Numbers, Report, significant
from benchmarks.figures.samples import batches, load_digits, pack_images, show_images
from benchmarks.figures.style import BLUE, GREEN, ORANGE
from benchmarks.figures.training import Loop
from gan_lightning.grids import mixing_grid, truncation_grid
from gan_lightning.metrics.diversity import nearest_distance
from gan_lightning.techniques.stylegan2 import StyleGAN2

#: Samples whose nearest neighbours are compared, at each psi.
DIVERSITY_SAMPLES = 256


@dataclass(frozen=True)
class Settings:
    """How long to train, and what to show.

    Args:
        updates: of each network.
        batch_size: real samples in an update.
        gamma: the weight of R1.
        r1_interval: R1 is added in every so many updates.
        lr: Adam's rate, of both networks.
        width: channels of both networks, and the length of styles.
        latent_dim: the length of latents.
        mapping_layers: between latents and styles.
        path_weight: of the path length regulariser.
        sources: rows of each group of mixed images.
        styles: columns of mixed images.
        psis: shares of styles that are left.
        rows: latents that are truncated.
        window: values of a regulariser that a point of a curve is the mean of.
    """

    updates: int = 3000
    batch_size: int = 16
    gamma: float = 1.0
    r1_interval: int = 4
    lr: float = 5e-3
    width: int = 32
    latent_dim: int = 32
    mapping_layers: int = 2
    path_weight: float = 2.0
    sources: int = 2
    styles: int = 6
    psis: tuple[float, ...] = (0.0, 0.3, 0.5, 0.7, 1.0)
    rows: int = 7
    window: int = 8


def compute(settings: Settings, report: Report) -> Numbers:
    """Train, and draw both grids from the moving average."""
    x = load_digits()
    model = StyleGAN2(
        tuple(x.shape[1:]),
        gamma=settings.gamma,
        r1_interval=settings.r1_interval,
        critic_lr=settings.lr,
        generator_lr=settings.lr,
        generator_width=settings.width,
        critic_width=settings.width,
        latent_dim=settings.latent_dim,
        mapping_layers=settings.mapping_layers,
        path_weight=settings.path_weight,
    )
    loop, loader = Loop(model), batches(x, settings.batch_size)
    curves: dict[str, list[tuple[int, float]]] = {"r1": [], "path_length": [], "path_mean": []}
    for update in range(1, settings.updates + 1):
        terms = loop(next(loader))
        for name, points in curves.items():
            if name in terms:
                points.append((update, terms[name].item()))
        report(update / settings.updates, f"update {update}")

    fixed = torch.Generator().manual_seed(0)
    real = x[torch.randperm(len(x), generator=fixed)[:DIVERSITY_SAMPLES]].float() / 127.5 - 1
    z = model.draw_latents(DIVERSITY_SAMPLES, generator=fixed)
    diversity = [
        nearest_distance(model.sample(z=z, truncation=psi)) / nearest_distance(real)
        for psi in settings.psis
    ]
    mixing = mixing_grid(model, settings.sources, settings.styles, fixed)
    truncation = truncation_grid(model, settings.rows, settings.psis, fixed)
    return {
        "mixing": {"columns": mixing.columns, "images": pack_images(mixing.images)},
        "truncation": {"columns": truncation.columns, "images": pack_images(truncation.images)},
        "sources": settings.sources,
        "psi": list(settings.psis),
        "diversity": significant(diversity),
        "curves": {name: _means(points, settings.window) for name, points in curves.items()},
    }


def _means(points: list[tuple[int, float]], window: int) -> Numbers:
    """The means of so many points in a row, one after the other."""
    groups = [points[i : i + window] for i in range(0, len(points) - window + 1, window)]
    return {
        "updates": [group[-1][0] for group in groups],
        "values": significant([sum(value for _, value in group) / window for group in groups]),
    }


def draw(numbers: Numbers) -> Picture:
    """Mixed styles, truncation, and the curves."""
    picture = Picture(figsize=(9, 4.2), layout="constrained")
    ((left, middle, right),) = picture.subfigures(1, 3, squeeze=False, width_ratios=[1.15, 0.75, 1])

    mixing = left.subplots()
    show_images(mixing, numbers["mixing"]["images"], numbers["mixing"]["columns"])
    sources, side = numbers["sources"], numbers["mixing"]["images"]["shape"][2] + 1
    centres = [side * (1 + sources * (i + 0.5)) - 1 for i in range(3)]
    mixing.set_yticks(centres, ["coarse", "middle", "fine"], rotation=90, va="center")
    mixing.tick_params(length=0)
    mixing.set_title("layers with the styles of the first row")

    truncation = middle.subplots()
    show_images(truncation, numbers["truncation"]["images"], numbers["truncation"]["columns"])
    truncation.set_xticks(
        [side * (i + 0.5) - 1 for i in range(len(numbers["psi"]))], numbers["psi"]
    )
    truncation.tick_params(length=0)
    truncation.set(title="truncation", xlabel="psi")

    curves = numbers["curves"]
    above, below = right.subplots(2, 1, sharex=True)
    above.plot(curves["r1"]["updates"], curves["r1"]["values"], color=ORANGE, linewidth=1)
    above.set(title="R1: squared gradient norm", ylim=(0, None))
    for name, label, color in (("path_length", "length", BLUE), ("path_mean", "a", GREEN)):
        curve = curves[name]
        below.plot(curve["updates"], curve["values"], color=color, linewidth=1, label=label)
    below.set(title="path length", xlabel="generator updates", ylim=(0, None))
    below.legend(ncols=2)
    return picture


FIGURE = Figure(
    name="style-mixing",
    title="mixed styles, truncation and both regularisers (StyleGAN2)",
    protocol=1,
    settings=Settings(),
    tiny=Settings(updates=16, batch_size=8, width=8, styles=2, rows=2, window=1),
    compute=compute,
    draw=draw,
)
