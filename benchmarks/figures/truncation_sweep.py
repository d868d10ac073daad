"""Truncated latents trade variety for fidelity, with and without standing statistics.

Brock et al. 2019, arXiv:1809.11096, section 3.1 and figure 2: a small hierarchical BigGAN on the
8 x 8 digits, sampled with thresholds from small to none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure as Picture
from torch import Tensor

from benchmarks.figures.figure import Figure, Numbers, Report, significant
from benchmarks.figures.samples import pack_images, show_images
from benchmarks.figures.style import BLUE, ORANGE
from benchmarks.figures.training import Loop
from gan_lightning import BigGAN
from gan_lightning.data import Digits, TensorLoader
from gan_lightning.metrics import Features, extract, load_extractor
from gan_lightning.metrics.neighbours import neighbour_scores
from gan_lightning.metrics.scores import frechet_distance, inception_score

#: The statistics of batch normalisation, with colours and labels.
STATISTICS = {
    "trained": (ORANGE, "statistics of training"),
    "standing": (BLUE, "standing statistics"),
}


@dataclass(frozen=True)
class Settings:
    """Of the run, which is that of the config for digits, and of the sweep.

    Args:
        updates: of the generator.
        batch_size: real samples in a critic update.
        n_critic: critic updates to one of the generator.
        critic_lr: the critic's learning rate.
        generator_lr: the generator's learning rate.
        width: channels of both networks.
        latent_dim: the length of a latent.
        ema_decay: of the moving average that is sampled.
        thresholds: the truncations; None for none.
        samples: generated at each.
        passes: of the standing statistics.
        pass_size: samples of each pass.
        shown: the thresholds whose samples are shown.
        rows: of samples, each of all classes.
    """

    updates: int = 2000
    batch_size: int = 16
    n_critic: int = 2
    critic_lr: float = 2e-3
    generator_lr: float = 1e-3
    width: int = 32
    latent_dim: int = 32
    ema_decay: float = 0.99
    thresholds: tuple[float | None, ...] = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, None)
    samples: int = 1797
    passes: int = 16
    pass_size: int = 128
    shown: tuple[float | None, ...] = (0.1, 0.7, None)
    rows: int = 4


def train(settings: Settings, x: Tensor, y: Tensor, report: Report) -> BigGAN:
    """A small class-conditional BigGAN."""
    model = BigGAN(
        tuple(x.shape[1:]),
        int(y.max()) + 1,
        network="biggan",
        latent_dim=settings.latent_dim,
        n_critic=settings.n_critic,
        critic_lr=settings.critic_lr,
        generator_lr=settings.generator_lr,
        generator_width=settings.width,
        critic_width=settings.width,
        ema_decay=settings.ema_decay,
        ema_start=0,
    )
    loop, size = Loop(model), settings.n_critic * settings.batch_size
    loader = TensorLoader(x, y, size, seed=torch.initial_seed())
    while loop.updates < settings.updates:
        for batch, labels in loader:
            terms = loop(batch, labels)
            reached = f"update {loop.updates}, critic {terms['loss/critic'].item():.2f}"
            report(0.9 * loop.updates / settings.updates, reached)
            if loop.updates == settings.updates:
                break
    return model


def compute(settings: Settings, report: Report) -> Numbers:
    """Train, and score samples of each threshold with each kind of statistics."""
    seed = torch.initial_seed()
    x, y = map(torch.as_tensor, Digits().load("train"))
    extractor = load_extractor("digits_cnn")
    real = Features(extract(extractor, x.float() / 127.5 - 1)[0])
    model = train(settings, x, y, report)

    def source() -> torch.Generator:
        """The same draws at every point."""
        return torch.Generator().manual_seed(seed)

    classes = torch.arange(model.num_classes).repeat(settings.rows)
    curves: list[Numbers] = []
    pictures: list[Numbers] = []
    for i, statistics in enumerate(STATISTICS):
        points: list[Numbers] = []
        for j, threshold in enumerate(settings.thresholds):
            if statistics == "standing":
                model.standing_statistics(
                    settings.passes, settings.pass_size, truncation=threshold, generator=source()
                )
            samples = model.sample(settings.samples, truncation=threshold, generator=source())
            features, logits = extract(extractor, samples)
            assert logits is not None
            fake = Features(features)
            precision, recall, *_ = neighbour_scores(
                real.features, fake.features, real.neighbour_distances
            )
            points.append(
                {
                    "threshold": threshold,
                    "precision": significant(precision),
                    "recall": significant(recall),
                    "Frechet distance": significant(frechet_distance(real.moments, fake.moments)),
                    "Inception score": significant(inception_score(logits)),
                }
            )
            if statistics == "standing" and threshold in settings.shown:
                shown = model.sample(y=classes, truncation=threshold, generator=source())
                pictures.append({"threshold": threshold, "images": pack_images(shown)})
            share = 0.9 + 0.1 * (i + (j + 1) / len(settings.thresholds)) / len(STATISTICS)
            report(share, f"statistics {statistics}, threshold {threshold}: {points[-1]}")
        curves.append({"statistics": statistics, "points": points})
    return {"curves": curves, "pictures": pictures}


def written(threshold: float | None) -> str:
    """A threshold, or that there is none."""
    return "none" if threshold is None else f"{threshold:g}"


def draw(numbers: Numbers) -> Picture:
    """Above scores by threshold and the fidelity-variety curve, below samples."""
    picture = Picture(figsize=(9, 4.4), layout="constrained")
    (above,), (below,) = picture.subfigures(2, 1, squeeze=False, height_ratios=[1, 0.62])
    by_threshold, curve, distances = above.subplots(1, 3)
    for each in numbers["curves"]:
        points: Sequence[Numbers] = each["points"]
        color, label = STATISTICS[each["statistics"]]
        precision, recall, distance, score = (
            [point[key] for point in points]
            for key in ("precision", "recall", "Frechet distance", "Inception score")
        )
        place = range(len(points))
        by_threshold.plot(place, precision, "o-", color=color, markersize=3, label=label)
        by_threshold.plot(place, recall, "s--", color=color, markersize=3)
        curve.plot(recall, precision, "o-", color=color, markersize=3)
        distances.plot(score, distance, "o-", color=color, markersize=3)
        for axes, x, y in ((curve, recall, precision), (distances, score, distance)):
            for i, point in enumerate(points):
                # Those of small thresholds lie upon each other.
                if each is numbers["curves"][0] and (point["threshold"] or 1) >= 0.7:
                    name = written(point["threshold"])
                    axes.annotate(name, (x[i], y[i]), (3, 3), textcoords="offset points")
    names = [written(point["threshold"]) for point in numbers["curves"][0]["points"]]
    by_threshold.set_xticks(range(len(names)), names)
    by_threshold.set(title="precision (line), recall (dashed)", xlabel="threshold", ylim=(0, 1.03))
    curve.set(title="fidelity and variety", xlabel="recall", ylabel="precision")
    distances.set(title="scores", xlabel="Inception score", ylabel="Frechet distance", yscale="log")
    above.legend(*by_threshold.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    pictures = numbers["pictures"]
    for axes, each in zip(below.subplots(1, len(pictures)), pictures, strict=True):
        show_images(axes, each["images"], 10)
        axes.set_title(f"threshold {written(each['threshold'])}")
    return picture


FIGURE = Figure(
    name="truncation-sweep",
    title="truncated latents trade variety for fidelity (BigGAN)",
    protocol=1,
    settings=Settings(),
    tiny=Settings(
        updates=2,
        batch_size=2,
        width=4,
        latent_dim=4,
        thresholds=(1.0, None),
        samples=20,
        passes=2,
        pass_size=4,
        shown=(1.0, None),
        rows=1,
    ),
    compute=compute,
    draw=draw,
)
