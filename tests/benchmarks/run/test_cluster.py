"""Grids on a Ray cluster of one machine: a head without CPUs, and two worker nodes of one CPU."""

import contextlib
import os
import re
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
from grids import Size, command, processes, records, write_configs
from program import Program, running

from benchmarks.run.lock import NOTE

SIX = Size(("dcgan", "began"), (0, 1, 2), updates=180)
TWO = SIX._replace(techniques=("dcgan",), seeds=(0, 1))
ONE = SIX._replace(techniques=("dcgan",), seeds=(0,))
#: Nodes count as dead after about two seconds without an answer. Their processes are as nice as
#: others: by default those of other tests would starve them.
IMPATIENT = {
    "worker_niceness": 0,
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="NOT TESTED: no /proc here"),
]


@pytest.fixture
def cluster(monkeypatch):
    ray_cluster = pytest.importorskip(
        "ray.cluster_utils", reason="NOT TESTED: grids on Ray, which is not installed"
    )
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    folder = tempfile.mkdtemp(prefix="r")  # paths of sockets must be short
    # The file that names the newest cluster; Ray does not make its folder.
    monkeypatch.setenv("RAY_TMPDIR", folder)
    Path(folder, "ray").mkdir()
    started = ray_cluster.Cluster(
        initialize_head=True,
        head_node_args={
            "node_ip_address": "127.0.0.2",  # Ray replaces 127.0.0.1
            "num_cpus": 0,
            "temp_dir": folder,
            "include_dashboard": False,
            "_system_config": IMPATIENT,
        },
    )
    for address in ("127.0.0.3", "127.0.0.4"):
        started.add_node(num_cpus=1, node_ip_address=address)
    yield started
    started.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def work(tmp_path, start, cluster):
    """``work(size)`` starts a grid on the cluster."""

    def begin(size, *arguments):
        write_configs(tmp_path, size)
        grid = command(tmp_path, tmp_path / "ray", size, "--ray", cluster.address, *arguments)
        return start(*grid, anew=True)

    return begin


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The records of the grid on this machine alone."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_configs(folder, SIX)
    code, output = Program(folder, *command(folder, folder, SIX, "--parallel", "2")).ended(280)
    assert code == 0, output
    return records(folder, SIX)


class Node:
    """A worker node, with the processes below its raylet."""

    def __init__(self, raylet):
        self.raylet = raylet

    def workers(self):
        """Its processes, except for the trainings that they have started."""
        return [each.number for each in running() if each.parent == self.raylet]

    def trainings(self):
        """The processes that train, and their command lines."""
        workers, found = self.workers(), {}
        for each in running():
            if each.parent in workers:
                with contextlib.suppress(OSError):
                    text = Path(f"/proc/{each.number}/cmdline").read_text()
                    if "--seed_everything" in text:
                        found[each.number] = text.replace("\0", " ")
        return found


def nodes(cluster):
    raylets = [node.all_processes["raylet"][0] for node in cluster.worker_nodes]
    return [Node(raylet.process.pid) for raylet in raylets]


def wait_for(condition, within=60):
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)
    return found


def half_done(cluster, root):
    """A node whose run has a checkpoint, the process that trains it, and the run's name."""
    for node in nodes(cluster):
        for number, line in node.trainings().items():
            technique = re.search(r"--config=\S*/(\w+)\.yaml", line)[1]
            seed = re.search(r"--seed_everything=(\d+)", line)[1]
            folder = root / "ray" / "w" / "digits" / technique / f"seed{seed}"
            if any(path.stem != "step=0" for path in folder.glob("checkpoints/step=*.ckpt")):
                return node, number, f"{technique} seed {seed}"
    return None


def alive(number):
    return number in [each.number for each in running()]


@pytest.mark.parametrize(("way", "size"), [("node", SIX), ("raylet", TWO)])
def test_a_grid_that_loses_a_node_ends_like_an_undisturbed_one(
    work, cluster, undisturbed, tmp_path, way, size
):
    grid = work(size)
    node, training, name = wait_for(lambda: half_done(cluster, tmp_path), within=400)
    for number in [*(node.workers() if way == "node" else []), node.raylet]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    wait_for(lambda: not alive(training), within=30)
    code, output = grid.ended(within=280)
    assert code == 0, output
    assert f"{name} has lost its node or process" in output
    found = records(tmp_path / "ray", size)
    assert found == {run: undisturbed[run] for run in found}
    # The lost run was resumed, and each ended once.
    assert output.count(f"{name}, update 0:") == 1
    assert processes(tmp_path / "ray") == [1] * (len(size.names) - 1) + [2]
    assert [output.count(f"{each} finished") for each in size.names] == [1] * len(size.names)


def test_a_run_whose_node_counts_as_dead_but_is_not_is_trained_once(work, cluster, tmp_path):
    grid = work(ONE._replace(updates=1200))
    node, training, _ = wait_for(lambda: half_done(cluster, tmp_path), within=400)
    os.kill(node.raylet, signal.SIGSTOP)
    try:
        code, output = grid.ended(within=400)
    finally:
        os.kill(node.raylet, signal.SIGCONT)
    assert code == 0, output
    assert "has been marked dead" in output
    assert processes(tmp_path / "ray") == [1]
    assert not alive(training)


def test_a_stopped_command_stops_the_trainings_on_all_nodes(work, cluster, tmp_path):
    for number, expected in ((signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)):
        grid = work(TWO._replace(updates=10**6))
        trainings = wait_for(
            lambda: [t for node in nodes(cluster) for t in node.trainings()][1:], within=400
        )
        os.kill(grid.process.pid, number)
        code, output = grid.ended(within=60)
        assert code == expected, output
        assert "Traceback" not in output
        assert ("interrupted: the same command resumes" in output) == (number != signal.SIGKILL)
        wait_for(lambda: not any(map(alive, trainings)), within=30)  # noqa: B023
    assert not list(tmp_path.rglob("results/**/*.json"))


def test_a_failed_training_is_a_record_and_is_not_repeated(work, tmp_path):
    grid = work(ONE._replace(seeds=(10**20,)))  # a seed that is too large
    code, output = grid.ended(within=400)
    assert code == 1, output
    assert f"dcgan seed {10**20} failed in " in output
    assert processes(tmp_path) == [1]


def test_a_folder_of_results_that_is_not_shared_is_refused(work, tmp_path):
    grid = work(ONE)
    grid.until(lambda: "1 to go" in grid.said.read_text())
    (tmp_path / "ray" / "results" / NOTE).write_text("")  # as on a node with its own folder
    code, output = grid.ended(within=100)
    assert code == 2, output
    assert "it must be on shared storage" in output.splitlines()[-1]
    assert "Traceback" not in output
