"""A first day on a GPU, unattended: ``python -m benchmarks.gpu_day --part tests --minutes 8``.

Each part is a list of steps, worth most first. A step is a process that is given what is left of
the time, ends by SIGTERM and ten seconds later by SIGKILL, and may fail: the next one follows. What
it prints is in ``NAME.txt`` in the folder ``--output``, its results are written there as they come
and packed as ``NAME.tgz`` every 20 seconds, and ``summary-PART.json`` is written after each step.
So whatever ends the day, what was measured by then is kept.
"""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.command_line import Parser, positive
from benchmarks.environment import commit
from benchmarks.protocol import ROOT
from benchmarks.records import write_atomically
from gan_lightning.utils.files import user_path, whole_file

#: Seconds between two packings of results, and those that a process has to end after SIGTERM.
PACKING, GRACE = 20.0, 10.0
#: No step starts with less time than this, in seconds.
LEAST = 5.0
#: In a command: the minutes that it gets.
MINUTES = "{minutes}"


@dataclass(frozen=True)
class Step:
    """A process of a part.

    Args:
        name: the name of its files.
        command: the arguments of Python; ``MINUTES`` stands for the time that it gets.
        share: the largest share of the time of its part that it gets, if others follow.
        results: whether it writes a folder of its name, which is packed.
    """

    name: str
    command: tuple[str, ...]
    share: float = 1.0
    results: bool = False


@dataclass
class Outcome:
    """How a step has ended: ``code`` is None for one that was not started."""

    name: str
    code: int | None = None
    seconds: float = 0.0
    stopped: bool = False
    last_line: str = ""


@dataclass(frozen=True)
class Place:
    """The folders of a day.

    Args:
        output: where results go.
        work: for checkpoints and caches, which are not kept.
        data: the folder of CIFAR-10 as JPEG files; None leaves training out.
    """

    output: Path
    work: Path
    data: Path | None = None


def parts(place: Place, dry_run: bool) -> dict[str, list[Step]]:
    """The steps of each part; of a dry run they are the same programs with tiny settings."""
    marked = ("-m", "pytest", "-p", "no:cacheprovider", "-q", "-m", "gpu")
    throughput = ("-m", "benchmarks.throughput", "--output", str(place.output))
    train = (*throughput, "--train", "--minutes", MINUTES)
    # What a machine lacks is left out.
    side_by_side = ("-n", "8") if find_spec("xdist") else ()
    grid = ("-m", "benchmarks.run", "--work", str(place.work / "runs"))
    if dry_run:
        tiny = (
            *("--points", "--techniques", "dcgan", "--width", "8", "--rounds", "1"),
            *("--updates", "2", "--modes", "Lightning"),
        )
        return {
            "tests": [Step("facts", FACTS), Step("tests", (*marked, "tests/training"))],
            "speed": [Step("speed", (*train, *tiny, "--name", "dry"))],
            "train": [
                Step(
                    "digits",
                    (*grid, "--techniques", "dcgan", "--seeds", "0", *_results(place, "digits")),
                    results=True,
                )
            ],
            "more": [Step("no-such-program", ("-m", "benchmarks.nothing"))],
        }
    found = {
        "tests": [
            Step("facts", FACTS),
            Step("tests", (*marked, *side_by_side, "tests")),
        ],
        "speed": [
            Step(
                "speed",
                (
                    *(*train, "--name", "images", "--network", "dcgan", "--width", "64"),
                    *("--rounds", "3", "--updates", "30", "--compile-ahead"),
                ),
            )
        ],
        "train": [],
        "more": [
            Step(
                "networks",
                (
                    *(*train, "--name", "networks", "--techniques", "sngan", "wgan_gp", "sagan"),
                    *("--rounds", "3", "--updates", "20", "--compile-ahead"),
                ),
                share=0.5,
            ),
            Step("data", (*throughput, "--data"), share=0.2),
            Step(
                "evaluation",
                (*throughput, "--eval", "--extractor", "mobilenet_v2", "--rounds", "3"),
                share=0.2,
            ),
        ],
    }
    if place.data is not None:
        for name, part in (("cifar10-jpeg", "train"), ("cifar10-jpeg-paper", "more")):
            options = ("--protocol", name, "--data-dir", str(place.data), "--per-gpu", "4")
            found[part].append(Step(name, (*grid, *options, *_results(place, name)), results=True))
    return found


#: The device, the driver and the libraries, and whether several processes can share the GPU well.
FACTS = (
    "-c",
    "import shutil, subprocess\n"
    "from benchmarks.environment import describe_environment\n"
    "import json, torch\n"
    "device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')\n"
    "print(json.dumps(describe_environment(device), indent=1))\n"
    "print('nvidia-cuda-mps-control:', shutil.which('nvidia-cuda-mps-control'))\n"
    "if shutil.which('nvidia-smi'):\n"
    "    subprocess.run(['nvidia-smi', '-q'])\n",
)


