"""What a run of the papers' length takes: ``python -m benchmarks.paper_runs``.

Counts the operations of the CIFAR-10 configs' updates, without computing them, and writes
``benchmarks/results/paper_runs.json``, from which ``benchmarks.render`` makes a table.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.environment import describe_environment
from benchmarks.figures.figure import dumps
from benchmarks.protocol import PAPER_RUNS
from benchmarks.protocols import PROTOCOLS
from benchmarks.quiet import quiet
from benchmarks.records import write_atomically
from benchmarks.throughput.training import OperationCounter
from benchmarks.variants import Variant
from gan_lightning import GAN, TECHNIQUES
from gan_lightning.data import CIFAR10
from gan_lightning.training.iteration import Kind

#: Points of a run at which the level of networks that grow is looked at.
LOOKS = 1000


@dataclass(frozen=True)
class PaperRun:
    """What a config trains.

    Args:
        technique: the key in ``TECHNIQUES``.
        updates: generator updates of the run.
        batch_size: real samples in a critic update.
        n_critic: critic updates in a generator update.
        parameters: of the generator and of the critic.
        flops: of products and convolutions in a generator update and its critic updates, a mean
            over the run.
    """

    technique: str
    updates: int
    batch_size: int
    n_critic: int
    parameters: tuple[int, int]
    flops: float


def main(args: Sequence[str] | None = None) -> None:
    """Count, and write the file."""
    parser = argparse.ArgumentParser(prog="benchmarks.paper_runs", description=__doc__)
    parser.add_argument("--output", type=Path, default=PAPER_RUNS, help="the file to write")
    options = parser.parse_args(args)
    runs = []
    for technique in TECHNIQUES.own:
        runs.append(count(technique))
        print(f"{technique}: {runs[-1].flops / 1e9:,.1f} GFLOP an update", flush=True)
    content = {
        "environment": describe_environment(torch.device("cpu")),
        "runs": [asdict(run) for run in runs],
    }
    write_atomically(options.output, dumps(content))
    print(f"wrote {options.output}")


def count(technique: str) -> PaperRun:
    """Count the operations of a technique's run as published."""
    protocol = PROTOCOLS["cifar10-paper"]
    settings = protocol.settings(Variant(technique))
    data = CIFAR10(**settings.get("data", {}))
    classes = data.classes if data.conditional else 0
    cls = TECHNIQUES[technique]
    # An average makes no products, and copies of fake tensors cannot be used with others.
    without_average = {name: 0 for name in ("ema_decay", "ema_half_life") if hasattr(cls, name)}
    # Shapes alone: nothing is allocated or computed.
    with FakeTensorMode():
        model = cls(data.shape, classes, **settings.get("model", {}) | without_average)
        attach_optimizers(model)
        updates = settings["trainer"]["max_steps"]
        flops = mean_flops(model, updates, data.batch_size)
    sizes = [sum(p.numel() for p in net.parameters()) for net in (model.generator, model.critic)]
    return PaperRun(
        technique,
        updates,
        data.batch_size,
        model.n_critic,
        (sizes[0], sizes[1]),
        flops,
    )


def attach_optimizers(model: GAN) -> None:
    """Give a model the optimisers that it has in a fit, which unrolled steps look into."""
    with quiet():
        trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    model.trainer = trainer
    trainer.optimizers = model.configure_optimizers()[0]


def mean_flops(model: GAN, updates: int, batch_size: int) -> float:
    """Operations of a generator update, a mean over levels, phases and regularizers due."""
    regularizers = [*model.critic_regularizers(), *model.generator_regularizers()]
    period = math.lcm(*(each.every for each in regularizers))
    counted: dict[Kind, int] = {}
    total = 0.0
    for look in range(LOOKS):
        update = look * updates // LOOKS
        model.images = update * model.n_critic * batch_size
        model.begin_update(update, [])
        for i in range(period):
            kind = model.kind(update + i)
            if kind not in counted:
                counted[kind] = flops_of(model, kind, batch_size)
            total += counted[kind] / period / LOOKS
    return total


def flops_of(model: GAN, kind: Kind, batch_size: int) -> int:
    """Operations of one iteration of a kind."""
    n = batch_size * model.n_critic
    x = torch.rand(n, *model.shape)
    y = torch.zeros(n, dtype=torch.int64) if model.num_classes else None
    objectives = model.critic_objective, model.generator_objective

    def update(which: int, loss: Tensor) -> None:
        loss.backward()  # the optimisers' steps are no products

    with OperationCounter() as counter:
        model.iterate(x, y, kind, objectives, update)
    return counter.flops


if __name__ == "__main__":
    main()
