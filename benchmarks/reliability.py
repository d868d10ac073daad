"""How reliably runs survive faults: ``python -m benchmarks.reliability``.

Repeats the reliability tests, more often than there is time for every day, and counts the
failures. Writes one JSON file for each experiment, from which ``benchmarks.render`` fills the
table in ``docs/reliability.md``.
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

from benchmarks.environment import describe_environment
from benchmarks.protocol import RELIABILITY, ROOT
from benchmarks.records import write_atomically

TESTS = ROOT / "tests" / "reliability"
#: Inputs that a fuzz test can generate within the usual time limit of a test.
DEFAULT_EXAMPLES = 100


@dataclass(frozen=True)
class Experiment:
    """Tests, and how often they are run.

    Args:
        title: what is tested, for the table.
        tests: a file, and an expression for pytest's ``-k`` that selects its tests.
        times: how often each test is run.
        examples: how many inputs each fuzz test generates.
    """

    title: str
    tests: tuple[str, str]
    times: int = 1
    examples: int = DEFAULT_EXAMPLES


EXPERIMENTS = {
    "killed": Experiment(
        "a run is killed at a random moment and resumed; then weights, optimisers, random states, "
        "order of data, rates, logs and pictures are bit for bit those of an uninterrupted run",
        ("test_resume.py", "test_a_killed_run"),
        times=3,
    ),
    "killed-ddp": Experiment(
        "the same, with two processes",
        ("test_resume.py", "test_two_killed"),
    ),
    "logs": Experiment(
        "a run that logs to CSV and Weights & Biases is stopped or killed, and both logs continue",
        ("test_resume.py", "test_all_logs"),
    ),
    "loaders": Experiment(
        "a run is resumed under each flag that shortens, repeats or makes loaders anew; then its "
        "batches and weights are those of an uninterrupted run",
        ("test_loaders.py", "test_"),
    ),
    "changed": Experiment(
        "a run is resumed with other hyperparameters, which it uses or refuses by name, or a new "
        "one starts from its weights",
        ("test_changes.py", "test_"),
    ),
    "signals": Experiment(
        "SIGTERM, SIGINT, and a job that SLURM requeues: stopped, saved, resumed exactly",
        ("test_signals.py", "test_"),
    ),
    "equality": Experiment(
        "two processes end with the weights of one with twice the batch, after 20 updates",
        ("test_equality.py", "weights_of_one or on_points_too or with_labels_too"),
    ),
    "ddp": Experiment(
        "two processes train, evaluate and exit in time",
        ("test_equality.py", "come_to_their_end"),
        times=50,
    ),
    "together": Experiment(
        "two commands that start at the same moment have a folder each",
        ("test_together.py", "test_"),
        times=20,
    ),
    "divergence": Experiment(
        "a loss or a weight that is not finite stops the run, and the last checkpoint is good",
        ("test_divergence.py", "test_"),
    ),
    "storage": Experiment(
        "full or read-only disks, truncated files, files of other models and versions",
        ("test_storage.py", "test_"),
    ),
    "untrusted": Experiment(
        "files that try to run, delete or write something", ("test_untrusted.py", "test_")
    ),
    "fuzz-command-lines": Experiment(
        "random command lines", ("test_fuzz.py", "test_a_command_line"), examples=10_000
    ),
    "fuzz-configs": Experiment(
        "random configs", ("test_fuzz.py", "test_a_config"), examples=10_000
    ),
    "fuzz-records": Experiment(
        "random records", ("test_fuzz.py", "test_a_record"), examples=10_000
    ),
    "fuzz-caches": Experiment(
        "random image caches", ("test_fuzz.py", "test_a_cache"), examples=10_000
    ),
    "fuzz-features": Experiment(
        "random cached features", ("test_fuzz.py", "test_statistics"), examples=10_000
    ),
}


def main(args: Sequence[str] | None = None) -> None:
    """Run, print and write; exits with 1 if a test failed."""
    parser = argparse.ArgumentParser(prog="benchmarks.reliability", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument(
        "--times", type=int, help="how often each test is run (default: the experiment's)"
    )
    parser.add_argument(
        "--examples", type=int, help="inputs of a fuzz test (default: the experiment's)"
    )
    parser.add_argument("--output", type=Path, default=RELIABILITY)
    options = parser.parse_args(args)
    failed = 0
    for name in options.only:
        experiment = EXPERIMENTS[name]
        result = run_experiment(
            experiment,
            options.times or experiment.times,
            options.examples or experiment.examples,
        )
        write_atomically(options.output / f"{name}.json", json.dumps(result, indent=1) + "\n")
        print(f"{name}: {result['tried']:,} cases, {result['failed']} failed", flush=True)
        failed += result["failed"]
    if failed:
        raise SystemExit(1)


def run_experiment(experiment: Experiment, times: int, examples: int) -> dict[str, Any]:
    """The counts of an experiment; failures are printed."""
    file, which = experiment.tests
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            *(sys.executable, "-m", "pytest", str(TESTS / file), "-q", "-p", "no:cacheprovider"),
            "--show-capture=no",
            # Other work may run at the same time: a slow test has not failed.
            *("--fast=inf", f"--times={times}", f"--examples={examples}", f"--junitxml={report}"),
            *("-k", which),
        ]
        if examples > DEFAULT_EXAMPLES:
            command.append("--timeout=0")
        start = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - start
        if not report.is_file() or done.returncode not in (0, 1):
            raise SystemExit(f"{file}: no tests were run\n{done.stdout}{done.stderr}")
        if done.returncode:
            print(done.stdout[-10_000:], file=sys.stderr)
        return {
            "title": experiment.title,
            **count_cases(report),
            "seconds": round(seconds, 1),
            **describe_environment(torch.device("cpu")),
        }


def count_cases(report: Path) -> dict[str, Any]:
    """Count the cases and failures in a JUnit report.

    A test with the property ``inputs`` counts as that many cases; it ends at the first failure.
    ``largest`` holds the largest value of each other property.
    """
    cases = [case for case in ElementTree.parse(report).iter("testcase")]
    run = [case for case in cases if case.find("skipped") is None]
    bad = [case for case in run if {child.tag for child in case} & {"failure", "error"}]
    tried = 0
    largest: dict[str, float] = {}
    for case in run:
        properties = {p.attrib["name"]: float(p.attrib["value"]) for p in case.iter("property")}
        tried += int(properties.pop("inputs", 1))
        for name, value in properties.items():
            largest[name] = max(value, largest.get(name, value))
    return {
        "tried": tried,
        "failed": len(bad),
        "skipped": len(cases) - len(run),
        "largest": largest,
    }


if __name__ == "__main__":
    main()
