"""``gan-lightning score``: compares two sets of images."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from gan_lightning.cli.front import CommandParser
from gan_lightning.metrics import EXTRACTORS, load_extractor
from gan_lightning.metrics.images import FileImages, compare, default_device
from gan_lightning.metrics.measures import INCEPTION_NAMES, METRIC_NAMES
from gan_lightning.utils.errors import ArgumentError
from gan_lightning.utils.files import user_path


def main(args: Sequence[str]) -> None:
    """Score, and print a table or, with ``--json``, one object.

    Raises:
        UserError: an argument, a folder or a file of weights cannot be used.
    """
    options = _parser().parse_args(list(args))
    device = _device(options.device)
    if options.batch_size is not None and options.batch_size < 1:
        raise ArgumentError(f"--batch_size must be at least 1, got {options.batch_size}")
    real, fake = _images("--real", options.real), _images("--fake", options.fake)
    extractor = load_extractor(options.extractor, options.weights)
    metrics = None if options.metrics is None else _split_names(options.metrics)
    found = compare(real, fake, extractor, device, metrics, options.batch_size, _warn)
    if options.json:
        print(json.dumps(found.scores))
    else:
        _print(found.scores, found.real or len(real), found.fake)


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
        device = default_device() if name is None else torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ArgumentError(f"--device {name}: {str(error).splitlines()[0]}") from error
    return device


def _images(option: str, path: Path) -> FileImages:
    try:
        return FileImages(path)
    except ArgumentError as error:
        raise ArgumentError(f"{option}: {error}") from error


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
