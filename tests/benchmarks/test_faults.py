"""Grids of runs that are disturbed, against one that is not."""

import dataclasses
import json
import os
import random
import signal
import time
from typing import NamedTuple

import pytest
import yaml

from benchmarks.claims import claim
from benchmarks.protocol import ROOT
from benchmarks.records import read_record, record_path

# What depends on when, and where, a run was made.
OF_THE_MOMENT = {"wall_seconds", "peak_memory_bytes"}
#: The command line of the benchmark, with a protocol that is over in a moment.
SMALL = f"""
import dataclasses, sys
from pathlib import Path
sys.path[0] = {str(ROOT)!r}
from benchmarks import run
from benchmarks.protocol import PROTOCOLS
run.PROTOCOLS["digits"] = dataclasses.replace(PROTOCOLS["digits"], configs=Path(sys.argv[1]))
run.main(sys.argv[2:])
"""


class Size(NamedTuple):
    """Of a grid: its runs, how long each is, how often it is killed, and how claims last."""

    techniques: tuple[str, ...]
    seeds: tuple[int, ...]
    updates: int
    kills: int
    lease: int


#: Not of the first seed, of which a film is made.
ONE = Size(("dcgan",), (1,), updates=60, kills=0, lease=1)
LARGE = Size(("dcgan", "began"), (0, 1), updates=300, kills=10, lease=5)


@pytest.fixture
def size():
    return LARGE


@pytest.fixture
def configs(tmp_path, size):
    """Configs with a checkpoint every sixth of a run."""
    for technique in size.techniques:
        widths = {"generator_width": 8, "critic_width": 8}
        config = {
            "model": {"class_path": technique.upper(), "init_args": widths},
            "data": {"class_path": "Digits", "init_args": {"batch_size": 8}},
            "trainer": {"max_steps": size.updates, "val_check_interval": size.updates // 6},
        }
        (tmp_path / f"{technique}.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


@pytest.fixture
def work(configs, start, size):
    """``work(place)`` starts a worker with folders of that name."""

    def begin(place):
        return start(
            *("-c", SMALL, configs, "--protocol", "digits", "--techniques", *size.techniques),
            *("--seeds", *size.seeds, "--parallel", "1", "--lease", size.lease),
            *("--results", configs / place / "results", "--work", configs / place / "w"),
        )

    return begin


def finish(worker):
    code, said = worker.ended(within=280)
    assert code == 0, said


def says(worker, update):
    """Whether a worker has told of an evaluation."""
    return lambda: f"update {update}:" in worker.said.read_text()


def records(place, size):
    """What the records and pictures hold, but for what is of the moment."""
    held = {}
    for technique in size.techniques:
        for seed in size.seeds:
            path = record_path(place / "results", "digits", technique, seed)
            record = dataclasses.asdict(read_record(path))
            for name in OF_THE_MOMENT:
                del record[name]
            for point in [*record["curve"], record["best"]]:
                assert point.pop("train_seconds") >= 0
            held[technique, seed] = record, path.with_suffix(".png").read_bytes()
    return held


def processes(configs):
    """How many each run took, the fewest first."""
    histories = configs.rglob("history.json")
    return sorted(json.loads(path.read_text())["processes"] for path in histories)


@pytest.mark.slow
def test_a_grid_that_is_killed_ends_as_one_that_is_not(work, configs, size):
    begun = time.monotonic()
    finish(work("undisturbed"))
    longest = (time.monotonic() - begun) / size.kills
    chance = random.Random(0)
    for _ in range(size.kills):
        worker = work("disturbed")
        time.sleep(chance.uniform(0.1, longest))
        worker.process.kill()  # alone: what it started must not outlive it
        worker.process.wait()
        for path in (configs / "disturbed").rglob("seed*.json"):
            json.loads(path.read_text())  # whole, whenever it is looked at
    finish(work("disturbed"))
    assert records(configs / "disturbed", size) == records(configs / "undisturbed", size)


@pytest.mark.parametrize("size", [ONE._replace(updates=10**6)])
def test_what_a_killed_worker_has_started_ends_with_it(work, size):
    worker = work("place")
    worker.until(says(worker, 0))
    assert len(worker.ranks()) == 2
    worker.process.kill()
    worker.assert_all_ended()


@pytest.mark.parametrize("size", [ONE])
def test_a_run_that_another_worker_has_is_left_to_it(work, configs, size):
    path = record_path(configs / "place" / "results", "digits", "dcgan", *size.seeds)
    held = claim(path.parent, path.stem, lambda: None, size.lease)
    worker = work("place")
    worker.until(lambda: "0 of 1 runs have a record" in worker.said.read_text())
    time.sleep(1)
    assert len(worker.ranks()) == 1
    held.release()
    finish(worker)
    assert read_record(path).status == "finished"


@pytest.mark.parametrize("size", [ONE, pytest.param(LARGE, marks=pytest.mark.slow)])
def test_an_interrupt_ends_a_grid_in_order_and_it_goes_on(work, configs, size):
    worker = work("place")
    worker.until(says(worker, size.updates // 3))
    os.killpg(worker.process.pid, signal.SIGINT)
    code, said = worker.ended(within=60)
    assert code == 130, said
    assert "interrupted: the same command resumes" in said
    assert "Traceback" not in said
    assert not list((configs / "place" / "results").rglob("*.json"))
    again = work("place")
    finish(again)
    assert f"dcgan seed {size.seeds[0]}, update {size.updates // 6}:" not in again.said.read_text()
    assert processes(configs) == [1] * (len(size.techniques) * len(size.seeds) - 1) + [2]


@pytest.mark.slow
def test_two_workers_part_a_grid_and_one_takes_over_from_one_that_died(work, configs, size):
    first, second = work("place"), work("place")
    first.until(says(first, size.updates // 3))
    first.process.kill()
    finish(second)
    records(configs / "place", size)
    # One run was begun by the first and ended by the second, the others made once.
    assert processes(configs) == [1] * (len(size.techniques) * len(size.seeds) - 1) + [2]
    assert not list((configs / "place").rglob("*.claim.*"))
