"""A pool on one machine: so many trainings at a time, each on its own devices."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from queue import SimpleQueue

from benchmarks.run.attempt import Attempt
from benchmarks.run.grid import Grid
from benchmarks.run.plan import Run


def train(grid: Grid, parallel: int, gpus: Sequence[str]) -> None:
    """Train the remaining runs of a grid; stop them if interrupted.

    Args:
        grid: the grid.
        parallel: the number of runs at the same time.
        gpus: the GPUs, as in CUDA_VISIBLE_DEVICES, that the runs divide among themselves, and share
            if there are more runs than GPUs; without any, each run has its own choice.
    """
    grid.report_start(f"{parallel} at a time")
    pool = _Pool(grid, parallel, gpus)
    with ThreadPoolExecutor(parallel) as executor:
        futures = [executor.submit(pool.train, run) for run in grid.todo]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            pool.stop()
            raise


class _Pool:
    """What the threads of a pool share; each waits for the process of its run."""

    def __init__(self, grid: Grid, parallel: int, gpus: Sequence[str]) -> None:
        self._grid = grid
        self._free: SimpleQueue[list[str] | None] = SimpleQueue()
        devices = grid.options.devices
        places = max(len(gpus) // devices, 1)
        for slot in range(parallel):
            # Runs share a GPU only where each GPU has one already.
            first = slot % places * devices
            self._free.put(list(gpus[first : first + devices]) or None)
        self._attempts: set[Attempt] = set()
        self._stopped = threading.Event()

    def train(self, run: Run) -> None:
        """Train a run until it has a record, or the pool is stopped."""
        grid, gpus = self._grid, self._free.get()
        try:
            while not self._stopped.is_set():
                attempt = Attempt(run, grid.options, gpus)
                self._attempts.add(attempt)
                if self._stopped.is_set():  # before it could stop this attempt
                    return
                try:
                    record = attempt.execute_alone(
                        grid.previous(run), partial(self._report, attempt)
                    )
                finally:
                    self._attempts.discard(attempt)
                # Without a record, a signal has stopped this process alone: the run resumes.
                if record is not None:
                    grid.report_result(run, record)
                    return
        finally:
            self._free.put(gpus)

    def _report(self, attempt: Attempt, update: int, scores: str) -> None:
        self._grid.report_evaluation(attempt.run, attempt.start_update, update, scores)

    def stop(self) -> None:
        """Stop the trainings; the same command resumes from their last checkpoints."""
        self._stopped.set()
        for attempt in list(self._attempts):
            attempt.stop()
