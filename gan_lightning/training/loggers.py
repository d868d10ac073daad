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
from gan_lightning.utils.rows import read_rows

__all__ = ["ContinuedCSVLogger", "NoLog", "read_rows"]


class ContinuedCSVLogger(loggers.CSVLogger):
    """Lightning's ``CSVLogger``, but a run that is resumed in the same folder continues its file.

    There is one row per update: what is logged at the update of the last row is added to it. It is
    written with the next row, or with ``write``. Rows that are there stay, but for those after
    ``continue_after``, and a process that does not train adds rows of its own. The file is whole at
    any moment, wherever a process is killed. A ``save_dir`` of another file system is Lightning's.

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

    def write(self) -> None:
        """Write what was added to the last row."""
        if self._writer is not None:
            self._writer.write()

    def flush(self) -> None:
        """Write the rows to the disk, so that they survive a loss of power."""
        if self._writer is not None and self._writer.count:
            self._writer.write()
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
            self.write()


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
        # Rows that are not in the file, and the last one that is, with what was added to it.
        self.metrics: list[dict[str, Any]] = []
        self._last: dict[str, Any] = {}
        self._added = False
        self._hparams: dict[str, Any] = {}
        self._columns: list[str] = []
        self._started = False

    def log_hparams(self, params: Mapping[str, Any]) -> None:
        """Write them beside the log."""
        self._hparams.update(params)
        save_hparams_to_yaml(str(self.path.with_name("hparams.yaml")), self._hparams)

    def log_metrics(self, metrics: Mapping[str, Any], step: int) -> None:
        """One row, which ``save`` writes, or more of the last one."""
        values = {
            name: getattr(value, "item", lambda v=value: v)() for name, value in metrics.items()
        }
        if self.metrics and self.metrics[-1]["step"] == step:
            self.metrics[-1].update(values)
        elif not self.metrics and self._last.get("step") == step:
            self._last.update(values)
            self._added = True
        else:
            self.metrics.append({**values, "step": step})

    def save(self) -> None:
        """Append the new rows; write the whole file where they have new columns, or are first.

        What was added to a row that is in the file waits for the next one, or for ``write``.
        """
        if self.metrics:
            self.write()

    def write(self) -> None:
        """Write all that is not in the file."""
        if not self.metrics and not self._added:
            return
        earlier = [] if self._started else self._kept()
        rows = [*earlier, *([self._last] if self._added else []), *self.metrics]
        columns = sorted({*self._columns, *(name for row in rows for name in row)})
        if self._started and columns == self._columns and not self._added:
            with appending(self.path, newline="") as file:
                csv.DictWriter(file, columns).writerows(rows)
        else:
            if self._started:
                written = read_rows(self.path)
                if self._added and written and int(written[-1]["step"]) == self._last["step"]:
                    written.pop()
                rows = [*written, *rows]
            with whole_file(self.path, "w", newline="") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(rows)
        self.count += len(earlier) + len(self.metrics)
        self._started, self._columns, self._added = True, columns, False
        if self.metrics:
            self._last, self.metrics = self.metrics[-1], []

    def _kept(self) -> list[dict[str, Any]]:
        """The rows of earlier processes that stay; a fit adds to the last one's update."""
        step, count = self.last_kept
        rows: list[dict[str, Any]] = [
            dict(row)
            for i, row in enumerate(read_rows(self.path))
            if int(row["step"]) < step or (int(row["step"]) == step and i < count)
        ]
        trains = step < math.inf
        if rows and trains and self.metrics and int(rows[-1]["step"]) == self.metrics[0]["step"]:
            self.metrics[0] = rows.pop() | self.metrics[0]
        return rows
