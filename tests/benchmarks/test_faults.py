"""Grids of runs that are disturbed, against one that is not."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys

import pytest
import yaml

from benchmarks.records import read_record, record_path

TECHNIQUES, SEEDS = ("dcgan", "began"), (0, 1)
# What depends on when, and where, a run was made.
OF_THE_MOMENT = {"wall_seconds", "peak_memory_bytes"}
#: The command line of the benchmark, with a protocol that is over in a moment.
SMALL = """
import dataclasses, sys
from pathlib import Path
from benchmarks import run
from benchmarks.protocol import PROTOCOLS
run.PROTOCOLS["digits"] = dataclasses.replace(PROTOCOLS["digits"], configs=Path(sys.argv[1]))
run.main(sys.argv[2:])
"""


@pytest.fixture
def configs(tmp_path):
    """Configs that train for some seconds, with a checkpoint each second or two."""
    for technique, name in zip(TECHNIQUES, ("DCGAN", "BEGAN"), strict=True):
        config = {
            "model": {"class_path": name, "init_args": {"generator_width": 8, "critic_width": 8}},
            "data": {"class_path": "Digits", "init_args": {"batch_size": 8}},
            "trainer": {"max_steps": 300, "val_check_interval": 50},
        }
        (tmp_path / f"{technique}.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


@pytest.fixture
def start(configs, request):
    """``start(place, *arguments)`` starts a worker with folders of that name."""
    started = []

    def begin(place, *arguments):
        command = [
            *(sys.executable, "-c", SMALL, str(configs), "--protocol", "digits", "--techniques"),
            *(*TECHNIQUES, "--seeds", *map(str, SEEDS), "--parallel", "1", "--lease", "5"),
            *("--results", str(configs / place / "results"), "--work", str(configs / place / "w")),
            *arguments,
        ]
        process = subprocess.Popen(
            command,
            cwd=request.config.rootpath,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A shell that runs the tests in the background has interrupts ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def finish(process):
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return said


def records(place):
    """What the records and pictures hold, but for what is of the moment."""
    held = {}
    for technique in TECHNIQUES:
        for seed in SEEDS:
            path = record_path(place / "results", "digits", technique, seed)
            record = dataclasses.asdict(read_record(path))
            for name in OF_THE_MOMENT:
                del record[name]
            for point in [*record["curve"], record["best"]]:
                assert point.pop("train_seconds") >= 0
            held[technique, seed] = record, path.with_suffix(".png").read_bytes()
    return held


@pytest.mark.timeout(1200)
def test_a_grid_that_is_killed_at_ten_moments_ends_as_one_that_is_not(start, configs):
    finish(start("undisturbed"))
    chance = random.Random(0)
    for _ in range(10):
        process = start("disturbed")
        try:
            process.communicate(timeout=chance.uniform(4, 20))
        except subprocess.TimeoutExpired:
            process.kill()  # alone: what it started must not outlive it
            process.communicate()
        for path in (configs / "disturbed").rglob("seed*.json"):
            json.loads(path.read_text())  # whole, whenever it is looked at
    finish(start("disturbed"))
    assert records(configs / "disturbed") == records(configs / "undisturbed")


@pytest.mark.timeout(600)
def test_an_interrupt_ends_a_grid_in_order_and_it_goes_on(start, configs):
    process = start("place")
    for line in process.stdout:
        if "update 100" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "interrupted: the same command goes on" in said
    assert "Traceback" not in said
    assert not list((configs / "place" / "results").rglob("*.json"))
    said = finish(start("place"))
    assert "dcgan seed 0, update 50" not in said
    histories = list((configs / "place").rglob("history.json"))
    assert sorted(json.loads(path.read_text())["processes"] for path in histories) == [1, 1, 1, 2]


@pytest.mark.timeout(600)
def test_two_workers_part_a_grid_and_one_takes_over_from_one_that_died(start, configs):
    first, second = start("place"), start("place")
    for line in first.stdout:
        if "update 100" in line:
            break
    first.kill()
    finish(second)
    records(configs / "place")
    processes = [
        json.loads(path.read_text())["processes"]
        for path in (configs / "place").rglob("history.json")
    ]
    # One run was begun by the first and ended by the second, the others made once.
    assert sorted(processes) == [1, 1, 1, 2]
    assert not list((configs / "place").rglob("*.claim.*"))
