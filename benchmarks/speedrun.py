"""How fast is the target reached? ``python -m benchmarks.speedrun --track digits --name mine``.

The clock starts with the process and stops at the first evaluation whose distance is at most the
track's target; then the process is ended. Start, compilation and evaluations count. The rules are
in ``docs/speedrun.md``; each run leaves one record, from which ``benchmarks.render`` fills its
tables.
"""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.command_line import Parser, technique_key
from benchmarks.environment import describe_environment
from benchmarks.protocol import SPEEDRUNS
from benchmarks.protocols import classifier_arguments
from benchmarks.records import write_atomically
from benchmarks.run.process import Training, read_evaluation
from benchmarks.variants import KEY
from gan_lightning import TECHNIQUES
from gan_lightning.utils.errors import ArgumentError, WrongFileError
from gan_lightning.utils.files import user_path

#: Runs of an entry that rank it.
RUNS = 3
#: What is known of each evaluation.
POINT = ("update", "seconds", "distance")


@dataclass(frozen=True)
class Track:
    """What is to be reached, on which data and on which device.

    Args:
        title: the heading of its table.
        distance: the name of the Frechet distance.
        target: the distance to reach.
        arguments: of the command line; an entry cannot change what they set.
        accelerator: ``cpu``, with one thread, or ``gpu``, with one of them.
        needs_data: whether the data lie in a folder that is given.
    """

    title: str
    distance: str
    target: float
    arguments: tuple[str, ...]
    accelerator: str = "cpu"
    needs_data: bool = False

    @property
    def fixed(self) -> set[str]:
        """The names of the options that an entry cannot change."""
        names = {argument.removeprefix("--").partition("=")[0] for argument in self.arguments}
        return names | {"trainer.accelerator", "trainer.devices", "trainer.logger"}


TRACKS = {
    "digits": Track(
        "Handwritten digits, 8 x 8, one CPU thread",
        "fd1797_digits_cnn",
        20.0,
        ("--data=Digits", "--evaluate.num_samples=1797", "--evaluate.metrics=fd"),
    ),
    "fashion-mnist": Track(
        "Fashion-MNIST, 28 x 28, one CPU thread",
        "fd10k_fashion_mnist_0495fd30",
        20.0,
        (
            *("--data=FashionMNIST", "--evaluate.metrics=fd"),
            *classifier_arguments("fashion_mnist_0495fd30"),
        ),
        needs_data=True,
    ),
    "cifar10": Track(
        "CIFAR-10, 32 x 32, one GPU",
        "fid50k_train",
        10.0,
        ("--data=CIFAR10", "--evaluate.num_samples=50000", "--evaluate.metrics=fid"),
        accelerator="gpu",
        needs_data=True,
    ),
    # About ten times the distance of as many real test images, 3.84 (docs/evaluation.md).
    "cifar10-jpeg": Track(
        "CIFAR-10 (JPEG copy), 32 x 32, one GPU",
        "fd10k_mobilenet_v2",
        40.0,
        (
            *("--data=ImageFolder", "--data.size=32"),
            *("--evaluate.num_samples=10000", "--evaluate.metrics=fd"),
            "--evaluate.extractor=mobilenet_v2",
        ),
        accelerator="gpu",
        needs_data=True,
    ),
}


@dataclass(frozen=True)
class Speedrun:
    """A run of an entry.

    Args:
        track: the key in ``TRACKS``.
        target: the distance that was to be reached.
        name: the entry's.
        technique: the key in ``TECHNIQUES``, or the path of a class.
        options: of the command line.
        seed: of the run.
        seconds: from the start of the process to the evaluation that reached the target; None if
            none did.
        curve: the update, the seconds and the distance of each evaluation.
        environment: the device, the processor, the libraries and the commit.
        date: of the end.
    """

    track: str
    target: float
    name: str
    technique: str
    options: tuple[str, ...]
    seed: int
    seconds: float | None
    curve: tuple[dict[str, float], ...]
    environment: dict[str, Any] = field(default_factory=dict)
    date: str = ""


