"""A Ray cluster of several machines: each run is a task, and starts again where its node dies.

All nodes have the checkout, the environment and the folders of results and work on shared storage
under the same paths. The driver, which is the command, holds the folder of results and prints what
the nodes report. A task that loses its process or its node is submitted again, and resumes from its
last checkpoint.
"""

import os
import signal
import socket
from collections import Counter
from dataclasses import dataclass
from queue import Empty
from types import ModuleType
from typing import Any

from benchmarks.protocol import ROOT
from benchmarks.records import Record
from benchmarks.run.attempt import Attempt
from benchmarks.run.grid import Grid, say
from benchmarks.run.lock import Holder, read_holder
from benchmarks.run.plan import Options, Run
from gan_lightning.utils.errors import UserError

#: How many times a run may lose its process without a new evaluation between.
LOSSES = 5
#: Variables of the command that also hold on the nodes.
PASSED_ON = ("WANDB_MODE", "WANDB_BASE_URL")


class ClusterError(UserError):
    """The cluster cannot be used."""

    exit_code = 2


@dataclass(frozen=True)
class _Evaluation:
    """An evaluation of a run, on its way to the driver."""

    key: tuple[str, str, int]
    start_update: int
    update: int
    scores: str


def train(grid: Grid, address: str, holder: Holder) -> None:
    """Train the remaining runs of a grid on a Ray cluster; stop them if interrupted.

    Args:
        grid: the grid.
        address: the address of the cluster, such as "10.0.0.1:6379"; "auto" for the one that this
            machine belongs to.
        holder: this process, as the holder of the folder of results.

    Raises:
        ClusterError: there is no Ray or no cluster, or a node does not have the folder of results.
    """
    ray = _import_ray()
    _connect(ray, address)
    try:
        grid.report_start(f"on the Ray cluster {ray.get_runtime_context().gcs_address}")
        driver = _Driver(ray, grid, holder)
        try:
            driver.work()
        finally:
            driver.stop()
    finally:
        ray.shutdown()


def _import_ray() -> ModuleType:
    try:
        import ray
    except ImportError:
        raise ClusterError(
            'Ray is not installed: pip install "gan-lightning[ray]", on all nodes'
        ) from None
    return ray


def _connect(ray: ModuleType, address: str) -> None:
    """Connect to a running cluster."""
    if address != "auto":
        _check_address(address)
    # The nodes import this module from the checkout.
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    path = [str(ROOT), *map(os.path.abspath, given)]
    variables = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    variables["PYTHONPATH"] = os.pathsep.join(path)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address,
            runtime_env={"env_vars": variables},
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ClusterError(f"cannot connect to a Ray cluster at {address}: {reason}") from error
    finally:
        signal.signal(signal.SIGTERM, on_sigterm)  # ray.init installs one of its own


def _check_address(address: str) -> None:
    """Raise ClusterError if nothing listens there; Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        raise ClusterError(f'--ray takes "auto" or HOST:PORT, not {address}')
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"there is no Ray cluster at {address}: {error}") from error


class _Driver:
    """What the command does while the nodes train."""

    def __init__(self, ray: ModuleType, grid: Grid, holder: Holder) -> None:
        from ray.util.queue import Queue
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray = ray
        self._grid = grid
        self._holder = holder
        # On the driver's node: that of a worker could die and take the reports along.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._reports = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        devices, protocol = grid.options.devices, grid.runs[0].protocol
        needs = {"num_cpus": protocol.threads * devices, "num_gpus": 0}
        if protocol.accelerator != "cpu":
            needs = {"num_cpus": 0, "num_gpus": devices}
        self._check_resources(needs)
        # The driver submits lost tasks itself: it says so, and counts.
        self._task = ray.remote(_train_on_node).options(
            **needs, max_retries=0, scheduling_strategy="SPREAD"
        )
        self._runs = {run.key: run for run in grid.runs}
        self._pending: dict[Any, Run] = {}
        self._losses: Counter[tuple[str, str, int]] = Counter()
        self._furthest: dict[tuple[str, str, int], int] = {}

    def work(self) -> None:
        """Work until every run has a record, or has lost its process too often."""
        for run in self._grid.todo:
            self._submit(run)
        while self._pending:
            ended, _ = self._ray.wait(list(self._pending), timeout=0.5)
            self._print_reports()
            for task in ended:
                self._end(task)

    def stop(self) -> None:
        """Stop the tasks that are left; the same command resumes their runs."""
        for task in self._pending:
            # Its process is killed, and the training ends with it.
            self._ray.cancel(task, force=True)
        if self._pending:
            self._ray.wait(list(self._pending), num_returns=len(self._pending), timeout=20)

    def _submit(self, run: Run) -> None:
        task = self._task.remote(
            run, self._grid.options, self._grid.previous(run), self._holder, self._reports
        )
        self._pending[task] = run

    def _end(self, task: Any) -> None:  # noqa: ANN401
        """Take the result of a task, or submit its run again."""
        run, errors = self._pending.pop(task), self._ray.exceptions
        try:
            record: Record | None = self._ray.get(task)
        except errors.RayTaskError as error:
            raise error.cause from error
        except errors.RayError as error:
            self._losses[run.key] += 1
            reason = f"has lost its node or process ({type(error).__name__})"
            if self._losses[run.key] == LOSSES:
                self._grid.report_loss(run, f"{reason} {LOSSES} times in a row and is given up")
                return
            self._grid.report_loss(run, f"{reason}: it is submitted again")
            record = None
        if record is None:
            self._submit(run)
        else:
            self._grid.report_result(run, record)

    def _print_reports(self) -> None:
        """Print what the nodes have reported since the last call."""
        while True:
            try:
                report = self._reports.get_nowait()
            except Empty:
                return
            if isinstance(report, _Evaluation):
                if report.update > self._furthest.get(report.key, -1):
                    self._furthest[report.key] = report.update
                    del self._losses[report.key]
                self._grid.report_evaluation(
                    self._runs[report.key], report.start_update, report.update, report.scores
                )
            else:
                say(report)

    def _check_resources(self, needs: dict[str, int]) -> None:
        """Say so if no node of the cluster has, by now, what a run needs."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        for name, count in (("CPU", needs["num_cpus"]), ("GPU", needs["num_gpus"])):
            if count > max((node.get(name, 0) for node in nodes), default=0):
                say(f"no node of the cluster has {count} {name}(s): waiting for one")


def _train_on_node(
    run: Run,
    options: Options,
    previous: Record | None,
    holder: Holder,
    reports: Any,  # noqa: ANN401
) -> Record | None:
    """Train a run on a node of the cluster; None if a signal has stopped its training.

    Raises:
        ClusterError: this node does not have the driver's folder of results.
    """
    if read_holder(options.results) != holder:
        raise ClusterError(
            f"{options.results} on {socket.gethostname()} is not the folder on {holder.host}: it "
            "must be on shared storage"
        )
    import ray

    attempt = Attempt(run, options, [str(gpu) for gpu in ray.get_gpu_ids()], reports.put)

    def report(update: int, scores: str) -> None:
        reports.put(_Evaluation(run.key, attempt.start_update, update, scores))

    return attempt.execute_alone(previous, report)
