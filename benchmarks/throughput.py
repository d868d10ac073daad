"""How fast the parts are: ``python -m benchmarks.throughput --train``, or another part.

Each writes one JSON file for each device, from which ``benchmarks.render`` fills the tables in the
docs. A figure is the median of its rounds.
"""

import argparse
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.environment import surroundings
from benchmarks.protocol import THROUGHPUT
from benchmarks.records import write_whole
from benchmarks.speed.evaluation import evaluation
from benchmarks.speed.loaders import first_and_second_start, loaders, stopwatch
from benchmarks.speed.profiling import host_profile
from benchmarks.speed.timing import interleaved, spread
from benchmarks.speed.training import MODES, PRECISIONS, Case, peak_flops, training
from gan_lightning import TECHNIQUES
from gan_lightning.metrics import load_extractor
from gan_lightning.networks import FAMILIES
from gan_lightning.training.iteration import look_for_gpus_once


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    options = _parser().parse_args(args)
    torch.set_num_threads(options.threads)
    look_for_gpus_once()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    measure = next(measure for what, measure in MEASURES.items() if getattr(options, what))
    name, result = measure(options, device)
    result = {
        "cores": os.cpu_count(),
        "threads": options.threads,
        "rounds": options.rounds,
        **surroundings(device),
        **result,
    }
    path = options.output / f"{name}-{device.type}.json"
    write_whole(path, json.dumps(result, indent=1) + "\n")
    print(f"wrote {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.throughput", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--train", action="store_true", help="an iteration of each technique")
    what.add_argument("--profile", action="store_true", help="where the host's time of one goes")
    what.add_argument("--data", action="store_true", help="the loaders")
    what.add_argument("--eval", action="store_true", help="the scores of generated images")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU")
    parser.add_argument("--output", type=Path, default=THROUGHPUT)
    parser.add_argument("--batch-size", type=int, default=64, help="of --train and --data")
    parser.add_argument("--size", type=int, default=32, help="of images in --train and --eval")
    steps = parser.add_argument_group("of --train and --profile")
    steps.add_argument("--techniques", nargs="+", choices=TECHNIQUES, default=list(TECHNIQUES))
    steps.add_argument("--points", action="store_true", help="in the plane, in place of images")
    steps.add_argument("--width", type=int, help="of both networks (default: as published)")
    steps.add_argument("--network", choices=FAMILIES, help="(default: the technique's own)")
    steps.add_argument("--updates", type=int, default=50, help="of the generator, in a round")
    steps.add_argument("--modes", nargs="+", choices=MODES, metavar="MODE", default=list(MODES))
    steps.add_argument("--name", default="all", help="of the file: train-NAME-DEVICE.json")
    data = parser.add_argument_group("of --data")
    data.add_argument("--folder", type=Path, help="of images, to be decoded and cached too")
    data.add_argument("--batches", type=int, default=100, help="in a round of a case")
    scores = parser.add_argument_group("of --eval")
    scores.add_argument("--technique", choices=TECHNIQUES, default="dcgan")
    scores.add_argument("--extractor", default="inception")
    scores.add_argument("--weights", help="the file of the extractor's weights")
    scores.add_argument("--samples", type=int, default=10_000)
    return parser


def _training(options: argparse.Namespace, device: torch.device) -> tuple[str, dict[str, Any]]:
    peaks = {name: peak_flops(device, dtype) for name, dtype in PRECISIONS.items()}
    modes = {name: MODES[name] for name in options.modes}
    results = []
    for case in _cases(options):
        with _quiet():
            results.append(training(case, device, options.updates, options.rounds, modes))
        print(f"{results[-1]['technique']}, milliseconds per generator update:")
        for name, row in results[-1]["modes"].items():
            print(
                "{:60} {median:10.3f}  {low:.3f} to {high:.3f}".format(name, **row["milliseconds"])
            )
    return f"train-{options.name}", {"peak_flops_per_second": peaks, "cases": results}


def _profile(options: argparse.Namespace, device: torch.device) -> tuple[str, dict[str, Any]]:
    results = []
    for case in _cases(options):
        with _quiet():
            found = host_profile(case, device, options.updates)
        results.append({"technique": TECHNIQUES[case.technique].__name__} | found)
        print(f"{results[-1]['technique']}, microseconds of the host per generator update:")
        for name, taken in found["packages"].items():
            print("{:24} {:>10,.0f} {:>10,.0f}".format(name, *taken.values()))
    return f"profile-{options.name}", {"updates": options.updates, "cases": results}


def _cases(options: argparse.Namespace) -> list[Case]:
    shape = (2,) if options.points else (3, options.size, options.size)
    return [
        Case(technique, shape, options.batch_size, options.width, options.network)
        for technique in options.techniques
    ]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Lightning says of each trainer."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            yield
    finally:
        logger.setLevel(level)


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


#: By option.
MEASURES = {"train": _training, "profile": _profile, "data": _data, "eval": _evaluation}


if __name__ == "__main__":
    main()
