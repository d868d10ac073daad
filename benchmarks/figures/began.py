"""BEGAN over training, for three values of gamma, and between real samples.

Berthelot et al. 2017, arXiv:1703.10717: section 3.4.1 (the measure of convergence), figure 3
(gamma) and figure 4 (interpolations of real samples), on 8 x 8 digits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure as Picture
from pytorch_lightning.loggers.logger import DummyLogger
from torch import Tensor

from benchmarks.figures.figure import Figure, Numbers, Report, significant
from benchmarks.figures.samples import load_digits, pack_images, show_images
from benchmarks.figures.style import BLUE, GREEN, GREY, ORANGE
from benchmarks.quiet import quiet
from gan_lightning.data import TensorLoader
from gan_lightning.metrics.diversity import nearest_distance
from gan_lightning.techniques.began import BEGAN

#: The logged quantities that are kept, by short names.
KEPT = {"L(x)": "score/real", "L(G)": "score/fake", "k": "k", "M": "convergence"}
#: The number of samples whose nearest neighbours are compared.
DIVERSITY_SAMPLES = 256


@dataclass(frozen=True)
class Settings:
    """How long to train, and what to look at.

    Args:
        gammas: the diversity ratios, of which the middle one is shown over training.
        updates: of each run.
        looks: the number of looks at samples, evenly spaced.
        batch_size: real samples in an update.
        lambda_k: the gain of k: the paper's 0.001 is for hundreds of thousands of updates.
        latent_dim: the length of codes and latents.
        critic_lr: the critic's learning rate.
        generator_lr: the generator's learning rate.
        generator_width: the generator's channels.
        critic_width: the critic's: a wide one reconstructs all digits, real and generated, alike.
        ema_decay: of the generator's moving average.
        inverted: real samples whose latents are searched.
        search: Adam's steps in this search.
        search_lr: Adam's rate in it.
    """

    gammas: tuple[float, ...] = (0.3, 0.6, 0.9)
    updates: int = 3000
    looks: int = 10
    batch_size: int = 64
    lambda_k: float = 1.0
    latent_dim: int = 16
    critic_lr: float = 5e-4
    generator_lr: float = 1e-3
    generator_width: int = 16
    critic_width: int = 3
    ema_decay: float = 0.99
    inverted: int = 8
    search: int = 500
    search_lr: float = 0.05


class _Rows(DummyLogger):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append(dict(metrics))


class _Looks(pl.Callback):
    """Calls a function every so many updates."""

    def __init__(self, every: int, look: Callable[[int], None]) -> None:
        self._every = every
        self._look = look

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step % self._every == 0:
            self._look(trainer.global_step)


def follow(
    model: BEGAN,
    x: Tensor,
    updates: int,
    looks: int,
    *,
    batch_size: int,
    flip: bool = False,
    shown: int = 32,
    report: Callable[[int, float], None],
) -> Numbers:
    """Train on uint8 images ``x``; returns what the run logged and its samples, for the JSON.

    In a trainer: the halved rates and the decay belong to it. ``report`` is told the updates done
    and the diversity of samples, the share of the real ones'.
    """
    seed = torch.initial_seed()
    fixed = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(x), generator=fixed)[:DIVERSITY_SAMPLES]
    real = nearest_distance(x[chosen].float() / 127.5 - 1)
    z = model.draw_latents(DIVERSITY_SAMPLES, generator=fixed)
    steps: list[int] = []
    diversity: list[float] = []
    seen: list[Tensor] = []

    def look(step: int) -> None:
        samples = model.sample(z=z)
        steps.append(step)
        diversity.append(nearest_distance(samples) / real)
        seen.append(samples[:8])
        report(step, diversity[-1])

    rows = _Rows()
    with quiet():
        trainer = pl.Trainer(
            accelerator="cpu",
            max_steps=updates,
            max_epochs=-1,
            logger=rows,
            log_every_n_steps=1,
            callbacks=[_Looks(max(1, updates // looks), look)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(model, TensorLoader(x, None, batch_size, seed=seed, flip=flip))
    logged = {short: [row[name] for row in rows.rows] for short, name in KEPT.items()}
    rates = [group["lr"] for each in trainer.optimizers for group in each.param_groups]
    return {
        # The second tenth, when a run has found its balance or not, and the last quarter.
        "early": summed_up(logged, updates // 10, updates // 5),
        "equilibrium": summed_up(logged, 3 * updates // 4, updates),
        "last rates": significant([float(rate) for rate in rates]),
        "updates": steps,
        "diversity": significant(diversity),
        "window": (window := max(1, updates // 200)),
        "logged": {name: significant(means(v, window)) for name, v in logged.items()},
        "samples": pack_images(torch.cat(seen)),
        "last samples": pack_images(model.sample(z=z[:shown])),
    }


def summed_up(logged: dict[str, list[float]], start: int, end: int) -> Numbers:
    """The means of the logged quantities over these updates, and the ratio of the errors."""
    values = {name: np.mean(each[start : max(end, start + 1)]) for name, each in logged.items()}
    ratio = values["L(G)"] / values["L(x)"]
    return {"L(G) / L(x)": significant(float(ratio))} | {
        name: significant(float(value)) for name, value in values.items()
    }


def means(values: list[float], window: int) -> list[float]:
    """The means of so many values in a row, one after the other."""
    count = len(values) // window
    return np.array(values[: count * window]).reshape(count, window).mean(axis=1).tolist()


def invert(model: BEGAN, x: Tensor, steps: int, lr: float) -> tuple[Tensor, Tensor]:
    """Latents of real images: Adam on the mean |G(z) - x|, z kept in its cube, section 4.2."""
    z = torch.zeros(len(x), model.latent_dim, requires_grad=True)
    optimizer = torch.optim.Adam([z], lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(z) - x).abs().flatten(1).mean(dim=1).sum().backward()
        optimizer.step()
        with torch.no_grad():
            z.clamp_(-1, 1)
    with torch.no_grad():
        return z.detach(), (model(z) - x).abs().flatten(1).mean(dim=1)


def compute(settings: Settings, report: Report) -> Numbers:
    """Train with each gamma; with the middle one, interpolate between real digits."""
    seed, x = torch.initial_seed(), load_digits()
    runs: list[Numbers] = []
    middle = len(settings.gammas) // 2
    interpolation: Numbers = {}
    for gamma in settings.gammas:
        torch.manual_seed(seed)
        model = BEGAN(
            tuple(x.shape[1:]),
            gamma=gamma,
            lambda_k=settings.lambda_k,
            latent_dim=settings.latent_dim,
            critic_lr=settings.critic_lr,
            generator_lr=settings.generator_lr,
            generator_width=settings.generator_width,
            critic_width=settings.critic_width,
            ema_decay=settings.ema_decay,
            decay_steps=settings.updates,
        )

        def reached(step: int, diversity: float, gamma: float = gamma) -> None:
            share = (len(runs) + step / settings.updates) / len(settings.gammas)
            report(share, f"gamma {gamma}, update {step}: diversity {diversity:.0%}")

        run = follow(
            model,
            x,
            settings.updates,
            settings.looks,
            batch_size=settings.batch_size,
            report=reached,
        )
        if len(runs) == middle:
            interpolation = interpolate(model, x, settings)
        runs.append({"gamma": gamma, **run})
        ratio = run["equilibrium"]["L(G) / L(x)"]
        print(
            f"gamma {gamma}: L(G) / L(x) is {ratio:.3f} in the last quarter, "
            f"{'within' if abs(ratio - gamma) <= 0.02 else 'NOT within'} 0.02 of gamma; "
            f"diversity {run['diversity'][-1]:.0%}"
        )
    return {"runs": runs, "shown": middle, "interpolation": interpolation}


def interpolate(model: BEGAN, x: Tensor, settings: Settings) -> Numbers:
    """Rows of real, G(z_r), five between two z_r, G(z_r), real: latents stay in their cube."""
    chosen = torch.linspace(0, len(x) - 1, settings.inverted).long()
    real = x[chosen].float() / 127.5 - 1
    z, errors = invert(model, real, settings.search, settings.search_lr)
    rows = []
    for i in range(0, len(z) - 1, 2):
        between = [torch.lerp(z[i], z[i + 1], t) for t in torch.linspace(0, 1, 7).tolist()]
        rows += [real[i : i + 1], model.sample(z=torch.stack(between)), real[i + 1 : i + 2]]
    blank = model.sample(z=torch.zeros(1, model.latent_dim))
    start = (blank - real).abs().mean().item()
    return {
        "error of z = 0": significant(start),
        "errors": significant(errors.tolist()),
        "images": pack_images(torch.cat(rows)),
    }


def draw(numbers: Numbers) -> Picture:
    """Three parts: over training, the sweep of gamma, and interpolations."""
    runs, main = numbers["runs"], numbers["runs"][numbers["shown"]]
    picture = Picture(figsize=(9, 6.6), layout="constrained")
    (above,), (below,) = picture.subfigures(2, 1, squeeze=False, height_ratios=[1, 1])

    left, right = above.subfigures(1, 2, width_ratios=[1.2, 1])
    axes = left.subplots(2, 1, height_ratios=[2, 1], sharex=True)
    updates = run_updates(main)
    for name, color in (("M", BLUE), ("L(x)", GREY), ("L(G)", ORANGE)):
        axes[0].plot(updates, main["logged"][name], color=color, label=name, linewidth=1)
    axes[0].set(title=f"over training, gamma {main['gamma']}", ylim=(0, None))
    axes[0].legend(ncols=3)
    axes[1].plot(updates, main["logged"]["k"], color=GREEN, linewidth=1)
    axes[1].set(ylabel="k", ylim=(-0.03, 1.03), xlabel="generator updates")
    samples = right.subplots()
    show_images(samples, main["samples"], 8)
    samples.set(title="eight latents over training", ylabel="updates")
    side = main["samples"]["shape"][2] + 1
    samples.set_yticks(
        [side * i + side / 2 - 1 for i in range(len(main["updates"]))], main["updates"]
    )
    samples.tick_params(length=0)

    sweep, strips, lines = below.subfigures(1, 3, width_ratios=[1.1, 0.8, 1.1])
    axes = sweep.subplots(2, 1, sharex=True)
    for run, color in zip(runs, (BLUE, GREEN, ORANGE), strict=False):
        label = f"gamma {run['gamma']}"
        axes[0].plot(run["updates"], run["diversity"], "o-", color=color, markersize=3, label=label)
        ratio = np.array(run["logged"]["L(G)"]) / np.array(run["logged"]["L(x)"])
        axes[1].plot(run_updates(run), ratio, color=color, linewidth=0.8)
        axes[1].axhline(run["gamma"], color=color, linewidth=0.6, linestyle="--")
    axes[0].set(title="diversity of samples", ylabel="share of the real", ylim=(0, None))
    axes[0].legend()
    axes[1].set(ylabel="L(G) / L(x)", ylim=(0, 1.2), xlabel="generator updates")
    for axis, run in zip(strips.subplots(len(runs), 1), runs, strict=True):
        show_images(axis, run["last samples"], 8)
        axis.set_title(f"gamma {run['gamma']}")
    last = lines.subplots()
    show_images(last, numbers["interpolation"]["images"], 9)
    last.set_title("real, G(z), between, G(z), real")
    return picture


def run_updates(run: Numbers) -> list[float]:
    """The updates in the middle of the windows over which a run's logs are averaged."""
    return [(i + 0.5) * run["window"] for i in range(len(run["logged"]["M"]))]


FIGURE = Figure(
    name="began",
    title="BEGAN's measure of convergence, its gamma, and interpolations of real samples",
    protocol=2,
    settings=Settings(),
    tiny=Settings(updates=4, looks=2, batch_size=8, search=2, inverted=2),
    compute=compute,
    draw=draw,
)
