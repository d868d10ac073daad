"""A grid of runs: which are to be trained, what is known of each, and what is printed."""

import time
from collections.abc import Sequence

from benchmarks.records import Record
from benchmarks.run.plan import Options, Run
from benchmarks.run.results import current_record


def say(message: str) -> None:
    """Print a message at once."""
    print(message, flush=True)


class Grid:
    """The runs of one command.

    Args:
        runs: all runs of the grid.
        options: the options of this machine.
        retry: repeat the runs whose records have failed.

    Attributes:
        todo: the runs to train, in their order.
    """

    def __init__(self, runs: Sequence[Run], options: Options, retry: bool) -> None:
        self.runs = runs
        self.options = options
        self._records = {
            run.key: record for run in runs if (record := current_record(run, options.results, say))
        }
        self.todo = [run for run in runs if self._is_to_do(run, retry)]
        self._left = {run.key for run in self.todo}
        # Shares of each run's updates: done so far, and done by this command.
        self._current: dict[tuple[str, str, int], float] = {}
        self._done_here: dict[tuple[str, str, int], float] = {}
        self._started = time.monotonic()

    @property
    def finished(self) -> bool:
        """Whether every run has a record and has finished."""
        return all(
            run.key in self._records and self._records[run.key].status == "finished"
            for run in self.runs
        )

    def previous(self, run: Run) -> Record | None:
        """The last known record of a run, in this version of the protocol."""
        return self._records.get(run.key)

    def report_start(self, where: str) -> None:
        """Print what there is to do, and ``where``."""
        done, todo = len(self.runs) - len(self.todo), len(self.todo)
        say(
            f"{self.runs[0].protocol.name}: {done} of {len(self.runs)} runs have a record, "
            f"{todo} to go, {where}"
        )

    def report_evaluation(self, run: Run, start_update: int, update: int, scores: str) -> None:
        """Print the scores of a run that started or resumed at ``start_update``."""
        self._current[run.key] = min(update / run.updates, 0.99)
        self._done_here[run.key] = max(0, update - start_update) / run.updates
        say(f"{run.name}, update {update}: {scores} ({self._progress()})")

    def report_result(self, run: Run, record: Record) -> None:
        """Print how a run has ended."""
        self._records[run.key] = record
        self._left.discard(run.key)
        self._current.pop(run.key, None)
        scores = ", ".join(f"{name} {value:.2f}" for name, value in record.last.items())
        outcome = "finished, but collapsed" if record.collapse else record.status
        say(
            f"{run.name} {outcome} in {record.wall_seconds:.0f} s: "
            f"{scores or record.message} ({self._progress()})"
        )

    def report_loss(self, run: Run, reason: str) -> None:
        """Print that a run has stopped without a record."""
        self._current.pop(run.key, None)
        say(f"{run.name} {reason} ({self._progress()})")

    def _is_to_do(self, run: Run, retry: bool) -> bool:
        record = self._records.get(run.key)
        return record is None or (retry and record.status != "finished")

    def _progress(self) -> str:
        """Progress over all runs, and the time left at this command's pace."""
        share, elapsed = sum(self._done_here.values()), time.monotonic() - self._started
        left = len(self._left) - sum(self._current.values())
        text = f"{len(self.runs) - len(self._left)} of {len(self.runs)} runs done"
        return f"{text}, about {elapsed / share * left / 60:.0f} min left" if share else text
