"""A CSV log that outlives the process that writes it."""

import csv
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning import loggers
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from gan_lightning.files import appending, whole_file


class ContinuedCSVLogger(loggers.CSVLogger):
    """Lightning's ``CSVLogger``, but a run that goes on in the same folder goes on in its file.

    What is there stays, but for what comes after ``go_on_after``. The file is whole at any moment,
    wherever a process is killed. A ``save_dir`` that is not of this file system is Lightning's.
    """

    _after: int | None = None
    _rows: int | None = None

    def go_on_after(self, step: int, rows: int | None = None) -> None:
        """Rows of later steps are of a process that was stopped after its last checkpoint.

        So are those of this step that come after so many ``rows``.
        """
        self._after, self._rows = step, rows
        if isinstance(self._experiment, _Writer):
            self._experiment.after, self._experiment.rows = step, rows

    @property
    def count(self) -> int:
        """Rows that are in the file."""
        return self._experiment.count if isinstance(self._experiment, _Writer) else 0

    def flush(self) -> None:
        """Have the rows outlive a machine that loses its power."""
        if isinstance(self._experiment, _Writer) and self._experiment.count:
            with appending(Path(self._experiment.metrics_file_path)) as file:
                os.fsync(file.fileno())

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:  # noqa: ANN401
        """What writes ``metrics.csv``; on all ranks but the first, what does nothing."""
        if "://" in self.log_dir:
            return super().experiment
        if self._experiment is None:
            self._experiment = _Writer(self.log_dir, self._after, self._rows)
        return self._experiment


class _Writer(ExperimentWriter):
    def __init__(self, log_dir: str, after: int | None, rows: int | None) -> None:
        super().__init__(log_dir)
        self.after, self.rows = after, rows
        self.count = 0
        self._continued = False

    def _check_log_dir_exists(self) -> None:
        """What is there stays."""

    def save(self) -> None:
        if not self.metrics:
            return
        path = Path(self.metrics_file_path)
        earlier: Sequence[Mapping[str, Any]] = []
        if not self._continued:
            last = math.inf if self.after is None else self.after
            rows = math.inf if self.rows is None else self.rows
            earlier = [
                row
                for i, row in enumerate(read_rows(path))
                if int(row["step"]) < last or (int(row["step"]) == last and i < rows)
            ]
            self.count = len(earlier)
            self.metrics_keys = sorted(earlier[0]) if earlier else []
        new_keys = self._record_new_keys()
        if self._continued and not new_keys:
            with appending(path, newline="") as file:
                csv.DictWriter(file, self.metrics_keys).writerows(self.metrics)
        else:
            self._write([*(earlier or read_rows(path) * self._continued), *self.metrics], path)
        self._continued = True
        self.count += len(self.metrics)
        self.metrics = []

    def _write(self, rows: Sequence[Mapping[str, Any]], path: Path) -> None:
        with whole_file(path, "w", newline="") as file:
            writer = csv.DictWriter(file, self.metrics_keys)
            writer.writeheader()
            writer.writerows(rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a log, but for a last one that was not written to its end; none of no file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        lines = [line for line in file if line.endswith("\n")]
    return list(csv.DictReader(lines))
