"""``gan-lightning score``: compares two sets of images."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from gan_lightning.cli.front import CommandParser
from gan_lightning.data.sources import FilesSource, FolderSource, ZipSource
from gan_lightning.metrics import (
    EXTRACTORS,
    Extractor,
    Features,
    batches_of,
    collect,
    load_extractor,
)
from gan_lightning.metrics.measures import (
    INCEPTION_NAMES,
    MEASURES,
    METRIC_NAMES,
    check_counts,
    compute_scores,
    full_name,
    resolve_metrics,
    select_measures,
    too_few_warning,
)
from gan_lightning.utils.errors import ArgumentError, TooFewSamplesError, WrongFileError
from gan_lightning.utils.files import user_path


def main(args: Sequence[str]) -> None:
    """Score, and print a table or, with ``--json``, one object.

    Raises:
        UserError: an argument, a folder or a file of weights cannot be used.
    """
    options = _parser().parse_args(list(args))
    device = _device(options.device)
    batch_size = options.batch_size
    if batch_size is None:
        batch_size = 16 if device.type == "cpu" else 256
    if batch_size < 1:
        raise ArgumentError(f"--batch_size must be at least 1, got {batch_size}")
    real, fake = _source("--real", options.real), _source("--fake", options.fake)
    extractor = load_extractor(options.extractor, options.weights)
    every = [name for name in METRIC_NAMES if name != "is" or extractor.classes]
    metrics = (
        every
        if options.metrics is None
        else resolve_metrics(_split_names(options.metrics), extractor)
    )
    measures = select_measures(MEASURES, metrics)
    for kind, source in (("generated", fake), ("real", real)):
        try:
            check_counts(measures, **{kind: len(source)})
        except TooFewSamplesError as error:
            raise TooFewSamplesError(f"{source.path}: {error}") from error
    distances = "fd" in metrics
    real_features = Features(torch.zeros(0, extractor.num_features))
    if any(measure.needs_real for measure in measures):
        real_features = _features(real, extractor, batch_size, device, distances)
    fake_features = _features(fake, extractor, batch_size, device, distances)
    found = compute_scores(measures, real_features, fake_features)
    scores = {full_name(name, extractor.name): found[name] for name in metrics}
    if options.json:
        print(json.dumps(scores))
    else:
        _print(scores, len(real_features) or len(real), len(fake_features))


def _split_names(names: list[str]) -> list[str]:
    """Names that are separated by spaces or commas."""
    return [name for group in names for name in group.replace(",", " ").split()]


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser("score")
    parser.add_argument("--real", type=user_path, required=True, help="the folder of real images")
    parser.add_argument(
        "--fake", type=user_path, required=True, help="the folder of generated images"
    )
    parser.add_argument(
        "--extractor",
        default="inception",
        help=f"{', '.join(EXTRACTORS)}, a DINOv2 such as dinov2_vit_b_14, or a network of "
        "torchvision such as mobilenet_v2 (default: inception)",
    )
    parser.add_argument("--weights", type=user_path, help="the file of the extractor's weights")
    parser.add_argument(
        "--metrics",
        nargs="+",
        help=f"the scores, of {', '.join([*METRIC_NAMES, *INCEPTION_NAMES.values()])}; by default "
        "all that the extractor gives",
    )
    parser.add_argument(
        "--batch_size", type=int, help="by default 16 on a CPU, 256 on a GPU; scores are the same"
    )
    parser.add_argument("--device", help="such as cpu or cuda:1; by default a GPU if there is one")
    parser.add_argument("--json", action="store_true", help="print one JSON object of name: value")
    return parser


def _device(name: str | None) -> torch.device:
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ArgumentError(f"--device {name}: {str(error).splitlines()[0]}") from error
    return device


def _source(option: str, path: Path) -> FilesSource:
    # Path's own exists raises for a name that is too long.
    if not os.path.exists(path):
        raise ArgumentError(f"{option}: there is no folder {path}")
    return ZipSource(path, split=None) if path.is_file() else FolderSource(path, split=None)


def _features(
    source: FilesSource,
    extractor: Extractor,
    batch_size: int,
    device: torch.device,
    distances: bool,
) -> Features:
    skipped: dict[int, str] = {}
    batches = _warn_of_grey_images(batches_of(source, batch_size, skipped), extractor, source)
    features = collect(extractor, batches, device)
    if skipped:
        i, reason = next(iter(skipped.items()))
        message = (
            f"{len(skipped)} of {len(source)} images cannot be read: {source.name(i)} ({reason})"
        )
        if len(skipped) == len(source):
            raise WrongFileError(message)
        _warn(message)
    if distances and (few := too_few_warning(len(features), extractor.num_features)):
        _warn(f"{source.path}: {few}")
    return features


def _warn_of_grey_images(
    batches: Iterator[Tensor], extractor: Extractor, source: FilesSource
) -> Iterator[Tensor]:
    warned = False
    for batch in batches:
        if not warned and extractor.repeats_grey(tuple(batch.shape[1:])):
            _warn(
                f"{extractor.name} takes colour images: grey ones in {source.path} are repeated "
                "to three channels"
            )
            warned = True
        yield batch


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
