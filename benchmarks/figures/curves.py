"""Loss curves of every technique: ``python -m benchmarks.figures.curves [TECHNIQUE ...]``.

Trains each technique on digits by its config for the first part of its updates, on one thread of a
CPU, and draws the losses beside the distance of the committed runs, which were trained to the end.
Writes numbers and pictures as ``python -m benchmarks.figures`` does, to ``docs/figures/curves``.
The pages of the techniques show the pictures.
"""

import argparse
import csv
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure as Picture

from benchmarks.figures.command import FOLDER, progress
from benchmarks.figures.figure import Figure, Numbers, Report, draw, make, significant
from benchmarks.figures.style import BLUE, GREY, ORANGE, panels
from benchmarks.protocol import RESULTS, Protocol
from benchmarks.protocols import PROTOCOLS
from benchmarks.quiet import quiet
from benchmarks.records import read_records
from benchmarks.variants import Variant
from gan_lightning import TECHNIQUES
from gan_lightning.cli import main as gan_lightning
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.suggestions import no_such

PROTOCOL: Protocol = PROTOCOLS["digits"]
CURVES = FOLDER / "curves"
LOSSES = {"loss/critic": BLUE, "loss/generator": ORANGE}


@dataclass(frozen=True)
class Settings:
    """How long to train, and how often to look.

    Args:
        part: the run takes one of so many parts of the config's updates.
        points: the number of updates whose losses are logged.
    """

    part: int = 8
    points: int = 125


def compute(settings: Settings, report: Report, *, technique: str) -> Numbers:
    """Train for a part of the config's updates, and read the distances of the records."""
    row = Variant(technique)
    updates = max(PROTOCOL.updates(row) // settings.part, settings.points)
    with tempfile.TemporaryDirectory() as folder, quiet():
        gan_lightning(
            [
                "fit",
                *PROTOCOL.config_arguments(row),
                *PROTOCOL.command_line(row),
                f"--seed_everything={torch.initial_seed()}",
                f"--trainer.max_steps={updates}",
                f"--trainer.val_check_interval={updates}",
                f"--trainer.log_every_n_steps={updates // settings.points}",
                f"--trainer.default_root_dir={folder}",
                "--trainer.accelerator=cpu",
                "--trainer.enable_progress_bar=false",
                "--trainer.enable_model_summary=false",
                "--evaluate.extractor=none",
            ]
        )
        (log,) = Path(folder).glob("*/version_0/metrics.csv")
        losses = read_losses(log)
    report(1.0, f"{updates} updates")
    runs = distances(technique)
    return {
        "technique": TECHNIQUES[technique].__name__,
        "updates of the run": updates,
        "losses": losses,
        "distance": PROTOCOL.distance,
        "runs": runs,
    }


def read_losses(log: Path) -> Numbers:
    """The losses in a log, and the updates at which they were logged."""
    with log.open() as file:
        rows = [row for row in csv.DictReader(file) if row["loss/critic"]]
    losses = {name: significant([float(row[name]) for row in rows]) for name in LOSSES}
    return {"updates": [int(row["step"]) for row in rows], **losses}


def distances(technique: str) -> list[Numbers]:
    """The distances over training of the technique's committed runs, by seed."""
    return [
        {
            "seed": record.seed,
            "updates": [point["update"] for point in record.curve],
            "distances": significant([point[record.distance] for point in record.curve]),
        }
        for record in read_records(RESULTS, PROTOCOL)
        if record.folder == technique and record.status == "finished"
    ]


def draw_curves(numbers: Numbers) -> Picture:
    """The losses at the left, the distances at the right, where the time of the left is shaded."""
    picture, ((left, right),) = panels(1, 2, 8, 2.4)
    losses = numbers["losses"]
    for name, color in LOSSES.items():
        left.plot(losses["updates"], losses[name], color=color, linewidth=0.9, label=name)
    end = numbers["updates of the run"]
    left.set(title=f"losses, the first {end:,} updates of seed 0", xlim=(0, end))
    left.legend(loc="best")
    right.axvspan(0, end, color="#eeeeee")
    for run in numbers["runs"]:
        right.plot(run["updates"], run["distances"], ".-", color=GREY, markersize=4)
    count = len(numbers["runs"])
    right.set(title=f"distance, {count} committed runs", yscale="log", xlim=(0, None))
    for axes in (left, right):
        axes.set_xlabel("generator updates")
        axes.grid(visible=True, axis="y")
    return picture


def figure(technique: str) -> Figure:
    """The figure of a technique, named after it."""
    return Figure(
        name=technique,
        title=f"losses and distance of {technique} on digits",
        protocol=1,
        settings=Settings(),
        tiny=Settings(part=10_000, points=4),
        compute=partial(compute, technique=technique),
        draw=draw_curves,
    )


def main(args: Sequence[str] | None = None) -> None:
    """Make the curves of techniques, or draw them again."""
    parser = argparse.ArgumentParser(prog="benchmarks.figures.curves", description=__doc__)
    parser.add_argument(
        "techniques", metavar="TECHNIQUE", nargs="*", help="keys of techniques (default: all)"
    )
    parser.add_argument(
        "--draw", action="store_true", help="draw the pictures again from their numbers"
    )
    parser.add_argument(
        "--output", type=Path, default=CURVES, help="the folder to write to (default: docs)"
    )
    options = parser.parse_args(args)
    for name in options.techniques:
        if name not in PROTOCOL.techniques:
            parser.error(no_such("technique", name, PROTOCOL.techniques))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the committed runs
    try:
        for technique in options.techniques or PROTOCOL.techniques:
            curves = figure(technique)
            if options.draw:
                draw(curves, options.output)
            else:
                make(curves, curves.settings, 0, options.output, progress(technique))
            print(f"wrote {curves.picture_path(options.output)}", flush=True)
    except UserError as error:
        raise SystemExit(f"benchmarks.figures.curves: {error}") from error
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
