"""The estimate of the Wasserstein distance beside the distance of samples, over training.

Arjovsky et al. 2017, arXiv:1701.07875: the curves of section 4.2 (figures 3 and 4) and the
generators of section 4.3, on 8 x 8 digits. As in the authors' code, a median filter of 101 updates
smooths the estimates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure as Picture
from matplotlib.lines import Line2D
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torchmetrics.functional import spearman_corrcoef

from benchmarks.figures.figure import Figure, Numbers, Report, pack, significant, unpack
from benchmarks.figures.samples import batches, load_digits, pack_images, show_images
from benchmarks.figures.style import BLUE, ORANGE
from benchmarks.figures.training import Loop
from gan_lightning import GAN, TECHNIQUES
from gan_lightning.gan import Terms
from gan_lightning.metrics import Features, extract, load_extractor
from gan_lightning.metrics.measures import full_name
from gan_lightning.metrics.scores import frechet_distance

#: The generators of section 4.3: a family of networks each, with its width on 8 x 8 pixels.
GENERATORS = {
    "DCGAN's generator": ("dcgan", 32),
    "without normalisation": ("dcgan_plain", 32),
    "a perceptron": ("mlp_generator", 512),
}
#: The options of each technique; the critic is DCGAN's, without normalisation under a penalty.
TECHNIQUE_OPTIONS: dict[str, dict[str, Any]] = {
    "wgan": {"critic_lr": 2e-4, "generator_lr": 2e-4},
    "wgan_gp": {"critic_lr": 1e-3, "generator_lr": 1e-3, "generator_batch": 1},
    "dcgan": {},
}
NAMES = {"wgan": "WGAN", "wgan_gp": "WGAN-GP", "dcgan": "DCGAN"}


@dataclass(frozen=True)
class Settings:
    """How long to train, and how often to look.

    Args:
        updates: the generator updates of WGAN, WGAN-GP and DCGAN.
        checkpoints: the number of looks at the distance, evenly spaced.
        batch_size: real samples in a critic update.
        critic_width: channels of the critic's first map.
        window: the updates that the median filter covers.
        samples: generated samples at a look.
    """

    updates: tuple[int, int, int] = (600, 390, 1950)
    checkpoints: int = 15
    batch_size: int = 32
    critic_width: int = 32
    window: int = 101
    samples: int = 1797


def estimate(terms: Terms) -> float:
    """The critic's estimate: of the Wasserstein distance, or of Jensen and Shannon's divergence.

    The latter is log 2 - L_D / 2, section 4.2.
    """
    if "wasserstein" in terms:
        return terms["wasserstein"].item()
    return math.log(2) - terms["loss/critic"].item() / 2


def smooth(estimates: ArrayLike, window: int) -> NDArray[np.float64]:
    """The median of each estimate and its neighbours, ``window`` in all; ends are repeated."""
    padded = np.pad(np.asarray(estimates, dtype=np.float64), window // 2, mode="edge")
    medians: NDArray[np.float64] = np.median(sliding_window_view(padded, window), axis=1)
    return medians


def trains(distances: Sequence[float], untrained: float) -> bool:
    """Whether a run's samples came to less than half of their distance before training."""
    return min(distances) < untrained / 2


def correlation(
    estimates: Sequence[float], distances: Sequence[float], untrained: float
) -> float | None:
    """Spearman's rank correlation; None where there is nothing to correlate.

    That is with fewer than three points, with equal estimates, and if the run does not train: the
    ranks of distances that stay where they were are noise.
    """
    x, y = (torch.tensor(values, dtype=torch.float64) for values in (estimates, distances))
    if len(x) < 3 or (x == x[0]).all() or not trains(distances, untrained):
        return None
    return float(f"{spearman_corrcoef(x, y).item():.3g}")


def written(run: Numbers) -> str:
    """A run's correlation, or why there is none."""
    value = run["rank correlation"]
    if not run["trains"]:
        return "does not train"
    return "no rank correlation" if value is None else f"rank correlation {value:+.2f}"


