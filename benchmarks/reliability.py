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
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch

from benchmarks.environment import describe_environment
from benchmarks.experiments import DEFAULT_EXAMPLES, EXPERIMENTS, Experiment
from benchmarks.protocol import RELIABILITY, ROOT
from benchmarks.records import write_atomically

TESTS = ROOT / "tests" / "reliability"


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
