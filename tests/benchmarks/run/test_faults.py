"""Grids of runs that are disturbed, compared with one that is not."""

import json
import os
import random
import signal
import time

import pytest
from grids import Size, command, has_reported, processes, records, write_configs

#: Not the first seed, for which an animation is saved.
ONE = Size(("dcgan",), (1,), updates=60)
LARGE = Size(("dcgan", "began"), (0, 1), updates=300, kills=10)


@pytest.fixture
def size():
    return LARGE


@pytest.fixture
def configs(tmp_path, size):
    write_configs(tmp_path, size)
    return tmp_path


@pytest.fixture
def work(configs, start, size):
    """``work(name)`` starts a grid that uses a folder of that name."""
    return lambda name: start(*command(configs, configs / name, size, "--parallel", "1"))


def finish(worker):
    code, output = worker.ended(within=280)
    assert code == 0, output


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
def test_the_processes_of_a_killed_grid_end_with_it(work, size):
    worker = work("grid")
    worker.until(has_reported(worker, 0))
    assert len(worker.ranks()) == 2
    worker.process.kill()
    worker.assert_all_ended()


@pytest.mark.slow
@pytest.mark.parametrize("size", [ONE, LARGE])
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
    assert processes(configs) == [1] * (len(size.names) - 1) + [2]


@pytest.mark.parametrize("size", [ONE])
def test_a_second_command_says_who_holds_the_results_until_that_one_is_killed(work, size):
    first = work("grid")
    first.until(has_reported(first, 0))
    code, output = work("grid").ended()
    assert code == 75, output
    (line,) = output.splitlines()
    assert f"is in use by process {first.process.pid} on " in line
    assert "--protocol digits --techniques dcgan" in line
    first.process.kill()
    first.process.wait()
    again = work("grid")
    again.until(lambda: "0 of 1 runs have a record" in again.said.read_text())
