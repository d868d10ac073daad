"""``gan-lightning score``: two sets of images from anywhere, compared."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from gan_lightning.data.sources import FilesSource, FolderSource, ZipSource
from gan_lightning.errors import ArgumentError, TooFewSamplesError, WrongFileError
from gan_lightning.metrics import Extractor, Features, batches_of, collect, load_extractor
from gan_lightning.metrics.scores import (
    Moments,
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
)

Score = Callable[[Features, Features], float]
SCORES: dict[str, Score] = {
    "fd": lambda real, fake: frechet_distance(Moments.of(real.features), Moments.of(fake.features)),
    "is": lambda real, fake: inception_score(_logits(fake)),
    "kd": lambda real, fake: kernel_distance(real.features, fake.features),
    "precision": lambda real, fake: precision_recall(real.features, fake.features)[0],
    "recall": lambda real, fake: precision_recall(real.features, fake.features)[1],
    "density": lambda real, fake: density_coverage(real.features, fake.features)[0],
    "coverage": lambda real, fake: density_coverage(real.features, fake.features)[1],
}
#: What distances are called where the network is the one that defines them.
ON_INCEPTION = {"fd": "fid", "kd": "kid"}


def main(args: Sequence[str]) -> None:
    """Score, and print a table or, with ``--json``, one object.

    Raises:
        UserError: an argument, a folder or a file of weights will not do.
    """
    parser = argparse.ArgumentParser(
        prog="gan-lightning score",
        description="Compare the images of two folders, or zip archives, on a network's features.",
    )
    parser.add_argument("--real", type=Path, required=True, help="the folder of real images")
    parser.add_argument("--fake", type=Path, required=True, help="the folder of generated images")
    parser.add_argument(
        "--extractor",
        default="inception",
        help="inception (the default), classifier, or a network of torchvision",
    )
    parser.add_argument("--weights", type=Path, help="the file of the extractor's weights")
    parser.add_argument(
        "--metrics", nargs="+", choices=SCORES, help="the scores; by default all there are"
    )
    parser.add_argument(
        "--batch_size", type=int, help="by default 16 on a CPU, 256 on a GPU; scores are the same"
    )
    parser.add_argument("--device", help="such as cpu or cuda:1; by default a GPU if there is one")
    parser.add_argument("--json", action="store_true", help="print one JSON object of name: value")
    options = parser.parse_args(list(args))
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    batch_size = options.batch_size
    if batch_size is None:
        batch_size = 16 if device.type == "cpu" else 256
    if batch_size < 1:
        raise ArgumentError(f"batch_size must be at least 1, got {batch_size}")
    real, fake = _source("--real", options.real), _source("--fake", options.fake)
    extractor = load_extractor(options.extractor, options.weights)
    metrics = options.metrics or [n for n in SCORES if n != "is" or extractor.score is not None]
    if "is" in metrics and extractor.score is None:
        raise ArgumentError(f"{options.extractor} gives no classes, which `--metrics is` needs")
    of_real = _features(real, extractor, batch_size, device)
    of_fake = _features(fake, extractor, batch_size, device)
    try:
        scores = {score_name(name, extractor): SCORES[name](of_real, of_fake) for name in metrics}
    except ValueError as error:
        raise TooFewSamplesError(str(error)) from error
    if options.json:
        print(json.dumps(scores))
    else:
        _print(scores, len(of_real.features), len(of_fake.features))


def score_name(metric: str, extractor: Extractor) -> str:
    """``fid``, ``is``, ``kid``, ``precision`` on Inception; ``fd_NAME`` and so on elsewhere."""
    if extractor.frechet == "fid":
        return ON_INCEPTION.get(metric, metric)
    return metric + extractor.frechet.removeprefix("fd")


def _source(option: str, place: Path) -> FilesSource:
    if not place.exists():
        raise ArgumentError(f"{option}: there is no folder {place}")
    return ZipSource(place, split=None) if place.is_file() else FolderSource(place, split=None)


def _features(
    source: FilesSource, extractor: Extractor, batch_size: int, device: torch.device
) -> Features:
    skipped: dict[int, str] = {}
    features = collect(extractor, batches_of(source, batch_size, skipped), device)
    if skipped:
        i, why = next(iter(skipped.items()))
        said = f"{len(skipped)} of {len(source)} images cannot be read: {source.name(i)} ({why})"
        if len(skipped) == len(source):
            raise WrongFileError(said)
        _warn(said)
    count = len(features.features)
    if count <= extractor.num_features:
        _warn(
            f"{source.place} holds {count:,} images, no more than the {extractor.num_features:,} "
            "features: a distance of so few is far from that of many"
        )
    return features


def _logits(features: Features) -> torch.Tensor:
    assert features.logits is not None
    return features.logits


def _print(scores: dict[str, float], real: int, fake: int) -> None:
    print(f"{fake:,} generated images against {real:,} real ones")
    table = Table()
    table.add_column("score")
    table.add_column("value", justify="right")
    for name, value in scores.items():
        table.add_row(name, f"{value:.6g}")
    Console(width=None if sys.stdout.isatty() else 100).print(table)


def _warn(message: str) -> None:
    print(f"gan-lightning: {message}", file=sys.stderr)
