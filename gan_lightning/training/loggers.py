"""A CSV log that continues where a run is resumed, and the folder of a run without a log."""

import csv
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning import loggers
from pytorch_lightning.core.saving import save_hparams_to_yaml
from pytorch_lightning.loggers.logger import DummyExperiment  # type: ignore[attr-defined]
from pytorch_lightning.utilities import rank_zero_only

from gan_lightning.utils.files import appending, whole_file


class ContinuedCSVLogger(loggers.CSVLogger):
    """Lightning's ``CSVLogger``, but a run that is resumed in the same folder continues its file.

    Rows that are there stay, but for those after ``continue_after``. The file is whole at any
    moment, wherever a process is killed. A ``save_dir`` of another file system is Lightning's.

    Args:
        save_dir: the folder of all runs.
        name: of the folder below it.
        version: of the run; by default the next one that is free.
        options: of ``CSVLogger``.
    """

    def __init__(
        self,
        save_dir: str | os.PathLike[str],
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(str(save_dir), name, version, **options)
        self._writer: _Writer | None = None
        self._last_kept: tuple[float, float] = math.inf, math.inf

    def continue_after(self, step: int, rows: int | None = None) -> None:
        """Drop rows of later steps: a process wrote them that stopped after its last checkpoint.

        Rows of this step are dropped too, unless they are among the first ``rows`` of the file.
        """
        self._last_kept = step, math.inf if rows is None else rows
        if self._writer is not None:
            self._writer.last_kept = self._last_kept

    @property
    def count(self) -> int:
        """The number of rows in the file."""
        return 0 if self._writer is None else self._writer.count

    def flush(self) -> None:
        """Write the rows to the disk, so that they survive a loss of power."""
        if self._writer is not None and self._writer.count:
            with appending(self._writer.path) as file:
                os.fsync(file.fileno())

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:  # noqa: ANN401
        """The writer of ``metrics.csv``; on all ranks but the first, one that does nothing."""
        if "://" in self.log_dir:
            return super().experiment
        if self._writer is None:
            self._writer = _Writer(Path(self.log_dir), self._last_kept)
        return self._writer

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is not written yet."""
        if self._writer is None:
            super().finalize(status)
        else:
            self.save()


class NoLog(loggers.CSVLogger):
    """Writes nothing; a run without a log has a folder ``version_N`` of its own all the same."""

    @property
    def experiment(self) -> Any:  # noqa: ANN401
        """One that does nothing: Lightning's own removes the log that it finds in the folder."""
        return DummyExperiment()

    def log_metrics(self, *args: Any, **options: Any) -> None:
        """Nothing."""

    log_hyperparams = log_graph = save = finalize = log_metrics


class _Writer:
    """What ``CSVLogger`` calls an experiment.

    Args:
        folder: of the run.
        last_kept: the step, and the number of rows, after which earlier rows are dropped.
    """

    def __init__(self, folder: Path, last_kept: tuple[float, float]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.csv"
        self.last_kept = last_kept
        self.count = 0
        self.metrics: list[dict[str, Any]] = []
        self._hparams: dict[str, Any] = {}
        self._columns: list[str] = []
        self._started = False

    def log_hparams(self, params: Mapping[str, Any]) -> None:
        """Write them beside the log."""
        self._hparams.update(params)
        save_hparams_to_yaml(str(self.path.with_name("hparams.yaml")), self._hparams)

    def log_metrics(self, metrics: Mapping[str, Any], step: int) -> None:
        """One row, which ``save`` writes."""
        values = {
            name: getattr(value, "item", lambda v=value: v)() for name, value in metrics.items()
        }
        self.metrics.append({**values, "step": step})

    def save(self) -> None:
        """Append the new rows; write the whole file where they have new columns, or are first."""
        if not self.metrics:
            return
        earlier: list[dict[str, Any]] = []
        if not self._started:
            step, rows = self.last_kept
            earlier = [
                row
                for i, row in enumerate(read_rows(self.path))
                if int(row["step"]) < step or (int(row["step"]) == step and i < rows)
            ]
            self.count = len(earlier)
            self._columns = sorted(earlier[0]) if earlier else []
        columns = sorted({*self._columns, *(name for row in self.metrics for name in row)})
        if self._started and columns == self._columns:
            with appending(self.path, newline="") as file:
                csv.DictWriter(file, columns).writerows(self.metrics)
        else:
            if self._started:
                earlier = list(read_rows(self.path))
            with whole_file(self.path, "w", newline="") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows([*earlier, *self.metrics])
        self._started, self._columns = True, columns
        self.count += len(self.metrics)
        self.metrics = []


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a log, but for a last one that is incomplete; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        lines = [line for line in file if line.endswith("\n")]
    return list(csv.DictReader(lines))