def _results(place: Place, name: str) -> tuple[str, str]:
    return "--results", str(place.output / name)


class Day:
    """Runs the steps of a part one after the other, and keeps what they leave.

    Args:
        place: the folders.
        seconds: the time until the end.
    """

    def __init__(self, place: Place, seconds: float) -> None:
        self.place = place
        self.outcomes: list[Outcome] = []
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        place.output.mkdir(parents=True, exist_ok=True)
        place.work.mkdir(parents=True, exist_ok=True)

    def run(self, part: str, steps: Sequence[Step]) -> None:
        """Run all steps for which there is time, each with what its share leaves."""
        for i, step in enumerate(steps):
            left = self._end - time.monotonic()
            given = left if i == len(steps) - 1 else min(left, step.share * self._seconds)
            outcome = Outcome(step.name)
            self.outcomes.append(outcome)
            if given >= LEAST + GRACE:
                self._execute(step, outcome, given - GRACE)
            self._write_summary(part)

    def _execute(self, step: Step, outcome: Outcome, seconds: float) -> None:
        started = time.monotonic()
        log = self.place.output / f"{step.name}.txt"
        environment = {
            "TORCHINDUCTOR_CACHE_DIR": str(self.place.work / "inductor"),
            "PYTHONUNBUFFERED": "1",
        } | dict(os.environ)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    sys.executable,
                    *(each.replace(MINUTES, f"{seconds / 60:.2f}") for each in step.command),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=ROOT,
                start_new_session=True,
            )
            try:
                outcome.stopped = not self._wait(process, step, started + seconds)
            finally:
                _end(process)
        outcome.code = process.returncode
        outcome.seconds = round(time.monotonic() - started, 1)
        outcome.last_line = _last_line(log)
        self._pack(step)

    def _wait(self, process: "subprocess.Popen[bytes]", step: Step, until: float) -> bool:
        """Whether the process ended by itself in time; meanwhile, its results are packed."""
        while True:
            try:
                process.wait(min(PACKING, max(0.0, until - time.monotonic())))
            except subprocess.TimeoutExpired:
                self._pack(step)
                if time.monotonic() >= until:
                    return False
            else:
                return True

    def _pack(self, step: Step) -> None:
        folder = self.place.output / step.name
        if step.results and folder.is_dir():
            with (
                whole_file(folder.with_suffix(".tgz")) as file,
                tarfile.open(fileobj=file, mode="w:gz") as archive,
            ):
                archive.add(folder, folder.name)

    def _write_summary(self, part: str) -> None:
        summary = {
            "part": part,
            "commit": commit(),
            "steps": [vars(each) for each in self.outcomes],
        }
        write_atomically(
            self.place.output / f"summary-{part}.json", json.dumps(summary, indent=1) + "\n"
        )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    # Also what it has left behind, if it ended by itself.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else ""


def _table(outcomes: Sequence[Outcome]) -> str:
    lines = []
    for each in outcomes:
        how = "not started" if each.code is None else f"code {each.code}"
        how += ", stopped in time" * each.stopped
        lines.append(f"{each.name:20} {each.seconds:7.1f} s  {how:26} {each.last_line}")
    return "\n".join(lines)


def main(args: Sequence[str] | None = None, prog: str = "benchmarks.gpu_day") -> None:
    """Run a part; exits with 1 if a step failed by itself."""
    parser = Parser(prog, __doc__)
    parser.add_argument(
        "--part",
        required=True,
        choices=("tests", "speed", "train", "more"),
        help="which steps to run",
    )
    parser.add_argument("--minutes", type=positive, required=True, help="the time for all of it")
    parser.add_argument("--output", type=Path, default=Path("runs", "gpu-day"))
    parser.add_argument("--work", type=Path, default=Path("runs", "gpu-day-work"))
    parser.add_argument(
        "--data-dir", type=user_path, help="CIFAR-10 as JPEG files, for the parts train and more"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="the same with tiny settings, on a CPU too"
    )
    options = parser.parse_args(args)
    data = None if options.data_dir is None else options.data_dir.resolve()
    if options.part == "train" and data is None and not options.dry_run:
        parser.error("the part train needs --data-dir")
    place = Place(options.output.resolve(), options.work.resolve(), data)
    day = Day(place, 60 * options.minutes)
    day.run(options.part, parts(place, options.dry_run)[options.part])
    print(_table(day.outcomes))
    if any(each.code and not each.stopped for each in day.outcomes):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