def read_speedrun(path: Path) -> Speedrun:
    """A record.

    Raises:
        WrongFileError: the file holds something else.
    """
    try:
        read = Speedrun(**json.loads(path.read_text()))
        numbers = [float(point[name]) for point in read.curve for name in POINT]
        numbers += [read.target, 0.0 if read.seconds is None else float(read.seconds)]
        if min(numbers) < 0 or not all(isinstance(each, str) for each in (read.name, read.date)):
            raise ValueError("a value is of the wrong kind")
        read.environment["device"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WrongFileError(f"{path} is no record of a speed run: {error}") from error
    return read


def run(
    track: str, name: str, technique: str, options: Sequence[str], seed: int, paths: Sequence[str]
) -> Speedrun:
    """Train until the target is reached, or the training ends."""
    rules = TRACKS[track]
    on_gpu = rules.accelerator == "gpu"
    model = TECHNIQUES[technique].__name__ if technique in TECHNIQUES else technique
    training = Training(
        [
            "fit",
            f"--model={model}",
            *rules.arguments,
            *(f"--{option}" for option in options),
            *paths,
            f"--seed_everything={seed}",
            f"--trainer.accelerator={rules.accelerator}",
            "--trainer.devices=1",
        ],
        threads=1,
        gpus=None if on_gpu else [],
        modules=Path.cwd() if technique not in TECHNIQUES else None,
    )
    curve: list[dict[str, float]] = []
    reached: list[float] = []
    started = time.monotonic()

    def on_line(line: str) -> None:
        evaluation = read_evaluation(line)
        if evaluation is None or reached:
            return
        update, scores = evaluation
        found = re.search(rf"\b{re.escape(rules.distance)} (\S+)", scores)
        if found is None:
            return
        seconds, distance = round(time.monotonic() - started, 2), float(found[1])
        curve.append({"update": update, "seconds": seconds, "distance": distance})
        print(f"{seconds:9.1f} s  update {update}: {scores}", flush=True)
        if distance <= rules.target:
            reached.append(seconds)
            training.stop()

    code, message = training.run(on_line)
    if code and not reached:
        raise ArgumentError(f"the run ended with code {code}: {message}")
    device = torch.device("cuda" if on_gpu else "cpu")
    return Speedrun(
        track,
        rules.target,
        name,
        technique,
        tuple(options),
        seed,
        reached[0] if reached else None,
        tuple(curve),
        describe_environment(device),
        time.strftime("%Y-%m-%d", time.gmtime()),
    )


def main(args: Sequence[str] | None = None, prog: str = "benchmarks.speedrun") -> None:
    """Run an entry on some seeds, and write its records."""
    parser = Parser(prog, __doc__)
    parser.add_argument("--track", choices=TRACKS, required=True)
    parser.add_argument("--name", required=True, help="the name of the entry, and of its folder")
    parser.add_argument(
        "--technique",
        required=True,
        type=lambda text: text if "." in text else technique_key(text),
        help="a technique, or a custom class",
    )
    parser.add_argument(
        "--options",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="any that the track leaves free",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(RUNS)))
    parser.add_argument("--data-dir", type=user_path, help="the folder of the data")
    parser.add_argument("--weights", type=user_path, help="the extractor's file, if it needs one")
    parser.add_argument("--results", type=Path, default=SPEEDRUNS, help="the folder of records")
    options = parser.parse_args(args)
    track = TRACKS[options.track]
    if not KEY.fullmatch(options.name):
        parser.error(f"--name: {options.name!r} is not the name of a folder: use a-z, 0-9, - and _")
    for option in options.options:
        if (name := option.partition("=")[0]) in track.fixed:
            parser.error(f"{name} is the same for all entries of {options.track}")
    if track.needs_data and options.data_dir is None:
        parser.error(f"{options.track} needs --data-dir")
    if track.accelerator == "gpu" and not torch.cuda.is_available():
        parser.error(f"{options.track} is run on a GPU, and there is none here")
    paths = [
        f"--{option}={path.resolve()}"
        for option, path in (
            ("data.data_dir", options.data_dir),
            ("evaluate.weights", options.weights),
        )
        if path is not None
    ]
    for seed in options.seeds:
        print(f"{options.name}, seed {seed}:")
        try:
            done = run(options.track, options.name, options.technique, options.options, seed, paths)
        except ArgumentError as error:
            parser.stop(error)
        path = options.results / options.track / options.name / f"seed{seed}.json"
        write_atomically(path, json.dumps(asdict(done), indent=1) + "\n")
        said = "not reached" if done.seconds is None else f"reached after {done.seconds:.1f} s"
        print(f"{track.distance} of {track.target:g} {said}; wrote {path}")


if __name__ == "__main__":
    main()
