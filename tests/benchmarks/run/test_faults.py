"""Grids of runs that are disturbed, compared with one that is not."""

import dataclasses
import json
import os
import random
import signal
import time
from typing import NamedTuple

import pytest
import yaml

from benchmarks.protocol import ROOT
from benchmarks.records import read_record, record_path
from benchmarks.run.claims import claim

# What depends on when and where a run was executed.
VOLATILE = {"wall_seconds", "peak_memory_bytes"}
#: The command line of the benchmark, with a protocol that takes only a moment.
SMALL = f"""
import dataclasses, sys
from pathlib import Path
sys.path[0] = {str(ROOT)!r}
from benchmarks.run import command as run
from benchmarks.protocol import PROTOCOLS
run.PROTOCOLS["digits"] = dataclasses.replace(PROTOCOLS["digits"], configs=Path(sys.argv[1]))
run.main(sys.argv[2:])
"""


class Size(NamedTuple):
    """The runs of a grid, their updates, how often it is killed, and the lease of its claims."""

    techniques: tuple[str, ...]
    seeds: tuple[int, ...]
    updates: int
    kills: int
    lease: int


#: Not the first seed, for which an animation is saved.
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
    """``work(name)`` starts a worker that uses a folder of that name."""

    def begin(name):
        return start(
            *("-c", SMALL, configs, "--protocol", "digits", "--techniques", *size.techniques),
            *("--seeds", *size.seeds, "--parallel", "1", "--lease", size.lease),
            *("--results", configs / name / "results", "--work", configs / name / "w"),
        )

    return begin


def finish(worker):
    code, output = worker.ended(within=280)
    assert code == 0, output


def has_reported(worker, update):
    """A function that returns whether a worker has reported an evaluation."""
    return lambda: f"update {update}:" in worker.said.read_text()


def records(folder, size):
    """The content of the records and pictures, without what is volatile."""
    found = {}
    for technique in size.techniques:
        for seed in size.seeds:
            path = record_path(folder / "results", "digits", technique, seed)
            record = dataclasses.asdict(read_record(path))
            for name in VOLATILE:
                del record[name]
            for point in [*record["curve"], record["best"]]:
                assert point.pop("train_seconds") >= 0
            found[technique, seed] = record, path.with_suffix(".png").read_bytes()
    return found


def processes(configs):
    """The number of processes that each run took, in ascending order."""
    histories = configs.rglob("history.json")
    return sorted(json.loads(path.read_text())["processes"] for path in histories)


@pytest.mark.slow
def test_a_killed_grid_ends_like_an_undisturbed_one(work, configs, size):
    started = time.monotonic()
    finish(work("undisturbed"))
    longest = (time.monotonic() - started) / size.kills
    generator = random.Random(0)
    for _ in range(size.kills):
        worker = work("disturbed")
        time.sleep(generator.uniform(0.1, longest))
        worker.process.kill()  # only itself: its processes must not outlive it
        worker.process.wait()
        for path in (configs / "disturbed").rglob("seed*.json"):
            json.loads(path.read_text())  # always complete
    finish(work("disturbed"))
    assert records(configs / "disturbed", size) == records(configs / "undisturbed", size)


@pytest.mark.parametrize("size", [ONE._replace(updates=10**6)])
def test_the_processes_of_a_killed_worker_end_with_it(work, size):
    worker = work("grid")
    worker.until(has_reported(worker, 0))
    assert len(worker.ranks()) == 2
    worker.process.kill()
    worker.assert_all_ended()


@pytest.mark.parametrize("size", [ONE])
def test_a_run_claimed_by_another_worker_is_left_to_it(work, configs, size):
    path = record_path(configs / "grid" / "results", "digits", "dcgan", *size.seeds)
    held = claim(path.parent, path.stem, lambda: None, size.lease)
    worker = work("grid")
    worker.until(lambda: "0 of 1 runs have a record" in worker.said.read_text())
    time.sleep(1)
    assert len(worker.ranks()) == 1
    held.release()
    finish(worker)
    assert read_record(path).status == "finished"


@pytest.mark.parametrize("size", [ONE, pytest.param(LARGE, marks=pytest.mark.slow)])
def test_an_interrupted_grid_ends_cleanly_and_resumes(work, configs, size):
    worker = work("grid")
    worker.until(has_reported(worker, size.updates // 3))
    os.killpg(worker.process.pid, signal.SIGINT)
    code, output = worker.ended(within=60)
    assert code == 130, output
    assert "interrupted: the same command resumes" in output
    assert "Traceback" not in output
    assert not list((configs / "grid" / "results").rglob("*.json"))
    again = work("grid")
    finish(again)
    assert f"dcgan seed {size.seeds[0]}, update {size.updates // 6}:" not in again.said.read_text()
    assert processes(configs) == [1] * (len(size.techniques) * len(size.seeds) - 1) + [2]


@pytest.mark.slow
def test_two_workers_share_a_grid_and_one_takes_over_from_a_dead_one(work, configs, size):
    first, second = work("grid"), work("grid")
    first.until(has_reported(first, size.updates // 3))
    first.process.kill()
    finish(second)
    records(configs / "grid", size)
    # One run was started by the first and finished by the second, the others took one process.
    assert processes(configs) == [1] * (len(size.techniques) * len(size.seeds) - 1) + [2]
    assert not list((configs / "grid").rglob("*.claim.*"))
