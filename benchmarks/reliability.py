"""How often a run comes to harm: ``python -m benchmarks.reliability``.

Runs the tests of reliability again and again, more often than there is time for every day, and
counts. Writes one JSON file for each experiment, from which ``benchmarks.render`` fills the table
in ``docs/reliability.md``.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch

from benchmarks.environment import surroundings
from benchmarks.protocol import RELIABILITY, ROOT
from benchmarks.records import write_whole

TESTS = ROOT / "tests" / "reliability"
#: Inputs that a fuzz test makes up within the time of any other test.
FEW = 100


@dataclass(frozen=True)
class Experiment:
    """Tests, and how often they are made.

    Args:
        title: what is tried, for the table.
        tests: a file, and which of its tests, as pytest's ``-k`` takes it.
        times: each of them is made.
        examples: that each fuzz test makes up.
    """

    title: str
    tests: tuple[str, str]
    times: int = 1
    examples: int = FEW


EXPERIMENTS = {
    "killed": Experiment(
        "a run is killed at a random moment and goes on; then weights, optimisers, random states, "
        "order of data, rates, logs and pictures are, bit for bit, those of one that was not",
        ("test_resume.py", "test_a_killed_run"),
        times=3,
    ),
    "killed-ddp": Experiment(
        "the same, of two processes",
        ("test_resume.py", "test_two_killed"),
    ),
    "logs": Experiment(
        "a run that logs to CSV and to Weights & Biases is stopped or killed, and both go on",
        ("test_resume.py", "test_all_logs"),
    ),
    "signals": Experiment(
        "SIGTERM, SIGINT, and a job that SLURM puts back: stopped, saved, gone on exactly",
        ("test_signals.py", "test_"),
    ),
    "equality": Experiment(
        "two processes end with the weights of one with twice the batch, after 20 updates",
        ("test_equality.py", "weights_of_one or on_points_too or with_labels_too"),
    ),
    "ddp": Experiment(
        "two processes train, score and end in time",
        ("test_equality.py", "come_to_their_end"),
        times=50,
    ),
    "divergence": Experiment(
        "a loss or a weight that is not finite stops the run, and the last checkpoint is good",
        ("test_divergence.py", "test_"),
    ),
    "storage": Experiment(
        "disks that are full or read-only, torn files, files of other models and versions",
        ("test_storage.py", "test_"),
    ),
    "untrusted": Experiment(
        "files that would run, delete or write something", ("test_untrusted.py", "test_")
    ),
    "fuzz-command-lines": Experiment(
        "command lines, made up", ("test_fuzz.py", "test_a_command_line"), examples=10_000
    ),
    "fuzz-configs": Experiment(
        "configs, made up", ("test_fuzz.py", "test_a_config"), examples=10_000
    ),
    "fuzz-records": Experiment(
        "records, made up", ("test_fuzz.py", "test_a_record"), examples=10_000
    ),
    "fuzz-caches": Experiment(
        "caches of pictures, made up", ("test_fuzz.py", "test_a_cache"), examples=10_000
    ),
    "fuzz-features": Experiment(
        "kept features, made up", ("test_fuzz.py", "test_statistics"), examples=10_000
    ),
}


def main(args: Sequence[str] | None = None) -> None:
    """Try, print and write; exits with 1 where anything failed."""
    parser = argparse.ArgumentParser(prog="benchmarks.reliability", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--times", type=int, help="instead of each experiment's own")
    parser.add_argument("--examples", type=int, help="instead of each experiment's own")
    parser.add_argument("--output", type=Path, default=RELIABILITY)
    options = parser.parse_args(args)
    failed = 0
    for name in options.only:
        experiment = EXPERIMENTS[name]
        result = tried(
            experiment,
            options.times or experiment.times,
            options.examples or experiment.examples,
        )
        write_whole(options.output / f"{name}.json", json.dumps(result, indent=1) + "\n")
        print(f"{name}: {result['tried']:,} tried, {result['failed']} failed", flush=True)
        failed += result["failed"]
    if failed:
        raise SystemExit(1)


def tried(experiment: Experiment, times: int, examples: int) -> dict[str, Any]:
    """What came of an experiment; what failed is printed."""
    file, which = experiment.tests
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            *(sys.executable, "-m", "pytest", str(TESTS / file), "-q", "-p", "no:cacheprovider"),
            "--show-capture=no",
            # Other work may run beside: what takes long has not failed.
            *("--fast=inf", f"--times={times}", f"--examples={examples}", f"--junitxml={report}"),
            *("-k", which),
        ]
        if examples > FEW:
            command.append("--timeout=0")
        start = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - start
        if not report.is_file() or done.returncode not in (0, 1):
            raise SystemExit(f"{file}: no test was made\n{done.stdout}{done.stderr}")
        if done.returncode:
            print(done.stdout[-10_000:], file=sys.stderr)
        return {
            "title": experiment.title,
            **counted(report),
            "seconds": round(seconds, 1),
            **surroundings(torch.device("cpu")),
        }


def counted(report: Path) -> dict[str, Any]:
    """Of a report in JUnit's form: cases, and how many of them failed.

    A test that tells of ``inputs`` is as many cases; it ends at the first that fails. With the
    largest of what else tests have measured, by name.
    """
    cases = [case for case in ElementTree.parse(report).iter("testcase")]
    made = [case for case in cases if case.find("skipped") is None]
    bad = [case for case in made if {child.tag for child in case} & {"failure", "error"}]
    tried = 0
    largest: dict[str, float] = {}
    for case in made:
        said = {each.attrib["name"]: float(each.attrib["value"]) for each in case.iter("property")}
        tried += int(said.pop("inputs", 1))
        for name, value in said.items():
            largest[name] = max(value, largest.get(name, value))
    return {
        "tried": tried,
        "failed": len(bad),
        "skipped": len(cases) - len(made),
        "largest": largest,
    }


if __name__ == "__main__":
    main()
