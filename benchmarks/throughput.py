"""How fast the parts are: ``python -m benchmarks.throughput --data`` or ``--eval``.

Each writes one JSON file for each device, from which ``benchmarks.render`` fills the tables in the
docs. A figure is the median of its rounds.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.environment import surroundings
from benchmarks.protocol import THROUGHPUT
from benchmarks.speed.evaluation import evaluation
from benchmarks.speed.loaders import first_and_second_start, loaders, stopwatch
from benchmarks.speed.timing import interleaved, spread
from gan_lightning import TECHNIQUES
from gan_lightning.metrics import load_extractor


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    options = _parser().parse_args(args)
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    measure = _data if options.data else _evaluation
    name, result = measure(options, device)
    result = {
        "cores": os.cpu_count(),
        "threads": options.threads,
        "rounds": options.rounds,
        **surroundings(device),
        **result,
    }
    path = options.output / f"{name}-{device.type}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.throughput", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", action="store_true", help="the loaders")
    what.add_argument("--eval", action="store_true", help="the scores of generated images")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU")
    parser.add_argument("--output", type=Path, default=THROUGHPUT)
    data = parser.add_argument_group("of --data")
    data.add_argument("--folder", type=Path, help="of images, to be decoded and cached too")
    data.add_argument("--batch-size", type=int, default=64)
    data.add_argument("--batches", type=int, default=100, help="in a round of a case")
    scores = parser.add_argument_group("of --eval")
    scores.add_argument("--technique", choices=TECHNIQUES, default="dcgan")
    scores.add_argument("--size", type=int, default=32, help="of the images, in colour")
    scores.add_argument("--extractor", default="inception")
    scores.add_argument("--weights", help="the file of the extractor's weights")
    scores.add_argument("--samples", type=int, default=10_000)
    return parser


def _data(options: argparse.Namespace, device: torch.device) -> tuple[str, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as scratch:
        cases = loaders(options.batch_size, device, Path(scratch), options.folder)
        seconds = interleaved(
            {name: stopwatch(loader, device, options.batches) for name, loader in cases.items()},
            options.rounds,
        )
        images = options.batches * options.batch_size
        result: dict[str, Any] = {
            "batch_size": options.batch_size,
            "batches": options.batches,
            "images_per_second": {
                name: spread([images / taken for taken in rounds])
                for name, rounds in seconds.items()
            },
        }
        if options.folder is not None:
            result["folder"] = first_and_second_start(options.folder, Path(scratch))
    for name, figure in result["images_per_second"].items():
        print(f"{name:50} {figure['median']:12,.0f} images/s")
    if "folder" in result:
        print(
            "{images:,} files decoded in {first:.1f} s, opened in {second:.2f} s".format(
                **result["folder"]
            )
        )
    return "data", result


def _evaluation(options: argparse.Namespace, device: torch.device) -> tuple[str, dict[str, Any]]:
    extractor = load_extractor(options.extractor, options.weights)
    arguments: dict[str, Any] = {"shape": (3, options.size, options.size)}
    gan = TECHNIQUES[options.technique](**arguments).to(device)
    extractor.check(gan.shape)
    measured = evaluation(gan, extractor, options.samples, options.rounds)
    print(f"{measured['images_per_second']['median']:,.1f} images/s, of which seconds:")
    for name, seconds in measured["seconds"].items():
        print(f"{name:50} {seconds:12.2f}")
    said = {
        "technique": type(gan).__name__,
        "size": options.size,
        "extractor": extractor.name,
        "features": extractor.num_features,
        "samples": options.samples,
    }
    return f"eval-{extractor.name}", said | measured


if __name__ == "__main__":
    main()
