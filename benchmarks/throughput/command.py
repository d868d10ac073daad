"""Measure the speed of each part: ``python -m benchmarks.throughput --train``.

``--shared-batch``, ``--profile``, ``--data`` and ``--eval`` measure the other parts. Each writes
one JSON file for each device, from which ``benchmarks.render`` fills the tables in the docs. A
reported time is the median of its rounds.
"""

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.command_line import Parser, count, positive, technique_key
from benchmarks.environment import describe_environment
from benchmarks.protocol import INSTALLED, THROUGHPUT
from benchmarks.quiet import quiet
from benchmarks.records import write_atomically
from benchmarks.throughput.evaluation import measure_evaluation
from benchmarks.throughput.loaders import (
    build_loaders,
    decoding_rates,
    folder_start_times,
    stopwatch,
)
from benchmarks.throughput.profiling import measure_host_profile
from benchmarks.throughput.shared_batch import SETTINGS, measure_shared_batch
from benchmarks.throughput.timing import median_and_range, run_interleaved
from benchmarks.throughput.training import (
    MODES,
    PRECISIONS,
    Case,
    compile_ahead,
    measure_training,
    peak_flops,
)
from gan_lightning import TECHNIQUES
from gan_lightning.metrics import load_extractor
from gan_lightning.networks import FAMILIES
from gan_lightning.training.iteration import look_for_gpus_once
from gan_lightning.utils.errors import UserError

#: The name of a measurement, and what is written.
Measurement = tuple[str, dict[str, Any]]
#: Writes a measurement; returns the path of its file.
Write = Callable[[str, dict[str, Any]], Path]


def main(args: Sequence[str] | None = None, prog: str = "benchmarks.throughput") -> None:
    """Measure, print and write."""
    parser = _parser(prog)
    options = parser.parse_args(args)
    torch.set_num_threads(options.threads)
    look_for_gpus_once()
    on_gpu = torch.cuda.is_available() and not options.shared_batch
    device = torch.device("cuda" if on_gpu else "cpu")
    measure = next(measure for part, measure in MEASUREMENTS.items() if getattr(options, part))
    settings = {
        "cores": os.cpu_count(),
        "threads": options.threads,
        "rounds": options.rounds,
        **describe_environment(device),
    }

    def write(name: str, result: dict[str, Any]) -> Path:
        path: Path = options.output / f"{name}-{device.type}.json"
        write_atomically(path, json.dumps(settings | result, indent=1) + "\n")
        return path

    try:
        path = write(*measure(options, device, write))
    except (UserError, ValueError) as error:
        parser.stop(error)
    print(f"wrote {path}")