def compute(settings: Settings, report: Report) -> Numbers:
    """Train every technique with every generator."""
    seed, x = torch.initial_seed(), load_digits()
    extractor = load_extractor("digits_cnn")
    real = Features(extract(extractor, x.float() / 127.5 - 1)[0])

    def distance(samples: Tensor) -> float:
        fake = Features(extract(extractor, samples)[0])
        return frechet_distance(real.moments, fake.moments)

    runs: list[Numbers] = []
    count = len(GENERATORS) * len(TECHNIQUE_OPTIONS)
    for generator, (network, width) in GENERATORS.items():
        for (name, options), updates in zip(
            TECHNIQUE_OPTIONS.items(), settings.updates, strict=True
        ):
            torch.manual_seed(seed)
            model: GAN = TECHNIQUES[name](
                tuple(x.shape[1:]),
                network=network,
                generator_width=width,
                critic_width=settings.critic_width,
                **options,
            )
            loop, data = Loop(model), batches(x, model.n_critic * settings.batch_size)
            untrained = distance(model.sample(settings.samples))
            estimates, looks, distances = [], [], []
            for update in range(1, updates + 1):
                estimates.append(estimate(loop(next(data))))
                if update % (updates // settings.checkpoints) == 0:
                    looks.append(update)
                    distances.append(distance(model.sample(settings.samples)))
                    share = (len(runs) + update / updates) / count
                    reached = f"distance {distances[-1]:.1f}"
                    report(share, f"{NAMES[name]}, {generator}, update {update}: {reached}")
            smoothed = smooth(estimates, settings.window)[np.array(looks) - 1].tolist()
            # Before its peak, the critic knows less than it could.
            peak = smoothed.index(max(smoothed))
            runs.append(
                {
                    "technique": name,
                    "generator": generator,
                    "trains": trains(distances, untrained),
                    "rank correlation": correlation(smoothed, distances, untrained),
                    "rank correlation from the peak on": correlation(
                        smoothed[peak:], distances[peak:], untrained
                    ),
                    "peak": looks[peak],
                    "last estimate": significant(smoothed[-1]),
                    "untrained": significant(untrained),
                    "updates": looks,
                    "distances": significant(distances),
                    "estimates": pack(torch.tensor(estimates)),
                    "samples": pack_images(model.sample(24)),
                }
            )
            print(
                f"{NAMES[name]}, {generator}: {written(runs[-1])}, "
                f"last distance {distances[-1]:.1f}"
            )
    metric = full_name("fd", extractor.name, settings.samples, "train")
    return {"distance": metric, "window": settings.window, "runs": runs}


def draw(numbers: Numbers) -> Picture:
    """A row for each generator: three curves, and the last samples below each."""
    rows, columns = len(GENERATORS), len(TECHNIQUE_OPTIONS)
    picture = Picture(figsize=(9, 2 * rows), layout="constrained")
    grid = picture.add_gridspec(rows, 2 * columns, width_ratios=[3.2, 1] * columns)
    all_distances = [distance for run in numbers["runs"] for distance in run["distances"]]
    limits = 0.8 * min(all_distances), 1.25 * max(all_distances)
    for i, run in enumerate(numbers["runs"]):
        row, column = divmod(i, columns)
        left = picture.add_subplot(grid[row, 2 * column])
        raw = unpack(run["estimates"])
        updates = np.arange(1, len(raw) + 1)
        left.plot(updates, raw, color="#b5d5e8", linewidth=0.5, antialiased=False)
        smoothed = smooth(raw, numbers["window"])
        left.plot(updates, smoothed, color=BLUE)
        # The first estimates are those of a critic that has learnt nothing.
        low, high = min(0.0, smoothed.min()), smoothed.max()
        left.set(xlim=(0, len(raw)), ylim=(low, low + 1.15 * (high - low)))
        left.tick_params(axis="y", colors=BLUE)
        right = left.twinx()
        right.plot(run["updates"], run["distances"], "o-", color=ORANGE, markersize=2.5)
        right.set(yscale="log", ylim=limits)
        right.spines[:].set_visible(False)
        right.tick_params(axis="y", which="both", colors=ORANGE)
        name = NAMES[run["technique"]]
        left.set_title(f"{name}, {run['generator']}\n{written(run)}")
        if row == rows - 1:
            left.set_xlabel("generator updates")
        samples = picture.add_subplot(grid[row, 2 * column + 1])
        show_images(samples, run["samples"], 3)
    handles = [Line2D([], [], color=BLUE), Line2D([], [], color=ORANGE, marker="o", markersize=3)]
    labels = ["the critic's estimate", f"distance of samples, {numbers['distance']}"]
    picture.legend(handles, labels, loc="outside upper center", ncols=2)
    return picture


FIGURE = Figure(
    name="wasserstein-curve",
    title="the estimate of the Wasserstein distance follows that of samples (WGAN)",
    protocol=2,
    settings=Settings(),
    tiny=Settings(updates=(2, 2, 2), checkpoints=2, batch_size=4, window=1, samples=24),
    compute=compute,
    draw=draw,
)
