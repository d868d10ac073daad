"""Gradients in a deep critic: they explode or vanish with clipping, and not with the penalty.

Gulrajani et al. 2017, arXiv:1704.00028, section 3.2 and figure 1b: generator and critic are ReLU
perceptrons of 12 layers, trained on the Swiss roll. The paper gives neither width, batch size nor
updates. The width is that of the authors' toys, 512, on which it depends what a clipping bound
does: with weights at +-c a layer multiplies a gradient by about c sqrt(width / 2).
"""

import copy
import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from matplotlib.figure import Figure as Picture
from torch import Tensor

from benchmarks.figures.figure import Figure, Numbers, Report, significant
from benchmarks.figures.style import BLUE, GREEN, GREY, ORANGE, PINK
from benchmarks.figures.toys import Clipped, Penalised, Points, ReLUPerceptron
from benchmarks.figures.training import Loop
from gan_lightning import GAN


@dataclass(frozen=True)
class Settings:
    """Of every run; learning rates and optimisers are those of the techniques.

    Args:
        hidden: ReLU layers of each network, before a linear one.
        width: units of a layer.
        clips: the clipping bounds, the paper's.
        penalty_weight: the paper's, for all its experiments.
        updates: generator updates, each after 5 of the critic.
        batch_size: of one update.
        points: of the Swiss roll, from which batches are drawn.
        probed: samples, real and as many generated, whose gradients are averaged.
        bins: of the histograms.
    """

    hidden: int = 12
    width: int = 512
    clips: tuple[float, ...] = (0.1, 0.01, 0.001)
    penalty_weight: float = 10.0
    updates: int = 150
    batch_size: int = 64
    points: int = 100_000
    probed: int = 256
    bins: int = 60


def compute(settings: Settings, report: Report) -> Numbers:
    """The mean norm of the gradient in each layer, before and after training, and the weights."""
    sizes: dict[str, Any] = {"hidden": settings.hidden, "critic_width": settings.width}
    models: list[GAN] = [Clipped((2,), clip=clip, **sizes) for clip in settings.clips]
    models.append(Penalised((2,), penalty_weight=settings.penalty_weight, **sizes))
    names = [*(f"clipping at {clip:g}" for clip in settings.clips), "gradient penalty"]
    points = Points("Swiss roll", settings.points)
    runs = []
    for i, (name, model) in enumerate(zip(names, models, strict=True)):
        loop = Loop(model)
        untrained = layer_gradients(model, points, settings.probed)
        clip = getattr(model, "clip", None)
        at_bound = share_at(clip, inner_weights(model))
        for update in range(settings.updates):
            loop(points(model.n_critic * settings.batch_size))
            share = (i + (update + 1) / settings.updates) / len(models)
            report(share, f"{name}, update {update + 1}")
        trained = layer_gradients(model, points, settings.probed)
        weights = inner_weights(model)
        limit = 1.1 * (clip or weights.abs().max().item())
        counts = torch.histc(weights, settings.bins, -limit, limit)
        runs.append(
            {
                "name": name,
                "clip": clip,
                "untrained": significant(untrained),
                "trained": significant(trained),
                "factor per layer": significant(factor(trained)),
                "weights at the bound, untrained": significant(at_bound),
                "weights at the bound": significant(share_at(clip, weights)),
                "largest weight shown": significant(limit),
                "shares of weights": significant(counts / len(weights)),
            }
        )
    return {"hidden": settings.hidden, "runs": runs}


def layer_gradients(model: GAN, points: Points, probed: int) -> list[float]:
    """Mean over samples of the norm of the score's gradient in the output of each hidden layer.

    The critic's loss is a mean of scores, so that these are its gradients, one sample at a time.
    In float64: squares of what reaches the first layers underflow float32.
    """
    with torch.no_grad():
        x = torch.cat([points(probed), model.generator(model.draw_latents(probed), None)])
    critic = copy.deepcopy(cast("ReLUPerceptron", model.critic)).double()
    *hidden, scores = critic.activations(x.double())
    gradients = torch.autograd.grad(scores.sum(), hidden)
    return [gradient.norm(dim=1).mean().item() for gradient in gradients]


def factor(norms: list[float]) -> float:
    """What a layer multiplies the gradient by on its way to the input, as a geometric mean."""
    return math.exp((math.log(norms[0]) - math.log(norms[-1])) / (len(norms) - 1))


def inner_weights(model: GAN) -> Tensor:
    """All weights between hidden layers of the critic, in a row."""
    layers = [*cast("ReLUPerceptron", model.critic).layers][1:-1]
    return torch.cat([cast("Tensor", layer.weight).detach().flatten() for layer in layers])


def share_at(clip: float | None, weights: Tensor) -> float | None:
    """The share of weights at the bounds, if there are any."""
    return None if clip is None else (weights.abs() >= 0.999 * clip).double().mean().item()


def draw(numbers: Numbers) -> Picture:
    """To the left the norms by layer, to the right a histogram for each run."""
    runs = numbers["runs"]
    colors = [ORANGE, GREEN, PINK, BLUE]
    picture = Picture(figsize=(9, 4), layout="constrained")
    left, right = picture.subfigures(1, 2, squeeze=False, width_ratios=(1.15, 1))[0]
    axes = left.subplots()
    layers = range(1, numbers["hidden"] + 1)
    for run, color in zip(runs, colors, strict=True):
        axes.plot(layers, run["trained"], "o-", color=color, markersize=3, label=run["name"])
        axes.plot(layers, run["untrained"], color=color, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.plot([], [], color=GREY, linewidth=0.8, linestyle=(0, (3, 3)), label="untrained")
    axes.set(
        yscale="log",
        xlabel="hidden layer of the critic, the input's first",
        ylabel="norm of the gradient",
        xticks=[*layers][:: 1 if len(layers) < 5 else 2],
    )
    axes.grid(axis="y")
    axes.legend(loc="lower right")
    panels = right.subplots(2, 2).flat
    for panel, run, color in zip(panels, runs, colors, strict=True):
        limit, shares = run["largest weight shown"], run["shares of weights"]
        width = 2 * limit / len(shares)
        starts = [-limit + i * width for i in range(len(shares))]
        panel.bar(starts, shares, width, align="edge", color=color)
        panel.set(title=run["name"], yticks=[], xlim=(-limit, limit))
        bound = run["clip"] or float(f"{limit / 1.1:.1g}")
        panel.set_xticks([-bound, 0, bound], [f"{-bound:g}", "0", f"{bound:g}"])
        panel.spines["left"].set_visible(False)
    right.supxlabel("weights between hidden layers", fontsize=8)
    return picture


FIGURE = Figure(
    name="swissroll-gradients",
    title="gradients by layer in a deep critic, clipped or penalised (WGAN-GP, figure 1b)",
    protocol=1,
    settings=Settings(),
    tiny=Settings(hidden=3, width=8, updates=2, batch_size=4, points=50, probed=8, bins=10),
    compute=compute,
    draw=draw,
)