def _parser(prog: str) -> Parser:
    parser = Parser(prog, __doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--train", action="store_true", help="time an iteration of each technique")
    what.add_argument(
        "--shared-batch",
        action="store_true",
        help="measure what one generated batch for both updates saves on a CPU",
    )
    what.add_argument("--profile", action="store_true", help="profile the host during an iteration")
    what.add_argument("--data", action="store_true", help="time the data loaders")
    what.add_argument("--eval", action="store_true", help="time the evaluation of generated images")
    parser.add_argument("--rounds", type=count, default=7, help="rounds of each measurement")
    parser.add_argument("--threads", type=count, default=1, help="torch's CPU threads")
    parser.add_argument(
        "--output", type=Path, default=Path("runs", "throughput") if INSTALLED else THROUGHPUT
    )
    parser.add_argument(
        "--batch-size", type=count, default=64, help="the batch size in all but --eval"
    )
    parser.add_argument(
        "--updates",
        type=count,
        default=50,
        help="generator updates per round in --train, --shared-batch and --profile",
    )
    parser.add_argument(
        "--size", type=count, default=32, help="the image size in --train and --eval"
    )
    steps = parser.add_argument_group("options of --train and --profile")
    steps.add_argument("--techniques", nargs="+", type=technique_key, default=list(TECHNIQUES))
    steps.add_argument(
        "--points", action="store_true", help="use points in the plane instead of images"
    )
    steps.add_argument(
        "--width", type=count, help="the width of both networks (default: as published)"
    )
    steps.add_argument(
        "--network", choices=FAMILIES, help="the network family (default: the technique's)"
    )
    steps.add_argument("--modes", nargs="+", choices=MODES, metavar="MODE", default=list(MODES))
    steps.add_argument("--name", default="all", help="the NAME in train-NAME-DEVICE.json")
    steps.add_argument(
        "--minutes",
        type=positive,
        default=math.inf,
        help="stop in time: no measurement of --train starts that would take longer",
    )
    steps.add_argument(
        "--compile-ahead",
        action="store_true",
        help="compile all techniques side by side before --train, for the compiler's cache",
    )
    data = parser.add_argument_group("options of --data")
    data.add_argument(
        "--folder", type=Path, help="a folder of images, to time decoding and caching as well"
    )
    data.add_argument("--batches", type=count, default=100, help="batches per round")
    scores = parser.add_argument_group("options of --eval")
    scores.add_argument("--technique", type=technique_key, default="dcgan")
    scores.add_argument("--extractor", default="inception")
    scores.add_argument("--weights", help="the file of the extractor's weights")
    scores.add_argument("--samples", type=count, default=10_000)
    return parser


def _measure_training(
    options: argparse.Namespace, device: torch.device, write: Write
) -> Measurement:
    until = time.monotonic() + 60 * options.minutes
    modes = {name: MODES[name] for name in options.modes}
    cases = _cases(options)
    if options.compile_ahead:
        compile_ahead(cases, device, modes)
    name = f"train-{options.name}"
    peaks = {name: peak_flops(device, dtype) for name, dtype in PRECISIONS.items()}
    result: dict[str, Any] = {"peak_flops_per_second": peaks, "cases": []}
    for case in cases:
        before = result["cases"]

        def report(measured: dict[str, Any], before: list[dict[str, Any]] = before) -> None:
            result["cases"] = [*before, measured]
            write(name, result)

        with quiet():
            report(
                measure_training(
                    case, device, options.updates, options.rounds, modes, until, report
                )
            )
        print(f"{result['cases'][-1]['technique']}, milliseconds per generator update:")
        for mode, row in result["cases"][-1]["modes"].items():
            if row is None:
                print(f"{mode:60} not measured")
            else:
                milliseconds = row["milliseconds"]
                print("{:60} {median:10.3f}  {low:.3f} to {high:.3f}".format(mode, **milliseconds))
    return name, result


def _measure_shared_batch(
    options: argparse.Namespace, device: torch.device, write: Write
) -> Measurement:
    results = []
    print("relative processor time of an update with one generated batch:")
    for technique, size, width in SETTINGS:
        case = Case(technique, (3, size, size), options.batch_size, width)
        results.append(measure_shared_batch(case, options.updates, options.rounds))
        label = f"{results[-1]['technique']}, {size} px, width {width or 'as published'}"
        row = results[-1]["relative_processor_time"]
        print("{:60} {median:10.3f}  {low:.3f} to {high:.3f}".format(label, **row))
    return "shared-batch", {"cases": results}


def _measure_profile(
    options: argparse.Namespace, device: torch.device, write: Write
) -> Measurement:
    results = []
    for case in _cases(options):
        with quiet():
            profile = measure_host_profile(case, device, options.updates)
        results.append({"technique": TECHNIQUES[case.technique].__name__} | profile)
        print(f"{results[-1]['technique']}, microseconds of the host per generator update:")
        for name, times in profile["packages"].items():
            print("{:24} {:>10,.0f} {:>10,.0f}".format(name, *times.values()))
    return f"profile-{options.name}", {"updates": options.updates, "cases": results}


def _cases(options: argparse.Namespace) -> list[Case]:
    shape = (2,) if options.points else (3, options.size, options.size)
    return [
        Case(technique, shape, options.batch_size, options.width, options.network)
        for technique in options.techniques
    ]


def _measure_data(options: argparse.Namespace, device: torch.device, write: Write) -> Measurement:
    with tempfile.TemporaryDirectory() as scratch:
        cases = build_loaders(options.batch_size, device, Path(scratch), options.folder)
        seconds = run_interleaved(
            {name: stopwatch(loader, device, options.batches) for name, loader in cases.items()},
            options.rounds,
        )
        images = options.batches * options.batch_size
        result: dict[str, Any] = {
            "batch_size": options.batch_size,
            "batches": options.batches,
            "images_per_second": {
                name: median_and_range([images / second for second in rounds])
                for name, rounds in seconds.items()
            },
        }
        result["decoding"] = decoding_rates(Path(scratch))
        if options.folder is not None:
            result["folder"] = folder_start_times(options.folder, Path(scratch))
    for name, figure in result["images_per_second"].items():
        print(f"{name:50} {figure['median']:12,.0f} images/s")
    for size, rate in result["decoding"].items():
        print(f"{f'JPEG files of {size}, each core':50} {rate:12,.0f} images/s")
    if "folder" in result:
        print(
            "{images:,} files decoded in {first:.1f} s, opened in {second:.2f} s".format(
                **result["folder"]
            )
        )
    return "data", result


def _measure_evaluation(
    options: argparse.Namespace, device: torch.device, write: Write
) -> Measurement:
    extractor = load_extractor(options.extractor, options.weights)
    arguments: dict[str, Any] = {"shape": (3, options.size, options.size)}
    gan = TECHNIQUES[options.technique](**arguments).to(device)
    extractor.check(gan.shape)
    times = measure_evaluation(gan, extractor, options.samples, options.rounds)
    print(f"{times['images_per_second']['median']:,.1f} images/s; seconds by part:")
    for name, seconds in times["seconds"].items():
        print(f"{name:50} {seconds:12.2f}")
    settings = {
        "technique": type(gan).__name__,
        "size": options.size,
        "extractor": extractor.name,
        "features": extractor.num_features,
        "samples": options.samples,
    }
    return f"eval-{extractor.name}", settings | times


#: The measurement of each option.
MEASUREMENTS = {
    "train": _measure_training,
    "shared_batch": _measure_shared_batch,
    "profile": _measure_profile,
    "data": _measure_data,
    "eval": _measure_evaluation,
}
